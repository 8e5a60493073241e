"""Databases with the core's tables in them: each test gets its own, copied from one that was upgraded once."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.parts.postgres import Cluster

BOTH = ("sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres")))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One upgraded SQLite file, to be copied."""
    from talkwire.store.schema.upgrade import upgrade

    file = tmp_path_factory.mktemp("template") / "talkwire.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a fresh SQLite file with tables."""
    file = tmp_path / "talkwire.db"
    shutil.copyfile(sqlite_template, file)
    return f"sqlite:///{file}"


@pytest.fixture(scope="session")
def postgres_template(postgres_cluster: Cluster) -> str:
    """The name of one upgraded PostgreSQL database, to be copied."""
    from talkwire.store.schema.upgrade import upgrade

    name = postgres_cluster.new_database()
    upgrade(postgres_cluster.url(name))
    return name


class Copies:
    """Copies of a database, one after the other: the next one is made, and the last one dropped, while a test runs.

    All over one connection that stays: some tests count what this process has open.
    """

    def __init__(self, cluster: Cluster, template: str) -> None:
        import psycopg

        self._cluster = cluster
        self._connection = psycopg.connect(cluster.url(), autocommit=True)
        self._template = template
        self._beside = ThreadPoolExecutor(1, "copies")  # one: no two statements may copy a database at once
        self._dropped: Future[None] | None = None
        self._next = self._made()

    def take(self) -> str:
        """Give the name of a fresh copy."""
        name, self._next = self._next.result(), self._made()
        return name

    def give_back(self, name: str) -> None:
        """Drop a copy. Errors: of the one before."""
        if self._dropped is not None:
            self._dropped.result()
        self._dropped = self._beside.submit(self._cluster.drop_database, name, self._connection.execute)

    def close(self) -> None:
        """Wait for what is under way."""
        self._beside.shutdown()
        self._connection.close()

    def _made(self) -> Future[str]:
        return self._beside.submit(self._cluster.new_database, self._template, self._connection.execute)


@pytest.fixture(scope="session")
def postgres_copies(postgres_cluster: Cluster, postgres_template: str) -> Iterator[Copies]:
    """Copies of one database with tables."""
    copies = Copies(postgres_cluster, postgres_template)
    yield copies
    copies.close()


@pytest.fixture
def postgres_with_tables(postgres_cluster: Cluster, postgres_copies: Copies) -> Iterator[str]:
    """The URL of a fresh PostgreSQL database with tables."""
    name = postgres_copies.take()
    yield postgres_cluster.url(name)
    postgres_copies.give_back(name)


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh database with tables; the test runs once on each kind of database."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_with_tables"))


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables; the test runs once on each kind of database."""
    return (
        f"sqlite:///{tmp_path / 'talkwire.db'}"
        if request.param == "sqlite"
        else str(request.getfixturevalue("postgres_url"))
    )
