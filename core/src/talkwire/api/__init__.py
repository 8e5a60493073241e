"""Talkwire over HTTP: where providers knock, the API for hosts, the pages and routes of channels and plugins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from pydantic_core import to_json

from .. import readmodels
from ..errors import StoreDown
from . import attachments, events, metrics, notifications, operator, own, tracing, webhooks
from .engine import ENGINE, Engine
from .front import Front
from .inbound import PREFIX, RECEIVER, receiver
from .routes import api
from .routing import BODY_LIMIT

__all__ = ["Engine", "Front", "api", "make_admin", "make_app"]

_DATABASE_WITHIN = 2  # seconds; a probe that waits longer is asked again anyway
_ADDED = (
    attachments,
    events,
    notifications,
    tracing,
    webhooks,
)  # each adds its operations to `api` when it is imported


def make_app(engine: Engine) -> web.Application:
    """Make what the public port serves. No middleware: `/in/` is the path that has to be fast."""
    limits = [channel.features.body_limit for channel in engine.plugins.channels.values()]
    # The largest body anybody takes; each endpoint looks at its own limit before it reads.
    app = web.Application(client_max_size=max([engine.config.server.body_limit, BODY_LIMIT, *limits]))
    app[RECEIVER] = receiver(engine)
    app.router.add_route("*", PREFIX + "{below:.*}", app[RECEIVER].receive)
    _add_api(app, engine)
    app.router.add_get("/media/{id}", attachments.media)
    app.router.add_route("*", "/c/{name}/{below:.*}", own.of_channel)
    app.router.add_get("/livez", _ok)
    return app


def make_admin(engine: Engine) -> web.Application:
    """Make what the admin port serves: health with reasons, metrics, the operator's page, the API for it and what joins it."""
    app = web.Application(client_max_size=BODY_LIMIT)
    _add_api(app, engine)
    operator.add_page(app)
    metrics.add_metrics(app)
    app.router.add_get("/media/{id}", attachments.media)
    app.router.add_get("/livez", _livez)
    app.router.add_get("/readyz", _readyz)
    return app


def _add_api(app: web.Application, engine: Engine) -> None:
    app[ENGINE] = engine
    app.add_routes(api.routes())
    app.router.add_route("*", "/p/{name}/{below:.*}", own.of_plugin)  # beside the API, so that a session's cookie holds


async def _ok(request: web.Request) -> web.Response:
    """Say no more to the world than whether we live."""
    stuck = request.app[ENGINE].stuck()
    return web.Response(text="stuck" if stuck else "ok", status=503 if stuck else 200)


async def _livez(request: web.Request) -> web.Response:
    return _health(request.app[ENGINE].stuck())


async def _readyz(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    reasons = [*engine.stuck(), *engine.not_ready()]
    try:
        async with asyncio.timeout(_DATABASE_WITHIN):
            await engine.store.read(readmodels.head)
    except TimeoutError:
        reasons.append(f"database: no answer within {_DATABASE_WITHIN} s")
    except StoreDown as error:
        reasons.append(f"database: {error}")
    # What a notifier cannot do is no reason to send requests elsewhere.
    return _health(list(dict.fromkeys(reasons)), media=engine.media())


def _health(reasons: Sequence[str], **beside: Any) -> web.Response:
    body = to_json({"ok": not reasons, "reasons": reasons, **beside})
    return web.Response(body=body, status=503 if reasons else 200, content_type="application/json")
