"""The log, followed by whoever is on this daemon: without a row, a lease, or a promise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

from .. import readmodels
from ..clock import Clock
from ..model import Fact
from ..store import Store

_LOOK_AGAIN = timedelta(seconds=5)  # a hint that there is more may be lost


class Tail:
    """Lets anybody on this daemon follow the log without a row or a lease."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._more = asyncio.Event()
        self.closed = False

    def woken(self) -> None:
        """Say that there may be more."""
        self._more.set()
        self._more = asyncio.Event()

    def close(self) -> None:
        """End every `follow`."""
        self.closed = True
        self.woken()

    @property
    def more(self) -> asyncio.Event:
        """Give the event of the next news; take it before looking at the log, so that nothing is missed."""
        return self._more

    async def follow(self, after: int | None = None, types: Sequence[str] = ()) -> AsyncIterator[Fact]:
        """Give facts as they happen, after a cursor (None: from now on). Errors: `HistoryGone`."""
        last = await self._store.read(readmodels.head) if after is None else after
        while not self.closed:
            more = self._more
            found = await self._store.read(lambda query, last=last: readmodels.facts(query, last, types=types))  # type: ignore[misc]
            for fact in found.items:
                yield fact
            last = found.next
            if last == found.head:
                await self._clock.wait(more, self._clock.now() + _LOOK_AGAIN)
