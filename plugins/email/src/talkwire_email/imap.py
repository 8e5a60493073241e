"""A mailbox by IMAP, over aioimaplib's protocol: the one module that imports it, for it is GPL-3.0-only (README, "Licence").

aioimaplib 2.0.3 hangs for ever, or loses the connection unseen, in the ways that each guard below names. What makes it
safe: every wait ends when the connection does, when nothing came for `patience`, or when an outer limit is over; after
anything odd the connection is cut and never used again; a chunk of the network is handed on in pieces of few lines; mail
is taken from literals only. Its logger is silent: it would write passwords and whole mails.

Sources: RFC 3501 (IMAP4rev1), 2177 (IDLE), 4315 (UIDPLUS), 4959 (SASL-IR), 5530 (codes), 6851 (MOVE); Google's
"XOAUTH2 Mechanism", read 2026-11-22.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import socket
import ssl
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from aioimaplib import aioimaplib as library

from .mailbox import Denied, Folder, Lost, NotLetIn, Summary, Untrusted
from .settings import Imap

T = TypeVar("T")
logging.getLogger(library.__name__).addFilter(lambda _record: False)

AT_ONCE = 200  # UIDs in one command
_LINES = 200  # of a chunk that are handed on at once: aioimaplib calls itself for each line (RecursionError at 970)
_LONGEST = 900.0  # seconds for one command, however steadily its answer drips
_QUICK = 8.0  # seconds for an answer that costs the server nothing: without it the connection is taken for gone
_IDLE = timedelta(minutes=5)  # after which IDLE is begun anew; servers may end one of 29 minutes (RFC 2177)
_HEADERS = 256 * 1024  # bytes of the headers of a mail that is not fetched whole
_SLACK = 1024**2  # bytes of an answer beyond what it should have; some servers guess at RFC822.SIZE
_NOT_NOW = {"UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "OVERQUOTA"}  # codes (RFC 5530, RFC 9208) …
_NEVER = {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "CONTACTADMIN", "NOPERM"}
_BUSY = re.compile(rb"too many|temporar|later|unavailable|throttl|exceed|busy", re.IGNORECASE)  # … and words
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EXISTS = re.compile(rb"\* (\d+) EXISTS\s*", re.IGNORECASE)
_CODE = re.compile(rb"\[([A-Z][A-Z0-9-]*)")
_BEGIN = re.compile(rb"\d+ FETCH \(", re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d+)", re.IGNORECASE)
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)", re.IGNORECASE)
_CAME = re.compile(
    rb'\bINTERNALDATE "([ \d]\d)-(\w{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)"', re.IGNORECASE
)
_NOTHING = re.compile(rb'\bBODY\[(?:HEADER)?\](?:<0>)? ""', re.IGNORECASE)  # an empty mail, as some servers say it


class Clock(Protocol):
    """The part of the account's clock that is needed here."""

    def now(self) -> datetime: ...
    async def wait(self, event: asyncio.Event, until: datetime | None) -> None: ...


async def connect(
    server: Imap, user: str, *, password: str = "", token: str = "", clock: Clock, patience: timedelta
) -> ImapMailbox:
    """Connect and sign in; with a token by XOAUTH2.

    `patience` is how long the server may say nothing when it should. Errors: `Lost`, `NotLetIn`, `Untrusted`.
    """
    box = ImapMailbox(clock, patience.total_seconds())
    try:
        await box.connect(server)
        await box.sign_in(user, password=password, token=token)
    except BaseException:
        box.drop()
        raise
    return box


