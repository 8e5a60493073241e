"""The Bot API's own description, and whether a value is what it says.

The file is not ours: it lies in `shared/contracts` beside the checkout, or where `TALKWIRE_CONTRACTS` points.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_PLACES = (os.environ.get("TALKWIRE_CONTRACTS", ""), str(Path(__file__).parents[4] / "shared" / "contracts"))
_PLAIN: dict[str, tuple[type, ...]] = {
    "Integer": (int,),
    "Float": (int, float),
    "Float number": (int, float),
    "String": (str,),
    "Boolean": (bool,),
    "True": (bool,),
}


@cache
def description() -> dict[str, Any]:
    """Read it. Skips the test, loudly, where it is not there."""
    for place in filter(None, _PLACES):
        file = Path(place) / "telegram-bot-api.json"
        if file.exists():
            read: dict[str, Any] = json.loads(file.read_text("utf-8"))
            return read
    pytest.skip("telegram-bot-api.json is not beside the checkout; TALKWIRE_CONTRACTS names its folder")


def faults(value: Any, kind: str, where: str = "") -> list[str]:
    """Say where a value is not of a type of the Bot API; what the description does not know is a fault, too."""
    return list(_faults(value, kind, where or kind))


def result_faults(method: str, value: Any) -> list[str]:
    """Say where a result is not what a method returns."""
    return _best([faults(value, kind, method) for kind in description()["methods"][method]["returns"]])


def _faults(value: Any, kind: str, where: str) -> Iterator[str]:
    if kind.startswith("Array of "):
        if not isinstance(value, list):
            yield f"{where} is no array"
            return
        for n, one in enumerate(value):
            yield from _faults(one, kind.removeprefix("Array of "), f"{where}.{n}")
    elif kind in _PLAIN:
        if not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and bool not in _PLAIN[kind]):
            yield f"{where} is no {kind}"
    else:
        yield from _object_faults(value, description()["types"][kind], where)


def _object_faults(value: Any, of: dict[str, Any], where: str) -> Iterator[str]:
    if subtypes := of.get("subtypes"):
        yield from _best([faults(value, one, where) for one in subtypes])
        return
    if not isinstance(value, dict):
        yield f"{where} is no object"
        return
    fields = {field["name"]: field for field in of.get("fields", ())}
    yield from (f"{where}.{name} is unknown" for name in value.keys() - fields.keys())
    for name, field in fields.items():
        if name in value:
            yield from _best([faults(value[name], one, f"{where}.{name}") for one in field["types"]])
        elif field["required"]:
            yield f"{where}.{name} is missing"


def _best(found: list[list[str]]) -> list[str]:
    return min(found, key=len)
