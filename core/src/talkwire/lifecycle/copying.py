"""A whole database in another place, of the same kind or the other: rows, files, numbers; counted and compared.

    source, one moment of it, read only ──▶ target, empty ──▶ both summed ──▶ source marked retired

What fails on the way leaves the target as empty as it was, and the source as it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ..errors import Conflict, SchemaError
from ..media.files import BLOCK, path_in
from ..store import LOCK_WITHIN
from ..store.moving import Side, Sum, Table, Told, in_order, open_side, passing, summed, synced
from ..store.revisions import Chain, pending
from ..store.sqlite import DaemonLock, SqliteDriver, path_of, there
from ..store.tx import Driver, Tx
from ..store.urls import place_of

_NOT_CARRIED = frozenset({"lease", "attachment_chunk"})  # rights of running daemons; files, which are carried as files
FILES = Table("attachment", ("sha256",), ("text",), frozenset())
BODIES = Table("envelope", ("body_ref",), ("text",), frozenset())
_LIVING = """
    SELECT count(*) FROM lease
    WHERE name LIKE 'daemon:%' AND until > CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
"""
_HEAD = "SELECT seq FROM log_head WHERE id = 1"


Progress = Callable[[str, int, int], None]  # is told what is done, how far, of how much


def quiet(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Copied:
    """What was carried."""

    tables: dict[str, Sum] = field(default_factory=dict)  # the same on both sides
    left: list[str] = field(default_factory=list)  # tables of plugins that this Talkwire does not run
    files: int = 0
    file_bytes: int = 0
    missing: list[str] = field(default_factory=list)  # files that rows name, and that were not there, or damaged
    seconds: float = 0

    @property
    def rows(self) -> int:
        """Count all rows."""
        return sum(one.rows for one in self.tables.values())


# --- rows ----------------------------------------------------------------------------------------------


def carry(source: Side, target: Side, *, tell: Progress = quiet, leave: bool = False) -> Copied:
    """Carry all rows, and compare what arrived with what was there; nothing is committed.

    `leave`: tables that the target has not stay behind, and are named. Errors: `SchemaError` where the tables are not
    the same, or the target is not empty; `Conflict` where something arrived otherwise than it was.
    """
    ours, theirs = source.tables(), target.tables()
    left = sorted(ours.keys() - theirs.keys())
    if left and not leave:
        raise SchemaError(
            f"the source has tables that no plugin of these settings makes: {', '.join(left)}.\n"
            "  Enable the plugin that they belong to, or leave them behind: --leave-behind"
        )
    _same_versions(source.versions(), target.versions())
    _is_empty(target, theirs)
    copied, began = Copied(left=left), time.monotonic()
    for table in in_order(theirs):
        if table.name in _NOT_CARRIED or table.name not in ours:
            continue
        if set(table.columns) != set(ours[table.name].columns):
            raise SchemaError(f"table {table.name} has other columns in the source than in the target")
        copied.tables[table.name] = _carry_table(source, target, table, tell)
    copied.seconds = time.monotonic() - began
    return copied


def _carry_table(source: Side, target: Side, table: Table, tell: Progress) -> Sum:
    total, into = source.count(table.name), list[Sum]()
    target.fill(table, passing(source.rows(table), into, _steps(tell, table.name, 2 * total)))
    there = summed(target.rows(table), _steps(tell, table.name, 2 * total, total))
    if into != [there]:
        raise Conflict(
            f"table {table.name} is not the same in the target: {into[0].rows:,} rows, digest {into[0].digest}, became"
            f" {there.rows:,} rows, digest {there.digest}. The target was left empty.",
            code="not_the_same",
        )
    return there


def _steps(tell: Progress, what: str, total: int, done: int = 0) -> Told:
    reached = done

    def step(rows: int) -> None:
        nonlocal reached
        reached += rows
        tell(what, reached, total)

    return step


def _same_versions(ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    for owner, wanted in sorted(theirs.items()):
        if ours.get(owner) != wanted:
            raise SchemaError(
                f"the source has the tables of {owner} at {ours.get(owner, 'nothing')}, the target at {wanted};"
                " type: talkwire db upgrade, with the source as url in [store]"
            )


def _is_empty(target: Side, tables: Iterable[str]) -> None:
    full = [name for name in sorted(tables) if name not in ("log_head", *_NOT_CARRIED) and target.count(name)]
    head = target.one(_HEAD)
    if full or (head is not None and head[0]):
        raise Conflict(f"the target is not empty: it has rows in {', '.join(full) or 'its log'}", code="not_empty")


# --- files ---------------------------------------------------------------------------------------------


class Files(Protocol):
    """Where the bytes of attachments and of large envelopes lie."""

    def read(self, sha256: str) -> Iterator[bytes]: ...
    def put(self, sha256: str, blocks: Iterable[bytes]) -> None: ...


class InFolder:
    """As SQLite's daemon keeps them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, sha256: str) -> Iterator[bytes]:
        """Give a file block by block; nothing where it is not there."""
        with contextlib.suppress(FileNotFoundError), path_in(self._folder, sha256).open("rb") as file:
            yield from iter(lambda: file.read(BLOCK), b"")

    def put(self, sha256: str, blocks: Iterable[bytes]) -> None:
        """Keep a file; the disk has it when this returns."""
        path = path_in(self._folder, sha256)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f"incoming-{sha256}")
        try:
            with new.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                for block in blocks:
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        synced(path.parent)


