"""The Bot API's own description, and whether a value is what it says.

The file is not ours, and lies where tests/parts/contracts.py says. Without it nothing is compared, which the test that
asks for the fixture `contracts` says loudly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tests.parts.contracts import contracts_folder

_PLAIN: dict[str, tuple[type, ...]] = {
    "Integer": (int,),
    "Float": (int, float),
    "Float number": (int, float),
    "String": (str,),
    "Boolean": (bool,),
    "True": (bool,),
}


@cache
def description() -> dict[str, Any] | None:
    """Read it; None where it is not there."""
    folder = contracts_folder()
    return None if folder is None else json.loads((folder / "telegram-bot-api.json").read_text("utf-8"))


def faults(value: Any, kind: str, where: str = "") -> list[str]:
    """Say where a value is not of a type of the Bot API; what the description does not know is a fault, too."""
    return [] if description() is None else list(_faults(value, kind, where or kind))


def result_faults(method: str, value: Any) -> list[str]:
    """Say where a result is not what a method returns."""
    known = description()
    return [] if known is None else _best([faults(value, kind, method) for kind in known["methods"][method]["returns"]])


def request_faults(method: str, said: dict[str, Any]) -> list[str]:
    """Say where what a method is asked is not what it takes, its limits included; a file that goes with it is `{}`."""
    if (known := description()) is None:
        return []
    asked = known["methods"].get(method)
    return (
        [f"{method} is unknown"]
        if asked is None
        else [*_object_faults(said, asked, method), *_over(said, asked, method)]
    )


def _over(said: dict[str, Any], of: dict[str, Any], where: str) -> Iterator[str]:
    """Compare texts with the numbers in the words of their fields; texts are counted in UTF-16 code units."""
    for field in of.get("fields", ()):
        text, limit = said.get(field["name"]), _LIMIT.search(field["description"])
        if isinstance(text, str) and limit:
            size = len(text.encode()) if limit[3] == "bytes" else len(text.encode("utf-16-le")) // 2
            if not int(limit[1]) <= size <= int(limit[2]):
                yield f"{where}.{field['name']} has {size} {limit[3]}"


_LIMIT = re.compile(r"(\d+)-(\d+) (characters|bytes)")


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
        known = description()
        assert known is not None  # asked before
        yield from _object_faults(value, known["types"][kind], where)


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
