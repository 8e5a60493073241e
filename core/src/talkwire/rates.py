"""How often we may send: GCRA, in memory, empty after a start and after a hand-over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from .model import Rate

_FORGET = 10_000  # keys kept before those that are free again are dropped


class Rates:
    """The rates of one account, kept by the daemon that sends for it."""

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._rates = tuple(rates)
        self.by_address = any(rate.key == "address" for rate in rates)
        self._free_at: dict[tuple[int, str], datetime] = {}  # theoretical arrival times
        self._forget_over = _FORGET

    def take(self, now: datetime, address: str) -> datetime | None:
        """Take one send to an address (its id); None: go, else not before that moment, and nothing was taken.

        A rate that has just begun allows its `burst` at once, then one every `per / count`.
        """
        moves, blocked = self._look(now, address)
        if blocked is None:
            self._free_at.update(moves)
            self._forget(now)
        return blocked

    def free_at(self, now: datetime, address: str) -> datetime | None:
        """Say when a send to an address (its id) may go; None: now. Nothing is taken."""
        return self._look(now, address)[1]

    def _look(self, now: datetime, address: str) -> tuple[list[tuple[tuple[int, str], datetime]], datetime | None]:
        moves: list[tuple[tuple[int, str], datetime]] = []
        blocked: datetime | None = None
        for number, rate in enumerate(self._rates):
            key = (number, address if rate.key == "address" else "")
            step = rate.per / rate.count
            free = max(self._free_at.get(key, now), now)
            allowed = free - step * (rate.burst - 1)
            if allowed > now:
                blocked = max(blocked or allowed, allowed)
            moves.append((key, free + step))
        return moves, blocked

    def account_free_at(self, now: datetime) -> datetime | None:
        """Say when the account may send again; None: now."""
        blocked: datetime | None = None
        for number, rate in enumerate(self._rates):
            if rate.key == "address":
                continue
            free = self._free_at.get((number, ""), now)
            allowed = free - rate.per / rate.count * (rate.burst - 1)
            if allowed > now:
                blocked = max(blocked or allowed, allowed)
        return blocked

    def set_back(self, by: timedelta) -> None:
        """Free what is not free yet as soon as it would have been, by a clock that was set back."""
        self._free_at = {key: at - by for key, at in self._free_at.items()}

    def _forget(self, now: datetime) -> None:
        if len(self._free_at) > self._forget_over:
            self._free_at = {key: at for key, at in self._free_at.items() if at > now}
            self._forget_over = max(_FORGET, 2 * len(self._free_at))  # strangers' addresses may all be busy


class Backoff:
    """How long an account waits after nothing left this machine: × 1.75, up to 600 s."""

    FIRST = timedelta(seconds=5)
    MOST = timedelta(seconds=600)

    def __init__(self) -> None:
        self._wait = timedelta()
        self.until: datetime | None = None  # None: it does not wait

    def fail(self, now: datetime) -> datetime:
        """Wait longer; give until when. Several that fail together are one failure."""
        if self.until is None or self.until <= now:
            self._wait = min(self.MOST, self._wait * 1.75) if self._wait else self.FIRST
            self.until = now + self._wait
        return self.until

    def pause(self, until: datetime) -> datetime:
        """Wait until the provider's own moment, without growing; give until when."""
        self.until = max(self.until or until, until)
        return self.until

    def set_back(self, by: timedelta) -> None:
        """Wait no longer than it would have, by a clock that was set back."""
        if self.until is not None:
            self.until -= by

    def reset(self) -> None:
        """Wait no more."""
        self._wait = timedelta()
        self.until = None
