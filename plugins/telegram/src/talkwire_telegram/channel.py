"""The channel: what a bot is told and what it says, each in the modules that it is put together from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import ClassVar

from talkwire import (
    Attachment,
    Batch,
    Channel,
    Draft,
    Envelope,
    Features,
    Item,
    Outgoing,
    Receipt,
    RenderContext,
    Rendered,
    SignalKind,
)

from .calls import make_bot
from .features import FEATURES
from .reading import read
from .receiving import Receiving
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
        self.receiving = Receiving(self, self.bot)
        self.sending = Sending(self, self.bot)

    # --- in --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Let Telegram call us, or be asked."""
        await self.receiving.open()

    async def removed(self) -> None:
        """Let Telegram call us no more."""
        await self.receiving.removed()

    def authenticate(self, envelope: Envelope) -> None:
        """Let only in what shows the secret that Telegram was told."""
        self.receiving.authenticate(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        """Say what an update means."""
        return read(envelope)

    def listen(self, cursor: str) -> AsyncIterator[Batch]:
        """Ask for what is new, where Telegram does not call us."""
        return self.receiving.listen(cursor)

    def fetch(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Download a file."""
        return self.receiving.fetch(attachment)

    async def probe(self) -> str:
        """Ask who we are."""
        return await self.receiving.probe()

    # --- out -------------------------------------------------------------------------------------

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        """Make the requests of a draft, complete but for whom they go to."""
        return render(draft, context, self.features)

    async def send(self, out: Outgoing) -> Receipt:
        """Send one of them."""
        await self.receiving.look_whose()  # replies may be due before the account is open
        return await self.sending.send(out)

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        """Replace what a message says, or take it away."""
        await self.receiving.look_whose()
        return await self.sending.edit(out, external_id)

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Show that somebody types, react to a message, or end the waiting of a pressed button."""
        await self.receiving.look_whose()
        await self.sending.signal(address, signal)
