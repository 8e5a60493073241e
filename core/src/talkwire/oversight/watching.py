"""What nobody asked for and somebody must know: a full disk, an old queue, a stuck lane, an account that is too quiet.

Each is told once an episode: it begins when it is seen first, and ends when it is seen no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from ..clock import Clock, micros, moment
from ..model import Small
from ..store import Query, Store, Tx
from ..work.lanes import Fence
from ..work.pump import Pump
from . import health
from .backlog import backlogs

GROUP = "watch"
EVERY = timedelta(seconds=30)
QUEUE_OLD = timedelta(minutes=15)
LANE_STUCK = timedelta(hours=1)
JUDGED = timedelta(minutes=5)  # between two looks at what is usual for an account, which read messages
_MOST_LANES = 100
_EASIER = 1.2  # a disk is low until it has so much more room than where it began to be

_PAUSED = "SELECT account FROM account_state WHERE state = 'paused'"
_STUCK = """
    SELECT DISTINCT l.id, l.grp, l.subject, l.failing_since, l.last_error, COALESCE(c.account, '')
    FROM task t JOIN lane l ON l.id = t.lane_id LEFT JOIN conversation c ON c.id = substr(l.subject, 1, 36)
    WHERE l.failing_since <= :before ORDER BY l.id LIMIT :most
"""
_HEARD = "SELECT account, state, last_in_at, since FROM account_state ORDER BY account"
_EPISODES = "SELECT name FROM meta WHERE name LIKE 'episode:%'"
_BEGIN = "INSERT INTO meta (name, value) VALUES (:name, :at) ON CONFLICT (name) DO NOTHING"
_END = "DELETE FROM meta WHERE name = :name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong now."""

    type: str  # of the fact
    key: str  # which one of its type
    account: str = ""
    conversation: str = ""
    small: Mapping[str, Small] = field(default_factory=dict)

    @property
    def episode(self) -> str:
        return f"episode:{self.type}:{self.key}"


class Watch:
    """Looks every half minute, on one daemon of a database."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        fence: Fence,
        folders: Mapping[str, Path],
        quiet_after: Callable[
            [], Mapping[str, timedelta | None]
        ] = dict,  # of accounts; None: never; else what is usual
    ) -> None:
        self._store = store
        self._fence = fence
        self._quiet_after = quiet_after
        self._judged: dict[str, tuple[datetime, datetime]] = {}  # account → (silent since, looked at)
        self.folders = dict(folders)  # whose disks are looked at
        self.pump = Pump("watch", self._step, clock, slow_poll=EVERY)

    def woken(self) -> None:
        """Look again soon: an account's state changed."""
        self.pump.wake()

    def rooms(self) -> Mapping[str, tuple[int, int]]:
        """Give (free, size) in bytes of each disk; it waits for the disk."""
        return room(self.folders)

    async def _step(self) -> datetime | None:
        if not self._fence.holds(GROUP):
            return None
        rooms = await asyncio.to_thread(self.rooms)
        found, episodes, due = await self._store.read(lambda query: _look(query, rooms))
        found += await self._quiet(episodes)
        begun = {one.episode for one in found}
        if begun != episodes or (due is not None and due <= self.pump.clock.now()):
            await self._store.write(_tell, (self._fence, tuple(found)))
            due = await self._store.read(health.unsettled)
        return due

    async def _quiet(self, episodes: set[str]) -> list[Trouble]:
        """Find accounts to which nobody writes, by their own limit or by what is usual."""
        now, limits, found = self.pump.clock.now(), self._quiet_after(), []
        for account, state, last_in, began in await self._store.read(lambda query: query.execute(_HEARD)):
            since = moment(began if last_in is None else last_in)
            one = Trouble(
                type="account.quiet",
                key=account,
                account=account,
                small={
                    "minutes": (now - since) // timedelta(minutes=1),
                    "rule": "quiet_after" if account in limits else "usual",
                },
            )
            goes_on = one.episode in episodes
            if state != "working" and not (goes_on and state == "waiting"):
                continue  # it has an alarm of its own, or a person paused it
            if account in limits:
                limit = limits[account]
                is_quiet = limit is not None and now - since >= limit
            elif last_in is None or now - since < health.QUIET:
                is_quiet = False
            else:
                is_quiet = goes_on or await self._is_unusual(account, since)
            if is_quiet:
                found.append(one)
        return found

    async def _is_unusual(self, account: str, since: datetime) -> bool:
        now, judged = self.pump.clock.now(), self._judged.get(account)
        if judged is not None and judged[0] == since and now - JUDGED < judged[1] <= now:
            return False
        self._judged[account] = since, now
        return await self._store.read(lambda query: health.is_unusual(query, account, since))


