"""One mail to one recipient by SMTP: what the server said, as the error that says what to do.

    connect ── sign in ── MAIL FROM ── RCPT TO ── DATA ──▶ 354 │ bytes ──▶ 250
            TryLater: nothing has left                         │ cut here: Uncertain, the mail may have been taken

Notifications are few: each has a connection of its own.

Source: RFC 5321, 4.1 to 4.5; RFC 3207; RFC 3461; aiosmtplib 5.1.3 as it behaves; read and run 2026-11-28.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from aiosmtplib import SMTP, SMTPAuthenticationError, SMTPException, SMTPHeloError, SMTPResponseException

from talkwire import Refused, SendError, TryLater, Uncertain

from .settings import NotifyEmailSettings, Server

PATIENCE = 20.0  # seconds for all until the server waits for the mail itself; less than the core gives one delivery
_GREYLISTED = timedelta(minutes=5)  # the least that servers want to wait who do not know us yet (RFC 6647, 5)
_AGAIN = timedelta(minutes=1)  # until a server is asked again that is not there
_GO_ON = 354
_OK, _NO = range(200, 300), range(400, 600)
_FINAL = 500
_WORDS = 200  # characters of the server's own words that are kept
_ENHANCED = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})(?=\s|$)")
_SIGN_IN = frozenset({530, 534, 535, 538})
_FULL = "2.2"
_DOT = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that is ready to leave."""

    id: str  # the left half of its Message-ID
    recipient: str  # ASCII, or one that needs SMTPUTF8
    content: bytes  # CRLF, seven bits


class AddressGone(Refused):
    """The recipient's server says that mail for this address will never be taken."""


class Unserved(TryLater):
    """The server cannot be used now; whatever mail it is."""


class _Stage(StrEnum):
    SENDER = "MAIL FROM"
    RECIPIENT = "RCPT TO"
    CONTENT = "DATA"


