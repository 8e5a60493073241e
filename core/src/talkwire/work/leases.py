"""The right of one daemon to a group of lanes, a reader or a listener; by the database's clock.

SQLite serves one daemon, which holds everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from ..clock import SystemClock
from ..ids import new_id
from ..store import Store, Tx
from .pump import Pump

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
# The share of the row keeps others from taking the lease until this transaction has ended.
_CHECK = f"""
    SELECT 1 FROM lease
    WHERE name = :name AND owner = :owner AND fence = :fence AND until > {_NOW} + :need FOR SHARE
"""
_OTHERS = f"SELECT count(*) FROM lease WHERE name = 'daemon:' || owner AND owner <> :owner AND until > {_NOW}"
_LIVING = f"SELECT owner FROM lease WHERE name = 'daemon:' || owner AND until > {_NOW}"
_SETTINGS = "SELECT value FROM meta WHERE name = 'settings'"
_PUT_SETTINGS = """
    INSERT INTO meta (name, value) VALUES ('settings', :hash)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_FORGET = f"DELETE FROM lease WHERE name = 'daemon:' || owner AND until < {_NOW} - 86400000000"  # a day, in µs
_GIVE_UP = "UPDATE lease SET until = 0 WHERE owner = :owner"


@dataclass(slots=True)
class _Held:
    fence: int
    until: float  # time.monotonic, counted from before the database was asked


class Leases:
    """What this daemon may serve."""

    def __init__(self, store: Store, *, term: timedelta = TERM, changed: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._term = term
        self._changed = changed
        self.owner = new_id()
        self._wanted: dict[str, timedelta] = {f"daemon:{self.owner}": term}
        self._held: dict[str, _Held] = {}
        self._told: frozenset[str] = frozenset()
        self._asking = asyncio.Lock()
        self.pump = Pump("leases", self._step, SystemClock())  # leases go by real time, whatever people's clock says

    def want(self, names: Iterable[str], send_timeout: timedelta = timedelta()) -> None:
        """Try to hold these from now on; the term is at least twice the time-out of a send."""
        term = max(self._term, 2 * send_timeout)
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

    def check(self, tx: Tx, name: str, need: timedelta = timedelta()) -> bool:
        """Say as the first thing in a transaction whether the fence is ours, and keep it so until the commit."""
        if self._store.is_sqlite:
            return True
        if (held := self._held.get(name)) is None:
            return False
        span = need // timedelta(microseconds=1)
        values = {"name": name, "owner": self.owner, "fence": held.fence, "need": span}
        if tx.one(_CHECK, values) is not None:
            return True
        self._held.pop(name, None)  # nothing more is begun until it is taken again
        return False

    def number(self, name: str) -> int:
        """Give a number that is another one whenever another daemon had this between; 0: nobody else can."""
        held = self._held.get(name)
        return held.fence if held is not None else 0

    async def same_settings(self, settings: str) -> bool:
        """Leave the hash of our settings; False: another daemon runs that has others."""
        return self._store.is_sqlite or await self._store.write(_compare, (self.owner, settings))

    async def living(self) -> frozenset[str]:
        """Name the daemons of this database that live now, and this one."""
        if self._store.is_sqlite:
            return frozenset({self.owner})
        rows = await self._store.read(lambda query: query.execute(_LIVING))
        return frozenset({self.owner, *(row[0] for row in rows)})

    async def take(self) -> None:
        """Take and renew now what is wanted."""
        await self._step()

    async def give_up(self) -> None:
        """Let others take what we hold, at once."""
        self._wanted.clear()
        async with self._asking:  # what is being taken now is given up too
            self._held.clear()
            if not self._store.is_sqlite:
                await self._store.write(_give_up, self.owner)

    async def _step(self) -> datetime | None:
        if self._store.is_sqlite or not self._wanted:
            return None
        async with self._asking:
            asked = monotonic()
            wanted = dict(self._wanted)
            fences = await self._store.write(_take, (self.owner, wanted))
            # A transaction may have found out between: what it let go is news whether it comes back or not.
            changed = not (self._told == fences.keys() == self._held.keys())
            self._told = frozenset(fences)
            self._held = {name: _Held(fence, asked + wanted[name].total_seconds()) for name, fence in fences.items()}
        if changed:
            self._changed()  # what was taken is begun, what was lost is ended
        return self.pump.clock.now() + min(wanted.values(), default=self._term) / 3


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


def _compare(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[bool]:
    results = []
    for owner, settings in items:
        tx.execute(_FORGET)
        others = tx.execute(_OTHERS, {"owner": owner})[0][0]
        row = tx.one(_SETTINGS)
        tx.execute(_PUT_SETTINGS, {"hash": settings})
        results.append(not others or row is None or row[0] == settings)
    return results


def _give_up(tx: Tx, owners: Sequence[str]) -> Sequence[None]:
    for owner in sorted(owners):
        tx.execute(_GIVE_UP, {"owner": owner})
    return [None] * len(owners)
