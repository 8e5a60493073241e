"""A small IMAP4rev1 server over the mailbox in memory, for one person, on this machine.

It knows what a program needs that reads a mailbox, and refuses the rest. Sequence numbers are each connection's own, as
RFC 3501 has it: a mail that another connection removes stays numbered until this one has been told.

Sources: RFC 3501, RFC 2177 (IDLE), RFC 4315 (UIDPLUS), RFC 6851 (MOVE), from memory, checked with `imaplib`.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import compat32
from typing import Any

from .boxes import Boxes, Folder, Kept

HOST = "127.0.0.1"
LINE = 64 * 1024  # bytes of a command
LITERAL = 8 * 1024  # bytes of a name or password that comes as a literal
CONNECTIONS = 20
STOP = 5.0  # seconds in which all who were hung up on must be gone
QUIET = 30 * 60.0  # seconds until a connection that says nothing is closed (RFC 3501: 30 minutes at least)
BEFORE = "IMAP4rev1 LITERAL+ SASL-IR"
AFTER = "IMAP4rev1 LITERAL+ IDLE UIDPLUS MOVE UNSELECT NAMESPACE"

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class Imap:
    """The server."""

    def __init__(
        self, boxes: Boxes, *, user: str, password: str, faults: set[str], fetched: Callable[[int], None]
    ) -> None:
        self.boxes = boxes
        self.user = user
        self.password = password
        self.faults = faults
        self.offers = AFTER  # to who has signed in
        self.fetched = fetched  # told the UID of each mail of INBOX whose body was given away
        self.commands: deque[str] = deque(maxlen=2000)  # what was asked, without names and passwords
        self.port = 0
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=LINE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up, and listen no more."""
        if self._server is not None:
            self._server.close()
        self.kick()
        async with asyncio.timeout(STOP):
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def kick(self) -> None:
        """Drop every connection, without a word."""
        for one in self.connections:
            one.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = _Connection(self, reader, writer)
        if "away" in self.faults or len(self.connections) >= CONNECTIONS:
            writer.write(b"* BYE not now\r\n")
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None  # asyncio's server makes one for each line
        self._tasks.add(task)
        self.connections.add(one)
        self.boxes.watchers.add(one.changed)
        try:
            async with asyncio.timeout(None) as limit:
                await one.run(limit)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            pass  # it hung up, was kicked, fell asleep, or sent a line without end
        finally:
            self.boxes.watchers.discard(one.changed)
            self.connections.discard(one)
            self._tasks.discard(task)
            writer.close()


class _No(Exception):
    """The answer is NO."""


class _Bad(Exception):
    """The answer is BAD."""


