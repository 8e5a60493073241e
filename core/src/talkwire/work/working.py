"""Serves the lanes that are due: each in order, many side by side, none in another's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from ..clock import Clock, moment
from ..errors import PLUGIN_MAY_RAISE, StoreDown, trail_of
from ..store import Query, Store
from . import lanes
from .lanes import Fence, Lane
from .pump import Pump

_log = structlog.get_logger("talkwire.lanes")
_AT_ONCE = 8  # lanes of one group served at the same time
_AHEAD = 4  # times as many are looked up, so that not each of them costs a look
_PAUSE = timedelta(seconds=1)  # of a group, where the store is down

_DUE = """
    SELECT id, grp, subject, attempts, wakes FROM lane
    WHERE grp = :grp AND due <= :now ORDER BY due, id LIMIT :most
"""
_SOONEST = """
    WITH v(grp) AS (VALUES :groups[1])
    SELECT v.grp, (SELECT min(due) FROM lane WHERE lane.grp = v.grp AND due IS NOT NULL) FROM v
"""
_NEXT = "SELECT min(due) FROM lane WHERE grp = :grp AND due > :now"

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
        if turn.group is not group:
            return None  # it was served anew meanwhile: what is begun now is that work's
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
        """Serve a group no longer; what is under way in it ends before whoever serves it anew begins the same lane."""
        found = self._groups.get(group)
        if found is None or not found.running:
            self._groups.pop(group, None)
        else:
            found.rests = True

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
        except PLUGIN_MAY_RAISE as error:  # one task
            if (turn := self._turn()) is not None:
                lane = turn.lane
            _log.error("task failed", group=lane.group, kind=type(error).__name__, trail=trail_of(error))
            again = self._clock.now() + lanes.backoff(lane.attempts)
            await self._store.write(lanes.postpone, (lane.id, again, f"{type(error).__name__} in the core"))


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
    in_turn = [those[i] for i in range(max(map(len, found), default=0)) for those in found if i < len(those)]
    return in_turn, moment(min(following)) if following else None