def room(folders: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """Say how many bytes are free and how many there are; two folders on one disk are one, under the first's name."""
    found: dict[str, tuple[int, int]] = {}
    devices: set[int] = set()
    for name, folder in folders.items():
        with contextlib.suppress(OSError):  # not made yet, or gone
            total, _, free = shutil.disk_usage(folder)
            if (device := folder.stat().st_dev) not in devices:
                devices.add(device)
                found[name] = (free, total)
    return found


def _look(query: Query, rooms: Mapping[str, tuple[int, int]]) -> tuple[list[Trouble], set[str], datetime | None]:
    episodes = {row[0] for row in query.execute(_EPISODES)}
    found = [*_disks(rooms, episodes), *_queues(query), *_lanes(query)]
    return found, episodes, health.unsettled(query)


def _disks(rooms: Mapping[str, tuple[int, int]], episodes: set[str]) -> list[Trouble]:
    found = []
    for device, (free, total) in rooms.items():
        one = Trouble(type="disk.low", key=device, small={"free_bytes": free, "total_bytes": total})
        if health.disk_level(free, total, easier=_EASIER if one.episode in episodes else 1.0) != "ok":
            found.append(one)
    return found


def _queues(query: Query) -> list[Trouble]:
    paused = {f"send:{account}" for (account,) in query.execute(_PAUSED)}
    found = []
    for one in backlogs(query):
        age = query.now - one.since
        if age >= QUEUE_OLD and not one.held and one.group not in paused:
            account = one.group.removeprefix("send:") if one.group.startswith("send:") else ""
            small: dict[str, Small] = {"group": one.group, "tasks": one.tasks, "minutes": age // timedelta(minutes=1)}
            found.append(Trouble(type="queue.old", key=one.group, account=account, small=small))
    return found


def _lanes(query: Query) -> list[Trouble]:
    params = {"before": micros(query.now - LANE_STUCK), "most": _MOST_LANES}
    return [
        Trouble(
            type="lane.stuck",
            key=str(id_),
            account=account,
            conversation=subject.partition(":")[0] if account else "",
            small={"group": group, "lane": id_, "minutes": (query.now_us - since) // 60_000_000, "error": error[:200]},
        )
        for id_, group, subject, since, error, account in query.execute(_STUCK, params)
    ]


def _tell(tx: Tx, items: Sequence[tuple[Fence, tuple[Trouble, ...]]]) -> Sequence[None]:
    """Begin the episodes that are new, end those that are over, tell the accounts' states that have held."""
    fence, found = items[-1]
    if fence.check(tx, GROUP):
        health.settle(tx)
        now = {one.episode: one for one in found}
        known = {row[0] for row in tx.execute(_EPISODES)}
        for name in sorted(known - now.keys()):
            tx.execute(_END, {"name": name})
        for name in sorted(now.keys() - known):
            tx.execute(_BEGIN, {"name": name, "at": str(tx.now_us)})
            _tell_one(tx, now[name])
    return [None] * len(items)


def _tell_one(tx: Tx, one: Trouble) -> None:
    match one.type:  # spelt out, so that the reference can be compared with what is told
        case "disk.low":
            tx.tell("disk.low", small=one.small)
        case "queue.old":
            tx.tell("queue.old", account=one.account, small=one.small)
        case "account.quiet":
            tx.tell("account.quiet", account=one.account, small=one.small)
        case "lane.stuck":
            tx.tell("lane.stuck", account=one.account, conversation=one.conversation, small=one.small)
