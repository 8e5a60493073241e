"""A whole hub with one account of the made-up provider Acme."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from talkwire import hookimpl
from talkwire.channel import outcome
from talkwire.errors import MarkupRefused, NotSent, TryLater, Uncertain, Unreachable, Wait, WindowShut
from talkwire.model import (
    AccountNotice,
    Address,
    AddressChanged,
    Alias,
    Block,
    Change,
    ChangeKind,
    Conversation,
    Inbound,
    Item,
    Location,
    Outgoing,
    Reachable,
    Receipt,
    RemoteMedia,
    Report,
    SessionChange,
    SessionState,
    State,
    Typing,
)
from talkwire.testing.hub import WholeHub
from talkwire.testing.provider import FakeProvider, Reply, Step, accept, says
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
CUSTOMER = "6281234567890"
ERRORS = {
    "unknown_number": Unreachable,
    "offline": Wait(),
    "markup": MarkupRefused,
    "nothing_left": NotSent,
    "slow_down": TryLater(after=timedelta(seconds=50)),
    "later": TryLater,
    "who_knows": Uncertain,
    "shut": WindowShut,
}


class AcmePlugin:
    """The plugin that gives the channel."""

    def __init__(self, channel: type[acme_module.AcmeChannel] = acme_module.AcmeChannel) -> None:
        self.channel = channel

    @hookimpl
    def register_channels(self) -> list[type[Any]]:
        return [self.channel]


class FullAcme(acme_module.AcmeChannel):
    """Acme that can say all that a channel can say."""

    def one(self, value: Any) -> Iterable[Item]:
        at = datetime.fromtimestamp(value["time"], UTC)
        to, kind = value.get("to", ""), value["kind"]
        address = self._address(value.get("from", CUSTOMER), value)
        match kind:
            case "message":
                yield Inbound(
                    external_id=value["id"],
                    address=address,
                    at=at,
                    text=value["text"],
                    thread=value.get("thread", ""),
                    reply_to=value.get("reply_to", ""),
                    group=value.get("group", ""),
                    blocks=_blocks(value),
                    author=value.get("author", ""),
                    acknowledge=value.get("waits", False),
                    to=to,
                )
            case "report":
                state, key, code = State[value["state"].upper()], value.get("key", ""), value.get("code", "")
                of, shut, away = value.get("of", ""), code == "shut", code == "unknown_number"
                yield Report(state=state, at=at, external_id=of, key=key, code=code, window_shut=shut, unreachable=away)
            case "session":
                state = SessionState(value["state"])
                yield SessionChange(address=address, state=state, at=at, reason=value.get("reason", ""))
            case "edit" | "revoke" | "reaction":
                yield Change(
                    kind=ChangeKind(kind),
                    external_id=value["of"],
                    address=address,
                    at=at,
                    text=value.get("text", ""),
                    blocks=_blocks(value),
                )
            case "typing":
                yield Typing(address=address, on=value["on"])
            case "moved":
                yield AddressChanged(old=address, new=self._address(value["new"], {}), at=at)
            case "reachable":
                yield Reachable(address=address, on=value["on"], at=at)
            case "notice":
                yield AccountNotice(code="suspended", text="Acme suspended us.", at=at, broken=value["broken"])
            case "naive":
                yield Report(state=State.SENT, at=at.replace(tzinfo=None), external_id="p1")
            case "unknown_state":
                yield Report(state=99, at=at, external_id="p1")  # type: ignore[arg-type]
            case "impossible":
                yield SessionChange(address=address, state="asleep", at=at)  # type: ignore[arg-type]

    def _address(self, value: str, event: Any) -> Address:
        kind, _, plain = value.rpartition(":")
        aliases = tuple(Alias(*alias.split(":")) for alias in event.get("aliases", ()))
        return Address(
            kind=kind or "phone", value=plain if kind else f"+{plain}", name=event.get("name", ""), aliases=aliases
        )

    async def send(self, out: Outgoing) -> Receipt:
        answer = await self.http.post(
            f"{self.settings.url}/v1/messages", json={"to": out.address.value, "text": out.part.text, "ref": out.key}
        )
        outcome(answer, ERRORS, code=str(answer.json().get("error", "")) if answer.status == 422 else "")
        return Receipt(state=State.ACCEPTED, external_id=answer.json()["id"])


def _blocks(value: Any) -> tuple[Block, ...]:
    """Give the files that an event names (`handle`, or `handle=fingerprint`), and its place."""
    handles = [handle.partition("=") for handle in value.get("media", ())]
    files = [RemoteMedia(handle=h, name=h, caption=value.get("caption", ""), fingerprint=f) for h, _, f in handles]
    places = [
        Location(latitude=place["latitude"], longitude=place["longitude"], name=place.get("name", ""))
        for place in value.get("places", ())
    ]
    return (*files, *places)


def full(base: type[FullAcme] = FullAcme, **features: Any) -> type[FullAcme]:
    """Make a sister of Acme with other features."""
    return type("Sister", (base,), {"features": replace(base.features, **features)})


def no(code: str) -> Step:
    """Let Acme refuse with one of the codes of `ERRORS`."""
    return says(Reply.json({"error": code}, status=422))


@dataclass
class AcmeHub:
    """Acme and the hub, and what the two of them said."""

    hub: WholeHub
    provider: FakeProvider
    _count: int = field(default=0)

    @staticmethod
    def accept(external_id: str = "") -> Step:
        """Let Acme take the next part, under this id or one of its own."""
        return accept(external_id)

    async def wrote(
        self, message: str, text: str, *, sender: str = CUSTOMER, time: int = 0, endpoint: str = "shop", **more: Any
    ) -> None:
        event = {"kind": "message", "id": message, "time": time or self.now, "from": sender, "text": text}
        await self.says([{**event, **more}], endpoint=endpoint)

    async def reported(self, part: str, state: str, *, reason: str = "", time: int = 0, **more: Any) -> None:
        self._count += 1
        event = {"kind": "report", "id": f"r{self._count}", "time": time or self.now, "of": part, "state": state}
        await self.says([{**event, "reason": reason, **more}])

    async def told(self, kind: str, **more: Any) -> None:
        """Tell one event of a kind that only `FullAcme` knows."""
        await self.says([{"kind": kind, "time": self.now, **more}])

    async def says(self, events: list[Any], *, endpoint: str = "shop", **options: Any) -> None:
        body = json.dumps({"events": events}).encode()
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        await self.hub.deliver(endpoint, body, headers={"X-Acme-Signature": f"sha256={digest}"}, **options)

    async def talk(self, message: str = "m1", **more: Any) -> Conversation:
        """Let a customer write, and give the conversation."""
        await self.wrote(message, "Hello", **more)
        await self.hub.run_until_idle()
        found: Conversation = await self.hub.conversation
        return found

    async def reply(self, conversation: Any, *texts: str, **options: Any) -> None:
        """Reply with these texts, and let happen what can happen now."""
        for text in texts:
            await self.hub.reply(conversation, text, **options)
        await self.hub.run_until_idle()

    async def under_way(self) -> None:
        """Wait until one more request is at Acme; nothing that it waits for happens."""
        async with asyncio.timeout(20):
            await self.provider.arrived()

    async def column(self, sql: str, **params: Any) -> list[Any]:
        """Give the first column of some rows."""
        return [row[0] for row in await self.hub.rows(sql, **params)]

    @property
    def shop(self) -> Any:
        """Give the account."""
        return self.hub.daemon.account("shop")

    @property
    def now(self) -> int:
        return int(self.hub.clock.now().timestamp())

    @property
    def texts(self) -> list[str]:
        """Give the texts that the provider was asked to send."""
        return [json.loads(seen.body)["text"] for seen in self.provider.shown]
