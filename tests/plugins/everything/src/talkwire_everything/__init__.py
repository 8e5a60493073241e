"""Uses each hook: a channel, a notifier, a table, routes, pages, and all that a plugin can hear."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SecretStr

from talkwire import (
    Account,
    AccountState,
    Address,
    Channel,
    Conversation,
    Draft,
    Drop,
    DropTimer,
    Envelope,
    Fact,
    Features,
    Hub,
    Inbound,
    Item,
    Message,
    Notice,
    Notification,
    Notifier,
    NotifierFeatures,
    Notify,
    Option,
    Outgoing,
    Pages,
    Part,
    Payload,
    Person,
    Query,
    Receipt,
    Refuse,
    Refused,
    Reply,
    Report,
    Route,
    SessionChange,
    SessionState,
    SessionStep,
    SetTimer,
    Settings,
    Shown,
    Signal,
    Simulator,
    State,
    Text,
    Tx,
    TypingSignal,
    Unreadable,
    Withdraw,
    auth,
    draft,
    each,
    hookimpl,
    outcome,
    phone,
)

from . import routes

FOLDER = Path(__file__).parent
NOTE = "INSERT INTO everything_note (hook, text) VALUES (:hook, :text)"


class EverythingSettings(Settings):
    """The table `[plugins.everything]`."""

    signature: str = ""
    """Stands below each reply."""


class LineSettings(Settings):
    """The table of an account."""

    url: str
    token: SecretStr


class Event(Payload):
    """One value of a delivery: `[{"kind": "message" | "report" | "session", …}]`."""

    kind: str
    at: int
    id: str = ""
    sender: str = ""
    text: str = ""
    state: str = ""


STATES = {"delivered": State.DELIVERED, "failed": State.FAILED}
SESSIONS = {"connected": SessionState.CONNECTED, "ended": SessionState.ENDED}


class Line(Channel):
    """A made-up provider: JSON lists come in under a shared token, texts go out as JSON."""

    type = "everything"
    Settings: ClassVar[type[Settings]] = LineSettings
    features = Features(
        text_limit=200, reaches=frozenset({"phone"}), sessions=True, edits=True, reports=State.DELIVERED
    )

    def prepare(self) -> None:
        """Make the check once."""
        self.check = auth.shared_header("X-Token", self.settings.token)

    def authenticate(self, envelope: Envelope) -> None:
        """Compare the token."""
        self.check(envelope)

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        """Say what a list means."""
        try:
            values = json.loads(envelope.body)
        except (ValueError, RecursionError):
            raise Unreadable("no JSON") from None
        if not isinstance(values, list):
            raise Unreadable("not a list")
        yield from each(values, self._one)

    def _one(self, value: Any) -> Iterable[Item]:
        event = Event.read(value)
        at = _moment(event.at)
        if event.kind == "message" and event.id:
            yield Inbound(external_id=event.id, address=_address(event), at=at, text=event.text)
        elif event.kind == "report" and event.id and event.state in STATES:
            yield Report(state=STATES[event.state], at=at, external_id=event.id)
        elif event.kind == "session" and event.state in SESSIONS:
            yield SessionChange(address=_address(event), state=SESSIONS[event.state], at=at)
        elif event.kind in {"message", "report", "session"}:
            raise Unreadable(f"{event.kind}: id or state")

    async def send(self, out: Outgoing) -> Receipt:
        """Give the provider a text."""
        return await self._put(
            "/send", {"to": out.address.value, "text": out.part.text, "key": out.key, "notice": out.notice}
        )

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        """Replace a text, or take it away."""
        if out.part == Part():
            return await self._put("/revoke", {"id": external_id})
        return await self._put("/edit", {"id": external_id, "text": out.part.text})

    async def removed(self) -> None:
        """Tell the provider that we are gone."""
        await self._put("/removed", {})

    async def signal(self, address: str, signal: Any) -> None:
        """Show that somebody types."""
        if isinstance(signal, TypingSignal):
            await self._put("/typing", {"to": address})

    async def _put(self, path: str, body: dict[str, str]) -> Receipt:
        token = self.settings.token.get_secret_value()
        answer = await self.http.post(f"{self.settings.url}{path}", json=body, headers={"X-Token": token})
        outcome(answer)
        return Receipt(state=State.SENT, external_id=_id_of(answer))


def _address(event: Event) -> Address:
    return Address(kind="phone", value=phone(event.sender))


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise Unreadable("at: out of range") from None


def _id_of(answer: Any) -> str:
    class Sent(Payload):
        id: str

    return Sent.read(answer.body).id if answer.body else ""


class Bell(Notifier):
    """Shows notifications in a list; the table says who heard it."""

    type = "everything"
    features = NotifierFeatures(actions=3, withdraws=True)
    shows: ClassVar[dict[str, Notification]] = {}

    async def deliver(self, notification: Notification) -> Shown:
        """Show it, unless the recipient may not know."""
        if self.recipient(notification).name == "nobody":
            raise Refused("nobody is nobody")
        self.shows[notification.id] = notification
        return Shown()

    async def withdraw(self, notification: Notification) -> None:
        """Show it no longer."""
        self.shows.pop(notification.id, None)

    def routes(self) -> Sequence[Route]:
        """Nothing of its own."""
        return ()


# register: once


@hookimpl
def register_channels() -> list[type[Channel]]:
    """Give the channel."""
    return [Line]


@hookimpl
def register_notifiers() -> list[type[Notifier]]:
    """Give the notifier."""
    return [Bell]


@hookimpl
def register_settings() -> type[EverythingSettings]:
    """Give the table's model."""
    return EverythingSettings