class _Wire(library.IMAP4ClientProtocol):  # type: ignore[misc]  # it has no types
    """aioimaplib's protocol, with an end to each wait."""

    state: str  # of `library`: CONNECTED, NONAUTH, …

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.fault = ""  # why this connection is no good; empty: it is good
        self.greeted = asyncio.Event()
        self.stirred = asyncio.Event()  # anything happened that somebody may wait for
        self.news = 0
        self.allowance = 0  # bytes that the answer of this command may still have
        self.sasl: list[bytes] = []  # what is said when the server asks to go on with AUTHENTICATE
        self._limit: asyncio.Timeout | None = None  # of the wait that is under way
        self._latest = 0.0
        self._patience = 0.0

    async def within(self, work: Awaitable[T], patience: float, allowance: int) -> T:
        """Wait for something, as long as no `patience` (seconds) passes without a byte.

        Errors: `TimeoutError`, also where the connection is lost; `fault` says it.
        """
        self.allowance, self._patience = allowance, patience
        self._latest = self.loop.time() + _LONGEST
        try:
            async with asyncio.timeout(patience) as self._limit:
                return await work
        finally:
            self._limit = None

    def lose(self, why: str) -> None:
        """Take the connection for gone."""
        self.fault = self.fault or why
        if self.transport is not None:
            self.transport.abort()
        self.stirred.set()
        self._until(0.0)

    def _until(self, moment: float) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(min(moment, self._latest))

    # --- asyncio's side --------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.fault:
            return
        self._until(self.loop.time() + self._patience)
        self.allowance -= len(data)
        try:
            for piece in _pieces(data):
                super().data_received(piece)
        except Exception as error:  # noqa: BLE001  its text may quote a mail, and asyncio would log it
            self.lose(f"said what could not be read ({type(error).__name__})")
        if self.allowance < 0 and self._limit is not None:
            self.lose("sent far more than it had announced")

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)  # which tells nobody who waits
        self.lose("closed the connection")

    # --- aioimaplib's side -----------------------------------------------------------------------

    def _handle_line(self, line: bytes, current_cmd: Any) -> Any:
        if self.state == library.CONNECTED and line:
            # aioimaplib would ask for capabilities in a task that nobody waits for, and hang where the greeting is BYE.
            if not line.upper().startswith(b"* OK"):
                self.lose(f"turned us away: {_text(line)}")
            self.state = library.NONAUTH
            self.greeted.set()
            return None
        return super()._handle_line(line, current_cmd)

    def _untagged_response(self, line: bytes) -> Any:
        if _EXISTS.fullmatch(line):
            self.news += 1
            self.stirred.set()
        elif line[:5].upper() == b"* BYE":
            self.lose(f"ended the connection: {_text(line)}")
        return super()._untagged_response(line)

    def _continuation(self, line: bytes) -> None:
        pending = self.pending_sync_command
        if pending is not None and pending.name == "AUTHENTICATE":
            # aioimaplib leaves the challenge of a refused token without the empty line that the NO waits for.
            self.transport.write((self.sasl.pop(0) if self.sasl else b"") + b"\r\n")
            return
        super()._continuation(line)
        self.stirred.set()

    def _response_done(self, line: bytes) -> None:
        super()._response_done(line)
        self.stirred.set()

    @property
    def is_idling(self) -> bool:
        """Say whether the server has agreed to tell of new mail."""
        return bool(self._idle_event.is_set())

    def begin_idle(self) -> Any:
        """Ask the server to tell of new mail."""
        self._idle_event.clear()
        command = library.IdleCommand(self.new_tag(), self.idle_queue)
        self.pending_sync_command = command
        self.send(str(command))
        return command

    def forget_pushes(self) -> None:
        """Let go what aioimaplib collected of a server that told something."""
        while not self.idle_queue.empty():
            self.idle_queue.get_nowait()


class _Fetch(library.FetchCommand):  # type: ignore[misc]  # it has no types
    """A FETCH whose end is known line by line; aioimaplib looks at all lines again with each one that comes."""

    _looked_at = _open = 0  # lines; brackets of the newest answer that are not closed yet

    def wait_data(self) -> bool:
        for line in self._resp_lines[self._looked_at :]:
            if not isinstance(line, bytearray):
                self._open = 0 if _BEGIN.match(line) else self._open
                self._open += line.count(b"(") - line.count(b")")
        self._looked_at = len(self._resp_lines)
        return self._open != 0


