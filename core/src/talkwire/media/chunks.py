"""Attachments by the hash of their content, in chunks in the database, so that every daemon can serve them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from talkwire.clock import micros
from talkwire.errors import NotFound

from .files import BLOCK, StoredFile, hash_only, spooled

_AT_ONCE = 500  # contents that one look names
Row = tuple[str, int, bytes]  # hash, number from 0, at most `BLOCK` bytes


class Statements(Protocol):
    """What is asked of a transaction."""

    now_us: int

    def execute(self, sql: str, params: Mapping[str, Any], /) -> Sequence[Sequence[Any]]:
        """Run a statement with `:name` parameters."""


class Database(Protocol):
    """What is asked of the store."""

    async def write(self, fn: Callable[[Any, Any], Any], item: Any, /) -> Any:
        """Run `fn(tx, items)`, give the item's result after COMMIT."""

    async def read(self, fn: Callable[[Any], Any], /) -> Any:
        """Run `fn(tx)`."""


class ChunkStore:
    """`Chunks` in the table `attachment_chunk(sha256, n, bytes, at)`.

    Each chunk is a transaction of its own, so that nobody waits for a large file. What a broken put
    leaves behind is the beginning of the right content, and the next put completes it.
    """

    def __init__(self, store: Database) -> None:
        self._store = store

    async def put(self, chunks: AsyncIterator[bytes], limit: int) -> StoredFile:
        async with spooled(chunks, limit) as (file, stored):
            await asyncio.to_thread(file.seek, 0)
            for n in range(max(1, -(-stored.size // BLOCK))):  # an empty file has one empty chunk
                await self._store.write(_insert, (stored.sha256, n, await asyncio.to_thread(file.read, BLOCK)))
        return stored

    async def open(self, sha256: str) -> AsyncIterator[bytes]:
        n = 0
        while (block := await self._store.read(_Chunk(hash_only(sha256), n))) is not None:
            if block:
                yield block
            n += 1
        if not n:
            raise NotFound(f"no stored file {sha256}")

    async def drop(self, hashes: Iterable[str], before: datetime) -> frozenset[str]:
        gone = [await self._store.write(_drop, (hash_only(one), micros(before))) for one in hashes]
        return frozenset(one for one in gone if one)

    async def tidy(self, before: datetime) -> None:
        """Do nothing: what a put left is the beginning of a content, which no row names."""

    async def walk(self, after: str) -> tuple[list[str], str]:
        found = [row[0] for row in await self._store.read(_Walk(after))]
        return found, found[-1] if len(found) == _AT_ONCE else ""


class _Chunk:
    def __init__(self, sha256: str, n: int) -> None:
        self.params = {"sha256": sha256, "n": n}

    def __call__(self, tx: Statements) -> bytes | None:
        rows = tx.execute("SELECT bytes FROM attachment_chunk WHERE sha256 = :sha256 AND n = :n", self.params)
        return bytes(rows[0][0]) if rows else None


class _Walk:
    def __init__(self, after: str) -> None:
        self.params = {"after": after, "most": _AT_ONCE}

    def __call__(self, tx: Statements) -> Sequence[Sequence[Any]]:
        return tx.execute(_NAMES, self.params)


_NAMES = "SELECT sha256 FROM attachment_chunk WHERE n = 0 AND sha256 > :after ORDER BY sha256 LIMIT :most"
# Who puts what is here already says that it was put now, so that it is not dropped.
_INSERT = """
    INSERT INTO attachment_chunk (sha256, n, bytes, at) VALUES (:sha256, :n, :bytes, :at)
    ON CONFLICT (sha256, n) DO UPDATE SET at = excluded.at
"""
_DROP = "DELETE FROM attachment_chunk WHERE sha256 = :sha256 AND at < :before"
_LEFT = "SELECT 1 FROM attachment_chunk WHERE sha256 = :sha256 LIMIT 1"


def _insert(tx: Statements, items: Sequence[Row]) -> list[None]:
    for sha256, n, block in sorted(items, key=lambda row: row[:2]):  # key order: no deadlocks
        tx.execute(_INSERT, {"sha256": sha256, "n": n, "bytes": block, "at": tx.now_us})
    return [None] * len(items)


def _drop(tx: Statements, items: Sequence[tuple[str, int]]) -> list[str]:
    """Drop (hash, before) where it was put before that moment; gives the hashes that are gone, else nothing."""
    for sha256, before in sorted(items):
        tx.execute(_DROP, {"sha256": sha256, "before": before})
    return ["" if tx.execute(_LEFT, {"sha256": one}) else one for one, _ in items]
