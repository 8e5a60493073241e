"""A private PostgreSQL for the tests: its own cluster on a free loopback port, durable as a real one, gone afterwards."""

import contextlib
import ctypes
import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parts.ports import free_port
from tests.parts.wants import postgres_binary

START_LIMIT = 30.0  # seconds
PORTS = 6  # tried, one after the other
SUPERUSER = "talkwire"
Do = Callable[[str], object]  # runs a statement of an administrator


class Cluster:
    """One server with its data in a temporary folder; `stop` and `start` it as a test needs.

    fsync stays on: durability is what many of these tests are about.
    PostgreSQL refuses to run as root, so as root it runs as another user.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tw-pg-"))  # short: a Unix socket's path holds 107 bytes
        self.port = 0  # as long as it does not run
        self._uid, self._gid = _owner()
        self._process: subprocess.Popen[bytes] | None = None
        os.chown(self.folder, self._uid, self._gid)
        self._run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-instructions",
        )

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers; a port once had is kept."""
        for _ in range(1 if self.port else PORTS):
            port = self.port or free_port()
            if self._started(port):
                self.port = port
                return
        raise RuntimeError(f"PostgreSQL did not start:\n{self._said()}")

    def _started(self, port: int) -> bool:
        """Say whether a server answers there now; somebody else may have taken the port meanwhile."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "logging_collector": "off",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [_binary("postgres"), "-D", str(self.data), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (no thread of ours holds a lock here)
                **self._as_owner(),
            )
        deadline = time.monotonic() + START_LIMIT
        while process.poll() is None:
            if self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), check=False) == 0:
                self._process = process
                return True
            if time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"PostgreSQL does not answer:\n{self._said()}")
            time.sleep(0.05)
        return False

    def _said(self) -> str:
        return (self.folder / "server.log").read_text()[-2000:]

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT cuts its clients off in good order, SIGQUIT is a crash."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(START_LIMIT)
        self._process = None

    def freeze(self) -> None:
        """Let the server say nothing more: its sockets stay open, and take what is sent to them."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        assert self._process is not None
        # The parent first: it makes no new children then. Each child leads a group of its own.
        os.kill(self._process.pid, what)
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):  # it has ended since, as one does whose client is gone
                os.kill(child, what)

    def _children(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self, template: str = "template0", do: Do | None = None) -> str:
        """Create a database, empty or as a copy, and give its name."""
        name = f"t_{uuid.uuid4().hex}"
        (do or self._do)(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {self._strategy}'.rstrip())
        return name

    @functools.cached_property
    def _strategy(self) -> str:
        """Copy files instead of pages through the log, for half the time; a word that PostgreSQL knows since 15."""
        return "STRATEGY file_copy" if self._version >= 15_00_00 else ""

    @property
    def _version(self) -> int:
        import psycopg

        with psycopg.connect(self.url()) as connection:
            return connection.info.server_version

    def drop_database(self, name: str, do: Do | None = None) -> None:
        (do or self._do)(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _do(self, sql: str) -> None:
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(sql)

    def _run(self, program: str, *words: str, check: bool = True) -> int:
        done = subprocess.run([_binary(program), *words], capture_output=True, check=False, **self._as_owner())
        if check and done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stderr.decode(errors='replace')}")
        return done.returncode

    def _as_owner(self) -> dict:
        surroundings = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(self.folder)}
        who = {"user": self._uid, "group": self._gid, "extra_groups": []} if os.geteuid() == 0 else {}
        return {"cwd": self.folder, "env": surroundings, **who}


@contextlib.contextmanager
def _running() -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Cluster]:
    """The server itself; one for each worker of the run. A test that stops it makes a `Cluster` of its own."""
    with _running() as cluster:
        yield cluster


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """Give a server that the test may stop."""
    with _running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres(postgres_cluster: Cluster) -> str:
    """The URL of an administrator, who may create databases."""
    return postgres_cluster.url()


@pytest.fixture
def postgres_url(postgres_cluster: Cluster) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    name = postgres_cluster.new_database()
    yield postgres_cluster.url(name)
    postgres_cluster.drop_database(name)


def _binary(name: str) -> str:
    path = postgres_binary(name)
    if path is None:
        raise RuntimeError(f"PostgreSQL's {name} is not installed; mark the test with needs('postgres')")
    return path


def _owner() -> tuple[int, int]:
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise RuntimeError("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _die_with_parent() -> None:
    # prctl(PR_SET_PDEATHSIG): a run that is killed leaves no server behind. Linux only; elsewhere it may.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)
