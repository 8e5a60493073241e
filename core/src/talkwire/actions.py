"""What a hook may ask for: actions, and the form in which they lie in a task.

Action ─┬─ Reply, Signal, Notice                      carried out after the commit, a lane a conversation
        └─ SetTimer, DropTimer, Notify, Withdraw      applied in the transaction that stores them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json as _parse
from pydantic_core import to_json as _dump

from .model import (
    Acknowledge,
    Address,
    Alias,
    Detail,
    Draft,
    OnDesktop,
    Option,
    Policy,
    Reaction,
    ReadUpTo,
    SignalKind,
    Style,
    TypingSignal,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Say something: in a conversation, or to an address that may not have one yet."""

    draft: Draft
    conversation: str = ""  # id; empty: `account` and `address` say where
    account: str = ""
    address: Address | None = None  # None: the conversation's
    key: str = ""  # idempotency within the plugin; empty: made from the fact, so that one fact replies once
    policy: Policy | None = None  # None: what the account says in `when_closed`
    fallback: str = ""  # account that it goes out from by policy fallback; empty: the one that `when_closed` names
    template: str = ""  # that goes out by policy template, while it waits; empty: the one that `when_closed` names

    def __post_init__(self) -> None:
        """Refuse a reply that goes nowhere, or to two places."""
        if bool(self.conversation) == bool(self.account) or bool(self.account) != (self.address is not None):
            raise ValueError("a Reply names a conversation, or an account and an address")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Pass on a hint; best effort, never repeated."""

    account: str
    address: str  # the value, as `Channel.signal` takes it
    signal: SignalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Keep one notice of a conversation up to date (`you are number 3`), edited in place where the channel can.

    It is no reply: it moves no conversation up, and does not count as an answer.
    """

    conversation: str  # id
    slot: str  # which notice; one text a slot
    draft: Draft | None  # None: take away what stands; a channel that cannot edit leaves it

    def __post_init__(self) -> None:
        """Refuse a notice that could not be told from a reply."""
        if not self.slot.strip():
            raise ValueError("a Notice names its slot")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Call `on_timer` at `due`; the same key again moves it."""

    key: str  # unique within the plugin
    due: datetime  # aware
    subject: str = ""  # given back; a conversation's id keeps it in order with its facts

    def __post_init__(self) -> None:
        """Refuse a time that means something else elsewhere."""
        if self.due.tzinfo is None:
            raise ValueError("SetTimer.due needs a time zone")


@dataclass(frozen=True, slots=True)
class DropTimer:
    """Forget a timer; one that is not there is no error."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Show something to a recipient, by the media that the recipient wants."""

    recipient: str
    kind: str  # dotted or plain word; what rules and screens tell notifications apart by
    title: str = ""  # empty: the template's
    text: str = ""
    actions: tuple[Option, ...] = ()  # offered as buttons; the first answer wins; empty: the template's
    conversation: str = ""  # id, empty where none is concerned
    key: str = ""  # unique within the plugin; the same key again shows nothing new; empty: made from the fact
    template: str = ""  # a file of the folder `[general] templates`, without `.toml`; empty: as said here
    values: Mapping[str, str] | None = None  # what the template's `{names}` stand for
    style: Style | None = None  # None: the template's, else a toast
    details: tuple[Detail, ...] = ()  # four at most; empty: the template's
    timeout: timedelta | None = None  # after it the notification lapses; None: the template's, else never
    show_timeout: bool | None = None  # whether pages count it down; None: the template's, else yes
    on_desktop: OnDesktop | None = None  # None: the template's, else `background`
    account: str = ""  # empty where none is concerned

    def __post_init__(self) -> None:
        """Refuse what no surface has room for, and a time that never comes."""
        if len(self.details) > 4:
            raise ValueError("a Notify has four details at most")
        if self.timeout is not None and self.timeout <= timedelta():
            raise ValueError("Notify.timeout lies in the future")
        if self.style is not None:  # a plain word does as well
            object.__setattr__(self, "style", Style(self.style))
        if self.on_desktop is not None:
            object.__setattr__(self, "on_desktop", OnDesktop(self.on_desktop))


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """Take a notification back, wherever it shows."""

    key: str = ""  # as given to `Notify` …
    notification: str = ""  # … or its id

    def __post_init__(self) -> None:
        """Refuse what names nothing, or two things."""
        if bool(self.key) == bool(self.notification):
            raise ValueError("a Withdraw names a key or a notification")


