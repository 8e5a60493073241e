"""Replies that a closed window held go out in the order in which they were said, whatever still waited for its turn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from talkwire.model import Rate
from talkwire.store import Tx
from talkwire.work import lanes
from tests.journeys.test_windows import windowed

ONE_A_MINUTE = (Rate(count=1, per=timedelta(minutes=1), key="address", burst=1),)


async def test_what_waits_for_its_turn_goes_behind_what_was_held_before_it(start_acme: Any) -> None:
    """The window closes on the head of the lane; the next one has not had its turn when the customer writes again."""
    acme = await start_acme('when_closed = "hold"', channel=windowed(rates=ONE_A_MINUTE))
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=24, seconds=-30)
    for text in ("one", "two", "three"):
        await acme.hub.reply(conversation, text)
    await acme.hub.run_until_idle()
    await acme.hub.pass_time(seconds=60)
    assert acme.texts == ["one"]
    assert len(await acme.hub.rows("SELECT id FROM task WHERE kind = 'send'")) == 1  # of `three`: `two` is held
    await acme.wrote("m2", "Here I am")
    await acme.hub.pass_time(minutes=5)
    assert acme.texts == ["one", "two", "three"]
    assert await acme.hub.rows("SELECT id FROM task WHERE kind = 'send'") == []


async def test_what_waits_for_an_operator_since_a_restore_goes_on_waiting(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "hold"', channel=windowed(rates=ONE_A_MINUTE))
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=24, seconds=-30)
    for text in ("one", "two", "three"):
        await acme.hub.reply(conversation, text)
    await acme.hub.run_until_idle()
    await acme.hub.pass_time(seconds=60)

    def hold(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        lanes.hold_all(tx)
        return items

    await acme.hub.daemon.store.write(hold, None)
    await acme.wrote("m2", "Here I am")
    await acme.hub.pass_time(minutes=5)
    assert acme.texts == ["one"]


async def test_the_parts_of_one_reply_keep_their_order(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "hold"', channel=windowed(rates=ONE_A_MINUTE))
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=24, seconds=-30)
    await acme.reply(conversation, "zero")
    await acme.reply(conversation, "a" * 200 + "b")
    await acme.hub.pass_time(seconds=60)
    await acme.wrote("m2", "Here I am")
    await acme.hub.pass_time(minutes=5)
    assert acme.texts == ["zero", "a" * 200, "b"]
