"""Stores on both databases."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest_asyncio

from talkwire.store import LOCK_WITHIN, Store, Tx
from talkwire.testing import TurnedClock

OpenStore = Callable[..., Awaitable[Store]]


@pytest_asyncio.fixture
async def open_store() -> AsyncIterator[OpenStore]:
    """Give what opens stores: `await open_store(url)`; they are closed with the test."""
    async with contextlib.AsyncExitStack() as opened:

        async def open_(url: str, *, lock_within: timedelta = LOCK_WITHIN, **options: Any) -> Store:
            store = Store(url, TurnedClock())
            store.lock_within = lock_within
            await store.open(**options)
            opened.push_async_callback(store.close)
            return store

        yield open_


@pytest_asyncio.fixture
async def store(open_store: OpenStore, database_url: str) -> Store:
    """Give a store; the test runs once on each kind of database."""
    return await open_store(database_url)


def keep(tx: Tx, names: Sequence[str]) -> Sequence[int]:
    """Write names into `meta`, and give how many were written together; "bad" breaks the statement."""
    tx.many("INSERT INTO meta (name, value) VALUES (:name, '')", [{"name": None if n == "bad" else n} for n in names])
    return [len(names)] * len(names)


async def kept(store: Store) -> list[str]:
    """Give the names in `meta`."""
    return [row[0] for row in await store.read(lambda query: query.execute("SELECT name FROM meta ORDER BY name"))]
