"""Somebody is forgotten: what they said, what was said to them, and what names them.

    slices of messages, until there are none ─▶ traces in what is raw ─▶ the person ─▶ files ─▶ the database's own files

The rows go; facts stay, which hold ids and small values. Who is cut off begins anew: the person goes last.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from . import lanes, persons
from .clock import Clock
from .errors import Conflict, NotFound
from .media.files import Chunks
from .model import Person
from .purging import drop_unneeded, needed
from .store import Query, Row, Store, Tx

_ROWS = 200  # messages, or raw rows, of one transaction
_LOOKED_AT = 200  # raw rows of one read
_ROUNDS = 1000  # of somebody who writes while they are forgotten
_ON_ITS_WAY = timedelta(minutes=1)  # a content that was put so lately may be somebody else's as well
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
Hook = Callable[[Tx, Person], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What is gone."""

    messages: int = 0
    envelopes: int = 0
    files: int = 0
    files_later: int = 0  # put here within the last minute: the purge takes them within the hour
    scrubbed: bool = True  # False: somebody reads the database, which keeps its write-ahead log


@dataclass(slots=True)
class _Gone:
    """What one transaction took, or all of them."""

    messages: set[str] = field(default_factory=set)
    envelopes: int = 0
    hashes: set[str] = field(default_factory=set)  # of contents that a row named

    def add(self, other: _Gone) -> None:
        self.messages |= other.messages
        self.envelopes += other.envelopes
        self.hashes |= other.hashes


class Forgetting:
    """Forgets people."""

    def __init__(self, store: Store, files: Chunks, clock: Clock, plugins: Hook, *, alone: bool = False) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._plugins = plugins  # lets plugins forget, in the transaction that ends it
        self._alone = alone  # nobody else puts files here now

    async def forget(self, contact: str, by: str) -> Forgotten:
        """Forget a contact with all addresses; it is gone when this returns, and may be called again after an error.

        Errors: `NotFound`; what a plugin's hook raised: then what was said is gone, and the person is still known.
        """
        person = await self._store.read(lambda query: persons.by_contact(query, contact))
        if person is None:
            raise NotFound(f"there is no contact {contact}")
        gone = _Gone()
        for _ in range(_ROUNDS):
            await self._take_said(person, gone)
            await self._take_done(person, gone)
            await self._take_traces(person, gone)
            left = await self._store.write(_forget_person, (contact, self._plugins, by, len(gone.messages)))
            if left is None:
                return await cleared(
                    self._store, self._files, self._clock, gone.messages, gone.envelopes, gone.hashes, alone=self._alone
                )
            person = left
        raise Conflict("they write faster than they are forgotten; pause their account first")

    async def _take_said(self, person: Person, gone: _Gone) -> None:
        """Take what was said, slice by slice, and the results that callers' keys would give again."""
        said = _Gone()
        while person.conversations:
            slice_ = await self._store.write(drop_messages, person.conversations)
            if not slice_.messages:
                break
            said.add(slice_)
        gone.add(said)
        after = ("", "")
        while said.messages and (rows := await self._store.read(_Results(after))):
            found = [(by, key) for by, key, result in rows if not said.messages.isdisjoint(_ID.findall(result))]
            for part in _parts(found):
                await self._store.write(_drop_results, tuple(part))
            after = rows[-1][0], rows[-1][1]

    async def _take_done(self, person: Person, gone: _Gone) -> None:
        """Take what they did to messages that are not theirs, and reports that name them."""
        values = list(persons.values_of(person))
        for table, sql in (("change", _CHANGES_BY), ("report", _REPORTS_OF)) if values else ():
            rows = await self._store.read(lambda query, sql=sql: query.execute(sql, {"values": values}))  # type: ignore[misc]
            for part in _parts(rows):
                raw = sorted({row[1] for row in part} - {""})
                gone.add(await self._store.write(_drop_raw, (table, tuple(row[0] for row in part), tuple(raw))))

    async def _take_traces(self, person: Person, gone: _Gone) -> None:
        """Take the raw rows in which an address of theirs stands, and the address out of facts."""
        if (traces := persons.traces_of(person)) is None:
            return
        async for found in self._with_traces(_ENVELOPES, "", traces):
            gone.add(await self._store.write(_drop_raw, ("", (), tuple(found))))
        async for found in self._with_traces(_EXCHANGES, 0, traces):
            await self._store.write(_drop_raw, ("exchange", tuple(found), ()))
        async for found in self._with_traces(_FACTS, 0, traces):
            await self._store.write(_blot_facts, (traces, tuple(found)))

    async def _with_traces(self, sql: str, first: Any, traces: re.Pattern[bytes]) -> AsyncIterator[list[Any]]:
        """Walk through a table; gives the keys of those rows that hold a trace."""
        after = first
        while looked := await self._store.read(_Looked(sql, after, traces)):
            found = [key for key, holds, body in looked if holds or (body and await self._holds(body, traces))]
            if found:
                yield found
            after = looked[-1][0]

    async def _holds(self, body: str, traces: re.Pattern[bytes]) -> bool:
        whole = bytearray()
        try:
            async for block in self._files.open(body):
                whole += block
        except NotFound:
            return False
        return await asyncio.to_thread(traces.search, whole) is not None


