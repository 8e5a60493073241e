"""Three writers, deadlocks and a reader on one PostgreSQL: no fact is lost, and their numbers are the order of commits."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import psycopg
import pytest

from talkwire.clock import SystemClock
from talkwire.errors import StoreDown
from talkwire.readmodels import facts as page
from talkwire.store import Store, Tx

ROWS = 40  # few rows, taken crosswise: deadlocks are certain
_UPDATE = "UPDATE meta SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE name = :name"


class Teller:
    """One of the writers: takes two rows in any order, then tells."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.chance = random.Random(seed)
        self.runs = 0

    def tell(self, tx: Tx, items: Sequence[int]) -> Sequence[int]:
        self.runs += 1
        for item in items:
            for name in self.chance.sample(range(ROWS), 2):
                tx.execute(_UPDATE, {"name": f"row{name}"})
            if self.chance.random() < 0.02:
                raise ValueError(item)  # its group runs one by one
            tx.tell("test.told", conversation=f"c{self.number}", small={"item": item, "writer": self.number})
        return items


@pytest.mark.needs("postgres")
@pytest.mark.timeout(120)
async def test_three_writers_and_a_reader_lose_no_fact(
    postgres_with_tables: str, proving: bool, proof: Callable[[str, Mapping[str, object]], None]
) -> None:
    count = 20_000 if proving else 1_000
    seed = random.randrange(2**32)
    _notice_deadlocks_soon(postgres_with_tables)
    store = Store(postgres_with_tables, SystemClock())
    await store.open()
    began = time.monotonic()
    try:
        await store.write(_rows, None)
        before = _deadlocks(postgres_with_tables)
        tellers = [Teller(number, seed + number) for number in range(3)]
        reading = threading.Event()
        reader = asyncio.create_task(_read(store, reading))
        told: list[tuple[int, int]] = []
        failed = gave_way = 0

        async def client(number: int) -> None:
            nonlocal failed, gave_way
            for item in range(number, count, 48):
                teller = tellers[number % 3]
                try:
                    while not await _told(store, teller, item):
                        gave_way += 1  # it gave way twice, as providers are told 503
                    told.append((teller.number, item))
                except ValueError:
                    failed += 1

        await asyncio.gather(*(client(number) for number in range(48)))
        reading.set()
        seen = await reader
        rows = await store.read(lambda query: query.execute("SELECT seq FROM fact ORDER BY seq"))
        assert [row[0] for row in rows] == list(range(1, len(told) + 1)), f"seed {seed}: there are gaps"
        assert [fact.seq for fact in seen] == [row[0] for row in rows], f"seed {seed}: the reader missed some"
        kept = Counter((int(str(f.small["writer"])), int(str(f.small["item"]))) for f in seen)
        assert kept == Counter(told), f"seed {seed}: not what the callers were told"
        values = await store.read(lambda query: query.execute("SELECT sum(CAST(value AS INTEGER)) FROM meta"))
        assert values[0][0] == 2 * len(told), f"seed {seed}: a transaction was half done"
        deadlocks = _deadlocks(postgres_with_tables) - before
        proof(
            "contention-postgres",
            {
                "writers": 3,
                "facts told": len(told),
                "facts read while they were written": len(seen),
                "refused by their own function": failed,
                "gave way too often, told again": gave_way,
                "deadlocks resolved": deadlocks,
                "gaps": 0,
                "commits": store.commits,
                "seconds": round(time.monotonic() - began, 1),
                "seed": seed,
            },
        )
        assert deadlocks, "nothing was provoked"
    finally:
        await store.close()


async def _told(store: Store, teller: Teller, item: int) -> bool:
    try:
        await store.write(teller.tell, item)
    except StoreDown:
        return False
    return True


async def _read(store: Store, over: threading.Event) -> list:
    """Follow the log as a reader does, by `seq > cursor`, while it is written."""
    seen: list = []
    while True:
        last = over.is_set()
        after = seen[-1].seq if seen else 0
        found = await store.read(lambda query, after=after: page(query, after))
        seen += found.items
        if last and not found.items:
            return seen
        await asyncio.sleep(0)


def _rows(tx: Tx, items: Sequence[None]) -> Sequence[None]:
    tx.many("INSERT INTO meta (name, value) VALUES (:name, '0')", [{"name": f"row{n}"} for n in range(ROWS)])
    return [None] * len(items)


def _notice_deadlocks_soon(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET deadlock_timeout = 10')  # ms; else each costs a second


def _deadlocks(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_clear_snapshot()")
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    return row[0] if row else 0
