"""A real SMS gateway for the tests: Kannel's bearerbox and smsbox, with fakesmsc as the network and all its phones.

Everything listens on free loopback ports, lives in a temporary folder and is stopped by its process ids.

    phone ──fakesmsc──▶ bearerbox ──▶ smsbox ──GET──▶ the endpoint under test
    phone ◀─fakesmsc─── bearerbox ◀── smsbox ◀─GET─── /cgi-bin/sendsms

Sources: Kannel User's Guide, chapters 3, 6 and "Testing Kannel with fakesmsc", and `smsc_fake.c`, `fakesmsc.c`, `smsbox.c`,
read 2026-11-22; run with Debian's kannel 1.4.5.
"""

import asyncio
import contextlib
import ctypes
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

import aiohttp

from tests.parts.ports import free_ports
from tests.parts.wants import FAKESMSC

LIMIT = 20.0  # seconds to wait for anything before saying that it never came
NUDGE = 0.02  # seconds; an empty line makes fakesmsc look at its connection, which by itself it does once a second
LINE_LIMIT = 255  # bytes of a message as fakesmsc reads it
SHORT_CODE = "13013"
ESCAPES = "from=%p&to=%P&text=%b&charset=%C&coding=%c&id=%I&ts=%T&smsc=%i"
_UDH_CONCAT = re.compile(
    rb"\x05\x00\x03(.)(.)(.)", re.DOTALL
)  # reference, how many, which (3GPP TS 23.040, 9.2.3.24.1)

CONFIG = """
group = core
admin-port = {admin}
admin-password = {password}
admin-allow-ip = 127.0.0.1
smsbox-port = {smsbox}
box-allow-ip = 127.0.0.1
dlr-storage = internal

group = smsc
smsc = fake
smsc-id = fake
port = {smsc}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
global-sender = {short_code}
mo-recode = {recode}
http-request-retry = 100
http-queue-delay = 1

group = sendsms-user
username = {username}
password = {password}
max-messages = 3
concatenation = true

group = sms-service
keyword = default
catch-all = true
max-messages = {max_messages}
get-url = "{get_url}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One short message as it reached a phone."""

    sender: str
    receiver: str
    data: bytes  # UTF-8, or UTF-16BE in a message that is UCS-2
    ucs2: bool | None  # None: fakesmsc does not say, which is so for segments of a longer text
    reference: int | None = None  # equal for the segments of one text; None: it is alone
    count: int = 1
    position: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What a phone shows: the segments of one text put together."""

    sender: str
    receiver: str
    text: str
    segments: int


class Kannel:
    """A gateway that runs."""

    username = "talkwire"
    password = "not-a-secret"

    def __init__(self, folder: Path, get_url: str, *, recode: bool, max_messages: int) -> None:
        self._folder = folder
        ports = free_ports(4)
        self._admin, self._smsbox, self._smsc, self._sendsms = ports
        self.url = f"http://127.0.0.1:{self._sendsms}/cgi-bin/sendsms"
        self._config = folder / "kannel.conf"
        self._config.write_text(
            CONFIG.format(
                admin=self._admin,
                smsbox=self._smsbox,
                smsc=self._smsc,
                sendsms=self._sendsms,
                username=self.username,
                password=self.password,
                short_code=SHORT_CODE,
                recode="true" if recode else "false",
                max_messages=max_messages,
                get_url=get_url,
            )
        )
        self._processes: list[asyncio.subprocess.Process] = []
        self._phones: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._taken = 0  # messages that fakesmsc passed on
        self.segments: list[Segment] = []  # as they reached the phones

    async def start(self) -> None:
        """Start the three programs and wait until they know each other."""
        await self._run("bearerbox", "-v", "1", str(self._config))
        await self._until(self._admin_answers, "bearerbox")
        await self._run("smsbox", "-v", "1", str(self._config))
        await self._until(lambda: self._status_says("smsbox:"), "smsbox at bearerbox")
        await self._until(lambda: _listens(self._sendsms), "smsbox")
        self._phones = await asyncio.create_subprocess_exec(
            str(FAKESMSC),
            *("-H", "127.0.0.1", "-r", str(self._smsc), "-i", "0"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_die_with_parent,
        )
        self._processes.append(self._phones)
        self._reading = asyncio.create_task(self._read_phones(self._phones))
        await self._until(lambda: self._status_says("(online"), "fakesmsc at bearerbox")

    async def stop(self) -> None:
        """Stop what was started, by process id, the last one first."""
        for process in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), LIMIT)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reading:
            await self._reading

    async def say(self, sender: str, text: str, *, ucs2: bool = False) -> None:
        """Let a customer write to the short code; returns when the message is on its way."""
        kind, data = ("ucs2", quote_from_bytes(text.encode("utf-16-be"))) if ucs2 else ("text", text)
        line = f"{sender} {SHORT_CODE} {kind} {data}\n".encode()
        if len(line) > LINE_LIMIT or "\n" in text:
            raise ValueError(f"fakesmsc takes one line of {LINE_LIMIT} bytes, not {len(line)}")
        before = self._taken
        self._write(line)
        await self._wait(lambda: self._taken > before, "fakesmsc to pass the message on")

    async def texts(self, count: int) -> list[Text]:
        """Wait until this many whole texts have reached phones, and give all that did."""
        await self._wait(lambda: len(_texts(self.segments)) >= count, f"{count} texts on the phones")
        return _texts(self.segments)

    async def settled(self) -> list[Text]:
        """Give all texts that reached phones, after Kannel's queues have become empty."""
        await self._until(self._is_idle, "empty queues")
        seen = -1
        while seen != len(self.segments):  # fakesmsc's own output may lag behind its connection
            seen = len(self.segments)
            for _ in range(5):
                self._write(b"\n")
                await asyncio.sleep(NUDGE)
        return _texts(self.segments)

    def log(self) -> str:
        """Give what the programs wrote, for a person."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    async def _run(self, program: str, *words: str) -> None:
        with (self._folder / f"{program}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                shutil.which(program) or program,
                *words,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        self._processes.append(process)

    async def _read_phones(self, phones: asyncio.subprocess.Process) -> None:
        with (self._folder / "fakesmsc.log").open("ab") as log:
            async for line in phones.stderr:
                log.write(line)
                if b"fakesmsc: sent message" in line:
                    self._taken += 1
                elif found := re.search(rb"Got message \d+: <(.*)>\n", line):
                    self.segments.append(_segment(found[1]))
                self._changed.set()

    def _write(self, line: bytes) -> None:
        if self._phones is None or self._phones.returncode is not None:
            raise RuntimeError(f"fakesmsc has stopped\n{self.log()[-3000:]}")
        self._phones.stdin.write(line)

    async def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait for something that fakesmsc tells."""
        try:
            async with asyncio.timeout(LIMIT):
                while not is_so():
                    self._changed.clear()
                    self._write(b"\n")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), NUDGE)
        except TimeoutError:
            raise AssertionError(f"waited {LIMIT:.0f} s for {what}\n{self.log()[-3000:]}") from None

    async def _until(self, ask, what: str) -> None:
        """Wait for something that must be asked for."""
        try:
            async with asyncio.timeout(LIMIT):
                while not await ask():
                    if stopped := [process for process in self._processes if process.returncode is not None]:
                        raise RuntimeError(f"{len(stopped)} of Kannel's programs stopped\n{self.log()[-3000:]}")
                    await asyncio.sleep(NUDGE)
        except TimeoutError:
            raise AssertionError(f"waited {LIMIT:.0f} s for {what}\n{self.log()[-3000:]}") from None

    async def _status(self) -> str:
        url = f"http://127.0.0.1:{self._admin}/status.txt"
        async with aiohttp.ClientSession() as session, session.get(url, params={"password": self.password}) as answer:
            return await answer.text()

    async def _admin_answers(self) -> bool:
        try:
            return "running" in await self._status()
        except aiohttp.ClientError:
            return False

    async def _status_says(self, words: str) -> bool:
        return words in await self._status()

    async def _is_idle(self) -> bool:
        queues = re.findall(r"(\d+) queued", status := await self._status())
        return "(online" in status and all(number == "0" for number in queues)


