"""What was held goes out, in its order, once its conversation can be answered again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..store import Row, Tx
from ..work import lanes

_HELD = """
    SELECT d.id, d.account, d.conversation_id, d.recipient, m.n, d.position, d.generation
    FROM delivery d JOIN message m ON m.id = d.message_id
    WHERE d.state = 0 AND d.reason IN ('window_closed', 'session_ended', 'address_unreachable')
      AND d.conversation_id IN (:ids[])
    ORDER BY d.conversation_id, m.n, d.position, d.generation
"""
_STILL_DUE = """
    SELECT DISTINCT d.id, d.account, d.conversation_id, d.recipient, m.n, d.position, d.generation
    FROM delivery d JOIN message m ON m.id = d.message_id
    JOIN task t ON t.kind = 'send' AND t.ref = d.id JOIN lane l ON l.id = t.lane_id
    WHERE d.state = 0 AND d.open_since IS NULL AND l.held = '' AND d.conversation_id IN (:ids[])
"""
_NOT_HELD = "UPDATE delivery SET reason = '' WHERE id = :id"


def release(tx: Tx, conversations: Iterable[str]) -> None:
    """Give the replies that were held their tasks, in their order, now that they may go out.

    What was said after them and still waits for its turn goes behind them: it was never looked at while they were held.
    """
    ids = sorted(set(conversations))
    if not ids:
        return
    rows = list(dict.fromkeys(tx.execute(_HELD, {"ids": ids})))
    if not rows:
        return
    tx.many(_NOT_HELD, [{"id": row[0]} for row in rows])
    behind = _behind(tx, rows)
    lanes.drop(tx, "send", [row[0] for row in behind])
    lanes.add(
        tx,
        [
            lanes.NewTask(f"send:{account}", lanes.of_part(conversation, to), "send", part)
            for part, account, conversation, to, *_ in sorted([*rows, *behind], key=lambda row: (row[2], row[4:]))
        ],
    )


def _behind(tx: Tx, held: Sequence[Row]) -> list[Row]:
    """Give the parts that wait for their turn, and come after one of these in its lane."""
    first: dict[tuple[str, str], Row] = {}
    for row in held:
        first.setdefault((row[2], row[3]), row[4:])
    ids = sorted({conversation for conversation, _ in first})

    def later() -> list[Row]:
        rows = tx.execute(_STILL_DUE, {"ids": ids})
        return [row for row in rows if (lane := first.get((row[2], row[3]))) is not None and row[4:] > lane]

    found = later()
    if found:
        tx.lock("delivery", [row[0] for row in found])
        found = later()  # one that began meanwhile is on its way
    return found
