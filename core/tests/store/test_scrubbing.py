"""What was deleted is out of the database's own files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from talkwire.store import Scrubbed
from talkwire.store.sqlite import scrub

from .conftest import keep


def left(store) -> bool:
    """Say whether a word that was deleted still stands in some byte."""
    file = Path(store.url.removeprefix("sqlite:///"))
    return any(b"zqsecret" in path.read_bytes() for path in file.parent.iterdir() if path.is_file())


async def with_a_trace(open_store, sqlite_url):
    """Leave deleted bytes in the file, as SQLite does where it moves rows."""
    store = await open_store(sqlite_url)
    await store.write(keep, "zqsecret")
    file = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    file.execute("PRAGMA secure_delete=OFF")
    file.execute("DELETE FROM meta")
    file.close()
    return store


async def test_a_small_file_is_rewritten(open_store, sqlite_url):
    store = await with_a_trace(open_store, sqlite_url)
    assert await store.scrub(rewrite=False) is Scrubbed.NOT_REWRITTEN
    assert left(store)
    assert await store.scrub() is Scrubbed.CLEAN
    assert not left(store)


async def test_what_somebody_uses_is_not_cleared_and_that_is_said(open_store, sqlite_url):
    await with_a_trace(open_store, sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert scrub(Path(sqlite_url.removeprefix("sqlite:///")), patience=0.05) is Scrubbed.UNFINISHED
    other.close()


async def test_a_database_is_cleared_while_it_is_open(store):
    assert await store.scrub() is Scrubbed.CLEAN
    assert await store.write(keep, "written afterwards") == 1
