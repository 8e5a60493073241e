"""Migrations with data in them: each from its predecessor, on both databases, and the rows are what they were."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from talkwire.clock import SystemClock
from talkwire.errors import Conflict, SchemaError, StoreDown
from talkwire.store import Store, revisions
from talkwire.store.revisions import CORE, Chain
from talkwire.store.schema.tables import metadata
from talkwire.store.schema.upgrade import upgrade

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = [Chain(folder.parent.name.removeprefix("talkwire_"), folder) for folder in
           sorted(ROOT.glob("plugins/*/src/talkwire_*/versions"))]  # fmt: skip
CHAINS = [CORE, *PLUGINS]
STEPS = [(chain, number) for chain in CHAINS for number in range(len(revisions.revisions(chain.folder)))]


@contextlib.contextmanager
def opened(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def rows_for_every_table(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    """Put a row into each table, with something in each column; give them by table."""
    tables = sa.MetaData()
    tables.reflect(connection)
    put: dict[str, dict[str, Any]] = {}
    for table in tables.sorted_tables:
        if not table.name.startswith("alembic_version_"):
            connection.execute(table.delete())
            put[table.name] = {column.name: value_for(table, column) for column in table.columns}
            connection.execute(table.insert(), put[table.name])
    return put


def value_for(table: sa.Table, column: sa.Column[Any]) -> Any:
    match column.type:
        case sa.LargeBinary():
            return f"bytes of {table.name} \0 {column.name}".encode()
        case sa.Text() | sa.String():
            return f"{table.name}.{column.name} 😀"
        case sa.BigInteger():
            return 1_795_435_200_000_007
        case sa.Boolean():
            return True
        case sa.Float():
            return 0.1
    return 7


def kept(connection: sa.Connection, put: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Give the same columns of the same tables again, where they are still there."""
    tables = sa.MetaData()
    tables.reflect(connection)
    found = {}
    for name in put.keys() & tables.tables.keys():
        rows = connection.execute(tables.tables[name].select()).mappings().all()
        found[name] = dict(rows[0]) if len(rows) == 1 else {"rows": len(rows)}
    return found


def survived(url: str, chain: Chain, number: int) -> list[str]:
    """Upgrade from the revision before, with rows there; name what is not as it was."""
    line = revisions.revisions(chain.folder)
    others = [CORE] if chain is not CORE else []
    if number:
        upgrade(url, [*others, chain], to={chain.owner: line[number - 1]})
    elif others:
        upgrade(url, others)
    if not number and chain is CORE:
        upgrade(url, [chain], to={chain.owner: line[0]})
        return []
    with opened(url) as connection:
        put = rows_for_every_table(connection)
    upgrade(url, [*others, chain], to={chain.owner: line[number]})
    with opened(url) as connection:
        there = kept(connection, put)
    return [
        f"{table}.{column}"
        for table, row in sorted(put.items())
        for column, value in row.items()
        if table not in there or there[table].get(column, value if column not in there[table] else None) != value
    ]


@pytest.mark.parametrize(("chain", "number"), STEPS, ids=lambda one: getattr(one, "owner", str(one)))
def test_a_migration_keeps_the_rows_that_it_finds(empty_url, chain, number):
    assert survived(empty_url, chain, number) == []


LOSES = """
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = {revision!r}, {down!r}, None, None
def upgrade():
    {body}
"""


def chain_of(folder: Path, *bodies: str, owner: str = "notes") -> Chain:
    folder.mkdir(exist_ok=True)
    for number, body in enumerate(bodies, 1):
        text = LOSES.format(revision=f"n{number}", down=f"n{number - 1}" if number > 1 else None, body=body)
        (folder / f"n{number}.py").write_text(text)
    revisions.revisions.cache_clear()
    return Chain(owner, folder)


MADE = "op.create_table('notes', sa.Column('id', sa.Integer, primary_key=True), sa.Column('text', sa.Text))"


def test_a_migration_that_loses_rows_would_be_noticed(empty_url, tmp_path):
    chain = chain_of(tmp_path / "lossy", MADE, "op.execute(\"UPDATE notes SET text = ''\")")
    assert survived(empty_url, chain, 1) == ["notes.text"]
    assert survived_again(empty_url) == []


def survived_again(url: str) -> list[str]:
    """A second upgrade does nothing."""
    return [line for line in upgrade(url, [CORE]) if "→" in line]


def test_the_migrations_make_the_tables_that_the_code_describes(empty_url):
    upgrade(empty_url)
    with opened(empty_url) as connection:
        ours = lambda one, name, kind, *_: kind != "table" or not name.startswith("alembic_version_")  # noqa: E731
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, metadata) == []


# --- what is refused ---------------------------------------------------------------------------------------


