"""Live chat beside a bare WebSocket echo: memory a visitor, visitors welcomed a second, the way in and the way out.

Visitors are sockets of the cheapest kind, so that one core is enough for 5,000 of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from bench.__main__ import Results, Server

ACCOUNT = """
[accounts.site]
channel = "livechat"
origins = ["https://shop.example"]
secret = "bench-secret-0123456789abcdef0123"
limits.sockets_per_address = 1000000
limits.visitors_per_address = 1000000
limits.messages = 1000000
"""  # all visitors come from one address
PATH = "/c/site/socket"
RATE = 200  # messages a second, over all visitors
VISITORS = 1000
_AT_ONCE = 50  # who are being welcomed
_PATIENCE = 60  # seconds
_HELLO = b'{"t":"hello","protocol":1,"after":0,"fresh":true}'


class Visitor(asyncio.Protocol):
    """The browser's end of a socket."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._awaited: tuple[bytes, asyncio.Future[bytes]] | None = (b"\r\n\r\n", loop.create_future())
        self._is_open = False
        self.heard: Callable[[bytes], None] | None = None  # is told each text
        self.text = f"Here is {os.urandom(8).hex()}, I ask for the Ciwidey.".encode()
        self.conversation = ""

    async def come(self, port: int) -> None:
        """Open the socket."""
        head = (
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: https://shop.example\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36\r\n"
            "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9,id;q=0.8\r\n"
            "Cache-Control: no-cache\r\nPragma: no-cache\r\n\r\n"
        )
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        self._transport.write(head.encode())
        await self._answer()

    async def asks(self, text: bytes, until: bytes) -> bytes:
        """Send a text; gives the first one after it in which `until` stands."""
        self._awaited = (until, asyncio.get_running_loop().create_future())
        self.send(text)
        return await self._answer()

    def send(self, text: bytes, opcode: int = 1) -> None:
        """Send a frame. Its mask is zero, which leaves the text as it is."""
        length = len(text)
        size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
        self._transport.write(bytes([0x80 | opcode]) + size + bytes(4) + text)

    def leave(self) -> None:
        """Close the socket without a word."""
        self._transport.abort()

    async def _answer(self) -> bytes:
        assert self._awaited is not None  # whoever calls has set it
        async with asyncio.timeout(_PATIENCE):
            return await self._awaited[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(error or ConnectionError("the server closed the socket"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_open = True
            self._buffer = bytearray(rest)
            if b" 101 " not in head:
                raise RuntimeError("the server does not open a socket")
            self._came(b"\r\n\r\n")
        while len(self._buffer) >= 2:
            length, at = self._buffer[1], 2
            if length > 125:
                at = 4 if length == 126 else 10
                length = int.from_bytes(self._buffer[2:at], "big")
            if len(self._buffer) < at + length:
                return
            opcode, text = self._buffer[0] & 15, bytes(self._buffer[at : at + length])
            del self._buffer[: at + length]
            if opcode == 9:
                self.send(text, 10)
            elif opcode == 1:
                self._came(text)

    def _came(self, text: bytes) -> None:
        if self._awaited is not None and self._awaited[0] in text:
            awaited, self._awaited = self._awaited[1], None
            if not awaited.done():
                awaited.set_result(text)
        if self.heard is not None:
            self.heard(text)


# --- memory ------------------------------------------------------------------------------------------------


async def memory(results: Results, servers: Sequence[Server], count: int) -> None:
    """Measure what each of so many visitors adds, once welcomed and heard; the last server is ours."""
    each: list[float] = []
    for server in servers:
        for _ in range(4):  # so that threads, pools and caches are there, and little that is free
            for visitor in await _talking(server, _AT_ONCE):
                visitor.leave()
            await _quiet(server)
        before = _kib(server)
        here = await _talking(server, count)
        await _quiet(server)
        each.append((_kib(server) - before) / count)
        for visitor in here:
            visitor.leave()
    note = f"bare echo {each[0]:.1f}"
    results.add(f"livechat_kib_{count}", [each[-1]], "KiB each", [each[-1] / each[0]], note)


async def _talking(server: Server, count: int) -> list[Visitor]:
    """Let visitors come, each saying one thing."""

    async def one(visitor: Visitor) -> None:
        await _welcome(server, visitor)
        said = b'{"t":"message","id":"1","text":"%b"}' % visitor.text
        await visitor.asks(said, b'"id":"1"' if _is_bare(server) else b'"t":"ack","id":"1"')

    return await _together(count, one)


async def _welcome(server: Server, visitor: Visitor) -> None:
    await visitor.come(server.port)
    if not _is_bare(server):
        await visitor.asks(_HELLO, b'"t":"ready"')


async def _together(count: int, do: Callable[[Visitor], Any]) -> list[Visitor]:
    visitors = [Visitor() for _ in range(count)]
    left = iter(visitors)

    async def some() -> None:
        for visitor in left:
            await do(visitor)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(some())
    return visitors


async def _quiet(server: Server) -> None:
    """Wait until a server has nothing to do."""
    async with asyncio.timeout(_PATIENCE):
        quiet = 0
        while quiet < 3:
            used = server.cpu()
            await asyncio.sleep(0.2)
            quiet = quiet + 1 if server.cpu() - used < 15_000 else 0


def _kib(server: Server) -> float:
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def _is_bare(server: Server) -> bool:
    return server.name.startswith("echo")


# --- coming --------------------------------------------------------------------------------------------------


async def connects(results: Results, cycles: int, servers: Sequence[Server], count: int = 500) -> None:
    """Measure how many are welcomed a second, beside sockets that are only opened."""
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    for cycle in range(-1, cycles):  # the first warms up
        for server in servers:
            began = time.perf_counter()
            here = await _together(count, lambda visitor, server=server: _welcome(server, visitor))
            if cycle >= 0:
                rates[server.name].append(count / (time.perf_counter() - began))
            for visitor in here:
                visitor.leave()
            await _quiet(server)
    bare, ours = rates.values()
    results.add("livechat_connects", ours, "1/s", _ratios(ours, bare), f"bare {statistics.median(bare):.0f}/s")


# --- in and out ------------------------------------------------------------------------------------------------


async def latency(results: Results, cycles: int, servers: Sequence[Server], visitors: int = VISITORS) -> None:
    """Measure a message's way to the agent's stream, and a reply's way to the widget, beside an echo's."""
    bare, ours = servers
    echoes, talks = await _talking(bare, visitors), await _talking(ours, visitors)
    found: dict[str, list[tuple[float, float]]] = {"echo": [], "in": [], "out": []}
    costs: dict[str, list[float]] = {name: [] for name in found}  # microseconds of the server's processor, each
    headers = {"Authorization": f"Bearer {ours.key}"}
    api = f"http://127.0.0.1:{ours.port}/api/v1"
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=_AT_ONCE)) as session:
        whose = await _conversations(session, api, talks)
        ways = {
            "echo": lambda: _echoed(echoes),
            "in": lambda: _brought_in(session, api, talks, whose),
            "out": lambda: _brought_out(session, api, talks),
        }
        for cycle in range(-1, cycles):
            for name, way in ways.items():
                server = bare if name == "echo" else ours
                before = server.cpu()
                took = await way()
                cuts = statistics.quantiles(took, n=100)
                if cycle >= 0:
                    found[name].append((cuts[49], cuts[98]))
                    costs[name].append((server.cpu() - before) / len(took))
    for name in ("in", "out"):
        for at, cut in enumerate(("p50", "p99")):
            base, mine = [one[at] for one in found["echo"]], [one[at] for one in found[name]]
            cpu = " and ".join(f"{statistics.median(costs[one]):.0f}" for one in (name, "echo"))
            note = f"echo {statistics.median(base):.2f} ms; cpu {cpu} µs each"
            results.add(f"livechat_{name}_{cut}", mine, "ms", _ratios(mine, base), note)
    for visitor in (*echoes, *talks):
        visitor.leave()


class _Pace:
    """So many a second, each by another visitor; milliseconds from the moment each was due until it was there."""

    def __init__(self, visitors: int) -> None:
        self.visitors = visitors
        self.took: list[float] = []
        self._due: dict[int, float] = {}
        self._all = asyncio.Event()
        self._count = min(2 * RATE, visitors)

    async def run(self, begin: Callable[[int], None]) -> list[float]:
        loop = asyncio.get_running_loop()
        first = loop.time() + 0.05
        step = self.visitors // self._count
        for number in range(self._count):
            due = first + number / RATE
            if (delay := due - loop.time()) > 0:
                await asyncio.sleep(delay)
            self._due[number * step] = due
            begin(number * step)
        async with asyncio.timeout(_PATIENCE):
            await self._all.wait()
        return self.took

    def there(self, visitor: int) -> None:
        if (due := self._due.pop(visitor, None)) is not None:
            self.took.append((asyncio.get_running_loop().time() - due) * 1000)
        if len(self.took) == self._count:
            self._all.set()


async def _echoed(visitors: Sequence[Visitor]) -> list[float]:
    pace = _Pace(len(visitors))
    for number, visitor in enumerate(visitors):
        visitor.heard = lambda _, number=number: pace.there(number)  # type: ignore[misc]
    return await pace.run(lambda number: visitors[number].send(_message()))


async def _brought_in(
    session: aiohttp.ClientSession, api: str, visitors: Sequence[Visitor], whose: dict[str, int]
) -> list[float]:
    pace = _Pace(len(visitors))
    for visitor in visitors:
        visitor.heard = None
    async with _facts(session, api, lambda fact: pace.there(whose[fact["conversation"]])):
        return await pace.run(lambda number: visitors[number].send(_message()))


async def _brought_out(session: aiohttp.ClientSession, api: str, visitors: Sequence[Visitor]) -> list[float]:
    pace = _Pace(len(visitors))

    def heard(number: int, text: bytes) -> None:
        frame = json.loads(text)
        if frame["t"] == "message" and frame["out"]:
            pace.there(number)
            visitors[number].send(b'{"t":"seen","keys":["%b"],"state":"delivered"}' % frame["key"].encode())

    for number, visitor in enumerate(visitors):
        visitor.heard = lambda text, number=number: heard(number, text)  # type: ignore[misc]

    async def reply(number: int) -> None:
        url = f"{api}/conversations/{visitors[number].conversation}/replies"
        async with session.post(url, json={"text": "**Yes**, it came this morning."}) as answer:
            answer.raise_for_status()
            await answer.read()

    async with asyncio.TaskGroup() as group:
        return await pace.run(lambda number: _keep(group.create_task(reply(number))))


def _keep(_: object) -> None:
    """The group has it."""


def _message() -> bytes:
    id_ = os.urandom(8).hex().encode()
    return b'{"t":"message","id":"%b","text":"Is the Ciwidey back in stock, the one of 250 grams?"}' % id_


async def _conversations(session: aiohttp.ClientSession, api: str, visitors: Sequence[Visitor]) -> dict[str, int]:
    """Find the conversations by what was said in each."""
    numbers = {visitor.text.decode(): number for number, visitor in enumerate(visitors)}
    whose: dict[str, int] = {}
    url: str | None = f"{api}/conversations?limit=200"
    while url:
        async with session.get(url) as answer:
            answer.raise_for_status()
            page = await answer.json()
        for talk in page["items"]:
            if (number := numbers.get(talk["last_text"])) is not None:
                whose[talk["id"]] = number
                visitors[number].conversation = talk["id"]
        url = f"{api}/conversations?limit=200&cursor={page['next']}" if page["next"] else None
    assert len(whose) == len(visitors), "not everybody was heard"
    return whose


@asynccontextmanager
async def _facts(
    session: aiohttp.ClientSession, api: str, told: Callable[[dict[str, Any]], None]
) -> AsyncIterator[None]:
    """Follow the stream as an agent's page does."""
    url, patient = f"{api}/events?types=message.received", aiohttp.ClientTimeout(total=None)
    async with session.get(url, headers={"Accept": "text/event-stream"}, timeout=patient) as answer:
        answer.raise_for_status()

        async def follow() -> None:
            async for line in answer.content:
                if line.startswith(b"data:"):
                    told(json.loads(line[5:]))

        task = asyncio.get_running_loop().create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _ratios(mine: Sequence[float], base: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(mine, base, strict=True)]
