"""A turned clock stands still until it is turned."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from talkwire.clock import Clock
from talkwire.testing import NOON, TurnedClock

HOUR = timedelta(hours=1)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_it_is_a_clock() -> None:
    clock: Clock = TurnedClock()
    assert clock.now() == clock.now() == NOON


async def test_those_whose_time_has_come_wake_and_others_do_not() -> None:
    clock, woken = TurnedClock(), []

    async def sleeper(name: str, hours: int) -> None:
        await clock.wait(asyncio.Event(), NOON + hours * HOUR)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        for name, hours in (("three", 3), ("one", 1), ("two", 2)):
            group.create_task(sleeper(name, hours))
        await settle()
        assert clock.next_due() == NOON + HOUR
        clock.advance(2 * HOUR)
        await settle()
        assert woken == ["one", "two"]
        clock.advance(HOUR)
    assert woken == ["one", "two", "three"]
    assert clock.next_due() is None


async def test_an_event_wakes_before_the_moment() -> None:
    clock, event = TurnedClock(), asyncio.Event()
    waiting = asyncio.ensure_future(clock.wait(event, NOON + HOUR))
    await settle()
    event.set()
    await waiting
    clock.advance(2 * HOUR)  # nobody is woken twice


async def test_event_and_moment_may_come_together() -> None:
    clock, event = TurnedClock(), asyncio.Event()
    waiting = asyncio.ensure_future(clock.wait(event, NOON + HOUR))
    await settle()
    event.set()
    clock.advance(HOUR)
    await waiting


async def test_a_moment_that_has_come_needs_no_turning() -> None:
    await TurnedClock().wait(asyncio.Event(), NOON)


async def test_a_cancelled_wait_is_forgotten() -> None:
    clock = TurnedClock()
    waiting = asyncio.ensure_future(clock.wait(asyncio.Event(), NOON + HOUR))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert clock.next_due() is None


async def test_it_may_be_turned_from_another_thread() -> None:
    clock = TurnedClock()
    waiting = asyncio.ensure_future(clock.wait(asyncio.Event(), NOON + HOUR))
    await settle()
    turner = threading.Thread(target=clock.advance, args=(HOUR,))
    turner.start()
    await waiting
    turner.join()


async def test_it_is_turned_as_soon_as_somebody_waits_for_that_and_not_before() -> None:
    """A turn before that would leave the sleeper asleep: it counts from the later time."""
    clock, begin = TurnedClock(), asyncio.Event()

    async def sleeper() -> None:
        await begin.wait()
        await clock.wait(asyncio.Event(), clock.now() + HOUR)

    async def other() -> None:
        await clock.wait(asyncio.Event(), clock.now() + HOUR / 2)

    async with asyncio.TaskGroup() as group:
        sleeping = group.create_task(sleeper())
        group.create_task(other())
        turning = group.create_task(clock.advance_when_awaited(HOUR))
        assert await clock.awaited() == NOON + HOUR / 2
        await settle()
        assert (clock.now(), turning.done()) == (NOON, False)
        begin.set()
        await sleeping
    assert turning.result() == clock.now() == NOON + HOUR


async def test_who_begins_to_wait_in_another_thread_is_seen() -> None:
    clock = TurnedClock()
    thread = threading.Thread(target=lambda: asyncio.run(clock.wait(asyncio.Event(), NOON + HOUR)))
    turning = asyncio.ensure_future(clock.advance_when_awaited(HOUR))
    await settle()
    thread.start()
    assert await turning == NOON + HOUR
    await asyncio.to_thread(thread.join)


async def test_that_nobody_waits_is_said_with_what_is_waited_for() -> None:
    clock = TurnedClock()
    clock.patience = 0.0
    with pytest.raises(AssertionError, match="nobody waits for any moment"):
        await clock.awaited()
    waiting = asyncio.ensure_future(clock.wait(asyncio.Event(), NOON + HOUR))
    await settle()
    with pytest.raises(AssertionError, match=r"nobody waits for .*12:30:00.*waited for: .*13:00:00"):
        await clock.awaited(NOON + HOUR / 2)
    waiting.cancel()


def test_it_is_never_turned_back() -> None:
    with pytest.raises(ValueError, match="not turned back"):
        TurnedClock().advance(-HOUR)
