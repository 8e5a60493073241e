"""Reads that are asked for together are done together, and none of them waits for another for long."""

from __future__ import annotations

import asyncio
import threading

import pytest

from talkwire.errors import StoreDown
from talkwire.store import Query, Store


def _one(query: Query) -> int:
    row = query.one("SELECT 1")
    assert row is not None
    return int(row[0])


async def test_each_has_its_own_result_or_its_own_error(store: Store) -> None:

    def fail(query: Query) -> int:
        query.one("SELECT x FROM nowhere")
        return 0

    found = await asyncio.gather(
        store.read(_one), store.read(fail), store.read(_one), store.read(lambda _: 1 // 0), return_exceptions=True
    )
    assert (found[0], found[2]) == (1, 1)
    assert isinstance(found[1], Exception)
    assert "nowhere" in str(found[1])
    assert isinstance(found[3], ZeroDivisionError)


async def test_a_slow_read_keeps_none_that_was_asked_for_in_the_same_turn(store: Store) -> None:
    go = threading.Event()
    before = asyncio.ensure_future(store.read(_one))
    slow = asyncio.ensure_future(store.read(lambda _: go.wait(20)))
    after = asyncio.ensure_future(store.read(_one))
    try:
        async with asyncio.timeout(10):
            assert await asyncio.gather(before, after) == [1, 1]
        assert not slow.done()
    finally:
        go.set()
    assert await slow


async def test_a_caller_who_leaves_takes_nobody_with_him(store: Store) -> None:
    leaves, stays = asyncio.ensure_future(store.read(_one)), asyncio.ensure_future(store.read(_one))
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays == 1
    assert store.reading == 0


async def test_a_read_that_was_asked_for_as_the_store_closed_is_told_so(store: Store) -> None:
    late = asyncio.ensure_future(store.read(_one))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(store.close())
    try:
        async with asyncio.timeout(20):
            assert await late == 1
    except StoreDown:
        pass  # which of the two comes first is not said; that it ends is
    await closing
    with pytest.raises(StoreDown):
        await store.read(_one)