class InDatabase:
    """As daemons that share a PostgreSQL keep them."""

    def __init__(self, side: Side) -> None:
        self._side = side

    def read(self, sha256: str) -> Iterator[bytes]:
        """Give a file block by block; nothing where it is not there."""
        yield from self._side.blocks(sha256)

    def put(self, sha256: str, blocks: Iterable[bytes]) -> None:
        """Keep a file, with everything else of the transaction."""
        self._side.put_blocks(sha256, blocks)


class Damaged(Exception):
    """A file is not there, or is not what its name says."""


def checked(sha256: str, blocks: Iterable[bytes], size: list[int] | None = None) -> Iterator[bytes]:
    """Let the blocks of a file pass. Errors: `Damaged` at their end where they are not what the name says."""
    hashed, count = hashlib.sha256(), 0
    for block in blocks:
        hashed.update(block)
        count += len(block)
        yield block
    if hashed.hexdigest() != sha256:
        raise Damaged(sha256)
    if size is not None:
        size.append(count)


def named_files(side: Side) -> list[str]:
    """Name the files that rows speak of."""
    found = {row[0] for table in (FILES, BODIES) for rows in side.rows(table) for row in rows}
    return sorted(found - {""})


def carry_files(names: Sequence[str], source: Files, target: Files, copied: Copied, tell: Progress = quiet) -> None:
    """Carry the files that rows name, each compared with its name on both sides; those that lack are noted."""
    for number, sha256 in enumerate(names, 1):
        size: list[int] = []
        blocks = checked(sha256, source.read(sha256), size)
        try:
            # The whole file is looked at before anything of it is kept.
            for _ in checked(sha256, source.read(sha256)):
                pass
            target.put(sha256, blocks)
            for _ in checked(sha256, target.read(sha256)):
                pass
        except Damaged:
            copied.missing.append(sha256)
        else:
            copied.files += 1
            copied.file_bytes += sum(size)
        tell("files", number, len(names))


# --- a whole copy ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A database, and where its files lie if it does not keep them itself."""

    url: str
    files: Path

    @property
    def is_file(self) -> bool:
        """Say whether it is SQLite."""
        return self.url.startswith("sqlite:")

    def files_of(self, side: Side) -> Files:
        """Give where its files lie."""
        return InFolder(self.files) if self.is_file else InDatabase(side)


def copy_all(
    source: Place,
    target: Place,
    chains: Sequence[Chain],
    *,
    tell: Progress = quiet,
    leave: bool = False,
    keep_source: bool = False,
) -> Copied:
    """Copy a database that no daemon uses, and mark it retired unless it is kept.

    Errors: `Conflict` where a daemon runs on either, or the target is not empty; `SchemaError`; `StoreDown`.
    """
    with contextlib.ExitStack() as stack:
        for place in (source, target):
            if place.is_file:
                if place is source:
                    there(path_of(place.url))
                stack.callback(DaemonLock(path_of(place.url)).release)
        here = stack.enter_context(contextlib.closing(open_side(source.url)))
        nobody_runs(source, here)
        copied = _filled(source, here, target, chains, tell=tell, leave=leave)
        if not keep_source:
            head = here.one(_HEAD)
            here.close()
            retire(source, place_of(target.url), head[0] if head else 0)
    return copied


