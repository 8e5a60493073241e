"""The channel: what Meta calls and what is called at Meta, each in the modules that it is put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from talkwire import Channel, Draft, Features, Outgoing, Rate, Receipt, RenderContext, Rendered, SignalKind

from .abilities import FEATURES, PAIR_RATE, number_rate
from .rendering import render
from .sending import Outbox
from .settings import WhatsAppSettings
from .templates import Templates


class WhatsApp(Channel):
    """A business number on WhatsApp."""

    type = "whatsapp"
    Settings = WhatsAppSettings
    settings: WhatsAppSettings
    features: ClassVar[Features] = FEATURES

    def prepare(self) -> None:
        """Make what is made once."""
        self.authorisation: Mapping[str, str] = {"Authorization": f"Bearer {self.settings.token.get_secret_value()}"}
        self.templates = Templates(self)
        self.outbox = Outbox(self)

    async def open(self) -> None:
        """Learn which templates there are."""
        await self.templates.begin()

    async def close(self) -> None:
        """Look at templates no more."""
        await self.templates.end()

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        """Write a draft as the messages that WhatsApp shows."""
        return render(draft, context, self.templates)

    async def send(self, out: Outgoing) -> Receipt:
        """Send one message."""
        return await self.outbox.send(out)

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Say that we read, that we type, or react."""
        await self.outbox.signal(address, signal)

    @property
    def rates(self) -> Sequence[Rate]:
        """Say how often Meta lets this number send."""
        return number_rate(self.settings.rate), PAIR_RATE

    @classmethod
    def hosts(cls, settings: Any) -> frozenset[str]:
        """Name the Graph API's host and those of files."""
        return frozenset({urlsplit(settings.api_url).netloc.lower(), *map(str.lower, settings.media_hosts)})
