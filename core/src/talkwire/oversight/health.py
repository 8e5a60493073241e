"""How accounts do over time: changes that do not last, silence that is unusual, what waits and what failed.

working ◀─▶ waiting      told once it has held for a minute; six changes before that are told as `account.flapping`
every other change       told at once: a person acted, or has to
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..clock import micros, moment
from ..model import AccountState, State
from ..store import Query, Tx
from .backlog import Backlog, backlogs

HELD = timedelta(minutes=1)  # a state that lasted so long is told
FLAPS = 6  # changes without one that held: told as flapping
_DAMPED = frozenset({AccountState.WORKING.value, AccountState.WAITING.value})
_UNSETTLED = "account:"  # before an account's name in `meta`: the state that was told last, and changes since

_PUT = """
    INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
_GET = "SELECT value FROM meta WHERE name = :name"
_DROP = "DELETE FROM meta WHERE name = :name"
_CHANGING = """
    SELECT s.account, s.state, s.reason, s.since, m.value FROM meta m
    JOIN account_state s ON m.name = 'account:' || s.account ORDER BY s.account
"""


def changed(tx: Tx, account: str, was: str | None, state: str, reason: str) -> None:
    """Tell `account.<state>`, or wait and see whether it lasts."""
    row = tx.one(_GET, {"name": _UNSETTLED + account})
    told, changes = _read(row[0]) if row else (was, 0)
    if was not in _DAMPED or state not in _DAMPED:
        if row:
            tx.execute(_DROP, {"name": _UNSETTLED + account})
        _tell(tx, account, told, state, reason, changes)
        return
    changes += 1
    tx.execute(_PUT, {"name": _UNSETTLED + account, "value": f"{told} {changes}"})
    if changes == FLAPS:
        tx.tell(
            "account.flapping", account=account, small={"state": state, "changes": changes, "reason": reason or None}
        )


def settle(tx: Tx) -> None:
    """Tell the states that have held."""
    tx.lock("account_state", [row[0] for row in tx.execute(_CHANGING)], "account")
    for account, state, reason, since, value in tx.execute(_CHANGING):
        if moment(since) + HELD > tx.now:
            continue
        told, changes = _read(value)
        tx.execute(_DROP, {"name": _UNSETTLED + account})
        if state != told or changes >= FLAPS:
            _tell(tx, account, told, state, reason[:200], changes)


def unsettled(query: Query) -> datetime | None:
    """Say when the next state will have held."""
    return min((moment(row[3]) + HELD for row in query.execute(_CHANGING)), default=None)


def _tell(tx: Tx, account: str, was: str | None, state: str, reason: str, changes: int) -> None:
    small: dict[str, str | int | None] = {"state": state, "was": was, "reason": reason or None}
    if changes > 1:
        small["changes"] = changes
    tx.tell(f"account.{state}", account=account, small=small)


def _read(value: str) -> tuple[str, int]:
    told, _, changes = value.partition(" ")
    return told, int(changes)


# --- what an operator looks at -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What shows how an account does, beside its state."""

    waiting: int = 0  # parts that were not sent yet
    waiting_since: datetime | None = None  # the oldest of them
    uncertain: int = 0  # parts, in 24 hours
    failed: int = 0
    changes: int = 0  # of its state, of which none held for a minute
    silent_since: datetime | None = None  # nothing came since then, which is unusual; the watch said so


_TROUBLE = """
    SELECT account, state, count(*) FROM delivery
    WHERE state IN (5, 25) AND state_at > :since AND problem_code NOT IN ('fell_back', 'arrived') GROUP BY account, state
"""
_SILENT = """
    SELECT s.account, COALESCE(s.last_in_at, s.since) FROM meta m
    JOIN account_state s ON m.name = 'episode:account.quiet:' || s.account
"""


