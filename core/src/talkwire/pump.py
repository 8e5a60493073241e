"""A loop that works until there is nothing to do, then rests until it is woken or something is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from .clock import Clock
from .errors import StoreDown

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
            _log.error("step failed", loop=self.name, kind=type(error).__name__, exc_info=error)
        return self.clock.now() + timedelta(seconds=1)
