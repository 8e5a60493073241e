"""Forged copies of a genuine envelope: unsigned, signed wrongly, altered after it was signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..model import Envelope


def forgeries(raw: Envelope, sign: Callable[[Envelope], Envelope]) -> Iterator[tuple[str, Envelope]]:
    """Take away and alter what `sign` added; alter the content under it, where it depends on the content."""
    genuine = sign(raw)
    yield "unsigned", raw
    for name, value in genuine.headers.items():
        if raw.headers.get(name) == value:
            continue
        for how, false in _false(value):
            yield f"header {name} {how}", replace(genuine, headers={**genuine.headers, name: false})
        without = {other: kept for other, kept in genuine.headers.items() if other != name}
        yield f"header {name} removed", replace(genuine, headers=without)
    for n, (name, value) in enumerate(genuine.query):
        if (name, value) in raw.query:
            continue
        for how, false in _false(value):
            query = (*genuine.query[:n], (name, false), *genuine.query[n + 1 :])
            yield f"parameter {name} {how}", replace(genuine, query=query)
    if genuine.remote != raw.remote:
        yield "from another address", replace(genuine, remote=raw.remote)
        yield "from no address", replace(genuine, remote="")
    # A signature that does not change with the content does not cover it: then there is nothing to check.
    seal = _added(genuine, raw)
    for how, altered in _altered(raw):
        if _added(sign(altered), altered) != seal:
            query = (*altered.query, *seal[1])
            yield f"signed before {how}", replace(genuine, body=altered.body, query=query)


def _added(signed: Envelope, raw: Envelope) -> tuple[dict[str, str], tuple[tuple[str, str], ...], str]:
    """Give what signing added: headers, parameters, the peer's address."""
    headers = {name: value for name, value in signed.headers.items() if raw.headers.get(name) != value}
    return headers, tuple(pair for pair in signed.query if pair not in raw.query), signed.remote


def _false(value: str) -> Iterator[tuple[str, str]]:
    middle = len(value) // 2
    for how, place in (("altered in the middle", middle), ("altered at the end", -1)):
        if value:
            other = "0" if value[place] != "0" else "1"
            end = value[place:][1:] if place != -1 else ""
            yield how, value[:place] + other + end
    yield "cut in half", value[:middle]
    yield "emptied", ""
    yield "made longer", value + "0"
    yield "made foreign letters", "é" * len(value)


def _altered(raw: Envelope) -> Iterator[tuple[str, Envelope]]:
    if raw.body:
        yield "the body grew", replace(raw, body=raw.body + b" ")
        yield "the body changed", replace(raw, body=raw.body[:-1] + bytes([raw.body[-1] ^ 1]))
        yield "the body was emptied", replace(raw, body=b"")
    for n, (name, value) in enumerate(raw.query):
        changed = (*raw.query[:n], (name, value + "0"), *raw.query[n + 1 :])
        yield f"the parameter {name} changed", replace(raw, query=changed)
