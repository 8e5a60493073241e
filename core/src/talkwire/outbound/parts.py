"""Parts as the rows of deliveries hold them, each with the promise to send it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from ..ids import new_id
from ..model import Option, Part
from ..store import Tx
from ..work import lanes

_INSERT_DELIVERY = """
    INSERT INTO delivery (id, message_id, conversation_id, account, position, recipient, generation, part,
                          text, state, state_at, reason)
    VALUES (:id, :message, :conversation, :account, :position, :recipient, :generation, :part, :text, 0, :now,
            :reason)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewParts:
    """Parts of one message, on their way into the store."""

    account: str
    conversation: str
    message: str
    parts: Sequence[tuple[int, str, Part]]  # position, recipient, part
    generation: int = 0
    held: str = ""  # why they wait, without a promise to send; empty: they do not
    pending: str = ""  # why they do not go at once; empty: they do


def insert_deliveries(tx: Tx, planned: Iterable[NewParts]) -> list[str]:
    """Store parts as deliveries, with a promise each unless they are held; give their ids."""
    rows: list[dict[str, object]] = []
    tasks: list[lanes.NewTask] = []
    for one in planned:
        for position, recipient, part in one.parts:
            delivery = new_id()
            rows.append(
                {
                    "id": delivery,
                    "message": one.message,
                    "conversation": one.conversation,
                    "account": one.account,
                    "position": position,
                    "recipient": recipient,
                    "generation": one.generation,
                    "part": part_to_json(part),
                    "text": part.plain or part.text,
                    "now": tx.now_us,
                    "reason": one.held or one.pending,
                }
            )
            if not one.held:
                lane = lanes.of_part(one.conversation, recipient)
                tasks.append(lanes.NewTask(f"send:{one.account}", lane, "send", delivery))
    tx.many(_INSERT_DELIVERY, rows)
    lanes.add(tx, tasks)
    return [str(row["id"]) for row in rows]


def part_to_json(part: Part) -> str:
    """Write a part as the delivery row holds it."""
    said = {name: getattr(part, name) for name in part.__slots__ if getattr(part, name)}
    return to_json(said).decode()


def part_from_json(text: str) -> Part:
    """Read a part of a delivery row."""
    said = from_json(text)
    if "options" in said:
        said["options"] = tuple(Option(**option) for option in said["options"])
    return Part(**said)


__all__ = ["NewParts", "insert_deliveries", "part_from_json", "part_to_json"]
