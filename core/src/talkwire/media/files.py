"""Attachments by the hash of their content, in a folder."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol, TypeVar

from talkwire.errors import NotFound, StoreDown, TooLarge

from .sniff import HEAD

T = TypeVar("T")
BLOCK = 1024 * 1024  # bytes that are read or written at once

_INCOMING = "incoming-"
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

    Whoever puts a content names its hash in a row soon after; whoever drops one has seen that no row does, and leaves
    what was put lately, also where it was here before.
    """

    async def put(self, chunks: AsyncIterator[bytes], limit: int) -> StoredFile:
        """Keep bytes, durable when this returns; `TooLarge` above `limit` bytes, then nothing is kept."""

    def open(self, sha256: str) -> AsyncIterator[bytes]:
        """Give the bytes again; `NotFound` where they are not."""

    async def drop(self, hashes: Iterable[str], before: datetime) -> frozenset[str]:
        """Forget the bytes that were put before a moment, and not again since; gives which are gone now."""

    async def tidy(self, before: datetime) -> None:
        """Forget what puts that were cut off have left before a moment."""

    async def walk(self, after: str) -> tuple[list[str], str]:
        """Name some of what is here, and where to go on; empty: at the beginning, and at the end."""


class FileStore:
    """`Chunks` in a folder: `ab/abcd…`, written beside and moved in place."""

    def __init__(self, folder: str | os.PathLike[str], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.folder = Path(folder)
        self._now = now
        self._moving = threading.Lock()  # so that what is dropped is not what was put at that moment

    async def put(self, chunks: AsyncIterator[bytes], limit: int) -> StoredFile:
        await _on_disk(lambda: self.folder.mkdir(parents=True, exist_ok=True), self.folder)
        async with spooled(chunks, limit, self.folder) as (file, stored):
            await _on_disk(lambda: self._settle(file, self._path(stored.sha256)), self.folder)
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

    async def drop(self, hashes: Iterable[str], before: datetime) -> frozenset[str]:
        return await asyncio.to_thread(self._drop, list(hashes), before.timestamp())

    async def tidy(self, before: datetime) -> None:
        await asyncio.to_thread(self._tidy, before.timestamp())

    async def walk(self, after: str) -> tuple[list[str], str]:
        return await asyncio.to_thread(self._walk, after)

    def _drop(self, hashes: Iterable[str], before: float) -> frozenset[str]:
        gone = set()
        for sha256 in hashes:
            path = self._path(sha256)
            with self._moving, suppress(FileNotFoundError):
                if path.stat().st_mtime >= before:
                    continue
                path.unlink()
            gone.add(sha256)
        return frozenset(gone)

    def _tidy(self, before: float) -> None:
        for path in self.folder.glob(f"{_INCOMING}*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def _walk(self, after: str) -> tuple[list[str], str]:
        """Name what one folder holds; the folders are called by the first two digits."""
        if not self.folder.is_dir():
            return [], ""
        folders = sorted(one.name for one in self.folder.iterdir() if one.is_dir() and one.name > after)
        if not folders:
            return [], ""
        names = sorted(one.name for one in (self.folder / folders[0]).iterdir() if _SHA256.fullmatch(one.name))
        return names, folders[0] if folders[1:] else ""

    def _settle(self, file: IO[bytes], path: Path) -> None:
        file.flush()
        os.fsync(file.fileno())
        path.parent.mkdir(exist_ok=True)
        at = self._now().timestamp()
        os.utime(file.name, (at, at))
        with self._moving:
            # Also where the content is there already: whoever put it may not have come to its fsync yet.
            os.replace(file.name, path)
        for folder in path.parents[:3]:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _path(self, sha256: str) -> Path:
        return path_in(self.folder, sha256)


def path_in(folder: Path, sha256: str) -> Path:
    """Say where a content lies in a folder of files."""
    return folder / sha256[:2] / hash_only(sha256)


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
    return tempfile.NamedTemporaryFile(dir=folder, prefix=_INCOMING, delete=False)
