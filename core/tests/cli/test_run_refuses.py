"""`talkwire run` on tables that are not of this version: it stops at once, and says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from talkwire.cli import app
from talkwire.store.revisions import CORE, revisions
from talkwire.store.schema.upgrade import upgrade
from tests.parts.databases import BOTH

SETTINGS = """
[store]
url = "{url}"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
"""
LINE = revisions(CORE.folder)


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'talkwire.db'}"
    return str(request.getfixturevalue("postgres_url"))


def typed(tmp_path: Path, url: str, *words: str) -> tuple[int, str]:
    file, key = tmp_path / "talkwire.toml", tmp_path / "instance.key"
    file.write_text(SETTINGS.format(url=url))
    key.touch(mode=0o600)
    key.write_text("a2l0IGtleSBvZiB0aGUgdGVzdCBodWIgMzIgYnl0ZXM=\n")
    ran = CliRunner().invoke(app, ["--config", str(file), *words])
    return ran.exit_code, ran.output


def test_waiting_migrations_and_a_newer_schema_are_refused_with_what_to_do(tmp_path, url):
    upgrade(url, [CORE], to={"core": LINE[-2]})
    code, said = typed(tmp_path, url, "run")
    assert code == 78
    assert f"the database is at {LINE[-2]}, this version works with {LINE[-1]}; type: talkwire db upgrade" in said

    code, said = typed(tmp_path, url, "db", "upgrade")
    assert code == 0
    assert f"core: {LINE[-2]} → {LINE[-1]}" in said
    assert ("the file as it was: " in said) == url.startswith("sqlite:")

    made_newer(url)
    for words in (["run"], ["db", "upgrade"]):
        code, said = typed(tmp_path, url, *words)
        assert code == 78
        assert "the database is at 9999" in said
        assert "it was used by a newer Talkwire.\n  Install that one again, or restore a backup." in said


def made_newer(url: str) -> None:
    if url.startswith("sqlite:"):
        import sqlite3

        with sqlite3.connect(url.removeprefix("sqlite:///")) as db:
            db.execute("UPDATE alembic_version_core SET version_num = '9999'")
        db.close()
        return
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version_core SET version_num = '9999'")
