"""Ordered queues of promises: each lane is served in order, by one daemon, apart from all others.

    lane (group, subject) ── task, task, task
    due      when its head is to be served; null: nothing to do, or held
    held     why it waits for somebody (`wake` frees it); `restored`: for an operator (`free` does)
    wakes    how often it was freed: a wait that began under an older count is due at once

A task is deleted by the transaction that does it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ..clock import micros
from ..store import Query, Tx

RESTORED = "restored"  # held since a backup was brought back: what waits may have been done since

_OPEN_LANE = """
    INSERT INTO lane (grp, subject, due) VALUES (:grp, :subject, :due)
    ON CONFLICT (grp, subject) DO UPDATE SET due =
        CASE WHEN lane.held <> '' THEN NULL ELSE COALESCE(lane.due, excluded.due) END
"""
_ADD_TASK = """
    INSERT INTO task (lane_id, kind, ref, body, created_at)
    SELECT id, :kind, :ref, :body, :at FROM lane WHERE grp = :grp AND subject = :subject
"""
_HASTEN = """
    UPDATE lane SET due = :due
    WHERE grp = :grp AND subject = :subject AND due > :sooner AND attempts = 0 AND held = ''
"""
_PUT_OFF = """
    UPDATE lane SET attempts = 0, last_error = '', failing_since = NULL,
        due = CASE WHEN EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id AND task.id > :seen) THEN :now ELSE :due END
    WHERE id = :id AND held = '' AND EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id)
"""
_HEAD = """
    SELECT t.id, t.lane_id, t.kind, t.ref, t.body, t.created_at, l.grp, l.subject, l.attempts,
           l.wakes, l.failing_since
    FROM lane l JOIN task t ON t.id = (SELECT min(id) FROM task WHERE lane_id = l.id)
    WHERE l.id IN (:lanes[])
"""
_ALL_OF = """
    SELECT t.id, t.lane_id, t.kind, t.ref, t.body, t.created_at, l.grp, l.subject, l.attempts,
           l.wakes, l.failing_since
    FROM lane l JOIN task t ON t.lane_id = l.id WHERE l.id = :lane ORDER BY t.id LIMIT :most
"""
_DUE_HEAD = f"{_HEAD} AND l.due <= :now"
_END_TASK = "DELETE FROM task WHERE id = :id"
_NEXT_TURN = """
    UPDATE lane SET attempts = 0, last_error = '', failing_since = NULL, held = '',
        due = CASE WHEN EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id) THEN :now ELSE NULL END
    WHERE id = :id
"""
_REFERRING = """
    SELECT DISTINCT id, lane_id, id = (SELECT min(id) FROM task t WHERE t.lane_id = task.lane_id)
    FROM task WHERE kind = :kind AND ref IN (:refs[])
"""
_ANEW = """
    UPDATE lane SET attempts = 0, last_error = '', failing_since = NULL,
        due = CASE WHEN held = '' THEN :now ELSE NULL END
    WHERE id = :id
"""
_SLEEP = """
    UPDATE lane SET due = NULL, attempts = 0, last_error = '', failing_since = NULL, held = ''
    WHERE id = :id AND NOT EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id)
"""
_LATER = """
    UPDATE lane SET due = :due, attempts = attempts + :counted, last_error = :error,
        failing_since = COALESCE(failing_since, :now)
    WHERE id = :id AND EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id)
"""
_HOLD = """
    UPDATE lane SET
        due = CASE WHEN wakes = :wakes THEN NULL ELSE :now END,
        attempts = 0, failing_since = NULL,
        held = CASE WHEN wakes = :wakes THEN :reason ELSE '' END
    WHERE id = :id
"""
_WAKE = """
    UPDATE lane SET wakes = wakes + 1, due = CASE WHEN held <> '' THEN :now ELSE due END, held = ''
    WHERE grp = :grp AND subject IN (:subjects[]) AND held <> 'restored'
"""
_FREE = """
    UPDATE lane SET wakes = wakes + 1, held = '',
        due = CASE WHEN EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id) THEN :now ELSE NULL END
    WHERE id IN (:lanes[])
"""
_HOLD_ALL = """
    UPDATE lane SET held = 'restored', due = NULL, attempts = 0, failing_since = NULL, wakes = wakes + 1
    WHERE EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id)
"""
_REST_ALL = """
    UPDATE lane SET held = '', due = NULL, attempts = 0, failing_since = NULL, last_error = ''
    WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id)
