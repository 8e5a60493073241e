"""Bring a database to the schema of this version, core and plugins each in their own chain; all of it or nothing.

SQLite      the file is copied, the copy is upgraded and takes the file's name; the file as it was is kept beside it
PostgreSQL  in place, each migration in a transaction, one upgrade at a time
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from ...errors import Conflict, StoreDown
from ..moving import synced
from ..revisions import CORE, Chain, pending, revisions
from ..urls import place_of

_LOCK = 7_425_531  # PostgreSQL advisory lock that all upgrades share; the number has no meaning
_KEPT = 3  # files as they were before an upgrade
_OF_A_VALUE = "22"  # class of PostgreSQL's errors that quote a value
_NOTHING_CHANGED = "Nothing was changed."
Free = Callable[[Path], int]  # bytes that a folder's disk has left


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def upgrade(
    url: str,
    chains: Sequence[Chain] = (CORE,),
    *,
    to: Mapping[str, str] | None = None,
    keep: bool = True,
    free: Free = _free,
) -> list[str]:
    """Upgrade every chain to its newest revision, or to the one in `to`; say what was done, a line each.

    A second call does nothing. `keep`: an SQLite file as it was is kept under a name that is said. The
    file must be nobody else's meanwhile. Errors, before anything is changed:
    `SchemaError` where the database is newer than we are; `Conflict` where the disk has no room, or somebody has the
    file open; `StoreDown`.
    """
    if url.startswith("sqlite:///"):
        return _upgrade_file(Path(url.removeprefix("sqlite:///")), chains, to or {}, keep=keep, free=free)
    return _upgrade_in_place(url, chains, to or {})


# --- SQLite --------------------------------------------------------------------------------------------


def _upgrade_file(path: Path, chains: Sequence[Chain], to: Mapping[str, str], *, keep: bool, free: Free) -> list[str]:
    is_new = not path.exists() or path.stat().st_size == 0
    at = {chain: None if is_new else _revision(path, chain) for chain in chains}
    if not pending(at.items()) and not to:
        return [f"{chain.owner}: at {there}" for chain, there in at.items()]
    new = path.with_name(f"{path.name}.upgrading")
    try:
        _remove(new)  # of an upgrade that was killed
        if not is_new:
            _has_room(path, free(path.parent))
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)):
            pass  # what customers write is nobody else's business
        if not is_new:
            _copy(path, new)
        lines = _upgrade_in_place(f"sqlite:///{new}", chains, to)
        synced(new)
        if not is_new:
            _one_file(path)
        if keep and not is_new:
            lines.append(f"the file as it was: {_keep(path)}")
        new.replace(path)
        synced(path.parent)
    except (OSError, sqlite3.Error, StoreDown) as error:
        raise _refused(path, error) from None
    finally:
        _remove(new)
    return lines


def _revision(path: Path, chain: Chain) -> str | None:
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True)) as db:
        try:
            row = db.execute(f"SELECT version_num FROM alembic_version_{chain.owner}").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise StoreDown(f"{path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreDown(f"{path}: {error}") from error
    return str(row[0]) if row else None


def _has_room(path: Path, left: int) -> None:
    wanted = 2 * _size(path)  # the copy, and what a migration that writes a table anew needs beside it
    if left < wanted:
        raise Conflict(
            f"the disk of {path.parent} has {left >> 20} MiB left, the upgrade needs {(wanted >> 20) + 1} MiB:"
            f" it copies the database first. {_NOTHING_CHANGED}\n"
            "  Make room, then type: talkwire db upgrade",
            code="disk_full",
        )


def _size(path: Path) -> int:
    wal = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def _copy(path: Path, new: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, contextlib.closing(sqlite3.connect(new)) as other:
        db.backup(other)


def _one_file(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        # One file again: what lies in its log moves into it. Refused while anybody else has it open.
        if db.execute("PRAGMA journal_mode=DELETE").fetchone()[0] != "delete":
            raise StoreDown("another program has it open")


def _keep(path: Path) -> Path:
    """Give the file as it is a second name; the oldest of those names go."""
    kept = path.with_name(f"{path.name}.before-upgrade-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    try:
        kept.hardlink_to(path)
    except OSError:  # a file system without second names
        shutil.copy2(path, kept)
        synced(kept)
    for old in sorted(path.parent.glob(f"{path.name}.before-upgrade-*"))[:-_KEPT]:
        old.unlink()
    return kept


def _refused(path: Path, error: Exception) -> Conflict | StoreDown:
    text = str(error)
    if "disk is full" in text or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        text = f"the disk of {path.parent} is full. {_NOTHING_CHANGED}\n  Make room, then type: talkwire db upgrade"
        return Conflict(text, code="disk_full")
    if isinstance(error, OSError):
        text = (error.strerror or type(error).__name__).lower()
    return StoreDown(f"{path}: {text}. {_NOTHING_CHANGED}")


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
        path.with_name(name).unlink(missing_ok=True)


# --- both ----------------------------------------------------------------------------------------------


def _upgrade_in_place(url: str, chains: Sequence[Chain], to: Mapping[str, str]) -> list[str]:
    engine = sa.create_engine(_sqlalchemy_url(url))
    try:
        with _exclusive(engine) as connection:
            at = [(chain, _at(connection, chain)) for chain in chains]
            pending(at)  # where one of them is newer than we are, none is changed
            return [_upgrade_chain(connection, chain, there, to.get(chain.owner)) for chain, there in at]
    except DBAPIError as error:  # its text may quote the URL
        raise _down(url, error) from None
    finally:
        engine.dispose()


def _down(url: str, error: DBAPIError) -> StoreDown:
    if "disk is full" in str(error.orig):
        return StoreDown("database or disk is full")
    if error.statement is None and error.orig is not None and not url.startswith("sqlite:"):
        from ..postgres import unreachable

        return unreachable(url, error.orig)
    return StoreDown(f"{place_of(url)}: {type(error.orig).__name__}; its own log says why")


@contextlib.contextmanager
def _exclusive(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Batch ALTER copies tables; with foreign keys on, the copy's DROP deletes child rows.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("PRAGMA page_size=8192")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("PRAGMA synchronous=OFF")  # nobody's file yet: it is synced when it is whole
            connection.commit()
            yield connection
            return
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_LOCK})")
            connection.commit()


def _at(connection: sa.Connection, chain: Chain) -> str | None:
    with connection.begin():
        options = {"version_table": f"alembic_version_{chain.owner}"}
        return MigrationContext.configure(connection, opts=options).get_current_revision()


def _upgrade_chain(connection: sa.Connection, chain: Chain, there: str | None, to: str | None) -> str:
    wanted = to or (revisions(chain.folder) or (None,))[-1]
    if there == wanted or wanted is None:
        return f"{chain.owner}: at {there}"
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", str(chain.folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = f"alembic_version_{chain.owner}"
    try:
        command.upgrade(config, wanted)
    except DBAPIError as error:
        if "disk is full" in str(error.orig):
            raise
        raise StoreDown(f"the tables of {chain.owner} cannot be upgraded to {wanted}: {_said(error)}") from None
    return f"{chain.owner}: {there or 'nothing'} → {wanted}"


def _said(error: DBAPIError) -> str:
    """Give the database's own words for a statement that it refused, without the values that it was given."""
    if isinstance(error.orig, sqlite3.Error):
        return str(error.orig)
    code = getattr(error.orig, "sqlstate", None) or ""
    words = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return words if words and not code.startswith(_OF_A_VALUE) else type(error.orig).__name__


def _sqlalchemy_url(url: str) -> str:
    if url.startswith("postgresql://"):
        return "postgresql+psycopg://" + url.removeprefix("postgresql://")
    return url


__all__ = ["CORE", "Chain", "upgrade"]
