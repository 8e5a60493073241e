"""A shop that carries the widget, and a visitor who talks by himself, for `talkwire demo` and its check.

It shares no code with the channel: the visitor here speaks the protocol as `PROTOCOL.md` has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from talkwire import Simulator

SECRET = secrets.token_hex(32)  # of this process; the demo's settings are written anew with each start
FAULTS = {
    "offline": "the visitor's line drops after each message, and does not come back",
    "line_drops": "the visitor's line drops after each message, and comes back",
    "no_reports": "the visitor's widget says nothing of what it got",
    "twice": "the visitor's widget says everything twice",
    "forged": "the visitor shows a token that nobody signed",
}
_AWAY = 1.0  # seconds that a line is down
_ANSWER_WITHIN = 10.0  # seconds
_PAGES = {"/": ("shop.html", "text/html"), "/shop.css": ("shop.css", "text/css")}


class _Shop:
    """The shop's server, with a visitor on it."""

    def __init__(self, inbound_url: str) -> None:
        there = urlsplit(inbound_url)
        self._talkwire = f"{there.scheme}://{there.netloc}"
        self._chat = f"{self._talkwire}/c/{there.path.rpartition('/')[2]}"
        self._origin = ""
        self._token = ""
        self._n = 0
        self._line: asyncio.Task[None] | None = None
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._acks: dict[str, asyncio.Future[str]] = {}
        self.faults: set[str] = set()
        self.received: dict[str, str] = {}  # what reached the visitor, by key

    def app(self) -> web.Application:
        """Make the application."""
        app = web.Application(middlewares=[self._safe])
        for path in _PAGES:
            app.router.add_get(path, self._page)
        app.router.add_post("/sim/messages", self._write)
        app.router.add_get("/sim/messages", self._show)
        app.router.add_post("/sim/faults", self._set_faults)
        app.on_cleanup.append(self._hang_up)
        return app

    # --- pages -----------------------------------------------------------------------------------

    async def _page(self, request: web.Request) -> web.Response:
        name, content_type = _PAGES[request.path]
        text = (files(__package__) / "shop" / name).read_text("utf-8")
        return web.Response(text=text.replace("{{chat}}", self._chat), content_type=content_type)

    @web.middleware
    async def _safe(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response = await handler(request)
        socket = self._talkwire.replace("http", "ws", 1)
        response.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src {self._talkwire}; style-src 'self'; img-src 'self' data: {self._talkwire};"
            f" connect-src {self._talkwire} {socket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    # --- what the demo asks ------------------------------------------------------------------------

    async def _write(self, request: web.Request) -> web.Response:
        self._origin = f"http://{request.host}"
        text = str((await request.json())["text"])
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                return web.json_response({"evidence": await self._says(text)})
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            return web.json_response({"evidence": "", "error": str(error) or type(error).__name__})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response({"texts": list(self.received.values())})

    async def _set_faults(self, request: web.Request) -> web.Response:
        self.faults = {name for name in (await request.json())["on"] if name in FAULTS}
        return web.json_response({"on": sorted(self.faults)})

    # --- the visitor -------------------------------------------------------------------------------

    async def _says(self, text: str) -> str:
        """Write as the widget does; gives what the server said to it."""
        if self._line is None or self._line.done():
            met = asyncio.get_running_loop().create_future()
            self._line = asyncio.create_task(self._talk(met))
            await met
        assert self._ws is not None
        id_ = uuid.uuid4().hex
        acked = self._acks[id_] = asyncio.get_running_loop().create_future()
        for _ in range(2 if "twice" in self.faults else 1):
            await self._ws.send_json({"t": "message", "id": id_, "text": text})
        said = await acked
        if self.faults & {"offline", "line_drops"}:
            await self._ws.close()
        return f"message {id_}: the server said {said}"

    async def _talk(self, met: asyncio.Future[None]) -> None:
        """Keep a line open, as the widget does."""
        try:
            while True:
                await self._one_line(met)
                if "offline" in self.faults:
                    return
                await asyncio.sleep(_AWAY)
        except (OSError, aiohttp.ClientError) as error:
            if not met.done():
                met.set_exception(error)

    async def _one_line(self, met: asyncio.Future[None]) -> None:
        token = "nobody.4102444800.signed" if "forged" in self.faults else self._token
        hello = {"t": "hello", "protocol": 1, "after": self._n, "fresh": not met.done()}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self._chat}/socket", headers={"Origin": self._origin}, heartbeat=25) as ws,
        ):
            self._ws = ws
            await ws.send_json({**hello, "token": token} if token else hello)
            async for message in ws:
                if message.type is aiohttp.WSMsgType.TEXT:
                    await self._hears(ws, json.loads(message.data), met)
            if not met.done():
                raise OSError(f"the server closed the line with {ws.close_code}")

    async def _hears(
        self, ws: aiohttp.ClientWebSocketResponse, frame: dict[str, Any], met: asyncio.Future[None]
    ) -> None:
        match frame["t"]:
            case "welcome":
                self._token = frame["token"]
            case "ready" if not met.done():
                met.set_result(None)
            case "ack" | "nack":
                if (waiting := self._acks.pop(frame["id"], None)) is not None:
                    waiting.set_result(f"{frame['t']} {frame.get('code', '')}".strip())
            case "message":
                self._n = max(self._n, frame.get("n", 0))
                if frame["out"] and not frame.get("gone"):
                    self.received[frame["key"]] = frame["text"]
                    await self._reports(ws, frame["key"])

    async def _reports(self, ws: aiohttp.ClientWebSocketResponse, key: str) -> None:
        if "no_reports" in self.faults:
            return
        for state in ("delivered", "read"):
            for _ in range(2 if "twice" in self.faults else 1):
                await ws.send_json({"t": "seen", "keys": [key], "state": state})

    async def _hang_up(self, app: web.Application) -> None:
        if self._line is not None:
            self._line.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._line


def _settings(base_url: str, _: str) -> dict[str, Any]:
    return {
        "origins": [base_url],
        "secret": SECRET,
        "title": "Kopi Kita",
        "label": "Ask us",
        "colour": "#7a4a21",
        "notice": {"text": "This talk may be monitored and kept, so that we can answer well."},
        "names": {"demo": "Rina"},
    }


async def _play(base_url: str, text: str) -> str:
    answer = await _ask("POST", f"{base_url}/sim/messages", {"text": text})
    if not answer["evidence"]:
        raise RuntimeError(f"the visitor could not write: {answer['error']}")
    return str(answer["evidence"])


async def _received(base_url: str) -> list[str]:
    return list((await _ask("GET", f"{base_url}/sim/messages"))["texts"])


async def _fault(base_url: str, name: str) -> None:
    await _ask("POST", f"{base_url}/sim/faults", {"on": [name] if name else []})


async def _ask(method: str, url: str, given: dict[str, Any] | None = None) -> Any:
    async with aiohttp.ClientSession() as session, session.request(method, url, json=given) as answer:
        answer.raise_for_status()
        return await answer.json()


SHOP = Simulator(
    channel="livechat",
    title="Shop (live chat)",
    app=lambda inbound_url: _Shop(inbound_url).app(),
    settings=_settings,
    play=_play,
    received=_received,
    fault=_fault,
    faults=tuple(FAULTS),
)
