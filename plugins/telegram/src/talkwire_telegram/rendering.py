"""A draft as the requests that show it, each complete but for whom it goes to.

The core writes the text, cuts it and counts what a block needs; here the parts get what Telegram alone knows: the method,
the entities, the keyboard. `Part.text` is what people read, `Part.payload` is `Payload` as JSON; where the markup was
refused a part comes back without it, and `payload_of` makes a plain one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from talkwire import (
    Attachment,
    Block,
    Buttons,
    Card,
    Choices,
    Degradation,
    Draft,
    Features,
    FormLink,
    Media,
    Option,
    Part,
    RenderContext,
    Rendered,
    Text,
    Unsupported,
)
from talkwire import render as as_parts

from .entities import Entity, opens, read
from .features import CAPTION_LIMIT, DATA_LIMIT, ENTITIES_LIMIT, PHOTO_LIMIT, PHOTOS

# "MPEG4 videos, other formats may be sent as Document", "GIF", ".MP3 or .M4A format", ".OGG file encoded with OPUS".
_METHODS = {
    **dict.fromkeys(PHOTOS, "sendPhoto"),
    "image/gif": "sendAnimation",
    "video/mp4": "sendVideo",
    **dict.fromkeys(("audio/mpeg", "audio/mp4", "audio/m4a", "audio/x-m4a"), "sendAudio"),
    "audio/ogg": "sendVoice",
}
FIELDS = {  # method → the name of what it sends
    "sendPhoto": "photo",
    "sendAnimation": "animation",
    "sendVideo": "video",
    "sendAudio": "audio",
    "sendVoice": "voice",
    "sendDocument": "document",
}
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_ROW = 24  # characters of the titles that stand in one row, so that a phone shows them whole
_IN_A_ROW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A request, without whom it goes to and without its text."""

    method: str
    entities: tuple[Mapping[str, Any], ...] = ()
    keyboard: tuple[tuple[Mapping[str, str], ...], ...] = ()  # rows of buttons
    place: Mapping[str, Any] | None = None  # what a location or venue says; None: it is neither

    def json(self) -> str:
        """Write it into a part."""
        said = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}
        return _JSON.encode(said)

    @classmethod
    def read(cls, text: str) -> Payload:
        """Read it again."""
        said = json.loads(text)
        keyboard = tuple(tuple(row) for row in said.get("keyboard", ()))
        return cls(
            method=said["method"],
            entities=tuple(said.get("entities", ())),
            keyboard=keyboard,
            place=said.get("place"),
        )


def payload_of(part: Part, attachment: Attachment | None) -> Payload:
    """Give what a part says of its request, or what it comes to where it says nothing: the part is plain."""
    if part.payload:
        return Payload.read(part.payload)
    return Payload(method=_method(attachment), keyboard=_keyboard(part.options))


def _method(attachment: Attachment | None) -> str:
    if attachment is None:
        return "sendMessage"
    if attachment.media_type in PHOTOS and attachment.size > PHOTO_LIMIT:
        return "sendDocument"
    return _METHODS.get(attachment.media_type, "sendDocument")


def _keyboard(options: Sequence[Option], *, one_each: bool = False) -> tuple[tuple[Mapping[str, str], ...], ...]:
    buttons = [_button(option) for option in options]
    if not one_each and len(buttons) <= _IN_A_ROW and sum(len(button["text"]) for button in buttons) <= _ROW:
        return (tuple(buttons),) if buttons else ()
    return tuple((button,) for button in buttons)


def _button(option: Option) -> Mapping[str, str]:
    return (
        {"text": option.title, "url": option.url} if option.url else {"text": option.title, "callback_data": option.id}
    )


# --- the draft -----------------------------------------------------------------------------------------


def render(draft: Draft, context: RenderContext, features: Features) -> Rendered:
    """Make the parts of a draft.

    Errors: `Unsupported`, as the core's `render`; a keyboard without a text; nothing that can be seen.
    """
    shaping = _Shaping(context)
    blocks = tuple(shaping.take(position, block) for position, block in enumerate(draft.blocks))
    said = draft if blocks == draft.blocks else replace(draft, blocks=blocks)
    rendered = as_parts(said, features, context)
    parts = tuple(told for part in rendered.parts for told in shaping.told(part))
    if not parts:
        raise Unsupported("there is nothing to send")
    if len(parts) > features.parts:
        raise Unsupported(f"the reply needs more than the {features.parts} parts this channel allows")
    losses = sorted(dict.fromkeys((*rendered.degradations, *shaping.degradations)), key=lambda loss: loss.block)
    return Rendered(parts, tuple(losses))


