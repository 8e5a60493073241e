"""What every simulated provider has beside its protocol: the customer's page, knobs for what goes wrong, a live feed.

    class Gateway(SimulatedProvider):
        knobs = {"The gateway": {"busy": "has no room for what we send (503)"}}

        def __init__(self) -> None:
            super().__init__(__package__)
            self.messages = []

        def app(self):
            app = super().app()
            app.router.add_post("/send", self.send)
            app.router.add_post("/sim/messages", self.write)
            return app

        def everything(self):
            return {"all": self.messages}

The page lies in the folder `page` of the package: one `.html`, which is served at `/`, and what it needs, by its name.
Beside them this serves `/frame.css` (colours, the phone, the knobs) and `/frame.js` (`at`, `make`, `post`, `live`,
`talk`, `composer`), of which each says at its head what a page has to hold for it. `POST /sim/faults` takes
`{"on": ["busy"]}`; `GET /sim/stream` tells `everything()` first, then each `tell(…)`, as server-sent events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from importlib.resources import files
from typing import Any, ClassVar

import aiohttp
from aiohttp import web

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_PATIENCE = 30.0  # seconds that an endpoint of ours may take


class SimulatedProvider:
    """A provider that keeps what happened in memory, with a page that plays the customer."""

    knobs: ClassVar[Mapping[str, Mapping[str, str]]] = {}  # who does it → name of the fault → what he does then
    body_limit: ClassVar[int] = 64 * 1024  # bytes of one request

    def __init__(self, package: str) -> None:
        """Begin with nothing; `package` is the name of the package that has the folder `page`."""
        self.faults: set[str] = set()  # what goes wrong now; the same set for ever
        self.session: Any = None  # an `aiohttp.ClientSession` while the application is served
        self._pages = {**dict(_pages(__package__)), **dict(_pages(package))}
        self._watchers: set[asyncio.Queue[Mapping[str, Any] | None]] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    def app(self) -> web.Application:
        """Make the application, with the page, the knobs and the feed."""
        app = web.Application(middlewares=[_safe], client_max_size=self.body_limit)
        app.router.add_get("/sim/faults", self._show_faults)
        app.router.add_post("/sim/faults", self._set_faults)
        app.router.add_get("/sim/stream", self._stream)
        for path in self._pages:
            app.router.add_get(path, self._page)
        app.cleanup_ctx.append(self._run)
        app.on_shutdown.append(self._hang_up)
        return app

    def everything(self) -> Mapping[str, Any]:
        """Give what a page that opens now must know."""
        return {}

    async def start(self) -> None:
        """Start what runs beside the application."""

    async def stop(self) -> None:
        """Stop that, and what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, event: Mapping[str, Any]) -> None:
        """Tell every open page."""
        for watcher in self._watchers:
            watcher.put_nowait(event)

    def later(self, work: Awaitable[None]) -> None:
        """Do this beside the answer; it ends with the application."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Wait until nothing that `later` began is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def fault(self, *names: str) -> None:
        """Let exactly these go wrong from now on. Errors: `ValueError`."""
        if unknown := set(names) - set(self.fault_names()):
            raise ValueError(f"no fault is called {', '.join(sorted(unknown))}")
        self.faults.clear()
        self.faults.update(names)
        self.tell({"faults": sorted(self.faults)})

    @classmethod
    def fault_names(cls) -> tuple[str, ...]:
        """Give the names of all that can go wrong, for `Simulator.faults`."""
        return tuple(name for knobs in cls.knobs.values() for name in knobs)

    # --- for who talks with one over HTTP ----------------------------------------------------------------------

    @staticmethod
    async def ask(method: str, url: str, given: Mapping[str, Any] | None = None) -> Any:
        """Ask a simulator that is served; gives its JSON. Errors: `aiohttp.ClientError`."""
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.request(method, url, json=given) as answer,
        ):
            return await answer.json()

    @staticmethod
    async def set_fault(base_url: str, name: str) -> None:
        """Turn one knob, or with an empty name all of them back, as `Simulator.fault` must."""
        await SimulatedProvider.ask("POST", f"{base_url}/sim/faults", {"on": [name] if name else []})

    @staticmethod
    async def given(request: web.Request) -> dict[str, Any]:
        """Read what the page sent. Errors: 415 for what other sites' pages could send unasked, 400."""
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text="application/json")
        try:
            given = await request.json()
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise web.HTTPBadRequest(text="a JSON object")
        return given

    # --- what is served ----------------------------------------------------------------------------------------

    async def _run(self, app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as self.session:
            await self.start()
            yield
            await self.stop()

    async def _hang_up(self, app: web.Application) -> None:
        for watcher in self._watchers:
            watcher.put_nowait(None)

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=self._pages[request.path], content_type=_kind(request.path))

    async def _show_faults(self, request: web.Request) -> web.Response:
        return web.json_response({"on": sorted(self.faults), "all": self.knobs})

    async def _set_faults(self, request: web.Request) -> web.Response:
        wanted = (await self.given(request)).get("on", [])
        known = self.fault_names()
        if not isinstance(wanted, list) or not all(isinstance(name, str) and name in known for name in wanted):
            raise web.HTTPBadRequest(text=f"on is a list of: {', '.join(known)}")
        self.fault(*wanted)
        return await self._show_faults(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        watcher: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        watcher.put_nowait({**self.everything(), "faults": sorted(self.faults)})
        self._watchers.add(watcher)
        try:
            await response.prepare(request)
            while (event := await watcher.get()) is not None:
                await response.write(f"data: {json.dumps(event)}\n\n".encode())
        except ConnectionResetError:
            pass  # the page was closed
        finally:
            self._watchers.discard(watcher)
        return response


def _pages(package: str) -> Iterator[tuple[str, str]]:
    for file in (files(package) / "page").iterdir():
        yield "/" if file.name.endswith(".html") else f"/{file.name}", file.read_text("utf-8")


def _kind(path: str) -> str:
    return _KINDS[path.rpartition(".")[2] if path != "/" else "html"]


@web.middleware
async def _safe(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    response = await handler(request)
    if not response.prepared:
        response.headers.update(
            {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        )
        response.headers.setdefault("Cache-Control", "no-store")
    return response
