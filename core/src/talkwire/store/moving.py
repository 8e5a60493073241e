"""Every row of one database, carried into another of either kind: by counts and digests that both sides give alike.

    open_side(url) ──▶ Side: tables, rows in batches, fill, digest

Nothing here knows which tables there are: those of plugins are carried as those of the core.
"""

from __future__ import annotations

import contextlib
import graphlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from ..errors import SchemaError, StoreDown
from .tx import Row
from .urls import place_of

BATCH = 2000  # rows that are read or written at once
_VERSIONS = "alembic_version_"
_BLOCKS = "SELECT bytes FROM attachment_chunk WHERE sha256 = {} ORDER BY n"
_PUT_BLOCK = "INSERT INTO attachment_chunk (sha256, n, bytes) VALUES ({}, {}, {})"
_KINDS = {  # what a column is declared as → what is carried
    **dict.fromkeys(("text", "varchar", "character varying", "char", "clob"), "text"),
    **dict.fromkeys(("integer", "bigint", "smallint", "int"), "whole"),
    **dict.fromkeys(("blob", "bytea"), "bytes"),
    **dict.fromkeys(("boolean",), "truth"),
    **dict.fromkeys(("float", "real", "double precision", "double"), "real"),
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table as both databases see it."""

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]  # text | whole | bytes | truth | real
    needs: frozenset[str]  # tables that its foreign keys point at


@dataclass(frozen=True, slots=True)
class Sum:
    """What a table holds: equal on both sides, or something was lost."""

    rows: int
    digest: str  # hex; the order of the rows does not matter


Told = Callable[[int], None]  # is told how many rows have gone since the last time


class Side(Protocol):
    """One database of a copy, in one transaction."""

    def tables(self) -> dict[str, Table]: ...
    def versions(self) -> dict[str, str]: ...
    def count(self, table: str) -> int: ...
    def one(self, statement: str) -> Row | None: ...
    def all(self, statement: str) -> Sequence[Row]: ...
    def rows(self, table: Table) -> Iterator[Sequence[Row]]: ...
    def fill(self, table: Table, batches: Iterable[Sequence[Row]]) -> None: ...
    def blocks(self, sha256: str) -> Iterator[bytes]: ...
    def put_blocks(self, sha256: str, blocks: Iterable[bytes]) -> None: ...
    def set_aside(self, names: Iterable[str], schema: str) -> int: ...
    def commit(self) -> None: ...
    def close(self) -> None: ...


def open_side(url: str, *, write: bool = False) -> Side:
    """Open a database: one moment of it to read, or all of it to fill. Errors: `StoreDown`."""
    if url.startswith("sqlite:///"):
        return SqliteSide(Path(url.removeprefix("sqlite:///")), write=write)
    return PostgresSide(url, write=write)


def in_order(tables: Mapping[str, Table]) -> list[Table]:
    """Sort tables so that each comes after those that it points at."""
    graph = {name: {other for other in table.needs if other in tables and other != name} for name, table in
             sorted(tables.items())}  # fmt: skip
    return [tables[name] for name in graphlib.TopologicalSorter(graph).static_order()]


def summed(batches: Iterable[Sequence[Row]], told: Told = lambda _: None) -> Sum:
    """Add up what rows hold; the same for the same rows, in whatever order, on whichever database."""
    count = total = 0
    for rows in batches:
        total += _digest(rows)
        count += len(rows)
        told(len(rows))
    return Sum(count, _hex(total))


def passing(batches: Iterable[Sequence[Row]], into: list[Sum], told: Told) -> Iterator[Sequence[Row]]:
    """Let rows pass, and leave their sum in a list when all have gone."""
    count = total = 0
    for rows in batches:
        total += _digest(rows)
        count += len(rows)
        yield rows
        told(len(rows))
    into.append(Sum(count, _hex(total)))


def _digest(rows: Sequence[Row]) -> int:
    # The repr of a tuple of str, int, float, bytes and None is the same for the same values.
    return sum(
        int.from_bytes(blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest(), "big")
        for row in rows
    )


def _hex(total: int) -> str:
    return f"{total % (1 << 128):032x}"


def _kind(table: str, column: str, declared: str) -> str:
    kind = _KINDS.get(declared.lower().partition("(")[0].strip())
    if kind is None:
        raise SchemaError(
            f"table {table}: its column {column} is of the type {declared or 'none'}, which a copy does not carry.\n"
            "  Plugins declare text, whole numbers, real numbers, truth values or bytes."
        )
    return kind


def _carried(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if not name.startswith((_VERSIONS, "sqlite_")))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# --- SQLite --------------------------------------------------------------------------------------------

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


class SqliteSide:
    """A file; one that is filled is nobody's yet, so its disk is asked only at the end."""

    def __init__(self, path: Path, *, write: bool) -> None:
        if not path.exists():
            raise SchemaError(f"there is no database at {path}")
        self._path = path
        try:
            self._db = sqlite3.connect(
                f"file:{quote(str(path.absolute()))}?mode={'rw' if write else 'ro'}", uri=True, isolation_level=None
            )
            if write:
                self._db.execute("PRAGMA journal_mode=DELETE")
                self._db.execute("PRAGMA synchronous=OFF")
                self._db.execute("PRAGMA cache_size=-65536")  # KiB
            self._db.execute("BEGIN")
            self._names = [row[0] for row in self._db.execute(_TABLES)]  # the moment begins with the first look
        except sqlite3.Error as error:
            raise StoreDown(f"{path}: {error}") from error

    def tables(self) -> dict[str, Table]:
        """Give the tables that are carried, by name."""
        found = {}
        for name in _carried(self._names):
            columns = self._db.execute(f"PRAGMA table_info({_quoted(name)})").fetchall()
            needs = frozenset(row[2] for row in self._db.execute(f"PRAGMA foreign_key_list({_quoted(name)})"))
            kinds = tuple(_kind(name, column[1], column[2]) for column in columns)
            found[name] = Table(name, tuple(column[1] for column in columns), kinds, needs)
        return found

    def versions(self) -> dict[str, str]:
        """Give the revision of each owner's tables."""
        names = [name for name in self._names if name.startswith(_VERSIONS)]
        rows = {name: self.one(f"SELECT version_num FROM {_quoted(name)}") for name in names}
        return {name.removeprefix(_VERSIONS): row[0] for name, row in rows.items() if row}

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return int(self._db.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()[0])

    def one(self, statement: str) -> Row | None:
        """Run a statement that gives at most one row."""
        row: Row | None = self._db.execute(statement).fetchone()
        return row

    def all(self, statement: str) -> Sequence[Row]:
        """Run a statement that gives a few rows."""
        return self._db.execute(statement).fetchall()

    def rows(self, table: Table) -> Iterator[Sequence[Row]]:
        """Give all rows, in batches."""
        columns = ", ".join(map(_quoted, table.columns))
        cursor = self._db.execute(f"SELECT {columns} FROM {_quoted(table.name)}")
        mixed = [i for i, kind in enumerate(table.kinds) if kind == "bytes"]
        while rows := cursor.fetchmany(BATCH):
            yield [_with_bytes(row, mixed) for row in rows] if mixed else rows

    def fill(self, table: Table, batches: Iterable[Sequence[Row]]) -> None:
        """Take rows in, in place of what migrations wrote."""
        self._db.execute(f"DELETE FROM {_quoted(table.name)}")
        columns, marks = ", ".join(map(_quoted, table.columns)), ", ".join("?" * len(table.columns))
        for rows in batches:
            self._db.executemany(f"INSERT INTO {_quoted(table.name)} ({columns}) VALUES ({marks})", rows)

    def blocks(self, sha256: str) -> Iterator[bytes]:
        """Give a file that lies in the database, block by block; nothing where it does not."""
        yield from (row[0] for row in self._db.execute(_BLOCKS.format("?"), (sha256,)))

    def put_blocks(self, sha256: str, blocks: Iterable[bytes]) -> None:
        """Keep a file in the database."""
        self._db.executemany(_PUT_BLOCK.format(*"???"), ((sha256, n, block) for n, block in enumerate(blocks)))

    def set_aside(self, names: Iterable[str], schema: str) -> int:
        """Do nothing: a file is moved as a whole."""
        return 0

    def commit(self) -> None:
        """Commit; returns when the disk has it."""
        self._db.execute("COMMIT")
        synced(self._path)
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _with_bytes(row: Row, mixed: Sequence[int]) -> Row:
    """Give bytes where SQLite was given a text for them: a BLOB column takes either as it comes."""
    if not any(isinstance(row[i], str) for i in mixed):
        return row
    return tuple(v.encode() if i in mixed and isinstance(v, str) else v for i, v in enumerate(row))


def synced(path: Path) -> None:
    """Return when the disk has a file, or a folder's names."""
    import os

    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- PostgreSQL ----------------------------------------------------------------------------------------

_COLUMNS = """
    SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
    JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
    WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE'
    ORDER BY c.table_name, c.ordinal_position
"""
_NEEDS = """
    SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint
    WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
"""
_SEQUENCES = """
    SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(c.relname), a.attname)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
      AND pg_get_serial_sequence(quote_ident(c.relname), a.attname) IS NOT NULL
"""


class PostgresSide:
    """A database, in one transaction: what is filled is there whole, or not at all."""

    def __init__(self, url: str, *, write: bool) -> None:
        import psycopg

        from .postgres import unreachable

        try:
            self._db = psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="talkwire copy")
        except psycopg.Error as error:  # its text may quote the URL
            raise unreachable(url, error) from None
        try:
            self._begin = "BEGIN" if write else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            self._db.execute(self._begin)
            self._columns = self._db.execute(_COLUMNS).fetchall()
        except psycopg.Error as error:  # its text may quote the URL
            raise StoreDown(f"{place_of(url)}: {type(error).__name__}; is it running, may we use it?") from None

    def tables(self) -> dict[str, Table]:
        """Give the tables that are carried, by name."""
        needs: dict[str, set[str]] = {}
        for table, other in self._db.execute(_NEEDS):
            needs.setdefault(table, set()).add(other)
        found = {}
        for name in _carried({row[0] for row in self._columns}):
            columns = [(column, declared) for table, column, declared in self._columns if table == name]
            kinds = tuple(_kind(name, column, declared) for column, declared in columns)
            found[name] = Table(name, tuple(c for c, _ in columns), kinds, frozenset(needs.get(name, ())))
        return found

    def versions(self) -> dict[str, str]:
        """Give the revision of each owner's tables."""
        names = {row[0] for row in self._columns if row[0].startswith(_VERSIONS)}
        rows = {name: self.one(f"SELECT version_num FROM {_quoted(name)}") for name in sorted(names)}
        return {name.removeprefix(_VERSIONS): row[0] for name, row in rows.items() if row}

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        row = self.one(f"SELECT count(*) FROM {_quoted(table)}")
        assert row is not None  # a count is always there
        return int(row[0])

    def one(self, statement: str) -> Row | None:
        """Run a statement that gives at most one row."""
        return self._db.execute(statement.encode()).fetchone()

    def all(self, statement: str) -> Sequence[Row]:
        """Run a statement that gives a few rows."""
        return self._db.execute(statement.encode()).fetchall()

    def rows(self, table: Table) -> Iterator[Sequence[Row]]:
        """Give all rows, in batches."""
        columns = ", ".join(
            f"CAST({_quoted(c)} AS integer)" if kind == "truth" else _quoted(c)
            for c, kind in zip(table.columns, table.kinds, strict=True)
        )
        with self._db.cursor(name="copied", binary=True) as cursor:
            cursor.execute(f"SELECT {columns} FROM {_quoted(table.name)}".encode())
            while rows := cursor.fetchmany(BATCH):
                yield rows

    def fill(self, table: Table, batches: Iterable[Sequence[Row]]) -> None:
        """Take rows in, in place of what migrations wrote."""
        columns = ", ".join(map(_quoted, table.columns))
        truths = [i for i, kind in enumerate(table.kinds) if kind == "truth"]
        with self._understood(table), self._db.cursor() as cursor:
            cursor.execute(f"DELETE FROM {_quoted(table.name)}".encode())
            with cursor.copy(f"COPY {_quoted(table.name)} ({columns}) FROM STDIN".encode()) as copy:
                for rows in batches:
                    for row in rows:
                        copy.write_row([bool(v) if i in truths and v is not None else v for i, v in enumerate(row)]
                                       if truths else row)  # fmt: skip

    @contextlib.contextmanager
    def _understood(self, table: Table) -> Iterator[None]:
        import psycopg

        try:
            yield
        except psycopg.Error as error:  # its text may quote a row
            raise StoreDown(f"table {table.name}: PostgreSQL does not take its rows: {type(error).__name__}") from None

    def blocks(self, sha256: str) -> Iterator[bytes]:
        """Give a file that lies in the database, block by block; nothing where it does not."""
        with self._db.cursor(name="blocks", binary=True) as cursor:
            cursor.itersize = 8  # MiB at most
            yield from (row[0] for row in cursor.execute(_BLOCKS.format("%s").encode(), (sha256,)))

    def put_blocks(self, sha256: str, blocks: Iterable[bytes]) -> None:
        """Keep a file in the database."""
        for n, block in enumerate(blocks):
            self._db.execute(_PUT_BLOCK.format("%s", "%s", "%s").encode(), (sha256, n, block))

    def set_aside(self, names: Iterable[str], schema: str) -> int:
        """Move tables, and those that hold revisions, into another schema, where nobody looks; gives how many."""
        there, wanted = {row[0] for row in self._columns}, set(names)
        found = sorted(name for name in there if name in wanted or name.startswith(_VERSIONS))
        if not found:
            return 0
        self._db.execute(f"CREATE SCHEMA {_quoted(schema)}".encode())
        for name in found:
            self._db.execute(f"ALTER TABLE {_quoted(name)} SET SCHEMA {_quoted(schema)}".encode())
        return len(found)

    def commit(self) -> None:
        """Let numbers go on after the largest that there is, and commit."""
        for table, column, sequence in self._db.execute(_SEQUENCES).fetchall():
            largest = self.one(f"SELECT max({_quoted(column)}) FROM {_quoted(table)}")
            if largest and largest[0] is not None:
                self._db.execute("SELECT setval(%s, %s)", (sequence, largest[0]))
        self._db.execute("COMMIT")
        self._db.execute(self._begin)

    def close(self) -> None:
        """Close the connection; what was not committed has never been."""
        self._db.close()
