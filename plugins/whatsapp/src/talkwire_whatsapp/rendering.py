"""A draft as the messages that WhatsApp shows, each exactly as Meta is given it.

The core cuts and writes by `abilities.FEATURES`; here what only WhatsApp asks of a draft is looked at before, and each part
is written as Meta's message object afterwards: `Part.payload`, without the recipient and without the id of a file.

Source: Meta, "Cloud API reference: Messages", v23.0, and Meta's OpenAPI of the Cloud API, 2025-11.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from talkwire import (
    Block,
    Buttons,
    Card,
    Choices,
    Degradation,
    Draft,
    FormLink,
    Media,
    Option,
    Part,
    RenderContext,
    Rendered,
    Template,
    Text,
    Unit,
    Unsupported,
    split,
)
from talkwire import render as in_parts

from .abilities import (
    BODY_LIMIT,
    BUTTON_LIMIT,
    FEATURES,
    REPLY_ID_LIMIT,
    ROW_ID_LIMIT,
    URL_LIMIT,
    kind_of,
)
from .dialect import NO_MARK, escape
from .templates import Templates

_LINK = re.compile(r"https?://", re.IGNORECASE)
_WORDS = {
    "en": {"choose": "Please choose:", "open": "Choose"},
    "id": {"choose": "Silakan pilih:", "open": "Pilih"},
}
_ASKS = Buttons | Choices | Card
_SHOWN_BY_CARDS = ("image", "video", "document")


def render(draft: Draft, context: RenderContext, templates: Templates) -> Rendered:
    """Shape a draft. Errors: `Unsupported`, naming the block and what WhatsApp takes."""
    shaping = _Shaping(draft, context, templates)
    blocks = shaping.blocks()
    rendered = in_parts(draft if blocks == draft.blocks else replace(draft, blocks=blocks), FEATURES, context)
    parts = tuple(shaping.message(part) for part in rendered.parts)
    losses = sorted((*rendered.degradations, *shaping.degradations), key=lambda loss: loss.block)
    return Rendered(parts, tuple(losses), shaping.known)


class _Shaping:
    """One draft on its way to be messages."""

    def __init__(self, draft: Draft, context: RenderContext, templates: Templates) -> None:
        self._draft, self._context, self._templates = draft, context, templates
        self._words = _WORDS.get(context.language[:2], _WORDS["en"])
        self.degradations: list[Degradation] = []
        self._askers = (
            (at, block) for at, block in enumerate(draft.blocks) if isinstance(block, _ASKS) and block.options
        )
        self.known: Draft | None = None  # with the texts of its templates, where whoever wrote it left them out

    # --- before the core ------------------------------------------------------------------------------

    def blocks(self) -> tuple[Block, ...]:
        """Give the draft's blocks, each in its place, with what WhatsApp does not take put right or refused."""
        blocks: list[Block] = []
        for position, block in enumerate(self._draft.blocks):
            blocks.append(self._block(position, block))
            if position and _asks_without_text(block) and isinstance(before := blocks[position - 1], Text):
                blocks[position - 1] = Text("")  # a text that is followed by buttons alone is theirs
                blocks[position] = _asking(blocks[position], before.markdown)
        return tuple(self._with_text(position, block) for position, block in enumerate(blocks))

    def _block(self, position: int, block: Block) -> Block:
        match block:
            case Media(attachment=file):
                self._as_file(position, file)
            case Buttons(options=options):
                self._check(position, options, REPLY_ID_LIMIT)
            case Choices(options=options, button=label):
                self._check(position, options, ROW_ID_LIMIT)
                return replace(block, button=self._label(position, label.strip() or self._words["open"]))
            case Card(image=file, options=options):
                self._check(position, options, REPLY_ID_LIMIT)
                self._shown_by_card(position, file)
            case FormLink(label=label, url=url):
                if not _LINK.match(url) or len(url) > URL_LIMIT:
                    raise self._refusal(
                        position, f"a form needs an http or https address of at most {URL_LIMIT} characters"
                    )
                if not 0 < len(label.strip()) <= BODY_LIMIT // 2:
                    raise self._refusal(position, f"a form needs a label of at most {BODY_LIMIT // 2} characters")
            case Template():
                found = self._templates.find(block, language=self._context.language, position=position)
                named = replace(block, language=found.language, text=found.text(block.values))
                if not block.text:
                    blocks = list((self.known or self._draft).blocks)
                    blocks[position] = named
                    self.known = replace(self._draft, blocks=tuple(blocks))
                return named
            case _:
                pass
        return block

    def _with_text(self, position: int, block: Block) -> Block:
        if not _asks_without_text(block):
            return block
        return _asking(block, self._text_added(position))

    def _text_added(self, position: int) -> str:
        words = self._words["choose"]
        self._note(position, "text_added", f"WhatsApp shows no buttons without a text: “{words}” is added.")
        return words

    def _check(self, position: int, options: Sequence[Option], id_limit: int) -> None:
        answers = [option for option in options if not option.url]
        for option in options:
            if not option.title.strip():
                raise self._refusal(position, "each option needs a title")
            if option.url and (not _LINK.match(option.url) or len(option.url) > URL_LIMIT):
                raise self._refusal(position, f"“{option.title}” opens no http or https address that WhatsApp takes")
        for option in answers:
            if not option.id.strip() or option.id != option.id.strip() or len(option.id) > id_limit:
                raise self._refusal(
                    position,
                    f"the id of “{option.title}” must have 1 to {id_limit} characters, without spaces around them",
                )
        if len({option.id for option in answers}) < len(answers):
            raise self._refusal(position, "each option needs an id of its own")

    def _label(self, position: int, label: str) -> str:
        if len(label) <= BUTTON_LIMIT:
            return label
        shorter = _shortened(label)
        self._note(position, "title_cut", f"“{label}” is cut to “{shorter}”.", lost=True)
        return shorter

    def _as_file(self, position: int, file: str) -> None:
        attachment = self._context.attachments.get(file)
        family = attachment.media_type.partition("/")[0] if attachment else ""
        if attachment is not None and family in ("image", "video", "audio") and kind_of(attachment) == "document":
            self._note(
                position,
                "media_as_file",
                f"“{attachment.name}” is sent as a file: WhatsApp does not show it otherwise.",
            )

    def _shown_by_card(self, position: int, file: str) -> None:
        attachment = self._context.attachments.get(file)
        if attachment is not None and kind_of(attachment) not in _SHOWN_BY_CARDS:
            raise self._refusal(position, f"a card shows a picture, a film or a file, not {attachment.media_type}")

    # --- after the core -------------------------------------------------------------------------------

    def message(self, part: Part) -> Part:
        """Write a part as Meta's message object."""
        if part.options:
            part = self._with_something_to_see(part)
        block = json.loads(part.payload) if part.payload else {}
        match block.get("type"):
            case "location":
                return replace(part, payload=_json(_location(block)))
            case "form_link":
                label = block["label"].strip()
                option = Option("", label if len(label) <= BUTTON_LIMIT else _shortened(label), url=block["url"])
                body = escape(label)
                message = _interactive("cta_url", body, _opens(option))
                return replace(part, text=body, plain=label, options=(option,), payload=_json(message))
            case "template":
                return self._template(part, block)
            case "list":
                return replace(
                    part, payload=_json(_interactive("list", part.text, _rows(block["button"], part.options)))
                )
            case _ if part.options:
                return replace(part, payload=_json(self._asking(part)))
            case _ if part.attachment:
                return replace(part, payload=_json(self._file(part)))
            case _:
                return replace(part, payload=_json(text_message(part.text)))

    def _with_something_to_see(self, part: Part) -> Part:
        """Give options a text where theirs shows nothing: "> ", "#" and "&nbsp;" are not empty as they were written.

        Parts with options come in the order of their blocks, but not each such block has one.
        """
        options = _known_by(part.options)
        position = next((at for at, block in self._askers if _known_by(block.options) == options), 0)
        if part.text.replace(NO_MARK, "").strip():
            return part
        words = self._text_added(position)
        return replace(part, text=words, plain=words)

    def _template(self, part: Part, block: dict[str, Any]) -> Part:
        asked = Template(name=block["name"], language=block["language"], values=tuple(block["values"]))
        found = self._templates.find(asked)
        components = found.components(asked.values)
        message = {
            "type": "template",
            "template": {
                "name": found.name,
                "language": {"policy": "deterministic", "code": found.language},
                **({"components": components} if components else {}),
            },
        }
        options = tuple(Option("", text, url=url) for text, url in found.links(asked.values))
        return replace(part, text=found.text(asked.values), plain="", options=options, payload=_json(message))

    def _asking(self, part: Part) -> dict[str, Any]:
        header = {}
        if part.attachment:
            kind, about = self._shown(part.attachment)
            header = {"header": {"type": kind, kind: about}}
        opening = part.options[0].url
        kind, action = ("cta_url", _opens(part.options[0])) if opening else ("button", _replies(part.options))
        return _interactive(kind, part.text, action, **header)

    def _file(self, part: Part) -> dict[str, Any]:
        kind, about = self._shown(part.attachment)
        return {"type": kind, kind: {**({"caption": part.text} if part.text else {}), **about}}

    def _shown(self, file: str) -> tuple[str, dict[str, str]]:
        """Say as what a file is shown, and what is told of it; its id is added when it is sent."""
        attachment = self._context.attachments[file]
        kind = kind_of(attachment)
        return kind, {"filename": attachment.name} if kind == "document" else {}

    # --- what is said of it -----------------------------------------------------------------------------

    def _note(self, position: int, what: str, text: str, *, lost: bool = False) -> None:
        self.degradations.append(Degradation(block=position, what=what, text=text, lost=lost))

    def _refusal(self, position: int, text: str) -> Unsupported:
        kind = type(self._draft.blocks[position]).__name__.lower()
        return Unsupported(f"Block {position + 1} cannot be sent: {text}.", block=position, kind=kind)


