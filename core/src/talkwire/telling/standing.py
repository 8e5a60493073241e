"""Whether somebody who is told facts takes them now: away, tried again later, back, or gone by their own word.

takes ──`Away`──▶ away ······ tried again after 5 s, 10 s, 20 s … 5 min; a minute of it: `reader.down` is told
  ▲                │
  └── 5 minutes ── takes again ······ then `reader.recovered` is told; what breaks sooner is the same outage
`Gone` ──▶ gone ····· nobody tries until an operator says so, or the daemon starts anew: `reader.stopped` is told

Whoever is away keeps their cursor, so that nothing is missed; the table says so to operators and to other daemons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from ..clock import micros
from ..errors import TalkwireError
from ..store import Query, Tx

_log = structlog.get_logger("talkwire.standing")
SCHEDULE = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600))  # of a fact that is refused; then it is parked
GONE = "gone"  # state of a reader

_FIRST, _MOST = timedelta(seconds=5), timedelta(minutes=5)  # between two tries of whoever is away
_LONGEST = timedelta(hours=1)  # that they may ask us to wait
_TOLD_AFTER = timedelta(minutes=1)  # of an outage; a shorter one is no news
_SOUND_AFTER = timedelta(minutes=5)  # of taking again

_ROW = "SELECT state, down_since, down_told, up_since FROM reader WHERE name = :name"
_DOWN = """
    UPDATE reader SET down_since = COALESCE(down_since, :now), up_since = NULL, down_told = :told,
        last_error = :error, error_at = :now
    WHERE name = :name
"""
_UP = "UPDATE reader SET up_since = :now WHERE name = :name AND up_since IS NULL"
_SOUND = """
    UPDATE reader SET down_since = NULL, up_since = NULL, down_told = 0,
        last_error = CASE WHEN EXISTS (SELECT 1 FROM parked WHERE reader = :name) THEN last_error ELSE '' END
    WHERE name = :name
"""
_LEFT = "UPDATE reader SET state = 'gone', last_error = :error, error_at = :now WHERE name = :name AND state <> 'gone'"
_RETURNS = "UPDATE reader SET state = 'active', last_error = '' WHERE name = :name AND state <> 'active' RETURNING name"


class Away(TalkwireError):
    """Nothing can be told now: the same fact again, later."""

    def __init__(
        self,
        text: str,
        *,
        after: timedelta | None = None,  # asked for; None: our own back-off
        by_itself: bool = False,  # the fact has nothing to do with it
    ) -> None:
        super().__init__(text)
        self.after = after
        self.by_itself = by_itself


class Gone(TalkwireError):
    """Whoever is told wants to be told no more."""


@dataclass(slots=True)
class Standing:
    """What this daemon has seen of one reader; the row has what outlives it."""

    until: datetime | None = None  # not told anything before that moment …
    wait: timedelta = timedelta()  # … which was so far away: farther means that the clock was set back
    tries: int = 0  # in vain, since something was taken
    gone: bool = False
    taken: int = 0  # facts that were answered, with yes or no, and tests that were taken
    _failed: dict[int, tuple[int, int]] = field(default_factory=dict)  # seq → times, `taken` then

    def took(self, seq: int) -> None:
        """Note that somebody is there."""
        self._failed.pop(seq, None)
        self.taken += 1
        self.tries, self.until = 0, None

    def is_there(self) -> None:
        """Note that something else than a fact was taken: a fact that failed before, and fails again, is at fault."""
        self.taken += 1

    def is_at_fault(self, seq: int) -> bool:
        """Say whether it is the fact itself that cannot be taken: others were, since it failed before."""
        times, taken = self._failed.get(seq, (0, 0))
        if times and self.taken > taken:
            del self._failed[seq]
            return True
        self._failed[seq] = times + 1, self.taken
        return False

    def least_failed(self, seqs: Sequence[int]) -> int:
        """Choose the fact to try with: one that never can be taken must not hide that others can."""
        return min(seqs, key=lambda seq: (self._failed.get(seq, (0, 0))[0], seq))

    def waits(self, now: datetime, error: Away) -> datetime:
        """Note that nobody is there; gives when to try again."""
        if (until := self.not_before(now)) is not None:
            return until  # others found out at the same time
        asked = min(error.after or timedelta(), _LONGEST)
        self.wait = max(asked, min(_MOST, _FIRST * (1 << min(self.tries, 16))))
        self.until = now + self.wait
        self.tries += 1
        return self.until

    def not_before(self, now: datetime) -> datetime | None:
        """Say until when nothing is told; None: something may be told."""
        return self.until if self.until is not None and now < self.until <= now + self.wait else None


@dataclass(frozen=True, slots=True)
class Row:
    """What the table says of one reader."""

    gone: bool
    down: bool


def row_of(query: Query, name: str) -> Row:
    """Read how a reader stands."""
    row = query.one(_ROW, {"name": name})
    return Row(gone=row is not None and row[0] == GONE, down=row is not None and row[1] is not None)


def fell(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Write down why nothing was taken, of (reader, reason); an outage of a minute is told, once."""
    for name, reason in sorted(items):
        tx.lock_name("reader", name)
        row = tx.one(_ROW, {"name": name})
        if row is None:
            continue
        since, told = row[1] if row[1] is not None else tx.now_us, row[2]
        if not told and tx.now_us - since >= _TOLD_AFTER // timedelta(microseconds=1):
            tx.tell("reader.down", small={"reader": name, "reason": reason[:200]})
            _log.warning("reader down", reader=name, reason=reason)
            told = 1
        tx.execute(_DOWN, {"name": name, "error": reason[:300], "now": tx.now_us, "told": told})
    return [None] * len(items)


def stood(tx: Tx, names: Sequence[str]) -> Sequence[datetime | None]:
    """Write down who takes facts again; gives when that is long enough to be told."""
    found: list[datetime | None] = []
    for name in names:
        tx.lock_name("reader", name)
        row = tx.one(_ROW, {"name": name})
        _, since, told, up = row or ("", None, 0, None)
        sound = micros(tx.now - _SOUND_AFTER)
        if since is None:
            found.append(None)
        elif told and (up is None or up > sound):
            tx.execute(_UP, {"name": name, "now": tx.now_us})
            began = tx.now if up is None else tx.now - timedelta(microseconds=tx.now_us - up)
            found.append(began + _SOUND_AFTER)
        else:
            tx.execute(_SOUND, {"name": name})
            if told:
                tx.tell("reader.recovered", small={"reader": name, "seconds": (up - since) // 1_000_000})
                _log.info("reader recovered", reader=name)
            found.append(None)
    return found


def left(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Write down who wants to be told no more, of (reader, reason)."""
    for name, reason in sorted(items):
        tx.lock_name("reader", name)
        if not row_of(tx, name).gone:
            tx.execute(_LEFT, {"name": name, "error": reason[:300], "now": tx.now_us})
            tx.tell("reader.stopped", small={"reader": name, "reason": reason[:200]})
            _log.warning("reader gone", reader=name, reason=reason)
    return [None] * len(items)


def returns(tx: Tx, names: Sequence[str]) -> Sequence[bool]:
    """Let somebody who was gone be tried again; says whether they were."""
    tx.hint("log")
    return [bool(tx.execute(_RETURNS, {"name": name})) for name in names]
