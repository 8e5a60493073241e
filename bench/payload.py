"""One signed webhook of about 700 bytes, and the channel that reads it.

The provider is made up; its payload is as deep and as long as those of the large ones.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import count

from pydantic import SecretStr

from talkwire import (
    Address,
    Channel,
    Envelope,
    Features,
    Inbound,
    Item,
    Outgoing,
    Payload,
    Receipt,
    Settings,
    State,
    auth,
    each,
    hookimpl,
    outcome,
)

SECRET = "bench-secret-0123456789abcdef"
_numbers = count()


class _Text(Payload):
    body: str


class _Message(Payload):
    sender: str
    id: str
    timestamp: str
    type: str
    text: _Text


class _Profile(Payload):
    name: str


class _Contact(Payload):
    profile: _Profile
    address: str


class _Value(Payload):
    contacts: tuple[_Contact, ...] = ()
    messages: tuple[_Message, ...] = ()


class _Change(Payload):
    field: str
    value: _Value


class _Entry(Payload):
    changes: tuple[_Change, ...]


class _Webhook(Payload):
    entry: tuple[_Entry, ...]


class BenchChannel(Channel):
    """Reads the webhook; sends to the stub."""

    type = "bench"
    features = Features(reports=State.DELIVERED, kept_headers=frozenset({"x-signature-256"}))

    class Settings(Settings):
        """The account's table."""

        secret: SecretStr
        url: str = "http://127.0.0.1:9"

    def prepare(self) -> None:
        """Make the check once."""
        self.check = auth.hmac_header("X-Signature-256", self.settings.secret, prefix="sha256=")

    def authenticate(self, envelope: Envelope) -> None:
        """Check the signature."""
        self.check(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        """Give the messages."""
        for entry in _Webhook.read(envelope.body).entry:
            for change in entry.changes:
                self.names = {c.address: c.profile.name for c in change.value.contacts}
                yield from each(change.value.messages, self.one)

    def one(self, message: _Message) -> Iterable[Item]:
        """Read one message."""
        yield Inbound(
            external_id=message.id,
            address=Address(kind="phone", value="+" + message.sender, name=self.names.get(message.sender, "")),
            at=datetime.fromtimestamp(int(message.timestamp), UTC),
            text=message.text.body,
        )

    async def send(self, out: Outgoing) -> Receipt:
        """Hand a part to the stub."""
        answer = await self.http.post(
            f"{self.settings.url}/send", json={"to": out.address.value, "text": out.part.text}
        )
        outcome(answer)
        return Receipt(state=State.SENT, external_id=out.key)


class BenchPlugin:
    """Gives the channel."""

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        """Give the channel."""
        return [BenchChannel]


def bodies(people: int = 500) -> Iterator[bytes]:
    """Make webhooks without end: each its own id, from one of some people."""
    while True:
        number = next(_numbers)
        sender = str(628120000000 + number % people)
        yield json.dumps(
            {
                "object": "business_account",
                "entry": [
                    {
                        "id": "102290129340398",
                        "changes": [
                            {
                                "value": {
                                    "product": "messaging",
                                    "metadata": {"display": "15550783881", "number_id": "106540352242922"},
                                    "contacts": [
                                        {"profile": {"name": f"Customer {number % people}"}, "address": sender}
                                    ],
                                    "messages": [
                                        {
                                            "sender": sender,
                                            "id": f"id.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA{number:012d}",
                                            "timestamp": "1795358146",
                                            "type": "text",
                                            "text": {
                                                "body": "Does it come in another colour? I need it before Friday."
                                            },
                                        }
                                    ],
                                },
                                "field": "messages",
                            }
                        ],
                        "padding": "x" * 60,
                    }
                ],
            }
        ).encode()


def requests(path: str, host: str, number: int) -> list[bytes]:
    """Make whole HTTP requests, signed, ready to be sent."""
    keyed = hmac.new(SECRET.encode(), digestmod=hashlib.sha256)
    made = []
    for body, _ in zip(bodies(), range(number), strict=False):
        digest = keyed.copy()
        digest.update(body)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"User-Agent: provider/1.0\r\nAccept: */*\r\nX-Signature-256: sha256={digest.hexdigest()}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made
