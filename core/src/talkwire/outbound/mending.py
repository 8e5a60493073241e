"""What people do to a message that is on its way: taken back, sent again, settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import deliveries
from ..errors import Conflict, NotFound
from ..model import State
from ..store import Row, Tx
from ..work import lanes
from .parts import NewParts, insert_deliveries, part_from_json

# --- taking back, again, settled -------------------------------------------------------------------

_OF_MESSAGE = """
    SELECT d.id, d.account, d.conversation_id, d.message_id, d.position, d.generation, d.part,
           d.state, d.open_since, d.recipient
    FROM delivery d WHERE d.message_id = :id ORDER BY d.position, d.recipient, d.generation
"""
_NOT_OPEN = "UPDATE delivery SET open_since = NULL, reason = '' WHERE id = :id"
_ONE = "SELECT message_id FROM delivery WHERE id = :id"


def cancel(tx: Tx, messages: Sequence[str]) -> Sequence[int]:
    """Take back what is still queued of messages; gives how many parts of each. Errors: `NotFound`."""
    results = []
    for message in messages:
        queued = [r for r in _rows(tx, message) if r[7] == State.QUEUED and r[8] is None]
        fail_queued(tx, [str(row[0]) for row in queued], "cancelled", "taken back before it was sent")
        results.append(len(queued))
    return results


def resend(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[int]:
    """Send what failed or is uncertain of (message, author) once more; gives how many. Errors: `NotFound`, `Conflict`."""
    results = []
    for message, author in items:
        by_place: dict[Any, list[Row]] = {}
        for row in _rows(tx, message):
            by_place.setdefault((row[4], row[9]), []).append(row)
        again = [
            rows[-1]
            for rows in by_place.values()
            if deliveries.counted([(row[5], row[7]) for row in rows]) in (State.FAILED, State.UNCERTAIN)
        ]
        if not again:
            raise Conflict("no part of this message failed or is uncertain", code="nothing_failed")
        for row in again:
            _send_again(tx, row, author)
        results.append(len(again))
    return results


def _send_again(tx: Tx, row: Row, author: str) -> None:
    _, account, conversation, message, position, generation, part, _, _, recipient = row
    tx.tell(
        "reply.resent",
        account=str(account),
        conversation=str(conversation),
        ids={"message": str(message)},
        small={"position": int(str(position)), "author": author},
    )
    again = NewParts(
        account=str(account),
        conversation=str(conversation),
        message=str(message),
        parts=[(int(str(position)), str(recipient), part_from_json(str(part)))],
        generation=int(str(generation)) + 1,
    )
    insert_deliveries(tx, [again])


def settle(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[None]:
    """Say what became of uncertain parts: (delivery, verdict, author). Errors: `NotFound`, `Conflict`."""
    for delivery, verdict, author in items:
        found = tx.one(_ONE, {"id": delivery})
        if found is None:
            raise NotFound("there is no such delivery")
        rows = _rows(tx, found[0])
        row = next(r for r in rows if r[0] == delivery)
        if row[7] != State.UNCERTAIN:
            raise Conflict("this part is not uncertain", code="not_uncertain")
        if verdict == "again" and any((r[4], r[9]) == (row[4], row[9]) and r[5] > row[5] for r in rows):
            raise Conflict("this part was sent again already: look at what became of that", code="sent_again")
        tx.tell(
            "delivery.settled",
            account=str(row[1]),
            conversation=str(row[2]),
            ids={"message": str(row[3]), "delivery": delivery},
            small={"verdict": verdict, "author": author},
        )
        if verdict == "again":
            _send_again(tx, row, author)
            continue
        state = State.SENT if verdict == "sent" else State.FAILED
        news = deliveries.Learnt(
            delivery=delivery, state=state, at=tx.now_us, code="settled", text=f"settled by {author}"
        )
        deliveries.learn(tx, [news])
    return [None] * len(items)


def _rows(tx: Tx, message: str) -> list[Row]:
    rows = tx.execute(_OF_MESSAGE, {"id": message})
    if not rows:
        raise NotFound("there is no such outgoing message")
    tx.lock("delivery", [row[0] for row in rows])
    return tx.execute(_OF_MESSAGE, {"id": message})


def fail_queued(tx: Tx, ids: Sequence[str], code: str, text: str) -> None:
    """Fail parts that are still queued, with the reason, and drop their promises."""
    deliveries.learn(
        tx,
        [deliveries.Learnt(delivery=i, state=State.FAILED, at=tx.now_us, code=code, text=text) for i in ids],
    )
    lanes.drop(tx, "send", ids)


def unknown_queued(tx: Tx, ids: Sequence[str], text: str) -> None:
    """Say of parts that are still queued that nobody knows whether they were sent, and drop their promises."""
    learnt = [deliveries.Learnt(delivery=i, state=State.UNCERTAIN, at=tx.now_us, text=text) for i in ids]
    deliveries.learn(tx, learnt)
    tx.many(_NOT_OPEN, [{"id": i} for i in sorted(ids)])
    lanes.drop(tx, "send", ids)


__all__ = ["cancel", "fail_queued", "resend", "settle", "unknown_queued"]
