"""The right of one daemon to a group of lanes, a reader or a listener; by the database's clock.

SQLite serves one daemon, which holds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from .clock import Clock
from .ids import new_id
from .pump import Pump
from .store import Store, Tx

TERM = timedelta(seconds=30)

# The only SQL of ours that asks the database for the time: leases go by the one clock all daemons share.
_NOW = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
_TAKE = f"""
    INSERT INTO lease (name, owner, fence, until) VALUES (:name, :owner, 1, {_NOW} + :term)
    ON CONFLICT (name) DO UPDATE SET
        fence = CASE WHEN lease.owner = excluded.owner THEN lease.fence ELSE lease.fence + 1 END,
        owner = excluded.owner, until = excluded.until
    WHERE lease.owner = excluded.owner OR lease.until < {_NOW}
    RETURNING fence
"""
_CHECK = f"SELECT 1 FROM lease WHERE name = :name AND owner = :owner AND fence = :fence AND until > {_NOW}"
_GIVE_UP = "UPDATE lease SET until = 0 WHERE owner = :owner"


@dataclass(slots=True)
class _Held:
    fence: int
    until: float  # time.monotonic, counted from before the database was asked


class Leases:
    """What this daemon may serve."""

    def __init__(self, store: Store, clock: Clock, *, changed: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._changed = changed
        self.owner = new_id()
        self._wanted: dict[str, timedelta] = {}
        self._held: dict[str, _Held] = {}
        self.pump = Pump("leases", self._step, clock)

    def want(self, names: Iterable[str], send_timeout: timedelta = timedelta()) -> None:
        """Try to hold these from now on; the term is at least twice the time-out of a send."""
        term = max(TERM, 2 * send_timeout)
        self._wanted.update(dict.fromkeys(names, term))
        self.pump.wake()

    def drop(self, name: str) -> None:
        """Hold this no longer."""
        self._wanted.pop(name, None)
        self._held.pop(name, None)

    def holds(self, name: str, need: timedelta = timedelta()) -> bool:
        """Say whether something may be begun that takes as long as `need`."""
        if self._store.is_sqlite:
            return True
        held = self._held.get(name)
        return held is not None and held.until - monotonic() > need.total_seconds()

    def check(self, tx: Tx, name: str) -> bool:
        """Say inside a transaction whether the fence is still ours."""
        if self._store.is_sqlite:
            return True
        held = self._held.get(name)
        values = {"name": name, "owner": self.owner, "fence": held.fence if held else -1}
        return held is not None and tx.one(_CHECK, values) is not None

    async def take(self) -> None:
        """Take and renew now what is wanted."""
        await self._step()

    async def give_up(self) -> None:
        """Let others take what we hold, at once."""
        self._wanted.clear()
        self._held.clear()
        if not self._store.is_sqlite:
            await self._store.write(_give_up, self.owner)

    async def _step(self) -> datetime | None:
        if self._store.is_sqlite or not self._wanted:
            return None
        asked = monotonic()
        wanted = dict(self._wanted)
        fences = await self._store.write(_take, (self.owner, wanted))
        before = set(self._held)
        self._held = {
            name: _Held(fence, asked + wanted[name].total_seconds()) for name, fence in fences.items()
        }
        if set(self._held) - before:
            self._changed()
        return self.pump.clock.now() + min(wanted.values()) / 3


def _take(tx: Tx, items: Sequence[tuple[str, dict[str, timedelta]]]) -> Sequence[dict[str, int]]:
    results = []
    for owner, wanted in items:
        fences: dict[str, int] = {}
        for name, term in sorted(wanted.items()):
            values = {"name": name, "owner": owner, "term": term // timedelta(microseconds=1)}
            if row := tx.one(_TAKE, values):
                fences[name] = row[0]
        results.append(fences)
    return results


def _give_up(tx: Tx, owners: Sequence[str]) -> Sequence[None]:
    for owner in sorted(owners):
        tx.execute(_GIVE_UP, {"owner": owner})
    return [None] * len(owners)
