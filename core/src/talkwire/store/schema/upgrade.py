"""Bring a database to the schema of this version, core and plugins each in their own chain."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ...errors import SchemaError

_LOCK = 7_425_531  # PostgreSQL advisory lock that all upgrades share; the number has no meaning


@dataclass(frozen=True, slots=True)
class Chain:
    """One owner's migrations."""

    owner: str  # `core` or the plugin's name
    folder: Path  # holds the revision files


CORE = Chain("core", Path(__file__).parent / "versions")


def upgrade(url: str, chains: Sequence[Chain] = (CORE,)) -> list[str]:
    """Upgrade every chain to its newest revision; say what was done, one line a chain.

    A second call does nothing. Errors: `SchemaError` where the database is newer than we are.
    """
    engine = sa.create_engine(_sqlalchemy_url(url))
    try:
        with _exclusive(engine) as connection:
            return [_upgrade_chain(connection, chain) for chain in chains]
    finally:
        engine.dispose()


@contextlib.contextmanager
def _exclusive(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Batch ALTER copies tables; with foreign keys on, the copy's DROP deletes child rows.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
            connection.exec_driver_sql("PRAGMA page_size=8192")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
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


def _upgrade_chain(connection: sa.Connection, chain: Chain) -> str:
    table = f"alembic_version_{chain.owner}"
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("version_locations", str(chain.folder))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = table
    script = ScriptDirectory.from_config(config)
    with connection.begin():
        before = MigrationContext.configure(connection, opts={"version_table": table}).get_current_revision()
    head = script.get_current_head()
    if before == head:
        return f"{chain.owner}: at {head}"
    if before and before not in {r.revision for r in script.walk_revisions()}:
        raise SchemaError(
            f"the database has {chain.owner} at {before}, which this version does not know.\n"
            "  It was used by a newer Talkwire: install that one again, or restore a backup."
        )
    command.upgrade(config, "head")
    return f"{chain.owner}: {before or 'nothing'} → {head}"


def _sqlalchemy_url(url: str) -> str:
    if url.startswith("postgresql://"):
        return "postgresql+psycopg://" + url.removeprefix("postgresql://")
    return url
