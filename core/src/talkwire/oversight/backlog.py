"""How much waits in lanes, and since when, by group."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..clock import moment
from ..store import Query

# Counted lane by lane from the index of tasks alone, then joined: a join of every task costs five times as much.
# The first task of a group is its oldest, for numbers are given in order.
_BY_GROUP = """
    SELECT g.grp, g.held, g.tasks, g.lanes, t.created_at FROM (
        SELECT l.grp, CASE WHEN l.held = '' THEN 0 ELSE 1 END AS held, CAST(sum(w.tasks) AS BIGINT) AS tasks,
               count(*) AS lanes, min(w.first) AS first
        FROM (SELECT lane_id, count(*) AS tasks, min(id) AS first FROM task GROUP BY lane_id) w
        JOIN lane l ON l.id = w.lane_id GROUP BY l.grp, CASE WHEN l.held = '' THEN 0 ELSE 1 END
    ) g JOIN task t ON t.id = g.first ORDER BY g.grp, g.held
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits in the lanes of one group that are held, or in those that are not."""

    group: str
    held: bool  # these lanes wait to be woken
    tasks: int
    lanes: int
    since: datetime  # when the oldest task was put there


def backlogs(query: Query) -> list[Backlog]:
    """Give what waits, at most two a group; a group in which nothing waits has none."""
    return [
        Backlog(group=group, held=bool(held), tasks=tasks, lanes=lanes, since=moment(since))
        for group, held, tasks, lanes, since in query.execute(_BY_GROUP)
    ]
