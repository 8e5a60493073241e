"""Two daemons on one PostgreSQL: of two answers, or of an answer and the end of its time, one holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from talkwire.actions import Notify, Withdraw
from talkwire.errors import Conflict, Outrun
from talkwire.model import Option, Style
from talkwire.notify import notifying
from talkwire.notify.templates import Templates
from talkwire.store import Store, Tx
from tests.contention.test_people import Meanwhile, daemons, run

__all__ = ["daemons"]
pytestmark = [pytest.mark.needs("postgres"), pytest.mark.timeout(90)]
HEARD: list[str] = []  # what whoever answers is told, in the order in which they end


@pytest.fixture(autouse=True)
def _nobody_was_told_anything():
    HEARD.clear()


def asked(tx: Tx) -> None:
    for name in ("ann", "bob"):
        tx.execute("INSERT INTO recipient (name, media) VALUES (:name, '[\"bell\"]')", {"name": name})
        one = Notify(
            recipient=name,
            kind="offer",
            title="A chat",
            actions=(Option(id="yes", title="Yes"),),
            style=Style.ALERT,
            key="chat",
            timeout=timedelta(days=1),
        )
        notifying.notify(tx, "plugin:desk", one, "", Templates())


def answers(ids: dict[str, str], who: str) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        notifying.lock(tx, [ids[who]])
        try:
            notifying.answer(tx, ids[who], "yes", f"page of {who}")
            HEARD.append(f"{who} won")
        except Outrun as lost:
            HEARD.append(f"{who} lost to {lost.recipient} on {lost.surface}")
        except Conflict as lost:
            HEARD.append(f"{who}: {lost.code}")

    return write


def withdraws(ids: dict[str, str], who: str) -> Callable[[Tx], None]:
    return lambda tx: notifying.withdraw(tx, "plugin:desk", Withdraw(key="chat"))


def lapses(ids: dict[str, str], who: str) -> Callable[[Tx], None]:
    """Sweep as if a day had gone by: the store's clock is the machine's, which no test turns."""

    def write(tx: Tx) -> None:
        tx.now += timedelta(days=2)
        tx.now_us += timedelta(days=2) // timedelta(microseconds=1)
        notifying.lapse(tx, [None])

    return write


@pytest.mark.parametrize(
    ("first", "second", "heard", "ended"),
    [
        (answers, answers, ["ann won", "bob lost to ann on page of ann"], "answered"),
        (answers, withdraws, ["ann won"], "answered"),
        (withdraws, answers, ["bob: withdrawn"], "withdrawn"),
        (answers, lapses, ["ann won"], "answered"),
        (lapses, answers, ["bob: lapsed"], "lapsed"),
    ],
)
async def test_whoever_is_second_waits_and_hears_what_became_of_it(
    daemons: tuple[Store, Store], postgres_with_tables: str, first, second, heard, ended
) -> None:
    one, other = daemons
    await run(one, asked)
    rows = await one.read(lambda query: query.execute("SELECT recipient, id FROM notification"))
    ids = dict(rows)
    meanwhile = Meanwhile(postgres_with_tables)
    before = asyncio.create_task(run(one, first(ids, "ann"), meanwhile.stand_still))
    await asyncio.to_thread(meanwhile.begun.wait, 10)
    try:
        await run(other, second(ids, "bob"))
    finally:
        meanwhile.ended.set()
        await before
    assert heard == HEARD
    found = await one.read(lambda query: query.execute("SELECT DISTINCT ended FROM notification"))
    assert found == [(ended,)]
    told = await one.read(lambda query: query.execute("SELECT type FROM fact WHERE type LIKE 'notification.%'"))
    assert [row[0] for row in told].count("notification.withdrawn") == len(ids)


async def test_many_who_answer_at_once_at_two_daemons_have_one_winner(daemons: tuple[Store, Store]) -> None:
    one, other = daemons
    await run(one, asked)
    ids = dict(await one.read(lambda query: query.execute("SELECT recipient, id FROM notification")))
    await asyncio.gather(*(run((one, other)[n % 2], answers(ids, ("ann", "bob")[n // 2 % 2])) for n in range(12)))
    assert sum(one.endswith("won") for one in HEARD) == 1
    assert sum(" lost to " in one for one in HEARD) == 11
