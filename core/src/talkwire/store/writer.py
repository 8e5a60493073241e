"""Threads that take all writes that wait, commit them together, and hand each its own result.

One COMMIT takes a group per function. A group that raises is rolled back and its items run alone,
so that an error reaches only its caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..clock import Clock
from ..errors import StoreDown
from .jobs import Done, Job, hand_out
from .tx import Driver, Tx

Fn = Callable[[Tx, Sequence[Any]], Sequence[Any]]
_MOST = 256  # items of one function in one COMMIT; more would let the first of them wait
_RUNS = 5  # of a transaction that has to give way


class RunAgain(Exception):
    """The database chose this transaction to give way (40P01, 40001)."""


class Mute(StoreDown):
    """The database was asked and says nothing: neither that it is there, nor that it is not."""


@dataclass(slots=True, frozen=True)
class Holder:
    """Who has the writer now."""

    what: str
    since: float  # time.monotonic


class Inbox:
    """Jobs by function, in the order in which they came; intake goes first."""

    def __init__(self) -> None:
        self._jobs: dict[Fn, list[Job]] = {}
        self._written: set[Fn] = set()  # of those that go first: which a writer has now
        self._change = threading.Condition()
        self._closed = False
        self.down = ""  # why the last COMMIT failed; empty: it did not
        self.mute_since: float | None = None  # time.monotonic of what was never answered; an answer ends it

    def put(self, jobs: Sequence[tuple[Fn, Job]]) -> None:
        """Add jobs and wake writers. Errors: `StoreDown` where it is closed."""
        with self._change:
            if self._closed:
                raise StoreDown("the store is closed")
            new = 0
            for fn, job in jobs:
                if (waiting := self._jobs.get(fn)) is None:
                    self._jobs[fn] = [job]
                    new += 1
                else:
                    waiting.append(job)
            if new:
                self._change.notify(new)

    def take(self, *, everything: bool) -> list[tuple[Fn, list[Job]]]:
        """Wait for jobs, then take all of them, or those of the function that waits longest; empty: closed."""
        with self._change:
            # What goes first is one writer's at a time: what comes meanwhile shares the next COMMIT, instead of
            # making small ones side by side, which cost more and wait for each other's conversations.
            while not (order := [fn for fn in self._jobs if fn not in self._written]):
                if self._closed and not self._jobs:
                    return []
                self._change.wait()
            if everything:
                order.sort(key=lambda fn: not _is_first(fn))
            taken = [(fn, self._part(fn)) for fn in (order if everything else order[:1])]
            self._written.update(fn for fn, _ in taken if _is_first(fn))
            if self._jobs:
                self._change.notify()
            return taken

    def wrote(self, groups: list[tuple[Fn, list[Job]]]) -> None:
        """Let the next writer have what this one took."""
        with self._change:
            self._written.difference_update(fn for fn, _ in groups)
            self._change.notify_all()

    def _part(self, fn: Fn) -> list[Job]:
        jobs = self._jobs.pop(fn)
        if len(jobs) > _MOST:
            self._jobs[fn] = jobs[_MOST:]
        return jobs[:_MOST]

    def close(self) -> None:
        """Take no more; writers end when nothing waits."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def __bool__(self) -> bool:
        return bool(self._jobs)


def _is_first(fn: Fn) -> bool:
    return getattr(fn, "goes_first", False)


def goes_first(fn: Fn) -> Fn:
    """Mark a function whose group is written before all others of a COMMIT, and by one writer at a time."""
    fn.goes_first = True  # type: ignore[attr-defined]
    return fn


