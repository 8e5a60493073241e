"""The operator's page: conversations, what became of each message, facts as they happen; served on the admin port.

Who may use it: a program of the user that the daemon runs as signs in by itself, since that user can read the
database anyway; everybody else gives an API key. The session can do what a host can, and no more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from .. import problems
from ..engine import ENGINE
from ..pages import page
from ..principals import Principal, Scope
from .whole import whole

_FOLDER = Path(__file__).parent / "page"
_CSP = {
    "font-src": "'none'",
    "form-action": "'none'",
    "media-src": "'self'",  # voice notes and films
    "frame-src": "'self'",  # the whole of a mail, which is a document of its own
    "require-trusted-types-for": "'script'",  # no string becomes markup: the browser refuses innerHTML
}
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
_OPERATOR = Principal("operator:local", Scope.HOST)
_UNKNOWN = -1  # no user has this number


def add_page(app: web.Application) -> None:
    """Add the page, its files and its way to sign in to the admin port's application."""
    app.router.add_get("/", _page)
    app.router.add_get("/trace", _trace)
    app.router.add_get("/operator/messages/{message}/whole", whole)
    app.router.add_get("/operator/{file}", _page)
    app.router.add_post("/operator/session", _sign_in)


async def _page(request: web.Request) -> web.StreamResponse:
    found = page(_FOLDER, request.match_info.get("file", ""), _CSP)
    return problems.response("not_found") if found is None else found


async def _trace(_: web.Request) -> web.StreamResponse:
    found = page(_FOLDER, "trace.html", _CSP)
    assert found is not None  # it lies beside this file
    return found


async def _sign_in(request: web.Request) -> web.Response:
    """Begin a session for whoever runs as we do, on this machine, from this page; one that holds goes on.

    Another site's page is refused by its origin, one whose name was bound anew to 127.0.0.1 by its host, a proxy by
    its headers, another user of this machine by the owner of the connection.
    """
    if not _is_this_page(request) or not _is_direct(request):
        return problems.response("forbidden", "Only this machine's own page signs in like this.")
    principals = request.app[ENGINE].principals
    try:
        return _says(await principals.principal(request))
    except (problems.Unauthenticated, problems.Forbidden):
        pass  # no session yet
    if not await asyncio.to_thread(_is_ours, request.transport):
        return problems.response("unauthenticated", "Sign in with an API key.")
    response = _says(_OPERATOR)
    await principals.sign_in(response, _OPERATOR)
    return response


def _says(principal: Principal) -> web.Response:
    return problems.unstored(web.json_response({"principal": principal.name, "scope": principal.scope.name.lower()}))


def _is_this_page(request: web.Request) -> bool:
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    if request.headers.get("Origin", "") != f"http://{request.host}":  # browsers send it with every POST
        return False
    return host == "localhost" or _is_loopback(host)


def _is_direct(request: web.Request) -> bool:
    return _is_loopback(request.remote or "") and not any(name in request.headers for name in _FORWARDED)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ours(transport: asyncio.Transport | None) -> bool:
    """Say whether the other end of a connection belongs to our own user."""
    if transport is None:
        return False
    ours, theirs = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
    return hasattr(os, "getuid") and _owner(theirs, ours) == os.getuid()


def _owner(local: tuple[str, int], remote: tuple[str, int]) -> int:
    """Give the user number of a TCP socket of this machine; one that nobody has where it cannot be known.

    Source: proc(5), /proc/net/tcp: words of 32 bits in the machine's own order, in hexadecimal; read 2026-11-23.
    """
    table, wanted = "tcp6" if ":" in local[0] else "tcp", [_hex(local), _hex(remote)]
    try:
        lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
    except OSError:  # not Linux
        return _UNKNOWN
    rows = (line.split() for line in lines)
    # Established ones only: what a program has closed belongs to nobody and is shown as root's.
    return next((int(row[7]) for row in rows if row[1:4] == [*wanted, "01"]), _UNKNOWN)


def _hex(end: tuple[str, int]) -> str:
    host, port = end[:2]
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    words = [int.from_bytes(packed[i : i + 4], sys.byteorder) for i in range(0, len(packed), 4)]
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