async def test_a_database_without_a_plugins_newest_tables_is_refused(empty_url, tmp_path):
    first = chain_of(tmp_path / "first", MADE)
    upgrade(empty_url, [CORE, first])
    both = chain_of(tmp_path / "first", MADE, "op.add_column('notes', sa.Column('by', sa.Text))")
    store = Store(empty_url, SystemClock())
    await store.open()
    try:
        with pytest.raises(
            SchemaError, match=r"tables of notes, which is at n1, .* works with n2; type: talkwire db up"
        ):
            await store.read(lambda query: revisions.check(query, [CORE, both]))
        with pytest.raises(SchemaError, match=r"the plugin other has no tables yet; type: talkwire db upgrade"):
            await store.read(lambda query: revisions.check(query, [Chain("other", both.folder)]))
    finally:
        await store.close()


def test_where_one_owners_tables_are_newer_nothing_is_changed(empty_url, tmp_path):
    upgrade(empty_url, [CORE, chain_of(tmp_path / "new", MADE, "pass")])
    older, waiting = chain_of(tmp_path / "old", MADE), chain_of(tmp_path / "w", MADE.replace("notes", "w"), owner="w")
    with pytest.raises(SchemaError, match=r"at n2, this version works with n1: it was used by a newer notes"):
        upgrade(empty_url, [waiting, older])
    with opened(empty_url) as connection:
        assert not sa.inspect(connection).has_table("w")


def test_revisions_that_form_no_line_are_refused(tmp_path):
    chain = chain_of(tmp_path / "two", MADE, "pass")
    (chain.folder / "n3.py").write_text(LOSES.format(revision="n3", down="n1", body="pass"))
    revisions.revisions.cache_clear()
    with pytest.raises(SchemaError, match="form no line"):
        revisions.revisions(chain.folder)


# --- the file as it was ------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An SQLite file with a note in it."""
    path = tmp_path / "data" / "talkwire.db"
    path.parent.mkdir()
    upgrade(f"sqlite:///{path}", [CORE, chain_of(tmp_path / "notes", MADE)])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO notes VALUES (1, 'as it was')")
    return path


def notes(path: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT * FROM notes").fetchall()


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def test_the_file_as_it_was_is_kept_beside_the_upgraded_one(file, tmp_path):
    told = upgrade(f"sqlite:///{file}", [CORE, chain_of(tmp_path / "notes", MADE, "op.drop_table('notes')")])
    [before] = file.parent.glob("talkwire.db.before-*")
    assert told[1:] == ["notes: n1 → n2", f"the file as it was: {before}"]
    assert notes(before) == [(1, "as it was")]
    assert names(file) == ["talkwire.db", before.name]
    assert file.stat().st_mode & 0o777 == before.stat().st_mode & 0o777 == 0o600
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        notes(file)


def test_three_files_as_they_were_are_kept(file, tmp_path):
    bodies = [MADE]
    for _ in range(5):
        bodies.append("pass")
        upgrade(f"sqlite:///{file}", [CORE, chain_of(tmp_path / "notes", *bodies)])
    assert len(list(file.parent.glob("talkwire.db.before-*"))) == 3


def test_a_migration_that_fails_changes_nothing(file, tmp_path):
    body = "op.execute('DELETE FROM notes'); op.execute('SELECT * FROM nowhere')"
    before = file.read_bytes()
    with pytest.raises(StoreDown, match="the tables of notes cannot be upgraded to n2: no such table: nowhere"):
        upgrade(f"sqlite:///{file}", [CORE, chain_of(tmp_path / "notes", MADE, body)])
    assert names(file) == ["talkwire.db"]
    assert file.read_bytes() == before


def test_a_disk_without_room_for_the_copy_is_refused_before_anything_is_changed(file, tmp_path):
    before = file.read_bytes()
    chain = chain_of(tmp_path / "notes", MADE, "op.drop_table('notes')")
    with pytest.raises(Conflict, match=r"0 MiB left, the upgrade needs 2 MiB.* Nothing was changed") as refused:
        upgrade(f"sqlite:///{file}", [CORE, chain], free=lambda _: 1000)
    assert "talkwire db upgrade" in str(refused.value)
    assert file.read_bytes() == before
    assert names(file) == ["talkwire.db"]


def test_a_file_that_somebody_has_open_is_left_as_it_is(file, tmp_path):
    chain = chain_of(tmp_path / "notes", MADE, "op.drop_table('notes')")
    with contextlib.closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM notes")
        with pytest.raises(StoreDown, match="Nothing was changed"):
            upgrade(f"sqlite:///{file}", [CORE, chain])
        assert notes(file) == [(1, "as it was")]
    assert not list(file.parent.glob("*.before-*"))
    upgrade(f"sqlite:///{file}", [CORE, chain])


def test_what_a_killed_upgrade_left_is_no_obstacle(file, tmp_path):
    (file.parent / "talkwire.db.upgrading").write_bytes(b"half a copy")
    upgrade(f"sqlite:///{file}", [CORE, chain_of(tmp_path / "notes", MADE, "pass")])
    assert notes(file) == [(1, "as it was")]