async def cleared(
    store: Store, files: Chunks, clock: Clock, messages: set[str], envelopes: int, hashes: set[str], *, alone: bool
) -> Forgotten:
    """Drop the contents that no row names any more, and clear the database's own files; gives what is gone."""
    now = clock.now()
    before = now + timedelta(seconds=1) if alone else now - _ON_ITS_WAY
    dropped = await drop_unneeded(store, files, sorted(hashes), before)
    later = await store.read(lambda query: _unnamed(query, hashes - dropped))
    return Forgotten(
        messages=len(messages),
        envelopes=envelopes,
        files=len(dropped),
        files_later=len(later),
        scrubbed=await store.scrub(),
    )


@dataclass(frozen=True, slots=True)
class _Looked:
    """Look through some rows in a reader's thread: (key, whether it holds a trace, where more of it lies)."""

    sql: str
    after: Any
    traces: re.Pattern[bytes]

    def __call__(self, query: Query) -> list[tuple[Any, bool, str]]:
        rows = query.execute(self.sql, {"after": self.after, "most": _LOOKED_AT})
        return [(key, any(map(self._holds, values)), body) for key, body, *values in rows]

    def _holds(self, value: Any) -> bool:
        return self.traces.search(value.encode() if isinstance(value, str) else bytes(value)) is not None


@dataclass(frozen=True, slots=True)
class _Results:
    """Give some results of callers' keys."""

    after: tuple[str, str]

    def __call__(self, query: Query) -> list[Row]:
        return query.execute(_RESULTS, {"principal": self.after[0], "key": self.after[1], "most": _LOOKED_AT})


_RESULTS = """
    SELECT principal, key, result FROM idempotency WHERE (principal, key) > (:principal, :key)
    ORDER BY principal, key LIMIT :most
"""
# Key, the file where the rest lies, and what is looked through.
_ENVELOPES = """
    SELECT id, body_ref, body, query, path, headers, unread, remote FROM envelope
    WHERE id > :after ORDER BY id LIMIT :most
"""
_EXCHANGES = "SELECT id, '', request, answer, what FROM exchange WHERE id > :after ORDER BY id LIMIT :most"
_FACTS = "SELECT seq, '', small FROM fact WHERE seq > :after ORDER BY seq LIMIT :most"
_CHANGES_BY = "SELECT id, envelope_id FROM change WHERE by_address IN (:values[]) ORDER BY id"
_REPORTS_OF = "SELECT id, envelope_id FROM report WHERE recipient IN (:values[]) ORDER BY id"


