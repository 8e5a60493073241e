"""Every hook of Talkwire, in three families: what runs when, in which order, and what an answer means.

    register_…   once, at load: gives things
    shape_… and format_reply    before storing: may replace
    on_… and answer_…           after storing: told until taken
    forget_… and export_…       when an operator asks for somebody's data

Parameters are asked for by name, in any subset; `hub` and `settings` (the plugin's own table) may be asked for
wherever they stand. A plain function runs in a thread of the plugin, `async def` on the event loop; a plain function
that asks for `tx` runs inside the transaction that moves the plugin's cursor, `async def` with `tx` is refused.
"""
# mypy: disable-error-code="empty-body"
# A spec is all signature and no body.

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from .actions import Action
from .model import Account, AccountState, Conversation, Draft, Fact, Inbound, Message, Notification, Person, State

if TYPE_CHECKING:
    import pydantic

    from .channel import Channel, Route
    from .hub import Hub
    from .notifier import Notifier
    from .simulator import Simulator
    from .store import Query, Tx

hookspec = pluggy.HookspecMarker("talkwire")
hookimpl = pluggy.HookimplMarker("talkwire")

HOOK_API = 1  # raised when a hook changes so that a plugin must change with it
OLDEST_HOOK_API = 1  # plugins made for an older one are refused

Actions = Action | Iterable[Action] | None  # what an on_ hook may return


