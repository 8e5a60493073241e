"""Lanes let go or given up, and parts whose outcome a person knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from ..daemon import Daemon
from ..errors import NotFound
from ..model import State
from ..outbound import elsewhere, mending
from ..store import Tx
from ..work import lanes
from .command import Command, Said

_LANE = "SELECT grp, subject, held FROM lane WHERE id = :id"
_RESTORED = """
    SELECT l.id FROM lane l WHERE l.held = 'restored'
      AND (:account = '' OR l.grp = :group
        OR l.subject IN (SELECT c.id FROM conversation c WHERE c.account = :account)
        OR l.subject = :account OR (l.grp = 'do' AND l.subject LIKE :prefix)
        OR l.id IN (SELECT t.lane_id FROM task t JOIN attachment a ON a.id = t.ref
                    WHERE t.kind = 'fetch' AND a.account = :account))
    ORDER BY l.id LIMIT :most
"""
_SLICE = 100  # lanes of one write, so that others come between
_TASKS = """
    SELECT t.id, t.kind, t.ref, d.state, d.open_since FROM task t LEFT JOIN delivery d ON d.id = t.ref
    WHERE t.lane_id = :id ORDER BY t.id
"""


async def _release_lane(daemon: Daemon, said: Said) -> dict[str, Any]:
    """Let a lane be tried now; what the provider asked of the whole account holds all the same."""
    group, subject = await daemon.store.write(_release, int(said["lane"]))
    runtime = daemon.account(group.removeprefix("send:")) if group.startswith("send:") else None
    until = runtime.backoff.until if runtime is not None else None
    waits = until if until is not None and until > daemon.clock.now() else None
    return {"group": group, "subject": subject, "account_waits_until": waits}


async def _drop_lane(daemon: Daemon, said: Said) -> Any:
    return await daemon.store.write(_drop, int(said["lane"]))


async def _release_restored(daemon: Daemon, said: Said) -> dict[str, int]:
    """Let go on what is held since a restore: of one account, or all."""
    count = 0
    while ids := await _held_since_restore(daemon, said):
        await asyncio.gather(*(daemon.store.write(_release, id_) for id_ in ids))
        count += len(ids)
    return {"lanes": count}


async def _drop_restored(daemon: Daemon, said: Said) -> dict[str, int]:
    """Give up what is held since a restore: of one account, or all."""
    total = {"lanes": 0, "tasks": 0, "parts": 0, "uncertain": 0}
    while ids := await _held_since_restore(daemon, said):
        for one in await asyncio.gather(*(daemon.store.write(_drop, id_) for id_ in ids)):
            total = {name: count + one.get(name, 0) for name, count in total.items()}
        total["lanes"] += len(ids)
    return total


async def _held_since_restore(daemon: Daemon, said: Said) -> list[int]:
    account = str(said.get("account", ""))
    if account and daemon.account(account) is None:
        raise NotFound(f'there is no account "{account}"')
    # What stands in an account's name is no pattern's.
    values = {"account": account, "group": f"send:{account}", "prefix": f"{account}:%", "most": _SLICE}
    return [row[0] for row in await daemon.store.read(lambda query: query.execute(_RESTORED, values))]


def _release(tx: Tx, items: Sequence[int]) -> Sequence[tuple[str, str]]:
    found = [_lane(tx, id_) for id_ in items]
    lanes.free(tx, items)
    return [(group, subject) for group, subject, _ in found]


def _drop(tx: Tx, items: Sequence[int]) -> Sequence[dict[str, int]]:
    """Give up what a lane promises: parts that wait have failed, a part under way is left to its outcome.

    Of a lane that is held since a restore nobody knows whether its parts went out after the backup: they are uncertain.
    """
    results = []
    for id_ in items:
        group, _, held = _lane(tx, id_)
        rows = tx.execute(_TASKS, {"id": id_})
        unknown = held == lanes.RESTORED
        under_way = set() if unknown else {row[0] for row in rows if row[4] is not None}
        parts = [row[2] for row in rows if row[1] == "send" and row[3] == State.QUEUED and row[0] not in under_way]
        falling = elsewhere.waiting_parts(tx, [row[2] for row in rows if row[1] == elsewhere.KIND])
        parts += [part for part in falling if part not in parts]
        if unknown:
            text = "queued at the backup that was restored; perhaps sent after it"
            mending.unknown_queued(tx, parts, text)
        else:
            mending.fail_queued(tx, parts, "cancelled", "an operator dropped the lane")
        lanes.end(tx, [(id_, row[0]) for row in rows if row[0] not in under_way])
        tx.tell("lane.dropped", small={"group": group, "tasks": len(rows) - len(under_way)})
        counts = {"tasks": len(rows) - len(under_way), "parts": len(parts), "under_way": len(under_way)}
        results.append({**counts, "uncertain": len(parts) if unknown else 0})
    return results


def _lane(tx: Tx, id_: int) -> tuple[str, str, str]:
    row = tx.one(_LANE, {"id": id_})
    if row is None:
        raise NotFound(f"there is no lane {id_}; talkwire lanes lists them")
    return row[0], row[1], row[2]


async def _settle(daemon: Daemon, said: Said) -> None:
    await daemon.replies.settle(str(said["delivery"]), str(said["verdict"]), str(said["by"]))


COMMANDS: dict[str, Command] = {
    "release-lane": _release_lane,
    "drop-lane": _drop_lane,
    "release-restored": _release_restored,
    "drop-restored": _drop_restored,
    "settle": _settle,
}
