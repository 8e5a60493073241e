"""The page that `talkwire demo` ends with: a door to each customer, to the operator's page, and what to type."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Awaitable, Callable
from importlib.resources import files
from string import Template

from aiohttp import web

from .scene import Stage

_CSP = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def start_app(seen: Stage) -> web.Application:
    """Serve the page and its style sheet."""
    folder = files(__package__) / "start"
    body = _start_page((folder / "start.html").read_text("utf-8"), seen)
    css = (folder / "start.css").read_text("utf-8")
    headers = {"Content-Security-Policy": _CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    def gives(text: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(text=text, content_type=content_type, headers=headers)

        return handler

    app = web.Application()
    app.router.add_get("/", gives(body, "text/html"))
    app.router.add_get("/start.css", gives(css, "text/css"))
    return app


def _start_page(template: str, seen: Stage) -> str:
    said = html.escape
    doors = [
        f'<a class="door" href="{said(p.base_url)}/" target="talkwire-{said(p.account)}">{said(p.simulator.title)}</a>'
        for p in seen.players
    ]
    config = seen.folder / "talkwire.toml"
    commands = [
        f'KEY="Authorization: Bearer $(cat {seen.folder / "demo.key"})"',
        f"API={seen.api}/api/v1",
        'curl -H "$KEY" $API/conversations',
        'curl -H "$KEY" -H "Accept: text/event-stream" --no-buffer $API/events',
        """curl -H "$KEY" --json '{"text": "It arrives **today**."}' $API/conversations/ID/replies""",
    ]
    line = [f"talkwire --config {config} {command}" for command in ("status", "find parcel", "trace parcel")]
    count = len(seen.players)
    temporary = seen.folder.is_relative_to(tempfile.gettempdir())
    return Template(template).substitute(
        count="One channel" if count == 1 else f"{count} channels",
        customers="\n      ".join(doors),
        operator=said(seen.operator),
        api=said(seen.api),
        commands=said("\n".join(commands)),
        line=said("\n".join(line)),
        folder=said(str(seen.folder)),
        life=", which goes away with the demo." if temporary else ".",
    )
