"""What comes whole is taken at the door; everything else is aiohttp's, and nobody outside can tell which it was."""

import asyncio
import contextlib
import socket

import pytest
import pytest_asyncio
from aiohttp import web

from talkwire.api import Front, door
from talkwire.api.inbound import RECEIVER, Receiver

QUICK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquick"
LAST = b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Town:
    """A server with a door; whoever knocks for `/quick` is taken there, and answered when the test says so."""

    def __init__(self):
        self.taken = []  # (path, body, answer)
        self.slow = []  # (path, body) that aiohttp had
        self.go_on = asyncio.Event()
        self.go_on.set()

    def take(self, message, body, peer, answer):
        if not message.path.startswith("/quick"):
            return False
        self.taken.append((message.path, body, answer))
        if message.path.endswith("/broken"):
            raise RuntimeError("a taker of ours is broken")
        if message.path.endswith("/now"):
            answer(QUICK)
        return True

    async def handle(self, request):
        self.slow.append((request.path, await request.read()))
        await self.go_on.wait()
        return web.Response(text=f"slow {request.path}")

    async def open(self):
        self.server = door.Doors(web.Server(self.handle, keepalive_timeout=75, access_log=None), self.take)
        self.listening = await asyncio.get_running_loop().create_server(self.server, "127.0.0.1", 0)
        self.address = self.listening.sockets[0].getsockname()

    async def close(self):
        self.listening.close()
        self.server.pre_shutdown()
        await self.server.shutdown(20)

    async def until(self, what):
        """Wait until it is so; whatever comes over the loop may make it so."""
        async with asyncio.timeout(20):
            while not what():
                await asyncio.sleep(0)


class Caller:
    """One connection to it."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    def says(self, *texts):
        self.writer.write(b"".join(texts))

    async def hears(self):
        """Give the body of the next answer."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            return (await self.reader.readexactly(length)).decode()

    async def is_left(self):
        async with asyncio.timeout(20):
            return await self.reader.read() == b""


def post(path, body=b"", *lines):
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


@pytest_asyncio.fixture
async def town():
    town = Town()
    await town.open()
    yield town
    await town.close()


@pytest_asyncio.fixture
async def caller(town):
    caller = Caller(*await asyncio.open_connection(*town.address))
    yield caller
    caller.writer.close()


async def test_the_door_fits_the_aiohttp_that_is_locked(town):
    assert door.fits(town.server)


