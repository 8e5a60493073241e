"""A live-chat server that does what a test tells it: it speaks the protocol, and shares no code with the real one.

Two origins, as in life: the shop's page with its strict policy on `localhost`, the chat server on `127.0.0.1`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from aiohttp import WSCloseCode, web

WIDGET = Path(__file__).parents[2] / "src" / "talkwire_livechat" / "widget" / "__init__.py"
PATIENCE = 20  # seconds until a frame that a test waits for is missed
SETTINGS = {
    "account": "site",
    "protocol": 1,
    "language": "auto",
    "label": "Chat with us",
    "title": "Kopi Kita",
    "position": "right",
    "colour": "#1f5f4a",
    "on_colour": "#ffffff",
    "offset": {"x": 20, "y": 20},
}
FILES = {"limit": 1_000_000, "types": ["image/*", "application/pdf", "text/plain"], "most": 10}
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kopi Kita, coffee from Toraja</title><link rel="stylesheet" href="/shop.css"></head><body><main><h1>Coffee from Toraja</h1>
<p>Roasted on Tuesdays, at your door on Thursday.</p><p><a href="/other">Another page</a> <button id="own">Buy</button></p></main>
<script src="{base}/c/site/widget.js"{data}></script></body></html>"""
SHOP = """body{margin:0;padding:8vh 8vw;font:18px/1.6 Georgia,serif;background:#fbfaf7;color:#222}
*{letter-spacing:.01em}button{font:inherit;padding:12px}a{color:#234}
@media (prefers-color-scheme:dark){body{background:#101214;color:#ddd}a{color:#bcd}}"""


