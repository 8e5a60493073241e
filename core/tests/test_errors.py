"""What is told of errors that nobody expected: where they come from, and never what they say."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from talkwire.clock import SystemClock
from talkwire.errors import trail_of
from talkwire.work.pump import Pump


def breaks(words):
    try:
        int(words)
    except ValueError as error:
        raise KeyError(words) from error


def test_a_trail_names_lines_and_kinds_of_an_error_and_of_its_cause_and_no_texts():
    with pytest.raises(KeyError) as raised:
        breaks("hush")
    first, second = trail_of(raised.value)
    line = breaks.__code__.co_firstlineno
    assert first == f"ValueError: test_errors.py:{line + 2}"
    assert second.startswith("KeyError: test_errors.py:")
    assert second.endswith(f" test_errors.py:{line + 4}")


async def test_a_loop_whose_step_breaks_says_where_and_not_what():
    done = asyncio.Event()

    async def step():
        done.set()
        breaks("hush")

    with capture_logs() as logs:
        running = asyncio.create_task(Pump("tests", step, SystemClock(), slow_poll=timedelta(seconds=5)).run())
        await done.wait()
        async with asyncio.timeout(10):
            while not logs:
                await asyncio.sleep(0)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    [said] = logs
    assert (said["event"], said["loop"], said["kind"]) == ("step failed", "tests", "KeyError")
    assert "test_errors.py" in said["trail"][-1]
    assert "hush" not in str(logs)