@pytest.mark.parametrize("names", ["_NEEDED", "_OF_PARSER", "_OF_SERVER"])
async def test_an_aiohttp_that_has_changed_does_everything_itself(monkeypatch, names):
    monkeypatch.setattr(door, names, [*getattr(door, names), "_something_new"])
    take, receive = [], []

    async def handle(request):
        receive.append(request.path)
        return web.Response()

    app = web.Application()
    app[RECEIVER] = Receiver(lambda *given: bool(take.append(given)) or True, handle)
    runner = Front(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    caller = Caller(*await asyncio.open_connection(*runner.addresses[0]))
    caller.says(post("/in/shop"))
    assert await caller.hears() == ""
    assert (take, receive) == ([], ["/in/shop"])
    caller.writer.close()
    await runner.cleanup()


async def test_what_comes_whole_is_taken_and_aiohttp_never_hears_of_it(town, caller):
    for number in range(100):
        caller.says(post("/quick/now", b"%d" % number))
        assert await caller.hears() == "quick"
    assert [(path, body) for path, body, _ in town.taken] == [("/quick/now", b"%d" % number) for number in range(100)]
    assert town.slow == []
    caller.says(post("/a"), post("/b"), post("/c"))  # the parser counts what nobody has begun with
    assert [await caller.hears() for _ in range(3)] == ["slow /a", "slow /b", "slow /c"]


async def test_what_is_not_taken_comes_whole_to_aiohttp(town, caller):
    caller.says(post("/other", b"body"))
    assert await caller.hears() == "slow /other"
    caller.says(post("/quick/now", b"next"))
    assert await caller.hears() == "quick"
    caller.says(post("/other", b""))
    assert await caller.hears() == "slow /other"
    assert town.slow == [("/other", b"body"), ("/other", b"")]


@pytest.mark.parametrize(
    "request_",
    [
        post("/quick/now", b"body", "Connection: close"),
        post("/quick/now", b"body").replace(b"HTTP/1.1", b"HTTP/1.0"),
        post("/quick/now", b"body", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
        post("/quick/now", b"body").replace(b"POST", b"PUT"),
        post("/quick/now", b"body", "Expect: 100-continue"),
        post("/quick/now", b"body", "Connection: upgrade", "Upgrade: websocket"),
    ],
    ids=["closing", "1.0", "1.0 that stays", "put", "expecting", "upgrade"],
)
async def test_what_is_unusual_is_aiohttps(town, caller, request_):
    caller.says(request_)
    assert await caller.hears() == "slow /quick/now"
    assert town.taken == []


async def test_what_its_taker_breaks_on_is_aiohttps(town, caller):
    caller.says(post("/quick/broken", b"body"))
    assert await caller.hears() == "slow /quick/broken"
    assert town.slow == [("/quick/broken", b"body")]
    caller.says(post("/quick/now"))
    assert await caller.hears() == "quick"


async def test_a_body_that_comes_later_is_aiohttps(town, caller):
    whole = post("/quick/now", b"in two parts")
    caller.says(whole[:-5])
    await town.until(lambda: town.server.requests_count == 1)
    caller.says(whole[-5:])
    assert await caller.hears() == "slow /quick/now"
    assert town.slow == [("/quick/now", b"in two parts")]


async def test_a_body_in_chunks_that_comes_at_once_is_taken_as_it_reads(town, caller):
    chunks = b"4\r\nin t\r\n6\r\nwo par\r\n0\r\n\r\n"
    caller.says(b"POST /quick/now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)
    assert await caller.hears() == "quick"
    assert town.taken[0][1] == b"in two par"


async def test_many_at_once_are_answered_in_their_order(town, caller):
    caller.says(post("/quick/now"), post("/a"), post("/quick/now"), post("/b"))
    said = [await caller.hears() for _ in range(4)]
    assert said == ["slow /quick/now", "slow /a", "slow /quick/now", "slow /b"]
    caller.says(post("/quick/now"))
    assert await caller.hears() == "quick"


async def test_what_comes_before_the_answer_waits_for_it(town, caller):
    caller.says(post("/quick/1"))
    await town.until(lambda: town.taken)
    caller.says(post("/a"), post("/quick/now"))
    await town.until(lambda: town.server.connections[0]._late.endswith(post("/quick/now")))
    assert (len(town.taken), town.slow) == (1, [])
    town.taken[0][2](QUICK)
    assert [await caller.hears() for _ in range(3)] == ["quick", "slow /a", "slow /quick/now"]
    caller.says(post("/quick/now"))
    assert await caller.hears() == "quick"


async def test_what_was_late_is_taken_too_and_whoever_comes_after_it_is_heard(town, caller):
    caller.says(post("/quick/1"))
    await town.until(lambda: town.taken)
    caller.says(post("/quick/2"))
    await town.until(lambda: town.server.connections[0]._late)
    town.taken[0][2](QUICK)
    assert await caller.hears() == "quick"
    assert [path for path, _, _ in town.taken] == ["/quick/1", "/quick/2"]
    town.taken[1][2](QUICK)
    assert await caller.hears() == "quick"
    caller.says(post("/quick/now"))
    assert await caller.hears() == "quick"


async def test_what_comes_while_aiohttp_has_one_is_aiohttps_too(town, caller):
    town.go_on.clear()
    caller.says(post("/a"))
    await town.until(lambda: town.slow)
    caller.says(post("/quick/now"))
    await town.until(lambda: town.server.connections[0]._request_count == 2)
    assert town.taken == []
    town.go_on.set()
    assert [await caller.hears() for _ in range(2)] == ["slow /a", "slow /quick/now"]


async def test_nobody_fills_our_memory_before_the_answer(town):
    with socket.create_connection(town.address) as pushing:
        pushing.setblocking(False)
        pushing.send(post("/quick/1"))
        await town.until(lambda: town.taken)
        sent, idle = 0, 0
        while idle < 200 and sent < 64 << 20:
            with contextlib.suppress(BlockingIOError):
                sent += pushing.send(bytes(1 << 20))
                idle = 0
            idle += 1
            await asyncio.sleep(0)
        assert 0 < len(town.server.connections[0]._late) < 4 << 20
        assert sent < 64 << 20
    town.taken[0][2](QUICK)


async def test_whoever_reads_no_answers_is_answered_by_aiohttp_which_waits(town):
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(town.address)
        await town.until(lambda: town.server.connections)
        transport = town.server.connections[0].transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        transport.set_write_buffer_limits(0)
        for number in range(10_000):
            if town.slow:
                break
            deaf.send(post("/quick/now"))
            await town.until(lambda number=number: len(town.taken) > number or town.slow)
        assert town.slow[0] == ("/quick/now", b"")


async def test_who_stops_waits_for_what_was_taken(town, caller):
    caller.says(post("/quick/1"))
    await town.until(lambda: town.taken)
    closing = asyncio.ensure_future(town.close())
    await town.until(lambda: town.server.connections and town.server.connections[0]._handler_waiter is not None)
    assert not closing.done()
    town.taken[0][2](QUICK)
    assert await caller.hears() == "quick"
    assert await caller.is_left()
    await closing


async def test_an_answer_that_says_so_ends_the_connection(town, caller):
    caller.says(post("/quick/1"))
    await town.until(lambda: town.taken)
    town.taken[0][2](LAST)
    assert await caller.hears() == ""
    assert await caller.is_left()


async def test_an_answer_to_nobody_breaks_nothing(town, caller):
    caller.says(post("/quick/1"))
    await town.until(lambda: town.taken)
    caller.writer.transport.abort()
    await town.until(lambda: not town.server.connections)
    town.taken[0][2](QUICK)


async def test_what_is_no_http_is_told_so(town, caller):
    caller.says(post("/quick/now"))
    assert await caller.hears() == "quick"
    caller.says(b"GARBAGE\r\n\r\n")
    async with asyncio.timeout(20):
        assert b" 400 " in await caller.reader.readuntil(b"\r\n")


async def test_a_connection_that_rests_is_closed_after_its_last_answer_and_not_before(town, monkeypatch):
    async with asyncio.timeout(20):
        town.server._kwargs["keepalive_timeout"] = 0.5
        caller = Caller(*await asyncio.open_connection(*town.address))
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 1:
            caller.says(post("/quick/now"))
            assert await caller.hears() == "quick"
        assert await caller.is_left()
        caller.writer.close()