def load_widget() -> ModuleType:
    """Give the widget's package by path: the distribution need not be installed for these tests."""
    spec = importlib.util.spec_from_file_location("talkwire_livechat_widget_under_test", WIDGET)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture(width: int = 320, height: int = 200) -> bytes:
    """Draw a PNG with a gentle slope of colour."""
    rows = b"".join(
        b"\0" + b"".join(bytes((90 + 90 * x // width, 140 - 60 * y // height, 70)) for x in range(width))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Server:
    """What the widget meets."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = dict(SETTINGS)
        self.data = ""  # attributes of the script's tag
        self.welcome: dict[str, Any] = {
            "session": "connected",
            "reason": "",
            "visitor": {"name": "", "known": False},
            "notice": None,
            "consent": None,
            "form": None,
            "hours": None,
            "files": FILES,
            "typing": True,
        }
        self.log: list[dict[str, Any]] = []  # message frames as they are resumed
        self.frames: list[dict[str, Any]] = []  # all that was heard
        self.sockets: list[web.WebSocketResponse] = []
        self.hellos: list[dict[str, Any]] = []
        self.acks = True
        self.is_down = False
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {}  # by type of frame
        self.upload: Callable[[bytes, str], web.StreamResponse] | None = None
        self.uploads: list[tuple[str, str, bytes]] = []  # token, name, bytes
        self.served: list[str] = []  # paths of files that were fetched
        self.expired: set[str] = set()  # of those that are refused
        self.slow_upload: asyncio.Event | None = None
        self.base = ""
        self.shop = ""
        self._n = itertools.count(1)
        self._tokens = itertools.count(1)
        self._changed = asyncio.Condition()

    # what a test says

    async def say(self, frame: Any) -> None:
        """Tell every socket; a string goes out as it is."""
        text = frame if isinstance(frame, str) else json.dumps(frame)
        for socket in list(self.sockets):
            await socket.send_str(text)

    async def write(self, *blocks: dict[str, Any] | str, key: str = "", **more: Any) -> dict[str, Any]:
        """Let the agent write: strings become paragraphs."""
        frame = self.ours(*blocks, key=key, **more)
        self.log.append(frame)
        await self.say(frame)
        return frame

    def ours(self, *blocks: dict[str, Any] | str, key: str = "", **more: Any) -> dict[str, Any]:
        """Give the frame of a message of ours."""
        n = next(self._n)
        frame = {
            "t": "message",
            "out": True,
            "key": key or f"key-{n}",
            "n": n,
            "at": "2026-11-28T06:00:00Z",
            "author": "Rina",
            "notice": "",
            "gone": False,
            "state": "sent",
            "blocks": [paragraph(block) if isinstance(block, str) else block for block in blocks],
            "text": " ".join(block for block in blocks if isinstance(block, str)),
        }
        return frame | more

    def theirs(self, text: str, id_: str = "", **more: Any) -> dict[str, Any]:
        """Give the frame of a message of the visitor's."""
        n = next(self._n)
        frame = {"t": "message", "out": False, "id": id_ or f"id-{n}", "n": n, "at": "2026-11-28T06:01:00Z"}
        return frame | {"blocks": [paragraph(text)], "text": text} | more

    async def drop(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """Close every socket."""
        for socket in list(self.sockets):
            await socket.close(code=code)

    async def heard(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many frames of this kind came, and give all of them."""
        return await self.until(lambda: (found := self.all(kind)) and len(found) >= count and found)

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame.get("t") == kind]

    async def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until this is true of what was heard, and give it."""
        async with asyncio.timeout(PATIENCE), self._changed:
            return await self._changed.wait_for(holds)

    # what the widget meets

    async def _told(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _script(self, _request: web.Request) -> web.Response:
        body = load_widget().script(self.settings)
        return web.Response(body=body, content_type="text/javascript", charset="utf-8")

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(compress=False, max_msg_size=65536)
        await socket.prepare(request)
        try:
            async for message in socket:
                frame = json.loads(message.data)
                self.frames.append(frame)
                await self._answer(socket, frame)
                await self._told()
        finally:
            if socket in self.sockets:
                self.sockets.remove(socket)
            await self._told()
        return socket

    async def _answer(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        kind = frame["t"]
        if kind in self.answers:
            answer = self.answers[kind](frame)
            if isinstance(answer, int):
                await socket.close(code=answer)
            elif answer is not None:
                await socket.send_json(answer)
        elif kind == "hello":
            self.hellos.append(frame)
            token = frame.get("token") or f"token-{next(self._tokens)}"
            last = max((one.get("n", 0) for one in self.log), default=0)
            await socket.send_json({"t": "welcome", "protocol": 1, "token": token, "n": last} | self.welcome)
            for one in [one for one in self.log if one.get("n", 0) > frame["after"]][-200:]:
                await socket.send_json(one)
            await socket.send_json({"t": "ready"})
            self.sockets.append(socket)
        elif kind == "ping":
            await socket.send_json({"t": "pong"})
        elif kind == "message" and self.acks:
            await self._keep(socket, frame)
        elif kind == "consent":
            self.welcome["consent"] = (self.welcome["consent"] or {}) | {"given": frame["accepted"]}
            await self.say({"t": "consented", "version": frame["version"], "accepted": frame["accepted"]})
        elif kind == "form":
            self.welcome["form"] = None
            await self.say({"t": "formed", "name": frame["values"].get("name", "")})
        elif kind == "bye":
            await self.say({"t": "ended", "reason": "customer"})

    async def _keep(self, socket: web.WebSocketResponse, frame: dict[str, Any]) -> None:
        known = next((one for one in self.log if one.get("id") == frame["id"]), None)
        choice = frame.get("choice")
        kept = known or self.theirs(frame["text"], frame["id"])
        if choice:
            kept["blocks"] = [{"type": "choice", **choice}]
        if not known:
            self.log.append(kept)
            for other in self.sockets:
                if other is not socket:
                    await other.send_json(kept)
        await socket.send_json({"t": "ack", "id": frame["id"], "n": kept["n"], "at": kept["at"]})

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        headers = {
            "Access-Control-Allow-Origin": request.headers.get("Origin", ""),
            "Access-Control-Allow-Headers": "Authorization, X-File-Name, Content-Type",
        }
        if request.method == "OPTIONS":
            return web.Response(headers=headers)
        body = await request.read()
        if self.slow_upload:
            async with asyncio.timeout(PATIENCE):
                await self.slow_upload.wait()
        name = unquote(request.headers["X-File-Name"])
        self.uploads.append((request.headers["Authorization"], name, body))
        await self._told()
        if self.upload:
            answer = self.upload(body, name)
        else:
            kind = "image/png" if body.startswith(b"\x89PNG") else "text/plain"
            said = {"id": f"file-{len(self.uploads)}", "name": name, "size": len(body), "media_type": kind}
            answer = web.json_response(said, status=201)
        answer.headers.update(headers)
        return answer

    async def _file(self, request: web.Request) -> web.Response:
        self.served.append(request.path_qs)
        await self._told()
        if request.path_qs in self.expired:
            raise web.HTTPForbidden
        if request.path.endswith(".png"):
            return web.Response(body=picture(), content_type="image/png")
        headers = {"Content-Disposition": "attachment"}
        return web.Response(body=b"bytes", content_type="application/octet-stream", headers=headers)

    async def _page(self, _request: web.Request) -> web.Response:
        base, socket = self.base, self.base.replace("http", "ws")
        policy = (
            f"default-src 'none'; script-src {base}; connect-src {base} {socket}; img-src {base}; media-src {base}; "
            "style-src 'self'; require-trusted-types-for 'script'; base-uri 'none'; form-action 'none'"
        )
        text = PAGE.format(base=base, data=self.data)
        return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def _shop_css(self, _request: web.Request) -> web.Response:
        return web.Response(text=SHOP, content_type="text/css")

    async def _icon(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)


@asynccontextmanager
async def serve() -> AsyncIterator[Server]:
    """Run both origins on free ports."""
    server = Server()
    chat, shop = web.Application(client_max_size=64 * 1024 * 1024), web.Application()
    chat.router.add_get("/c/site/widget.js", server._script)
    chat.router.add_get("/c/site/socket", server._socket)
    chat.router.add_route("*", "/c/site/files", server._upload)
    chat.router.add_get("/files/{name}", server._file)
    shop.router.add_get("/", server._page)
    shop.router.add_get("/other", server._page)
    shop.router.add_get("/shop.css", server._shop_css)
    shop.router.add_get("/favicon.ico", server._icon)
    runners = [web.AppRunner(one, shutdown_timeout=1) for one in (chat, shop)]
    for runner in runners:
        await runner.setup()
    try:
        for runner in runners:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.base = f"http://127.0.0.1:{runners[0].addresses[0][1]}"
        server.shop = f"http://localhost:{runners[1].addresses[0][1]}"
        yield server
        await server.drop()
    finally:
        for runner in runners:
            await runner.cleanup()


# Blocks and trees, short.


def paragraph(*spans: Any) -> dict[str, Any]:
    return {"type": "text", "nodes": [{"type": "paragraph", "spans": [span(one) for one in spans]}]}


def span(value: Any) -> dict[str, Any]:
    return {"type": "text", "text": value} if isinstance(value, str) else value


def nodes(*found: Any) -> dict[str, Any]:
    return {"type": "text", "nodes": list(found)}


def rich() -> list[dict[str, Any]]:
    """One of each node and span."""
    bold = {"type": "bold", "spans": [span("bold")]}
    italic = {"type": "italic", "spans": [span("italic")]}
    strike = {"type": "strike", "spans": [span("struck out")]}
    link = {"type": "link", "url": "https://example.org/returns", "spans": [span("our returns page")]}
    words = [
        span("We have "),
        bold,
        span(", "),
        italic,
        span(", "),
        strike,
        span(" and "),
        {"type": "code", "text": "code"},
    ]
    item = lambda text: [{"type": "paragraph", "spans": [span(text)]}]  # noqa: E731
    rows = [
        [[span("Size")], [span("Price")]],
        [[span("250 g")], [span("Rp 95.000")]],
        [[span("1 kg")], [span("Rp 340.000")]],
    ]
    return [
        nodes(
            {"type": "heading", "level": 2, "spans": [span("Beans of the week")]},
            {"type": "paragraph", "spans": [*words, span(". See "), link, span(".")]},
            {"type": "list", "start": None, "items": [item("Sapan, washed"), item("Minanga, honey")]},
            {"type": "list", "start": 1, "items": [item("Order"), item("Pay"), item("Drink")]},
            {"type": "quote", "nodes": [{"type": "paragraph", "spans": [span("The best cup in years.")]}]},
            {"type": "code_block", "text": "grind = 18 g\nwater = 300 ml at 93 °C", "language": ""},
            {"type": "table", "rows": rows},
            {"type": "rule"},
            {"type": "paragraph", "spans": [span("Anything else?")]},
        )
    ]
