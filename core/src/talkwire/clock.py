"""The clock that everything people mean is read from: due, windows, timers, back-off, purge.

Leases go by the database's clock instead, which nobody turns.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the time, and waits by it."""

    def now(self) -> datetime:
        """Give the present moment, aware, UTC."""
        ...

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Wait for an event, or until a moment; None waits for the event alone."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Give the present moment."""
        return datetime.now(UTC)

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Wait for an event, or until a moment."""
        if until is None:
            await event.wait()
            return
        seconds = (until - self.now()).total_seconds()
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return


def micros(moment: datetime) -> int:
    """Turn an aware moment into microseconds since 1970-01-01 UTC, as the tables hold it."""
    return (moment - EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Turn microseconds since 1970-01-01 UTC into an aware moment."""
    return EPOCH + timedelta(0, 0, value)