def _filled(
    source: Place, here: Side, target: Place, chains: Sequence[Chain], *, tell: Progress, leave: bool
) -> Copied:
    if not target.is_file:
        _upgraded(target.url, chains)
        with contextlib.closing(open_side(target.url, write=True)) as other:
            nobody_runs(target, other)
            return _carried(source, here, target, other, tell=tell, leave=leave)
    path = path_of(target.url)
    if path.exists() and path.stat().st_size:
        with contextlib.closing(open_side(target.url)) as other:
            _is_empty(other, other.tables())
    new = path.with_name(f"{path.name}.copying")
    new.unlink(missing_ok=True)
    try:
        copied = fill_file(source, here, Place(f"sqlite:///{new}", target.files), chains, tell=tell, leave=leave)
        new.replace(path)
        synced(path.parent)
    finally:
        new.unlink(missing_ok=True)
    return copied


def fill_file(
    source: Place,
    here: Side,
    target: Place,
    chains: Sequence[Chain],
    *,
    tell: Progress = quiet,
    leave: bool = False,
) -> Copied:
    """Make an SQLite file, and its folder of files, of all that a database holds; of the source's own revisions.

    Errors: `SchemaError` where it is newer than we are.
    """
    at = here.versions()
    pending((chain, at.get(chain.owner)) for chain in chains)
    _upgraded(target.url, chains, at)
    with contextlib.closing(open_side(target.url, write=True)) as other:
        return _carried(source, here, target, other, tell=tell, leave=leave)


def _carried(source: Place, here: Side, target: Place, other: Side, *, tell: Progress, leave: bool) -> Copied:
    copied = carry(here, other, tell=tell, leave=leave)
    carry_files(named_files(here), source.files_of(here), target.files_of(other), copied, tell)
    other.commit()
    return copied


def _upgraded(url: str, chains: Sequence[Chain], to: Mapping[str, str] | None = None) -> None:
    from ..store.schema.upgrade import upgrade  # a daemon runs without SQLAlchemy

    upgrade(url, [c for c in chains if to is None or c.owner in to], to=to)


def nobody_runs(place: Place, side: Side) -> None:
    """Let nobody write meanwhile. Errors: `Conflict`. An SQLite file has its lock."""
    if place.is_file or "lease" not in side.tables():
        return
    row = side.one(_LIVING)
    if row and row[0]:
        raise Conflict(
            f"{place_of(place.url)}: a daemon runs on it, or was killed less than a minute ago; stop all of them first",
            code="database_in_use",
        )


_RETIRE = """
    INSERT INTO meta (name, value) VALUES ('retired', :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


def retire(source: Place, where: str, head: int) -> None:
    """Mark a database as copied away, so that no daemon goes on with it.

    Errors: `Conflict` where somebody wrote into it since.
    """
    with changing(source) as tx:
        row = tx.one(f"{_HEAD}{'' if source.is_file else ' FOR UPDATE'}")
        if row and row[0] != head:
            raise Conflict(
                "somebody wrote into the source while it was copied: the copy lacks that. Stop all daemons, empty the"
                " target, and copy again",
                code="not_the_same",
            )
        tx.execute(_RETIRE, {"value": f"{where} on {tx.now:%Y-%m-%d %H:%M} UTC"})


@contextlib.contextmanager
def changing(place: Place) -> Iterator[Tx]:
    """Give a transaction of a place, committed where the block ends without an error; no fact can be told in it."""
    driver: Driver
    if place.is_file:
        driver = SqliteDriver(path_of(place.url))
    else:
        from ..store.postgres import PostgresDriver  # its driver is an extra

        driver = PostgresDriver(place.url, lock_within=LOCK_WITHIN)
    try:
        driver.begin()
        yield Tx(driver, datetime.now(UTC))
        driver.commit()
    except BaseException:
        driver.rollback()
        raise
    finally:
        driver.close()


def reopen(source: Place) -> str:
    """Take the mark away; gives where it was copied to, empty where it was not marked."""
    with contextlib.ExitStack() as stack:
        if source.is_file:
            stack.callback(DaemonLock(path_of(source.url)).release)
        with changing(source) as tx:
            row = tx.one("SELECT value FROM meta WHERE name = 'retired'")
            tx.execute("DELETE FROM meta WHERE name = 'retired'")
    return row[0] if row else ""
