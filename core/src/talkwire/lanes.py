"""Ordered queues of promises: each lane is served in order, by one daemon, apart from all others.

    lane (group, subject) ── task, task, task
    due      when its head is to be served; null: nothing to do, or held
    held     why it waits for somebody (`wake` frees it); `restored`: for an operator (`free` does)
    wakes    how often it was freed: a wait that began under an older count is due at once

A task is deleted by the transaction that does it.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from .clock import Clock, micros, moment
from .errors import StoreDown
from .pump import Pump
from .store import Query, Store, Tx

_log = structlog.get_logger("talkwire.lanes")
_AT_ONCE = 8  # lanes of one group served at the same time
_AHEAD = 4  # times as many are looked up, so that not each of them costs a look
_PAUSE = timedelta(seconds=1)  # of a group, where the store is down
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
_DUE = """
    SELECT id, grp, subject, attempts, wakes FROM lane
    WHERE grp = :grp AND due <= :now ORDER BY due, id LIMIT :most
"""
_SOONEST = """
    WITH v(grp) AS (VALUES :groups[1])
    SELECT v.grp, (SELECT min(due) FROM lane WHERE lane.grp = v.grp AND due IS NOT NULL) FROM v
"""
_NEXT = "SELECT min(due) FROM lane WHERE grp = :grp AND due > :now"
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


Work = Callable[[Lane], Awaitable[None]]


@dataclass(slots=True)
class _Group:
    work: Work
    most: int
    need: timedelta  # how long its work may take
    may_run: Callable[[], datetime | None]  # None: yes; else not before that moment
    room: Callable[[], int | None]  # how many may begin now; None: as many as there are places
    running: dict[int, asyncio.Task[None]]
    paused: datetime | None = None  # not before that moment: the store was down
    rests: bool = False  # nothing is begun until it is served anew
    # Lanes that were due at the last look, and for which no place was free; they may have been served since.
    ahead: deque[Lane] = field(default_factory=deque)

    @property
    def turns(self) -> int:
        """Count those that work; one of them may have two lanes for a moment."""
        return len(set(self.running.values()))


@dataclass(slots=True)
class _Turn:
    """What one task serves."""

    task: asyncio.Task[None]
    group: _Group
    lane: Lane
    following: Lane | None = None  # lent, and not begun yet


def _always() -> None:
    return None


class Lanes:
    """Serves the due lanes of all groups that this daemon holds."""

    def __init__(self, store: Store, clock: Clock, fence: Fence) -> None:
        self._store = store
        self._clock = clock
        self._fence = fence
        self._groups: dict[str, _Group] = {}
        self._ended: set[int] = set()  # lanes whose turn ended since we looked: the look may be older than that
        self._turns: dict[asyncio.Task[None], _Turn] = {}
        self._stopping = False
        self.pump = Pump("lanes", self._step, clock, slow_poll=timedelta(seconds=5))

    def serve(
        self,
        group: str,
        work: Work,
        *,
        most: int = _AT_ONCE,
        need: timedelta = timedelta(),
        may_run: Callable[[], datetime | None] = _always,
        room: Callable[[], int | None] = _always,
    ) -> None:
        """Take a group in: `work` does the head of one lane, in order, `most` lanes at a time.

        Nothing is begun where the group is ours for less than `need`, before the moment that `may_run` gives, or beyond
        the number that `room` gives.
        """
        known = self._groups.get(group)
        self._groups[group] = _Group(work, most, need, may_run, room, known.running if known else {})
        self.pump.wake()

    async def rest(self, group: str, patience: timedelta) -> None:
        """Begin nothing more of a group until it is served anew, and wait for what is under way."""
        found = self._groups.get(group)
        if found is None:
            return
        found.rests = True
        if found.running:
            await asyncio.wait(found.running.values(), timeout=patience.total_seconds())

    def another(self, name: str) -> Lane | None:
        """Lend whoever serves a lane of this group the next one that is due; None: there is none, or nothing may begin.

        For work that stores how one lane's turn ended and begins the next one's in the same transaction, after which it
        calls `go_on`, or `give_back` where that came to nothing.
        """
        group, turn = self._groups.get(name), self._turn()
        if group is None or turn is None or turn.following is not None or not self._may_begin(name, group):
            return None
        while group.ahead:
            lane = group.ahead.popleft()
            if lane.id not in group.running and lane.id not in self._ended:
                turn.following, group.running[lane.id] = lane, turn.task
                if len(group.ahead) < group.most:
                    self.pump.wake()  # before none is left
                return lane
        return None

    def ahead(self, name: str) -> list[int]:
        """Give the lanes of a group that were due at the last look, and for which there was no room."""
        group = self._groups.get(name)
        return [lane.id for lane in group.ahead] if group is not None else []

    def go_on(self) -> None:
        """Say that a lane's turn has ended, and that of the lent one has begun: what is raised from now on is its."""
        turn = self._turn()
        assert turn is not None
        assert turn.following is not None
        self._left(turn, turn.lane)
        turn.lane, turn.following = turn.following, None

    def give_back(self) -> None:
        """Give a lent lane back, with which nothing was done."""
        turn = self._turn()
        assert turn is not None
        assert turn.following is not None
        self._left(turn, turn.following)
        turn.following = None
        self.pump.wake()

    def _turn(self) -> _Turn | None:
        task = asyncio.current_task()
        return self._turns.get(task) if task is not None else None

    def _left(self, turn: _Turn, lane: Lane) -> None:
        turn.group.running.pop(lane.id, None)
        self._ended.add(lane.id)

    def drop(self, group: str) -> None:
        """Serve a group no longer."""
        self._groups.pop(group, None)

    def wake(self) -> None:
        """Look again now."""
        self.pump.wake()

    def set_back(self) -> tuple[str, ...]:
        """Forget pauses that a clock would end later that was set back; gives the groups that are served here."""
        for group in self._groups.values():
            group.paused = None
        return tuple(self._groups)

    @property
    def busy(self) -> bool:
        """Say whether a lane is being served."""
        return any(group.running for group in self._groups.values())

    async def stop(self, patience: timedelta) -> None:
        """Start nothing more, and wait for what is under way."""
        self._stopping = True
        running = [task for group in self._groups.values() for task in group.running.values()]
        if running:
            await asyncio.wait(running, timeout=patience.total_seconds())

    async def _step(self) -> datetime | None:
        if self._stopping:
            return None
        now = self._clock.now()
        wanted: list[tuple[str, int]] = []
        soonest: datetime | None = None
        for name, group in self._groups.items():
            if group.rests or not self._fence.holds(name, group.need):
                continue
            not_before = group.may_run() or group.paused
            if not_before is not None and not_before > now:
                soonest = min(soonest or not_before, not_before)
                continue
            if group.turns < group.most or len(group.ahead) < group.most:
                wanted.append((name, _AHEAD * group.most + len(group.running)))
        if not wanted:
            return soonest
        self._ended.clear()
        places: dict[str, int] = {}  # group → how many more may begin
        due, following = await self._store.read(lambda query: _look(query, wanted))
        for name, _ in wanted:  # those of the last look were lent until now
            if (found := self._groups.get(name)) is not None:
                found.ahead.clear()
        for lane in due:
            found = self._groups.get(lane.group)
            if found is None or found.rests or lane.id in found.running or lane.id in self._ended:
                continue
            left = places.setdefault(lane.group, _places(found))
            if left > 0:
                self._start(found, lane)
                places[lane.group] = left - 1
            else:
                found.ahead.append(lane)
        return min((m for m in (soonest, following) if m is not None), default=None)

    def _may_begin(self, name: str, group: _Group) -> bool:
        if self._stopping or group.rests or not self._fence.holds(name, group.need):
            return False
        not_before = group.may_run() or group.paused
        return not_before is None or not_before <= self._clock.now()

    def _start(self, group: _Group, lane: Lane) -> None:
        if self._stopping:  # since we looked
            return
        task = self.pump.tasks.create_task(self._serve(group, lane), name=f"lane {lane.group}")
        group.running[lane.id], self._turns[task] = task, _Turn(task, group, lane)

        def ended(task: asyncio.Task[None]) -> None:
            turn = self._turns.pop(task)
            self._left(turn, turn.lane)
            if turn.following is not None:
                self._left(turn, turn.following)
            self.pump.wake()

        task.add_done_callback(ended)

    async def _serve(self, group: _Group, lane: Lane) -> None:
        """Let a group do the head of a lane; what it raises stops no other lane."""
        try:
            await self._try(group, lane)
        except StoreDown as error:
            _log.warning("store down", group=lane.group, error=str(error))
            group.paused = self._clock.now() + _PAUSE

    async def _try(self, group: _Group, lane: Lane) -> None:
        try:
            await group.work(lane)
        except StoreDown:
            raise
        except Exception as error:  # noqa: BLE001  one task
            if (turn := self._turn()) is not None:
                lane = turn.lane
            _log.error("task failed", group=lane.group, kind=type(error).__name__, exc_info=error)
            again = self._clock.now() + backoff(lane.attempts)
            await self._store.write(postpone, (lane.id, again, f"{type(error).__name__} in the core"))


def _places(group: _Group) -> int:
    """Say how many more lanes of a group may begin now."""
    free, room = group.most - group.turns, group.room()
    return free if room is None else min(free, room)


def _look(query: Query, wanted: Sequence[tuple[str, int]]) -> tuple[list[Lane], datetime | None]:
    """Give the due lanes of groups, in turn, and when the next one will be; a group of which none is due costs a seek."""
    groups = [(group,) for group, _ in wanted]
    soonest: dict[str, int | None] = {row[0]: row[1] for row in query.execute(_SOONEST, {"groups": groups})}
    following = [due for due in soonest.values() if due is not None and due > query.now_us]
    found: list[list[Lane]] = []
    for group, most in wanted:
        if (due := soonest[group]) is None or due > query.now_us:
            continue
        rows = query.execute(_DUE, {"grp": group, "now": query.now_us, "most": most})
        found.append([Lane(*row) for row in rows])
        if len(rows) < most:  # else there is enough to do before another one is due
            row = query.one(_NEXT, {"grp": group, "now": query.now_us})
            following += [row[0]] if row and row[0] is not None else []
    in_turn = [lanes[i] for i in range(max(map(len, found), default=0)) for lanes in found if i < len(lanes)]
    return in_turn, moment(min(following)) if following else None
