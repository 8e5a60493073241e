"""What comes in: envelopes, and the items that channels read in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .addresses import Address
from .content import Block
from .states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One delivery from a provider, raw."""

    endpoint: str  # `/in/<endpoint>`
    method: str  # upper case
    path: str  # below the endpoint, empty or starting with a slash; percent-encoded as it came
    # No `repr` of these: they hold tokens, signatures, and what somebody wrote.
    headers: Mapping[str, str] = field(repr=False)  # all, names in lower case; only the kept ones are stored
    query: tuple[tuple[str, str], ...] = field(repr=False)  # decoded as UTF-8, in order, repeats kept
    body: bytes = field(repr=False)
    remote: str  # the peer's address, behind trusted proxies the client's
    received_at: datetime

    def param(self, name: str, default: str = "") -> str:
        """Give the first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Somebody wrote."""

    external_id: str  # unique within the account; the channel makes it so
    address: Address
    at: datetime  # the provider's clock
    author: str = ""  # who of several wrote, as the provider shows them; empty: whoever the address is
    text: str = ""  # as it came, never Markdown
    blocks: tuple[Block, ...] = ()  # what is more than text
    thread: str = ""  # empty where the channel has no threads
    reply_to: str = ""  # external id of the message that is answered
    group: str = ""  # equal for the pictures of one album
    subject: str = ""
    automatic: bool = False  # a machine wrote it: no machine of ours answers
    known_as: str = ""  # name by which later messages mean this one, where that is not `external_id`: a Message-ID
    # Names of what this follows, nearest first: `known_as` of theirs, `Outgoing.key` of ours. The first that is known
    # gives its thread, instead of `thread`.
    follows: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()  # who else got it: values of addresses of the same kind, without ours
    answer_at: str = ""  # where answers go, if not to `address`; of the same kind
    acknowledge: bool = False  # the provider waits to hear of it: once it is kept, the core gives an `Acknowledge`
    to: str = ""  # account that is meant, or what the provider calls it (`Channel.meant_by`); only on shared endpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a provider says became of a part."""

    state: State
    at: datetime  # the provider's clock
    external_id: str = ""  # the provider's id of the part, as `send` returned it …
    key: str = ""  # … or our own key, where the provider gives that back
    code: str = ""  # the provider's code of a failure
    reason: str = ""  # the provider's own words; for a person, never matched on
    recipient: str = ""  # where one part goes to several people
    window_shut: bool = False  # it failed because the window for answers has closed: as the error `WindowShut`
    unreachable: bool = False  # it failed because nobody is reached at the address: as the error `Unreachable`
    to: str = ""


class SessionState(StrEnum):
    """How a talk that has a beginning and an end stands."""

    NONE = "none"  # the channel knows no sessions
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChange:
    """A session opened, dropped or ended."""

    address: Address
    state: SessionState
    at: datetime
    reason: str = ""  # `timeout`, `customer`, `agent`, …
    thread: str = ""
    to: str = ""


class ChangeKind(StrEnum):
    """What was done to a message that is there already."""

    EDIT = "edit"
    REVOKE = "revoke"
    REACTION = "reaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An edit, a revocation or a reaction; the message itself stays as it was."""

    kind: ChangeKind
    external_id: str  # of the message that is changed
    address: Address  # who did it
    at: datetime
    change_id: str = ""  # unique within the account; empty: made from the other fields
    text: str = ""  # the new text or caption, or the emoji; empty takes the reaction back
    # Edit: what the message holds now beside this text, without captions; files as `RemoteMedia`, or as `Media` that were
    # kept for it. Empty: what it held.
    blocks: tuple[Block, ...] = ()
    thread: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Typing:
    """Somebody types, or stopped; a hint that is never stored."""

    address: Address
    on: bool
    thread: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressChanged:
    """One person, a new address."""

    old: Address
    new: Address
    at: datetime
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """An address can be written to again, or no more until this is said or they write."""

    address: Address
    on: bool
    at: datetime  # the provider's clock; a message that is newer holds
    to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountNotice:
    """A provider says something about the account itself."""

    code: str
    text: str
    at: datetime
    broken: bool = False  # the account cannot work until a person acts
    to: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A value we could not make sense of."""

    reason: str  # for a person; holds no content
    to: str = ""


Item = Inbound | Report | SessionChange | Change | Typing | AddressChanged | Reachable | AccountNotice | Unread


@dataclass(frozen=True, slots=True)
class Batch:
    """What a listener fetched, and where it goes on."""

    envelopes: tuple[Envelope, ...]
    cursor: str  # stored in the transaction that stores the envelopes
