"""A whole hub with one account of the made-up provider Acme."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from talkwire import hookimpl
from talkwire.testing.hub import WholeHub
from talkwire.testing.provider import FakeProvider, accept
from tests.mutants import acme as acme_module

SECRET = "kit-secret-0123456789"
SETTINGS = """
[accounts.shop]
channel = "acme"
url = "{url}"
token = "kit-token-0123456789"
secret = "kit-secret-0123456789"
{more}
"""


class AcmePlugin:
    """The plugin that gives the channel."""

    def __init__(self, channel: type[acme_module.AcmeChannel] = acme_module.AcmeChannel) -> None:
        self.channel = channel

    @hookimpl
    def register_channels(self) -> list[type[Any]]:
        return [self.channel]


@dataclass
class AcmeHub:
    """Acme and the hub, and what the two of them said."""

    hub: WholeHub
    provider: FakeProvider
    accept: Any = staticmethod(accept)
    _count: int = field(default=0)

    async def wrote(
        self, message: str, text: str, *, sender: str = "6281234567890", time: int = 0, endpoint: str = "shop"
    ) -> None:
        event = {"kind": "message", "id": message, "time": time or self.now, "from": sender, "text": text}
        await self.says([event], endpoint=endpoint)

    async def reported(self, part: str, state: str, *, reason: str = "", time: int = 0) -> None:
        self._count += 1
        event = {"kind": "report", "id": f"r{self._count}", "time": time or self.now, "of": part, "state": state}
        await self.says([{**event, "reason": reason}])

    async def says(self, events: list[Any], *, endpoint: str = "shop") -> None:
        body = json.dumps({"events": events}).encode()
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        await self.hub.deliver(endpoint, body, headers={"X-Acme-Signature": f"sha256={digest}"})

    @property
    def now(self) -> int:
        return int(self.hub.clock.now().timestamp())

    @property
    def texts(self) -> list[str]:
        """Give the texts that the provider was asked to send."""
        return [json.loads(seen.body)["text"] for seen in self.provider.shown]
