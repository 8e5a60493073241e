"""The log for clients: pulled page by page, or as a stream that goes on where it broke off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response
from pydantic import Field
from pydantic_core import to_json

from .. import facts, readmodels
from ..errors import HistoryGone, StoreDown
from ..store import Query
from . import problems
from .engine import Engine
from .routes import api
from .routing import Call
from .shapes import Body, Words, shape

_LOOK_AGAIN = 2  # seconds; a hint that there is more may be lost, a key may be revoked
_READS_WITHIN = 120  # seconds that a client may take none of what is sent


class EventQuery(Body):
    """Which facts."""

    after: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """The last one you have; nothing: from now on."""
    types: Words = ()
    """Separated by commas; nothing: all."""
    account: str = ""
    wait: Annotated[float, Field(ge=0, le=30)] = 0
    """Seconds to wait for the first one."""
    limit: Annotated[int, Field(ge=1, le=500)] = 500
    typing: bool = False
    """In a stream: also who types, as events `typing` with `account`, `address`, `on`; hints, of which some may be lost."""


@api.add(
    "GET",
    "/events",
    query=EventQuery,
    gives=shape(readmodels.Facts),
    errors=["cursor_expired"],
    headers=["Last-Event-ID"],
    streams=True,
)
async def events(call: Call[EventQuery, None]) -> readmodels.Facts | web.StreamResponse:
    """Give the facts that follow a cursor, at most 500; as text/event-stream, if you accept that, without an end.

    A cursor older than the log gives 410 `cursor_expired`: take a fresh look, then go on from the log's head.
    """
    _are_told(call.engine, call.query.types)
    after = call.query.after
    if "text/event-stream" in call.request.headers.get("Accept", ""):
        last = call.request.headers.get("Last-Event-ID", "")
        if last and not (last.isascii() and last.isdigit() and len(last) < 19):
            raise problems.Invalid("Last-Event-ID", "give it as it came")
        return await _stream(call, int(last) if last else after)
    try:
        async with asyncio.timeout(call.query.wait or None):
            while True:
                more = call.engine.tail.more
                found = await _read(call, after)
                after = found.next
                if found.items or not call.query.wait or call.engine.tail.closed:
                    return found
                if found.next == found.head:
                    await _news(more)
    except TimeoutError:
        return await _read(call, after)


def _are_told(engine: Engine, types: Sequence[str]) -> None:
    """Refuse to wait for what nobody tells. Errors: `Invalid`."""
    config = engine.config
    plugins = {*config.enabled, *engine.plugins.settings_models, *(one.channel for one in config.accounts.values())}
    for name in types:
        if reason := facts.no_such(name, plugins):
            raise problems.Invalid("types", reason)


async def _read(call: Call[EventQuery, None], after: int | None) -> readmodels.Facts:
    wanted = call.query

    def look(query: Query) -> readmodels.Facts:
        start = readmodels.head(query) if after is None else after
        return readmodels.facts(query, start, types=wanted.types, account=wanted.account, limit=wanted.limit)

    return await call.engine.store.read(look)


async def _news(more: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_LOOK_AGAIN):
            await more.wait()
    except TimeoutError:
        return


async def _stream(call: Call[EventQuery, None], after: int | None) -> web.StreamResponse:
    """Send pages as they come; who reads slowly is waited for, and holds no more than one page."""
    tail = call.engine.tail
    more = tail.more
    found = await _read(call, after)  # an expired cursor is a plain 410
    async with sse_response(call.request) as stream, asyncio.TaskGroup() as group:
        hints = group.create_task(_tell_typing(call, stream)) if call.query.typing else None
        told = found.next if after is None else after
        try:
            while not tail.closed:
                if said := _said(found, told):
                    async with _read_in_time(call.request):
                        await stream.write(said)
                told = max(told, found.next)
                if found.next == found.head:
                    await _news(more)
                await call.engine.principals.principal(call.request)  # a revoked key hears no more
                more = tail.more
                found = await _read(call, told)
        except HistoryGone as error:
            await stream.send(str(error), event="resync")  # ends: the next Last-Event-ID gets the 410
        except (ConnectionResetError, TimeoutError, StoreDown, problems.Unauthenticated):
            pass  # the client comes again with its Last-Event-ID
        finally:
            if hints is not None:
                hints.cancel()
    return stream


def _said(found: readmodels.Facts, told: int) -> bytes:
    """Write a page as events; where the log goes on without any for this client, its cursor moves all the same.

    JSON holds no end of a line; a plugin's type of a fact must not hold one either.
    """
    events = [
        b"id: %d\r\nevent: %b\r\ndata: %b\r\n\r\n" % (fact.seq, " ".join(fact.type.split()).encode(), to_json(fact))
        for fact in found.items
    ]
    last = found.items[-1].seq if found.items else told
    if found.next > last:
        events.append(b"id: %d\r\n\r\n" % found.next)
    return b"".join(events)


@asynccontextmanager
async def _read_in_time(request: web.Request) -> AsyncIterator[None]:
    """Cut off a client that takes nothing for too long: to close its connection would wait for it. Errors: `TimeoutError`."""
    try:
        async with asyncio.timeout(_READS_WITHIN):
            yield
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise


async def _tell_typing(call: Call[EventQuery, None], stream: EventSourceResponse) -> None:
    """Pass on who types; a hint has no id, so that a client's cursor stays where the log is."""
    try:
        async for hint in call.engine.hub.subscribe("typing"):
            if call.query.account in ("", hint.get("account")):
                await stream.send(to_json(hint).decode(), event="typing")
    except (ConnectionResetError, TimeoutError):
        pass  # the stream finds out by itself