@contextlib.asynccontextmanager
async def kannel(
    endpoint: str, *, token: str = "", recode: bool = True, max_messages: int = 0, **more: str
) -> AsyncIterator[Kannel]:
    """Run a gateway whose messages go to an endpoint, `http://127.0.0.1:8080/in/sms`.

    `max_messages` is how many texts Kannel makes of the endpoint's HTTP answer. `more` are further query parameters.
    """
    fixed = {**({"token": token} if token else {}), **more}
    get_url = f"{endpoint}?{ESCAPES}{''.join(f'&{name}={value}' for name, value in fixed.items())}"
    folder = Path(tempfile.mkdtemp(prefix="tw-kannel-"))
    gateway = Kannel(folder, get_url, recode=recode, max_messages=max_messages)
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _segment(line: bytes) -> Segment:
    """Read fakesmsc's form: `sender receiver text …`, `… ucs-2 %..`, `… udh %.. data %..`."""
    sender, receiver, kind, rest = line.split(b" ", 3)
    who = {"sender": sender.decode(), "receiver": receiver.decode()}
    if kind == b"text":
        return Segment(**who, data=rest, ucs2=False)
    if kind == b"ucs-2":
        return Segment(**who, data=unquote_to_bytes(rest.replace(b"+", b" ")), ucs2=True)
    header, _, data = rest.partition(b" data ")
    data = unquote_to_bytes(data.replace(b"+", b" "))
    if not (found := _UDH_CONCAT.fullmatch(unquote_to_bytes(header))):
        return Segment(**who, data=data, ucs2=None)
    reference, count, position = (field[0] for field in found.groups())
    return Segment(**who, data=data, ucs2=None, reference=reference, count=count, position=position)


def _texts(segments: list[Segment]) -> list[Text]:
    """Put whole texts together, in the order of their last segments; what lacks a segment is left out."""
    texts = []
    open_: dict[tuple[str, str, int | None], dict[int, Segment]] = {}
    for segment in segments:
        key = (segment.sender, segment.receiver, segment.reference)
        pieces = open_.setdefault(key, {})
        pieces[segment.position] = segment
        if len(pieces) == segment.count:
            del open_[key]
            data = b"".join(pieces[position].data for position in sorted(pieces))
            text = data.decode(
                "utf-16-be" if segment.ucs2 or (segment.ucs2 is None and _looks_like_ucs2(data)) else "utf-8"
            )
            texts.append(Text(sender=segment.sender, receiver=segment.receiver, text=text, segments=segment.count))
    return texts


def _looks_like_ucs2(data: bytes) -> bool:
    """Guess what fakesmsc does not say: UTF-16BE read as UTF-8 is invalid, or holds control characters."""
    try:
        return any(character < " " and character not in "\n\r\f" for character in data.decode())
    except UnicodeDecodeError:
        return True


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _die_with_parent() -> None:
    # prctl(PR_SET_PDEATHSIG): a run that is killed leaves no gateway behind. Linux only; elsewhere it may.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