"""
_FAILING = "SELECT id FROM lane WHERE grp = :grp AND failing_since IS NOT NULL"
_FORGIVEN = "UPDATE lane SET failing_since = NULL WHERE grp = :grp AND failing_since IS NOT NULL"
_IDS = "SELECT id FROM lane WHERE grp = :grp AND subject IN (:subjects[])"


@dataclass(frozen=True, slots=True)
class NewTask:
    """A promise to be kept."""

    group: str
    subject: str
    kind: str
    ref: str  # id of what it is about
    body: str = ""  # JSON; empty where the row says all
    due: int | None = None  # microseconds; None: at once
    hastens: bool = False  # a lane that waits for nothing but its time is served when this is due


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane whose head is due."""

    id: int
    group: str
    subject: str
    attempts: int
    wakes: int


@dataclass(frozen=True, slots=True)
class Task:
    """The head of a lane."""

    id: int
    lane: int
    kind: str
    ref: str
    body: str
    created_at: int
    group: str
    subject: str
    attempts: int
    wakes: int
    failing_since: int | None


class Fence(Protocol):
    """Says whether a group may still be served; leases on PostgreSQL, always on SQLite."""

    def holds(self, name: str, need: timedelta = ...) -> bool: ...
    def check(self, tx: Tx, name: str, need: timedelta = ...) -> bool: ...
    def number(self, name: str) -> int: ...


def of_part(conversation: str, recipient: str) -> str:
    """Name the lane of a part: its conversation's, and for whoever gets a copy one of their own.

    So a copy that has to wait holds up nobody else. The name holds no address.
    """
    if not recipient:
        return conversation
    return f"{conversation}:{hashlib.sha256(recipient.encode()).hexdigest()[:12]}"


def ours(tx: Tx, fence: Fence, groups: Iterable[str], need: timedelta = timedelta()) -> frozenset[str]:
    """Give those groups that are still ours until this transaction has ended; asked before any row is touched."""
    return frozenset(group for group in sorted(set(groups)) if fence.check(tx, group, need))


def add(tx: Tx, tasks: Sequence[NewTask]) -> None:
    """Put tasks at the end of their lanes; they are written with all others of the group, lane by lane.

    Errors: `ValueError` for a subject that no table takes.
    """
    for task in tasks:
        if b"\0" in task.subject.encode():
            raise ValueError("a lane's subject has no NUL")
    if tasks:
        tx.hint("lanes")
        tx.last(_write, tasks)


def _write(tx: Tx, tasks: Sequence[NewTask]) -> None:
    # The lane's row is written first: its lock keeps task ids in commit order.
    order = sorted(range(len(tasks)), key=lambda i: (tasks[i].group, tasks[i].subject, i))
    lanes = {
        (tasks[i].group, tasks[i].subject): tasks[i].due if tasks[i].due is not None else tx.now_us
        for i in reversed(order)
    }
    tx.many(_OPEN_LANE, [(*lane, due) for lane, due in sorted(lanes.items())])
    soonest: dict[tuple[str, str], int] = {}
    for task in tasks:
        if task.hastens:
            lane, due = (task.group, task.subject), task.due if task.due is not None else tx.now_us
            soonest[lane] = min(due, soonest.get(lane, due))
    tx.many(_HASTEN, [(due, *lane, due) for lane, due in sorted(soonest.items())])
    tx.many(
        _ADD_TASK,
        [(t.kind, t.ref, t.body, tx.now_us, t.group, t.subject) for t in map(tasks.__getitem__, order)],
    )


def heads(tx: Query, lanes: Sequence[int]) -> dict[int, Task]:
    """Give the first task of each of these lanes; a lane without tasks is left out."""
    return {row[1]: Task(*row) for row in tx.execute(_HEAD, {"lanes": lanes})}


def all_of(tx: Query, lane: int, most: int) -> list[Task]:
    """Give the first tasks of a lane, in their order."""
    return [Task(*row) for row in tx.execute(_ALL_OF, {"lane": lane, "most": most})]


def lock(tx: Tx, lanes: Iterable[int]) -> None:
    """Take the locks of several lanes in the order in which `add` takes them."""
    if len(wanted := set(lanes)) > 1:
        tx.lock("lane", wanted)


def due_heads(tx: Query, lanes: Sequence[int]) -> dict[int, Task]:
    """Give those heads that are due now: whoever looked before a lane's last turn has nothing to do."""
    return {row[1]: Task(*row) for row in tx.execute(_DUE_HEAD, {"lanes": lanes, "now": tx.now_us})}


