"""Service hours: `mon-fri 08:00-17:00`, in the account's time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? ([0-9]{2}:[0-9]{2})-([0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True)
class _Span:
    days: frozenset[int]  # 0 is Monday
    begin: time
    end: time  # exclusive; 00:00: until midnight

    def holds(self, at: datetime) -> bool:
        clock = at.time()
        return at.weekday() in self.days and self.begin <= clock and (self.end == time() or clock < self.end)


@dataclass(frozen=True, slots=True)
class Hours:
    """When somebody is there."""

    spans: tuple[_Span, ...]  # empty: always
    zone: ZoneInfo

    @classmethod
    def read(cls, lines: tuple[str, ...], zone: str) -> Hours:
        """Read lines of days and times. Errors: `ValueError`, saying what to write."""
        return cls(tuple(_span(line) for line in lines), ZoneInfo(zone))

    def open_at(self, moment: datetime) -> bool:
        """Say whether somebody is there at an aware moment."""
        at = moment.astimezone(self.zone)
        return not self.spans or any(span.holds(at) for span in self.spans)


def _span(line: str) -> _Span:
    match = _SPAN.fullmatch(" ".join(line.lower().split()))
    try:
        if match is None:
            raise ValueError
        first, last = _DAYS.index(match[1]), _DAYS.index(match[2] or match[1])
        days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
        span = _Span(days, time.fromisoformat(match[3]), time.fromisoformat(match[4]))
    except ValueError:
        raise ValueError(f"{line!r} cannot be read; write mon-fri 08:00-17:00") from None
    if span.end != time() and span.end <= span.begin:
        raise ValueError(f"{line!r} ends before it begins; over midnight it is two lines, until 00:00 and from 00:00")
    return span
