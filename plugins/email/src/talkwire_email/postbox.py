"""Mail out by SMTP: one kept connection, one mail for one recipient at a time.

    connect ── sign in ── MAIL FROM ── RCPT TO ── DATA ──▶ 354 │ bytes ──▶ 250
                    nothing has left: NotSent, TryLater        │ cut here: Uncertain

Encryption is what the account says, never less. A connection that the server closed while it was idle is made again before
the next mail, which does not notice.

Source: RFC 5321, 4.1 to 4.5; RFC 3207; RFC 3461; RFC 6531; aiosmtplib 5.1.3 as it behaves; read and run 2026-11-28.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from asyncio import TimerHandle
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPHeloError, SMTPResponseException

from talkwire import (
    AccountBroken,
    NotSent,
    Outgoing,
    Receipt,
    Refused,
    SendError,
    State,
    TryLater,
    Uncertain,
    Unreachable,
)

from .addresses import mailbox
from .own import Own
from .refusals import Stage, meaning
from .settings import EmailSettings
from .writing import File, Mail, compose, letter_of

if TYPE_CHECKING:
    from .channel import Email

# All that comes before the mail itself takes less than the channel's `send_timeout`, after which the core takes a mail for
# uncertain: what waited for its turn, or for the server's first words, has surely not left.
_PATIENCE = timedelta(seconds=25)
_GOODBYE = 2  # seconds for the server to answer ours
_BUSY = timedelta(seconds=5)  # until a mail is tried again that waited for others of its account
_IDLE = 60  # seconds that a connection is kept which nobody uses; servers close theirs after five minutes (RFC 5321, 4.5.3.2)
_AGAIN = timedelta(minutes=5)  # until we sign in again at a server that says "not now"
_GO_ON, _CLOSING, _FINAL = 354, 421, 500
_OK, _NO = range(200, 300), range(400, 600)
_LARGE = 256 * 1024  # bytes of files that are encoded beside the event loop
_DOT = re.compile(rb"^\.", re.MULTILINE)


class Exchange(Protocol):
    """What is said, for `trace`."""

    def sent(self, text: str) -> None: ...
    def received(self, text: str) -> None: ...


class _Cut(Exception):
    """The connection was lost before the mail's bytes began."""


