"""A whole demo with one more channel, and pages that break no rule."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from talkwire.cli import demo as demo_module
from talkwire.cli.demo import Stage
from tests.e2e.messenger import SETTINGS, Customers, Messenger, MessengerPlugin


@dataclass
class Demo:
    """What runs, and who writes."""

    stage: Stage
    customers: Customers
    messenger: type[Messenger]

    async def phone_writes(self, text: str) -> None:
        """Let the simulated phone write."""
        (player,) = [one for one in self.stage.players if one.account == "smsgate"]
        await player.simulator.play(player.base_url, text)

    async def goes_wrong(self, name: str) -> None:
        """Turn a knob of the simulated phone."""
        (player,) = [one for one in self.stage.players if one.account == "smsgate"]
        await player.simulator.fault(player.base_url, name)

    @property
    def store(self) -> Any:
        return self.stage.daemon.store


@pytest_asyncio.fixture(loop_scope="module")
async def demo(tmp_path: Any) -> AsyncIterator[Demo]:
    """A demo with the simulated phone and the made-up messenger."""
    Messenger.will.clear()
    Messenger.sent.clear()
    Messenger.signals.clear()
    simulators = await demo_module.find(among=["smsgate"])
    async with demo_module.stage(
        tmp_path, simulators, extra=SETTINGS, plugins={"messenger": MessengerPlugin()}
    ) as running:
        yield Demo(running, Customers(running.api), Messenger)


@pytest_asyncio.fixture(loop_scope="module")
async def strict(page: Any, demo: Demo) -> AsyncIterator[Any]:
    """A page whose console must stay silent: no refused script, no broken policy, no failed request we did not ask for."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.forgives = []  # words of what a test expects
    yield page
    for one in page.context.pages:
        await one.goto("about:blank")  # before the demo goes
    unforgiven = [line for line in said if not any(word in line for word in page.forgives)]
    assert unforgiven == [], "the browser complained"


@pytest_asyncio.fixture(loop_scope="module")
async def operator(strict: Any, demo: Demo) -> Any:
    """The operator's page, with nothing in it yet."""
    await strict.set_viewport_size({"width": 1280, "height": 800})
    await strict.goto(f"{demo.stage.operator}/")
    await strict.locator("#line.live").wait_for()
    return strict