def of_accounts(query: Query, waits: Sequence[Backlog] | None = None) -> dict[str, Health]:
    """Give the health of every account of which there is something to say; `waits`: what was counted already."""
    found: dict[str, dict[str, Any]] = {}
    for one in backlogs(query) if waits is None else waits:
        if one.group.startswith("send:"):
            values = found.setdefault(one.group.removeprefix("send:"), {})
            values["waiting"] = values.get("waiting", 0) + one.tasks
            values["waiting_since"] = min(one.since, values.get("waiting_since", one.since))
    day = micros(query.now - timedelta(hours=24))
    for account, state, count in query.execute(_TROUBLE, {"since": day}):
        found.setdefault(account, {})["uncertain" if state == State.UNCERTAIN else "failed"] = count
    for account, _, _, _, value in query.execute(_CHANGING):
        found.setdefault(account, {})["changes"] = _read(value)[1]
    for account, since in query.execute(_SILENT):
        found.setdefault(account, {})["silent_since"] = moment(since)
    return {account: Health(**values) for account, values in found.items()}


_FAILING = """
    SELECT l.grp, l.last_error, count(*), min(l.failing_since) FROM lane l JOIN task t ON t.lane_id = l.id
    WHERE l.grp >= 'notify:' AND l.grp < 'notify;' AND l.failing_since IS NOT NULL
    GROUP BY l.grp, l.last_error ORDER BY l.grp, count(*) DESC
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Notifications that a medium could not show yet."""

    waiting: int
    since: datetime  # of the first failure
    error: str  # of most of them


def of_media(query: Query) -> dict[str, Failing]:
    """Give the media that fail."""
    found: dict[str, Failing] = {}
    for group, error, count, since in query.execute(_FAILING):
        name = group.removeprefix("notify:")
        one = found.get(name, Failing(waiting=0, since=query.now, error=error))
        found[name] = replace(one, waiting=one.waiting + count, since=min(one.since, moment(since)))
    return found


# --- silence -----------------------------------------------------------------------------------------

QUIET = timedelta(hours=1)  # a shorter silence is never unusual
_WEEKS = 2
_BUSY = 10  # messages in the same stretch of each of those weeks; where fewer come, silence happens
_WINDOW = 5_000  # messages of one week's stretch that are looked through
_CAME = """
    SELECT count(*) FROM (
        SELECT 1 FROM (SELECT account, direction FROM message WHERE id >= :first AND id < :last ORDER BY id LIMIT :most) m
        WHERE m.account = :account AND m.direction = 'in' LIMIT :enough
    ) c
"""


def is_unusual(query: Query, account: str, since: datetime) -> bool:
    """Say whether it is unusual that nothing came for so long: at this time of the last weeks much did.

    So nights, weekends and accounts to which few write are known without a setting; before there are two weeks of
    messages nothing is unusual.
    """
    silent = min(query.now - since, timedelta(hours=24))
    return all(_is_busy(query, account, query.now - timedelta(weeks=n) - silent, silent) for n in range(1, _WEEKS + 1))


def _is_busy(query: Query, account: str, begin: datetime, length: timedelta) -> bool:
    # Ids begin with the milliseconds at which they were made: no index on the time is needed.
    ends = {"first": _id_at(begin), "last": _id_at(begin + length)}
    row = query.one(_CAME, {"account": account, "most": _WINDOW, "enough": _BUSY, **ends})
    return row is not None and row[0] >= _BUSY


def _id_at(at: datetime) -> str:
    text = f"{micros(at) // 1000:012x}"
    return f"{text[:8]}-{text[8:]}-"


# --- the disk ----------------------------------------------------------------------------------------

_LOOK, _BAD = (0.10, 5 << 30), (0.02, 1 << 30)  # of the disk, and bytes: what is less of the two


def disk_level(free: int, total: int, *, easier: float = 1.0) -> str:
    """Say how much room is left: ok, look or BAD. `easier`: what was low is low until there is so much more."""
    for level, (part, most) in (("BAD", _BAD), ("look", _LOOK)):
        if free < min(total * part, most) * easier:
            return level
    return "ok"
