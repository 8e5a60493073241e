"""SQL that is written once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from talkwire.errors import TalkwireError
from talkwire.store import Query, Store, Tx
from talkwire.store.sql import bind, plain

from .conftest import keep


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 100])
async def test_lists_and_rows_of_any_length_find_exactly_what_they_name(store: Store, count: int) -> None:
    names = [f"n{i:03}" for i in range(count)]

    def put(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        keep(tx, [*names, "not asked for"])
        return [None] * len(items)

    await store.write(put, None)

    def look(query: Query) -> tuple[set[str], set[tuple[str, int]]]:
        by_list = query.execute("SELECT name FROM meta WHERE name IN (:names[])", {"names": names})
        by_rows = query.execute(
            "WITH v(name, n) AS (VALUES :rows[2]) SELECT m.name, v.n FROM v JOIN meta m ON m.name = v.name",
            {"rows": [(name, i) for i, name in enumerate(names)]},
        )
        return {row[0] for row in by_list}, set(by_rows)

    found, with_numbers = await store.read(look)
    assert found == set(names)
    assert with_numbers == {(name, i) for i, name in enumerate(names)}


@pytest.mark.parametrize("count", [1, 2, 3, 100])
async def test_an_update_of_many_rows_gives_each_its_own_values_and_no_other_row_any(store: Store, count: int) -> None:
    names = [f"n{i:03}" for i in range(count)]
    update = """
        UPDATE reader SET cursor = cursor + :more, error_at = CAST(:at AS BIGINT), last_error = :error
        WHERE name = :name
    """

    def put(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        tx.many(
            "INSERT INTO reader (name, cursor, moved_at) VALUES (:name, 5, 0)",
            [{"name": name} for name in (*names, "other")],
        )
        tx.update(update, [(i, None if i % 2 else 2**40, f"%s ? {i}", name) for i, name in enumerate(names)])
        tx.update(update, [])
        return [None] * len(items)

    await store.write(put, None)

    rows = await store.read(
        lambda query: query.execute("SELECT name, cursor, error_at, last_error FROM reader ORDER BY name")
    )
    expected = [(name, 5 + i, None if i % 2 else 2**40, f"%s ? {i}") for i, name in enumerate(names)]
    assert rows == [*expected, ("other", 5, None, "")]


async def test_a_statement_for_many_rows_says_which_are_new_only_when_asked(store: Store) -> None:
    """The RETURNING trap: sqlite3's executemany gives no rows for it, silently; so `many` gives none at all."""

    def put(tx: Tx, items: Sequence[list[tuple[str, str]]]) -> Sequence[set[str]]:
        results = []
        for rows in items:
            tx.many("INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING", rows)
            there = tx.execute("SELECT name, value FROM meta WHERE name IN (:n[])", {"n": [name for name, _ in rows]})
            mine = set(rows)
            results.append({name for name, value in there if (name, value) in mine})
        return results

    assert await store.write(put, [("a", "id1"), ("b", "id2")]) == {"a", "b"}
    assert await store.write(put, [("b", "id3"), ("c", "id4")]) == {"c"}


async def test_numbers_of_every_size_nulls_and_any_text_come_back_as_they_went(store: Store) -> None:
    values = (0, -1, 2**31, 2**62, None)
    texts = ("", "%s ? :name", "日本 😀", "'; DROP TABLE meta; --")

    def look(query: Query) -> tuple[list[object], list[object]]:
        numbers = [query.execute("SELECT CAST(:v AS BIGINT)", {"v": v})[0][0] for v in values]
        words = [query.execute("SELECT CAST(:v AS TEXT)", {"v": v})[0][0] for v in texts]
        return numbers, words

    assert await store.read(look) == (list(values), list(texts))


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        await store.read(lambda query: query.execute("DELETE FROM meta"))


async def test_a_reader_sees_one_moment(store: Store) -> None:
    looked, written = threading.Event(), threading.Event()

    def twice(query: Query) -> list[int]:
        first = query.execute("SELECT count(*) FROM meta")[0][0]
        looked.set()
        assert written.wait(20)
        return [first, query.execute("SELECT count(*) FROM meta")[0][0]]

    reading = asyncio.create_task(store.read(twice))
    await asyncio.to_thread(looked.wait, 20)
    await store.write(keep, "meanwhile")
    written.set()
    assert await reading == [0, 0]


async def test_ten_thousand_rows_and_names_fit_into_a_transaction(store: Store) -> None:
    """PostgreSQL takes at most 65,535 values in one statement."""
    names = [f"n{i}" for i in range(40_000)]

    def put(tx: Tx, items: Sequence[None]) -> Sequence[int]:
        keep(tx, names)
        tx.many("INSERT INTO meta (name, value) VALUES (:name, :value)", [(f"x{n}", n) for n in names])
        return [tx.execute("SELECT count(*) FROM meta")[0][0] for _ in items]

    assert await store.write(put, None) == 80_000


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT",
        " rollback",
        "BEGIN IMMEDIATE",
        "-- all of it\nEND",
        "/* now */ SAVEPOINT a",
        "release a",
        "START TRANSACTION",
    ],
)
def test_nobody_ends_a_transaction_in_which_others_write(text: str) -> None:
    for read in (lambda: bind(text, {}, "?"), lambda: plain(text, "?")):
        with pytest.raises(TalkwireError, match=r"a transaction begins and ends by itself: take [A-Z]+ out"):
            read()


@pytest.mark.parametrize(
    "text", ["SELECT 1 AS commit", "UPDATE ended SET n = 1", "endless", "INSERT INTO t VALUES (1)"]
)
def test_words_that_look_alike_end_nothing(text: str) -> None:
    assert bind(text, {}, "?") == (text, [])
