"""Whether an item's fields hold what their types promise; what is wrong goes no further than the kit."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from ..model import Address, Inbound, Item, Report

_PLAIN = frozenset({str, int, float, bool, bytes, datetime})  # nothing lies inside; most of what is looked at
ITEMS: tuple[type, ...] = typing.get_args(Item)


def faults(item: object) -> Iterator[str]:
    """Name what is wrong with one item: `at: str instead of datetime`."""
    if not isinstance(item, ITEMS):
        yield f"{type(item).__name__} is no item"
        return
    yield from _wrong(item, type(item), type(item).__name__)
    if isinstance(item, Inbound) and item.external_id == "":
        yield "Inbound.external_id: empty, so two messages could not be told apart"
    if isinstance(item, Report) and not item.external_id and not item.key:
        yield "Report: neither external_id nor key, so no part would be found"
    for where, address in _found(item, Address, type(item).__name__):
        if address.value == "":
            yield f"{where}.value: empty, so nobody could be answered"


def misfits(value: object, hint: Any, where: str) -> Iterator[str]:
    """Name what of a value is not as a type promises; a list does where a tuple is asked for."""
    return _wrong(value, hint, where, lists=True)


def times(item: object) -> Iterator[tuple[str, datetime]]:
    """Find every moment in an item, with its place."""
    return _found(item, datetime, type(item).__name__)


def naive_or_elsewhere(moment: datetime) -> str:
    """Say what is wrong with a moment; empty: it is aware and in UTC."""
    if moment.utcoffset() is None:
        return "has no time zone"
    return "" if moment.utcoffset() == timedelta(0) else f"is in {moment.tzinfo}, not in UTC"


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)


def _wrong(value: Any, hint: Any, where: str, *, lists: bool = False) -> Iterator[str]:
    if type(value) is hint and hint in _PLAIN:
        return
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return
    if lists and isinstance(value, list):
        value = tuple(value)
    if origin in (typing.Union, types.UnionType):
        if not any(_fits(value, one) for one in args):
            names = " or ".join(_name(one) for one in args)
            yield f"{where}: {type(value).__name__} instead of {names}"
        for one in args:
            if _fits(value, one):
                yield from _wrong(value, one, where, lists=lists)
                return
    elif not _fits(value, hint):
        yield f"{where}: {type(value).__name__} instead of {_name(hint)}"
    elif origin is tuple:
        for n, one in enumerate(value):
            yield from _wrong(one, args[0], f"{where}[{n}]", lists=lists)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            held, promised = getattr(value, field.name), _hints(type(value))[field.name]
            yield from _wrong(held, promised, f"{where}.{field.name}", lists=lists)


def _name(hint: Any) -> str:
    kind = typing.get_origin(hint) or hint
    return "None" if kind is types.NoneType else str(getattr(kind, "__name__", kind))


def _fits(value: Any, hint: Any) -> bool:
    kind = typing.get_origin(hint) or hint
    if kind is types.NoneType or kind is None:
        return value is None
    if isinstance(value, bool):  # True is an int to isinstance, and no number to us
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(kind, type) and isinstance(value, kind)


def _found(value: Any, kind: type, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, kind):
        yield where, value
    elif type(value) in _PLAIN:
        return
    elif isinstance(value, tuple | list):
        for n, one in enumerate(value):
            yield from _found(one, kind, f"{where}[{n}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _found(getattr(value, field.name), kind, f"{where}.{field.name}")


__all__ = ["faults", "misfits", "naive_or_elsewhere", "times"]