@dataclass(frozen=True, slots=True)
class Drop:
    """What `shape_inbound` returns to keep a message out; its envelope is kept all the same."""

    reason: str  # for the operator; no content


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Static pages of a plugin, served under `/p/<plugin>/`."""

    folder: Path
    csp: Mapping[str, str] = field(default_factory=dict)  # directive → sources, replaces that of the strict default
    worker: str = ""  # path of a service worker in the folder; its scope is `/p/<plugin>/`; empty: none
    joins: str = ""  # path of a module in the folder that our own pages load once somebody is known; empty: none


class SessionStep(StrEnum):
    """What `on_session` is told."""

    OPENED = "opened"
    DISCONNECTED = "disconnected"
    ENDED = "ended"
    WINDOW_CLOSING = "window_closing"  # one hour before
    WINDOW_CLOSED = "window_closed"


HOOK_OF_FACT: Mapping[str, str] = {  # by the fact's whole type, else by what stands before the first dot
    "message.received": "on_inbound_message",
    "delivery.changed": "on_delivery_status",
    "session": "on_session",
    "session.handled": "on_fact",  # how it stands is what it was
    "window": "on_session",
    "notification.created": "on_notification",
    "account": "on_account",
    "account.flapping": "on_fact",
    "account.quiet": "on_fact",  # it may be well
    "account.notice": "on_fact",  # what a provider says; the state stays
    "account.forgotten": "on_fact",  # it has no state any more
    "account.renamed": "on_fact",
    "account.withdrawn": "on_fact",
    "timer.due": "on_timer",
}


def hook_of(fact_type: str) -> str:
    """Name the hook that is told a fact; `on_fact` is told those that have no hook of their own."""
    whole = HOOK_OF_FACT.get(fact_type)
    return whole or HOOK_OF_FACT.get(fact_type.split(".", 1)[0], "on_fact")


# register: once, at load


@hookspec
def register_channels() -> list[type[Channel]]:
    """Give channels.

    When: once, when the plugin is loaded.
    Order: none; two plugins must not give the same type, the second one fails.
    Answer: subclasses of `Channel`, each with its own `type`.
    Error: the plugin is shown as failed, with its traceback; the daemon runs.
    Twice: no.
    """


@hookspec
def register_notifiers() -> list[type[Notifier]]:
    """Give notifiers.

    When, order, error, twice: as `register_channels`.
    Answer: subclasses of `Notifier`, each with its own `type`.
    """


@hookspec
def register_settings() -> type[pydantic.BaseModel]:
    """Give the model of the table `[plugins.<plugin>]`.

    When: once, at load, before the settings are checked.
    Order: none. Error, twice: as `register_channels`.
    Answer: a subclass of `talkwire.Settings`; secrets are `SecretStr`. A notifier's `Settings` needs no hook.
    """


@hookspec
def register_schema() -> Path:
    """Give the folder of the plugin's own Alembic revisions.

    When: once, at load; `talkwire db upgrade` runs what is new, after the core's.
    Order: as configured. Error: as `register_channels`.
    Answer: a folder in the package; its version table is `alembic_version_<plugin>`, its tables begin with the
    plugin's name. A column `account` of theirs holds an account's name: `talkwire accounts rename` and `forget` change
    and delete by it.
    Twice: the hook no; a revision runs once a database.
    """


@hookspec
def register_routes() -> list[Route]:
    """Give HTTP routes below `/p/<plugin>/`.

    When: once, at load; a handler with a parameter `hub` is given it.
    Order: as listed, before `register_pages`. Error, twice: as `register_channels`.
    Answer: `Route(method, path, handler)`; a handler that changes something asks `hub.principal(request)` first.
    """


@hookspec
def register_pages() -> Pages:
    """Give a folder of static pages below `/p/<plugin>/`.

    When, error, twice: as `register_channels`. Order: after `register_routes`.
    Answer: `Pages`, with what its Content-Security-Policy needs beyond ours. A page of ours that people sign in to
    (the operator's) imports the module `joins` and calls its `join(page)` once, on whichever port it is served. `page`
    lends `home` (its path; `#c=ID` opens a conversation), `bar` (an element with room for a button), `ask(method, path,
    body)` of the API, `now()` (the daemon's time in milliseconds), `open(conversation)`, `looksAt()`, `say(words)`, and
    tells what happens: `onFact(listener)`, `onOpen(listener)`, `onFreshLook(listener)` where facts may have been missed.
    """


@hookspec
def register_simulators() -> list[Simulator]:
    """Give small servers that speak the provider's protocol and play the customer.

    When: in `talkwire demo` and in tests only; import the simulator inside the hook.
    Order: none. Answer: `Simulator`; its server may be a `SimulatedProvider`, which brings a page, knobs for what goes
    wrong and a live feed. Error: the demo names it and goes on. Twice: once a demo.
    """


# shape: before storing


@hookspec
def shape_inbound(message: Inbound, account: Account, settings: Any, hub: Hub) -> Inbound | Drop | None:
    """Change a message before it is stored, or keep it out.

    When: after the channel understood it, before the provider is answered; 200 ms for all plugins and the whole
    envelope.
    Order: as configured; each plugin gets what the one before it returned.
    Answer: a new message with the same `external_id` and `to`; None leaves it as it is; `Drop(reason)` keeps it out.
    Error: what raises, is late or returns something else is skipped; the message is stored without it, with a note.
    Twice: yes, when the provider repeats itself or the envelope is replayed; keep no count here.
    """


@hookspec
def format_reply(draft: Draft, account: Account, settings: Any, hub: Hub) -> Draft | None:
    """Change a reply before it is stored, or refuse it.

    When: after the agent pressed send, before rendering; the agent waits for you (2 s for all plugins).
    Order: as configured; each plugin gets what the one before it returned.
    Answer: a new draft; None leaves it as it is. Raise `Refuse` to stop it; the agent sees your text.
    Error: any other exception stops the reply too; a filter that fails must not let things through.
    Twice: yes, if the agent presses send twice; keep no count here.
    """


# on: after storing, told until taken


@hookspec
def on_inbound_message(message: Message, fact: Fact, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Hear of a message that somebody wrote.

    When: after it is stored and the provider was answered; 30 s, with `tx` compute and write only.
    Order: in the order of the log within a conversation; conversations know nothing of each other.
    Answer: None, an action or several (`Reply(conversation=message.conversation, draft=draft("…"))`).
    Error: told again later; the conversation's next facts wait; in the end it is parked, named and replayable.
    Twice: with `tx` told once; without, perhaps again after a crash, but its actions are stored once.

    Its blocks `original`, the whole of a mail, are empty: `hub.message` gives them. To one that is `automatic` no
    `Reply` goes, and it comes back as `action.failed`.
    """


@hookspec
def on_delivery_status(message: Message, state: State, fact: Fact, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Hear how far a reply has come; `fact.ids["delivery"]` names the part.

    When: each time the state of a part grew or a problem was learnt; states may be skipped.
    Order, answer, error, twice: as `on_inbound_message`.
    """


@hookspec
def on_session(conversation: Conversation, change: SessionStep, fact: Fact, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Hear that a session opened, dropped or ended, or that the window for answers closes or has closed.

    When: after it is stored; `window_closing` one hour before, each step once.
    Order, answer, error, twice: as `on_inbound_message`.
    """


@hookspec
def on_notification(notification: Notification, fact: Fact, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Hear of every notification, whoever asked for it and by whatever medium it goes: a sink.

    When: after it is stored, beside its media. Order, answer, error, twice: as `on_inbound_message`.
    """


@hookspec
def answer_notification(notification: Notification, answer: str, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Take the answer to a notification that this plugin asked for.

    When: inside the transaction in which the first answer wins; always a plain function, `tx` or not.
    Order: only the asker is called.
    Answer: as `on_inbound_message`; `answer` is the id of the action that was pressed.
    Error: the answer is not taken; whoever pressed sees that, and may press again.
    Twice: no; the second answer gets 409 and never comes here.
    """


@hookspec
def on_account(
    account: Account, state: AccountState, reason: str, fact: Fact, tx: Tx, settings: Any, hub: Hub
) -> Actions:
    """Hear that an account began to work, waits, is broken, paused or absent.

    When: after the new state is stored. Order: that of the log within the account.
    Answer, error, twice: as `on_inbound_message`.
    """


@hookspec
def on_timer(key: str, due: datetime, subject: str, fact: Fact, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Hear that a timer of this plugin is due.

    When: at `due`, late after a stop; all that was told before it has been told.
    Order: with the facts of the conversation that `subject` names, else by itself.
    Answer, error: as `on_inbound_message`. Twice: a timer fires once; told as `on_inbound_message` says.
    """


@hookspec
def on_fact(fact: Fact, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Hear of every fact that has no hook of its own.

    When, order, answer, error, twice: as `on_inbound_message`.
    """


# forget and export: when an operator asks


@hookspec
def forget_person(person: Person, tx: Tx, settings: Any, hub: Hub) -> Actions:
    """Forget what the plugin's own tables hold of somebody: what they said, and what names them.

    When: inside the transaction that forgets the person, as its end; always a plain function, `tx` or not. What is
    not in the database, such as an open socket, goes by `tx.after_commit`.
    Order: as configured.
    Answer: as `on_inbound_message`; `DropTimer`, where a timer's key or subject names the person.
    Error: the person is not forgotten, and whoever asked is told so; it may be asked again.
    Twice: yes, after an error, or where the person writes again later and is forgotten again.
    """


@hookspec
def export_person(person: Person, query: Query, settings: Any) -> Mapping[str, str] | None:
    """Give what the plugin's own tables hold of somebody, as texts: `{"consents.csv": "…"}`.

    When: `talkwire export`, which reads beside a running daemon; a plain function that only reads, at most 50 ms.
    Order: as configured.
    Answer: file name → text, put under `plugins/<plugin>/`; None where there is nothing.
    Error: nothing is exported; whoever asked is told so. Twice: yes.
    """
