"""What recipients see and change of their own: the devices that show them notifications, and Web Push of a browser."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from talkwire import NotFound, Principal, Route, TooLarge

from . import rows
from .protocol import Name

if TYPE_CHECKING:
    from .notifier import DesktopNotifier

_BODY = 8192  # bytes
_POINT, _SECRET = 65, 16  # bytes of a key on P-256, uncompressed, and of `auth` (RFC 8291, section 3.1 and 3.2)


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class Keys(_Model):
    """By which a browser reads what is pushed to it."""

    p256dh: Annotated[str, Field(max_length=100, repr=False)]
    auth: Annotated[str, Field(max_length=40, repr=False)]

    @field_validator("p256dh")
    @classmethod
    def _is_a_point(cls, value: str) -> str:
        if len(point := _decoded(value)) != _POINT or point[0] != 4:  # 4: uncompressed
            raise ValueError("this is no uncompressed point of P-256 in base64url")
        return value

    @field_validator("auth")
    @classmethod
    def _is_a_secret(cls, value: str) -> str:
        if len(_decoded(value)) != _SECRET:
            raise ValueError("these are not 16 bytes in base64url")
        return value


class Subscribed(_Model):
    """What `PushSubscription.toJSON()` gives, and the name of the device."""

    endpoint: Annotated[str, Field(max_length=2048, repr=False)]
    keys: Keys
    device: Name = ""

    @field_validator("endpoint")
    @classmethod
    def _is_elsewhere(cls, value: str, info: ValidationInfo) -> str:
        if not (info.context or {})["push"].may_call(value):
            raise ValueError("this is not the https address of a push service")
        return value


class Endpoint(_Model):
    """Which subscription has ended."""

    endpoint: Annotated[str, Field(max_length=2048, repr=False)]


class Showed(_Model):
    """Which notification a service worker shows."""

    id: Annotated[str, Field(max_length=64)]


class Devices:
    """The routes below `/p/notify_desktop/` that are no socket."""

    def __init__(self, notifier: DesktopNotifier) -> None:
        self._notifier = notifier

    def routes(self) -> Sequence[Route]:
        """Name them."""
        return (
            Route("GET", "/devices", self._list),
            Route("DELETE", "/devices/{id}", self._forget),
            Route("POST", "/subscriptions", self._subscribe),
            Route("DELETE", "/subscriptions", self._unsubscribe),
            Route("POST", "/shown", self._shown),
        )

    async def _recipient(self, request: web.Request) -> str:
        """Give who asks, as a recipient. Errors: `NotFound`; a 401 or 403 problem."""
        principal = await self._notifier.hub.principal(request)
        assert isinstance(principal, Principal)
        return self._notifier.services.recipient(principal.recipient).name

    async def _list(self, request: web.Request) -> web.Response:
        """List the devices of whoever asks."""
        recipient = await self._recipient(request)
        hub = self._notifier.hub
        surfaces = await hub.read(lambda query: rows.surfaces(query, recipient))
        living = await hub.daemons()
        woken = await hub.read(lambda query: rows.subscriptions(query, recipient))
        devices = [_surface(one, connected=one.daemon in living) for one in surfaces]
        return _said({"devices": [*devices, *map(_subscription, woken)], "push_key": self._notifier.push.key})

    async def _forget(self, request: web.Request) -> web.Response:
        """Forget a device; its connection is closed."""
        await self._notifier.forget(await self._recipient(request), request.match_info["id"])
        return web.Response(status=204)

    async def _subscribe(self, request: web.Request) -> web.Response:
        """Let a browser be woken by its push service."""
        recipient = await self._recipient(request)
        wanted = Subscribed.model_validate_json(await _body(request), context={"push": self._notifier.push})
        one = rows.Subscription(
            id=uuid4().hex,
            recipient=recipient,
            endpoint=wanted.endpoint,
            p256dh=wanted.keys.p256dh.rstrip("="),
            auth=wanted.keys.auth.rstrip("="),
            name=wanted.device,
            seen_at=self._notifier.clock.now(),
        )
        return _said({"id": await self._notifier.hub.write(rows.subscribe, one)}, status=201)

    async def _unsubscribe(self, request: web.Request) -> web.Response:
        """Let a browser be woken no more."""
        recipient = await self._recipient(request)
        gone = Endpoint.model_validate_json(await _body(request))
        await self._notifier.hub.write(rows.unsubscribe_at, (recipient, gone.endpoint))
        return web.Response(status=204)

    async def _shown(self, request: web.Request) -> web.Response:
        """Note that a service worker shows what was pushed to it."""
        recipient = await self._recipient(request)
        showed = Showed.model_validate_json(await _body(request))
        found = await self._notifier.hub.notification(showed.id)
        if found is None or found.recipient != recipient:
            raise NotFound("there is no such notification")
        await self._notifier.shows(found.id)
        return web.Response(status=204)


def _surface(one: rows.SurfaceRow, *, connected: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "name": one.name,
        "connected": connected,
        "able": connected and one.able,
        "why_not": one.why_not if connected else "not_connected",
        "seen_at": one.seen_at.isoformat(),
    }


def _subscription(one: rows.Subscription) -> dict[str, Any]:
    service = urlsplit(one.endpoint).hostname or ""  # the rest of the address is a secret
    return {
        "id": one.id,
        "kind": "push",
        "name": one.name,
        "service": service,
        "able": True,
        "why_not": "",
        "seen_at": one.seen_at.isoformat(),
    }


def _said(body: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store"})


async def _body(request: web.Request) -> bytes:
    body = await request.content.read(_BODY + 1)
    while len(body) <= _BODY and (more := await request.content.read(_BODY + 1 - len(body))):
        body += more
    if len(body) > _BODY:
        raise TooLarge(f"this takes {_BODY} bytes at most")
    return body


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
