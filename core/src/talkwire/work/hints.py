"""Hints between daemons, which may be lost: who waits looks for itself as well, now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from ..errors import TooLarge
from ..ids import new_id

_log = structlog.get_logger("talkwire.hints")
_CHANNEL = "talkwire"
_QUEUE = 100  # hints a subscriber may be behind before it loses the oldest
_PENDING = 1000  # hints that wait for a lost connection, before the oldest are lost
_MOST = 7000  # bytes of one NOTIFY; PostgreSQL takes less than 8,000
_AGAIN = 1.0  # seconds until a lost connection is made again


class Hints:
    """Publishes and hears hints: in this process always, between daemons through PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._url = url if url.startswith("postgresql:") else ""
        self._me = new_id()
        self._subscribers: dict[str, set[asyncio.Queue[Mapping[str, Any]]]] = {}
        self._pending: dict[str, None] = {}
        self._more = asyncio.Event()
        self.heard: Callable[[str], None] = lambda _loop: None  # another daemon woke one of our loops

    def wake(self, loops: set[str]) -> None:
        """Wake loops of the other daemons."""
        if self._url and loops:
            self._send(to_json({"from": self._me, "wake": sorted(loops)}))

    def publish(self, topic: str, small: Mapping[str, Any]) -> None:
        """Give a hint to all subscribers, here as JSON would bring it elsewhere. Errors: `TooLarge`."""
        said = to_json({"from": self._me, "topic": topic, "small": small})
        if len(said) > _MOST:
            raise TooLarge(f"a hint holds at most {_MOST} bytes; publish an id and let the others read")
        self._take(from_json(said))
        if self._url:
            self._send(said)

    async def subscribe(self, topic: str) -> AsyncIterator[Mapping[str, Any]]:
        """Give the hints of a topic as they come, from when this is first waited for."""
        queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_QUEUE)
        queues = self._subscribers.setdefault(topic, set())
        queues.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)
            if not queues:
                self._subscribers.pop(topic, None)

    async def run(self) -> None:
        """Carry hints between daemons until cancelled; on SQLite there is nothing to carry."""
        if not self._url:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again_and_again(self._listen))
            group.create_task(self._again_and_again(self._speak))

    def _send(self, said: bytes) -> None:
        self._pending[said.decode()] = None  # equal ones become one
        if len(self._pending) > _PENDING:
            del self._pending[next(iter(self._pending))]
        self._more.set()

    async def _again_and_again(self, work: Callable[[], Any]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  hints may be lost; the connection is made again
                _log.info("hints interrupted", kind=type(error).__name__)
            await asyncio.sleep(_AGAIN)

    async def _speak(self) -> None:
        import psycopg  # an extra

        # On a connection of its own: NOTIFY in a transaction takes a server-wide lock at its commit.
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            while True:
                await self._more.wait()
                self._more.clear()
                pending, self._pending = list(self._pending), {}
                for said in pending:
                    await connection.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, said))

    async def _listen(self) -> None:
        import psycopg  # an extra

        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute(f"LISTEN {_CHANNEL}")
            self.heard("everything")  # what was said before we listened is lost
            async for notice in connection.notifies():
                said = from_json(notice.payload)
                if said["from"] != self._me:
                    self._take(said)

    def _take(self, said: Mapping[str, Any]) -> None:
        for loop in said.get("wake", ()):
            self.heard(loop)
        for queue in self._subscribers.get(said.get("topic", ""), ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(said["small"])
