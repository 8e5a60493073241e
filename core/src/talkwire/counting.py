"""Plain numbers that the daemon counts while it works, for `/metrics`: an addition each, no lock, no library."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # a stranger may invent others
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Times:
    """How long something took, by size."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0  # seconds

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def buckets(self) -> list[tuple[str, int]]:
        """Give (upper bound, how many took no longer), as Prometheus has them."""
        so_far, found = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found


@dataclass(slots=True)
class AccountCounts:
    """Of one account, on this daemon, since it started."""

    taken: int = 0  # envelopes that were genuine
    rejected: int = 0  # envelopes that were not
    attempts: Counter[str] = field(default_factory=Counter)  # outcome → how many
    send: Times = field(default_factory=Times)


class Requests:
    """Requests that were answered, by method, route template and status."""

    def __init__(self) -> None:
        self.times: dict[tuple[str, str, int], Times] = {}

    def add(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one more."""
        key = (method if method in METHODS else "other", route, status)
        times = self.times.get(key)
        if times is None:
            times = self.times[key] = Times()
        times.add(seconds)
