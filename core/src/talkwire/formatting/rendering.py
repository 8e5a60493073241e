"""A draft in the form a channel allows, with every loss named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from talkwire import model
from talkwire.errors import Unsupported

from .blocks import blocks_to_json
from .borders import at_borders
from .dialect import PLAIN
from .flow import DEPTH_LIMIT, Piece, flow, with_address
from .parse import MARKDOWN_LIMIT, Heading, Node, Words, read
from .plain import headed, numbered, readable
from .splitting import cuts, length, split, widest
from .writing import Writing, runs

if TYPE_CHECKING:
    from talkwire.features import Features, MediaFeature, OptionFeature

_MARKS = {
    "bold": "bold", "italic": "italic", "strike": "strike-through", "code": "code", "pre": "code blocks",
    "heading": "headings", "quote": "quotes",
}  # fmt: skip  # our word → for a person


def render(draft: model.Draft, features: Features, context: model.RenderContext) -> model.Rendered:
    """Make the parts of a draft, by features alone.

    Texts that follow each other are one text, in the features' dialect, cut between their blocks,
    measured in the provider's unit as they will be sent; marks are closed at a cut and opened again.
    A list, a card, a location, a form link and a template that the channel carries in full also give
    the block as JSON in `Part.payload`, for the channel's `send`.

    *errors*: `Unsupported` for an empty draft, a block the channel rejects, or too many parts.
    """
    rendering = _Rendering(features, context)
    rendering.head(draft)
    for position, block in enumerate(draft.blocks):
        rendering.block, rendering.kind = position, model.type_names[type(block)]
        rendering.take(block)
    rendering.flush()
    if not rendering.parts:
        raise rendering.refusal("there is nothing to send")
    return model.Rendered(tuple(rendering.parts), tuple(dict.fromkeys(rendering.degradations)))


class _Rendering:
    def __init__(self, features: Features, context: model.RenderContext) -> None:
        self.features = features
        self.context = context
        self.parts: list[model.Part] = []
        self.degradations: list[model.Degradation] = []
        self.flow: list[Piece] = []  # text that is not yet in a part
        self.block, self.kind = 0, "text"  # where we are

    def head(self, draft: model.Draft) -> None:
        """Take care of what a draft has beside its blocks; where it is carried in full, `send` sees it."""
        for kind, value, level in (
            ("subject", draft.subject, self.features.subject),
            ("reply_to", draft.reply_to, self.features.reply_to),
        ):
            self.kind = kind
            if not value or level is model.Level.FULL:
                continue
            if level is model.Level.REJECTED:
                raise self.refusal(f"this channel takes no {kind}")
            if level is model.Level.PARTIAL and kind == "subject":
                self.say((Heading(1, (Words(value),)),))
                self.note("subject_as_text", "The subject is the first line of the text.")
            else:
                word = "subject" if kind == "subject" else "reference to the message that is answered"
                self.note(f"{kind}_dropped", f"The {word} is left out.", lost=True)

    def take(self, block: model.Block) -> None:
        match block:
            case model.Text(markdown):
                self.say(self.parsed(markdown))
            case model.Media():
                self.media(block)
            case model.Buttons():
                self.choose(block, self.parsed(block.text), self.features.buttons)
            case model.Choices():
                self.choose(block, self.parsed(block.text), self.features.lists)
            case model.Card():
                self.card(block)
            case model.Location():
                self.native(block, self.features.location)
            case model.FormLink():
                self.native(block, self.features.form_link)
            case model.Template():
                self.native(block, self.features.template)
            case model.Forward():
                raise self.refusal("this channel passes no message on")
            case _:
                raise self.refusal(f"a block of type {self.kind} only comes in")

    # --- blocks ---

    def native(self, block: model.Block, level: model.Level) -> None:
        if not self.left_out(level):
            if level is model.Level.FULL:
                self.send(readable(block), model.Part(payload=_payload(block)))
            else:
                self.say(readable(block))
                self.note(f"{self.kind}_as_text", f"The {self.word} is sent as text.")

    def media(self, block: model.Media) -> None:
        feature = self.carried(block.attachment)
        self.flush()
        nodes = self.parsed(block.caption)
        written = _Written(self.pieces(nodes), self.features)
        text, twin = written.whole()
        if measured(text, twin, self.features) <= feature.caption_limit:
            self.emit(model.Part(attachment=block.attachment, text=text, plain=twin))
        else:
            self.emit(model.Part(attachment=block.attachment))
            self.say(nodes)
            self.note("caption_apart", "The caption is a message of its own.")

    def carried(self, file: str) -> MediaFeature:
        """Say how a file is carried."""
        attachment = self.context.attachments.get(file)
        if attachment is None:
            raise self.refusal(f"the attachment {file} is not in our store")
        feature = self.features.media_for(attachment.media_type, attachment.size)
        if feature is None:
            raise self.refusal(f"this channel does not carry files of type {attachment.media_type}")
        if attachment.size > feature.limit:
            raise self.refusal(f"the file has {attachment.size} bytes, this channel takes {feature.limit}")
        return feature

    def choose(
        self, block: model.Buttons | model.Choices | model.Card, nodes: tuple[Node, ...], feature: OptionFeature
    ) -> None:
        if not block.options:
            self.say(nodes)
        elif feature.level is model.Level.DROPPED:
            self.say(nodes)
            self.note("options_dropped", "The options are left out.", lost=True)
        elif feature.level is model.Level.REJECTED:
            raise self.refusal(f"this channel takes no {self.word}")
        elif options := self.fitting(block.options, feature):
            payload = _payload(replace(block, options=options)) if isinstance(block, model.Choices) else ""
            self.send(nodes, model.Part(options=options, payload=payload))
        else:
            self.say((*nodes, *numbered(block.options)))
            opener = f" below “{block.button}”" if isinstance(block, model.Choices) and block.button else ""
            what = "list" if isinstance(block, model.Choices) else "buttons"
            several = f"{len(block.options)} options{opener} are sent as a numbered list."
            one = f"Its one option{opener} is sent as a numbered line."
            self.note(f"{what}_as_text", several if len(block.options) > 1 else one)

    def card(self, block: model.Card) -> None:
        level = self.features.card
        if self.left_out(level):
            return
        self.parsed(block.text)
        if level is model.Level.FULL:
            options = self.fitting(block.options, self.features.buttons)
            if options or not block.options:
                if block.image:
                    self.carried(block.image)
                whole = replace(block, options=options)
                self.send(headed(block), model.Part(attachment=block.image, options=options, payload=_payload(whole)))
                return
        self.note("card_as_text", "The card is sent as text.")
        if block.image:
            self.media(model.Media(attachment=block.image))
        self.choose(block, headed(block), self.features.buttons)

    def left_out(self, level: model.Level) -> bool:
        if level is model.Level.REJECTED:
            raise self.refusal(f"this channel takes no {self.word}")
        if level is model.Level.DROPPED:
            self.note(f"{self.kind}_dropped", f"The {self.word} is left out.", lost=True)
        return level is model.Level.DROPPED

    def fitting(self, options: tuple[model.Option, ...], feature: OptionFeature) -> tuple[model.Option, ...]:
        """Give the options in the provider's limits; none where they cannot be told apart any more."""
        if feature.level is not model.Level.FULL or len(options) > feature.most or feature.title_limit < 2:
            return ()
        if feature.id_limit and any(length(option.id, model.Unit.BYTES) > feature.id_limit for option in options):
            return ()  # what comes back would be another
        opening = sum(bool(option.url) for option in options)
        if opening and feature.links is not None and not opening == len(options) <= feature.links:
            return ()
        shorter = tuple(
            replace(
                option,
                title=_shortened(option.title, feature.title_limit, self.features.unit),
                description=_shortened(option.description, feature.description_limit, self.features.unit),
            )
            for option in options
        )
        if len({option.title for option in shorter}) < len(options):
            return ()
        for old, new in zip(options, shorter, strict=True):
            if old.title != new.title:
                self.note("title_cut", f"“{old.title}” is cut to “{new.title}”.", lost=True)
            if old.description != new.description:
                self.note("description_cut", f"The description of “{old.title}” is cut or left out.", lost=True)
        return shorter

    # --- text ---

    def parsed(self, markdown: str) -> tuple[Node, ...]:
        reading = read(markdown)
        if reading.too_long:
            self.note("marks_as_written", f"Beyond {MARKDOWN_LIMIT} characters, marks stand as they were written.")
        if reading.too_full:
            self.note(
                "marks_as_written", "There are too many signs: from some place on, marks stand as they were written."
            )
        if reading.too_deep:
            self.note("marks_as_written", "Marks are nested too deep, and stand as they were written.")
        return reading.nodes

    def say(self, nodes: Iterable[Node]) -> None:
        """Add to the text that goes into the next part."""
        pieces = self.pieces(nodes)
        if pieces:
            self.flow += [Piece("\n\n"), *pieces] if self.flow else pieces

    def pieces(self, nodes: Iterable[Node]) -> list[Piece]:
        pieces = list(flow(nodes, keeps=self.keeps))
        dialect = self.features.dialect
        if dialect.only_at_borders:
            pieces, inside = at_borders(pieces, dialect)
            if said := [_MARKS[kind] for kind in inside if kind == "heading" or getattr(dialect, kind) is not None]:
                self.note(
                    "marks_in_words", f"Inside words or around their own signs, shown without marks: {', '.join(said)}."
                )
        used = {mark.kind for piece in pieces for mark in piece.marks}
        if not used:
            return pieces
        gone = [word for kind, word in _MARKS.items() if kind in used and getattr(dialect, kind) is None]
        if dialect.bold and "headings" in gone:
            gone.remove("headings")
        if gone:
            self.note("marks_dropped", f"Shown without marks: {', '.join(gone)}.")
        if "flat" in used:
            self.note("nesting_flattened", f"Quotes and lists in each other are shown {DEPTH_LIMIT} deep, not deeper.")
        if "table" in used:
            self.note("table_as_text", "The table is sent as lines of text.")
        bare = [
            (piece.text, mark.arg)
            for piece in pieces
            for mark in piece.marks
            if mark.kind == "link" and not dialect.link
        ]
        if "address" in used or any(with_address(text, url) != text for text, url in bare):
            self.note("links_as_text", "Links stand beside their text.")
        return pieces

    def keeps(self, url: str) -> bool:
        """Say whether a link can be told again in each part that its text is cut into."""
        limit, link = self.features.text_limit, self.features.dialect.link
        told = (link("", url) if link else url, f" ({url})")
        return limit is None or 2 * measured(*told, self.features) <= limit

    def flush(self) -> None:
        for text, twin in self.texts(self.flow):
            self.emit(model.Part(text=text, plain=twin))
        self.flow = []

    def send(self, nodes: Iterable[Node], last: model.Part) -> None:
        """Emit a text; what the last of its parts has beside it is in `last`."""
        self.flush()
        text, twin = "", ""
        limit = self.features.beside_limit if last.options or last.attachment else None
        for number, following in enumerate(self.texts(self.pieces(nodes), limit)):
            if number:
                self.emit(model.Part(text=text, plain=twin))
            text, twin = following
        self.emit(replace(last, text=text, plain=twin))

    def texts(self, pieces: Sequence[Piece], limit: int | None = None) -> Iterator[tuple[str, str]]:
        """Cut a flow into parts: each as the channel writes it, with its plain twin; `limit` None: the text's own."""
        visible = "".join([piece.text for piece in pieces])
        if not visible.strip():
            return
        written = _Written(pieces, self.features)
        limit, unit = limit or self.features.text_limit, self.features.unit
        if limit is None:
            yield written.whole()
            return
        try:
            for start, end in cuts(visible, limit, written.measure, widest(limit, unit)):
                yield written.cut(start, end)
        except ValueError as error:
            raise self.refusal(f"the text does not fit into parts of {limit} {unit.value}") from error

    # --- what comes of it ---

    def emit(self, part: model.Part) -> None:
        if len(self.parts) == self.features.parts:
            raise self.refusal(f"the reply needs more than the {self.features.parts} parts this channel allows")
        self.parts.append(part)

    def note(self, what: str, text: str, *, lost: bool = False) -> None:
        self.degradations.append(model.Degradation(block=self.block, what=what, text=text, lost=lost))

    def refusal(self, text: str) -> Unsupported:
        return Unsupported(f"Block {self.block + 1} cannot be sent: {text}.", block=self.block, kind=self.kind)

    @property
    def word(self) -> str:
        return self.kind.replace("_", " ")