class _Shaping:
    """One draft on its way through the core and out of it."""

    def __init__(self, context: RenderContext) -> None:
        self._context = context
        self.degradations: list[Degradation] = []

    # --- blocks, before the core sees them

    def take(self, position: int, block: Block) -> Block:
        """Give a block in the form that the core writes as Telegram needs it."""
        match block:
            case Media(attachment=file) | Card(image=file):
                self._look_at(position, file)
        match block:
            case Buttons() | Choices() | Card() if not all(map(_can_be_pressed, block.options)):
                several = f"{len(block.options)} options are sent as a numbered list."
                one = "Its one option is sent as a numbered line."
                self._note(position, "buttons_as_text", several if len(block.options) > 1 else one)
                return _without_options(block)
            case Choices() if any(option.description for option in block.options):
                self._note(position, "descriptions_in_text", "What the options mean stands in the text.")
                options = tuple(replace(option, description="") for option in block.options)
                return replace(block, text=f"{block.text}\n\n{_explained(block.options)}", options=options)
            case FormLink() if not opens(block.url):  # `DIALECT` writes it behind the label
                self._note(position, "form_link_as_text", "Telegram opens no such address; it stands in the text.")
        return block

    def _look_at(self, position: int, file: str) -> None:
        attachment = self._context.attachments.get(file)
        if attachment is not None and attachment.media_type in PHOTOS and attachment.size > PHOTO_LIMIT:
            self._note(
                position, "picture_as_file", f"The picture has {attachment.size} bytes and goes as a file, not shown."
            )

    # --- parts, as the core made them

    def told(self, part: Part) -> Iterator[Part]:
        """Say in Telegram's words what a part of the core's says."""
        block = json.loads(part.payload) if part.payload else {}
        text, entities = self._fitting(part)
        if block.get("type") == "location":
            place = _place(block)
            method = "sendVenue" if "title" in place else "sendLocation"
            yield Part(text=part.plain or text, payload=Payload(method=method, place=place).json())
            return
        attachment = self._context.attachments.get(part.attachment)
        keyboard = _keyboard(part.options, one_each=block.get("type") == "list")
        if block.get("type") == "form_link" and opens(block["url"]):
            keyboard = (({"text": block["label"] or block["url"], "url": block["url"]},),)
        if attachment is not None and _units(text, part.plain) > CAPTION_LIMIT:  # a card's
            self._note(0, "caption_apart", "The text below the picture is a message of its own.")
            yield Part(attachment=part.attachment, payload=Payload(method=_method(attachment)).json())
            attachment = None
        elif attachment is None and not text.strip():
            if part.options:
                raise Unsupported("Telegram takes no buttons without a text")
            return  # it has nothing that can be seen
        yield Part(
            text=text,
            plain=part.plain if entities else "",
            attachment=part.attachment if attachment is not None else "",
            options=part.options,
            payload=Payload(
                method=_method(attachment), entities=tuple(entity.json() for entity in entities), keyboard=keyboard
            ).json(),
        )

    def _fitting(self, part: Part) -> tuple[str, tuple[Entity, ...]]:
        text, entities = read(part.text)
        if len(entities) <= ENTITIES_LIMIT:
            return text, entities
        self._note(0, "marks_dropped", f"A part takes {ENTITIES_LIMIT} marks; the text has more.")
        links = [entity for entity in entities if entity.type == "text_link"]
        if len(links) > ENTITIES_LIMIT:
            return part.plain, ()  # which has their addresses
        others = [entity for entity in entities if entity.type != "text_link"]
        kept = {id(entity) for entity in (*links, *others[: ENTITIES_LIMIT - len(links)])}
        return text, tuple(entity for entity in entities if id(entity) in kept)

    def _note(self, position: int, what: str, text: str) -> None:
        self.degradations.append(Degradation(block=position, what=what, text=text))


def _can_be_pressed(option: Option) -> bool:
    if not option.title.strip():
        return False
    if option.url:
        return opens(option.url)
    return 0 < len(option.id.encode("utf-8", "replace")) <= DATA_LIMIT


def _without_options(block: Buttons | Choices | Card) -> Block:
    listed = "\n".join(f"{n}. {_linked(option)}" for n, option in enumerate(block.options, 1))
    text = f"{block.text}\n\n{listed}"
    return replace(block, text=text, options=()) if isinstance(block, Card) else Text(text)


def _linked(option: Option) -> str:
    shown = f"{_escaped(option.title)} ({_escaped(option.url)})" if option.url else _escaped(option.title)
    return f"{shown}: {_escaped(option.description)}" if option.description else shown


def _explained(options: Sequence[Option]) -> str:
    told = [option for option in options if option.description]
    return "\n".join(f"- **{_escaped(option.title)}**: {_escaped(option.description)}" for option in told)


def _escaped(text: str) -> str:
    """Write plain text so that Markdown shows it as it is, on one line."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def _place(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say where: with a name or an address it is a venue, which needs both."""
    point = {"latitude": block["latitude"], "longitude": block["longitude"]}
    name, address = block["name"].strip(), block["address"].strip()
    if not name and not address:
        return point
    where = f"{round(block['latitude'], 6)}, {round(block['longitude'], 6)}"
    return {**point, "title": name or address, "address": address if name and address else where}


def _units(*texts: str) -> int:
    return max(len(text.encode("utf-16-le", "surrogatepass")) // 2 for text in texts)
