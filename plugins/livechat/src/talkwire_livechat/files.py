"""Files that visitors send: taken as they come, kept as ours, and theirs alone to put into a message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

from talkwire import Hub, Rejected, StoreDown, TooLarge, Unreadable

from . import rows
from .quotas import Quota
from .rows import known
from .visitors import Visitor

if TYPE_CHECKING:
    from .channel import LiveChat

_CHUNK = 64 * 1024  # bytes
_CHUNK_WITHIN = 30  # seconds


class Uploads:
    """Takes files in, from allowed websites, of visitors that we know."""

    def __init__(self, channel: LiveChat, quota: Quota) -> None:
        self._channel = channel
        self._quota = quota

    async def preflight(self, request: web.Request) -> web.Response:
        """Tell a browser which websites may upload."""
        headers = self._headers(request)
        if headers:
            headers |= {
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": "authorization, x-file-name, content-type",
                "Access-Control-Max-Age": "600",
            }
        return web.Response(status=204 if headers else 403, headers=headers)

    async def take(self, request: web.Request, hub: Hub) -> web.Response:
        """Take one file: the raw body, its name percent-encoded in `X-File-Name`."""
        headers = self._headers(request)
        try:
            if not headers:
                raise _Not(403, "origin")
            return web.json_response(await self._taken(request, hub), status=201, headers=headers)
        except _Not as refused:
            return web.json_response(refused.said, status=refused.status, headers=headers)

    async def _taken(self, request: web.Request, hub: Hub) -> dict[str, Any]:
        channel, settings = self._channel, self._channel.settings.files
        visitor = self._visitor(request)
        if not settings.allowed:
            raise _Not(403, "not_allowed")
        met = await hub.read(lambda query: known(query, channel.account, visitor.id))
        consent = channel.settings.consent
        if consent is not None and not (met.accepted and met.consent == consent.name):
            raise _Not(403, "consent")
        if (request.content_length or 0) > settings.limit:
            raise _Not(413, "too_large", limit=settings.limit)
        if wait := self._quota.take(visitor.id, channel.clock.now()):
            raise _Not(429, "too_many", retry_after=round(wait.total_seconds(), 1))
        name = unquote(request.headers.get("X-File-Name", ""), errors="replace")[:300]
        try:
            file = await hub.keep_file(_chunks(request), name=name, limit=settings.limit)
        except TooLarge:
            raise _Not(413, "too_large", limit=settings.limit) from None
        except Unreadable:
            raise _Not(422, "empty") from None
        except TimeoutError:
            raise _Not(408, "too_slow") from None
        except StoreDown:
            raise _Not(503, "later") from None
        if not _is_of(settings.types, file.media_type):
            raise _Not(415, "type_refused")
        await hub.write(rows.uploaded, (file.id, channel.account, visitor.id, channel.clock.now()))
        return {"id": file.id, "name": file.name, "media_type": file.media_type, "size": file.size}

    def _visitor(self, request: web.Request) -> Visitor:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            return self._channel.visitors.of_token(token, self._channel.clock.now())
        except Rejected:
            raise _Not(401, "token") from None

    def _headers(self, request: web.Request) -> dict[str, str]:
        origin = request.headers.get("Origin", "")
        if not self._channel.origins.allow(origin):
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


class _Not(Exception):
    """A file that is not taken."""

    def __init__(self, status: int, code: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.said = {"code": code, **more}


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    while True:
        async with asyncio.timeout(_CHUNK_WITHIN):
            chunk = await request.content.read(_CHUNK)
        if not chunk:
            return
        yield chunk


def _is_of(types: tuple[str, ...], media_type: str) -> bool:
    family = media_type.split("/", 1)[0] + "/*"
    return any(one in (media_type, family, "*/*") for one in types)