def text_message(text: str) -> dict[str, Any]:
    """Write a text; the first address in it is shown with a preview (Meta: only of http and https)."""
    return {"type": "text", "text": {"body": text, "preview_url": _LINK.search(text) is not None}}


def _asks_without_text(block: Block) -> bool:
    match block:
        case Buttons(text=text, options=options) | Choices(text=text, options=options):
            return bool(options) and not text.strip()
        case Card(title=title, text=text, options=options):
            return bool(options) and not title.strip() and not text.strip()
        case _:
            return False


def _asking(block: Block, text: str) -> Block:
    """Give a block that asks its text."""
    return replace(block, text=text) if isinstance(block, _ASKS) else block


def _known_by(options: Iterable[Option]) -> list[tuple[str, str]]:
    """Give what stays of options when their titles are cut."""
    return [(option.id, option.url) for option in options]


def _shortened(label: str) -> str:
    return split(label, BUTTON_LIMIT - 1, Unit.UTF16)[0] + "…"


def _interactive(kind: str, body: str, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "interactive", "interactive": {"type": kind, **more, "body": {"text": body}, "action": action}}


def _opens(option: Option) -> dict[str, Any]:
    return {"name": "cta_url", "parameters": {"display_text": option.title, "url": option.url}}


def _replies(options: Iterable[Option]) -> dict[str, Any]:
    return {"buttons": [{"type": "reply", "reply": {"id": one.id, "title": one.title}} for one in options]}


def _rows(button: str, options: Iterable[Option]) -> dict[str, Any]:
    rows = [
        {"id": one.id, "title": one.title, **({"description": one.description} if one.description else {})}
        for one in options
    ]
    return {"button": button, "sections": [{"rows": rows}]}


def _location(block: dict[str, Any]) -> dict[str, Any]:
    told = {
        name: block[name] for name in ("latitude", "longitude", "name", "address") if block.get(name) not in ("", None)
    }
    return {"type": "location", "location": told}


def _json(message: dict[str, Any]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
