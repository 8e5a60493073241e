"""Many writes in one commit, each caller with its own result."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from talkwire.errors import StoreDown
from talkwire.store import Store, Tx, goes_first

from .conftest import OpenStore, keep, kept

NULL = r"(?i)null"  # either database, where a name is missing


@asynccontextmanager
async def busy_writers(store: Store) -> AsyncIterator[None]:
    """Hold every writer, so that what is written meanwhile waits; at the end nobody holds one any more."""
    go = threading.Event()
    holding = [asyncio.ensure_future(store.write(_holder(go), None)) for _ in store._writers]
    try:
        yield
    finally:
        go.set()
        await asyncio.gather(*holding)


def _holder(go: threading.Event):  # type: ignore[no-untyped-def]
    def hold(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        go.wait(20)
        return [None] * len(items)

    return hold


async def _waiting(store: Store, *names: str) -> list[asyncio.Task[int]]:
    """Let writes wait behind busy writers; every holder has its writer before the first of them is put."""
    async with asyncio.timeout(20):
        while len(store.holders) < len(store._writers):
            await asyncio.sleep(0.001)
    tasks = [asyncio.create_task(store.write(keep, name)) for name in names]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_is_written_by_one_call_in_one_commit(store: Store) -> None:
    async with busy_writers(store):
        tasks = await _waiting(store, "a", "b", "c")
        before = store.commits
    assert await asyncio.gather(*tasks) == [3, 3, 3]
    assert await kept(store) == ["a", "b", "c"]
    assert store.commits - before <= len(store._writers) + 1


async def test_one_bad_item_of_a_group_reaches_only_its_caller(store: Store) -> None:
    async with busy_writers(store):
        tasks = await _waiting(store, "a", "bad", "c")
    good, bad, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert (good, other) == (1, 1)  # each ran alone
    assert isinstance(bad, Exception)
    assert not isinstance(bad, StoreDown)
    assert await kept(store) == ["a", "c"]


async def test_a_bad_group_takes_no_other_function_of_the_commit_with_it(store: Store) -> None:
    def other(tx: Tx, items: Sequence[str]) -> Sequence[str]:
        tx.many("INSERT INTO meta (name, value) VALUES (:name, 'other')", [{"name": item} for item in items])
        tx.tell("test.told")
        return items

    async with busy_writers(store):
        tasks = await _waiting(store, "bad")
        fine = asyncio.create_task(store.write(other, "fine"))
        await asyncio.sleep(0)
    assert await fine == "fine"
    with pytest.raises(Exception, match=NULL):
        await tasks[0]
    assert await kept(store) == ["fine"]


async def test_what_a_bad_item_told_or_hinted_is_not_told(store: Store) -> None:
    def tells(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        for item in items:
            tx.tell(f"test.{item}")
            if item == "bad":
                raise ValueError(item)
        return [None] * len(items)

    results = await asyncio.gather(
        *(store.write(tells, item) for item in ("good", "bad", "also")), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), ValueError, type(None)]
    rows = await store.read(lambda query: query.execute("SELECT seq, type FROM fact ORDER BY seq"))
    assert sorted(row[1] for row in rows) == ["test.also", "test.good"]
    assert [row[0] for row in rows] == [1, 2]


async def test_a_function_that_gives_too_few_results_fails_for_its_callers_alone(store: Store) -> None:
    def forgets(tx: Tx, items: Sequence[str]) -> Sequence[str]:
        return []

    with pytest.raises(TypeError, match="0 results for 1 items"):
        await store.write(forgets, "x")
    assert await store.write(keep, "a") == 1


async def test_what_leaves_a_function_by_the_back_door_is_rolled_back(store: Store) -> None:
    def leaves(tx: Tx, items: Sequence[str]) -> Sequence[str]:
        keep(tx, items)
        raise KeyboardInterrupt

    with pytest.raises(StoreDown):
        await store.write(leaves, "gone")
    assert await store.write(keep, "a") == 1  # the writer lives
    assert await kept(store) == ["a"]


async def test_a_caller_who_leaves_takes_nobody_with_him(store: Store) -> None:
    async with busy_writers(store):
        first, second = await _waiting(store, "a", "b")
        first.cancel()
    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await kept(store) == ["a", "b"]  # what was put is written all the same
    assert store.waiting == 0


async def test_closing_writes_what_waits_and_takes_no_more(open_store: OpenStore, database_url: str) -> None:
    store = await open_store(database_url)
    async with busy_writers(store):
        tasks = await _waiting(store, "a", "b")
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0.01)
    await closing
    assert await asyncio.gather(*tasks) == [2, 2]
    with pytest.raises(StoreDown, match="closed"):
        await store.write(keep, "late")
    assert await kept(await open_store(database_url)) == ["a", "b"]


async def test_what_goes_first_is_written_first(open_store: OpenStore, sqlite_url: str) -> None:
    order: list[str] = []

    def second(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        order.append("second")
        return [None] * len(items)

    @goes_first
    def first(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        order.append("first")
        return [None] * len(items)

    store = await open_store(sqlite_url)
    async with busy_writers(store):
        await _waiting(store)
        tasks = [asyncio.ensure_future(store.write(fn, "x")) for fn in (second, first)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == ["first", "second"]


@pytest.mark.needs("postgres")
async def test_what_goes_first_is_one_writers_at_a_time_and_holds_up_no_other(
    open_store: OpenStore, postgres_with_tables: str
) -> None:
    store = await open_store(postgres_with_tables)
    groups: list[int] = []
    entered, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @goes_first
    def first(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        groups.append(len(items))
        loop.call_soon_threadsafe(entered.set)
        go.wait(20)
        return [None] * len(items)

    writes = [asyncio.ensure_future(store.write(first, None))]
    await entered.wait()
    for n in range(3):
        writes.append(asyncio.ensure_future(store.write(first, None)))
        assert await store.write(keep, f"{n}") == 1  # an idle writer had time to take what waits
    go.set()
    await asyncio.gather(*writes)
    assert groups == [1, 3]


async def test_wake_ups_happen_after_the_commit_and_on_the_loop(store: Store) -> None:
    seen: list[tuple[list[str], bool]] = []
    hints: list[tuple[int, set[str]]] = []
    store.committed.append(lambda facts, loops: hints.append((facts, loops)))
    done = asyncio.Event()
    loop_thread = threading.get_ident()

    def wakes(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        keep(tx, items)
        tx.tell("test.told")
        tx.hint("lanes")

        def wake() -> None:
            seen.append(([], threading.get_ident() == loop_thread))
            done.set()

        tx.after_commit(wake)
        return [None] * len(items)

    await store.write(wakes, "a")
    await done.wait()
    assert seen == [([], True)]
    assert (1, {"lanes"}) in hints
    assert await kept(store) == ["a"]


async def test_a_wake_up_of_what_was_rolled_back_never_happens(store: Store) -> None:
    woken: list[str] = []

    def wakes(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        tx.after_commit(lambda: woken.append(items[0]))
        keep(tx, items)
        return [None] * len(items)

    with pytest.raises(Exception, match=NULL):
        await store.write(wakes, "bad")
    await store.write(wakes, "good")
    await asyncio.sleep(0)
    assert woken == ["good"]


async def test_a_part_is_undone_alone(store: Store) -> None:
    def parts(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        keep(tx, ["before"])
        tx.tell("test.before")
        try:
            with tx.part():
                keep(tx, ["inside"])
                tx.tell("test.inside")
                tx.after_commit(lambda: pytest.fail("it was undone"))
                keep(tx, ["bad"])
        except Exception:  # each driver has its own
            tx.tell("test.undone")
        keep(tx, ["after"])
        return [None] * len(items)

    await store.write(parts, "x")
    assert await kept(store) == ["after", "before"]
    assert [r[0] for r in await store.read(lambda q: q.execute("SELECT type FROM fact ORDER BY seq"))] == [
        "test.before",
        "test.undone",
    ]


async def test_what_is_kept_for_the_end_is_written_once_for_all_without_what_was_undone(store: Store) -> None:
    calls: list[list[str]] = []

    def write(tx: Tx, names: list[str]) -> None:
        calls.append(sorted(names))
        keep(tx, names)

    def later(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        for item in items:
            tx.last(write, [item])
        with contextlib.suppress(ValueError), tx.part():
            tx.last(write, ["undone"])
            raise ValueError
        return [None] * len(items)

    async with busy_writers(store):
        await _waiting(store)
        tasks = [asyncio.ensure_future(store.write(later, name)) for name in ("b", "a")]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert calls == [["a", "b"]]
    assert await kept(store) == ["a", "b"]


async def test_what_an_index_or_a_statement_cannot_hold_is_its_items_fault_and_not_the_databases(store: Store) -> None:
    """Else one such item would tell all others of its group that the database is down, each time it comes again."""

    def look_for(tx: Tx, items: Sequence[int]) -> Sequence[int]:
        names = [f"{n}" for count in items for n in range(count)]
        return [len(tx.execute("SELECT name FROM meta WHERE name IN (:names[])", {"names": names}))] * len(items)

    long = "".join(random.Random(1).choices("0123456789abcdef", k=20_000))  # PostgreSQL indexes 2,704 bytes
    async with busy_writers(store):
        tasks = await _waiting(store, "a", long, "c")
        looks = [asyncio.create_task(store.write(look_for, count)) for count in (3, 40_000)]
        await asyncio.sleep(0)
    first, _, other, few, many = await asyncio.gather(*tasks, *looks, return_exceptions=True)
    assert not isinstance(first, Exception)
    assert not isinstance(other, Exception)
    assert not isinstance(few, Exception)
    assert not isinstance(many, StoreDown)
    assert {"a", "c"} <= set(await kept(store))