class _Connection:
    def __init__(self, imap: Imap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.imap = imap
        self.reader = reader
        self.writer = writer
        self._is_known = False
        self._name = ""  # of the selected folder
        self._is_read_only = False
        self._uids: list[int] = []  # by sequence number, as this client knows them
        self._idles = False

    # --- the talk ------------------------------------------------------------------------------------------

    async def run(self, limit: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        self._say(f"* OK [CAPABILITY {BEFORE}] the simulated mailbox is here")
        while True:
            limit.reschedule(loop.time() + QUIET)
            await self.writer.drain()
            line = await self._command()
            if not line:
                return
            tag, _, rest = line.partition(" ")
            name, _, given = rest.partition(" ")
            name = name.upper()
            if name == "UID":
                name, _, given = given.partition(" ")
                name = f"UID {name.upper()}"
            self.imap.commands.append(name if name in ("LOGIN", "AUTHENTICATE") else f"{name} {given}".strip())
            try:
                said = await self._do(name, given)
            except _No as no:
                said = f"NO {no}"
            except _Bad as bad:
                said = f"BAD {bad}"
            if name == "LOGOUT":
                self._say("* BYE until the next time")
            elif self._name and not name.endswith(("FETCH", "STORE", "SEARCH")):
                self._sync()  # RFC 3501, 7.4.1: no EXPUNGE while FETCH, STORE or SEARCH are answered
            self._say(f"{tag} {said}")
            if name == "LOGOUT":
                return

    async def _command(self) -> str:
        """Read a command with its literals; empty: the line ended."""
        whole = ""
        while True:
            line = (await self.reader.readline()).decode("utf-8", "replace")
            if not line:
                return ""
            whole += line.rstrip("\r\n")
            found = re.search(r"\{(\d{1,6})(\+?)\}$", whole)
            if not found:
                return whole or "* "
            size = int(found[1])
            if size > LITERAL or len(whole) > LINE:
                raise ValueError("too long")
            if not found[2]:
                self._say("+ go on")
                await self.writer.drain()
            said = (await self.reader.readexactly(size)).decode("utf-8", "replace")
            whole = whole[: found.start()] + _quoted(said)

    def _say(self, text: str) -> None:
        self.writer.write(text.encode() + b"\r\n")

    async def _do(self, name: str, given: str) -> str:
        match name:
            case "CAPABILITY":
                self._say(f"* CAPABILITY {self.imap.offers if self._is_known else BEFORE}")
            case "NOOP" | "CHECK" | "LOGOUT":
                pass
            case "ID":
                self._say("* ID NIL")
            case "LOGIN":
                return self._login(*_strings(given, 2))
            case _ if not self._is_known:
                raise _Bad("sign in first, with LOGIN")
            case "NAMESPACE":
                self._say('* NAMESPACE (("" "/")) NIL NIL')
            case "LIST" | "LSUB":
                self._list(name, _strings(given, 2)[1])
            case "STATUS":
                self._status(given)
            case "CREATE":
                self.imap.boxes.folder(_strings(given, 1)[0])
            case "SELECT" | "EXAMINE":
                return self._select(name, _strings(given, 1)[0])
            case _ if not self._name:
                raise _Bad("select a folder first, or: unknown command")
            case "IDLE":
                return await self._idle()
            case "CLOSE":
                self._expunge(None, is_told=False)
                self._name = ""
            case "UNSELECT":
                self._name = ""
            case "EXPUNGE":
                self._expunge(None)
            case "UID EXPUNGE":
                self._expunge(self._named(given, by_uid=True))
            case "SEARCH" | "UID SEARCH":
                self._search(given, by_uid=name.startswith("UID"))
            case "FETCH" | "UID FETCH":
                which, _, items = given.partition(" ")
                self._fetch(self._named(which, by_uid=name.startswith("UID")), items, by_uid=name.startswith("UID"))
            case "STORE" | "UID STORE":
                self._store(given, by_uid=name.startswith("UID"))
            case "COPY" | "UID COPY" | "MOVE" | "UID MOVE":
                return self._copy(given, by_uid=name.startswith("UID"), moves=name.endswith("MOVE"))
            case _:
                raise _Bad("unknown command")
        return f"OK {name} done"

    def _login(self, user: str, password: str) -> str:
        known = hmac.compare_digest(password.encode(), self.imap.password.encode()) and user == self.imap.user
        if not known or "no_login" in self.imap.faults:
            raise _No("[AUTHENTICATIONFAILED] wrong name or password")
        self._is_known = True
        return f"OK [CAPABILITY {self.imap.offers}] welcome"

    # --- folders -------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> Folder:
        return self.imap.boxes.folder(self._name)

    def _list(self, name: str, pattern: str) -> None:
        wanted = re.compile(re.escape(pattern).replace(r"\*", ".*").replace("%", "[^/]*"))
        for one in self.imap.boxes.folders:
            if pattern and wanted.fullmatch(one):
                self._say(f'* {name} (\\HasNoChildren) "/" {_quoted(one)}')
        if not pattern:
            self._say(f'* {name} (\\Noselect) "/" ""')

    def _status(self, given: str) -> None:
        name, asked = _strings(given, 2)
        if name.upper() != "INBOX" and name not in self.imap.boxes.folders:
            raise _No("[NONEXISTENT] no such folder")
        folder = self.imap.boxes.folder(name)
        known = {
            "MESSAGES": len(folder.mails),
            "RECENT": 0,
            "UIDNEXT": folder.next_uid,
            "UIDVALIDITY": folder.validity,
            "UNSEEN": sum("\\Seen" not in one.flags for one in folder.mails.values()),
        }
        told = " ".join(f"{word} {known[word]}" for word in asked.upper().split() if word in known)
        self._say(f"* STATUS {_quoted(name)} ({told})")

    def _select(self, verb: str, name: str) -> str:
        if name.upper() != "INBOX" and name not in self.imap.boxes.folders:
            self._name = ""
            raise _No("[NONEXISTENT] no such folder")
        self._name = "INBOX" if name.upper() == "INBOX" else name
        self._is_read_only = verb == "EXAMINE"
        self._uids = list(self._folder.mails)
        self._say("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)")
        self._say("* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)] flags")
        self._say(f"* {len(self._uids)} EXISTS")
        self._say("* 0 RECENT")
        self._say(f"* OK [UIDVALIDITY {self._folder.validity}] these UIDs")
        self._say(f"* OK [UIDNEXT {self._folder.next_uid}] the next one")
        return f"OK [{'READ-ONLY' if self._is_read_only else 'READ-WRITE'}] {verb} done"

    # --- what changed --------------------------------------------------------------------------------------

    def changed(self) -> None:
        """Push to whoever idles."""
        if self._idles:
            self._sync()

    def _sync(self) -> None:
        there = self._folder.mails
        for uid in [uid for uid in self._uids if uid not in there]:
            self._say(f"* {self._uids.index(uid) + 1} EXPUNGE")
            self._uids.remove(uid)
        news = [uid for uid in there if not self._uids or uid > self._uids[-1]]
        if news:
            self._uids += news
            self._say(f"* {len(self._uids)} EXISTS")

    async def _idle(self) -> str:
        self._sync()
        self._say("+ idling")
        self._idles = True
        try:
            await self.writer.drain()
            line = await self.reader.readline()
        finally:
            self._idles = False
        if line.strip().upper() != b"DONE":
            raise _Bad("IDLE ends with DONE")
        return "OK IDLE done"

    # --- mails ---------------------------------------------------------------------------------------------

    def _named(self, which: str, *, by_uid: bool) -> list[Kept]:
        """Find the mails of a set; numbers of none are passed over."""
        there = self._folder.mails
        highest = (self._uids[-1] if self._uids else 0) if by_uid else len(self._uids)
        wanted: set[int] = set()
        for piece in which.split(","):
            first, _, last = piece.partition(":")
            try:
                ends = sorted(highest if one == "*" else int(one) for one in (first, last or first))
            except ValueError:
                raise _Bad("that is no set of numbers") from None
            if by_uid:
                wanted.update(uid for uid in self._uids if ends[0] <= uid <= ends[1])
            else:
                wanted.update(self._uids[max(ends[0], 1) - 1 : ends[1]])
        return [there[uid] for uid in self._uids if uid in wanted and uid in there]

    def _number(self, one: Kept) -> int:
        return self._uids.index(one.uid) + 1

    def _search(self, given: str, *, by_uid: bool) -> None:
        words = [word for word in _tokens(given) if isinstance(word, str)]
        if words[:1] and words[0].upper() == "CHARSET":
            words = words[2:]
        found = [self._folder.mails[uid] for uid in self._uids if uid in self._folder.mails]
        it = iter(words)
        for word in it:
            found = self._narrowed(found, word.upper(), it)
        numbers = [str(one.uid if by_uid else self._number(one)) for one in found]
        self._say(" ".join(["* SEARCH", *numbers]))

    def _narrowed(self, found: list[Kept], word: str, rest: Iterator[str]) -> list[Kept]:
        flags = {"SEEN": "\\Seen", "DELETED": "\\Deleted", "ANSWERED": "\\Answered", "FLAGGED": "\\Flagged"}
        try:
            if word == "ALL":
                return found
            if word == "NOT":
                out = self._narrowed(found, next(rest).upper(), rest)
                return [one for one in found if one not in out]
            if word == "UID":
                named = self._named(next(rest), by_uid=True)
                return [one for one in found if one in named]
            if word in flags:
                return [one for one in found if flags[word] in one.flags]
            if word.removeprefix("UN") in flags:
                return [one for one in found if flags[word.removeprefix("UN")] not in one.flags]
            if word in ("SINCE", "BEFORE", "ON", "SENTSINCE"):
                day = datetime.strptime(next(rest), "%d-%b-%Y").replace(tzinfo=UTC)
                until = {"BEFORE": (datetime.min.replace(tzinfo=UTC), day), "ON": (day, day + timedelta(days=1))}
                first, last = until.get(word, (day, datetime.max.replace(tzinfo=UTC)))
                return [one for one in found if first <= one.at < last]
            if word == "HEADER":
                name, value = next(rest), next(rest).lower()
                return [one for one in found if value in str(_parsed(one)[name] or "").lower() and name in _parsed(one)]
            if re.fullmatch(r"[\d,:*]+", word):
                named = self._named(word, by_uid=False)
                return [one for one in found if one in named]
        except (StopIteration, ValueError):
            pass
        raise _Bad("this search is not known here")

    def _fetch(self, mails: Sequence[Kept], items: str, *, by_uid: bool) -> None:
        asked = _tokens(items)
        wanted = [one for each in asked for one in (each if isinstance(each, list) else [each])]
        names = [str(one) for one in wanted if isinstance(one, str)]
        if by_uid and "UID" not in (name.upper() for name in names):
            names.insert(0, "UID")
        for one in mails:
            told = [self._item(one, name) for name in names]
            self.writer.write(f"* {self._number(one)} FETCH (".encode() + b" ".join(told) + b")\r\n")

    def _item(self, one: Kept, name: str) -> bytes:
        upper = name.upper()
        if upper == "UID":
            return f"UID {one.uid}".encode()
        if upper == "FLAGS":
            return f"FLAGS ({' '.join(sorted(one.flags))})".encode()
        if upper == "RFC822.SIZE":
            return f"RFC822.SIZE {len(one.raw)}".encode()
        if upper == "INTERNALDATE":
            at = one.at
            return f'INTERNALDATE "{at.day:2d}-{_MONTHS[at.month - 1]}-{at:%Y %H:%M:%S} +0000"'.encode()
        found = re.fullmatch(r"(BODY(?:\.PEEK)?|RFC822(?:\.HEADER|\.TEXT)?)(\[.*\])?(?:<(\d+)\.(\d+)>)?", upper)
        if not found or (found[1].startswith("BODY")) != bool(found[2]):
            raise _Bad("this item is not known here")
        section = (found[2] or {"RFC822.HEADER": "[HEADER]", "RFC822.TEXT": "[TEXT]"}.get(found[1], "[]"))[1:-1]
        content = _section(one.raw, section)
        if section in ("", "TEXT"):
            if found[1] in ("BODY", "RFC822", "RFC822.TEXT") and not self._is_read_only:
                one.flags.add("\\Seen")
            if self._name == "INBOX":
                self.imap.fetched(one.uid)
        label = f"BODY[{section}]" if found[2] else found[1]
        if found[3]:
            start, size = int(found[3]), int(found[4])
            label += f"<{start}>"
            content = content[start : start + size]
        return f"{label} {{{len(content)}}}\r\n".encode() + content

    def _store(self, given: str, *, by_uid: bool) -> None:
        which, how, flags = [*given.split(" ", 2), "", ""][:3]
        found = re.fullmatch(r"([+-]?)FLAGS(\.SILENT)?", how.upper())
        if not found or self._is_read_only:
            raise _Bad("FLAGS, +FLAGS or -FLAGS, in a folder that was selected")
        named = {_flag(one) for one in flags.strip("()").split()}
        for one in self._named(which, by_uid=by_uid):
            one.flags = {"+": one.flags | named, "-": one.flags - named}.get(found[1], named)
            if not found[2]:
                told = f"UID {one.uid} " if by_uid else ""
                self._say(f"* {self._number(one)} FETCH ({told}FLAGS ({' '.join(sorted(one.flags))}))")

    def _copy(self, given: str, *, by_uid: bool, moves: bool) -> str:
        which, _, name = given.partition(" ")
        name = _strings(name, 1)[0]
        if name.upper() != "INBOX" and name not in self.imap.boxes.folders:
            raise _No("[TRYCREATE] no such folder")
        mails = self._named(which, by_uid=by_uid)
        there = self.imap.boxes.folder(name)
        new = [self.imap.boxes.put(one.raw, name, at=one.at, flags=one.flags) for one in mails]
        told = f"[COPYUID {there.validity} {','.join(str(one.uid) for one in mails)} {','.join(map(str, new))}] "
        if not mails:
            told = ""
        if moves:
            if told:
                self._say(f"* OK {told}moved")
            for one in mails:
                self.imap.boxes.remove(self._name, one.uid)
            return "OK moved"
        return f"OK {told}copied"

    def _expunge(self, among: Sequence[Kept] | None, *, is_told: bool = True) -> None:
        if self._is_read_only:
            return
        for one in list(self._folder.mails.values()):
            if "\\Deleted" in one.flags and (among is None or one in among):
                self.imap.boxes.remove(self._name, one.uid)
        if is_told:
            self._sync()


# --- words -------------------------------------------------------------------------------------------------


def _flag(text: str) -> str:
    return "\\" + text[1:].capitalize() if text.startswith("\\") else text


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tokens(text: str) -> list[Any]:
    """Split into words and lists of words; quoted ones lose their quotes, `BODY[…]<…>` stays one word."""
    stack: list[list[Any]] = [[]]
    n = 0
    while n < len(text):
        char = text[n]
        if char.isspace():
            n += 1
        elif char == "(" and len(stack) < 10:
            stack.append([])
            n += 1
        elif char == ")" and len(stack) > 1:
            inner = stack.pop()
            stack[-1].append(inner)
            n += 1
        elif char == '"':
            found = re.compile(r'"((?:[^"\\]|\\.)*)"').match(text, n)
            if not found:
                raise _Bad("a quote without its end")
            stack[-1].append(re.sub(r"\\(.)", r"\1", found[1]))
            n = found.end()
        else:
            found = re.compile(r'[^\s()"\[]+(?:\[[^\]]*\](?:<[\d.]+>)?)?').match(text, n)
            if not found:
                raise _Bad("that is not understood")
            stack[-1].append(found[0])
            n = found.end()
    if len(stack) > 1:
        raise _Bad("a list without its end")
    return stack[0]


def _strings(text: str, count: int) -> list[str]:
    words = [" ".join(map(str, one)) if isinstance(one, list) else one for one in _tokens(text)]
    if len(words) < count:
        raise _Bad(f"{count} words are needed")
    return words


def _parsed(one: Kept) -> Any:
    return message_from_bytes(one.raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", policy=compat32)


def _section(raw: bytes, section: str) -> bytes:
    head, blank, body = raw.partition(b"\r\n\r\n")
    if section == "":
        return raw
    if section == "TEXT":
        return body
    if section == "HEADER":
        return head + blank
    found = re.fullmatch(r"HEADER\.FIELDS(\.NOT)? \(([^)]*)\)", section)
    if not found:
        raise _Bad("this section is not known here")
    names = set(found[2].upper().encode().split())
    fields = re.findall(rb"(?:^|\r\n)([^\s:]+:(?:[^\r\n]|\r\n[ \t])*)", head)
    kept = [one for one in fields if (one.partition(b":")[0].upper() in names) != bool(found[1])]
    return b"".join(one + b"\r\n" for one in kept) + b"\r\n"
