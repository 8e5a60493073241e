"""The nouns that every journey speaks of.

Everything here is frozen: a value that has been built does not change. Times are aware and in UTC,
sequences are tuples, ids that leave this process are UUIDv7 in their text form.

    Envelope ──parse──▶ Item ─┬─ Inbound        somebody wrote
                              ├─ Report         a provider says what became of a part
                              ├─ SessionChange  a session opened, dropped or ended
                              ├─ Change         an edit, a revocation, a reaction
                              ├─ Typing         never stored
                              ├─ AddressChanged one person, a new address
                              ├─ Reachable      an address can be written to again, or no more
                              ├─ AccountNotice  a provider says something about the account
                              └─ Unread         kept, shown, can be replayed

    Draft ──render──▶ Rendered(parts) ──queue──▶ Outgoing ──send──▶ Receipt
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, IntEnum, StrEnum

# --- what is written -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """Text in the Markdown that our formatter knows (CommonMark plus ~~strike~~)."""

    markdown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A picture, a sound, a film or a file that is in our store."""

    attachment: str  # id of an attachment row; in an `Inbound` one of `Hub.keep_file`, that becomes its message's own
    caption: str = ""  # Markdown
    content_id: str = ""  # under which an `Original` of the same message shows it, `cid:…`; empty: it does not


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteMedia:
    """A file that still lies with the provider; the core fetches it through `Channel.fetch`."""

    handle: str  # the provider's id or URL; only the channel can read it
    name: str = ""  # as sent, may be hostile: never a path
    media_type: str = ""  # as claimed by the provider
    size: int | None = None  # bytes, None where the provider does not say
    caption: str = ""  # plain text, as sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed:
    """Inbound only: a file that lies in the envelope itself; the core stores it and puts a `Media` in its place."""

    content: bytes = field(repr=False)
    name: str = ""  # as sent, may be hostile: never a path
    media_type: str = ""  # as claimed by the provider
    content_id: str = ""  # under which an `Original` shows it; empty: it does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """Inbound only: the whole of what came, where the text of its message is only what is new in it."""

    text: str = ""  # plain, with all that is quoted; empty: the message's text is the whole
    html: str = ""  # made safe by the channel: no script, no style, nothing that loads from elsewhere; empty: none


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be chosen."""

    id: str  # comes back in `Choice.id`
    title: str  # plain text
    description: str = ""  # plain text; lists only
    url: str = ""  # opens a page instead of answering


@dataclass(frozen=True, slots=True, kw_only=True)
class Buttons:
    """Quick replies below a text."""

    text: str  # Markdown
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """A list to choose one row from."""

    text: str  # Markdown
    button: str  # plain text of the button that opens the list
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A title, a text, perhaps a picture, perhaps buttons."""

    title: str  # plain text
    text: str = ""  # Markdown
    image: str = ""  # id of an attachment row, empty for none
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A point on the earth."""

    latitude: float  # degrees north, WGS 84; -90 to 90
    longitude: float  # degrees east, WGS 84; -180 to 180
    name: str = ""
    address: str = ""

    def __post_init__(self) -> None:
        """Refuse a point that nobody can show."""
        if not (-90 <= self.latitude <= 90 and -180 <= self.longitude <= 180):
            raise ValueError("this point is not on the earth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text that the provider has approved before; only its values are ours."""

    name: str
    language: str  # as the provider writes it, `en_US`; empty: the channel takes the one it has, or its own default
    values: tuple[str, ...] = ()
    text: str = ""  # what people see in our own pages


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLink:
    """A form that opens elsewhere."""

    label: str
    url: str  # https


@dataclass(frozen=True, slots=True)
class Forward:
    """A message that is passed on, with its files."""

    message: str  # id


