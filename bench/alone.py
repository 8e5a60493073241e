"""A measurement in a process of its own: one core, the loop that its mode names, and a rate on its output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from . import cores

if TYPE_CHECKING:
    from talkwire.daemon import Daemon


async def sent(daemon: Daemon, account: str, count: int) -> None:
    """Wait until the outcomes of that many parts are stored: the facts that tell of them are counted by their commit."""
    fact = ("delivery.changed", account, "sent")
    accepted = ("delivery.changed", account, "accepted")
    async with asyncio.timeout(100):
        while daemon.store.told[fact] + daemon.store.told[accepted] < count:  # noqa: ASYNC110  it counts, and calls nobody
            await asyncio.sleep(0.002)


def run(work: Coroutine[Any, Any, float], mode: str) -> None:
    """Run it, on uvloop where the mode ends so, and print the rate."""
    cores.take_first()
    if mode.endswith("-uvloop"):
        import uvloop

        result = uvloop.run(work)
    else:
        result = asyncio.run(work)
    sys.stdout.write(f"{result:.2f}\n")