class Writer(threading.Thread):
    """One connection that writes."""

    def __init__(
        self,
        name: str,
        inbox: Inbox,
        connect: Callable[[], Driver],
        clock: Clock,
        *,
        everything: bool,  # one COMMIT takes the groups of all functions
        settle: Callable[[Tx], None],  # stores the collected actions of a group
        handed_out: Callable[[int], None],  # called on the loop: number of jobs that are done, or failed
        committed: Callable[[int, set[str]], None],  # called on the loop: number of new facts, hints
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._inbox = inbox
        self._connect = connect
        self._clock = clock
        self._everything = everything
        self._settle = settle
        self._handed_out = handed_out
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self.driver: Driver | None = None
        self.holder: Holder | None = None
        self.commits = 0
        self.items = 0  # in them
        self.busy = 0.0  # seconds with a transaction open
        self.told: Counter[tuple[str, str, str]] = Counter()  # facts by type, account, and what they are counted by

    def run(self) -> None:
        """Write until the inbox is closed."""
        while groups := self._inbox.take(everything=self._everything):
            self._write(groups)
            self.holder = None
            self._inbox.wrote(groups)
            del groups  # nothing of a finished batch is kept alive while waiting
        if self.driver is not None:
            self.driver.close()

    def _write(self, groups: list[tuple[Fn, list[Job]]]) -> None:
        done: list[Done] = []
        tx: Tx | None = None
        facts, began = 0, time.monotonic()
        self.holder = Holder("the beginning of a transaction", began)
        if self._inbox.mute_since is not None:
            self._drop_connection()  # it may be as mute as the other that was cut
        try:
            tx, done, facts = self._commit_in_the_end(self._begun(), groups)
            self.commits += 1
            self.items += len(done)
            self.told.update(tx.told)
            self._inbox.mute_since = None
            self._inbox.down = ""
        except BaseException as error:  # noqa: BLE001  every caller hears of it; the thread lives on
            self._drop_connection()
            since = self._inbox.mute_since
            self._inbox.mute_since = (began if since is None else since) if isinstance(error, Mute) else None
            down = error if isinstance(error, StoreDown) else _down(error)
            self._inbox.down = str(down)
            done = [(job, None, down) for _, jobs in groups for job in jobs]
            tx = None
        self.busy += time.monotonic() - began
        wakes = list(tx.wakes) if tx else []
        hints = tx.hints if tx else set()
        try:
            self._loop.call_soon_threadsafe(self._hand_out, done, wakes, facts, hints)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _commit_in_the_end(self, driver: Driver, groups: list[tuple[Fn, list[Job]]]) -> tuple[Tx, list[Done], int]:
        """Run a transaction again that the database gave up for another's sake; it may give it up again."""
        for _ in range(_RUNS - 1):
            with contextlib.suppress(RunAgain):
                return self._commit(driver, groups)
            driver.begin()
        return self._commit(driver, groups)

    def _commit(self, driver: Driver, groups: list[tuple[Fn, list[Job]]]) -> tuple[Tx, list[Done], int]:
        tx = Tx(driver, self._clock.now())
        try:
            done: list[Done] = []
            guarded = len(groups) > 1
            for fn, jobs in groups:
                done += self._group(tx, driver, fn, jobs, guarded=guarded)
            tx.number_facts()
            driver.commit()
        except BaseException:
            driver.rollback()
            raise
        return tx, done, tx.facts

    def _group(self, tx: Tx, driver: Driver, fn: Fn, jobs: list[Job], *, guarded: bool) -> list[Done]:
        self.holder = Holder(getattr(fn, "__qualname__", str(fn)), time.monotonic())
        mark = tx.mark()
        if guarded:
            driver.savepoint()
        try:
            results = self._call(tx, fn, jobs)
            # What was said and not waited for is waited for here: its errors are this group's.
            if guarded:
                driver.release()
            elif not tx.number_facts():
                driver.settle()
        except (StoreDown, RunAgain):
            raise
        except Exception as error:  # noqa: BLE001  it reaches its caller
            tx.back_to(mark)
            if guarded:
                driver.rollback_to()
            else:
                driver.rollback()
                driver.begin()
            if len(jobs) == 1:
                return [(jobs[0], None, error)]
            return [one for job in jobs for one in self._group(tx, driver, fn, [job], guarded=True)]
        return [(job, result, None) for job, result in zip(jobs, results, strict=True)]

    def _call(self, tx: Tx, fn: Fn, jobs: list[Job]) -> Sequence[Any]:
        tx.asker = tx.ref = ""
        results = fn(tx, [job.item for job in jobs])
        if len(results) != len(jobs):
            raise TypeError(f"{fn!r} gave {len(results)} results for {len(jobs)} items")
        if tx.acts:
            self._settle(tx)
        tx.finish()
        return results

    def _begun(self) -> Driver:
        """Give the connection with a transaction begun; one that was lost meanwhile is made again."""
        if self.driver is not None:
            try:
                self.driver.begin()
            except Mute:
                raise  # who waits for this has waited long enough
            except StoreDown:
                self._drop_connection()
            else:
                return self.driver
        driver = self.driver = self._connect()
        driver.begin()
        return driver

    def _drop_connection(self) -> None:
        if self.driver is not None:
            driver, self.driver = self.driver, None
            driver.close()

    def _hand_out(
        self,
        done: list[Done],
        wakes: list[Callable[[], None]],
        facts: int,
        hints: set[str],
    ) -> None:
        self._handed_out(len(done))
        hand_out(done)
        for wake in wakes:
            wake()
        self._committed(facts, hints)


def _down(error: BaseException) -> StoreDown:
    down = StoreDown(f"the database does not answer: {error}")
    down.__cause__ = error
    return down