@dataclass(frozen=True, slots=True)
class Choice:
    """Inbound only: what a person chose."""

    id: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCard:
    """Inbound only: somebody's contact details."""

    name: str
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Inbound only: what no other block says, such as an order or a poll."""

    kind: str  # the provider's word for it: `order`
    text: str  # one line for a person
    # JSON of the provider's value, at most 64 kB; empty: not kept. What the provider adds to it makes it no other block.
    raw: str = field(default="", repr=False, compare=False)


type_names: dict[type, str] = {  # of what is stored and served
    Text: "text",
    Media: "media",
    RemoteMedia: "remote_media",
    Original: "original",
    Buttons: "buttons",
    Choices: "list",
    Card: "card",
    Location: "location",
    Template: "template",
    FormLink: "form_link",
    Forward: "forward",
    Choice: "choice",
    ContactCard: "contact",
    Other: "other",
}

Block = (
    Text
    | Media
    | RemoteMedia
    | Enclosed
    | Original
    | Buttons
    | Choices
    | Card
    | Location
    | Template
    | FormLink
    | Forward
    | Choice
    | ContactCard
    | Other
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What somebody wants to say, before any channel shaped it."""

    blocks: tuple[Block, ...]
    reply_to: str = ""  # id of the message that is answered, empty for none
    subject: str = ""  # plain text; channels without subjects leave it out, named as a degradation
    cc: tuple[str, ...] = ()  # who else gets it: values of addresses of the kind that it goes to
    bcc: tuple[str, ...] = ()  # who gets it without the others' knowing


def draft(text: str) -> Draft:
    """Make a draft of one Markdown text."""
    return Draft(blocks=(Text(text),))


# --- what comes in ---------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Alias:
    """Another address under which the same person is found."""

    kind: str
    value: str
    claimed: bool = False  # they said so themselves: a way to reach them, by which nobody is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one person is reached, in the channel's canonical form."""

    kind: str  # `phone` and `email` are one person in all accounts; any other kind is the account's
    value: str  # `phone`: E.164 with a plus sign; `email`: lower case
    name: str = ""  # as the provider showed it
    aliases: tuple[Alias, ...] = ()


GLOBAL_KINDS = frozenset({"phone", "email"})  # kinds whose addresses mean the same in every account


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
    text: str = ""  # the new text, or the emoji; empty takes the reaction back
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


# --- what goes out ---------------------------------------------------------------------------


class State(IntEnum):
    """How far a part has come; the number is the rank, and the largest ever learnt holds."""

    QUEUED = 0
    UNCERTAIN = 5
    ACCEPTED = 10
    SENT = 20
    FAILED = 25
    DELIVERED = 30
    READ = 40

    @property
    def word(self) -> str:
        """Give the name as it stands on wires and pages."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The earliest failure of a part, whatever its state became."""

    code: str
    text: str  # the provider's own words, or ours
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """What a rendered message says less well than its draft."""

    block: int  # position of the block in the draft, from 0
    what: str  # stable code: `table_as_text`, `button_dropped`, …
    text: str  # for a person
    lost: bool = False  # True: content is gone; False: it is said in another form


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


# --- signals ---------------------------------------------------------------------------------


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


# --- what is stored and read -----------------------------------------------------------------


