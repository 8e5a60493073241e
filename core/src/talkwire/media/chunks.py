"""Attachments by the hash of their content, in chunks in the database, so that every daemon can serve them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

from talkwire.errors import NotFound

from .files import BLOCK, StoredFile, hash_only, spooled

Row = tuple[str, int, bytes]  # hash, number from 0, at most `BLOCK` bytes


class Statements(Protocol):
    """What is asked of a transaction."""

    def execute(self, sql: str, params: Mapping[str, Any], /) -> Sequence[Sequence[Any]]:
        """Run a statement with `:name` parameters."""


class Database(Protocol):
    """What is asked of the store."""

    async def write(self, fn: Callable[[Any, Any], Any], item: Any, /) -> Any:
        """Run `fn(tx, items)`, give the item's result after COMMIT."""

    async def read(self, fn: Callable[[Any], Any], /) -> Any:
        """Run `fn(tx)`."""


class ChunkStore:
    """`Chunks` in the table `attachment_chunk(sha256, n, bytes)`.

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

    async def delete(self, sha256: str) -> None:
        await self._store.write(_delete, hash_only(sha256))


class _Chunk:
    def __init__(self, sha256: str, n: int) -> None:
        self.params = {"sha256": sha256, "n": n}

    def __call__(self, tx: Statements) -> bytes | None:
        rows = tx.execute("SELECT bytes FROM attachment_chunk WHERE sha256 = :sha256 AND n = :n", self.params)
        return bytes(rows[0][0]) if rows else None


def _insert(tx: Statements, items: Sequence[Row]) -> list[None]:
    for sha256, n, block in sorted(items, key=lambda row: row[:2]):  # key order: no deadlocks
        tx.execute(
            "INSERT INTO attachment_chunk (sha256, n, bytes) VALUES (:sha256, :n, :bytes) ON CONFLICT (sha256, n) DO NOTHING",
            {"sha256": sha256, "n": n, "bytes": block},
        )
    return [None] * len(items)


def _delete(tx: Statements, items: Sequence[str]) -> list[None]:
    for sha256 in sorted(items):
        tx.execute("DELETE FROM attachment_chunk WHERE sha256 = :sha256", {"sha256": sha256})
    return [None] * len(items)
