"""What is stored, as it is read: people, conversations, messages, facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .accounts import Answer, Policy
from .addresses import Address
from .content import Block
from .inbound import ChangeKind, SessionState
from .states import Degradation, Problem, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """The person."""

    id: str
    name: str
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody whose data are forgotten or exported, with all that names them."""

    contact: str  # id
    name: str
    addresses: tuple[tuple[str, Address], ...]  # (account, address); no account where it is the same in all of them
    conversations: tuple[str, ...]  # ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Account × address × thread, for ever."""

    id: str
    account: str
    channel: str
    address: Address
    thread: str
    contact: str  # id
    last_n: int  # number of its last message
    last_at: datetime | None  # None: no message yet
    last_inbound_at: datetime | None  # None: the customer never wrote
    last_text: str  # the beginning of the last message, at most 120 characters
    subject: str  # of the newest message that has one; empty: none has
    session: SessionState
    answer: Answer
    session_since: datetime | None = None  # when it began, not each reconnect; None: the channel knows no sessions
    session_reason: str = ""  # why it ended: `timeout`, `customer`, `agent`, …; empty while it lives
    handled: bool = False  # somebody replied since it began; notices and automatic answers of plugins do not count
    continues: str = ""  # id of the conversation that went on here (policy `fallback`); empty: none
    continued_in: tuple[str, ...] = ()  # ids of the conversations in which this one went on, oldest first


class Direction(StrEnum):
    """Which way a message goes."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One part for one recipient, with its state."""

    id: str  # also the key of `Outgoing`
    message: str
    position: int  # of the part in the message, from 0
    recipient: str  # empty: the conversation's address
    generation: int  # from 0; a resend adds one
    state: State
    external_id: str
    problem: Problem | None  # None: never failed
    reason: str  # why it is still queued, or why its outcome is not known; empty otherwise
    attempts: int
    text: str  # of the part, plain
    state_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Text in or out; immutable but for the states of its deliveries."""

    id: str
    conversation: str
    account: str
    direction: Direction
    n: int  # its number in the conversation, from 1
    at: datetime  # in: the provider's time, never later than stored_at; out: stored_at
    stored_at: datetime
    text: str  # plain
    blocks: tuple[Block, ...]
    author: str  # in: who of several wrote, mostly empty; out: `agent:ann`, `key:crm`, `plugin:opening_hours`, …
    external_id: str  # in: the provider's id; out: empty
    reply_to: str  # id of a message, empty for none
    group: str
    subject: str
    state: State | None  # None for inbound
    reason: str  # why it is still queued; empty otherwise
    deliveries: tuple[Delivery, ...] = ()
    degradations: tuple[Degradation, ...] = ()
    changes: tuple[StoredChange, ...] = ()
    notice: str = ""  # slot of a `Notice`; empty: a message
    replayed: bool = False
    automatic: bool = False  # a machine wrote it, theirs or ours
    cc: tuple[str, ...] = ()  # who else got it
    bcc: tuple[str, ...] = ()  # out: who got it without the others' knowing
    answer_at: str = ""  # in: where answers go, if not to the conversation's address


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange:
    """A change that points at a message."""

    kind: ChangeKind
    text: str  # plain
    at: datetime  # of a place that moves on: when it was last heard of
    by: str  # address
    # Of an edit, what the message holds from then on. Ours: all of it; a customer's: what is beside the text, and empty
    # where that stayed.
    blocks: tuple[Block, ...] = ()


class AttachmentClass(StrEnum):
    """Where an attachment is listed."""

    MEDIA = "media"
    FILE = "file"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that came or goes."""

    id: str
    name: str  # made safe: no path, no control characters
    media_type: str  # sniffed, never the claimed one
    size: int  # bytes
    sha256: str  # hex; empty while it is still with the provider
    cls: AttachmentClass
    handle: str = ""  # the provider's, while it is still there


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A reply that is stored and will be carried out."""

    message: str  # id
    n: int
    policy: Policy | None  # None: it goes now; else what was applied
    degradations: tuple[Degradation, ...] = ()
    repeated: bool = False  # the same key came before: nothing new was stored
    conversation: str = ""  # id of the conversation it is in
    account: str = ""  # that sends it: by `fallback` another than was asked


Small = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What happened, in the log."""

    seq: int  # position in the log, from 1, without gaps, in the order of the commits
    type: str  # dotted: `message.received`
    at: datetime
    account: str  # empty where none is concerned
    conversation: str  # id, empty where none is concerned
    ids: Mapping[str, str]  # role → id: message, delivery, contact, …
    small: Mapping[str, Small]  # changed values; never content
    replayed: bool = False
    after_gap: bool = False  # an earlier fact of this conversation was parked