Action = Reply | Signal | Notice | SetTimer | DropTimer | Notify | Withdraw

_ACTIONS: dict[str, type[Any]] = {
    "reply": Reply,
    "signal": Signal,
    "notice": Notice,
    "set_timer": SetTimer,
    "drop_timer": DropTimer,
    "notify": Notify,
    "withdraw": Withdraw,
}
_NAMES = {kind: name for name, kind in _ACTIONS.items()}
_SIGNALS: dict[str, type[Any]] = {"typing": TypingSignal, "read": ReadUpTo, "reaction": Reaction, "ack": Acknowledge}


def name_of(action: Action) -> str:
    """Give an action's name as tasks and facts hold it: `set_timer`."""
    return _NAMES[type(action)]


def to_json(action: Action) -> str:
    """Write an action as JSON; fields at their default are left out."""
    given = {f.name: getattr(action, f.name) for f in fields(action) if getattr(action, f.name) != f.default}
    return _dump({"action": name_of(action), **{k: _written(v) for k, v in given.items()}}).decode()


def from_json(text: str | bytes) -> Action:
    """Read what `to_json` wrote. Errors: `ValueError` where it is something else."""
    values = _parse(text)
    if not isinstance(values, dict) or values.get("action") not in _ACTIONS:
        raise ValueError("this is no action of ours")
    kind = _ACTIONS[values.pop("action")]
    known = {f.name for f in fields(kind)}
    needed = {f.name for f in fields(kind) if f.default is MISSING}
    if not needed <= values.keys() <= known:
        raise ValueError(f"this is no {_NAMES[kind]} of ours")
    action: Action = kind(**{k: _READ[k](v) if k in _READ and v is not None else v for k, v in values.items()})
    return action


def _written(value: Any) -> Any:
    if isinstance(value, Draft):
        from .formatting import blocks_to_json

        return {
            "blocks": blocks_to_json(value.blocks),
            "reply_to": value.reply_to,
            "subject": value.subject,
            "cc": list(value.cc),
            "bcc": list(value.bcc),
        }
    if isinstance(value, TypingSignal | ReadUpTo | Reaction | Acknowledge):
        return {"kind": next(k for k, v in _SIGNALS.items() if isinstance(value, v)), **asdict(value)}
    if isinstance(value, Address):
        return asdict(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple):
        return [asdict(option) for option in value]
    return value.isoformat() if isinstance(value, datetime) else value


def _draft(value: dict[str, Any]) -> Draft:
    from .formatting import blocks_from_json

    copies = {name: tuple(value.get(name, ())) for name in ("cc", "bcc")}  # older tasks have none
    return Draft(**{**value, **copies, "blocks": tuple(blocks_from_json(value["blocks"]))})


def _address(value: Any) -> Any:
    if isinstance(value, str):  # a Signal's
        return value
    return Address(**{**value, "aliases": tuple(Alias(**alias) for alias in value["aliases"])})


_READ: dict[str, Callable[[Any], Any]] = {
    "draft": _draft,
    "address": _address,
    "signal": lambda value: _SIGNALS[value["kind"]](**{k: v for k, v in value.items() if k != "kind"}),
    "due": datetime.fromisoformat,
    "actions": lambda value: tuple(Option(**option) for option in value),
    "policy": Policy,
    "details": lambda value: tuple(Detail(**detail) for detail in value),
    "style": Style,
    "on_desktop": OnDesktop,
    "timeout": lambda value: timedelta(seconds=value),
}
