"""Two daemons on one PostgreSQL: whoever is merged while somebody writes of them is one person afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from talkwire import people
from talkwire.clock import SystemClock
from talkwire.model import Address, Alias
from talkwire.store import Store, Tx

ANN, BOB, CHRIS = (Address(kind="phone", value=f"+62812000000{n}") for n in range(3))
_CONTACTS = "SELECT value, contact_id FROM address"
_LOST = """
    SELECT 'conversation', id FROM conversation WHERE contact_id NOT IN (SELECT id FROM contact)
    UNION ALL SELECT 'address', id FROM address WHERE contact_id NOT IN (SELECT id FROM contact)
"""
_WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

pytestmark = [pytest.mark.needs("postgres"), pytest.mark.timeout(90)]


@pytest_asyncio.fixture
async def daemons(postgres_with_tables: str) -> AsyncIterator[tuple[Store, Store]]:
    stores = Store(postgres_with_tables, SystemClock()), Store(postgres_with_tables, SystemClock())
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()


class Meanwhile:
    """Lets one transaction stand still, uncommitted, until another has ended or waits for it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.begun = threading.Event()
        self.ended = threading.Event()

    def stand_still(self) -> None:
        self.begun.set()
        until = time.monotonic() + 10
        with psycopg.connect(self.url, autocommit=True) as looking:
            while not self.ended.is_set() and looking.execute(_WAITING).fetchone() is None:
                assert time.monotonic() < until, "the other neither ended nor waits"


async def meet(
    url: str, stores: tuple[Store, Store], first: Callable[[Tx], None], second: Callable[[Tx], None]
) -> None:
    """Run two transactions, of which the second begins while the first stands still, uncommitted."""
    meanwhile = Meanwhile(url)
    before = asyncio.create_task(run(stores[0], first, meanwhile.stand_still))
    await asyncio.to_thread(meanwhile.begun.wait, 10)
    try:
        await run(stores[1], second)
    finally:
        meanwhile.ended.set()
        await before


def said(address: Address, thread: str = "", *, aliases: Sequence[Address] = ()) -> Callable[[Tx], None]:
    """Write of somebody, as an inbound message does."""
    wanted = Address(
        kind=address.kind, value=address.value, aliases=tuple(Alias(one.kind, one.value) for one in aliases)
    )

    def write(tx: Tx) -> None:
        person = people.resolve(tx, [("shop", wanted)])[people.key_of("shop", wanted)]
        people.places(tx, {("shop", person.address, thread): ("acme", person.contact)})

    return write


def merged(one: Address, into: Address) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        found = people.resolve(tx, [("shop", one), ("shop", into)])
        old, new = (found[people.key_of("shop", address)].contact for address in (one, into))
        if old != new:
            people.merge(tx, old, new)

    return write


async def run(store: Store, write: Callable[[Tx], None], then: Callable[[], Any] = lambda: None) -> None:
    def one(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        write(tx)
        then()
        return items

    await store.write(one, None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (said(ANN, "orders"), merged(ANN, BOB)),
        (merged(ANN, BOB), said(ANN, "orders")),
        (said(CHRIS, "new", aliases=[ANN]), merged(ANN, BOB)),
        (merged(ANN, BOB), said(CHRIS, "new", aliases=[ANN])),
        (merged(ANN, BOB), merged(BOB, ANN)),
    ],
    ids=["talk-merge", "merge-talk", "address-merge", "merge-address", "merge-merge"],
)
async def test_nobody_who_is_written_of_while_two_contacts_are_merged_is_lost(
    daemons: tuple[Store, Store], postgres_with_tables: str, first: Callable[[Tx], None], second: Callable[[Tx], None]
) -> None:
    one, _ = daemons
    await run(one, said(ANN))
    await run(one, said(BOB))
    await meet(postgres_with_tables, daemons, first, second)
    assert await one.read(lambda query: query.execute(_LOST)) == []
    contacts = dict(await one.read(lambda query: query.execute(_CONTACTS)))
    assert len(set(contacts.values())) == 1
