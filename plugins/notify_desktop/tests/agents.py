"""Agents who sit at a desktop: real clients of ours, and a server that says what a test wants it to say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Self

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from talkwire_notify_desktop.native.cards import Times
from talkwire_notify_desktop.native.client import Client
from talkwire_notify_desktop.native.places import SignIn

PATIENCE = 30  # seconds for what a test expects; none needs it
QUICK = Times(
    look_again=timedelta(milliseconds=50), first=timedelta(milliseconds=20), longest=timedelta(milliseconds=50)
)
ALERT = {
    "id": "n-1",
    "tag": "talkwire-n-1",
    "title": "Ann wrote",
    "text": "Where is my order?",
    "details": [{"label": "Customer", "value": "Ann"}],
    "actions": [{"id": "handled", "label": "Mark handled"}, {"id": "later", "label": "Later"}],
    "style": "alert",
    "kind": "message",
    "conversation": "c 1",
    "account": "site",
}


async def until(is_so: Callable[[], Any]) -> Any:
    """Wait until something is true, and give it."""
    async with asyncio.timeout(PATIENCE):
        while not (found := is_so()):
            await asyncio.sleep(0.01)
    return found


class Agent:
    """One client that runs."""

    def __init__(self, url: str, key: str, **signed: str) -> None:
        self.said: list[str] = []
        self.pages: list[str] = []
        about = {"surface": "native-1", "device": "laptop", "page": f"{url}/#c={{conversation}}", **signed}
        self.client = Client(
            SignIn(url=url, key=key, **about), say=self.said.append, open_page=self.pages.append, times=QUICK
        )
        self.running: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self.running = asyncio.ensure_future(self.client.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def ends(self) -> BaseException | None:
        """Wait until it ends by itself, and give why."""
        assert self.running is not None
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self.running})
        return self.running.exception()

    async def says(self, words: str) -> str:
        """Wait until it has said these words."""
        return await until(lambda: next((line for line in self.said if words in line), ""))


class Switchboard:
    """A server of PROTOCOL.md that does what it is told, one line at a time."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[Heard] = asyncio.Queue()
        self.bye: dict[str, Any] | None = None  # said instead of ready
        self.when_heard: Callable[[], None] = lambda: None  # a frame, after the first
        self.url = ""

    async def line(self) -> Heard:
        """Wait for the next line, after its ready."""
        async with asyncio.timeout(PATIENCE):
            return await self.lines.get()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        hello = await ws.receive_json()
        if self.bye:
            await ws.send_json({"type": "bye", **self.bye})
            await ws.close()
            return ws
        await ws.send_json({"type": "ready", "recipient": "ann", "push_key": None})
        heard = Heard(ws, hello)
        self.lines.put_nowait(heard)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                heard.frames.put_nowait(json.loads(message.data))
                self.when_heard()
        return ws


class Heard:
    """One line to a client."""

    def __init__(self, ws: web.WebSocketResponse, hello: dict[str, Any]) -> None:
        self.hello = hello
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._ws = ws

    async def say(self, **frame: Any) -> None:
        await self._ws.send_json(frame)

    async def show(self, **more: Any) -> None:
        await self.say(type="show", notification={**ALERT, **more})

    async def gets(self, kind: str) -> dict[str, Any]:
        """Give the next frame of a kind; those of focus come when they come, others only in their turn."""
        async with asyncio.timeout(PATIENCE):
            while True:
                frame = await self.frames.get()
                if frame["type"] == kind:
                    return frame
                assert frame["type"] == "focus", frame

    async def cut(self, code: int = 1012) -> None:
        await self._ws.close(code=code)


@asynccontextmanager
async def switchboard() -> AsyncIterator[Switchboard]:
    """Run a server on loopback."""
    board = Switchboard()
    app = web.Application()
    app.router.add_get("/p/notify_desktop/socket", board.serve)
    server = TestServer(app)
    await server.start_server()
    board.url = str(server.make_url("")).rstrip("/")
    try:
        yield board
    finally:
        await server.close()
