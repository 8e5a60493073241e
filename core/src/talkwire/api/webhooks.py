"""The host's webhooks: how each stands, and what it is told again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from .. import readmodels
from ..errors import NotFound
from ..oversight import evidence
from ..store import Query
from .principals import Scope
from .routes import api
from .routing import Call
from .shapes import Body, Out, page_of

_MOST = 10_000  # parked facts of one replay
_PARKED = "SELECT seq FROM parked WHERE reader = :reader ORDER BY seq LIMIT :most"


class WebhookOut(Out):
    """A webhook, and how far it was told."""

    name: str
    host: str  # scheme, host and port; the whole URL may hold a secret
    types: tuple[str, ...]  # of facts; empty: all
    accounts: tuple[str, ...]  # empty: all
    state: str  # active; gone: it answered 410
    behind: int  # facts of the log
    parked: int
    down_since: datetime | None
    last_error: str


class ReplayIn(Body):
    """What to tell again."""

    seq: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    """A fact, whether it was taken or not; nothing: all that are parked."""


class ToldOut(Out):
    """What is told again."""

    facts: int


@api.add("GET", "/webhooks", scope=Scope.HOST, gives=page_of(WebhookOut))
async def webhooks(call: Call[None, None]) -> readmodels.Page[WebhookOut]:
    """List webhooks, and how far each was told."""
    found = {one.name: one for one in await call.engine.store.read(evidence.readers)}
    return readmodels.Page(
        tuple(
            WebhookOut(
                name=one.name,
                host=one.host,
                types=one.types,
                accounts=one.accounts,
                state=reader.state,
                behind=reader.behind,
                parked=reader.parked,
                down_since=reader.down_since,
                last_error=reader.last_error,
            )
            for one in call.engine.config.webhooks
            if (reader := found.get(one.reader)) is not None
        )
    )


@api.add(
    "POST", "/webhooks/{name}:replay", scope=Scope.HOST, audited=True, body=ReplayIn, gives=ToldOut, errors=["conflict"]
)
async def replay(call: Call[None, ReplayIn]) -> ToldOut:
    """Tell a webhook one fact again, or all that it refused until they were parked.

    They go with their first `webhook-id` and with `replayed`, in order within a conversation.
    """
    one = next((one for one in call.engine.config.webhooks if one.name == call.id("name")), None)
    if one is None:
        raise NotFound("there is no such webhook")
    seq = call.body.seq
    if seq is not None:
        await call.engine.readers.replay(one.reader, seq, wanted=one.is_told)
        return ToldOut(facts=1)

    def parked(query: Query) -> list[int]:
        return [row[0] for row in query.execute(_PARKED, {"reader": one.reader, "most": _MOST})]

    seqs = await call.engine.store.read(parked)
    for each in seqs:
        await call.engine.readers.replay(one.reader, each)
    return ToldOut(facts=len(seqs))
