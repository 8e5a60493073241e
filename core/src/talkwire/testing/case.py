"""What an author gives the kit: samples and what they mean, and how the provider speaks.

    ACME = {"token": "kit-token-0123456789", "secret": "kit-secret-0123456789", "url": "https://api.acme.example"}

    case = Case(
        channel=AcmeChannel,
        settings=ACME,
        sign=lambda envelope: with_header(envelope, "x-acme-signature", digest(envelope.body)),
        samples=(
            Sample("a text", body={"events": […]}, means=(Inbound(…),), source="Acme API 3.1, 'Events'"),
        ),
        answers=Answers(accept=lambda seen, id: Reply.json({"id": id})),
        report=lambda seen, id: Sample("delivered", body={"events": [{"kind": "delivered", "id": id}]}),
    )

Only what the channel has is given: one that fetches gives `polled` instead of `sign`, one that speaks something else than
HTTP gives `speaks`, which makes its provider for both ways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ..channel import Channel, Settings
from ..model import (
    Address,
    Attachment,
    AttachmentClass,
    Block,
    Buttons,
    Card,
    Choices,
    Draft,
    Envelope,
    FormLink,
    Item,
    Location,
    Media,
    Option,
    Outgoing,
    Part,
    RenderContext,
    Text,
    Unit,
)
from .provider import Answers, Provider, Reply, Seen
from .services import NOON
from .visitors import Sessions

PICTURE = "kit-picture"  # id of the attachment that the kit's drafts show
KEY = "01940000-0000-7000-8000-00000000c0de"  # `Outgoing.key` of what the kit sends
HELLO = Part(text="kit hello")
SOMEBODY = Address(kind="phone", value="+6281234567890")
WORD = re.compile(r"[^\W_]+")
_LINKED = re.compile(r"\]\((\S+?)\)")  # the address of a Markdown link


@dataclass(frozen=True)
class Sample:
    """One delivery as the provider makes it, and what it means."""

    name: str
    _: KW_ONLY
    means: tuple[Item, ...] = ()  # what `parse` must give, in order; empty: nothing
    body: Any = b""  # bytes and text as they are, anything else becomes JSON
    file: Path | None = None  # holds the body instead
    form: Mapping[str, str] | None = None  # a URL-encoded form instead
    query: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = ""  # empty: POST with a body, GET without
    path: str = ""  # below the endpoint
    remote: str = "203.0.113.7"
    received_at: datetime = NOON
    envelope: Envelope | None = None  # instead of all the above, where one is at hand
    answer: str | None = None  # a handshake: the body that must be answered; None: no handshake
    source: str = ""  # document, chapter, date; shown when a check fails

    def raw(self) -> Envelope:
        """Make the envelope, unsigned."""
        if self.envelope is not None:
            return self.envelope
        body, kind = self._body()
        query = self.query.items() if isinstance(self.query, Mapping) else self.query
        headers = {"content-type": kind} if kind else {}
        headers |= {name.lower(): value for name, value in self.headers.items()}
        return Envelope(
            endpoint="kit",
            method=self.method or ("POST" if body else "GET"),
            path=self.path,
            headers=headers,
            query=tuple(query),
            body=body,
            remote=self.remote,
            received_at=self.received_at,
        )

    def _body(self) -> tuple[bytes, str]:
        if self.form is not None:
            return urlencode(dict(self.form)).encode(), "application/x-www-form-urlencoded"
        if self.file is not None:
            content = self.file.read_bytes()
            return content, "application/json" if self.file.suffix == ".json" else ""
        if isinstance(self.body, bytes):
            return self.body, "application/json" if self.body[:1] in {b"{", b"["} else ""
        if isinstance(self.body, str):
            return self.body.encode(), "application/json" if self.body[:1] in {"{", "["} else "text/plain"
        return json.dumps(self.body).encode(), "application/json"

    def __str__(self) -> str:
        notes = ", ".join(str(note) for note in (self.file, self.source) if note)
        return f"{self.name} ({notes})" if notes else self.name


@dataclass(frozen=True)
class Drafted:
    """A draft to render."""

    name: str
    draft: Draft

    def words(self, block: int) -> tuple[str, ...]:
        """Find the words that must arrive of a block, in order; of links only their words."""
        return tuple(word for text in _texts(self.draft.blocks[block]) for word in WORD.findall(_LINKED.sub("]", text)))

    def links(self, block: int) -> tuple[str, ...]:
        """Find where the links of a block lead; it must arrive, too, but some providers take it apart from the text."""
        return tuple(link for text in _texts(self.draft.blocks[block]) for link in _LINKED.findall(text))


def _texts(block: Block) -> Iterator[str]:
    match block:
        case Text():
            yield block.markdown
        case Media():
            yield block.caption
        case Buttons():
            yield block.text
            yield from (option.title for option in block.options)
        case Choices():
            yield block.text
            yield from (option.title for option in block.options)
        case Card():
            yield block.title
            yield block.text
            yield from (option.title for option in block.options)
        case Location():
            yield block.name
            yield block.address
        case FormLink():
            yield block.label
            yield block.url
        case _:
            return


def elsewhere(settings: Mapping[str, Any], model: type[Settings], base_url: str) -> dict[str, Any]:
    """Replace scheme and host of every URL among settings."""
    checked = model.model_validate(dict(settings))
    found = {
        name: re.sub(r"^https?://[^/?#]*", base_url, str(value))
        for name in type(checked).model_fields
        if re.match(r"https?://", str(value := getattr(checked, name)))
    }
    return {**settings, **found}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A channel, with all that the kit must know to judge it."""

    channel: type[Channel]
    settings: Mapping[str, Any]  # valid, as in talkwire.toml without `channel`; secrets of 8 characters and more

    # --- in
    samples: tuple[Sample, ...] = ()  # at least one of each kind that the channel reads
    unknown: tuple[Sample, ...] = ()  # deliveries of kinds that the channel does not read
    # Makes an envelope genuine as the provider does: adds the signature, the token, the peer's address.
    # The same for equal envelopes; a time in it comes from `received_at`. None: the channel takes no webhooks.
    sign: Callable[[Envelope], Envelope] | None = None
    batches: tuple[str, ...] | None = None  # JSON paths of lists of events, `entry.*.messages`; None: found by trying
    polled: Callable[[Seen, tuple[Sample, ...]], Reply | None] | None = (
        None  # answers `listen`; None: not such a request
    )

    # --- out
    drafts: tuple[Draft, ...] = ()  # rendered beside the kit's own
    answers: Answers | None = None  # how the provider answers `send`
    # (answers, samples that wait to be fetched by `listen`) → a provider that speaks something else than HTTP
    speaks: Callable[[Answers, tuple[Sample, ...]], Provider] | None = None
    sends_elsewhere: str = (
        ""  # why there are no `answers`, where nobody can say how `send` is answered: "SMTP, see test_smtp.py"
    )
    report: Callable[[Seen, str], Sample] | None = None  # (request, id in the answer) → a report about that part
    part: Part = HELLO  # what is sent
    address: Address = SOMEBODY  # to whom
    thread: str = ""
    last_inbound: str = ""

    # --- own connections
    sessions: Sessions | None = None  # how people come over connections of the channel's own; None: there are none

    # --- settings
    point_at: Callable[[Mapping[str, Any], str], Mapping[str, Any]] | None = (
        None  # (settings, base URL without slash) →
    )
    #   settings for a provider there; None: scheme and host of every URL setting are replaced
    secrets: tuple[str, ...] = ()  # secret values beside those of SecretStr settings
    public: frozenset[str] = frozenset()  # settings that sound secret and are not: `public_key`

    @property
    def subject(self) -> type[Channel]:
        """Give what is judged."""
        return self.channel

    def pointed_at(self, base_url: str) -> Mapping[str, Any]:
        """Make settings for a provider at this URL."""
        if self.point_at is not None:
            return self.point_at(self.settings, base_url)
        return elsewhere(self.settings, self.channel.Settings, base_url)

    def genuine(self, sample: Sample) -> Envelope:
        """Make the envelope of a sample, signed where the provider signs."""
        raw = sample.raw()
        return raw if self.sign is None else self.sign(raw)

    def outgoing(self, part: Part | None = None, **changes: Any) -> Outgoing:
        """Make what `send` is given."""
        out = Outgoing(
            key=KEY,
            account="kit",
            address=self.address,
            thread=self.thread,
            part=part or self.part,
            last_inbound=self.last_inbound,
        )
        return replace(out, **changes)

    def context(self) -> RenderContext:
        """Make what `render` is given, with one picture that drafts may show."""
        types = [kind for media in self.channel.features.media for kind in media.types] or ["image/png"]
        kind = next((kind for kind in types if kind.startswith("image/")), types[0])
        family, _, name = kind.partition("/")
        families = {"image": "png", "video": "mp4", "audio": "mpeg"}
        if family == "*":
            family, name = "image", "png"
        picture = Attachment(
            id=PICTURE,
            name="kit",
            media_type=f"{family}/{families.get(family, 'plain') if name == '*' else name}",
            size=1000,
            sha256="0" * 64,
            cls=AttachmentClass.MEDIA,
        )
        return RenderContext(account="kit", address=self.address, attachments={PICTURE: picture})

    def to_render(self) -> tuple[Drafted, ...]:
        """Give the kit's drafts, then the author's."""
        own = tuple(Drafted(f"Case.drafts[{n}]", draft) for n, draft in enumerate(self.drafts))
        return tuple(_drafts(self.channel)) + own


