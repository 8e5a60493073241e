"""Quiet hours: when a recipient is not to be disturbed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of each day, by the clock on a wall; they may go over midnight."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Quiet | None:
        """Read `22:00-07:00`; empty: there are none. Errors: `ValueError`."""
        if not text:
            return None
        found = _HOURS.fullmatch(text.strip())
        if found is None:
            raise ValueError("these are no hours such as 22:00-07:00")
        begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
        if begin == end:
            raise ValueError("they end when they begin")
        return cls(begin, end)

    def until(self, now: datetime, zone: str) -> datetime | None:
        """Give when the quiet that holds now is over, UTC; None: it is not quiet.

        Where clocks are put forward over the end, it is over with the hour that follows.
        """
        local = now.astimezone(ZoneInfo(zone))
        clock = local.time().replace(second=0, microsecond=0)
        over_midnight = self.begin > self.end
        if not (over_midnight ^ (min(self.begin, self.end) <= clock < max(self.begin, self.end))):
            return None
        day = local.date() + timedelta(days=int(over_midnight and clock >= self.begin))
        over = datetime.combine(day, self.end, ZoneInfo(zone)).astimezone(UTC)
        if over <= now:  # the end comes twice where clocks are put back
            over = datetime.combine(day, self.end.replace(fold=1), ZoneInfo(zone)).astimezone(UTC)
        return max(over, now + timedelta(seconds=1))