class AccountState(StrEnum):
    """How an account does."""

    STARTING = "starting"
    WORKING = "working"
    WAITING = "waiting"  # the provider cannot be reached; tried again by itself
    BROKEN = "broken"  # a person must act
    PAUSED = "paused"  # a person said so
    ABSENT = "absent"  # its plugin or its table in the settings is gone

    @property
    def sends(self) -> bool:
        """Say whether replies go out in this state."""
        return self in (AccountState.STARTING, AccountState.WORKING, AccountState.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A configured instance of a channel, as plugins see it."""

    name: str
    channel: str  # type of the channel
    state: AccountState = AccountState.STARTING
    reason: str = ""  # for a person, empty while it works
    since: datetime | None = None  # of the state; None before the first


class AnswerCode(StrEnum):
    """Why a conversation cannot be answered now."""

    SESSION_ENDED = "session_ended"
    WINDOW_CLOSED = "window_closed"
    ACCOUNT_BROKEN = "account_broken"
    ACCOUNT_ABSENT = "account_absent"
    ADDRESS_UNREACHABLE = "address_unreachable"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What can be done instead."""

    kind: str  # account | template | hold | wait
    account: str = ""  # kind `account`: which
    address: str = ""  # kind `account`: the address it would go to …
    address_kind: str = ""  # … and its kind: `email`
    template: str = ""  # kind `template`: the one that the account names; empty: whoever sends it chooses
    text: str = ""  # for a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether a conversation may be answered now."""

    allowed: bool
    code: AnswerCode | None = None  # None while allowed
    since: datetime | None = None  # None while allowed
    until: datetime | None = None  # when a window closes or closed; None: no window
    text: str = ""  # in the reader's language
    ways: tuple[Way, ...] = ()

    @property
    def icon(self) -> str | None:
        """Name the icon that every page draws left of the reply button; None draws nothing."""
        return None if self.allowed else "warning"


class Policy(StrEnum):
    """What becomes of a reply that cannot go out now."""

    REJECT = "reject"
    HOLD = "hold"
    TEMPLATE = "template"
    FALLBACK = "fallback"


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
    at: datetime
    by: str  # address
    blocks: tuple[Block, ...] = ()  # of what we replaced ourselves; a customer's edit has text only


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


class Style(StrEnum):
    """How a notification asks for attention."""

    TOAST = "toast"  # tells, and vanishes by itself
    ALERT = "alert"  # has actions, and wants one of them in time


class OnDesktop(StrEnum):
    """When a notification is shown outside of our pages."""

    ALWAYS = "always"
    BACKGROUND = "background"  # unless the recipient looks at a page or client of ours: focused and not idle
    NEVER = "never"


class Ended(StrEnum):
    """Why a notification is no longer open."""

    OPEN = ""
    ANSWERED = "answered"  # by this recipient, or by another one who was asked the same
    WITHDRAWN = "withdrawn"  # whoever asked took it back
    LAPSED = "lapsed"  # nobody answered in time


@dataclass(frozen=True, slots=True)
class Detail:
    """One line of a notification: `Customer: Dewi`."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Something a recipient ought to see."""

    id: str
    recipient: str
    asker: str  # `plugin:desk`, `rule:0`
    kind: str
    title: str
    text: str
    actions: tuple[Option, ...] = ()
    conversation: str = ""
    at: datetime | None = None  # None before it is stored
    answered_by: str = ""  # surface; empty: nobody yet
    answer: str = ""  # id of the action
    style: Style = Style.TOAST
    details: tuple[Detail, ...] = ()  # four at most
    on_desktop: OnDesktop = OnDesktop.BACKGROUND
    lapses_at: datetime | None = None  # when it is taken back unanswered; None: never, or not to be shown here
    account: str = ""  # empty where none is concerned
    seen: bool = False  # the recipient has read it on some surface
    ended: Ended = Ended.OPEN  # why it is no longer open
    opens: tuple[str, ...] = ()  # ids of actions that answer nothing, and bring the conversation to the front


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """Whose answer to a notification was the first, of all who were asked the same."""

    recipient: str
    surface: str  # where: `page`, `native:laptop`, `email`
    action: str  # id of what they chose
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Who can be notified."""

    name: str
    email: str = ""
    media: tuple[str, ...] = ()
    language: str = ""  # `en`, `id`; empty: that of the instance
    time_zone: str = ""  # `Asia/Jakarta`; empty: that of the instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a recipient wants, beside what the settings say; theirs go before."""

    recipient: str
    off: tuple[str, ...] = ()  # media by which they want nothing
    quiet: str | None = None  # 22:00-07:00; empty: no quiet hours; None: as the settings say
    time_zone: str | None = None  # of `quiet`; None: as the settings say
    language: str | None = None  # None: as the settings say


class Unit(Enum):
    """What a provider counts a text in."""

    CHARACTERS = "characters"  # Unicode code points
    UTF16 = "utf16"  # UTF-16 code units
    BYTES = "bytes"  # of UTF-8
    SEGMENTS = "segments"  # SMS: GSM 7 bit or UCS-2, as the text demands


class Level(StrEnum):
    """How well a channel carries something."""

    FULL = "full"
    PARTIAL = "partial"  # in another form, named as a degradation
    DROPPED = "dropped"  # left out, named as a degradation
    REJECTED = "rejected"  # refused before anything is stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often a provider lets us send."""

    count: int
    per: timedelta
    key: str = "account"  # or `address`: one person, whatever the thread
    burst: int = 1  # how many may go at once after a rest
    begins: str = ""  # with key `address`: only addresses whose value begins so; empty: all
