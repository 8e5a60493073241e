"""How many statements the one transaction of the way in asks: what one channel needs costs the others none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talkwire.clock import micros
from talkwire.ids import new_id
from talkwire.inbound.admission import Arrival, admit
from talkwire.model import Address, Inbound
from talkwire.store.sqlite import SqliteDriver
from talkwire.store.tx import Tx
from talkwire.testing.services import NOON

ASKS = frozenset({"execute", "locked", "many", "update"})
PLAIN = 14  # as it was before there were names
KNOWN = 6  # where the person and the conversation are there


class Counting:
    """A driver that counts what is asked of it."""

    def __init__(self, driver: SqliteDriver) -> None:
        self._driver = driver
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        self.count += name in ASKS
        return getattr(self._driver, name)


@pytest.fixture
def driver(tmp_path: Path, sqlite_template: Path) -> Iterator[SqliteDriver]:
    file = tmp_path / "talkwire.db"
    file.write_bytes(sqlite_template.read_bytes())
    driver = SqliteDriver(file, synchronous="off")
    yield driver
    driver.close()


def arrival(letters: list[Inbound]) -> Arrival:
    row = (new_id(), "post", "post", "POST", "", "{}", "[]", b"x", "", "", micros(NOON), len(letters))
    return Arrival(row, str(row[0]), [("post", "post", one) for one in letters], {}, micros(NOON))


def asked(driver: SqliteDriver, letters: list[Inbound], before: list[Inbound] | None = None) -> int:
    """Count the statements that admit one arrival of these, after another of those `before`."""
    driver.begin()
    try:
        if before:
            admit(Tx(driver, NOON), [arrival(before)])
        counting = Counting(driver)
        tx = Tx(counting, NOON)  # type: ignore[arg-type]
        admit(tx, [arrival(letters)])
        tx.finish()
        return counting.count
    finally:
        driver.rollback()


def letter(name: str, **more: Any) -> Inbound:
    return Inbound(external_id=name, address=Address(kind="phone", value="+6281"), at=NOON, text=name, **more)


@pytest.mark.parametrize("count", [1, 20])
def test_what_names_nothing_before_it_is_asked_nothing_more(driver: SqliteDriver, count: int) -> None:
    assert asked(driver, [letter(str(n)) for n in range(count)]) == PLAIN


@pytest.mark.parametrize("count", [1, 20])
def test_what_others_follow_costs_one_statement_for_all_of_them(driver: SqliteDriver, count: int) -> None:
    named = [letter(str(n), known_as=f"<{n}>", follows=(f"<{n - 1}>", "<x>")) for n in range(count)]
    assert asked(driver, named) == PLAIN + 1


def test_more_names_than_one_statement_takes_are_asked_for_by_several(driver: SqliteDriver) -> None:
    """Two hundred mails, each with as many references as are looked at, none of them known."""
    named = [letter(str(n), follows=tuple(f"<{n}.{place}>" for place in range(60))) for n in range(200)]
    assert asked(driver, named) == PLAIN + 5


@pytest.mark.parametrize("count", [1, 20])
def test_whoever_wrote_before_is_found_with_their_talk_by_one_statement(driver: SqliteDriver, count: int) -> None:
    assert asked(driver, [letter(str(n)) for n in range(count)], [letter("before")]) == KNOWN
