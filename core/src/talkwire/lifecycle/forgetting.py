"""Somebody is forgotten: what they said, what was said to them, and what names them.

    slices of messages, until there are none ─▶ traces in what is raw ─▶ the person ─▶ files ─▶ the database's own files

The rows go; facts stay, which hold ids and small values. Who is cut off begins anew: the person goes last.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..clock import Clock
from ..errors import Conflict, NotFound
from ..media.files import Chunks
from ..model import Person
from ..store import Query, Row, Scrubbed, Store, Tx
from . import bystanders, persons
from .dropping import Gone, delete, drop_messages, drop_raw, is_anything_said, places_gone
from .purging import drop_unneeded, needed

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
    scrubbed: Scrubbed = Scrubbed.CLEAN


class Forgetting:
    """Forgets people."""

    def __init__(
        self,
        store: Store,
        files: Chunks,
        clock: Clock,
        plugins: Hook,
        *,
        alone: bool = False,
        rewrite: bool | None = None,
    ) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._plugins = plugins  # lets plugins forget, in the transaction that ends it
        self._alone = alone  # nobody else puts files here now
        self._rewrite = rewrite  # an SQLite file; None: where it is small

    async def forget(self, contact: str, by: str) -> Forgotten:
        """Forget a contact with all addresses; it is gone when this returns, and may be called again after an error.

        With whom they are merged meanwhile is the same person, and is forgotten with them.

        Errors: `NotFound`; what a plugin's hook raised: then what was said is gone, and the person is still known.
        """
        person = await self._store.read(lambda query: persons.by_contact(query, contact))
        if person is None:
            raise NotFound(f"there is no contact {contact}")
        addresses = await self._store.read(lambda query: _addresses(query, contact))
        gone = Gone()
        for _ in range(_ROUNDS):
            await self._take_said(person, gone)
            await self._take_done(person, gone)
            await self._take_traces(person, gone)
            left = await self._store.write(_forget_person, (person, addresses, self._plugins, by, len(gone.messages)))
            if left is None:
                return await cleared(
                    self._store, self._files, self._clock, gone, alone=self._alone, rewrite=self._rewrite
                )
            person = left
        raise Conflict("they write faster than they are forgotten; pause their account first")

    async def _take_said(self, person: Person, gone: Gone) -> None:
        """Take what was said, slice by slice, and the results that callers' keys would give again."""
        said = Gone()
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

    async def _take_done(self, person: Person, gone: Gone) -> None:
        """Take what they did to messages that are not theirs, and reports that name them."""
        values = list(persons.values_of(person))
        for table, sql in (("change", _CHANGES_BY), ("report", _REPORTS_OF)) if values else ():
            rows = await self._store.read(lambda query, sql=sql: query.execute(sql, {"values": values}))  # type: ignore[misc]
            for part in _parts(rows):
                raw = sorted({row[1] for row in part} - {""})
                gone.add(await self._store.write(drop_raw, (table, tuple(row[0] for row in part), tuple(raw))))

    async def _take_traces(self, person: Person, gone: Gone) -> None:
        """Take the raw rows in which an address of theirs stands, and the address out of all else that names them."""
        if (traces := persons.traces_of(person)) is None:
            return
        values = frozenset(value.lower() for value in persons.values_of(person))
        async for found in self._with_traces(bystanders.NAMED, "", traces):
            gone.add(await self._store.write(bystanders.take_out, (values, traces, tuple(found))))
        async for found in self._with_traces(_ENVELOPES, "", traces):
            gone.add(await self._store.write(drop_raw, ("", (), tuple(found))))
        async for found in self._with_traces(_EXCHANGES, 0, traces):
            await self._store.write(drop_raw, ("exchange", tuple(found), ()))
        async for found in self._with_traces(_FACTS, 0, traces):
            await self._store.write(_blot_facts, (traces, tuple(found)))
        async for found in self._with_traces(_NOTIFICATIONS, "", traces):
            await self._store.write(_empty_notifications, tuple(found))

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
    store: Store, files: Chunks, clock: Clock, gone: Gone, *, alone: bool, rewrite: bool | None = None
) -> Forgotten:
    """Drop the contents that no row names any more, and clear the database's own files; gives what is gone."""
    now = clock.now()
    before = now + timedelta(seconds=1) if alone else now - _ON_ITS_WAY
    dropped = await drop_unneeded(store, files, sorted(gone.hashes), before)
    later = await store.read(lambda query: _unnamed(query, gone.hashes - dropped))
    return Forgotten(
        messages=len(gone.messages),
        envelopes=gone.envelopes,
        files=len(dropped),
        files_later=len(later),
        scrubbed=await store.scrub(rewrite=rewrite),
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
_NOTIFICATIONS = """
    SELECT id, '', title, text, details, actions FROM notification WHERE id > :after ORDER BY id LIMIT :most
"""
_CHANGES_BY = "SELECT id, envelope_id FROM change WHERE by_address IN (:values[]) ORDER BY id"
_REPORTS_OF = "SELECT id, envelope_id FROM report WHERE recipient IN (:values[]) ORDER BY id"


def _parts(keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (keys[i : i + _ROWS] for i in range(0, len(keys), _ROWS))


def _unnamed(query: Query, hashes: Iterable[str]) -> frozenset[str]:
    """Give those of these contents that no row names."""
    wanted = sorted(hashes)
    return frozenset(wanted) - needed(query, wanted) if wanted else frozenset()


# --- what is raw ---------------------------------------------------------------------------------------------


def _drop_results(tx: Tx, items: Sequence[Sequence[tuple[str, str]]]) -> Sequence[None]:
    for keys in items:
        tx.many("DELETE FROM idempotency WHERE principal = :principal AND key = :key", sorted(keys))
    return [None] * len(items)


def _blot_facts(tx: Tx, items: Sequence[tuple[re.Pattern[bytes], Sequence[int]]]) -> Sequence[None]:
    """Take addresses out of the small values of facts: a timer's key, or what a plugin told."""
    for traces, seqs in items:
        rows = tx.execute("SELECT seq, small FROM fact WHERE seq IN (:ids[])", {"ids": seqs})
        changed = [(traces.sub("…".encode(), small.encode()).decode(), seq) for seq, small in sorted(rows)]
        tx.many("UPDATE fact SET small = :small WHERE seq = :seq", changed)
    return [None] * len(items)


_EMPTY = "UPDATE notification SET title = kind, text = '', details = '[]' WHERE id = :id"


def _empty_notifications(tx: Tx, items: Sequence[Sequence[str]]) -> Sequence[None]:
    """Take the content out of notifications that name somebody, and stand in no conversation of theirs.

    That somebody was told something, and what became of it, stays.
    """
    for ids in items:
        tx.lock("notification", ids)
        tx.many(_EMPTY, [{"id": id_} for id_ in sorted(ids)])
    return [None] * len(items)


# --- the person ----------------------------------------------------------------------------------------------

_ADDRESS_IDS = "SELECT id FROM address WHERE contact_id = :id ORDER BY id"
_WHOSE = "SELECT contact_id FROM address WHERE id IN (:ids[]) ORDER BY id LIMIT 1"
_Last = tuple[Person, Sequence[str], Hook, str, int]


def _addresses(query: Query, contact: str) -> list[str]:
    return [row[0] for row in query.execute(_ADDRESS_IDS, {"id": contact})]


def _forget_person(tx: Tx, items: Sequence[_Last]) -> Sequence[Person | None]:
    """Delete persons, each with the addresses that they had at first.

    Gives them as they are now where something was said meanwhile, or they have other names: that has to go first.
    """
    return [_forget_one(tx, *item) for item in items]


def _forget_one(
    tx: Tx, known: Person, addresses: Sequence[str], plugins: Hook, by: str, messages: int
) -> Person | None:
    contact = known.contact
    tx.lock("contact", [contact])
    person = persons.by_contact(tx, contact)
    if person is None:
        return _merged(tx, addresses)
    conversations = list(person.conversations)
    tx.lock("conversation", conversations)
    if is_anything_said(tx, conversations) or persons.values_of(person) != persons.values_of(known):
        return person
    places_gone(tx, conversations)
    now = _addresses(tx, contact)
    delete(tx, "contact", "id", [contact])
    delete(tx, "address", "id", now)
    delete(tx, "alias", "address_id", now)
    plugins(tx, person)
    tx.tell("contact.forgotten", ids={"contact": contact}, small={"messages": messages, "by": by})
    return None


def _merged(tx: Tx, addresses: Sequence[str]) -> Person | None:
    """Give whoever has these addresses since two contacts were made one; None: nobody has."""
    row = tx.one(_WHOSE, {"ids": addresses}) if addresses else None
    return persons.by_contact(tx, row[0]) if row else None
