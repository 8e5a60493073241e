"""Timers of plugins, and the sweeps of the core: what is due is told through the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from . import answers
from .actions import SetTimer
from .clock import Clock, micros, moment
from .lifecycle import restoring
from .notify import notifying
from .outbound import windows
from .store import Store, Tx
from .work.lanes import Fence
from .work.pump import Pump

GROUP = "timers"
_AT_ONCE = 200
_SWEEP_EVERY = timedelta(seconds=5)  # for reports that two open transactions missed
_SWEEP_BACK = timedelta(minutes=10)

_SET = """
    INSERT INTO timer (plugin, key, due, subject) VALUES (:plugin, :key, :due, :subject)
    ON CONFLICT (plugin, key) DO UPDATE SET due = excluded.due, subject = excluded.subject
"""
_DROP = "DELETE FROM timer WHERE plugin = :plugin AND key = :key"
_DUE = """
    SELECT t.plugin, t.key, t.due, t.subject, c.id, c.account FROM timer t LEFT JOIN conversation c ON c.id = t.subject
    WHERE t.due <= :now ORDER BY t.due, t.plugin, t.key LIMIT :most
"""
_TAKE = "DELETE FROM timer WHERE plugin = :plugin AND key = :key AND due = :due RETURNING key"
_NEXT = "SELECT min(due) FROM timer"


def set_timer(tx: Tx, plugin: str, action: SetTimer) -> None:
    """Set a plugin's timer; the same key moves it."""
    values = {"plugin": plugin, "key": action.key, "due": micros(action.due), "subject": action.subject}
    tx.execute(_SET, values)
    tx.hint("timers")


def drop_timer(tx: Tx, plugin: str, key: str) -> None:
    """Forget a plugin's timer."""
    tx.execute(_DROP, {"plugin": plugin, "key": key})


def fire(tx: Tx, items: Sequence[Fence]) -> Sequence[datetime | None]:
    """Tell the timers that are due, once each; say when the next one is."""
    if not items[0].check(tx, GROUP):
        return [None] * len(items)
    found = tx.execute(_DUE, {"now": tx.now_us, "most": _AT_ONCE})
    restored = restoring.restored_at(tx) if found else 0
    for plugin, key, due, subject, conversation, account in found:
        if not tx.execute(_TAKE, {"plugin": plugin, "key": key, "due": due}):
            continue  # moved or dropped meanwhile
        tx.tell(
            "timer.due",
            account=account or "",
            conversation=conversation or "",
            small={
                "plugin": plugin,
                "key": key,
                "due": moment(due).isoformat(),
                "subject": subject,
                **({"replayed": True} if due < restored else {}),  # it may have been told after the backup
            },
        )
    row = tx.one(_NEXT)
    following = moment(row[0]) if row and row[0] is not None else None
    return [following] * len(items)


def _sweep_windows(tx: Tx, items: Sequence[Fence]) -> Sequence[datetime | None]:
    if not items[0].check(tx, GROUP):
        return [None] * len(items)
    return answers.sweep_windows(tx, [restoring.restored_at(tx)] * len(items))


def _lapse(tx: Tx, items: Sequence[Fence]) -> Sequence[datetime | None]:
    if not items[0].check(tx, GROUP):
        return [None] * len(items)
    return notifying.lapse(tx, [None] * len(items))


class Timers:
    """Looks for what is due, for the one daemon that holds `timers`."""

    def __init__(self, store: Store, clock: Clock, fence: Fence) -> None:
        self._store = store
        self._clock = clock
        self._fence = fence
        self._swept: datetime | None = None
        self.pump = Pump("timers", self._step, clock, slow_poll=timedelta(seconds=5))

    def woken(self) -> None:
        """Look again: a timer, a window or a lapse may have been set."""
        self.pump.wake()

    async def _step(self) -> datetime | None:
        if not self._fence.holds(GROUP):
            return None
        timer = await self._store.write(fire, self._fence)
        window = await self._store.write(_sweep_windows, self._fence)
        lapse = await self._store.write(_lapse, self._fence)
        now = self._clock.now()
        if self._swept is None or not timedelta() <= now - self._swept < _SWEEP_EVERY:  # the clock may be set back
            self._swept = now
            await self._store.write(windows.sweep_unmatched, micros(now - _SWEEP_BACK))
        return min((m for m in (timer, window, lapse) if m is not None), default=None)
