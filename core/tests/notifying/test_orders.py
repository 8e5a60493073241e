"""Answers, lapses and withdrawals in any order: one end, told once, and whoever comes later hears which it was."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkwire.actions import Notify, Withdraw
from talkwire.errors import Conflict, Outrun
from talkwire.model import Option, Style
from talkwire.notify import notifying
from talkwire.notify.templates import Templates
from talkwire.store.sqlite import SqliteDriver
from talkwire.store.tx import Tx
from talkwire.testing.services import NOON

PEOPLE = ("ann", "bob", "cyd")
OPTIONS = (Option(id="yes", title="Yes"), Option(id="no", title="No"))
LAPSES = 3  # at this step
_LOST = ("already_answered",)
_keys = itertools.count()

step = st.one_of(
    st.tuples(st.just("answer"), st.sampled_from(PEOPLE), st.sampled_from(["page", "native:laptop", "email"])),
    st.tuples(st.just("see"), st.sampled_from(PEOPLE), st.just("page")),
    st.tuples(st.just("sweep"), st.just(""), st.just("")),
    st.tuples(st.just("withdraw"), st.just(""), st.just("")),
)


@dataclass
class Model:
    """What ought to be true."""

    winner: tuple[str, str] | None = None
    ended: str = ""
    seen: set[str] = field(default_factory=set)

    def answer(self, at: int, who: str, where: str) -> str:
        """Say what whoever answers hears."""
        if self.winner:
            return "already_answered"
        if self.ended or at >= LAPSES:
            self.ended = self.ended or "lapsed"
            return self.ended
        self.winner, self.ended = (who, where), "answered"
        return ""


@pytest.fixture(scope="module")
def driver(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteDriver]:
    file = tmp_path_factory.mktemp("orders") / "talkwire.db"
    shutil.copyfile(empty_database, file)
    opened = SqliteDriver(file)
    opened.begin()
    for name in PEOPLE:
        opened.execute("INSERT INTO recipient (name, media) VALUES (:name, '[\"bell\"]')", {"name": name})
    opened.commit()
    yield opened
    opened.close()


def heard_by(tx: Tx, notification: str, where: str) -> tuple[str, str, str]:
    """Answer, and say what whoever did it hears: a code, whose answer was first, and where."""
    try:
        notifying.answer(tx, notification, "yes", where)
    except Outrun as lost:
        return lost.code, lost.recipient, lost.surface
    except Conflict as lost:
        return lost.code, "", ""
    return "", "", ""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_whatever_comes_in_whatever_order_one_end_holds(
    driver: SqliteDriver, steps: list[tuple[str, str, str]]
) -> None:
    key, model = f"k{next(_keys)}", Model()
    driver.begin()
    try:
        tx = Tx(driver, NOON)
        for who in PEOPLE:
            asked = Notify(
                recipient=who,
                kind="offer",
                title="A chat",
                actions=OPTIONS,
                style=Style.ALERT,
                key=key,
                timeout=timedelta(seconds=LAPSES),
            )
            notifying.notify(tx, "plugin:desk", asked, "", Templates())
        ids = dict(tx.execute("SELECT recipient, id FROM notification WHERE key = :key", {"key": key}))
        told: list[str] = []
        for at, (what, who, where) in enumerate(steps):
            tx = Tx(driver, NOON + timedelta(seconds=at))
            if what == "answer":
                expected = model.answer(at, who, where)
                assert heard_by(tx, ids[who], where) == (expected, *(model.winner if expected in _LOST else ("", "")))
            elif what == "see":
                notifying.see(tx, [ids[who]])
            elif what == "withdraw":
                notifying.withdraw(tx, "plugin:desk", Withdraw(key=key))
                model.ended = model.ended or "withdrawn"
            else:
                notifying.lapse(tx, [None])
                model.ended = model.ended or ("lapsed" if at >= LAPSES else "")
            told += [kind for kind, *_ in tx.told]
        rows = driver.execute("SELECT ended, answered_by FROM notification WHERE key = :key", {"key": key})
        assert {ended for ended, _ in rows} == {model.ended}
        assert sum(bool(by) for _, by in rows) == bool(model.winner)
        assert told.count("notification.answered") == bool(model.winner)
        assert told.count("notification.withdrawn") == sum(bool(ended) for ended, _ in rows)
        assert told.count("notification.lapsed") == sum(ended == "lapsed" for ended, _ in rows)
    finally:
        driver.rollback()
