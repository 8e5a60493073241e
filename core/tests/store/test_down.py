"""A database that is not there, comes back, is full, belongs to somebody else, or has other tables."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from talkwire.errors import Conflict, SchemaError, StoreDown
from talkwire.store import Store, Tx
from talkwire.store.postgres import unreachable
from talkwire.store.schema.upgrade import upgrade
from talkwire.store.writer import Mute
from tests.parts.postgres import Cluster

from .conftest import OpenStore, keep, kept


def silent(store: Store) -> bool:
    return any("mute" in holder.what for holder in store.holders)


@pytest.mark.needs("postgres")
async def test_a_stopped_server_is_down_and_nothing_is_needed_once_it_is_back(
    own_cluster: Cluster, open_store: OpenStore
) -> None:
    url = own_cluster.url(own_cluster.new_database())
    upgrade(url)
    store = await open_store(url)
    await asyncio.gather(*(store.write(keep, f"before {i}") for i in range(20)))
    before = await kept(store)
    await asyncio.to_thread(own_cluster.stop, how=signal.SIGQUIT)  # a crash
    with pytest.raises(StoreDown, match="PostgreSQL"):
        await store.write(keep, "meanwhile")
    with pytest.raises(StoreDown, match="PostgreSQL"):
        await kept(store)
    await asyncio.to_thread(own_cluster.start)
    assert await kept(store) == before  # committed is committed
    assert await store.write(keep, "after") == 1
    assert store.alive


@pytest.mark.needs("postgres")
async def test_a_server_that_says_nothing_more_is_down_after_a_while_and_nothing_is_needed_once_it_speaks(
    own_cluster: Cluster, open_store: OpenStore
) -> None:
    """It is there, it takes what is sent to it, and answers nothing: no time-out of its own can help."""
    url = own_cluster.url(own_cluster.new_database())
    upgrade(url)
    store = await open_store(url)
    for i in range(10):
        await store.write(keep, f"before {i}")
    before = await kept(store)
    patience, store.answer_within = store.answer_within, timedelta(seconds=0.3)  # only while nothing is said
    own_cluster.freeze()
    try:
        async with asyncio.timeout(20):
            written = await asyncio.gather(*(store.write(keep, f"{i}") for i in range(5)), return_exceptions=True)
            assert {type(error) for error in written} <= {StoreDown, Mute}
        async with asyncio.timeout(20):
            with pytest.raises(StoreDown, match="PostgreSQL"):
                await kept(store)
        async with asyncio.timeout(16):
            with pytest.raises(StoreDown, match="PostgreSQL"):
                await store.write(keep, "meanwhile")
        assert silent(store)  # `/livez` fails by it, as by a hook that holds the writer
    finally:
        own_cluster.thaw()
        store.answer_within = patience
    assert await store.write(keep, "after") == 1
    assert set(before) <= set(await kept(store))
    assert not silent(store)
    assert store.alive


@pytest.mark.needs("postgres")
async def test_a_server_that_refuses_is_not_mute(own_cluster: Cluster, open_store: OpenStore) -> None:
    """To start this process anew would bring nothing back."""
    url = own_cluster.url(own_cluster.new_database())
    upgrade(url)
    store = await open_store(url)
    await store.write(keep, "before")
    await asyncio.to_thread(own_cluster.stop)
    with pytest.raises(StoreDown):
        await store.write(keep, "meanwhile")
    assert not silent(store)


@pytest.mark.needs("postgres")
async def test_connections_that_were_cut_while_they_rested_are_made_again_unnoticed(
    postgres_with_tables: str, open_store: OpenStore
) -> None:
    store = await open_store(postgres_with_tables)
    for i in range(10):
        await store.write(keep, f"{i}")
        await kept(store)
    with psycopg.connect(postgres_with_tables, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(await kept(store)) == 10
    for i in range(10, 20):
        assert await store.write(keep, f"{i}") == 1
    await asyncio.gather(*(kept(store) for _ in range(20)))


@pytest.mark.needs("postgres")
async def test_what_may_or_may_not_be_committed_is_told_as_down(
    postgres_with_tables: str, open_store: OpenStore
) -> None:
    """The connection is cut while the transaction is open: nobody is told it was written."""
    store = await open_store(postgres_with_tables)

    def cut(tx: Tx, items: Sequence[str]) -> Sequence[int]:
        keep(tx, items)
        pid = tx.execute("SELECT pg_backend_pid()")[0][0]
        with psycopg.connect(postgres_with_tables, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        return keep(tx, ["never"])

    with pytest.raises(StoreDown):
        await store.write(cut, "a")
    assert await kept(store) == []
    assert await store.write(keep, "b") == 1


@pytest.mark.needs("postgres")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://somebody:s3cret@127.0.0.1:1/nothing", "nothing listens there; start it"),
        ("postgresql://somebody:s3cret@nowhere.invalid/nothing", "there is no host of this name"),
        ("{server}/nothing", "it has no such database; make it with createdb"),
        ("{server}/nothing?user=nobody", "it knows no such user"),
        ("{server}/postgres?sslmode=require", "TLS does not come about"),
        ("{server}/postgres?user=few", "it takes no more connections"),
        ("{server}/postgres?sslmode=s3cret", "do host, port, user, password and database hold?"),
    ],
)
async def test_a_server_nobody_can_reach_is_told_with_what_to_do_and_without_its_password(
    open_store: OpenStore, postgres_url: str, url: str, words: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as db, contextlib.suppress(psycopg.errors.DuplicateObject):
        db.execute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
    with pytest.raises(StoreDown, match="cannot be reached at postgresql://") as caught:
        await open_store(url.format(server=postgres_url.rpartition("/")[0]))
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [  # the words of psycopg 3.3 and PostgreSQL 15; the last ones as a German server says them
        (
            "failed to resolve host 's3cret@db': [Errno -2] Name or service not known",
            "a @ in a password is written %40",
        ),
        ('FATAL:  password authentication failed for user "pw"', "it refuses the password"),
        ("fe_sendauth: no password supplied", "it refuses the password"),
        ('FATAL:  no pg_hba.conf entry for host "127.0.0.1", user "other", database "x", no encryption', "pg_hba.conf"),
        ("FATAL:  sorry, too many clients already", "it takes no more connections"),
        ("FATAL:  the database system is starting up", "try again"),
        ("FATAL:  Passwort-Authentifizierung fehlgeschlagen", "do host, port, user, password and database hold?"),
    ],
)
def test_what_a_server_says_of_a_connection_becomes_what_to_do(said: str, words: str) -> None:
    told = str(unreachable("postgresql://pw:pa@s3cret@db/x", psycopg.OperationalError(said)))
    assert told.startswith("PostgreSQL cannot be reached at postgresql://db/x (url in [store]): ")
    assert words in told
    assert "s3cret" not in told


async def test_a_full_disk_is_the_databases_fault_and_passes(sqlite_url: str, open_store: OpenStore) -> None:
    store = await open_store(sqlite_url)

    def limit(tx: Tx, items: Sequence[int]) -> Sequence[None]:
        # PRAGMA max_page_count makes the same SQLITE_FULL as a disk without space.
        for pages in items:
            tx.execute(f"PRAGMA max_page_count={pages}")
        return [None] * len(items)

    def fill(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        for item in items:
            tx.execute(
                "INSERT INTO meta (name, value) VALUES (:name, :value)", {"name": item, "value": "x" * 1_000_000}
            )
        return [None] * len(items)

    await store.write(limit, 1)  # SQLite keeps it at the present size
    with pytest.raises(StoreDown, match="full"):
        await store.write(fill, "much")
    # The writer made a new connection, which has the usual limit again.
    await store.write(fill, "much")
    assert await kept(store) == ["much"]


async def test_a_disk_that_takes_no_more_bytes_is_the_databases_fault_and_passes(
    sqlite_url: str, open_store: OpenStore
) -> None:
    """As the kernel says it: the file may not grow (EFBIG), SQLite says I/O error or full."""
    store = await open_store(sqlite_url)
    await store.write(keep, "before")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = Path(sqlite_url.removeprefix("sqlite:///") + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        with pytest.raises(StoreDown):
            await store.write(keep, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, handler)
    assert await store.write(keep, "after") == 1
    assert await kept(store) == ["after", "before"]


async def test_a_file_that_is_no_database_is_down(tmp_path: Path, open_store: OpenStore) -> None:
    (tmp_path / "talkwire.db").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreDown):
        await open_store(f"sqlite:///{tmp_path}/talkwire.db")


async def test_a_file_that_is_not_there_says_what_to_type(tmp_path: Path, open_store: OpenStore) -> None:
    with pytest.raises(SchemaError, match="type: talkwire db upgrade"):
        await open_store(f"sqlite:///{tmp_path}/none.db")


async def test_a_folder_that_is_not_there_is_told_to_whoever_would_serve_it(
    tmp_path: Path, open_store: OpenStore
) -> None:
    with pytest.raises(SchemaError, match=r"there is no database at .*type: talkwire db upgrade"):
        await open_store(f"sqlite:///{tmp_path}/nowhere/none.db", exclusive=True)


async def test_one_sqlite_file_serves_one_daemon(sqlite_url: str, open_store: OpenStore) -> None:
    first = await open_store(sqlite_url, exclusive=True)
    with pytest.raises(Conflict, match="another daemon uses") as caught:
        await open_store(sqlite_url, exclusive=True)
    assert caught.value.code == "database_in_use"
    await open_store(sqlite_url)  # commands may look
    await first.close()
    await open_store(sqlite_url, exclusive=True)


async def test_a_database_without_tables_says_what_to_type(
    tmp_path: Path, open_store: OpenStore, request: pytest.FixtureRequest
) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaError, match="no tables yet; type: talkwire db upgrade"):
        await open_store(f"sqlite:///{tmp_path}/empty.db")


@pytest.mark.needs("postgres")
async def test_an_empty_server_says_what_to_type(postgres_url: str, open_store: OpenStore) -> None:
    with pytest.raises(SchemaError, match="no tables yet; type: talkwire db upgrade"):
        await open_store(postgres_url)


@pytest.mark.parametrize(
    ("revision", "text"), [("0001", "type: talkwire db upgrade"), ("9999", "a newer Talkwire")], ids=["older", "newer"]
)
async def test_tables_of_another_version_say_what_to_do(
    database_url: str, open_store: OpenStore, revision: str, text: str
) -> None:
    store = await open_store(database_url)

    def become(tx: Tx, items: Sequence[str]) -> Sequence[None]:
        for item in items:
            tx.execute("UPDATE alembic_version_core SET version_num = :revision", {"revision": item})
        return [None] * len(items)

    await store.write(become, revision)
    with pytest.raises(SchemaError, match=text):
        await open_store(database_url)
    if revision == "9999":
        with pytest.raises(SchemaError, match="a newer Talkwire"):
            await asyncio.to_thread(upgrade, database_url)


async def test_a_commit_is_on_the_disk(store: Store) -> None:
    """Read back from the writing connection itself."""

    def asked(tx: Tx, items: Sequence[str]) -> Sequence[str]:
        return [str(tx.execute(item)[0][0]) for item in items]

    if store.is_sqlite:
        assert await store.write(asked, "PRAGMA synchronous") == "2"  # FULL
        assert await store.write(asked, "PRAGMA journal_mode") == "wal"
    else:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await store.write(asked, f"SHOW {setting}") == "on"
        assert await store.write(asked, "SHOW transaction_isolation") == "read committed"


async def test_a_file_that_was_moved_or_replaced_is_not_written_and_one_that_is_back_is(
    sqlite_url: str, open_store: OpenStore
) -> None:
    """SQLite goes on with the file that it has open: what is committed there is gone with the next start."""
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    store = await open_store(sqlite_url, exclusive=True)
    await store.write(keep, "before")
    away, copy = file.with_name("away.db"), file.read_bytes()
    file.rename(away)
    for _ in range(2):
        with pytest.raises(StoreDown, match="moved or removed"):
            await store.write(keep, "meanwhile")
    with pytest.raises(StoreDown, match="moved or removed"):
        await kept(store)
    file.write_bytes(copy)
    with pytest.raises(StoreDown, match=r"was replaced.*restart the daemon"):
        await store.write(keep, "meanwhile")
    assert "was replaced" in store.down
    away.rename(file)
    assert await store.write(keep, "after") == 1
    assert await kept(store) == ["after", "before"]
    assert not store.down


async def test_a_log_that_was_removed_loses_nothing_that_was_committed(
    sqlite_url: str, open_store: OpenStore, tmp_path: Path
) -> None:
    """Its frames are brought into the file while we have it open; after that only a new start is safe."""
    store = await open_store(sqlite_url, exclusive=True)
    for i in range(5):
        await store.write(keep, f"before {i}")
    Path(sqlite_url.removeprefix("sqlite:///") + "-wal").unlink()
    for _ in range(2):
        with pytest.raises(StoreDown, match=r"log was removed.*restart the daemon"):
            await store.write(keep, "meanwhile")
    await store.close()
    again = await open_store(sqlite_url, exclusive=True)
    assert {f"before {i}" for i in range(5)} <= set(await kept(again))
    assert await again.write(keep, "after") == 1


@pytest.mark.needs("postgres")
async def test_a_lock_that_another_session_holds_is_named_and_passes(
    postgres_with_tables: str, open_store: OpenStore
) -> None:
    store = await open_store(postgres_with_tables, lock_within=timedelta(seconds=0.1))
    await store.write(keep, "before")
    with psycopg.connect(postgres_with_tables) as other:
        other.execute("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreDown, match="another session holds a lock"):
            await store.write(keep, "meanwhile")
        with pytest.raises(StoreDown, match="another session holds a lock"):
            await kept(store)
        assert "another session" in store.down
        assert not silent(store)
    assert await store.write(keep, "after") == 1
    assert not store.down