class ImapMailbox:
    """A `Mailbox` of an IMAP server."""

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._wire = _Wire()
        self._patience = patience  # seconds without a byte, while an answer is due …
        self._quick = min(patience, _QUICK)  # … and that to what costs the server nothing
        self._capabilities: frozenset[str] = frozenset()
        self._idles = False
        self.folder = ""

    # --- in --------------------------------------------------------------------------------------

    async def connect(self, server: Imap) -> None:
        """Connect, and hear the greeting. Errors: `Lost`, `Untrusted`."""
        try:
            context = await asyncio.to_thread(_believing, server.ca_file) if server.tls == "tls" else None
        except (OSError, ssl.SSLError) as error:
            raise Untrusted(f"ca_file cannot be read ({_why(error)}): name a file of certificates, PEM") from None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):
                await loop.create_connection(lambda: self._wire, server.host, server.port, ssl=context)
        except TimeoutError:
            raise Lost(f"did not take a connection within {self._patience:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise Untrusted(f"its certificate is not to be believed: {error.verify_message}") from None
        except ssl.SSLError as error:
            why = error.reason or type(error).__name__
            raise Lost(f"does not speak TLS from the first byte ({why}), which is usual on port 993") from None
        except OSError as error:
            raise Lost(f"cannot be reached ({_why(error)})") from None
        await self._wait(self._wire.greeted.wait())
        await self._ask_capabilities()

    async def sign_in(self, user: str, *, password: str, token: str) -> None:
        """Say who we are. Errors: `NotLetIn`, `Lost`."""
        if token:
            said = f"user={user}\x01auth=Bearer {token}\x01\x01"
            answer = await self._authenticate("XOAUTH2", said)
        elif (user + password).isascii() and "LOGINDISABLED" not in self._capabilities:
            _is_one_line(user + password)
            answer = await self._command("LOGIN", _quoted(user), _quoted(password))
        else:  # LOGIN knows only ASCII
            answer = await self._authenticate("PLAIN", f"\0{user}\0{password}")
        if answer.result != "OK":
            raise _not_let_in(answer)
        self._wire.state = library.AUTH
        await (
            self._ask_capabilities()
        )  # there are more of them now: Dovecot says 12 before and 38 after, MOVE among them
        self._idles = "IDLE" in self._capabilities

    async def _authenticate(self, mechanism: str, said: str) -> Any:
        if f"AUTH={mechanism}" not in self._capabilities:
            raise NotLetIn(f"the server does not offer {mechanism}", for_good=True)
        word = base64.b64encode(said.encode()).decode()
        if "SASL-IR" in self._capabilities:
            return await self._command("AUTHENTICATE", mechanism, word)
        self._wire.sasl = [word.encode()]
        return await self._command("AUTHENTICATE", mechanism)

    async def _ask_capabilities(self) -> None:
        await self._wait(self._wire.capability())
        self._capabilities = frozenset(one.upper() for one in self._wire.capabilities)

    @property
    def pushes(self) -> bool:
        """Say whether the server tells of new mail by itself."""
        return self._idles

    @property
    def moves(self) -> bool:
        """Say whether the server moves a mail in one step."""
        return "MOVE" in self._capabilities

    @property
    def news(self) -> int:
        """Count how often the server spoke of new mail."""
        return int(self._wire.news)

    # --- what is there ---------------------------------------------------------------------------

    async def select(self, folder: str, *, writes: bool) -> Folder:
        """Take a folder up."""
        self._wire.state = library.AUTH
        answer = await self._command("SELECT" if writes else "EXAMINE", mailbox_name(folder))
        if answer.result != "OK":
            raise _denied(answer)
        self._wire.state = library.SELECTED  # aioimaplib does not know that EXAMINE selects
        lines = b"\n".join(answer.lines)
        validity = re.search(rb"\[UIDVALIDITY (\d+)\]", lines, re.IGNORECASE)
        next_uid = re.search(rb"\[UIDNEXT (\d+)\]", lines, re.IGNORECASE)
        count = re.search(rb"^(\d+) EXISTS", lines, re.IGNORECASE | re.MULTILINE)
        if not validity or not count:
            self._cut("gave no UIDVALIDITY")
        # A server older than RFC 3501 may not tell the next UID.
        following = int(next_uid[1]) if next_uid else max(await self.after(0, None), default=0) + 1
        return Folder(validity=int(validity[1]), next_uid=following, count=int(count[1]))

    async def after(self, uid: int, since: date | None) -> Sequence[int]:
        """Give the UIDs above one."""
        wanted = ["UID", f"{uid + 1}:*"]  # means the last mail's UID too, also where that is smaller
        if since is not None:
            wanted += ["SINCE", f"{since.day}-{_MONTHS[since.month - 1]}-{since.year}"]
        answer = await self._asked("SEARCH", *wanted, prefix="UID")
        found = {int(word) for line in answer.lines[:-1] for word in bytes(line).split() if word.isdigit()}
        return sorted(one for one in found if one > uid)

    async def summaries(self, uids: Sequence[int]) -> Sequence[Summary]:
        """Say how large mails are and when they came."""
        answer = await self._asked("FETCH", _set(uids), "(UID RFC822.SIZE INTERNALDATE)", prefix="UID")
        asked, found = set(uids), {}
        for line in answer.lines[:-1]:
            uid, size = _UID.search(line), _SIZE.search(line)
            if uid and size and int(uid[1]) in asked:
                came = _came(line) or self._clock.now()
                found[int(uid[1])] = Summary(uid=int(uid[1]), size=int(size[1]), came=came)
        return [found[uid] for uid in sorted(found)]

    async def fetch(self, mails: Sequence[Summary], *, only_headers: bool) -> Mapping[int, bytes]:
        """Give mails by UID."""
        what = f"BODY.PEEK[HEADER]<0.{_HEADERS}>" if only_headers else "BODY.PEEK[]"
        size = sum(_HEADERS if only_headers else mail.size for mail in mails)
        answer = await self._asked(
            "FETCH", _set([mail.uid for mail in mails]), f"(UID {what})", prefix="UID", allowance=2 * size + _SLACK
        )
        asked = {mail.uid for mail in mails}
        return {uid: body for uid, body in _bodies(answer.lines[:-1]) if uid in asked}

    # --- what becomes of it ----------------------------------------------------------------------

    async def mark_seen(self, uids: Sequence[int]) -> None:
        """Mark mails as read."""
        await self._flag(uids, "\\Seen")

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """Move mails into another folder.

        Without MOVE they are copied and marked, and only they are expunged (UIDPLUS); a server that has neither keeps
        them marked: a plain EXPUNGE would take what others marked.
        """
        if self.moves:
            await self._asked("MOVE", _set(uids), mailbox_name(folder), prefix="UID")
            return
        await self._asked("COPY", _set(uids), mailbox_name(folder), prefix="UID")
        await self._flag(uids, "\\Deleted")
        if "UIDPLUS" in self._capabilities:
            await self._asked("EXPUNGE", _set(uids), prefix="UID")

    async def _flag(self, uids: Sequence[int], flag: str) -> None:
        await self._asked("STORE", _set(uids), "+FLAGS.SILENT", f"({flag})", prefix="UID", untagged_resp_name="FETCH")

    # --- waiting ---------------------------------------------------------------------------------

    async def rest(self, until: datetime, news: int) -> None:
        """Wait until a moment or for news; where the server pushes, in spells of IDLE whose end it must confirm."""
        while self.news == news and (now := self._clock.now()) < until:
            if self._idles:
                await self._idle(min(until, now + _IDLE), news)
            else:
                await self._sleep(until, news)
                await self._wait(self._wire.simple_command("NOOP"), patience=self._quick)

    async def _idle(self, until: datetime, news: int) -> None:
        wire = self._wire
        self._is_good()
        command = wire.begin_idle()
        await self._wait(self._agreed(command))
        if not wire.is_idling:  # it said no: it is asked in intervals from now on
            self._idles = False
            return
        await self._sleep(until, news)
        self._is_good()
        wire.idle_done()
        await self._wait(command.wait(), patience=self._quick)
        wire.forget_pushes()

    async def _agreed(self, command: Any) -> None:
        """Wait until IDLE is begun or refused; aioimaplib's own `idle_start` waits for ever where the server says BYE."""
        wire = self._wire
        while not wire.is_idling and wire.pending_sync_command is command:
            wire.stirred.clear()
            await wire.stirred.wait()

    async def _sleep(self, until: datetime, news: int) -> None:
        wire = self._wire
        while not wire.fault and wire.news == news and self._clock.now() < until:
            wire.stirred.clear()
            await self._clock.wait(wire.stirred, until)
        self._is_good()

    # --- out -------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """Say goodbye."""
        try:
            async with asyncio.timeout(min(2.0, self._patience)):
                await self._command("LOGOUT")
        except (Lost, TimeoutError):
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Cut the connection."""
        self._wire.lose("was left")

    # --- asking ----------------------------------------------------------------------------------

    async def _asked(self, name: str, *args: str, **more: Any) -> Any:
        answer = await self._command(name, *args, **more)
        if answer.result == "NO":
            raise _denied(answer)
        if answer.result != "OK":
            self._cut(f"did not understand {name}")
        return answer

    async def _command(self, name: str, *args: str, allowance: int = 8 * _SLACK, **more: Any) -> Any:
        make = _Fetch if name == "FETCH" else _named(name)
        return await self._wait(self._wire.execute(make(self._wire.new_tag(), *args, **more)), allowance)

    async def _wait(self, work: Any, allowance: int = 8 * _SLACK, patience: float = 0.0) -> Any:
        """Wait for an answer; whatever is odd about it, the connection is cut. Errors: `Lost`."""
        patience = patience or self._patience
        try:
            if self._wire.fault:
                raise TimeoutError
            return await self._wire.within(work, patience, allowance)
        except TimeoutError:
            self._cut(self._wire.fault or f"did not answer within {patience:g} s")
        except asyncio.CancelledError:
            self.drop()
            raise
        except Exception as error:  # noqa: BLE001  aioimaplib raises whatever parsing raises; its texts may quote a password
            self._cut(f"said what could not be read ({type(error).__name__})")
        finally:
            if hasattr(work, "close"):
                work.close()

    def _is_good(self) -> None:
        if self._wire.fault:
            self._cut(self._wire.fault)

    def _cut(self, why: str) -> NoReturn:
        """Cut the connection. Errors: `Lost`, always."""
        self._wire.lose(why)
        raise Lost(self._wire.fault) from None


def _named(name: str) -> Any:
    return lambda tag, *args, **more: library.Command(name, tag, *args, **more)


def _believing(ca_file: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)


def _why(error: OSError) -> str:
    """Say why, in the system's words alone."""
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return error.strerror if error.errno and error.strerror else type(error).__name__


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut a chunk into pieces of a few lines each."""
    begin = at = count = 0
    while (found := data.find(b"\r\n", at)) >= 0:
        at, count = found + 2, count + 1
        if count == _LINES:
            yield data[begin:at]
            begin, count = at, 0
    if begin < len(data):
        yield data[begin:]


def _text(line: bytes) -> str:
    """Give what a server says to people when it ends things; a little of it, without control characters."""
    words = line.decode("ascii", "replace").split(" ", 2)
    return re.sub(r"[^\x20-\x7e]", "?", words[2] if len(words) > 2 else "")[:100] or "without a word"


def _code(answer: Any) -> str:
    found = _CODE.match(bytes(answer.lines[-1])) if answer.lines else None
    return found[1].decode().upper() if found else ""


def _denied(answer: Any) -> Denied:
    code = _code(answer)  # its words are left out: they may repeat what we said
    return Denied(f"the server said {answer.result}{f' [{code}]' if code else ''}", code=code)


def _not_let_in(answer: Any) -> NotLetIn:
    code, words = _code(answer), b" ".join(bytes(line) for line in answer.lines)
    if code in _NEVER:
        return NotLetIn(f"the server does not take user and password ({code})", for_good=True)
    if code in _NOT_NOW or _BUSY.search(words):
        return NotLetIn(f"the server lets nobody in now ({code or 'it is busy'})", for_good=False)
    return NotLetIn(f"the server said {answer.result} to user and password", for_good=None)


def _is_one_line(text: str) -> None:
    if re.search(r"[\x00\r\n]", text):
        raise NotLetIn("user or password has a line break in it", for_good=True)


def _quoted(text: str) -> str:
    """Write a quoted string (RFC 3501, 9); the caller has seen to it that it is ASCII in one line."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def mailbox_name(folder: str) -> str:
    """Write a folder's name as a quoted string in modified UTF-7 (RFC 3501, 5.1.3)."""
    written = ""
    for text in re.split(r"([^\x20-\x7e]+)", folder):
        if text.isascii() and text.isprintable():
            written += text.replace("&", "&-")
        else:
            coded = base64.b64encode(text.encode("utf-16-be", "surrogatepass")).decode()
            written += "&" + coded.rstrip("=").replace("/", ",") + "-"
    return _quoted(written)


def _set(uids: Sequence[int]) -> str:
    """Write UIDs as a set, `3:7,9`."""
    runs: list[list[int]] = []
    for uid in sorted(uids):
        if runs and uid == runs[-1][1] + 1:
            runs[-1][1] = uid
        else:
            runs.append([uid, uid])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in runs)


def _came(line: bytes) -> datetime | None:
    """Read INTERNALDATE; None where it is no date."""
    found = _CAME.search(line)
    if not found:
        return None
    day, month, year, hour, minute, second, sign, hours, minutes = (one.decode() for one in found.groups())
    try:
        away = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
        number = _MONTHS.index(month.title()) + 1
        local = datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
        return local - away
    except (ValueError, OverflowError):
        return None


def _bodies(lines: Sequence[bytes | bytearray]) -> Iterator[tuple[int, bytes]]:
    """Give (UID, mail) of each answer: its lines come as bytes, its literal as a bytearray."""
    said, body = b"", None
    for line in [*lines, b"0 FETCH ("]:
        if isinstance(line, bytearray):
            body = bytes(line)
        elif _BEGIN.match(line):
            if (uid := _UID.search(said)) and (body is not None or _NOTHING.search(said)):
                yield int(uid[1]), body or b""
            said, body = line, None
        else:
            said += b" " + line
