"""SQLite: one file, one daemon, one writer thread, every commit on the disk."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import Conflict, SchemaError, StoreDown
from . import sql as text
from .tx import Params, Row

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA busy_timeout=5000",  # ms; only other tools' readers can be in the way
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


class SqliteDriver:
    """One connection."""

    def __init__(self, path: Path, *, synchronous: str = "full", read_only: bool = False) -> None:
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
            raise StoreDown(f"{path}: {error}") from error

    def begin(self) -> None:
        """Begin: a reader's moment, or the writer's lock at once."""
        self._run(self._begin)

    def commit(self) -> None:
        """Commit; returns after the disk has it."""
        self._run("COMMIT")

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

    def execute(self, sql: str, params: Params) -> list[Row]:
        """Run one statement."""
        bound, values = text.bind(sql, params, "?")
        try:
            return self._cursor.execute(bound, values).fetchall()
        except sqlite3.DatabaseError as error:
            if _fails_us(error):
                raise StoreDown(f"the database does not answer: {error}") from error
            raise

    def many(self, sql: str, rows: Sequence[Params | Sequence[Any]]) -> None:
        """Run a statement for each row."""
        try:
            self._cursor.executemany(text.plain(sql, "?"), text.tuples(sql, rows))
        except sqlite3.DatabaseError as error:
            if _fails_us(error):
                raise StoreDown(f"the database does not answer: {error}") from error
            raise

    def update(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Change rows one by one."""
        self.many(sql, rows)

    def lock(self, table: str, ids: Sequence[Any], column: str = "id") -> None:
        """Do nothing: who writes has the whole file."""

    def cut_if_mute(self, seconds: float) -> None:
        """Do nothing: a file answers."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _run(self, statement: str) -> None:
        try:
            self._cursor.execute(statement)
        except sqlite3.DatabaseError as error:
            if _fails_us(error):
                raise StoreDown(f"the database does not answer: {error}") from error
            raise


# The primary codes that say the file or the disk fails us, not the statement.
# Source: https://www.sqlite.org/rescode.html, read 2026-11-22.
_DOWN = frozenset({"BUSY", "LOCKED", "READONLY", "IOERR", "FULL", "CANTOPEN", "PROTOCOL", "CORRUPT", "NOTADB"})


def _fails_us(error: sqlite3.DatabaseError) -> bool:
    name = str(getattr(error, "sqlite_errorname", ""))  # `SQLITE_IOERR_FSYNC`; none where the module itself objects
    return name.removeprefix("SQLITE_").split("_")[0] in _DOWN


def empty_wal(path: Path) -> bool:
    """Bring the write-ahead log into the file and cut it to nothing, so that it keeps nothing that was deleted.

    False: somebody reads from it for longer than five seconds. From any thread, beside the writer.
    """
    connection = sqlite3.connect(there(path), timeout=5, isolation_level=None)
    try:
        [(busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        raise StoreDown(f"{path}: {error}") from error
    finally:
        connection.close()
    return not busy


class DaemonLock:
    """One daemon a file: an advisory lock beside the database."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreDown(f"{path}: {(error.strerror or type(error).__name__).lower()}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise Conflict(
                f"another daemon uses {path}. One SQLite file serves one daemon; several share a PostgreSQL.",
                code="database_in_use",
            ) from error

    def release(self) -> None:
        """Give the file free."""
        os.close(self._file)