class Postbox:
    """The sending half of one account."""

    def __init__(self, settings: EmailSettings, channel: Email, *, patience: timedelta = _PATIENCE) -> None:
        self._settings = settings
        self._channel = channel
        self._server = settings.smtp
        self._user = self._server.user or settings.address
        own = mailbox(settings.address)
        self._sender = own.value if own is not None else settings.address
        self._patience = patience.total_seconds()  # for a turn, and once more for all until the mail itself
        self._is_closing = False
        self._lock = asyncio.Lock()  # one connection, one mail at a time
        self._client: SMTP | None = None
        self._trusted: ssl.SSLContext | None = None
        self._resting: TimerHandle | None = None

    async def send(self, out: Outgoing, own: Own) -> Receipt:
        """Hand one mail for one recipient to the server. Errors: a leaf of `SendError`."""
        mail = await self._written(out, own)
        async with self._channel.services.exchange("smtp") as said, self._turn():
            return await self._hand_over(mail, out, own, said)

    async def close(self) -> None:
        """Say goodbye, where there is a connection; one that is used now ends with that mail."""
        self._is_closing = True
        self._rested()
        with contextlib.suppress(SMTPException, OSError, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                async with self._lock:
                    if self._client is not None and self._client.is_connected:
                        await self._client.quit()
        if not self._lock.locked():
            self._drop()

    async def probe(self) -> str:
        """Sign in; say what the server offers."""
        async with self._turn():
            async with self._before_data():
                client = await self._connected()
            offers = [name.upper() for name in ("dsn", "smtputf8") if client.supports_extension(name)]
            if limit := _size(client):
                offers.append(f"mails up to {limit / 1024**2:.0f} MB")
            offered = f", offers {', '.join(offers)}" if offers else ""
            return f"SMTP {self._place}: {self._signed_in}{offered}"

    # --- one mail ---

    async def _written(self, out: Outgoing, own: Own) -> Mail:
        letter = letter_of(out.part)
        services = self._channel.services
        files = []
        for id_ in letter.attachments:
            about = await services.attachment(id_)
            content = b"".join([chunk async for chunk in services.open_attachment(id_)])
            files.append(File(about.name, about.media_type, content))

        def build() -> Mail:
            return compose(out, letter, tuple(files), own=own, settings=self._settings, now=self._channel.clock.now())

        if sum(len(file.content) for file in files) > _LARGE:
            return await asyncio.to_thread(build)
        return build()

    async def _hand_over(self, mail: Mail, out: Outgoing, own: Own, said: Exchange) -> Receipt:
        async with self._before_data():
            client = await self._announced(mail, out, said)
        try:
            if (protocol := client.protocol) is None:
                raise SMTPException("the connection is gone")
            protocol.write(_stuffed(mail.content))
        except SMTPException as error:  # refused before a byte of it was taken
            raise NotSent(f"{self._place} closed the connection before the mail") from error
        said.sent(f"{len(mail.content)} bytes\n")
        try:  # from here on the server may have the mail
            reply = await protocol.read_response(timeout=None)  # the core ends a send that takes too long
        except (SMTPException, OSError) as error:
            raise Uncertain(
                f"the connection to {self._place} was cut while the mail was handed over: it may have been taken",
                code="cut",
            ) from error
        said.received(f"{reply.code} {reply.message}\n")
        if reply.code in _OK:
            return Receipt(state=State.SENT, external_id=own.message_id(out.copy_of or out.key))
        if reply.code == _CLOSING:
            self._drop()
        raise self._meaning(reply.code, reply.message, Stage.CONTENT, out)

    async def _announced(self, mail: Mail, out: Outgoing, said: Exchange) -> SMTP:
        """Say who writes to whom, until the server waits for the mail itself; once more where an old line was dead."""
        was_kept = self._client is not None
        client = await self._connected()
        try:
            return await self._announce(client, mail, out, said)
        except _Cut:
            self._drop()
            if not was_kept:
                raise NotSent(f"{self._place} closed the connection before the mail") from None
        said.sent("(the connection had been closed; a new one)\n")
        try:
            return await self._announce(await self._connected(), mail, out, said)
        except _Cut:
            raise NotSent(f"{self._place} closed the connection before the mail") from None

    async def _announce(self, client: SMTP, mail: Mail, out: Outgoing, said: Exchange) -> SMTP:
        limit = _size(client)
        if limit and len(mail.content) > limit:
            raise Refused(
                f"the mail has {len(mail.content):,} bytes, {self._place} takes {limit:,}: send fewer or smaller files",
                code="too_large",
            )
        if not mail.is_ascii and not client.supports_extension("smtputf8"):
            raise Refused(
                f"an address of this mail has letters before its @ that {self._place} cannot handle (SMTPUTF8)",
                code="smtputf8",
            )
        reports = self._settings.delivery_reports and client.supports_extension("dsn")
        sender = [f"FROM:<{self._sender}>"]
        sender += [f"SIZE={len(mail.content)}"] if client.supports_extension("size") else []
        sender += [] if mail.is_ascii else ["SMTPUTF8", "BODY=8BITMIME"]
        sender += ["RET=HDRS", f"ENVID={out.key}"] if reports else []
        recipient = [f"TO:<{mail.recipient}>"]
        recipient += ["NOTIFY=SUCCESS,FAILURE,DELAY"] if reports else []
        if reports and mail.is_ascii:
            recipient.append(f"ORCPT=rfc822;{_xtext(mail.recipient)}")
        # A server that has had enough of a line says so to the next command: a new line, not an error of this mail.
        code, words = await self._say(client, said, "MAIL", *sender)
        if code == _CLOSING:
            raise _Cut
        if code not in _OK:
            raise await self._refused(client, code, words, Stage.SENDER, out)
        code, words = await self._say(client, said, "RCPT", *recipient)
        if code not in _OK:
            raise await self._refused(client, code, words, Stage.RECIPIENT, out)
        code, words = await self._say(client, said, "DATA")
        if code != _GO_ON:
            raise await self._refused(client, code, words, Stage.CONTENT, out)
        return client

    async def _say(self, client: SMTP, said: Exchange, *words: str) -> tuple[int, str]:
        said.sent(f"{' '.join(words)}\n")
        try:
            reply = await client.execute_command(*(word.encode() for word in words))
        except SMTPResponseException as error:  # what came is no answer
            raise _Cut from error
        except (SMTPException, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _Cut from error
        said.received(f"{reply.code} {reply.message}\n")
        return reply.code, reply.message

    async def _refused(self, client: SMTP, code: int, words: str, stage: Stage, out: Outgoing) -> SendError:
        """Take the begun mail back, so that the line is good for the next one; give what the no means."""
        try:
            if client.is_connected:
                await client.rset()
        except (SMTPException, OSError):
            self._drop()
        if code not in _NO:
            return NotSent(f"{self._place} answered {stage} with {code}, which means nothing there", code=str(code))
        return self._meaning(code, words, stage, out)

    def _meaning(self, code: int, words: str, stage: Stage, out: Outgoing) -> SendError:
        if code not in _NO:
            return Uncertain(f"{self._place} answered the mail with {code}, which means nothing", code=str(code))
        return meaning(code, words, stage, attempt=out.attempt, fix=self._fix)

    # --- the line ---

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Wait for the line; drop it where something happened on it that we did not understand."""
        try:
            async with asyncio.timeout(self._patience):
                await self._lock.acquire()
        except TimeoutError:
            raise TryLater("other mails of this account are still on their way", after=_BUSY, code="busy") from None
        self._rested()
        try:
            yield
        except (AccountBroken, Refused, TryLater, Unreachable):
            raise
        except BaseException:
            self._drop()
            raise
        finally:
            if self._is_closing:
                self._drop()
            elif self._client is not None:
                self._resting = asyncio.get_running_loop().call_later(_IDLE, self._rest)
            self._lock.release()

    @contextlib.asynccontextmanager
    async def _before_data(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience):
                yield
        except TimeoutError:  # aiosmtplib's own are such, too
            raise NotSent(f"{self._place} did not answer in time") from None

    async def _connected(self) -> SMTP:
        """Give the kept connection, or a new one that is signed in."""
        if self._client is not None and self._client.is_connected:
            return self._client
        self._client = None
        client = await self._connect()
        try:
            await self._sign_in(client)
        except BaseException:
            client.close()
            raise
        self._client = client
        return client

    async def _connect(self) -> SMTP:
        server = self._server
        if server.tls != "none" and self._trusted is None:
            self._trusted = await asyncio.to_thread(self._trust)
        client = SMTP(
            hostname=server.host,
            port=server.port,
            local_hostname=self._sender.rpartition("@")[2],
            timeout=self._patience,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",  # never None, which would send in the clear where it is not offered
            tls_context=self._trusted if server.tls != "none" else None,
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
        except TimeoutError:
            client.close()
            raise
        except (SMTPException, OSError, ValueError) as error:
            client.close()
            raise NotSent(self._why_no_line(error)) from error
        return client

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._server.ca_file)
        except OSError as error:
            raise NotSent(
                f"the certificates of smtp.ca_file cannot be read: {error.strerror or 'no certificates'}"
            ) from None

    def _why_no_line(self, error: Exception) -> str:
        """Say for a person why there is no connection."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"the certificate of {self._place} is not believed: {cause.verify_message}"
            if isinstance(cause, ssl.SSLError):
                return f"{self._place} speaks no TLS that we can use; smtp.tls and smtp.port must fit each other"
            cause = cause.__cause__
        if isinstance(error, SMTPResponseException):
            return f"{self._place} does not let us in: {error.code} {' '.join(str(error.message).split())[:200]}"
        if self._server.tls == "starttls" and type(error) is SMTPException:
            return f"{self._place} offers no STARTTLS: nothing is sent without encryption"
        return f"{self._place} cannot be reached ({type(error.__cause__ or error).__name__})"

    async def _sign_in(self, client: SMTP) -> None:
        if not self._has_secret:
            return
        try:
            if self._server.password is not None:
                await self._sign_in_by_password(client, self._server.password.get_secret_value())
            else:
                await self._sign_in_by_token(client)
        except SMTPAuthenticationError as error:
            words = " ".join(str(error.message).split())[:200]
            text = f"{self._place} refused our sign-in as {self._user}: {error.code} {words}"
            if error.code < _FINAL:
                raise TryLater(text, after=_AGAIN, scope="account", code=str(error.code)) from None
            raise AccountBroken(f"{text}. {self._fix}", code=str(error.code)) from None
        except TimeoutError:
            raise
        except (SMTPException, OSError) as error:
            raise NotSent(f"{self._place} closed the connection while we signed in") from error

    async def _sign_in_by_password(self, client: SMTP, password: str) -> None:
        by_name: dict[str, Callable[..., Any]] = {  # in this order: the line is encrypted, or never leaves this machine
            "plain": client.auth_plain,
            "login": client.auth_login,
            "cram-md5": client.auth_crammd5,
        }
        name = next((name for name in by_name if name in client.server_auth_methods), "")
        if not name:
            offered = ", ".join(sorted(client.server_auth_methods)) or "none"
            raise AccountBroken(f"{self._place} offers no way to sign in with a password ({offered}). {self._fix}")
        await by_name[name](self._user, password)

    async def _sign_in_by_token(self, client: SMTP) -> None:
        tokens = self._channel.tokens
        if tokens is None or "xoauth2" not in client.server_auth_methods:
            raise AccountBroken(f"{self._place} takes no tokens (XOAUTH2). {self._fix}")
        token = await tokens.bearer()
        try:
            await client.auth_xoauth2(self._user, token)
        except SMTPAuthenticationError as error:
            tokens.forget(token)  # it may have been taken back before its time
            if error.code < _FINAL or (newer := await tokens.bearer()) == token:
                raise
            await client.auth_xoauth2(self._user, newer)

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _rest(self) -> None:
        """Let a line go that nobody used for a while."""
        self._resting = None
        client = self._client
        if client is None or self._lock.locked():
            return
        if client.protocol is not None and client.is_connected:
            client.protocol.write(b"QUIT\r\n")
        self._drop()

    def _rested(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    # --- words ---

    @property
    def _has_secret(self) -> bool:
        return self._server.password is not None or self._channel.tokens is not None

    @property
    def _place(self) -> str:
        return f"{self._server.host}:{self._server.port}"

    @property
    def _signed_in(self) -> str:
        how = {"tls": "TLS", "starttls": "STARTTLS", "none": "not encrypted"}[self._server.tls]
        return f"signed in as {self._user}, {how}" if self._has_secret else f"connected without signing in, {how}"

    @property
    def _fix(self) -> str:
        """Say what a person does where our sign-in is at fault."""
        table = f"accounts.{self._channel.account}"
        by_token = self._server.password is None and self._channel.tokens is not None
        what = f"{table}.oauth" if by_token else f"{table}.smtp.password"
        return f"Put {what} right (user {self._user}), then: talkwire accounts resume {self._channel.account}"


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


def _size(client: SMTP) -> int:
    """Give how large a mail the server takes, in bytes; 0: it does not say."""
    said = client.esmtp_extensions.get("size", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 16 else 0


def _stuffed(content: bytes) -> bytes:
    """Give a mail as it is sent after DATA: no line of it is the end."""
    return (_DOT.sub(b"..", content) if b"\n." in content else content) + b".\r\n"


def _xtext(value: str) -> str:
    """Write a value as a parameter of a command (RFC 3461, 4)."""
    return re.sub(r"[^!-*,-<>-~]", lambda found: f"+{ord(found[0]):02X}", value)
