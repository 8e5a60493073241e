"""The numbers of facts: no gaps, and their order is the order of commits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from talkwire.errors import StoreDown
from talkwire.store import Store, Tx
from talkwire.store.writer import RunAgain

from .conftest import OpenStore, keep


def tells(tx: Tx, items: Sequence[int]) -> Sequence[None]:
    for item in items:
        tx.tell("test.told", conversation=f"c{item}", small={"item": item})
        if item % 7 == 0:
            raise ValueError(item)
    return [None] * len(items)


async def numbers(store: Store) -> tuple[list[int], int]:
    rows = await store.read(lambda query: query.execute("SELECT seq FROM fact ORDER BY seq"))
    head = await store.read(lambda query: query.execute("SELECT seq FROM log_head"))
    return [row[0] for row in rows], head[0][0]


async def test_numbers_have_no_gaps_whatever_fails_meanwhile(store: Store) -> None:
    await asyncio.gather(*(store.write(tells, i) for i in range(200)), return_exceptions=True)
    seqs, head = await numbers(store)
    good = sum(i % 7 != 0 for i in range(200))
    assert seqs == list(range(1, good + 1))
    assert head == good


async def test_facts_of_one_transaction_keep_the_order_in_which_they_were_told(store: Store) -> None:
    def three(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        for word in ("first", "second", "third"):
            tx.tell(f"test.{word}")
        return [None] * len(items)

    await store.write(three, None)
    rows = await store.read(lambda query: query.execute("SELECT type FROM fact ORDER BY seq"))
    assert [row[0] for row in rows] == ["test.first", "test.second", "test.third"]


@pytest.mark.parametrize("often", [1, 4])
async def test_a_transaction_that_had_to_give_way_is_run_again(store: Store, often: int) -> None:
    runs: list[int] = []

    def gives_way(tx: Tx, items: Sequence[str]) -> Sequence[int]:
        runs.append(len(items))
        result = keep(tx, items)
        tx.tell("test.told")
        if len(runs) <= often:
            raise RunAgain
        return result

    assert await store.write(gives_way, "a") == 1
    assert runs == [1] * (often + 1)
    assert (await numbers(store))[0] == [1]


async def test_a_transaction_that_has_to_give_way_for_ever_is_given_up_and_stops_no_other(store: Store) -> None:
    def gives_way(tx: Tx, items: Sequence[str]) -> Sequence[int]:
        keep(tx, items)
        raise RunAgain

    with pytest.raises(StoreDown):
        await store.write(gives_way, "a")
    assert await store.write(keep, "a") == 1


@pytest.mark.needs("postgres")
@pytest.mark.timeout(180)
async def test_a_real_deadlock_is_run_again_and_nobody_hears_of_it(
    postgres_with_tables: str, open_store: OpenStore
) -> None:
    """Two writers take two rows crosswise, and wait until both hold their first."""
    import threading

    store = await open_store(postgres_with_tables)
    await asyncio.gather(store.write(keep, "a"), store.write(keep, "b"))
    both = threading.Barrier(2)
    runs: list[str] = []

    def crosswise(name: str, first: str, second: str):  # type: ignore[no-untyped-def]
        def cross(tx: Tx, items: Sequence[None]) -> Sequence[None]:
            runs.append(name)
            tx.execute("UPDATE meta SET value = value || :mark WHERE name = :name", {"name": first, "mark": name})
            if runs.count(name) == 1:
                both.wait(20)
            tx.execute("UPDATE meta SET value = value || :mark WHERE name = :name", {"name": second, "mark": name})
            return [None] * len(items)

        return cross

    await asyncio.gather(
        store.write(crosswise("x", "a", "b"), None),
        store.write(crosswise("y", "b", "a"), None),
    )
    # Whoever gave way may come back before the other woke, and then they meet once more.
    assert len(runs) > 2
    values = await store.read(lambda query: query.execute("SELECT value FROM meta"))
    assert {"".join(sorted(row[0])) for row in values} == {"xy"}
