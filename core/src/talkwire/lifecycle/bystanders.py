"""Somebody stands in messages of others' talks, as who got a copy or where answers go, and is taken out of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from pydantic_core import from_json, to_json

from ..model import State
from ..outbound.parts import part_from_json, part_to_json
from ..store import Tx
from ..work import lanes
from .dropping import Gone, delete

# As the index says it; key, the file where the rest lies, and what is looked through.
NAMED = """
    SELECT id, '', cc, bcc, answer_at FROM message
    WHERE id > :after AND (cc <> '' OR bcc <> '' OR answer_at <> '') ORDER BY id LIMIT :most
"""
_MESSAGES = "SELECT id, cc, bcc, answer_at FROM message WHERE id IN (:ids[]) ORDER BY id"
_WITHOUT = "UPDATE message SET cc = :cc, bcc = :bcc, answer_at = :answer_at WHERE id = :id"
_PARTS = "SELECT id, recipient, part, state FROM delivery WHERE message_id IN (:ids[]) ORDER BY id"
_BLOTTED = "UPDATE delivery SET part = :part WHERE id = :id"


def take_out(tx: Tx, items: Sequence[tuple[Collection[str], re.Pattern[bytes], Sequence[str]]]) -> Sequence[Gone]:
    """Take people, by (values of their addresses, what finds these, ids), out of messages that are not theirs.

    What others wrote stays as they wrote it. Copies to them are gone, and with them what became of these. In a part
    that still waits for the others the address stays until it has gone out.
    """
    for values, traces, ids in items:
        rows = tx.execute(_MESSAGES, {"ids": ids})
        tx.many(
            _WITHOUT,
            [
                (_without(cc, values), _without(bcc, values), "" if answer_at.lower() in values else answer_at, id_)
                for id_, cc, bcc, answer_at in rows
            ],
        )
        parts = tx.execute(_PARTS, {"ids": ids})
        copies = [id_ for id_, recipient, *_ in parts if recipient.lower() in values]
        delete(tx, "delivery", "id", copies)
        tx.many(
            _BLOTTED,
            [
                (_blotted(part, traces), id_)
                for id_, _, part, state in parts
                if id_ not in copies and state != State.QUEUED and traces.search(part.encode())
            ],
        )
        delete(tx, "report", "delivery_id", copies)
        lanes.drop(tx, "send", copies)
        delete(tx, "exchange", "delivery_id", copies)
    return [Gone() for _ in items]


def _without(listed: str, values: Collection[str]) -> str:
    left = [one for one in from_json(listed) if one.lower() not in values] if listed else []
    return to_json(left).decode() if left else ""


def _blotted(text: str, traces: re.Pattern[bytes]) -> str:
    part = part_from_json(text)
    payload = traces.sub("…".encode(), part.payload.encode()).decode()
    return part_to_json(replace(part, payload=payload))


__all__ = ["NAMED", "take_out"]
