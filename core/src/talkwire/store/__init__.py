"""The store: plain functions run in transactions, many of them in one commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from ..clock import Clock
from ..errors import Conflict, StoreDown
from . import revisions
from .jobs import Job, Waiter, hand_out
from .reading import Reading
from .sqlite import DaemonLock, Place, Scrubbed, SqliteDriver, path_of, scrub, there
from .tx import Act, Driver, Query, Row, Tx
from .writer import Fn, Holder, Inbox, Writer, goes_first

T = TypeVar("T")
R = TypeVar("R")

_POSTGRES_WRITERS = 3
LOCK_WITHIN = timedelta(seconds=4)  # that another session may let us wait; less than a writer may be held
ANSWER_WITHIN = timedelta(seconds=10)  # of a statement; a server that is silent for longer is down


class Store:
    """One database, for one daemon or one command."""

    def __init__(self, url: str, clock: Clock, *, synchronous: str = "full") -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite:")
        self._clock = clock
        self._synchronous = synchronous
        self._inbox = Inbox()
        self._writers: list[Writer] = []
        self._reading = Reading(lambda: self._connect(read_only=True), clock)
        self._writes: list[tuple[Fn, Job]] = []  # what was brought in this turn of the loop
        self._lock: DaemonLock | None = None
        self._place: Place | None = None
        self.settle: Callable[[Tx], None] = _no_actions  # the daemon says how actions are stored
        self.committed: list[Callable[[int, set[str]], None]] = []  # called on the loop: new facts, hints
        self._closed = False
        self._looking: asyncio.TimerHandle | None = None
        self.answer_within = ANSWER_WITHIN
        self.lock_within = LOCK_WITHIN
        self.waiting = 0  # writes that wait for their commit

    async def open(self, *, exclusive: bool = False) -> None:
        """Connect and begin to write; `exclusive` takes the daemon's lock of an SQLite file.

        Errors: `StoreDown`, `SchemaError`, `Conflict` where another daemon has the file, or it is retired.
        """
        if exclusive and self.is_sqlite:
            self._lock = DaemonLock(there(path_of(self.url)))
            self._place = Place(path_of(self.url))
        self._look()
        try:
            await self.read(_check_schema)
            await self.read(_check_retired)
        except BaseException:
            await self.close()
            raise
        count = 1 if self.is_sqlite else _POSTGRES_WRITERS
        for number in range(count):
            writer = Writer(
                f"store-write-{number}",
                self._inbox,
                self._connect,
                self._clock,
                # On PostgreSQL each COMMIT takes one function's group: two functions in one
                # transaction would take locks in an order that another writer turns round.
                everything=self.is_sqlite,
                settle=lambda tx: self.settle(tx),  # noqa: PLW0108  it is set after this
                handed_out=self._handed_out,
                committed=self._after_commit,
            )
            writer.start()
            self._writers.append(writer)

    async def close(self, patience: timedelta = timedelta(seconds=30)) -> None:
        """Write what waits, then close every connection; a writer that hangs longer is left behind."""
        self._closed = True
        self._inbox.close()
        for writer in self._writers:
            await asyncio.to_thread(writer.join, patience.total_seconds())
        await self._reading.close()
        if self._looking is not None:
            self._looking.cancel()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def write(self, fn: Callable[[Tx, Sequence[T]], Sequence[R]], item: T) -> R:
        """Give `item` to `fn`, with all others that wait for it, and return its result once it is
        committed.

        `fn(tx, items)` runs in a writer thread, returns one result an item in their order, waits
        for nothing, and has no effect but through `tx`. Errors: what `fn` raised for this item
        alone; `StoreDown`.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.put(fn, item, future)
        return await future

    def put(self, fn: Callable[[Tx, Sequence[T]], Sequence[R]], item: T, waiter: Waiter) -> None:
        """Do as `write`; the result, or the error, is given to `waiter` on the loop."""
        if not self._writes:
            asyncio.get_running_loop().call_soon(self._write_now)
        self._writes.append((fn, Job(item, waiter)))
        self.waiting += 1

    def _write_now(self) -> None:
        """Give the writers all that was brought in this turn of the loop: it shares a commit, and wakes them once."""
        writes, self._writes = self._writes, []
        try:
            self._inbox.put(writes)
        except StoreDown as error:  # it was closed in this same turn
            self.waiting -= len(writes)
            hand_out([(job, None, error) for _, job in writes])

    async def read(self, fn: Callable[[Query], T]) -> T:
        """Run `fn` in a reader thread on a connection that cannot write. Errors: `StoreDown`."""
        if self._closed:
            raise StoreDown("the store is closed")
        return await self._reading.read(fn)

    async def scrub(self, *, rewrite: bool | None = None) -> Scrubbed:
        """Clear what was deleted out of the database's own files.

        On SQLite the file is rewritten where it is small, or where `rewrite` says so; on PostgreSQL every table is
        vacuumed.
        """
        if self.is_sqlite:
            return await asyncio.to_thread(scrub, path_of(self.url), rewrite)
        from .postgres import vacuum

        try:
            await asyncio.to_thread(vacuum, self.url)
        except StoreDown:
            return Scrubbed.UNFINISHED
        return Scrubbed.CLEAN

    @property
    def reading(self) -> int:
        """Count the reads that are under way."""
        return self._reading.under_way

    @property
    def holders(self) -> list[Holder]:
        """Name who has a writer now, or that the database says nothing."""
        held = [writer.holder for writer in self._writers if writer.holder is not None]
        since = self._inbox.mute_since
        return held if since is None else [*held, Holder("a mute database", since)]

    @property
    def down(self) -> str:
        """Say why nothing can be written now; empty: the last write was committed."""
        return self._inbox.down

    @property
    def alive(self) -> bool:
        """Say whether every writer thread runs."""
        return bool(self._writers) and all(writer.is_alive() for writer in self._writers)

    @property
    def commits(self) -> int:
        """Count the commits since the start."""
        return sum(writer.commits for writer in self._writers)

    @property
    def items(self) -> int:
        """Count what those commits held."""
        return sum(writer.items for writer in self._writers)

    @property
    def busy(self) -> float:
        """Count the seconds in which writers had a transaction open."""
        return sum(writer.busy for writer in self._writers)

    @property
    def told(self) -> Counter[tuple[str, str, str]]:
        """Count the facts that were told since the start: by type, account, and state or code where that is theirs."""
        return sum((writer.told.copy() for writer in self._writers), Counter())

    def _look(self) -> None:
        """Cut connections whose server says nothing, again and again; SQLite has no such."""
        if self.is_sqlite:
            return
        seconds = self.answer_within.total_seconds()
        for driver in [*self._reading.connections, *(writer.driver for writer in self._writers)]:
            if driver is not None:
                driver.cut_if_mute(seconds)
        self._looking = asyncio.get_running_loop().call_later(min(1.0, seconds / 3), self._look)

    def _handed_out(self, jobs: int) -> None:
        self.waiting -= jobs

    def _after_commit(self, facts: int, hints: set[str]) -> None:
        for call in self.committed:
            call(facts, hints)

    def _connect(self, *, read_only: bool = False) -> Driver:
        if self.is_sqlite:
            place, path = self._place, path_of(self.url)
            return SqliteDriver(path, synchronous=self._synchronous, read_only=read_only, place=place)
        from .postgres import PostgresDriver

        return PostgresDriver(self.url, read_only=read_only, lock_within=self.lock_within)


def _no_actions(_: Tx) -> None:
    raise RuntimeError("nobody here can carry out actions")


def _check_schema(query: Query) -> None:
    revisions.check(query, [revisions.CORE])


_RETIRED = "SELECT value FROM meta WHERE name = 'retired'"


def _check_retired(query: Query) -> None:
    """Let nobody go on with a database that was copied to another place: there would be two truths."""
    row = query.one(_RETIRED)
    if row is not None:
        raise Conflict(
            f"this database is retired: it was copied to {row[0]}.\n"
            "  Name that one as url in [store]. To go on with this one all the same: talkwire db reopen",
            code="retired",
        )


__all__ = ["Act", "Query", "Row", "Scrubbed", "Store", "Tx", "Waiter", "goes_first"]
