"""Damaged copies of genuine envelopes: what a provider's bug, a proxy or a new version makes of them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ..model import Envelope

MOST = 600  # damages of one sample
Path = tuple[str | int, ...]

_GONE = object()
_JSON_WAYS: tuple[tuple[str, Any], ...] = (
    ("removed", _GONE),
    ("null", None),
    ("made a list", []),
    ("made an object", {}),
    ("made a number", 7),
    ("made a text", "?"),
    ("made true", True),
)


@dataclass(frozen=True, slots=True)
class Damaged:
    """One damaged copy."""

    how: str  # `entry.0.id removed`
    envelope: Envelope


def damaged(envelope: Envelope) -> Iterator[Damaged]:
    """Damage an envelope in every way that fits it: its parameters, its body's values, its bytes."""
    for number, one in enumerate(_all(envelope)):
        if number == MOST:
            return
        yield one


def _all(envelope: Envelope) -> Iterator[Damaged]:
    yield from (Damaged(f"parameter {how}", replace(envelope, query=q)) for how, q in _pairs(envelope.query))
    if not envelope.body:
        return
    for how, body in (
        ("body empty", b""),
        ("body cut in the middle", envelope.body[: len(envelope.body) // 2]),
        ("body not UTF-8", envelope.body[:1] + b"\xff\xfe" + envelope.body[1:]),
    ):
        yield Damaged(how, replace(envelope, body=body))
    if is_form(envelope):
        fields = tuple(parse_qsl(envelope.body.decode(), keep_blank_values=True))
        for how, pairs in _pairs(fields):
            yield Damaged(f"field {how}", replace(envelope, body=urlencode(pairs).encode()))
        return
    value = json_of(envelope)
    if value is None:
        return
    for how, body in (
        ("body null", b"null"),
        ("body an empty list", b"[]"),
        ("body an empty object", b"{}"),
        ("body a number", b"7"),
        ("body nested 100,000 deep", b"[" * 100_000),
    ):
        yield Damaged(how, replace(envelope, body=body))
    # Each way at every place before the next way, so that the bound cuts the rarer ways.
    for name, new in _JSON_WAYS:
        for path in paths(value):
            yield Damaged(f"{dotted(path)} {name}", with_json(envelope, changed(value, path, new)))


def _pairs(pairs: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    for n, (name, value) in enumerate(pairs):
        before, after = pairs[:n], pairs[n + 1 :]
        yield f"{name} removed", (*before, *after)
        yield f"{name} emptied", (*before, (name, ""), *after)
        yield f"{name} doubled", (*before, (name, value), (name, value), *after)
        yield f"{name} made nonsense", (*before, (name, "?\u00e9\ufffd"), *after)
        yield f"{name} made a very large number", (*before, (name, "9" * 400), *after)


def is_form(envelope: Envelope) -> bool:
    """Say whether the body is a URL-encoded form."""
    return envelope.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def json_of(envelope: Envelope) -> Any:
    """Read the body as a JSON object or list; None: it is neither."""
    try:
        value = json.loads(envelope.body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def with_json(envelope: Envelope, value: Any) -> Envelope:
    """Give the envelope with another body."""
    return replace(envelope, body=json.dumps(value).encode())


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Name every place inside a JSON value, the outer ones first."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    yield from ((*at, step) for step, _ in inner)
    for step, one in inner:
        yield from paths(one, (*at, step))


def at(value: Any, path: Path) -> Any:
    """Give what lies at a place."""
    for step in path:
        value = value[step]
    return value


def changed(value: Any, path: Path, new: Any) -> Any:
    """Give a copy with something else at a place; what lies beside the way there is shared with the original."""
    if not path:
        return new
    made = copy.copy(value)
    first, *rest = path
    if rest:
        made[first] = changed(value[first], tuple(rest), new)
    elif new is _GONE:
        del made[first]
    else:
        made[first] = new
    return made


def dotted(path: Path) -> str:
    """Write a place as people do."""
    return ".".join(str(step) for step in path) or "the whole body"


def matches(path: Path, pattern: str) -> bool:
    """Say whether a place is meant by `entry.*.messages`."""
    steps = pattern.split(".")
    return len(steps) == len(path) and all(want in ("*", str(step)) for want, step in zip(steps, path, strict=True))


def with_news(raw: Envelope) -> Iterator[tuple[str, Envelope]]:
    """Add what a later version of the provider might add."""
    yield "a new parameter", replace(raw, query=(*raw.query, ("kit_new", "1")))
    yield "a new header", replace(raw, headers={**raw.headers, "x-kit-new": "1"})
    if is_form(raw):
        yield "a new field", replace(raw, body=raw.body + b"&kit_new=1")
    value = json_of(raw)
    for path in [(), *paths(value)] if value is not None else []:
        holder = at(value, path)
        if isinstance(holder, dict):
            grown = changed(value, path, {**holder, "kit_new": {"a": [1]}})
            yield f"a new key in {dotted(path)}", with_json(raw, grown)


def with_bad_one(events: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    bad: list[tuple[str, Any]] = [
        ("null", None),
        ("a number", 7),
        ("a text", "?"),
        ("a list", []),
        ("an empty object", {}),
    ]
    first = events[0]
    if isinstance(first, dict):
        bad.append(("an event of nulls", dict.fromkeys(first)))
        bad += [
            (f"an event with {dotted(path)} a list", changed(first, path, []))
            for path in paths(first)
            if len(path) == 1
        ]
    for name, one in bad:
        yield f"{name} before the others", [one, *events]
        yield f"{name} after the others", [*events, one]


__all__ = [
    "Damaged",
    "at",
    "changed",
    "damaged",
    "dotted",
    "is_form",
    "json_of",
    "matches",
    "paths",
    "with_bad_one",
    "with_json",
    "with_news",
]
