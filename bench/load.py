"""The loader: raw HTTP/1.1 over kept connections, cheap enough to keep one server busy from another core."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import perf_counter

CONNECTIONS = 50


class _Connection(asyncio.Protocol):
    """One request after the other; an answer is whole after its head and its length."""

    def __init__(self, queue: deque[bytes], stop_at: float, done: asyncio.Future[None]) -> None:
        self._queue = queue
        self._stop_at = stop_at
        self._done = done
        self._buffer = b""
        self.answers = 0
        self.bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = b""
        self.answers += 1
        if head[9:12] != b"200":
            self.bad += 1
        self._next()

    def _next(self) -> None:
        if not self._queue or perf_counter() >= self._stop_at:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._transport.write(self._queue.popleft())

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server closed the connection"))


async def burst(port: int, made: Sequence[bytes], seconds: float) -> float:
    """Send as fast as the server answers; give the answers a second."""
    loop = asyncio.get_running_loop()
    queue = deque(made)
    began = perf_counter()
    connections = []
    waits = []
    for _ in range(CONNECTIONS):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        _, connection = await loop.create_connection(
            lambda done=done: _Connection(queue, began + seconds, done), "127.0.0.1", port
        )
        connections.append(connection)
    await asyncio.gather(*waits)
    took = perf_counter() - began
    if not queue:
        raise RuntimeError("the burst ran out of requests: make more")
    if bad := sum(connection.bad for connection in connections):
        raise RuntimeError(f"{bad} answers were not 200")
    return sum(connection.answers for connection in connections) / took


async def at_rate(port: int, made: Sequence[bytes], rate: float) -> list[float]:
    """Send at a fixed rate, open loop; give each answer's milliseconds from the moment it was due."""
    loop = asyncio.get_running_loop()
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    began = loop.time() + 0.05
    latencies: list[float] = []

    async def one(due: float, request: bytes) -> None:
        reader, writer = await idle.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if length:
            await reader.readexactly(length)
        latencies.append((loop.time() - due) * 1000)
        idle.put_nowait((reader, writer))

    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(made):
            due = began + number / rate
            delay = due - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            group.create_task(one(due, request))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return latencies


async def all_of(port: int, made: Sequence[bytes]) -> None:
    """Send all of these, as fast as the server answers."""
    loop = asyncio.get_running_loop()
    queue = deque(made)
    waits = []
    for _ in range(CONNECTIONS):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(lambda done=done: _Connection(queue, float("inf"), done), "127.0.0.1", port)
    await asyncio.gather(*waits)
