"""When a whole hub rests: nothing is under way that a test could overtake."""

from __future__ import annotations

import asyncio
import threading

from tests.journeys.acme_hub import AcmeHub


async def test_a_hub_is_not_idle_while_somebody_reads(acme: AcmeHub) -> None:
    """Who follows the log looks first where it ends: what is stored before that is missed."""
    go_on = threading.Event()
    store = acme.hub.daemon.store
    reading = asyncio.ensure_future(store.read(lambda _: go_on.wait(20)))
    resting = asyncio.ensure_future(acme.hub.run_until_idle())
    try:
        for _ in range(20):
            await store.read(lambda query: query.one("SELECT 1"))
            await asyncio.sleep(0.001)  # so that it could come back, if it wanted to
        assert not resting.done()
    finally:
        go_on.set()
    await resting
    assert reading.done()
