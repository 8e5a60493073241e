"""The channel: what a bot is told and what it says, each in the modules that it is put together from."""

from __future__ import annotations

from typing import ClassVar

from talkwire import Channel, Draft, Features, Outgoing, Receipt, RenderContext, Rendered, SignalKind

from .calls import make_bot
from .features import FEATURES
from .rendering import render
from .sending import Sending
from .settings import TelegramSettings


class Telegram(Channel):
    """A bot on Telegram."""

    type = "telegram"
    Settings = TelegramSettings
    settings: TelegramSettings
    features: ClassVar[Features] = FEATURES

    def prepare(self) -> None:
        """Make the bot; it asks nothing yet."""
        self.bot = make_bot(self)
        self._sending = Sending(self, self.bot)

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        """Make the requests of a draft, complete but for whom they go to."""
        return render(draft, context, self.features)

    async def send(self, out: Outgoing) -> Receipt:
        """Send one of them."""
        return await self._sending.send(out)

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        """Replace what a message says, or take it away."""
        return await self._sending.edit(out, external_id)

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Show that somebody types, react to a message, or end the waiting of a pressed button."""
        await self._sending.signal(address, signal)
