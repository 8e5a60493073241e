"""What is kept only for a time goes, in slices so small that nobody who writes waits for them.

Every hour a sweep goes through what is too old, kind by kind. Each slice is a write of its own, of at most 200 rows
and one megabyte, and the purge rests four times as long as its last slice took: where others write much, it is slow.
On PostgreSQL the one daemon that holds the lease `purge` does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

import structlog

from ..clock import Clock, micros
from ..media.files import Chunks
from ..sections import Retention
from ..store import Query, Store, Tx
from ..work.lanes import Fence
from ..work.pump import Pump
from .dropping import fall_silent, messages_gone, notifications_gone

_log = structlog.get_logger("talkwire.purging")
GROUP = "purge"
_FIRST = timedelta(minutes=1)  # after the start: readers have begun to move by then
_EVERY = timedelta(hours=1)
_ROWS = 200  # of one slice
_MESSAGES = 40  # of one slice: more hangs on each of them
_BYTES = 1024 * 1024  # of the envelopes of one slice
_REST = timedelta(milliseconds=20)
_SHARE = 4  # times as long as a slice took, the purge rests
REPEATABLE = timedelta(days=7)  # how long a key of the caller's gives the same result again
_UNMATCHED = timedelta(days=7)  # reports of parts, and changes of messages, that we do not know
_UNUSED = timedelta(hours=24)  # files that no message has used
SETTLED = timedelta(minutes=10)  # a content without a row may still be on its way to it
_KILLED = timedelta(days=1)  # a put that has not ended by then never will

_OLDEST_ENVELOPES = "SELECT id, received_at, length(body) FROM envelope ORDER BY id LIMIT :most"
_OLDEST_MESSAGES = """
    SELECT id, envelope_id, account, external_id, conversation_id, stored_at FROM message ORDER BY id LIMIT :most
"""
_OLDEST_NOTIFICATIONS = "SELECT id FROM notification WHERE created_at < :before ORDER BY id LIMIT :most"
_OLDEST_FACTS = "SELECT seq, at FROM fact ORDER BY seq LIMIT :most"
_SLOWEST = """
    SELECT COALESCE(min(cursor), (SELECT seq FROM log_head WHERE id = 1)) FROM reader WHERE state = 'active'
"""
# What stands still is not whoever has nothing to read.
_STILL = """
    SELECT name, cursor FROM reader r WHERE state = 'active' AND moved_at < :before
    AND (SELECT at FROM fact WHERE seq > r.cursor ORDER BY seq LIMIT 1) < :before ORDER BY name
"""
_STOP = """
    UPDATE reader SET state = 'still', last_error = :error, error_at = :now
    WHERE name = :name AND cursor = :cursor AND state = 'active' RETURNING name
"""
_NEEDED = """
    SELECT sha256 FROM attachment WHERE sha256 IN (:ids[])
    UNION SELECT body_ref FROM envelope WHERE body_ref <> '' AND body_ref IN (:ids[])
