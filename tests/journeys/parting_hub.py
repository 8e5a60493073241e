"""A hub with a second account, `post`, of a channel with threads, subjects, copies and forwards; no network is in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from talkwire import (
    Address,
    Draft,
    Forward,
    Level,
    Outgoing,
    Receipt,
    RenderContext,
    Rendered,
    SendError,
    State,
    hookimpl,
)
from tests.journeys.acme_hub import AcmeHub, FullAcme, full

SETTINGS = """
[accounts.post]
channel = "post"
token = "kit-token-0123456789"
secret = "kit-secret-0123456789"
"""
ANN = Address(kind="email", value="ann@example.org")


class Post(FullAcme):
    """Hands letters to nobody, and remembers them."""

    type = "post"
    features = replace(
        FullAcme.features,
        text_limit=10_000,
        reaches=frozenset({"email"}),
        threads=True,
        references=True,
        subject=Level.FULL,
        copies=Level.FULL,
        forward=Level.FULL,
    )

    def prepare(self) -> None:
        super().prepare()
        self.outs: list[Outgoing] = []
        self.contexts: list[RenderContext] = []
        self.faults: dict[str, SendError] = {}  # by who it goes to
        self.holds: dict[str, asyncio.Event] = {}  # by who it goes to: it ends when this is set
        self.before: Callable[[str], None] = lambda _: None  # called when it is asked to `render` or to `send`

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        self.before("render")
        self.contexts.append(context)
        own = tuple(block for block in draft.blocks if not isinstance(block, Forward))
        return super().render(replace(draft, blocks=own), context)

    async def send(self, out: Outgoing) -> Receipt:
        self.before("send")
        to = out.recipient or out.address.value
        if to in self.holds:
            await self.holds[to].wait()
        if to in self.faults:
            raise self.faults[to]
        self.outs.append(out)
        return Receipt(state=State.SENT, external_id=f"<{out.copy_of or out.key}@post.example>")


class Plugins:
    """The plugin that gives both channels."""

    def __init__(self, shop: type[Any] = FullAcme) -> None:
        self.shop = shop

    @hookimpl
    def register_channels(self) -> list[type[Any]]:
        return [self.shop, Post]


def both(**features: Any) -> dict[str, Any]:
    """Give the options of `start_acme` for a shop with these features, and the post beside it."""
    return {"settings": SETTINGS, "plugins": {"acme": Plugins(full(**features))}}


def post_of(acme: AcmeHub) -> Post:
    """Give the channel of the account."""
    found: Post = acme.hub.daemon.account("post").channel  # type: ignore[union-attr, assignment]
    return found
