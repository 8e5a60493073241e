"""What waits is counted alike on both databases, however much it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from talkwire.clock import micros, moment
from talkwire.oversight import health
from talkwire.oversight.backlog import _BY_GROUP, Backlog, backlogs
from talkwire.store import Store, Tx

BEGAN = 1_795_435_200_000_000  # microseconds: any moment
_LANES = "INSERT INTO lane (id, grp, subject, held) VALUES (:id, :grp, :subject, :held)"
_TASKS = "INSERT INTO task (lane_id, kind, created_at) VALUES (:lane, 'send', :at)"


def queue(tx: Tx, items: Sequence[Sequence[tuple[str, str, int]]]) -> Sequence[None]:
    """Make lanes of (group, held, tasks); the tasks of each are a second apart."""
    [lanes] = items
    rows = [
        {"id": n, "grp": group, "subject": f"talk-{n}", "held": held} for n, (group, held, _) in enumerate(lanes, 1)
    ]
    tx.many(_LANES, rows)
    owners = [n for n, (_, _, tasks) in enumerate(lanes, 1) for _ in range(tasks)]
    tx.many(_TASKS, [{"lane": lane, "at": BEGAN + 1_000_000 * place} for place, lane in enumerate(owners)])
    return [None]


def after(seconds: int) -> datetime:
    return moment(BEGAN) + timedelta(seconds=seconds)


async def test_what_waits_is_counted_by_group_and_what_is_held_apart(store: Store) -> None:
    lanes = [("send:shop", "", 2), ("send:shop", "restored", 1), ("send:shop", "", 1), ("do", "", 1), ("do", "", 0)]
    await store.write(queue, lanes)
    assert await store.read(backlogs) == [
        Backlog(group="do", held=False, tasks=1, lanes=1, since=after(4)),
        Backlog(group="send:shop", held=False, tasks=3, lanes=2, since=after(0)),
        Backlog(group="send:shop", held=True, tasks=1, lanes=1, since=after(2)),
    ]
    of_shop = (await store.read(health.of_accounts))["shop"]
    assert (of_shop.waiting, of_shop.waiting_since) == (4, after(0))
    assert micros(of_shop.waiting_since) == BEGAN


async def test_what_waits_is_counted_from_the_index_alone(open_store: Any, sqlite_url: str) -> None:
    """A hundred thousand tasks are counted in 6 to 18 ms; reading every row of them took 30 to 45."""
    store = await open_store(sqlite_url)
    plan = await store.read(lambda query: query.execute(f"EXPLAIN QUERY PLAN {_BY_GROUP}"))
    of_tasks = [step for *_, step in plan if step.split()[:2] in (["SCAN", "task"], ["SCAN", "t"])]
    assert of_tasks == ["SCAN task USING COVERING INDEX ix_task_lane_id"]
