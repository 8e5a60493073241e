"""A loop that works until there is nothing to do, then rests until it is woken or something is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta

import structlog

from ..clock import Clock
from ..errors import StoreDown, trail_of

_log = structlog.get_logger("talkwire.pump")


class Pump:
    """Repeats a step: the step returns when it wants to be called next, None for "when woken"."""

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[datetime | None]],
        clock: Clock,
        *,
        slow_poll: timedelta | None = None,  # wake-ups get lost between daemons; None: they cannot
    ) -> None:
        self.name = name
        self._step = step
        self.clock = clock
        self._slow_poll = slow_poll
        self._woken = asyncio.Event()
        self._woken.set()
        self.resting = False
        self.next_due: datetime | None = None
        self.tasks: asyncio.TaskGroup  # set when it runs: what a step starts lives here

    def wake(self) -> None:
        """Let the step run again soon."""
        self._woken.set()

    @property
    def idle(self) -> bool:
        """Say whether it rests and nothing has woken it."""
        return self.resting and not self._woken.is_set()

    async def run(self) -> None:
        """Work until cancelled; a step that fails is tried again after a second."""
        async with asyncio.TaskGroup() as self.tasks:
            while True:
                self._woken.clear()
                self.next_due = await self._try()
                until = self.next_due
                if self._slow_poll is not None:
                    slow = self.clock.now() + self._slow_poll
                    until = min(until, slow) if until else slow
                self.resting = True
                await self.clock.wait(self._woken, until)
                self.resting = False

    async def _try(self) -> datetime | None:
        try:
            return await self._step()
        except StoreDown as error:
            _log.warning("store down", loop=self.name, error=str(error))
        except Exception as error:  # noqa: BLE001  one bad step stops nobody; it is told and tried again
            _log.error("step failed", loop=self.name, kind=type(error).__name__, trail=trail_of(error))
        return self.clock.now() + timedelta(seconds=1)


class Pumps:
    """Loops by name, that may come and go while they run."""

    def __init__(self) -> None:
        self._pumps: dict[str, Pump] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None  # None: none of them runs yet

    def __iter__(self) -> Iterator[Pump]:
        return iter(self._pumps.values())

    def __contains__(self, name: str) -> bool:
        return name in self._pumps

    def __getitem__(self, name: str) -> Pump:
        return self._pumps[name]

    @property
    def names(self) -> tuple[str, ...]:
        """Name them."""
        return tuple(self._pumps)

    def add(self, name: str, pump: Pump) -> None:
        """Let a loop run from now on, or from the start of all."""
        self._pumps[name] = pump
        if self._group is not None:
            self._tasks[name] = self._group.create_task(pump.run())

    async def end(self, name: str) -> None:
        """Let a loop run no longer, with all that it started; nothing where there is none."""
        self._pumps.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def run(self) -> None:
        """Run all of them until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self._tasks = {name: self._group.create_task(pump.run()) for name, pump in self._pumps.items()}
            await asyncio.Event().wait()
