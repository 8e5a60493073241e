"""How often we may send: GCRA, in memory; after a start or a hand-over it is counted anew from what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from ..clock import micros, moment
from ..model import Rate
from ..store import Query

_FORGET = 10_000  # keys kept before those that are free again are dropped
_MOST_RECALLED = 100_000  # attempts; more in so short a time are no rate that anybody declares

# What was said to the provider, or may have been, as a daemon was cut off (then `cut` is recorded), and what was under way
# as the last one was.
_SENT = """
    SELECT at, address, value FROM (
        SELECT DISTINCT e.delivery_id AS part, e.at AS at, d.recipient AS recipient, c.address_id AS address, a.value AS value
        FROM exchange e JOIN delivery d ON d.id = e.delivery_id
        JOIN conversation c ON c.id = d.conversation_id JOIN address a ON a.id = c.address_id
        WHERE e.at > :since AND d.account = :account
        UNION ALL
        SELECT d.id, d.open_since, d.recipient, c.address_id, a.value FROM delivery d
        JOIN conversation c ON c.id = d.conversation_id JOIN address a ON a.id = c.address_id
        WHERE d.state = 0 AND d.open_since > :since AND d.account = :account
    ) sent WHERE recipient = '' ORDER BY at DESC LIMIT :most
"""


class Whose(NamedTuple):
    """An address, as rates see it."""

    id: str
    value: str = ""  # empty: not known, so that no rate of some addresses is meant


class Rates:
    """The rates of one account, kept by the daemon that sends for it."""

    def __init__(self, rates: Sequence[Rate]) -> None:
        self._rates = tuple(rates)
        self._by_address = any(rate.key == "address" for rate in rates)
        # How far back one has to look to know what counts now: twice the time in which a whole burst is free again.
        self.horizon = 2 * max(map(_whole, rates), default=timedelta())
        self._free_at: dict[tuple[int, str], datetime] = {}  # theoretical arrival times
        self._paused: dict[str, tuple[datetime, int]] = {}  # address → until when it gets nothing, but from which lane
        self._forget_over = _FORGET

    @property
    def by_address(self) -> bool:
        """Say whether it matters whom a send goes to."""
        return self._by_address or bool(self._paused)

    def pause(self, address: Whose, until: datetime, lane: int) -> None:
        """Send nothing to an address before the provider's own moment, in none of its threads.

        The lane that was told is not meant: it waits by itself, and a person may release it.
        """
        self._paused[address.id] = (until, lane)

    def recall(self, sent: Iterable[tuple[datetime, Whose]], now: datetime) -> None:
        """Count what was sent within the horizon, oldest first, by whoever did, instead of what was counted here."""
        self._free_at = {}
        begun = now - self.horizon  # perhaps with a whole burst just gone
        for at, whose in sent:
            for key, rate in self._keys(whose):
                free = max(self._free_at.get(key, begun + _whole(rate)), at)
                self._free_at[key] = free + _step(rate)

    def take(self, now: datetime, address: Whose | str, lane: int = 0) -> datetime | None:
        """Take one send to an address; None: go, else not before that moment, and nothing was taken.

        A rate that has just begun allows its `burst` at once, then one every `per / count`.
        """
        moves, blocked = self._look(now, address, lane)
        if blocked is None:
            self._free_at.update(moves)
            self._forget(now)
        return blocked

    def free_at(self, now: datetime, address: Whose | str) -> datetime | None:
        """Say when a send to an address may go; None: now. Nothing is taken."""
        return self._look(now, address)[1]

    def _look(
        self, now: datetime, address: Whose | str, lane: int = 0
    ) -> tuple[list[tuple[tuple[int, str], datetime]], datetime | None]:
        moves: list[tuple[tuple[int, str], datetime]] = []
        whose = Whose(address) if isinstance(address, str) else address
        blocked = self._rest(whose.id, now, lane) if self._paused else None
        for key, rate in self._keys(whose):
            step = _step(rate)
            free = max(self._free_at.get(key, now), now)
            allowed = free - step * (rate.burst - 1)
            if allowed > now:
                blocked = max(blocked or allowed, allowed)
            moves.append((key, free + step))
        return moves, blocked

    def _rest(self, address: str, now: datetime, lane: int) -> datetime | None:
        until, told = self._paused.get(address, (now, 0))
        if until <= now:
            self._paused.pop(address, None)
            return None
        return None if told == lane else until

    def _keys(self, whose: Whose) -> Iterable[tuple[tuple[int, str], Rate]]:
        for number, rate in enumerate(self._rates):
            if whose.value.startswith(rate.begins):
                yield (number, whose.id if rate.key == "address" else ""), rate

    def account_free_at(self, now: datetime) -> datetime | None:
        """Say when the account may send again; None: now."""
        blocked: datetime | None = None
        for number, rate in enumerate(self._rates):
            if rate.key == "address":
                continue
            free = self._free_at.get((number, ""), now)
            allowed = free - _step(rate) * (rate.burst - 1)
            if allowed > now:
                blocked = max(blocked or allowed, allowed)
        return blocked

    def account_room(self, now: datetime) -> int | None:
        """Say how many sends of the account may go at once now, to whomever; None: no rate says."""
        rooms = []
        for number, rate in enumerate(self._rates):
            if rate.key != "address":
                free = max(self._free_at.get((number, ""), now), now)
                rooms.append(rate.burst - -(-(free - now) // _step(rate)))
        return max(min(rooms), 0) if rooms else None

    def set_back(self, by: timedelta) -> None:
        """Free what is not free yet as soon as it would have been, by a clock that was set back."""
        self._free_at = {key: at - by for key, at in self._free_at.items()}
        self._paused = {address: (at - by, lane) for address, (at, lane) in self._paused.items()}

    def _forget(self, now: datetime) -> None:
        if len(self._free_at) > self._forget_over:
            self._free_at = {key: at for key, at in self._free_at.items() if at > now}
            self._forget_over = max(_FORGET, 2 * len(self._free_at))  # strangers' addresses may all be busy


def _step(rate: Rate) -> timedelta:
    """Give the time from one send to the next, rounded up: a microsecond less would be one more in `per`."""
    return -(-rate.per // rate.count)


def _whole(rate: Rate) -> timedelta:
    return _step(rate) * rate.burst


def recent(query: Query, account: str, horizon: timedelta) -> list[tuple[datetime, Whose]]:
    """Give what an account sent within the horizon, oldest first: by which daemon does not matter."""
    values = {"account": account, "since": micros(query.now - horizon), "most": _MOST_RECALLED}
    rows = query.execute(_SENT, values)
    return [(moment(at), Whose(address, value)) for at, address, value in reversed(rows)]


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