class Postman:
    """Hands mails to the server of the settings."""

    def __init__(self, settings: NotifyEmailSettings, *, patience: float = PATIENCE) -> None:
        self._settings = settings
        self._server: Server = settings.server
        self._patience = patience
        self._trusted: ssl.SSLContext | None = None

    async def send(self, mail: Mail, leaving: Callable[[], Awaitable[None]]) -> None:
        """Hand a mail over; `leaving` is awaited before the first byte of it goes.

        Errors: `TryLater` (of them `Unserved`), `Refused` (of them `AddressGone`): it was surely not taken;
        `Uncertain`: it may have been.
        """
        client = None
        try:
            try:
                async with asyncio.timeout(self._patience):
                    client = await self._connected()
                    await self._announce(client, mail)
            except TimeoutError:  # aiosmtplib's own are such, too
                raise Unserved(f"{self._server.place} did not answer in time", after=_AGAIN) from None
            await leaving()
            await self._hand_over(client, mail)
        finally:
            if client is not None:
                await _goodbye(client)

    # --- connecting ------------------------------------------------------------------------------------------

    async def _connected(self) -> SMTP:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.at,
            local_hostname=self._settings.domain.encode("idna").decode(),
            timeout=self._patience,
            use_tls=server.security == "tls",
            start_tls=server.security
            == "starttls",  # never None, which would send in the clear where it is not offered
            tls_context=await self._trust(),
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await _greet(client)
            await self._sign_in(client)
        except BaseException as error:
            client.close()
            if isinstance(error, TimeoutError) or not isinstance(error, SMTPException | OSError | ValueError):
                raise
            raise Unserved(self._why_not(error), after=_AGAIN) from error
        return client

    async def _trust(self) -> ssl.SSLContext | None:
        if self._server.security != "none" and self._trusted is None:
            try:
                self._trusted = await asyncio.to_thread(ssl.create_default_context, cafile=self._server.ca_file)
            except OSError as error:
                reason = error.strerror or "no certificates"
                raise Unserved(f"the certificates of server.ca_file cannot be read: {reason}") from None
        return self._trusted

    async def _sign_in(self, client: SMTP) -> None:
        server = self._server
        if server.password is None:
            return
        user = server.user or self._settings.sender
        ways = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
        name = next((name for name in ways if name in client.server_auth_methods), "")
        if not name:
            raise Unserved(f"{server.place} offers no way to sign in with a password")
        try:
            await ways[name](user, server.password.get_secret_value())
        except SMTPAuthenticationError as error:
            raise Unserved(
                f"{server.place} refused our sign-in as {user}: {_said(error.code, error.message)}. "
                "Put plugins.notify_email.server.password right",
                code=str(error.code),
            ) from None

    def _why_not(self, error: BaseException) -> str:
        place = self._server.place
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return f"the certificate of {place} is not believed: {cause.verify_message}"
            if isinstance(cause, ssl.SSLError):
                return f"{place} speaks no TLS that we can use; server.security and server.port must fit each other"
            cause = cause.__cause__
        if isinstance(error, SMTPResponseException):
            return f"{place} does not let us in: {_said(error.code, error.message)}"
        if self._server.security == "starttls" and type(error) is SMTPException:
            return f"{place} offers no STARTTLS: nothing is sent without encryption"
        return f"{place} cannot be reached ({type(error.__cause__ or error).__name__})"

    # --- one mail --------------------------------------------------------------------------------------------

    async def _announce(self, client: SMTP, mail: Mail) -> None:
        """Say who writes to whom, until the server waits for the mail itself."""
        is_ascii = mail.recipient.isascii()
        if not is_ascii and not client.supports_extension("smtputf8"):
            raise Refused(f"the address has letters before its @ that {self._server.place} cannot handle (SMTPUTF8)")
        sender = [f"FROM:<{self._settings.bounces_to or self._settings.sender}>"]
        sender += [] if is_ascii else ["SMTPUTF8"]
        recipient = [f"TO:<{mail.recipient}>"]
        if client.supports_extension("dsn"):
            sender += ["RET=HDRS", f"ENVID={mail.id}"]
            recipient += ["NOTIFY=FAILURE"]
        for stage, words in ((_Stage.SENDER, ("MAIL", *sender)), (_Stage.RECIPIENT, ("RCPT", *recipient))):
            code, said = await self._say(client, *words)
            if code not in _OK:
                raise self._meaning(code, said, stage)
        code, said = await self._say(client, "DATA")
        if code != _GO_ON:
            raise self._meaning(code, said, _Stage.CONTENT)

    async def _say(self, client: SMTP, *words: str) -> tuple[int, str]:
        try:
            reply = await client.execute_command(*(word.encode() for word in words))
        except TimeoutError:
            raise
        except (SMTPException, OSError) as error:
            raise Unserved(f"{self._server.place} closed the connection before the mail", after=_AGAIN) from error
        return reply.code, reply.message

    async def _hand_over(self, client: SMTP, mail: Mail) -> None:
        try:
            protocol = client.protocol
            if protocol is None:
                raise SMTPException("the connection is gone")
            protocol.write(_DOT.sub(b"..", mail.content) + b".\r\n")
            reply = await protocol.read_response(timeout=None)  # the core ends a delivery that takes too long
        except (SMTPException, OSError) as error:
            raise Uncertain(
                f"the connection to {self._server.place} was cut while the mail was handed over: it may have been taken"
            ) from error
        if reply.code not in _OK:
            if reply.code not in _NO:
                raise Uncertain(f"{self._server.place} answered the mail with {reply.code}, which means nothing")
            raise self._meaning(reply.code, reply.message, _Stage.CONTENT)

    def _meaning(self, code: int, words: str, stage: _Stage) -> SendError:
        """Say what an answer that is no yes means; the enhanced code tells more than the basic one (RFC 3463)."""
        found = _ENHANCED.match(words)
        detail = found[2] if found else ""
        is_final = found[1] == "5" if found and found[1] != "2" else code >= _FINAL
        text = f"{self._server.place} said {_said(code, words)}"
        name = found[0] if found else str(code)
        if code not in _NO or code in _SIGN_IN or (is_final and stage is _Stage.SENDER):
            return Unserved(f"{text} to {stage}; it takes no mail from us", code=name)
        if not is_final or detail == _FULL:
            return TryLater(text, after=_GREYLISTED if detail.startswith("7.") else None, code=name)
        # A server that refuses us, by policy, says nothing of the address: "relay access denied" is 5.7.1.
        if stage is _Stage.RECIPIENT and not detail.startswith("7."):
            return AddressGone(text, code=name)
        return Refused(text, code=name)


async def _greet(client: SMTP) -> None:
    try:
        await client.ehlo()
    except SMTPHeloError:
        if not client.is_connected:
            raise
        await client.helo()


async def _goodbye(client: SMTP) -> None:
    """Say goodbye; who does not answer is left."""
    with contextlib.suppress(SMTPException, OSError, TimeoutError):
        if client.is_connected and client.protocol is not None:
            client.protocol.write(b"QUIT\r\n")
    client.close()


def _said(code: int, words: str) -> str:
    return f"{code} {' '.join(str(words).split())[:_WORDS]}".rstrip()