class _Written:
    """A flow as the channel writes it, beside its plain twin."""

    def __init__(self, pieces: Sequence[Piece], features: Features) -> None:
        self._features = features
        laid = runs(pieces)
        self._text = Writing(laid, features.dialect)
        self._twin = None if features.dialect.is_plain else Writing(laid, PLAIN)
        self._last: tuple[int, int, str, str] = (0, 0, "", "")  # what was measured last; most texts are one part

    def whole(self) -> tuple[str, str]:
        return self._text.whole(), self._twin.whole() if self._twin else ""

    def cut(self, start: int, end: int) -> tuple[str, str]:
        if self._last[:2] != (start, end):
            self._last = start, end, self._text.cut(start, end), self._twin.cut(start, end) if self._twin else ""
        return self._last[2:]

    def measure(self, start: int, end: int) -> int:
        return measured(*self.cut(start, end), self._features)


def measured(text: str, twin: str, features: Features) -> int:
    """Measure the longer of both: where markup is refused, the twin has to fit too."""
    return max(length(features.dialect.counted(text), features.unit), length(twin, features.unit))


def _payload(block: model.Block) -> str:
    return blocks_to_json((block,))[1:-1]


def _shortened(text: str, limit: int, unit: model.Unit) -> str:
    unit = model.Unit.UTF16 if unit is model.Unit.UTF16 else model.Unit.CHARACTERS
    if length(text, unit) <= limit:
        return text
    return "".join(split(text, limit - 1, unit)[:1]) + "…" if limit > 1 else ""
