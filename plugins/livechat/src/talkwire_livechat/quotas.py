"""How much somebody may do: so many in so long a time, then no more until some of it is over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta

_KNOWN = 20_000  # whom a quota remembers; the one that did nothing for the longest time is forgotten first


class Quota:
    """Counts by GCRA: one moment a key, whatever the count."""

    def __init__(self, count: int, per: timedelta) -> None:
        self._step = per / count
        self._per = per
        self._free_at: OrderedDict[Hashable, datetime] = OrderedDict()  # who did something last stands last

    def __len__(self) -> int:
        return len(self._free_at)

    def take(self, key: Hashable, now: datetime) -> timedelta:
        """Take one; gives zero, or how long to wait, nothing being taken then."""
        free_at = max(self._free_at.get(key, now), now)
        wait = free_at + self._step - self._per - now
        if wait > timedelta():
            return wait
        self._free_at[key] = free_at + self._step
        self._free_at.move_to_end(key)
        while len(self._free_at) > _KNOWN or next(iter(self._free_at.values())) <= now:
            self._free_at.popitem(last=False)  # whoever may do everything again need not be known
        return timedelta()
