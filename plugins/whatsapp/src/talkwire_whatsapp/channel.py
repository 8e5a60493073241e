"""The channel: what Meta calls and what is called at Meta, each in the modules that it is put together from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import Any, ClassVar
from urllib.parse import urlsplit

from talkwire import (
    Answered,
    Attachment,
    Channel,
    Draft,
    Envelope,
    Features,
    Item,
    Outgoing,
    Rate,
    Receipt,
    Rejected,
    RenderContext,
    Rendered,
    SignalKind,
    auth,
)

from . import asking, media, reading
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
    features: ClassVar[Features] = replace(
        FEATURES,
        webhook=True,
        shared_endpoint=True,  # one app has one endpoint, whatever its numbers
        kept_headers=frozenset({"x-hub-signature-256"}),
        secret_query=frozenset({"hub.verify_token"}),
        body_limit=4 * 1024**2,  # Meta sends up to 3 MB (Cloud API, "Webhooks", read 2026-11-22)
    )

    def prepare(self) -> None:
        """Make what is made once."""
        settings = self.settings
        self.genuine = auth.hmac_header("X-Hub-Signature-256", settings.app_secret, prefix="sha256=")
        self.verified = auth.query_token("hub.verify_token", settings.verify_token)
        self.ours = reading.Ours(
            number=settings.phone_number_id, business=settings.business_account_id, account=self.account
        )
        self.graph = asking.Graph(self, settings)
        self.templates = Templates(self)
        self.outbox = Outbox(self)

    @property
    def authorisation(self) -> Mapping[str, str]:
        """Give the header that shows Meta our token."""
        return {"Authorization": f"Bearer {self.settings.token.get_secret_value()}"}

    @classmethod
    def meant_by(cls, settings: Any) -> tuple[str, ...]:
        """Name the number, and the business account that it shares with others."""
        return tuple(filter(None, (settings.phone_number_id, settings.business_account_id)))

    @classmethod
    def hosts(cls, settings: Any) -> frozenset[str]:
        """Name Meta's hosts: of the API, and of the files."""
        return frozenset({urlsplit(settings.api_url).netloc.lower(), *map(str.lower, settings.media_hosts)})

    @property
    def rates(self) -> Sequence[Rate]:
        """Say how often Meta lets this number send."""
        return number_rate(self.settings.rate), PAIR_RATE

    async def open(self) -> None:
        """Learn which templates there are."""
        await self.templates.begin()

    async def close(self) -> None:
        """Look at templates no more."""
        await self.templates.end()

    async def probe(self) -> str:
        """Say which number this is, and how Meta rates it."""
        return await asking.who_we_are(self.graph)

    async def expires(self) -> Mapping[str, datetime]:
        """Say when the token ends, as the settings do: to ask Meta would put the token into a URL.

        Source: Graph API, "Debug-Token", read 2026-11-28: `GET /debug_token?input_token={input-token}`.
        """
        ends = self.settings.token_ends
        return {} if ends is None else {"access token": datetime.combine(ends, time(), UTC)}

    # --- in ------------------------------------------------------------------------------------------------

    def answer(self, envelope: Envelope) -> Answered | None:
        """Answer Meta's question whether this endpoint is ours, asked when somebody types it in there.

        Source: Graph API, "Webhooks, verification requests", read 2026-11-22: the challenge, or 403.
        """
        if envelope.method != "GET" or envelope.param("hub.mode") != "subscribe":
            return None
        try:
            self.verified(envelope)
        except Rejected:
            return Answered(status=403)
        return Answered(envelope.param("hub.challenge"))

    def authenticate(self, envelope: Envelope) -> None:
        """Check the app's signature of the raw body; the older header, with SHA-1, is worth nothing."""
        self.genuine(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        """Say what a delivery means."""
        for item in reading.read(envelope, self.ours):
            self.templates.heard(item)
            yield item

    def fetch(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Fetch a file that a customer sent."""
        return media.fetch(self.graph, attachment.handle)

    # --- out -----------------------------------------------------------------------------------------------

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        """Write a draft as the messages that WhatsApp shows."""
        return render(draft, context, self.templates)

    async def send(self, out: Outgoing) -> Receipt:
        """Send one message."""
        return await self.outbox.send(out)

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Say that we read, that we type, or react."""
        await self.outbox.signal(address, signal)
