"""What must be true of a database that was brought back from a copy: nothing it promised is done twice.

Between the copy and this moment all went on without it. So what was open waits for an operator, what readers had not
been told waits with it, numbers that were given out since are not given again, and what comes in again says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json, to_json

from .. import readmodels
from ..clock import micros
from ..store import Query, Tx
from ..telling.taking import subject_of
from ..work import lanes
from ..work.lanes import NewTask
from . import auditing

_LOG_JUMP = 1_000_000_000  # facts that may have been told since the copy: a thousand a second, for eleven days
_TALK_JUMP = 1_000  # messages that a conversation may have had since
_SLICE = 1000
_META = "SELECT value FROM meta WHERE name = 'restored'"
_PUT_META = """
    INSERT INTO meta (name, value) VALUES ('restored', :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_UNPROMISED = """
    SELECT d.id, d.account, d.conversation_id, d.recipient FROM delivery d JOIN message m ON m.id = d.message_id
    WHERE d.state = 0 AND NOT EXISTS (SELECT 1 FROM task t WHERE t.kind = 'send' AND t.ref = d.id)
    ORDER BY d.conversation_id, m.n, d.position, d.generation
"""
_NO_REASON = "UPDATE delivery SET reason = '' WHERE id = :id"
_BEHIND = """
    SELECT name, cursor FROM reader
    WHERE state = 'active' AND cursor < (SELECT seq FROM log_head WHERE id = 1) ORDER BY name
"""
_FACTS = f"{readmodels.FACT} WHERE seq > :seq ORDER BY seq LIMIT :most"
_HEAD = "SELECT seq FROM log_head WHERE id = 1"
_JUMP = "UPDATE log_head SET seq = :seq WHERE id = 1"
_CATCH_UP = "UPDATE reader SET cursor = :seq, moved_at = :now WHERE state = 'active'"
_NUMBER_ON = "UPDATE conversation SET last_n = last_n + :jump WHERE last_n > 0"
_GONE = ("DELETE FROM lease", "DELETE FROM session", "DELETE FROM meta WHERE name IN ('retired', 'settings')")
_HELD = """
    SELECT l.grp, count(DISTINCT l.id), count(t.id), min(t.created_at)
    FROM lane l JOIN task t ON t.lane_id = l.id WHERE l.held = 'restored' GROUP BY l.grp ORDER BY l.grp
"""

Wants = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Held:
    """What waits for an operator in one group of lanes."""

    group: str
    lanes: int
    tasks: int
    since: int  # microseconds: when its oldest task was promised


def restored_at(query: Query) -> int:
    """Say when this database was brought back from a copy, in microseconds; 0: it never was."""
    row = query.one(_META)
    return int(from_json(row[0])["restored_at"]) if row else 0


def hold(tx: Tx, taken_at: datetime, wants: Mapping[str, Wants]) -> list[Held]:
    """Make a copy, taken at some moment, safe to run; say what waits for an operator. No daemon runs on it.

    Of readers in `wants` only the facts that they want are kept for them, of others all.
    """
    for statement in _GONE:
        tx.execute(statement)
    unpromised = list(dict.fromkeys(tx.execute(_UNPROMISED)))
    tx.many(_NO_REASON, [{"id": row[0]} for row in sorted(unpromised)])
    lanes.add(
        tx,
        [
            NewTask(f"send:{account}", lanes.of_part(talk, recipient), "send", delivery)
            for delivery, account, talk, recipient in unpromised
        ],
    )
    tx.finish()
    for reader, cursor in tx.execute(_BEHIND):
        _queue(tx, reader, cursor, wants.get(reader, lambda _: True))
    lanes.hold_all(tx)
    row = tx.one(_HEAD)
    assert row is not None  # a migration made it
    head = (row[0] // _LOG_JUMP + 1) * _LOG_JUMP
    tx.execute(_JUMP, {"seq": head})
    tx.execute(_CATCH_UP, {"seq": head, "now": tx.now_us})
    tx.execute(_NUMBER_ON, {"jump": _TALK_JUMP})
    tx.execute(_PUT_META, {"value": to_json({"restored_at": tx.now_us, "taken_at": micros(taken_at)}).decode()})
    auditing.audit(tx, auditing.this_user(), "restore", {})
    found = held(tx)
    tx.tell(
        "store.restored",
        small={"taken_at": taken_at.isoformat(), "lanes": sum(h.lanes for h in found), "upto": row[0]},
    )
    return found


def _queue(tx: Tx, reader: str, cursor: int, wanted: Wants) -> None:
    """Keep what a reader has not been told in its lanes: it may have been told since the copy."""
    while rows := tx.execute(_FACTS, {"seq": cursor, "most": _SLICE}):
        facts = [fact for fact in map(readmodels.fact_of, rows) if wanted(fact.type)]
        lanes.add(tx, [NewTask(f"read:{reader}", subject_of(fact), "fact", str(fact.seq), "waits") for fact in facts])
        tx.finish()
        cursor = rows[-1][0]


def held(query: Query) -> list[Held]:
    """Say what waits since a restore, by group of lanes."""
    return [Held(*row) for row in query.execute(_HELD)]


def hold_now(tx: Tx, items: Sequence[tuple[datetime, Mapping[str, Wants]]]) -> Sequence[list[Held]]:
    """Do so as a write of the store."""
    return [hold(tx, taken_at, wants) for taken_at, wants in items]
