"""Threads that read: what is asked for in one turn of the loop has one of them, for to wake it costs as much as a read."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..clock import Clock
from ..errors import StoreDown
from .jobs import Done, Job, hand_out
from .tx import Driver, Query

T = TypeVar("T")

_THREADS = 4
_TOGETHER = 0.005  # seconds that reads of one turn wait for each other


class Reading:
    """Reads on connections that cannot write, one a thread."""

    def __init__(self, connect: Callable[[], Driver], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-read")
        self._local = threading.local()
        self._waiting: deque[Job] = deque()
        self._done: deque[Done] = deque()  # and not handed out yet
        self._asked = False  # a thread is woken when this turn of the loop ends
        self._late: asyncio.TimerHandle | None = None
        self.connections: list[Driver] = []
        self.under_way = 0

    async def read(self, fn: Callable[[Query], T]) -> T:
        """Run `fn` in a thread. Errors: what it raises; `StoreDown`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append(Job(fn, future))
        if not self._asked:
            self._asked = True
            loop.call_soon(self._begin, loop)
        self.under_way += 1
        try:
            return await future
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """Do what waits, and close the connections; nothing is read any more."""
        await asyncio.to_thread(self._threads.shutdown)
        self._hand_out()
        self._give_up()
        if self._late is not None:
            self._late.cancel()
        for driver in self.connections:
            driver.close()

    # --- on the loop ---

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake a thread for all that waits."""
        self._asked = False
        try:
            self._threads.submit(self._read_all, loop)
        except RuntimeError:  # it was closed meanwhile
            self._give_up()
            return
        if self._late is None:
            self._late = loop.call_later(_TOGETHER, self._go_on, loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let nobody wait for a slow read of the same turn: hand out what is done, wake another thread for the rest."""
        self._late = None
        self._hand_out()
        if self._waiting:
            self._begin(loop)

    def _hand_out(self) -> None:
        hand_out([self._done.popleft() for _ in range(len(self._done))])

    def _give_up(self) -> None:
        """Tell those whose read nobody will do any more."""
        closed = StoreDown("the store is closed")
        hand_out([(self._waiting.popleft(), None, closed) for _ in range(len(self._waiting))])

    # --- in a thread ---

    def _read_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do the reads that wait, one after the other, each on its own, and hand them out together."""
        for _ in range(len(self._waiting)):
            try:
                job = self._waiting.popleft()
            except IndexError:  # another thread has the rest
                break
            self._done.append((job, *self._read(job.item)))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._hand_out)

    def _read(self, fn: Callable[[Query], Any]) -> tuple[Any, BaseException | None]:
        try:
            driver = self._begun()
            try:
                try:
                    return fn(Query(driver, self._clock.now())), None
                finally:
                    driver.rollback()
            except StoreDown:
                self._forget(driver)
                raise
        except BaseException as error:  # noqa: BLE001  it reaches its caller
            return None, error

    def _begun(self) -> Driver:
        """Give this thread's connection with a transaction begun; one that was lost meanwhile is made again."""
        driver: Driver | None = getattr(self._local, "driver", None)
        if driver is not None:
            with contextlib.suppress(StoreDown):
                driver.begin()
                return driver
            self._forget(driver)
        driver = self._local.driver = self._connect()
        self.connections.append(driver)
        driver.begin()
        return driver

    def _forget(self, driver: Driver) -> None:
        self._local.driver = None
        self.connections.remove(driver)
        driver.close()