"""


def _oldest(table: str, key: str, old: str, order: str) -> Callable[[Tx, int], tuple[int, bool]]:
    """Make what deletes the first rows of a table of which something holds."""
    sql = f"""
        DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {old} ORDER BY {order} LIMIT :most)
        RETURNING 1
    """

    def purge(tx: Tx, before: int) -> tuple[int, bool]:
        gone = len(tx.execute(sql, {"before": before, "most": _ROWS}))
        return gone, gone == _ROWS

    return purge


def _envelopes(tx: Tx, before: int) -> tuple[int, bool]:
    ids: list[str] = []
    size, rows = 0, tx.execute(_OLDEST_ENVELOPES, {"most": _ROWS})
    for id_, at, length in rows:
        size += length
        if at >= before:
            return _dropped(tx, ids), False
        if ids and size > _BYTES:
            break
        ids.append(id_)
    return _dropped(tx, ids), bool(rows)


def _dropped(tx: Tx, envelopes: Sequence[str]) -> int:
    if envelopes:
        tx.execute("DELETE FROM envelope WHERE id IN (:ids[])", {"ids": envelopes})
    return len(envelopes)


def _still_readers(tx: Tx, before: int) -> tuple[int, bool]:
    """Stop the readers that the log has waited for as long as it waits."""
    for name, cursor in tx.execute(_STILL, {"before": before}):
        tx.lock_name("reader", name)
        error = "it took nothing for log_days, and the log waits for it no longer"
        if tx.execute(_STOP, {"name": name, "cursor": cursor, "error": error, "now": tx.now_us}):
            tx.tell("reader.stopped", small={"reader": name, "why": "still"})
            _log.error("reader stopped: it took nothing for log_days", reader=name)
    return 0, False


def _facts(tx: Tx, before: int) -> tuple[int, bool]:
    """Shorten the log from its beginning: what it still has goes without a gap from the first to the last."""
    [(slowest,)] = tx.execute(_SLOWEST)
    gone, rows = 0, tx.execute(_OLDEST_FACTS, {"most": _ROWS})
    last = 0
    for seq, at in rows:
        if at >= before or seq > slowest:
            break
        gone, last = gone + 1, seq
    if gone:
        tx.execute("DELETE FROM parked WHERE seq <= :last", {"last": last})  # nothing is left to be told again
        tx.execute("DELETE FROM fact WHERE seq <= :last", {"last": last})
    return gone, gone == _ROWS


def _messages(tx: Tx, before: int) -> tuple[int, bool]:
    """Delete the oldest messages, in the order of their ids, with all that belongs to them."""
    rows = [row for row in tx.execute(_OLDEST_MESSAGES, {"most": _MESSAGES}) if row[5] < before]
    messages_gone(tx, [row[:4] for row in rows])
    if rows:
        fall_silent(tx, sorted({row[4] for row in rows}))
    return len(rows), len(rows) == _MESSAGES


def _notifications(tx: Tx, before: int) -> tuple[int, bool]:
    rows = tx.execute(_OLDEST_NOTIFICATIONS, {"before": before, "most": _ROWS})
    ids = [row[0] for row in rows]
    notifications_gone(tx, ids)
    return len(ids), len(ids) == _ROWS


_idempotency = _oldest("idempotency", "principal, key", "at < :before", "at")
_exchanges = _oldest("exchange", "id", "at < :before", "at")
_changes = _oldest("change", "id", "message_id = '' AND stored_at < :before", "id")
_reports = _oldest("report", "id", "delivery_id IS NULL AND stored_at < :before", "id")
_acts = _oldest("audit", "id", "at < :before", "id")
_sessions = _oldest("session", "id", "expires_at < :before", "id")
_uploads = _oldest("attachment", "id", "message_id = '' AND created_at < :before", "id")


@dataclass(frozen=True, slots=True)
class _Slice:
    fence: Fence
    purge: Callable[[Tx, int], tuple[int, bool]]
    before: int  # microseconds


def _purge(tx: Tx, items: Sequence[_Slice]) -> Sequence[tuple[int, bool]]:
    """Purge one slice; gives how many rows are gone, and whether there may be more."""
    if not items[0].fence.check(tx, GROUP):
        return [(0, False)] * len(items)
    return [item.purge(tx, item.before) for item in items]


class Purge:
    """Purges, for the one daemon that holds `purge`."""

    def __init__(self, store: Store, files: Chunks, clock: Clock, fence: Fence, keep: Callable[[], Retention]) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._fence = fence
        self._keep = keep
        self._next = clock.now() + _FIRST
        self._under_way: AsyncIterator[None] | None = None
        self.slices = 0  # since the start
        self.pump = Pump("purge", self._step, clock)

    async def sweep(self) -> None:
        """Purge all that is too old now, without a rest."""
        async for _ in self._sweep():
            pass

    async def _step(self) -> datetime | None:
        if not self._fence.holds(GROUP):
            return None
        now = self._clock.now()
        if self._under_way is None:
            if now < self._next:
                return self._next
            self._under_way = self._sweep()
        began, ended = monotonic(), True
        try:
            async for _ in self._under_way:
                ended = False
                break
        except BaseException:
            self._under_way = None
            raise
        if ended:
            self._under_way, self._next = None, now + _EVERY
            return self._next
        return now + max(_REST, _SHARE * timedelta(seconds=monotonic() - began))

    async def _sweep(self) -> AsyncIterator[None]:
        """Purge kind by kind; whoever asks decides when the next slice is."""
        gone: Counter[str] = Counter()
        for kind, purge, age in self._kinds():
            more = True
            while more:
                one = _Slice(self._fence, purge, micros(self._clock.now() - age))
                count, more = await self._store.write(_purge, one)
                gone[kind] += count
                self.slices += 1
                yield
        async for count in self._unneeded():
            gone["files"] += count
            yield
        if told := {kind: count for kind, count in gone.items() if count}:
            _log.info("purged", **told)

    def _kinds(self) -> Iterable[tuple[str, Callable[[Tx, int], tuple[int, bool]], timedelta]]:
        """Say what goes at which age, in the order of the tables."""
        keep = self._keep()  # the settings may have been read again
        yield "idempotency", _idempotency, REPEATABLE
        yield "envelopes", _envelopes, timedelta(days=keep.journal_days)
        if keep.messages_days is not None:
            yield "messages", _messages, timedelta(days=keep.messages_days)
            yield "changes", _changes, max(timedelta(days=keep.messages_days), _UNMATCHED)
        yield "reports", _reports, _UNMATCHED
        yield "uploads", _uploads, _UNUSED
        yield "exchanges", _exchanges, timedelta(days=keep.trace_days)
        yield "sessions", _sessions, timedelta()
        if keep.messages_days is not None:
            yield "notifications", _notifications, timedelta(days=keep.messages_days)
        yield "acts", _acts, timedelta(days=keep.audit_days)
        yield "readers", _still_readers, timedelta(days=keep.log_days)
        yield "facts", _facts, timedelta(days=keep.log_days)

    async def _unneeded(self) -> AsyncIterator[int]:
        """Drop contents that no row names."""
        await self._files.tidy(self._clock.now() - _KILLED)
        after, first = "", True
        while after or first:
            first = False
            named, after = await self._files.walk(after)
            yield len(await drop_unneeded(self._store, self._files, named, self._clock.now() - SETTLED))


async def drop_unneeded(store: Store, files: Chunks, hashes: Sequence[str], before: datetime) -> frozenset[str]:
    """Drop those contents that no row names, and that were put before a moment; gives which are gone."""
    if not hashes:
        return frozenset()
    named = await store.read(lambda query: needed(query, hashes))
    return await files.drop([one for one in hashes if one not in named], before)


def needed(query: Query, hashes: Sequence[str]) -> frozenset[str]:
    """Give those of these contents that a row names."""
    return frozenset(row[0] for row in query.execute(_NEEDED, {"ids": list(hashes)}))
