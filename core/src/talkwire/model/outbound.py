"""What goes out: rendered parts, what a channel is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .addresses import Address
from .content import Draft, Option
from .states import Degradation, State
from .stored import Attachment, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a provider takes in one request."""

    text: str = ""  # in the channel's own markup
    plain: str = ""  # the same as plain text; empty where `text` is plain
    attachment: str = ""  # id of an attachment row, empty for none
    options: tuple[Option, ...] = ()
    payload: str = ""  # JSON that only the channel reads; empty for none


@dataclass(frozen=True, slots=True)
class Rendered:
    """A draft in the form that one channel allows."""

    parts: tuple[Part, ...]
    degradations: tuple[Degradation, ...] = ()
    draft: Draft | None = None  # as our own pages show it, where the channel knows more of it: a template's text


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One part on its way."""

    key: str  # UUID fixed with the delivery: the same at every attempt
    account: str
    address: Address
    thread: str
    part: Part
    reply_to: str = ""  # external id of the message that is answered
    subject: str = ""
    notice: str = ""  # slot of a `Notice`; empty: a message
    last_inbound: str = ""  # external id of the customer's last message
    references: tuple[str, ...] = ()  # external ids of the conversation, oldest first, at most 20
    recipient: str = ""  # who gets this copy, a value of `Draft.cc` or `bcc`; empty: `address`
    copy_of: str = ""  # key of the part that `address` gets, where this is a copy of it; empty: it is none
    automatic: bool = False  # a machine of ours says it
    attempt: int = 1  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The provider's yes."""

    state: State = State.SENT  # ACCEPTED where the yes is only "we will try"
    external_id: str = ""  # the provider's id of the part; empty: reports come under `Outgoing.key`


@dataclass(frozen=True, slots=True)
class NotThere:
    """The provider does not have this part: it may be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """What a renderer may know beside the draft."""

    account: str
    address: Address
    attachments: Mapping[str, Attachment] = field(default_factory=dict)  # those that the draft names or passes on
    language: str = "en"
    subject: str = ""  # of the conversation's newest message that has one
    last_inbound: Message | None = None  # the customer's last message; None: there is none
    forwarded: Mapping[str, Message] = field(default_factory=dict)  # what the draft's `Forward`s name
    senders: Mapping[str, Address] = field(default_factory=dict)  # who wrote those of them that came in
    automatic: bool = False  # a machine of ours says it


@dataclass(frozen=True, slots=True)
class TypingSignal:
    """Show the customer that somebody types."""

    on: bool = True
    last_inbound: str = ""  # external id of the customer's last message, filled in by the core; empty: there is none


@dataclass(frozen=True, slots=True)
class ReadUpTo:
    """Tell the provider that we have read up to this message."""

    external_id: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """React to a customer's message; an empty emoji takes it back."""

    external_id: str
    emoji: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Answer a pressed button, where the provider waits for that."""

    external_id: str
    text: str = ""


SignalKind = TypingSignal | ReadUpTo | Reaction | Acknowledge