@hookimpl
def register_schema() -> Path:
    """Give the folder of revisions."""
    return FOLDER / "versions"


@hookimpl
def register_routes() -> list[Route]:
    """Give the routes."""
    return routes.ROUTES


@hookimpl
def register_pages() -> Pages:
    """Give the pages."""
    return Pages(folder=FOLDER / "pages", csp={"img-src": "'self' blob:"}, worker="worker.js", joins="joins.js")


@hookimpl
def register_simulators() -> list[Simulator]:
    """Give the simulator; imported only here."""
    from .simulator import SIMULATOR

    return [SIMULATOR]


# shape: before storing


@hookimpl
async def shape_inbound(message: Inbound, account: Account) -> Inbound | Drop | None:
    """Keep advertisements out, and write no text in capitals."""
    if "buy now" in message.text.lower():
        return Drop(f"an advertisement on {account.name}")
    return replace(message, text=message.text.capitalize()) if message.text.isupper() else None


@hookimpl
def format_reply(draft: Draft, settings: EverythingSettings) -> Draft | None:
    """Sign replies, and stop promises."""
    if any(isinstance(block, Text) and "promise" in block.markdown for block in draft.blocks):
        raise Refuse("we do not promise anything")
    return replace(draft, blocks=(*draft.blocks, Text(settings.signature))) if settings.signature else None


# on: after storing


@hookimpl
def on_inbound_message(message: Message, fact: Fact, tx: Tx) -> Any:
    """Write into the plugin's own table, in the transaction that moves its cursor."""
    tx.execute(NOTE, {"hook": "on_inbound_message", "text": message.text})
    tx.tell("everything.noted", conversation=message.conversation, ids={"message": message.id}, small={"n": message.n})
    if message.text == "wake me":
        tx.act(DropTimer("wake"))
        tx.act(SetTimer(key="wake", due=tx.now + timedelta(minutes=1), subject=message.conversation))


@hookimpl(specname="on_inbound_message")
def answer_inbound(message: Message) -> Any:
    """Ask for something, from a thread."""
    to = message.conversation
    if message.text == "hello":
        typing = Signal(account=message.account, address="+6281234567890", signal=TypingSignal())
        return [typing, Reply(conversation=to, draft=draft("hello to you"))]
    if message.text.startswith("queue"):
        place = draft(message.text) if message.text != "queue is over" else None
        return Notice(conversation=to, slot="queue", draft=place)
    if message.text == "ask":
        options = (Option(id="yes", title="Yes"), Option(id="no", title="No"))
        return Notify(recipient="ops", kind="question", title="Yes?", actions=options, conversation=to, key="ask")
    return Withdraw(key="ask") if message.text == "never mind" else None


@hookimpl(specname="on_inbound_message")
async def publish_inbound(message: Message, hub: Hub) -> None:
    """Hint at it, from the loop."""
    await hub.publish("everything", {"message": message.id})


@hookimpl
def on_delivery_status(message: Message, state: State, tx: Tx) -> None:
    """Note how far a reply has come."""
    tx.execute(NOTE, {"hook": "on_delivery_status", "text": f"{message.text}: {state.word}"})


@hookimpl
def on_session(conversation: Conversation, change: SessionStep, tx: Tx) -> None:
    """Note how a talk stands."""
    tx.execute(NOTE, {"hook": "on_session", "text": f"{change.value}, may answer: {conversation.answer.allowed}"})


@hookimpl
async def on_notification(notification: Notification, hub: Hub) -> None:
    """Note what anybody is shown: a sink."""
    await hub.write(_note, ("on_notification", notification.title))


@hookimpl
def answer_notification(notification: Notification, answer: str, tx: Tx) -> Reply:
    """Pass the answer on."""
    tx.execute(NOTE, {"hook": "answer_notification", "text": answer})
    return Reply(conversation=notification.conversation, draft=draft(f"they say {answer}"))


@hookimpl
def on_account(account: Account, state: AccountState, reason: str, tx: Tx) -> None:
    """Note how an account does."""
    tx.execute(NOTE, {"hook": "on_account", "text": f"{account.name} {state.value} {reason}".strip()})


@hookimpl
def on_timer(key: str, due: datetime, subject: str) -> Reply:
    """Answer when the time has come."""
    return Reply(conversation=subject, draft=draft(f"{key} at {due:%H:%M}"))


@hookimpl
async def on_fact(fact: Fact, hub: Hub) -> None:
    """Note what the plugin itself told."""
    if fact.type == "everything.noted":
        await hub.write(_note, ("on_fact", str(fact.small["n"])))


# forget and export: when an operator asks


@hookimpl
def forget_person(person: Person, tx: Tx) -> None:
    """Forget the notes that quote somebody: all of them, for they do not say whom."""
    tx.execute("DELETE FROM everything_note")


@hookimpl
def export_person(person: Person, query: Query) -> Mapping[str, str] | None:
    """Give the notes, as they are."""
    notes = query.execute("SELECT hook, text FROM everything_note ORDER BY id")
    return {"notes.txt": "".join(f"{hook}: {text}\n" for hook, text in notes)} if notes else None


def _note(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    for hook, text in items:
        tx.execute(NOTE, {"hook": hook, "text": text})
    return [None] * len(items)
