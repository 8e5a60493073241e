"""What an operator asks when nobody answered: where is it, and what became of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .. import readmodels
from ..oversight import evidence, story
from ..store import Query
from .principals import Scope
from .routes import api
from .routing import Call
from .shapes import Body, page_of, shape


class TraceQuery(Body):
    """How much of a story."""

    bodies: bool = False
    """Texts, and what was said to the provider."""


@api.add("GET", "/messages/{id}/trace", scope=Scope.HOST, query=TraceQuery, gives=page_of(story.TraceLine))
async def trace(call: Call[TraceQuery, None]) -> readmodels.Page[story.TraceLine]:
    """Tell a message's whole story: envelope, attempts, exchanges, reports."""

    def look(query: Query) -> tuple[story.TraceLine, ...]:
        readmodels.message(query, call.id())
        return story.tell(query, call.id(), bodies=call.query.bodies).lines

    return readmodels.Page(await call.engine.store.read(look))


@api.add("GET", "/trace/{id}", scope=Scope.HOST, query=TraceQuery, gives=shape(story.Story))
async def tell(call: Call[TraceQuery, None]) -> story.Story:
    """Tell what became of a message or a whole talk, and why it stands still.

    `id` is that of a message, conversation, delivery, envelope or contact, an address, or a phone number in any form.
    """
    return await call.engine.store.read(lambda query: story.tell(query, call.id(), bodies=call.query.bodies))


class FindQuery(Body):
    """What is looked for."""

    text: Annotated[str, Field(min_length=1, max_length=200)]
    """A text, an address, a phone number in any form, or an id of anything."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20


@api.add("GET", "/find", scope=Scope.HOST, query=FindQuery, gives=page_of(evidence.Found))
async def find(call: Call[FindQuery, None]) -> readmodels.Page[evidence.Found]:
    """Find messages, parts, envelopes and people, and say of a talk why it stands still."""
    wanted = call.query

    def look(query: Query) -> tuple[evidence.Found, ...]:
        return tuple(evidence.explained(query, evidence.find(query, wanted.text, limit=wanted.limit)))

    return readmodels.Page(await call.engine.store.read(look))
