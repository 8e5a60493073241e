"""A good channel: Acme, whose provider signs JSON batches and takes JSON, and its sister that fetches instead.

Acme is made up; its "documentation" is this docstring. In: `POST`, `{"events": [{"kind": "message" | "report",
"id", "time" (seconds since 1970), "from", "name"?, "text" | "of", "state", "reason"?}]}`, signed by the header
`X-Acme-Signature: sha256=<hex HMAC of the body>`. Out: `POST /v1/messages {"to", "text", "ref"}` with a bearer
token → `201 {"id"}`; `422 {"error": code}` refuses. `GET /v1/me` → `{"name"}`. The sister's events come from
`GET /v1/updates?after=` → `{"events": [...]}`, after which the last event's `seq` is the cursor.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import SecretStr

from talkwire.auth import hmac_header
from talkwire.channel import Channel, Payload, Settings, each, outcome, phone
from talkwire.errors import Uncertain, Unreachable, Unreadable
from talkwire.features import Features, OptionFeature
from talkwire.model import (
    Address,
    Batch,
    Change,
    ChangeKind,
    Envelope,
    Inbound,
    Item,
    Level,
    Outgoing,
    Receipt,
    Report,
    State,
)
from talkwire.testing import Answers, Case, Reply, Sample, Seen, with_header


class AcmeSettings(Settings):
    url: str = "https://api.acme.example"
    token: SecretStr
    secret: SecretStr


class Event(Payload):
    kind: str
    id: str
    time: int
    sender: str = ""
    text: str = ""
    of: str = ""
    state: str = ""
    reason: str = ""


class Sent(Payload):
    id: str


PAUSE = timedelta(seconds=5)  # between two questions that found nothing
STATES = {"delivered": State.DELIVERED, "read": State.READ, "failed": State.FAILED}


class AcmeChannel(Channel):
    type = "acme"
    Settings: ClassVar[type[Settings]] = AcmeSettings
    features = Features(
        text_limit=200,
        reports=State.READ,
        buttons=OptionFeature(level=Level.FULL, most=3, title_limit=20),
        kept_headers=frozenset({"x-acme-signature"}),
    )

    def prepare(self) -> None:
        self.check = hmac_header("X-Acme-Signature", self.settings.secret, prefix="sha256=")

    def authenticate(self, envelope: Envelope) -> None:
        self.check(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        try:
            events = json.loads(envelope.body)["events"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise Unreadable("no list of events") from None
        if not isinstance(events, list):
            raise Unreadable("events: not a list")
        yield from each(events, self.one)

    def one(self, value: Any) -> Iterable[Item]:
        event = Event.read({**value, "sender": value.get("from", "")})
        if event.kind == "message":
            yield Inbound(
                external_id=self.id_of(event), address=self.address(event), at=self.at(event), text=event.text
            )
        elif event.kind == "report":
            if event.state not in STATES or not event.of:
                raise Unreadable("report: state or of")
            yield Report(state=STATES[event.state], at=self.at(event), external_id=event.of, reason=event.reason)

    def id_of(self, event: Event) -> str:
        if not event.id:
            raise Unreadable("id: empty")
        return event.id

    def address(self, event: Event) -> Address:
        return Address(kind="phone", value=phone(event.sender))

    def at(self, event: Event) -> datetime:
        try:
            return datetime.fromtimestamp(event.time, UTC)
        except (ValueError, OverflowError, OSError):
            raise Unreadable("time: out of range") from None

    async def send(self, out: Outgoing) -> Receipt:
        answer = await self.http.post(
            f"{self.settings.url}/v1/messages",
            json={"to": out.address.value, "text": out.part.text, "ref": out.key},
            headers={"Authorization": f"Bearer {self.settings.token.get_secret_value()}"},
        )
        code = str(answer.json().get("error", "")) if answer.status == 422 else ""
        outcome(answer, {"unknown_number": Unreachable}, code=code)
        try:
            return Receipt(state=State.ACCEPTED, external_id=Sent.read(answer.body).id)
        except Unreadable as error:
            raise Uncertain("the answer has no id") from error

    async def probe(self) -> str:
        answer = await self.http.get(
            f"{self.settings.url}/v1/me", headers={"Authorization": f"Bearer {self.settings.token.get_secret_value()}"}
        )
        outcome(answer)
        return f"Acme account {answer.json()['name']}"


class PollingAcme(AcmeChannel):
    type = "acme_polled"
    features = replace(AcmeChannel.features, webhook=False, listens=True)

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        while True:
            answer = await self.http.get(f"{self.settings.url}/v1/updates", params={"after": cursor})
            outcome(answer)
            events = answer.json()["events"]
            if not events:
                await self.clock.wait(asyncio.Event(), self.clock.now() + PAUSE)
            for event in events:
                cursor = str(event["seq"])
                body = json.dumps({"events": [event]}).encode()
                yield Batch((self.envelope(body),), cursor)

    def envelope(self, body: bytes) -> Envelope:
        return Envelope(
            endpoint=self.account,
            method="POST",
            path="",
            headers={},
            query=(),
            body=body,
            remote="",
            received_at=self.clock.now(),
        )


SETTINGS = {"url": "https://api.acme.example", "token": "kit-token-0123456789", "secret": "kit-secret-0123456789"}
WROTE = {"kind": "message", "id": "m1", "time": 1795435200, "from": "6281234567890", "text": "Where is my parcel?"}
WROTE_AGAIN = {"kind": "message", "id": "m2", "time": 1795435201, "from": "+62 812 3456 7890", "text": "Halo 😀"}
FAILED = {"kind": "report", "id": "r1", "time": 1795435202, "of": "p0", "state": "failed", "reason": "no such phone"}
CUSTOMER = Address(kind="phone", value="+6281234567890")
FIRST = Inbound(
    external_id="m1", address=CUSTOMER, at=datetime(2026, 11, 23, 12, tzinfo=UTC), text="Where is my parcel?"
)


def sign(envelope: Envelope) -> Envelope:
    digest = hmac.new(b"kit-secret-0123456789", envelope.body, hashlib.sha256).hexdigest()
    return with_header(envelope, "X-Acme-Signature", f"sha256={digest}")


def report(seen: Seen, external_id: str) -> Sample:
    event = {"kind": "report", "id": "r2", "time": 1795435203, "of": external_id, "state": "delivered"}
    return Sample("a report", body={"events": [event]})


def harmless(seen: Seen) -> Reply | None:
    return Reply.json({"name": "Kit Ltd"}) if seen.path == "/v1/me" else None


ACME = Case(
    channel=AcmeChannel,
    settings=SETTINGS,
    sign=sign,
    samples=(
        Sample("a text", body={"events": [WROTE]}, means=(FIRST,), source="acme.py, docstring"),
        Sample(
            "a batch",
            body={"events": [WROTE, WROTE_AGAIN, FAILED]},
            means=(
                FIRST,
                Inbound(
                    external_id="m2", address=CUSTOMER, at=datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC), text="Halo 😀"
                ),
                Report(
                    state=State.FAILED,
                    at=datetime(2026, 11, 23, 12, 0, 2, tzinfo=UTC),
                    external_id="p0",
                    reason="no such phone",
                ),
            ),
            source="acme.py, docstring",
        ),
    ),
    unknown=(Sample("a story was seen", body={"events": [{"kind": "story_seen", "id": "s1", "time": 1795435200}]}),),
    answers=Answers(
        accept=lambda seen, external_id: Reply.json({"id": external_id}, status=201),
        refuse=lambda seen: Reply.json({"error": "text_forbidden"}, status=422),
        harmless=harmless,
    ),
    report=report,
)


def updates(seen: Seen, samples: tuple[Sample, ...]) -> Reply | None:
    if seen.path != "/v1/updates":
        return None
    events = [event for sample in samples for event in sample.body["events"]]
    numbered = [{**event, "seq": n} for n, event in enumerate(events, 1)]
    return Reply.json({"events": numbered[int(seen.param("after") or 0) :]})


POLLED = replace(ACME, channel=PollingAcme, sign=None, polled=updates)


# --- sisters that have more -------------------------------------------------------------------------------


class EchoingAcme(AcmeChannel):
    """Its reports give our key back, in `ref`."""

    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            yield replace(item, key=str(value.get("ref") or "")) if isinstance(item, Report) else item


def echo(seen: Seen, external_id: str) -> Sample:
    sample = report(seen, external_id)
    return replace(sample, body={"events": [{**sample.body["events"][0], "ref": seen.json()["ref"]}]})


ECHOING = replace(ACME, channel=EchoingAcme, report=echo)


class AlbumAcme(AcmeChannel):
    """Pictures of one `album` belong together; an `edit` says of which message (`of`) and its new text."""

    def one(self, value: Any) -> Iterable[Item]:
        event = Event.read({**value, "sender": value.get("from", "")})
        if event.kind == "edit":
            at, address = self.at(event), self.address(event)
            yield Change(kind=ChangeKind.EDIT, external_id=event.of, address=address, at=at, text=event.text)
        for item in super().one(value):
            album = value.get("album", "")
            yield replace(item, group=album) if isinstance(item, Inbound) and isinstance(album, str) else item


def of_album(event: dict[str, Any]) -> Inbound:
    at = datetime.fromtimestamp(event["time"], UTC)
    return Inbound(external_id=event["id"], address=CUSTOMER, at=at, text=event["text"], group=event["album"])


PICTURES = [{**WROTE, "id": f"a{n}", "text": f"picture {n}", "album": "g1"} for n in (1, 2)]
EDITED = {**WROTE, "kind": "edit", "id": "e1", "of": "m1", "text": "Where are my parcels?"}
CHANGED = Change(kind=ChangeKind.EDIT, external_id="m1", address=CUSTOMER, at=FIRST.at, text="Where are my parcels?")
ALBUMS = replace(
    ACME,
    channel=AlbumAcme,
    samples=(
        *ACME.samples,
        *(Sample(f"a picture of an album, {e['id']}", body={"events": [e]}, means=(of_album(e),)) for e in PICTURES),
        Sample("an edit", body={"events": [EDITED]}, means=(CHANGED,)),
    ),
)


class SharedAcme(AcmeChannel):
    """Several accounts have one endpoint; `shop` says which is meant."""

    features = replace(AcmeChannel.features, shared_endpoint=True)

    @classmethod
    def meant_by(cls, settings: Any) -> tuple[str, ...]:
        return ("one",)

    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            yield replace(item, to=str(value.get("shop") or "")) if isinstance(item, Inbound | Report) else item


FOR_TWO = Sample(
    "for two accounts",
    body={"events": [{**WROTE, "shop": "one"}, {**FAILED, "shop": "two"}]},
    means=(
        replace(FIRST, to="one"),
        Report(
            state=State.FAILED,
            at=datetime(2026, 11, 23, 12, 0, 2, tzinfo=UTC),
            external_id="p0",
            reason="no such phone",
            to="two",
        ),
    ),
)
SHARED = replace(ACME, channel=SharedAcme, samples=(FOR_TWO,))


class EditingAcme(AcmeChannel):
    """`PUT /v1/messages/<id>` replaces, `DELETE` takes away."""

    features = replace(AcmeChannel.features, edits=True)

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        method = "PUT" if out.part.text else "DELETE"
        answer = await self.http.request(
            method, f"{self.settings.url}/v1/messages/{external_id}", json={"text": out.part.text}
        )
        outcome(answer)
        return Receipt(state=State.ACCEPTED, external_id=external_id)


EDITING = replace(ACME, channel=EditingAcme)
