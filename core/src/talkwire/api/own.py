"""Routes that are not ours: `/c/<account>/…` of channels, `/p/<plugin>/…` of plugins and notifiers.

A page of ours learns here which modules of plugins join it, and names none.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from aiohttp import web

from ..channel import Route
from ..errors import PLUGIN_MAY_RAISE
from ..hooks import Pages
from . import problems
from .engine import ENGINE, Engine
from .pages import page
from .remote import remote_of
from .routes import api
from .routing import Call
from .shapes import Body


class PageModulesOut(Body):
    """Which modules join our pages."""

    items: list[str]
    """Paths on this origin, in the order of the plugins; a page imports each and calls its `join(page)`."""


@api.add("GET", "/page-modules", gives=PageModulesOut)
async def page_modules(call: Call[None, None]) -> PageModulesOut:
    """List the modules of plugins that a page of ours loads."""
    found = call.engine.plugins.register("register_pages")
    return PageModulesOut(items=[f"/p/{plugin}/{pages.joins}" for plugin, pages in found if pages.joins])


async def of_channel(request: web.Request) -> web.StreamResponse:
    """Serve a route of an account's channel; who its own people are, the channel knows."""
    runtime = request.app[ENGINE].account(request.match_info["name"])
    if runtime is None or runtime.channel is None:
        return problems.response("not_found")
    try:
        routes = tuple(runtime.channel.routes())
    except PLUGIN_MAY_RAISE as error:  # as a handler's
        return problems.of(error)
    return await _served(request, routes, {"hub": runtime.channel.hub})


async def of_plugin(request: web.Request) -> web.StreamResponse:
    """Serve a route or a page of a plugin; `hub.principal(request)` tells its handlers who asks."""
    engine, name = request.app[ENGINE], request.match_info["name"]
    routes = [route for plugin, route in engine.plugins.register("register_routes") if plugin == name]
    routes += [route for plugin, route in engine.notifier_routes() if plugin == name]
    return await _served(request, routes, {"hub": engine.hub.of(name)}, _pages(engine, name))


def _pages(engine: Engine, name: str) -> Pages | None:
    return next((found for plugin, found in engine.plugins.register("register_pages") if plugin == name), None)


async def _served(
    request: web.Request, routes: Iterable[Route], lent: Mapping[str, Any], pages: Pages | None = None
) -> web.StreamResponse:
    below = request.match_info["below"]
    for route in routes:
        match = _pattern(route.path).fullmatch("/" + below)
        if match is None or route.method.upper() not in (request.method, "*"):
            continue
        request.match_info.update(match.groupdict())
        seen = request.clone(remote=remote_of(request, request.app[ENGINE].config.server.trusted_proxies))
        try:
            return await route.handler(seen, **_wanted(route.handler, lent))
        except web.HTTPException:
            raise
        except PLUGIN_MAY_RAISE as error:  # a plugin's handler hurts only its own request
            if request.writer.output_size and request.transport is not None:
                request.transport.close()  # a socket or a stream has begun: no answer fits into it any more
            return problems.of(error)
    found = None
    if pages is not None and request.method in ("GET", "HEAD"):
        prefix = f"/p/{request.match_info['name']}/"
        found = page(pages.folder, below, pages.csp, worker=pages.worker, scope=prefix)
    return problems.response("not_found") if found is None else found


def _wanted(handler: Any, lent: Mapping[str, Any]) -> dict[str, Any]:
    return {name: lent[name] for name in inspect.signature(handler).parameters if name in lent} if lent else {}


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """Make a pattern of a path with `{names}`."""
    steps = re.split(r"\{(\w+)\}", "/" + path.lstrip("/"))
    return re.compile("".join(f"(?P<{s}>[^/]+)" if i % 2 else re.escape(s) for i, s in enumerate(steps)))