def end(tx: Tx, tasks: Sequence[tuple[int, int]]) -> None:
    """End (lane, task) pairs, the effect being in this same transaction; their lanes go on."""
    ended = sorted({lane for lane, _ in tasks})
    tx.lock("lane", ended)  # so that a task that is being added is seen below
    tx.many(_END_TASK, [{"id": task} for _, task in sorted(tasks)])
    tx.many(_NEXT_TURN, [{"id": lane, "now": tx.now_us} for lane in ended])


def rest(tx: Tx, lane: int) -> None:
    """Let a lane sleep that has no task; one that has stays as it is."""
    tx.lock("lane", [lane])  # so that a task that is being added is seen below
    tx.execute(_SLEEP, {"id": lane})


def later(tx: Tx, lane: int, due: datetime, error: str, *, counted: bool = True) -> None:
    """Let a lane's head be tried again; a lane that was emptied meanwhile stays as it is."""
    tx.execute(
        _LATER,
        {
            "id": lane,
            "due": micros(due),
            "error": error[:300],
            "counted": int(counted),
            "now": tx.now_us,
        },
    )


def put_off(tx: Tx, lane: int, due: datetime, seen: int) -> None:
    """Let a lane wait for its time, which is no failure; tasks after `seen`, the last one looked at, are looked at now."""
    tx.lock("lane", [lane])  # so that a task that is being added is seen below
    tx.execute(_PUT_OFF, {"id": lane, "due": micros(due), "seen": seen, "now": tx.now_us})


def postpone(tx: Tx, items: Sequence[tuple[int, datetime, str]]) -> Sequence[None]:
    """Let the heads of (lane, due, error) be tried again, as writes of their own."""
    for lane, due, error in sorted(items):
        later(tx, lane, due, error)
    return [None] * len(items)


def drop(tx: Tx, kind: str, refs: Sequence[str]) -> None:
    """Take promises back; what comes after them does not wait for what they waited for."""
    if not refs:
        return
    tx.hint("lanes")
    rows = tx.execute(_REFERRING, {"kind": kind, "refs": refs})
    lock(tx, [lane for _, lane, _ in rows])
    tx.many(_END_TASK, [{"id": task} for task, _, _ in sorted(rows)])
    headless = sorted({lane for _, lane, is_head in rows if is_head})
    tx.many(_ANEW, [{"id": lane, "now": tx.now_us} for lane in headless])
    tx.many(_SLEEP, [{"id": lane} for lane in headless])  # nothing is left that it could be held for


def hold(tx: Tx, lane: int, reason: str, wakes: int) -> None:
    """Hold a lane until it is woken; woken since `wakes` was read, it is due at once. To wait is not to fail."""
    tx.execute(_HOLD, {"id": lane, "reason": reason, "wakes": wakes, "now": tx.now_us})


def forgive(tx: Tx, group: str) -> None:
    """Let the lanes of a group have their whole time again before they give up."""
    lock(tx, [row[0] for row in tx.execute(_FAILING, {"grp": group})])
    tx.execute(_FORGIVEN, {"grp": group})


def wake(tx: Tx, group: str, subjects: Iterable[str]) -> None:
    """Free held lanes, and count it; those held since a restore wait for an operator, whoever comes back."""
    if wanted := sorted(set(subjects)):
        tx.hint("lanes")
        rows = tx.execute(_IDS, {"grp": group, "subjects": wanted})
        lock(tx, [row[0] for row in rows])
        tx.execute(_WAKE, {"grp": group, "subjects": wanted, "now": tx.now_us})


def free(tx: Tx, ids: Sequence[int]) -> None:
    """Free lanes for whatever they were held, and count it."""
    if ids:
        tx.hint("lanes")
        lock(tx, ids)
        tx.execute(_FREE, {"lanes": ids, "now": tx.now_us})


def hold_all(tx: Tx) -> None:
    """Hold every lane that has something to do, until an operator frees it; nobody serves lanes meanwhile."""
    tx.execute(_HOLD_ALL)
    tx.execute(_REST_ALL)


def backoff(
    attempts: int,
    *,
    base: timedelta = timedelta(seconds=5),
    most: timedelta = timedelta(minutes=10),
    chance: Callable[[], float] = random.random,
) -> timedelta:
    """Give full jitter: anything up to base × 2^attempts, at most `most`, at least a tenth of base."""
    top: timedelta = min(most, base * (1 << min(attempts, 16)))
    return max(base / 10, top * chance())
