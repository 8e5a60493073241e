"""How often PostgreSQL is waited for: what gives nothing back goes out with the next question, and its error comes with it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from talkwire.clock import micros
from talkwire.ids import new_id
from talkwire.inbound.admission import Arrival, admit
from talkwire.model import Address, Inbound
from talkwire.store import LOCK_WITHIN
from talkwire.store.postgres import PostgresDriver
from talkwire.store.schema.upgrade import upgrade
from talkwire.store.tx import Tx
from talkwire.testing.services import NOON

pytestmark = pytest.mark.needs("postgres")

# The people and their talks; which rows they are, locked; which messages are there; the log's head; the commit.
TRIPS = 5
_KEEP = "INSERT INTO meta (name, value) VALUES (:name, '')"


class Wire:
    """Stands between a driver and its server, and counts what the driver waits for: each wait begins with a Sync."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._server = socket.create_connection((place.hostname, place.port))
        self._door = socket.create_server(("127.0.0.1", 0))
        port = self._door.getsockname()[1]
        self.url = place._replace(
            netloc=f"{place.username}@127.0.0.1:{port}", query="sslmode=disable&gssencmode=disable"
        ).geturl()
        self.waits = 0
        self._threads = [threading.Thread(target=self._up), threading.Thread(target=self._down)]
        self._open = threading.Event()
        self.is_mute = threading.Event()  # set: what the server says goes nowhere
        for thread in self._threads:
            thread.start()

    def _up(self) -> None:
        self._client = self._door.accept()[0]
        self._open.set()
        waiting, greeted = b"", False
        with contextlib.suppress(OSError):  # either end may be cut
            while data := self._client.recv(65536):
                waiting += data
                while len(waiting) >= (5 if greeted else 4):
                    head = 1 if greeted else 0  # a greeting has no letter before its length
                    end = head + int.from_bytes(waiting[head : head + 4], "big")
                    if len(waiting) < end:
                        break
                    self.waits += greeted and waiting[:1] == b"S"
                    waiting, greeted = waiting[end:], True
                self._server.sendall(data)  # counted before, for its answer may be here at once
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)

    def _down(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(65536):
                self._open.wait()
                if not self.is_mute.is_set():
                    self._client.sendall(data)

    def close(self) -> None:
        for thread in self._threads:
            thread.join(10)
        for one in (self._door, self._client, self._server):
            one.close()


@pytest.fixture
def wire(postgres_url: str) -> Iterator[Wire]:
    upgrade(postgres_url)
    wire = Wire(postgres_url)
    yield wire
    wire.close()


@pytest.fixture
def driver(wire: Wire) -> Iterator[PostgresDriver]:
    driver = PostgresDriver(wire.url, lock_within=LOCK_WITHIN)
    yield driver
    driver.close()


def kept(driver: PostgresDriver) -> list[str]:
    return [row[0] for row in driver.execute("SELECT name FROM meta ORDER BY name", {})]


def arrival(said: str, count: int) -> Arrival:
    letters = [
        Inbound(external_id=f"{said}{n}", address=Address(kind="phone", value=f"+6281{n}"), at=NOON, text=said)
        for n in range(count)
    ]
    row = (new_id(), "post", "post", "POST", "", "{}", "[]", b"x", "", "", micros(NOON), count)
    return Arrival(row, str(row[0]), [("post", "post", one) for one in letters], {}, micros(NOON))


@pytest.mark.parametrize("count", [1, 20])
def test_a_delivery_of_people_who_wrote_before_waits_five_times(driver: PostgresDriver, wire: Wire, count: int) -> None:
    def admitted(said: str) -> None:
        driver.begin()
        tx = Tx(driver, NOON)
        admit(tx, [arrival(said, count)])
        tx.finish()
        tx.number_facts()
        driver.commit()

    for said in ("first", "second", "third"):  # plans are thrown away before the first, second and fourth transaction
        before = wire.waits
        admitted(said)

    assert wire.waits - before == TRIPS
    assert driver.execute("SELECT count(*) FROM message", {}) == [(3 * count,)]


def test_what_failed_unheard_is_said_by_the_next_question(driver: PostgresDriver) -> None:
    driver.begin()
    driver.many(_KEEP, [{"name": None}])
    driver.many(_KEEP, [{"name": "after it"}])

    with pytest.raises(psycopg.errors.NotNullViolation):
        kept(driver)
    driver.rollback()

    assert kept(driver) == []


def test_what_failed_unheard_is_said_by_the_end_of_its_group(driver: PostgresDriver) -> None:
    driver.begin()
    driver.many(_KEEP, [{"name": None}])

    with pytest.raises(psycopg.errors.NotNullViolation):
        driver.settle()
    driver.rollback()

    driver.begin()
    driver.many(_KEEP, [{"name": "a"}])
    driver.settle()
    driver.commit()
    assert kept(driver) == ["a"]


def test_what_failed_unheard_is_undone_with_its_part_alone(driver: PostgresDriver) -> None:
    driver.begin()
    driver.many(_KEEP, [{"name": "before"}])
    driver.savepoint()
    driver.many(_KEEP, [{"name": None}])
    driver.rollback_to()
    driver.many(_KEEP, [{"name": "after"}])
    driver.commit()

    assert kept(driver) == ["after", "before"]


def test_a_statement_that_was_passed_over_for_anothers_failure_works_the_next_time(driver: PostgresDriver) -> None:
    """The driver prepares what comes again; the server skips that, too, behind what failed."""
    other = "INSERT INTO meta (name, value) VALUES (:name, 'other')"
    for _ in range(5):
        driver.begin()
        driver.many(_KEEP, [{"name": None}])
        driver.many(other, [{"name": "a"}])
        driver.rollback()

    driver.begin()
    driver.many(other, [{"name": "a"}])
    driver.commit()

    assert kept(driver) == ["a"]


def test_a_server_that_says_nothing_while_something_is_undone_is_cut(driver: PostgresDriver, wire: Wire) -> None:
    driver.begin()
    driver.many(_KEEP, [{"name": None}])
    wire.is_mute.set()
    undoing = threading.Thread(target=driver.rollback, daemon=True)
    undoing.start()
    for _ in range(1000):
        driver.cut_if_mute(0)
        undoing.join(0.01)
        if not undoing.is_alive():
            break
    assert not undoing.is_alive()
