"""A made-up provider that shows everything a page has to draw: names, windows, sessions, reads, and each way to fail.

In: `POST /in/messenger` with `X-Token`, `{"items": [{"kind": "message" | "report" | "session" | "typing" | "edit" |
"revoke" | "reaction", …}]}`.
Out: what `Messenger.will` says, in order; after that every part is taken.
"""

from __future__ import annotations

import itertools
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import aiohttp

from talkwire import (
    Address,
    Alias,
    Attachment,
    Change,
    ChangeKind,
    Channel,
    Enclosed,
    Envelope,
    Features,
    Inbound,
    Item,
    Level,
    Original,
    Outgoing,
    Receipt,
    RemoteMedia,
    Report,
    SessionChange,
    SessionState,
    Settings,
    SignalKind,
    State,
    Typing,
    auth,
    each,
    hookimpl,
)
from talkwire.formatting import blocks_from_json

TOKEN = "made-up-token-0123456789"
SETTINGS = '\n[accounts.messenger]\nchannel = "messenger"\n'


class MessengerSettings(Settings):
    """Nothing to set."""


class Messenger(Channel):
    """The channel; what it sends lies in `sent`."""

    type = "messenger"
    Settings: ClassVar[type[Settings]] = MessengerSettings
    features = Features(
        text_limit=320, reports=State.READ, window=timedelta(hours=24), sessions=True, edits=True, template=Level.FULL
    )
    will: ClassVar[list[Any]] = []  # receipts, or errors to raise
    sent: ClassVar[list[Outgoing]] = []
    signals: ClassVar[list[tuple[str, SignalKind]]] = []

    def authenticate(self, envelope: Envelope) -> None:
        from pydantic import SecretStr

        auth.shared_header("X-Token", SecretStr(TOKEN))(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        yield from each(json.loads(envelope.body)["items"], self._one)

    def _one(self, value: Any) -> Iterable[Item]:
        at = datetime.fromisoformat(value["at"])
        if value["kind"] == "report":
            yield Report(state=State[value["state"]], at=at, key=value["key"], reason=value.get("reason", ""))
            return
        aliases = tuple(Alias(kind="phone", value=number) for number in value.get("phones", ()))
        kind = value.get("address", "messenger")
        address = Address(kind=kind, value=value["from"], name=value.get("name", ""), aliases=aliases)
        if value["kind"] == "session":
            reason = value.get("reason", "")
            yield SessionChange(address=address, state=SessionState(value["state"]), at=at, reason=reason)
        elif value["kind"] == "typing":
            yield Typing(address=address, on=value["on"])
        elif value["kind"] in list(ChangeKind):
            kind = ChangeKind(value["kind"])
            blocks = blocks_from_json(json.dumps(value.get("blocks", [])))
            blocks += tuple(RemoteMedia(handle=data, name=name) for name, data in value.get("files", ()))
            text = value.get("text", "")
            yield Change(kind=kind, external_id=value["of"], address=address, at=at, text=text, blocks=blocks)
        else:
            whole = Original(text=value.get("whole", ""), html=value.get("html", ""))
            picture = Enclosed(content=b64decode(value.get("picture", "")), name="logo.png", content_id="logo@1")
            blocks = (whole, picture) if picture.content else (whole,) if whole != Original() else ()
            blocks += tuple(Enclosed(content=b64decode(data), name=name) for name, data in value.get("files", ()))
            blocks += blocks_from_json(json.dumps(value.get("blocks", [])))
            group = value.get("group", "")
            yield Inbound(
                external_id=value["id"], address=address, at=at, text=value["text"], blocks=blocks, group=group
            )

    async def send(self, out: Outgoing) -> Receipt:
        answer = self.will.pop(0) if self.will else Receipt(state=State.SENT)
        self.sent.append(out)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def fetch(self, attachment: Attachment) -> AsyncIterator[bytes]:
        yield b64decode(attachment.handle)

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        return Receipt(state=State.SENT)

    async def signal(self, address: str, signal: SignalKind) -> None:
        self.signals.append((address, signal))


class MessengerPlugin:
    """The plugin that gives it."""

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        return [Messenger]


class Customers:
    """Whoever writes over the messenger, and the provider that reports."""

    def __init__(self, api: str) -> None:
        self._url = f"{api}/in/messenger"
        self._ids = itertools.count(1)

    async def change(self, who: str, kind: str, of: str, text: str = "", **more: Any) -> None:
        """Let somebody edit or take back what they said, or react."""
        await self._says({"kind": kind, "from": who, "of": of, "text": text, **more}, timedelta())

    async def write(self, who: str, text: str, *, name: str = "", ago: timedelta = timedelta(), **more: Any) -> str:
        """Let somebody write; give the id of it."""
        id_ = f"m{next(self._ids)}"
        await self._says({"kind": "message", "id": id_, "from": who, "name": name, "text": text, **more}, ago)
        return id_

    async def session(self, who: str, state: str, *, ago: timedelta = timedelta(), **more: str) -> None:
        """Let a session open, drop or end."""
        await self._says({"kind": "session", "from": who, "state": state, **more}, ago)

    async def type(self, who: str, *, on: bool = True) -> None:
        """Let somebody type."""
        await self._says({"kind": "typing", "from": who, "on": on}, timedelta())

    async def report(self, part: Outgoing, state: str, reason: str = "") -> None:
        """Let the provider report."""
        await self._says({"kind": "report", "key": part.key, "state": state, "reason": reason}, timedelta())

    async def _says(self, item: dict[str, Any], ago: timedelta) -> None:
        item["at"] = (datetime.now(UTC) - ago).isoformat()
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._url, json={"items": [item]}, headers={"X-Token": TOKEN}) as answer,
        ):
            assert answer.status == 200, answer.status
