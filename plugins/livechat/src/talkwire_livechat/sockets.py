"""The open sockets of one account on this daemon, and whose they are."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from .protocol import RESTART, TOO_SLOW
from .rows import Known
from .visitors import Visitor

_FRAMES = 500  # that a slow reader may be behind
_BYTES = 1024 * 1024  # likewise
_CLOSE_WITHIN = 2.0  # seconds that a peer has to take its closing


class Socket:
    """One connection of a visitor. Frames go out in order; whoever reads too slowly is dropped, and resumes."""

    __slots__ = (
        "_bytes",
        "_closing",
        "_early",
        "_frames",
        "_transport",
        "_writing",
        "_ws",
        "conversation",
        "id",
        "keys",
        "visitor",
    )

    def __init__(
        self, id_: str, ws: web.WebSocketResponse, transport: asyncio.Transport | None, visitor: Visitor
    ) -> None:
        self.id = id_
        self._ws = ws
        self._transport = transport
        self.visitor = visitor
        self.conversation = ""
        self.keys: dict[str, str] = {}  # message → delivery, of what was shown here and is not read
        self._early: list[str] | None = []  # what came before the beginning was said; None: it has been
        self._frames: deque[str] | None = None  # only while there is something to write; an empty one has 600 bytes
        self._bytes = 0
        self._writing: asyncio.Task[None] | None = None  # only while there is something to write
        self._closing: asyncio.Task[Any] | None = None

    def put(self, frame: Mapping[str, Any]) -> None:
        """Send a frame, after those that were put before."""
        self.put_text(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))

    def put_text(self, text: str) -> None:
        """Send what is JSON already."""
        if self._early is not None:
            self._early.append(text)
            return
        self._queue(text)

    def remember(self, message: str, delivery: str) -> None:
        """Know by which delivery a message is reported on that was shown here."""
        self.keys[message] = delivery
        if len(self.keys) > _FRAMES:
            del self.keys[next(iter(self.keys))]  # an older one is looked up

    def begin(self, *frames: Mapping[str, Any]) -> None:
        """Send these first; what came meanwhile follows them."""
        early, self._early = self._early or [], None
        for frame in frames:
            self.put(frame)
        for text in early:
            self._queue(text)

    def _queue(self, text: str) -> None:
        if self._closing is not None:
            return
        if self._frames is None:
            self._frames = deque()
        self._frames.append(text)
        self._bytes += len(text)
        if len(self._frames) > _FRAMES or self._bytes > _BYTES:
            self.close(TOO_SLOW)
        elif self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._frames:
                text = self._frames.popleft()
                self._bytes -= len(text)
                await self._ws.send_str(text)
        except ConnectionError:
            pass  # the peer is gone: whoever reads learns it
        finally:
            self._frames = None
            self._bytes = 0
            self._writing = None

    def close(self, code: int) -> None:
        """Close soon, waiting for nothing; what is not sent yet comes by the resume."""
        if self._closing is None:
            self._frames = None
            self._closing = asyncio.get_running_loop().create_task(self._close(code))

    async def _close(self, code: int) -> None:
        if self._writing is not None:
            self._writing.cancel()
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._ws.close(code=code)
        except (TimeoutError, ConnectionError):
            pass  # it takes nothing any more
        if self._transport is not None:
            self._transport.abort()  # also where the peer does not read; what was written has had its time

    async def done(self) -> None:
        """Wait until nothing of this socket is under way."""
        if self._writing is not None:
            self._writing.cancel()
        tasks = [task for task in (self._writing, self._closing) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)


class Presence:
    """A visitor who is here: all sockets, what was asked and told, and when a word was said last."""

    __slots__ = ("active_at", "ended", "known", "sockets")

    def __init__(self, now: datetime) -> None:
        self.sockets: dict[str, Socket] = {}
        self.active_at = now
        self.known = Known()
        self.ended = False

    def put(self, frame: Mapping[str, Any]) -> None:
        """Send a frame to every tab."""
        for socket in list(self.sockets.values()):
            socket.put(frame)


class Sockets:
    """Who is here."""

    def __init__(self) -> None:
        self._here: dict[str, Presence] = {}  # by visitor
        self._talks: dict[str, Presence] = {}  # by conversation
        self._by_remote: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(len(one.sockets) for one in self._here.values())

    def __iter__(self) -> Iterator[tuple[str, Presence]]:
        return iter(list(self._here.items()))

    def of(self, visitor: str) -> Presence | None:
        """Give a visitor who is here."""
        return self._here.get(visitor)

    def talk(self, conversation: str) -> Presence | None:
        """Give the visitor of a conversation who is here."""
        return self._talks.get(conversation)

    def from_address(self, remote: str) -> int:
        """Say how many sockets there are from a network address."""
        return self._by_remote.get(remote, 0)

    def arrive(self, remote: str) -> None:
        """Count a socket from a network address."""
        self._by_remote[remote] = self._by_remote.get(remote, 0) + 1

    def depart(self, remote: str) -> None:
        """Count it no more."""
        left = self._by_remote.get(remote, 0) - 1
        if left > 0:
            self._by_remote[remote] = left
        else:
            self._by_remote.pop(remote, None)

    def add(self, socket: Socket, now: datetime) -> Presence:
        """Let a socket be found by its visitor and its conversation."""
        here = self._here.setdefault(socket.visitor.id, Presence(now))
        here.sockets[socket.id] = socket
        here.active_at = now
        self._talks[socket.conversation] = here
        return here

    def drop(self, socket: Socket) -> bool:
        """Forget a socket; says whether its visitor has another one here."""
        here = self._here.get(socket.visitor.id)
        if here is None:
            return False
        here.sockets.pop(socket.id, None)
        if here.sockets:
            return True
        del self._here[socket.visitor.id]
        self._talks.pop(socket.conversation, None)
        return False

    async def close(self) -> None:
        """Tell all that the server starts anew, and wait until they have heard it."""
        sockets = [socket for _, here in self for socket in here.sockets.values()]
        for socket in sockets:
            socket.close(RESTART)
        await asyncio.gather(*(socket.done() for socket in sockets))