def _parts(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (keys[i : i + _ROWS] for i in range(0, len(keys), _ROWS))


def _unnamed(query: Query, hashes: Iterable[str]) -> frozenset[str]:
    """Give those of these contents that no row names."""
    wanted = sorted(hashes)
    return frozenset(wanted) - needed(query, wanted) if wanted else frozenset()


# --- what was said ---------------------------------------------------------------------------------------

_MESSAGES = """
    SELECT id, envelope_id, account, external_id FROM message WHERE conversation_id IN (:ids[])
    ORDER BY conversation_id, n LIMIT :most
"""
_DELIVERIES = "SELECT id, account, external_id FROM delivery WHERE message_id IN (:ids[])"
_REPORTED = "SELECT DISTINCT envelope_id FROM report WHERE delivery_id IN (:ids[])"
_BODIES = "SELECT DISTINCT body_ref FROM envelope WHERE id IN (:ids[]) AND body_ref <> ''"
_FILES = "SELECT DISTINCT sha256 FROM attachment WHERE message_id IN (:ids[]) AND sha256 <> ''"
_CHANGED = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT c.id, c.envelope_id FROM v JOIN change c ON c.account = v.account AND c.external_id = v.external_id
    UNION SELECT id, envelope_id FROM change WHERE message_id IN (:messages[])
"""
_WAITING_REPORTS = "DELETE FROM report WHERE delivery_id IS NULL AND account = :account AND external_id = :external"


def drop_messages(tx: Tx, items: Sequence[Sequence[str]]) -> Sequence[_Gone]:
    """Delete the first messages of conversations, with all that belongs to them; nothing: there are none."""
    return [_drop_messages(tx, tx.execute(_MESSAGES, {"ids": list(ids), "most": _ROWS})) for ids in items]


def _drop_messages(tx: Tx, rows: Sequence[Row]) -> _Gone:
    if not rows:
        return _Gone()
    messages = sorted(row[0] for row in rows)
    parts = tx.execute(_DELIVERIES, {"ids": messages})
    deliveries = sorted(row[0] for row in parts)
    envelopes = {row[1] for row in rows}
    envelopes |= {row[0] for row in tx.execute(_REPORTED, {"ids": deliveries})} if deliveries else set()
    external = sorted({(account, id_) for _, _, account, id_ in rows if id_} | {(a, id_) for _, a, id_ in parts if id_})
    changes = tx.execute(_CHANGED, {"ids": external or [("", "")], "messages": messages})
    raw = sorted((envelopes | {row[1] for row in changes}) - {""})
    gone = _drop_envelopes(tx, raw)
    gone.messages.update(messages)
    gone.hashes |= {row[0] for row in tx.execute(_FILES, {"ids": messages})}
    _delete(tx, "message", "id", messages)
    _delete(tx, "change", "id", sorted(row[0] for row in changes))
    _delete(tx, "delivery", "id", deliveries)
    _delete(tx, "report", "delivery_id", deliveries)
    tx.many(_WAITING_REPORTS, external)
    _delete(tx, "attachment", "message_id", messages)
    _drop_lanes(tx, [f"fetch:{message}" for message in messages])
    lanes.drop(tx, "send", deliveries)
    _delete(tx, "exchange", "delivery_id", deliveries)
    return gone


def _delete(tx: Tx, table: str, column: str, keys: Sequence[Any]) -> int:
    if not keys:
        return 0
    return len(tx.execute(f"DELETE FROM {table} WHERE {column} IN (:keys[]) RETURNING 1", {"keys": keys}))


def _drop_lanes(tx: Tx, subjects: Sequence[str]) -> None:
    """Delete lanes with what they promise, whoever serves them."""
    if not subjects:
        return
    ids = [row[0] for row in tx.execute("SELECT id FROM lane WHERE subject IN (:subjects[])", {"subjects": subjects})]
    if ids:
        tx.lock("lane", ids)
        _delete(tx, "lane", "id", ids)
        _delete(tx, "task", "lane_id", ids)


# --- what is raw ---------------------------------------------------------------------------------------------


def _drop_results(tx: Tx, items: Sequence[Sequence[tuple[str, str]]]) -> Sequence[None]:
    for keys in items:
        tx.many("DELETE FROM idempotency WHERE principal = :principal AND key = :key", sorted(keys))
    return [None] * len(items)


def _drop_raw(tx: Tx, items: Sequence[tuple[str, Sequence[int], Sequence[str]]]) -> Sequence[_Gone]:
    """Delete rows of (table, ids, envelopes that brought them)."""
    results = []
    for table, ids, envelopes in items:
        results.append(_drop_envelopes(tx, envelopes))
        _delete(tx, table, "id", ids)
    return results


def _drop_envelopes(tx: Tx, ids: Sequence[str]) -> _Gone:
    if not ids:
        return _Gone()
    hashes = {row[0] for row in tx.execute(_BODIES, {"ids": ids})}
    return _Gone(envelopes=_delete(tx, "envelope", "id", ids), hashes=hashes)


def _blot_facts(tx: Tx, items: Sequence[tuple[re.Pattern[bytes], Sequence[int]]]) -> Sequence[None]:
    """Take addresses out of the small values of facts: a timer's key, or what a plugin told."""
    for traces, seqs in items:
        rows = tx.execute("SELECT seq, small FROM fact WHERE seq IN (:ids[])", {"ids": seqs})
        changed = [(traces.sub("…".encode(), small.encode()).decode(), seq) for seq, small in sorted(rows)]
        tx.many("UPDATE fact SET small = :small WHERE seq = :seq", changed)
    return [None] * len(items)


# --- the person ----------------------------------------------------------------------------------------------

_ANY = "SELECT 1 FROM message WHERE conversation_id IN (:ids[]) LIMIT 1"
_ADDRESS_IDS = "SELECT id FROM address WHERE contact_id = :id ORDER BY id"
_NOTIFICATIONS = "SELECT id FROM notification WHERE conversation IN (:ids[])"
_NOTICES = "SELECT account, name FROM keep WHERE name LIKE :name"
_OF_PLACES = """
    SELECT c.account, c.address_id, a.contact_id, a.value FROM conversation c JOIN address a ON a.id = c.address_id
    WHERE c.id IN (:ids[])
"""
_NAMELESS = """
    SELECT id FROM address WHERE id IN (:ids[])
    AND NOT EXISTS (SELECT 1 FROM conversation c WHERE c.address_id = address.id) ORDER BY id
"""
_ALONE = """
    SELECT id FROM contact WHERE id IN (:ids[])
    AND NOT EXISTS (SELECT 1 FROM address a WHERE a.contact_id = contact.id) ORDER BY id
"""


def _forget_person(tx: Tx, items: Sequence[tuple[str, Hook, str, int]]) -> Sequence[Person | None]:
    """Delete a person; gives them as they are now where something was said meanwhile, which has to go first."""
    return [_forget_one(tx, *item) for item in items]


def _forget_one(tx: Tx, contact: str, plugins: Hook, by: str, messages: int) -> Person | None:
    tx.lock("contact", [contact])
    person = persons.by_contact(tx, contact)
    if person is None:
        return None
    conversations = list(person.conversations)
    tx.lock("conversation", conversations)
    if conversations and tx.one(_ANY, {"ids": conversations}):
        return person
    _drop_places(tx, conversations)
    addresses = [row[0] for row in tx.execute(_ADDRESS_IDS, {"id": contact})]
    _delete(tx, "contact", "id", [contact])
    _delete(tx, "address", "id", addresses)
    _delete(tx, "alias", "address_id", addresses)
    plugins(tx, person)
    tx.tell("contact.forgotten", ids={"contact": contact}, small={"messages": messages, "by": by})
    return None


def _drop_places(tx: Tx, conversations: Sequence[str]) -> list[Row]:
    """Delete conversations in which nothing is said any more, and what waits in them; gives whose they were."""
    if not conversations:
        return []
    whose = tx.execute(_OF_PLACES, {"ids": conversations})
    notifications = sorted(row[0] for row in tx.execute(_NOTIFICATIONS, {"ids": conversations}))
    for conversation in conversations:
        notices = tx.execute(_NOTICES, {"name": f"notice:{conversation}:%"})
        tx.many("DELETE FROM keep WHERE account = :account AND name = :name", notices)
    _delete(tx, "conversation", "id", conversations)
    _delete(tx, "parked", "conversation", conversations)
    signals = sorted({f"{account}:{value}" for account, _, _, value in whose})
    _drop_lanes(tx, [*conversations, *notifications, *signals])
    _delete(tx, "timer", "subject", conversations)
    _delete(tx, "notification", "id", notifications)
    _delete(tx, "notification_medium", "notification_id", notifications)
    return whose


def drop_places(tx: Tx, items: Sequence[Sequence[str]]) -> Sequence[None]:
    """Delete conversations in which nothing is said any more, and people who have no other one."""
    for ids in items:
        tx.lock("conversation", ids)
        whose = [] if tx.one(_ANY, {"ids": ids}) else _drop_places(tx, ids)
        addresses = sorted({row[1] for row in whose})
        alone = [row[0] for row in tx.execute(_NAMELESS, {"ids": addresses})] if addresses else []
        _delete(tx, "address", "id", alone)
        _delete(tx, "alias", "address_id", alone)
        contacts = sorted({row[2] for row in whose})
        _delete(tx, "contact", "id", [r[0] for r in tx.execute(_ALONE, {"ids": contacts})] if contacts else [])
    return [None] * len(items)


def drop_rows(tx: Tx, items: Sequence[tuple[str, Sequence[Any]]]) -> Sequence[_Gone]:
    """Delete rows of (table, ids) that belong to nothing else; gives the contents that they named."""
    results = []
    for table, ids in items:
        if table == "envelope":
            results.append(_drop_envelopes(tx, list(ids)))
            continue
        named = tx.execute(_CONTENTS, {"ids": ids}) if table == "attachment" else []
        _delete(tx, table, "id", ids)
        results.append(_Gone(hashes={row[0] for row in named}))
    return results


_CONTENTS = "SELECT DISTINCT sha256 FROM attachment WHERE id IN (:ids[]) AND sha256 <> ''"
