"""Attachments by the hash of their content, in a folder."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

from talkwire.errors import NotFound, StoreDown, TooLarge

from .sniff import HEAD

T = TypeVar("T")
BLOCK = 1024 * 1024  # bytes that are read or written at once

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """What was put away."""

    sha256: str  # hex
    size: int  # bytes
    head: bytes  # the first `HEAD` bytes, for `sniff`


class Chunks(Protocol):
    """A place for the bytes of attachments; equal content is there once.

    Who deletes makes sure that no row names the hash, and that nobody puts the same content meanwhile.
    """

    async def put(self, chunks: AsyncIterator[bytes], limit: int) -> StoredFile:
        """Keep bytes, durable when this returns; `TooLarge` above `limit` bytes, then nothing is kept."""

    def open(self, sha256: str) -> AsyncIterator[bytes]:
        """Give the bytes again; `NotFound` where they are not."""

    async def delete(self, sha256: str) -> None:
        """Forget the bytes; nothing happens where they are not."""


class FileStore:
    """`Chunks` in a folder: `ab/abcd…`, written beside and moved in place."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    async def put(self, chunks: AsyncIterator[bytes], limit: int) -> StoredFile:
        await _on_disk(lambda: self.folder.mkdir(parents=True, exist_ok=True), self.folder)
        async with spooled(chunks, limit, self.folder) as (file, stored):
            await _on_disk(lambda: _settle(file, self._path(stored.sha256)), self.folder)
        return stored

    async def open(self, sha256: str) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(open, self._path(sha256), "rb")
        except FileNotFoundError as error:
            raise NotFound(f"no stored file {sha256}") from error
        try:
            while block := await asyncio.to_thread(file.read, BLOCK):
                yield block
        finally:
            file.close()

    async def delete(self, sha256: str) -> None:
        await asyncio.to_thread(self._path(sha256).unlink, missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / hash_only(sha256)


def hash_only(sha256: str) -> str:
    """Let nothing pass but the hash of a content: it becomes part of a path."""
    if not _SHA256.fullmatch(sha256):
        raise NotFound("this is not the hash of a stored file")
    return sha256


@asynccontextmanager
async def spooled(
    chunks: AsyncIterator[bytes], limit: int, folder: Path | None = None
) -> AsyncIterator[tuple[IO[bytes], StoredFile]]:
    """Collect bytes in a temporary file, which is gone afterwards unless it was moved away.

    Errors: `TooLarge`; `StoreDown` where the disk takes no more.
    """
    file = await _on_disk(lambda: _new(folder), folder)
    try:
        sha256, size, head, waiting = hashlib.sha256(), 0, b"", bytearray()

        def flush() -> None:
            sha256.update(waiting)
            file.write(waiting)
            waiting.clear()

        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"the file is larger than {limit} bytes")
            head += chunk[: HEAD - len(head)]
            waiting += chunk
            if len(waiting) >= BLOCK:
                await _on_disk(flush, folder)
        await _on_disk(flush, folder)
        yield file, StoredFile(sha256=sha256.hexdigest(), size=size, head=head)
    finally:
        with suppress(OSError):  # what it still holds is not needed: it was moved away, or is thrown away
            file.close()
        with suppress(OSError):
            os.unlink(file.name)


async def _on_disk(do: Callable[[], T], folder: Path | None) -> T:
    """Do something in a thread; a disk that is full, read-only or broken is the store's fault, not this file's."""
    try:
        return await asyncio.to_thread(do)
    except OSError as error:
        what = "the disk is full" if error.errno in _NO_ROOM else "the disk fails"
        raise StoreDown(f"{what}: {folder or tempfile.gettempdir()}: {error.strerror}") from error


def _new(folder: Path | None) -> IO[bytes]:
    return tempfile.NamedTemporaryFile(dir=folder, prefix="incoming-", delete=False)


def _settle(file: IO[bytes], path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    path.parent.mkdir(exist_ok=True)
    # Also where the content is there already: whoever put it may not have come to its fsync yet.
    os.replace(file.name, path)
    for folder in path.parents[:3]:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
