"""Parts as the rows of deliveries hold them, each with the promise to send it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import from_json, to_json

from . import lanes
from .ids import new_id
from .model import Option, Part
from .store import Tx

_INSERT_DELIVERY = """
    INSERT INTO delivery (id, message_id, conversation_id, account, position, recipient, generation, part,
                          text, state, state_at, reason)
    VALUES (:id, :message, :conversation, :account, :position, :recipient, :generation, :part, :text, 0, :now,
            :reason)
"""


def insert_deliveries(
    tx: Tx,
    account: str,
    conversation: str,
    message: str,
    parts: Sequence[tuple[int, str, Part]],
    *,
    generation: int = 0,
    held: str = "",
    pending: str = "",
) -> list[str]:
    """Store parts (position, recipient, part) as deliveries, with a promise each unless they are held; give their ids."""
    made = [(new_id(), *part) for part in parts]
    tx.many(
        _INSERT_DELIVERY,
        [
            {
                "id": delivery,
                "message": message,
                "conversation": conversation,
                "account": account,
                "position": position,
                "recipient": recipient,
                "generation": generation,
                "part": part_to_json(part),
                "text": part.plain or part.text,
                "now": tx.now_us,
                "reason": held or pending,
            }
            for delivery, position, recipient, part in made
        ],
    )
    ids = [delivery for delivery, *_ in made]
    if held:
        return ids
    group = f"send:{account}"
    lanes.add(
        tx,
        [
            lanes.NewTask(group, lanes.of_part(conversation, recipient), "send", delivery)
            for delivery, _, recipient, _ in made
        ],
    )
    return ids


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


__all__ = ["insert_deliveries", "part_from_json", "part_to_json"]
