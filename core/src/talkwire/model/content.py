"""What is written: blocks, and the drafts that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field


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
    fingerprint: str = ""  # what stays with equal content while handles change; empty: the handle does


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
