"""SQLite: one file, one daemon, one writer thread, every commit on the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..errors import Conflict, SchemaError, StoreDown
from . import sql as text
from .tx import Params, Row


class Scrubbed(StrEnum):
    """How far what was deleted is out of the database's own files."""

    CLEAN = "clean"
    NOT_REWRITTEN = "not_rewritten"  # SQLite: the file is large; unused space in it may hold copies of moved rows
    UNFINISHED = "unfinished"  # somebody uses the database, or the disk is full: it may be asked again


_WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA busy_timeout=2000",  # ms; only other programs can be in the way, and all that is written waits for them
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-65536",  # KiB
    "PRAGMA wal_autocheckpoint=4000",  # pages of 4 KiB
    "PRAGMA secure_delete=ON",  # what is deleted is overwritten; many builds of SQLite do so anyway
)


def path_of(url: str) -> Path:
    """Give the file of a `sqlite:///` URL."""
    return Path(url.removeprefix("sqlite:///"))


def there(path: Path) -> Path:
    """Give the path of a file that is there. Errors: `SchemaError`."""
    if not path.exists():
        raise SchemaError(f"there is no database at {path}; type: talkwire db upgrade")
    return path


class Place:
    """Which file a daemon began with: one that was moved, removed or replaced is written no more.

    SQLite goes on with the file that it has open, whatever became of its name; what is committed there is gone with the
    next start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wal = path.with_name(f"{path.name}-wal")  # its write-ahead log
        self.lost = ""  # why nothing may be written until the next start
        self._first = _identity(there(path))

    def check(self) -> None:
        """See whether the name still leads to the same file. Errors: `StoreDown`."""
        if self.lost:
            raise StoreDown(self.lost)
        found = _identity(self.path)
        if found == self._first:
            return
        if found is None:
            raise StoreDown(f"the database file was moved or removed: put {self.path} back, with its -wal file")
        raise StoreDown(f"the database file was replaced: {self.path} is another file now; restart the daemon")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreDown(f"the disk fails: {path}: {error.strerror}") from error
    return found.st_dev, found.st_ino


class SqliteDriver:
    """One connection."""

    locks_rows = False

    def __init__(
        self, path: Path, *, synchronous: str = "full", read_only: bool = False, place: Place | None = None
    ) -> None:
        self._path = path
        self._place = place  # what a writer looks at before and after each commit; None: it was not said
        self._wal: Place | None = None
        if place is not None:
            place.check()
        try:
            self._connection = sqlite3.connect(
                there(path), isolation_level=None, check_same_thread=False, cached_statements=512
            )
            self._cursor = self._connection.cursor()
            self._begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
            if read_only:
                self._cursor.execute("PRAGMA query_only=ON")
                self._cursor.execute("PRAGMA busy_timeout=5000")
                return
            for pragma in _WRITER_PRAGMAS:
                self._cursor.execute(pragma)
            self._cursor.execute(f"PRAGMA synchronous={synchronous}")
        except sqlite3.Error as error:
            raise _down(error, path, f"{path}: ") from error

    def begin(self) -> None:
        """Begin: a reader's moment, or the writer's lock at once."""
        if self._place is not None:
            self._place.check()
        self._run(self._begin)

    def commit(self) -> None:
        """Commit; returns after the disk has it, in a file that the next start finds."""
        self._run("COMMIT")
        if self._place is None:
            return
        self._place.check()
        try:
            if self._wal is None:  # SQLite makes it with the first commit, and keeps it while a connection is open
                self._wal = Place(self._place.wal)
            self._wal.check()
        except (StoreDown, SchemaError) as error:
            self._save(self._place)
            raise StoreDown(self._place.lost) from error

    def _save(self, place: Place) -> None:
        """Bring what stands in a log that lost its name into the database file: we have it open still."""
        place.lost = f"the database's log was removed: {place.wal} is gone; restart the daemon"
        with contextlib.suppress(StoreDown):
            self._run("PRAGMA wal_checkpoint(FULL)")

    def rollback(self) -> None:
        """Roll back, if anything is open."""
        if self._connection.in_transaction:
            self._run("ROLLBACK")

    def savepoint(self) -> None:
        """Begin a part that can be undone alone."""
        self._run("SAVEPOINT part")

    def release(self) -> None:
        """Keep the part."""
        self._run("RELEASE part")

    def rollback_to(self) -> None:
        """Undo the part."""
        self._run("ROLLBACK TO part")
        self._run("RELEASE part")

    def settle(self) -> None:
        """Do nothing: every statement was waited for."""

    def execute(self, sql: str, params: Params) -> list[Row]:
        """Run one statement."""
        bound, values = text.bind(sql, params, "?")
        try:
            return self._cursor.execute(bound, values).fetchall()
        except sqlite3.DatabaseError as error:
            if _code(error) in _DOWN:
                raise _down(error, self._path) from error
            raise

    def many(self, sql: str, rows: Sequence[Params | Sequence[Any]]) -> None:
        """Run a statement for each row."""
        try:
            self._cursor.executemany(text.plain(sql, "?"), text.tuples(sql, rows))
        except sqlite3.DatabaseError as error:
            if _code(error) in _DOWN:
                raise _down(error, self._path) from error
            raise

    def update(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Change rows one by one."""
        self.many(sql, rows)

    def lock(self, table: str, ids: Sequence[Any], column: str = "id") -> None:
        """Do nothing: who writes has the whole file."""

    def locked(self, sql: str, params: Params) -> list[Row]:
        """Read rows: who writes has the whole file."""
        return self.execute(sql, params)

    def cut_if_mute(self, seconds: float) -> None:
        """Do nothing: a file answers."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run(self, statement: str) -> None:
        try:
            self._cursor.execute(statement)
        except sqlite3.DatabaseError as error:
            if _code(error) in _DOWN:
                raise _down(error, self._path) from error
            raise


_ENOUGH = 64 * 1024  # bytes; what SQLite wants at once beside the pages it writes

# The primary codes that say the file or the disk fails us, not the statement, with what the operator reads.
# Source: https://www.sqlite.org/rescode.html, read 2026-11-22.
_DOWN = {
    "BUSY": "another program holds the database",
    "LOCKED": "another program holds the database",
    "PROTOCOL": "another program holds the database",
    "FULL": "the disk is full",
    "IOERR": "the disk fails",
    "READONLY": "the database cannot be written",
    "CANTOPEN": "the database cannot be opened",
    "CORRUPT": "the database is damaged",
    "NOTADB": "the database is damaged",
}


def _code(error: sqlite3.Error) -> str:
    name = str(getattr(error, "sqlite_errorname", ""))  # `SQLITE_IOERR_FSYNC`; none where the module itself objects
    return name.removeprefix("SQLITE_").split("_")[0]


def _down(error: sqlite3.Error, path: Path, where: str = "") -> StoreDown:
    code = _code(error)
    with contextlib.suppress(OSError):
        if code == "IOERR" and shutil.disk_usage(path.parent).free < _ENOUGH:
            code = "FULL"  # so it is told where the file that connections share cannot grow
    return StoreDown(f"{where}{_DOWN.get(code, 'the database does not answer')}: {error}")


REWRITTEN_AT_ONCE = 64 * 1024**2  # bytes of a file that is rewritten in a second; writers wait two for it


def scrub(path: Path, rewrite: bool | None = None, *, patience: float = 5.0) -> Scrubbed:
    """Clear what was deleted out of the file and its write-ahead log. From any thread, beside the writer.

    Deleted rows are overwritten where they lie. Where SQLite has moved rows from page to page, it leaves copies of
    them in unused space; only a rewritten file has none. Such a copy was seen once in 1,000 rows (SQLite 3.40).
    `patience` is in seconds, for whoever has the file now.
    """
    if rewrite is None:
        rewrite = there(path).stat().st_size <= REWRITTEN_AT_ONCE
    connection = sqlite3.connect(there(path), timeout=patience, isolation_level=None)
    try:
        if rewrite:
            connection.execute("VACUUM")
        [(busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError:  # somebody else has it for too long, or the disk is full
        return Scrubbed.UNFINISHED
    finally:
        connection.close()
    return Scrubbed.UNFINISHED if busy else Scrubbed.CLEAN if rewrite else Scrubbed.NOT_REWRITTEN


class DaemonLock:
    """One daemon a file: an advisory lock beside the database."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _no_lock(path, error) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise Conflict(
                f"another daemon uses {path}; stop it first. One SQLite file serves one daemon; several share a PostgreSQL.",
                code="database_in_use",
            ) from error

    def release(self) -> None:
        """Give the file free."""
        os.close(self._file)


def _no_lock(path: Path, error: OSError) -> StoreDown:
    if isinstance(error, FileNotFoundError):
        return StoreDown(f"there is no folder {path.parent}; make it, or correct url in [store]")
    if isinstance(error, NotADirectoryError):
        return StoreDown(f"{path.parent} is no folder; correct url in [store]")
    if isinstance(error, PermissionError):
        return StoreDown(f"{path.parent}: this user may not write there; type it as the daemon's user")
    return StoreDown(f"{path}: {(error.strerror or type(error).__name__).lower()}")
