"""Blocks as JSON text, in the form in which they are stored and served."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from talkwire.model import Block, Option, Text, type_names

_TYPES: dict[str, type[Any]] = {name: kind for kind, name in type_names.items()}


def blocks_to_json(blocks: Sequence[Block]) -> str:
    """Give blocks as a JSON array; each has its name in `type`."""
    if not blocks:  # most of what comes in
        return "[]"
    return _written([{"type": type_names[type(block)], **_fields_of(block)} for block in blocks])


def _fields_of(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


_written = json.JSONEncoder(separators=(",", ":"), default=_fields_of).encode  # `default`: options of a block


def blocks_from_json(text: str) -> tuple[Block, ...]:
    """Read what `blocks_to_json` wrote, in this version of Talkwire or another.

    Never raises. A field we do not know is passed over; a block we cannot read becomes a text that
    shows what is stored.
    """
    if text == "[]":
        return ()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return (_unreadable(text),)
    return tuple(map(_block, values)) if isinstance(values, list) else (_unreadable(text),)


def _block(value: Any) -> Block:
    try:
        block: Block = _built(_TYPES[value["type"]], value)
        return block
    except (KeyError, TypeError, ValueError):
        return _unreadable(json.dumps(value))


def _unreadable(stored: str) -> Text:
    # Indented: a code block, whatever stands in it.
    return Text("This part is of another version of Talkwire:\n\n    " + " ".join(stored.split()))


def _built(kind: type[Any], value: Mapping[str, Any]) -> Any:
    """Build a dataclass of what is there; KeyError, TypeError, ValueError where that cannot be."""
    known = [field for field in fields(kind) if field.name in value]
    found = {field.name: _field(field.name, value[field.name]) for field in known}
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in found]
    if missing:
        raise KeyError(*missing)
    return kind(**found)


def _field(name: str, value: Any) -> Any:
    if name == "options":
        return tuple(_built(Option, option) for option in value)
    if name in _LISTS and isinstance(value, list):
        return tuple(_field("", item) for item in value)
    if not isinstance(value, _TYPES_OF_FIELDS.get(name, str)):
        raise TypeError(name)
    return value


_LISTS = frozenset({"values", "phones", "emails"})
_TYPES_OF_FIELDS: dict[str, Any] = {  # any other field is text
    "latitude": int | float,
    "longitude": int | float,
    "size": int | None,
    **dict.fromkeys(_LISTS, tuple),
}
