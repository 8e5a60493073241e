"""A test that spins on the event loop ends at its cap as well.

pytest-timeout raises in whatever runs at that moment. On a busy loop that is most often a task that nobody waits for:
the loop keeps the exception with that task, and the test goes on for ever. Here the task that the loop runs for is
cancelled first; whoever swallows that is raised into, again and again. The end of a fixture is raised into at once: where
it was cancelled, pytest left the fixtures of that test to all that came after it.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio import base_events
from collections.abc import Generator
from types import FrameType
from typing import Any

import pytest

_AGAIN = 2.0  # seconds until a test that goes on is ended once more


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: Any) -> Generator[None, bool, bool]:
    armed = yield
    raising = signal.getsignal(signal.SIGALRM)
    if settings.method != "signal" or not callable(raising):
        return armed
    rung = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal rung
        rung += 1
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        task = _waited_for()
        if task is None or rung % 2 == _ends_a_fixture(task):
            raising(number, frame)
        else:
            task.cancel(f"Timeout (>{settings.timeout}s): the event loop went on")
            task.get_loop().call_soon_threadsafe(lambda: None)  # a loop that rests looks at it

    signal.signal(signal.SIGALRM, end)
    return armed


def _ends_a_fixture(task: asyncio.Task[Any]) -> bool:
    """Say whether this is what pytest-asyncio (1.5) runs after a test."""
    return getattr(task.get_coro(), "__name__", "") == "async_finalizer"


def _waited_for() -> asyncio.Task[Any] | None:
    """Give the task for whose end the running loop runs: the test, or one of its fixtures."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    ends = base_events._run_until_complete_cb
    for task in asyncio.all_tasks(loop):
        if any(callback is ends for callback, _ in getattr(task, "_callbacks", None) or ()):
            return task
    return None
