"""Mail out by SMTP: a few kept lines, on each of them one mail for one recipient at a time.

    connect ── sign in ── MAIL FROM ── RCPT TO ── DATA ──▶ 354 │ bytes ──▶ 250
                    nothing has left: NotSent, TryLater        │ cut here: Uncertain

A line that the server closed while it was idle is made again before the next mail, which does not notice. A server that lets
fewer lines in than the account asks for gets fewer.

Source: RFC 5321, 4.1 to 4.5; RFC 3461; RFC 6531; aiosmtplib 5.1.3 as it behaves; read and run 2026-11-28.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from talkwire import (
    AccountBroken,
    NotFound,
    NotSent,
    Outgoing,
    Receipt,
    Refused,
    SendError,
    State,
    StoreDown,
    TryLater,
    Uncertain,
    Unreachable,
)

from .addresses import mailbox
from .line import Line, Server
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
_FEWER = 600  # seconds until a server is asked again for as many lines as it did not let in
_GO_ON, _CLOSING = 354, 421
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
        own = mailbox(settings.address)
        self._sender = own.value if own is not None else settings.address
        self._server = Server(settings, channel, self._sender)
        self._patience = patience.total_seconds()  # for a line, and once more for all until the mail itself
        self._is_closing = False
        self._lines = [Line(self._server, self._patience) for _ in range(settings.smtp.connections)]
        # Those that nobody uses; the one that was used last is taken first, so that few are kept where few are needed.
        self._free: asyncio.LifoQueue[Line] = asyncio.LifoQueue()
        self._too_many: set[Line] = set()  # that the server did not let in
        for line in self._lines:
            self._free.put_nowait(line)

    async def send(self, out: Outgoing, own: Own) -> Receipt:
        """Hand one mail for one recipient to the server. Errors: a leaf of `SendError`."""
        mail = await self._written(out, own)
        async with self._channel.services.exchange("smtp") as said, self._turn() as line:
            return await self._hand_over(line, mail, out, own, said)

    async def close(self) -> None:
        """Say goodbye on every line; one that is used now ends with its mail."""
        self._is_closing = True
        for line in self._lines:
            line.rested()
        free: list[Line] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                while len(free) < len(self._lines) - len(self._too_many):
                    free.append(await self._free.get())
                    await free[-1].quit()
        for line in free:
            self._give_back(line)  # a mail that comes all the same has a line for itself

    async def probe(self) -> str:
        """Sign in; say what the server offers."""
        async with self._turn() as line:
            client = await line.connected()
            offers = [name.upper() for name in ("dsn", "smtputf8") if client.supports_extension(name)]
            if limit := _size(client):
                offers.append(f"mails up to {limit / 1024**2:.0f} MB")
            offered = f", offers {', '.join(offers)}" if offers else ""
            return f"SMTP {self._place}: {self._server.signed_in}{offered}"

    # --- one mail ---

    async def _written(self, out: Outgoing, own: Own) -> Mail:
        letter = letter_of(out.part)
        files = [await self._file(id_) for id_ in letter.attachments]

        def build() -> Mail:
            return compose(out, letter, tuple(files), own=own, settings=self._settings, now=self._channel.clock.now())

        if sum(len(file.content) for file in files) > _LARGE:
            return await asyncio.to_thread(build)
        return build()

    async def _file(self, attachment: str) -> File:
        """Read a file of ours. Errors: `Refused`, `NotSent`: nothing has left yet."""
        services = self._channel.services
        try:
            about = await services.attachment(attachment)
            content = b"".join([chunk async for chunk in services.open_attachment(attachment)])
        except NotFound:
            raise Refused("a file of this mail is not in our store any more", code="file_gone") from None
        except StoreDown as error:
            raise NotSent(f"the files of this mail cannot be read now: {error}") from error
        return File(about.name, about.media_type, content)

    async def _hand_over(self, line: Line, mail: Mail, out: Outgoing, own: Own, said: Exchange) -> Receipt:
        async with self._before_data():
            client = await self._announced(line, mail, out, said)
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
        answer = line.hidden(reply.message)
        said.received(f"{reply.code} {answer}\n")
        if reply.code in _OK:
            return Receipt(state=State.SENT, external_id=own.message_id(out.copy_of or out.key))
        if reply.code == _CLOSING:
            line.drop()
        raise self._meaning(reply.code, answer, Stage.CONTENT, out)

    async def _announced(self, line: Line, mail: Mail, out: Outgoing, said: Exchange) -> SMTP:
        """Say who writes to whom, until the server waits for the mail itself; once more where an old line was dead."""
        client, was_used, line.was_used = await line.connected(), line.was_used, True
        try:
            return await self._announce(line, client, mail, out, said)
        except _Cut:
            line.drop()
            if not was_used:
                raise NotSent(f"{self._place} closed the connection before the mail") from None
        said.sent("(the connection had been closed; a new one)\n")
        try:
            return await self._announce(line, await line.connected(), mail, out, said)
        except _Cut:
            raise NotSent(f"{self._place} closed the connection before the mail") from None

    async def _announce(self, line: Line, client: SMTP, mail: Mail, out: Outgoing, said: Exchange) -> SMTP:
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
        code, words = await self._say(line, client, said, "MAIL", *sender)
        if code == _CLOSING:
            raise _Cut
        if code not in _OK:
            raise await self._refused(line, client, code, words, Stage.SENDER, out)
        code, words = await self._say(line, client, said, "RCPT", *recipient)
        if code not in _OK:
            raise await self._refused(line, client, code, words, Stage.RECIPIENT, out)
        code, words = await self._say(line, client, said, "DATA")
        if code != _GO_ON:
            raise await self._refused(line, client, code, words, Stage.CONTENT, out)
        return client

    async def _say(self, line: Line, client: SMTP, said: Exchange, *words: str) -> tuple[int, str]:
        said.sent(f"{' '.join(words)}\n")
        try:
            # One time for all that is said before the mail: `_before_data` holds it.
            reply = await client.execute_command(*(word.encode() for word in words), timeout=None)
        except SMTPResponseException as error:  # what came is no answer
            raise _Cut from error
        except (SMTPException, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise _Cut from error
        answer = line.hidden(reply.message)
        said.received(f"{reply.code} {answer}\n")
        return reply.code, answer

    async def _refused(self, line: Line, client: SMTP, code: int, words: str, stage: Stage, out: Outgoing) -> SendError:
        """Take the begun mail back, so that the line is good for the next one; give what the no means."""
        try:
            if client.is_connected:
                await client.rset()
        except (SMTPException, OSError):
            line.drop()
        if code not in _NO:
            return NotSent(f"{self._place} answered {stage} with {code}, which means nothing there", code=str(code))
        return self._meaning(code, words, stage, out)

    def _meaning(self, code: int, words: str, stage: Stage, out: Outgoing) -> SendError:
        if code not in _NO:
            return Uncertain(f"{self._place} answered the mail with {code}, which means nothing", code=str(code))
        return meaning(code, words, stage, attempt=out.attempt, fix=self._server.fix)

    # --- the lines ---

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[Line]:
        """Wait for a line that is connected; drop it where something happened on it that we did not understand."""
        line = await self._taken()
        try:
            yield line
        except (AccountBroken, Refused, TryLater, Unreachable):
            raise
        except BaseException:
            line.drop()
            raise
        finally:
            self._give_back(line)

    async def _taken(self) -> Line:
        """Take a line, and connect it."""
        until = asyncio.get_running_loop().time() + self._patience
        while True:
            line = await self._unused(until)
            line.rested()
            if line.is_connected:
                return line
            try:
                async with self._before_data():
                    await line.connected()
            except (NotSent, TryLater):
                # A server that has a line of ours and lets no other in: what goes out goes out over that one.
                if any(other.is_connected for other in self._lines if other is not line):
                    self._too_many.add(line)
                    asyncio.get_running_loop().call_later(_FEWER, self._give_back, line)
                    continue
                self._give_back(line)
                raise
            except BaseException:
                line.drop()
                self._give_back(line)
                raise
            return line

    async def _unused(self, until: float) -> Line:
        """Wait for a line. Errors: `TryLater`."""
        if not self._free.empty():
            return self._free.get_nowait()
        try:
            async with asyncio.timeout_at(until):
                return await self._free.get()
        except TimeoutError:
            raise TryLater("other mails of this account are still on their way", after=_BUSY, code="busy") from None

    def _give_back(self, line: Line) -> None:
        self._too_many.discard(line)
        if self._is_closing:
            line.drop()
        else:
            line.rest()
        self._free.put_nowait(line)

    @contextlib.asynccontextmanager
    async def _before_data(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience):
                yield
        except TimeoutError:  # aiosmtplib's own are such, too
            raise NotSent(f"{self._place} did not answer in time") from None

    @property
    def _place(self) -> str:
        return self._server.place


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
