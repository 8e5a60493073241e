"""A machine's clock that was set back: what was to be done soon by the old time is done as soon by the new one.

Lanes, back-off and rates say when they go on as a moment. By a clock that is an hour slower, "in five seconds" would be
in an hour and five seconds. How a session stands is known since a moment, and nothing older is taken: that goes back
too. What was meant as a moment stays as it is: timers of plugins, windows for answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..clock import micros, moment
from ..store import Query, Tx
from . import lanes
from .lanes import Fence

NOTICED = timedelta(seconds=10)  # less is left as it is: nothing is later by more than that

_SINCE = "UPDATE account_state SET since = :now WHERE since > :now"  # a state is told once it has held
# Of a session nothing is taken that is older than what is known of it: the next change would be, for a while.
_AHEAD = "SELECT id, session_at FROM conversation WHERE session_at > :now ORDER BY id"
_NOT_AHEAD = "UPDATE conversation SET session_at = :at WHERE id = :id"
_LATER = "SELECT id, grp, due, failing_since FROM lane WHERE grp = :grp AND (due > :now OR failing_since > :now)"
_SOONER = "UPDATE lane SET due = :due, failing_since = :failing WHERE id = :id"
_LAST_FACT = "SELECT at FROM fact ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class SetBack:
    """By how much, and whose lanes are brought along with what all share."""

    by: timedelta
    groups: Sequence[str]
    fence: Fence


class Watch:
    """Looks at a clock again and again, and sees when it was set back."""

    def __init__(self, now: datetime, steady: float) -> None:
        self._now = now
        self._steady = steady  # seconds of a clock that nobody sets

    def look(self, now: datetime, steady: float) -> timedelta:
        """Say by how much the clock was set back since the last look; zero: it was not, or by too little."""
        lost = self._now + timedelta(seconds=steady - self._steady) - now
        self._now, self._steady = now, steady
        # Whoever stood still (a machine that was suspended) sees its clock ahead: that time has really passed.
        return lost if lost > NOTICED else timedelta()


def behind(query: Query) -> timedelta:
    """Say by how much the clock is behind what the log knows: it was set back while nobody ran here."""
    row = query.one(_LAST_FACT)
    lost = moment(row[0]) - query.now if row else timedelta()
    return lost if lost > NOTICED else timedelta()


def bring_along(tx: Tx, items: Sequence[SetBack]) -> Sequence[None]:
    """Let the lanes of some groups go on as soon as they would have, and let it be heard what sessions do now."""
    for item in items:
        held = lanes.ours(tx, item.fence, item.groups)
        by = micros(moment(0) + item.by)
        ahead = tx.locked(_AHEAD, {"now": tx.now_us})
        tx.many(_NOT_AHEAD, [{"id": id_, "at": min(at - by, tx.now_us)} for id_, at in ahead])
        tx.execute(_SINCE, {"now": tx.now_us})
        rows = [row for grp in sorted(held) for row in tx.execute(_LATER, {"grp": grp, "now": tx.now_us})]
        lanes.lock(tx, [row[0] for row in rows])
        for id_, _, due, failing in rows:
            sooner = [at - by if at is not None and at > tx.now_us else at for at in (due, failing)]
            tx.execute(_SOONER, {"id": id_, "due": sooner[0], "failing": sooner[1]})
        tx.tell("clock.set_back", small={"seconds": round(item.by.total_seconds())})
        tx.hint("lanes")
    return [None] * len(items)
