"""The channel: mail in by IMAP, mail out by SMTP, each in the modules that it is put together from."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from talkwire import (
    Batch,
    Channel,
    Draft,
    Envelope,
    Features,
    Item,
    Level,
    MediaFeature,
    Outgoing,
    Rate,
    Receipt,
    RenderContext,
    Rendered,
    State,
)

from .inbox import Inbox
from .oauth import Tokens
from .own import Own
from .postbox import Postbox
from .reading import read, why_dropped
from .settings import EmailSettings
from .writing import render

_LARGEST = 25 * 1024**2  # bytes of a mail; what is larger is announced with its headers (Gmail's and others' limit)
_SECRET = "reply-tokens"  # noqa: S105  the name under which the secret is kept


class Email(Channel):
    """A mailbox that is read, and answered in plain text."""

    type = "email"
    Settings = EmailSettings
    settings: EmailSettings
    features: ClassVar[Features] = Features(
        webhook=False,
        listens=True,
        reports=State.READ,
        subject=Level.FULL,
        reply_to=Level.FULL,
        copies=Level.FULL,
        forward=Level.FULL,
        template=Level.FULL,
        media=(MediaFeature(types=("*/*",), limit=18 * 1024**2, caption_limit=1000),),
        parts=1,
        reaches=frozenset({"email"}),
        threads=True,
        references=True,
        automatic=Rate(count=5, per=timedelta(minutes=10)),
        send_timeout=timedelta(
            seconds=120
        ),  # 25 MB at 3 Mbit/s take 70, and servers look at a mail before they take it
        give_up_after=timedelta(hours=48),
        body_limit=_LARGEST,
    )

    def prepare(self) -> None:
        """Make what is made once."""
        self.own = Own(address=self.settings.address, aliases=self.settings.aliases)
        self.tokens = Tokens(self.settings.oauth, self) if self.settings.oauth else None
        self.inbox = Inbox(self.settings, self, largest=_LARGEST)
        self.postbox = Postbox(self.settings, self)

    async def open(self) -> None:
        """Take the secret that signs reply tokens, made at the first start."""
        if not self.settings.plus:
            return
        kept = await self.kept(_SECRET)
        if not kept:
            kept = secrets.token_hex(32)
            await self.keep(_SECRET, kept, secret=True)
        self.own = Own(address=self.settings.address, aliases=self.settings.aliases, secret=bytes.fromhex(kept))

    async def close(self) -> None:
        """Let both connections go."""
        await self.inbox.close()
        await self.postbox.close()
        if self.tokens is not None:
            await self.tokens.close()

    def listen(self, cursor: str) -> AsyncIterator[Batch]:
        """Read the mailbox from `cursor` on."""
        return self.inbox.listen(cursor)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        """Say what a mail means; never raises."""
        items = read(envelope, self.own)
        if not items:
            self.log.info("mail dropped", where=envelope.path, reason=why_dropped(envelope, self.own))
        return items

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        """Write a draft as plain text, with the subject, the quote and the signature that go out."""
        return render(draft, context, self.settings)

    async def send(self, out: Outgoing) -> Receipt:
        """Hand one mail for one recipient to the server."""
        return await self.postbox.send(out, self.own)

    async def probe(self) -> str:
        """Sign in at both servers."""
        return f"{await self.inbox.probe()}; {await self.postbox.probe()}"

    @classmethod
    def hosts(cls, settings: Any) -> frozenset[str]:
        """Name the token endpoint's host: nothing else is asked over HTTP."""
        return frozenset({urlsplit(settings.oauth.token_url).netloc.lower()} if settings.oauth else ())
