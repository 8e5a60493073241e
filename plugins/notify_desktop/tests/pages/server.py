"""A daemon that does what a test tells it: the API of notifications and the socket, as the pages meet them.

It serves the real files of the plugin as core does. The page that they join is the smallest that keeps the contract of
core's own pages, under their policy.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from talkwire.api.pages import page

PATIENCE = 10  # seconds until what a test waits for is missed
FOLDER = Path(__file__).parents[2] / "src" / "talkwire_notify_desktop" / "pages"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
    "require-trusted-types-for 'script'"
)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Ours</title><link rel="icon" href="data:,"><script type="module" src="/ours.js"></script></head>
<body><header id="bar"></header><p id="said" role="status"></p><p id="opened"></p><label>Text <input></label></body></html>"""
OURS = """import { join } from "/p/notify_desktop/notifications.js";
const facts = new Set(), looks = new Set(), opened = new Set(), at = (id) => document.getElementById(id);
globalThis.tell = (fact) => facts.forEach((hear) => hear(fact));
globalThis.lookAfresh = () => looks.forEach((look) => look());
await join({
  home: location.pathname,
  bar: at("bar"),
  now: () => Date.now(),
  open: (id) => { at("opened").textContent = id; opened.forEach((hear) => hear(id)); },
  looksAt: () => at("opened").textContent,
  onOpen: (hear) => opened.add(hear),
  say: (words) => { at("said").textContent = words; },
  onFact: (hear) => facts.add(hear),
  onFreshLook: (look) => looks.add(look),
  ask: async (method, path, body) => {
    const answer = await fetch(`/api/v1${path}`, { method, body: body && JSON.stringify(body),
      headers: body ? { "Content-Type": "application/json" } : {} });
    if (answer.status === 204) return null;
    const said = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(said.detail), { status: answer.status, code: said.code, said });
    return said;
  },
});
document.body.dataset.joined = "";
"""


class Server:
    """What the pages meet."""

    def __init__(self) -> None:
        self.base = ""
        self.open: dict[str, dict[str, Any]] = {}  # notifications by id, the newest last
        self.answers: list[tuple[str, dict[str, Any]]] = []
        self.refuses: Callable[[str], tuple[int, dict[str, Any]] | None] = lambda _id: None
        self.seen: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.push_key: str | None = None
        self.bye: dict[str, Any] | None = None
        self.calls: list[tuple[str, str, Any]] = []  # every other request: method, path, body
        self.preferences: dict[str, Any] = {
            "recipient": "ops",
            "off": [],
            "quiet": None,
            "time_zone": None,
            "language": None,
        }
        self.media = [{"name": "desktop", "trouble": ""}, {"name": "email", "trouble": "the server does not answer"}]
        self.devices: list[dict[str, Any]] = []
        self.changes = asyncio.Event()  # while it is clear, who changes preferences waits for the answer
        self.changes.set()
        self._n = itertools.count(1)
        self._changed = asyncio.Condition()

    # what a test says

    def notify(self, title: str = "Ann wrote", **more: Any) -> dict[str, Any]:
        """Have one more open notification; gives it as the API does."""
        one = {
            "id": f"n{next(self._n)}",
            "recipient": "ops",
            "asker": "rule:0",
            "kind": "message.received",
            "title": title,
            "text": "",
            "actions": [],
            "conversation": "",
            "at": "2026-11-28T12:00:00Z",
            "answered_by": "",
            "answer": "",
            "style": "toast",
            "details": [],
            "on_desktop": "background",
            "lapses_at": None,
            "account": "",
            "seen": False,
            "opens": [],
        } | more
        self.open[one["id"]] = one
        return one

    def frame(self, one: dict[str, Any]) -> dict[str, Any]:
        """Give the same as surfaces are told it."""
        actions = [{"id": a["id"], "label": a["title"]} for a in one["actions"]]
        known = {
            key: one[key] for key in ("id", "title", "text", "details", "style", "kind", "conversation", "account")
        }
        return known | {"tag": f"talkwire-{one['id']}", "actions": actions}

    async def say(self, type_: str, **more: Any) -> None:
        """Tell every socket."""
        for socket in list(self.sockets):
            await socket.send_json({"type": type_, **more})

    async def show(self, one: dict[str, Any]) -> None:
        await self.say("show", notification=self.frame(one))

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def heard(self, kind: str, **holds: Any) -> dict[str, Any]:
        """Wait for a frame of this kind with these values."""
        return await self.until(lambda: next((f for f in self.all(kind) if holds.items() <= f.items()), None))

    async def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until this is true of what was heard, and give it."""
        async with asyncio.timeout(PATIENCE), self._changed:
            return await self._changed.wait_for(holds)

    # what pages meet

    async def told(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=65536)
        await socket.prepare(request)
        async for message in socket:
            frame = json.loads(message.data)
            self.frames.append(frame)
            if frame["type"] == "hello":
                if self.bye is not None:
                    await socket.send_json({"type": "bye", **self.bye})
                    await socket.close()
                else:
                    self.sockets.append(socket)
                    await socket.send_json({"type": "ready", "recipient": "ops", "push_key": self.push_key})
            await self.told()
        if socket in self.sockets:
            self.sockets.remove(socket)
        await self.told()
        return socket

    async def api(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/api/v1")
        body = await request.json() if request.can_read_body else None
        if path == "/session":
            return web.json_response({"principal": "key:ops", "scope": "host"})
        if path == "/notifications":
            return web.json_response({"items": list(reversed(self.open.values())), "next": ""})
        if path.endswith(":answer"):
            id_ = path.split("/")[2].removesuffix(":answer")
            self.answers.append((id_, body))
            refused = self.refuses(id_)
            if refused is None:
                self.open.pop(id_, None)
            await self.told()
            return web.Response(status=204) if refused is None else web.json_response(refused[1], status=refused[0])
        if path.endswith(":seen"):
            self.seen.append(path.split("/")[2].removesuffix(":seen"))
            self.open.pop(self.seen[-1], None)
            await self.told()
            return web.Response(status=204)
        self.calls.append((request.method, path, body))
        await self.told()
        if path == "/preferences" and request.method == "PUT":
            await self.changes.wait()
            self.preferences = {"recipient": "ops"} | body
            await self.told()
        known = {"/preferences": self.preferences, "/media": {"items": self.media}}
        return web.json_response(known[path]) if path in known else web.Response(status=204)

    async def own(self, request: web.Request) -> web.StreamResponse:
        file = request.match_info["file"]
        if file in ("devices", "subscriptions", "shown") or file.startswith("devices/"):
            body = await request.json() if request.can_read_body else None
            self.calls.append((request.method, f"/{file}", body))
            await self.told()
            return web.json_response({"devices": self.devices, "push_key": self.push_key})
        found = page(FOLDER, file, worker="sw.js", scope="/p/notify_desktop/")
        return web.Response(status=404) if found is None else found

    async def page(self, _request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def ours(self, _request: web.Request) -> web.Response:
        return web.Response(text=OURS, content_type="text/javascript")


@asynccontextmanager
async def serve() -> AsyncIterator[Server]:
    """Run it on a free port."""
    server, app = Server(), web.Application()
    app.router.add_get("/", server.page)
    app.router.add_get("/ours.js", server.ours)
    app.router.add_route("*", "/api/v1/{rest:.*}", server.api)
    app.router.add_get("/p/notify_desktop/socket", server.socket)
    app.router.add_route("*", "/p/notify_desktop/{file:.*}", server.own)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
        for socket in list(server.sockets):
            await socket.close()
    finally:
        await runner.cleanup()
