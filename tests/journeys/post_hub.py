"""A hub with a channel of letters: each names those before it, brings files with it, and goes to several people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from talkwire import (
    Address,
    Channel,
    Conversation,
    Draft,
    Envelope,
    Features,
    Inbound,
    Item,
    Level,
    Message,
    Outgoing,
    Rate,
    Receipt,
    RenderContext,
    Rendered,
    State,
    hookimpl,
)
from talkwire.testing.hub import WholeHub

SETTINGS = """
[accounts.post]
channel = "post"
"""
ANN = "ann@example.org"
BOB = "bob@example.org"


class Post(Channel):
    """Letters are delivered by their number; what is in them a test says."""

    type = "post"
    features = Features(
        webhook=True,
        references=True,
        subject=Level.FULL,
        reply_to=Level.FULL,
        copies=Level.FULL,
        reaches=frozenset({"email"}),
        threads=True,
        automatic=Rate(count=3, per=timedelta(minutes=10)),
        reports=State.DELIVERED,
    )
    letters: ClassVar[dict[bytes, tuple[Item, ...]]] = {}

    def prepare(self) -> None:
        self.sent: list[Outgoing] = []
        self.drawn: list[RenderContext] = []

    def authenticate(self, envelope: Envelope) -> None:
        """Believe everybody."""

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        return self.letters[envelope.body]

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        self.drawn.append(context)
        return super().render(draft, context)

    async def send(self, out: Outgoing) -> Receipt:
        self.sent.append(out)
        return Receipt(external_id=f"<{out.copy_of or out.key}@example.org>")


class Posts:
    """The plugin that gives the channel."""

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        return [Post]


class Letters:
    """A hub with the channel, and whoever writes to it."""

    def __init__(self, hub: WholeHub) -> None:
        self.hub = hub
        self.post: Any = hub.daemon.account("post").channel  # type: ignore[union-attr]

    def letter(self, name: str, *follows: str, sender: str = ANN, **more: Any) -> Inbound:
        """Make a letter, that begins a thread of its own unless it follows something known."""
        address = Address(kind="email", value=sender)
        values = {"external_id": f"<{name}>#1", "known_as": f"<{name}>", "thread": f"<{name}>", "text": name}
        return Inbound(**{**values, "address": address, "at": self.hub.clock.now(), "follows": follows, **more})

    async def comes(self, *items: Item) -> str:
        """Deliver letters together; gives the number of what brought them."""
        number = str(len(Post.letters))
        Post.letters[number.encode()] = items
        await self.hub.deliver("post", number)
        await self.hub.run_until_idle()
        return number

    async def wrote(self, name: str, *follows: str, **more: Any) -> None:
        await self.comes(self.letter(name, *follows, **more))

    async def talks(self) -> dict[str, list[str]]:
        """Give the texts of each conversation, by whose it is and its thread."""
        sql = """SELECT a.value || ' ' || c.thread, m.text FROM message m JOIN conversation c ON c.id = m.conversation_id
            JOIN address a ON a.id = c.address_id ORDER BY c.id, m.n"""
        found: dict[str, list[str]] = {}
        for place, text in await self.hub.rows(sql):
            found.setdefault(place, []).append(text)
        return found

    async def talk(self, sender: str = ANN) -> Conversation:
        """Give the conversation with somebody that moved last."""
        return next(one for one in await self.hub.conversations() if one.address.value == sender)

    async def messages(self, sender: str = ANN) -> Sequence[Message]:
        return await self.hub.messages(await self.talk(sender))

    async def answers(self, text: str, **more: Any) -> Outgoing:
        """Reply to Ann, and give what went out."""
        await self.hub.reply(await self.talk(), text, **more)
        await self.hub.run_until_idle()
        sent: Outgoing = self.post.sent[-1]
        return sent
