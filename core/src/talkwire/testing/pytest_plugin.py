"""Fixtures of the kit; pytest loads this by its entry point, so nothing heavy is imported before a test asks.

`turned_clock`, `fake_provider(answers)` and `lend_channel(channel, settings)`, and those of a whole hub.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from ..channel import Channel
    from .provider import Answers, FakeProvider
    from .services import Lent, TurnedClock

HUB = "talkwire.testing.hub"


class _HubFixtures:
    """Takes in the fixtures of a whole hub when the first test is collected, not when pytest starts."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        plugins = self._config.pluginmanager
        if not plugins.has_plugin(HUB) and find_spec(HUB) is not None:
            plugins.import_plugin(HUB)


def pytest_configure(config: pytest.Config) -> None:
    """Wait with the hub until a session starts: `pytest --version` needs none."""
    config.pluginmanager.register(_HubFixtures(config), "talkwire-hub-fixtures")


@pytest.fixture
def turned_clock() -> TurnedClock:
    """Give a clock that stands still until it is turned."""
    from .services import TurnedClock

    return TurnedClock()


@pytest_asyncio.fixture
async def fake_provider() -> AsyncIterator[Callable[[Answers], Awaitable[FakeProvider]]]:
    """Give what starts fake providers; they stop with the test."""
    from .provider import FakeProvider

    async with AsyncExitStack() as started:

        async def start(answers: Answers) -> FakeProvider:
            return await started.enter_async_context(FakeProvider(answers))

        yield start


@pytest_asyncio.fixture
async def lend_channel() -> AsyncIterator[Callable[..., Awaitable[Lent]]]:
    """Give what makes channels with lent services; they are closed with the test."""
    from .services import lend

    async with AsyncExitStack() as lent:

        async def make(channel: type[Channel], settings: Mapping[str, Any], **options: Any) -> Lent:
            one = await lent.enter_async_context(lend(channel, settings, **options))
            lent.push_async_callback(one.channel.close)
            return one

        yield make
