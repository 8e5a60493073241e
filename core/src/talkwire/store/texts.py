"""Text as every database takes it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


def is_storable(text: str) -> bool:
    """Say whether a text needs no change."""
    if "\0" in text:
        return False
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def storable(value: T) -> T:
    """Give a value as it came, but for NUL and lone surrogates in its texts: they become U+FFFD."""
    return value if _needs_no_change(value) else _changed(value)


_NAMES: dict[type, tuple[str, ...]] = {}  # of the fields of a dataclass; none of anything else


def _needs_no_change(value: Any) -> bool:
    """Look through a value without building another one: nearly all are as they should be."""
    if isinstance(value, str):
        return is_storable(value) or isinstance(value, Enum)
    if isinstance(value, tuple):
        return all(map(_needs_no_change, value))
    kind = type(value)
    names = _NAMES.get(kind)
    if names is None:
        names = _NAMES[kind] = tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()
    return all(_needs_no_change(getattr(value, name)) for name in names)


def _changed(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        if is_storable(value):
            return value
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, tuple):
        return tuple(map(_changed, value))
    if is_dataclass(value) and not isinstance(value, type):
        before = {field.name: getattr(value, field.name) for field in fields(value)}
        after = {name: _changed(one) for name, one in before.items()}
        return value if after == before else replace(value, **after)
    return value