def _drafts(channel: type[Channel]) -> Iterator[Drafted]:
    features = channel.features
    segment = 150 if features.unit is Unit.SEGMENTS else 1  # characters, about
    limit = min((features.text_limit or 1000) * segment, 5000)
    words = "A parcel of ordinary words wanders along the long way until nobody counts them any more. "
    turned = "Ein schöner Gruß, 😀😀 – “quoted” {curly} [square] ~tilde |pipe| ^caret €uro, und 早上好. "

    def text(name: str, markdown: str) -> Drafted:
        return Drafted(name, Draft(blocks=(Text(markdown),)))

    yield text("a short text", "Hello")
    yield text("a text of two and a half parts", (words * (limit * 5 // 2 // len(words) + 1)).strip())
    yield text("a text that every unit counts differently", (turned * (limit * 3 // 2 // len(turned) + 1)).strip())
    yield text("a text without a space, of characters that UTF-16 counts twice", "😀" * (limit * 3 // 2))
    yield text(
        "marks, links, a list, code",
        "# Heading\n\nSome **bold**, *italic*, ~~struck~~, `code` & <angle> marks_in_words 1 * 2.\n\n"
        "See [the shop](https://shop.example/parcel?a=1&b=2) or https://plain.example/x_y_z.\n\n"
        "- first\n- second\n\n1. one\n2. two\n\n> quoted\n\n```\nblock(of) {code}\n```",
    )
    yield text("marks across a split", f"**{(words * (limit * 3 // 2 // len(words) + 1)).strip()}**")
    yield text("a table", "| Size | Price |\n|---|---|\n| small | 10 |\n| large | 20 |")
    yield Drafted("two texts", Draft(blocks=(Text("First thing"), Text("Second thing"))))
    few = (Option("yes", "Yes please"), Option("no", "No thanks"))
    many = tuple(Option(f"o{n}", f"Option {n}", "More about it") for n in range(1, 13))
    yield Drafted("two buttons", Draft(blocks=(Buttons(text="Shall **we**?", options=few),)))
    yield Drafted("twelve buttons", Draft(blocks=(Buttons(text="Which one?", options=many),)))
    long = (Option("long", "A title with more words than any button has room for, surely"),)
    yield Drafted("a long button", Draft(blocks=(Buttons(text="Well?", options=long),)))
    yield Drafted("a list", Draft(blocks=(Choices(text="Which one?", button="Choose", options=many[:3]),)))
    yield Drafted("a card", Draft(blocks=(Card(title="A parcel", text="It is *here*", options=few),)))
    place = Location(latitude=-6.2, longitude=106.8, name="Monas", address="Jakarta Pusat")
    yield Drafted("a location", Draft(blocks=(place,)))
    yield Drafted("a form", Draft(blocks=(FormLink(label="Your address", url="https://forms.example/f1"),)))
    if features.media:
        shown = Media(attachment=PICTURE, caption="The parcel as it *came*")
        yield Drafted("a picture with a caption", Draft(blocks=(shown,)))
        most = max(media.caption_limit for media in features.media)
        if 0 < most < limit:
            caption = (turned * (most * 3 // 2 // len(turned) + 1)).strip()
            yield Drafted("a picture with a long caption", Draft(blocks=(Media(attachment=PICTURE, caption=caption),)))


def with_header(envelope: Envelope, name: str, value: str) -> Envelope:
    """Give the envelope with a header, as `Case.sign` needs it."""
    return replace(envelope, headers={**envelope.headers, name.lower(): value})


def with_param(envelope: Envelope, name: str, value: str) -> Envelope:
    """Give the envelope with a query parameter, as `Case.sign` needs it."""
    others = tuple(pair for pair in envelope.query if pair[0] != name)
    return replace(envelope, query=(*others, (name, value)))


__all__ = ["Case", "Drafted", "Sample", "with_header", "with_param"]
