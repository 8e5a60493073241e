"""kill -9 at random points under load: what was acknowledged is there once, nothing is sent twice, all goes on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from talkwire.api.principals import create_keys
from talkwire.clock import SystemClock
from talkwire.store import Store
from tests.crash import verdict
from tests.crash.load import World
from tests.crash.processes import Process
from tests.crash.shop import TERM

Proof = Callable[[str, Mapping[str, object]], None]
SETTLED_WITHIN = 60  # seconds; a report that two transactions missed is found by a sweep every 30


@pytest.mark.timeout(120)
async def test_killed_daemons_lose_nothing_and_send_nothing_twice(
    database_url: str, tmp_path: Path, proving: bool, proof: Proof, request: pytest.FixtureRequest
) -> None:
    kills = 100 if proving else 5
    is_sqlite = database_url.startswith("sqlite:")
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    store = Store(database_url, SystemClock())
    await store.open()
    daemons: list[Process] = []
    world = World(daemons, seed)
    began = time.monotonic()
    stalls = 0
    try:
        async with world.open():
            world.token = await store.write(create_keys, ("agents", "bot"))
            # One SQLite file serves one daemon; two share a PostgreSQL, and one of them is always there.
            folders = [tmp_path / f"daemon{number}" for number in range(1 if is_sqlite else 2)]
            daemons.extend(Process(folder, database_url, world.url) for folder in folders)
            await asyncio.gather(*(daemon.start() for daemon in daemons))
            async with world.busy():
                for _ in range(kills):
                    await asyncio.sleep(chance.uniform(0.1, 1.2))
                    daemon = chance.choice(daemons)
                    if not is_sqlite and chance.random() < 0.15:
                        stalls += 1
                        await daemon.stall(TERM.total_seconds() + 0.5)
                    await daemon.kill()
                    await daemon.start()
            left = await _settle(store, world)
            assert not left, f"seed {seed}: {left}\n{_logs(daemons)}"
            broken = await store.read(lambda query: verdict.broken(query, world.known))
            assert not broken, f"seed {seed}: {broken[:20]}\n{_logs(daemons)}"
            counted = await store.read(lambda query: verdict.figures(query, world.known))
            proof(
                f"crash-{'sqlite' if is_sqlite else 'postgres'}",
                {
                    "kills": kills,
                    "daemons": len(daemons),
                    **(
                        {}
                        if is_sqlite
                        else {"stalls longer than a lease": stalls, "deadlocks": await _deadlocks(store)}
                    ),
                    **counted,
                    "seconds": round(time.monotonic() - began),
                    "seed": seed,
                },
            )
            assert len(world.known.acknowledged) > kills  # there was a load
            codes = [await daemon.stop() for daemon in daemons]
            assert codes == [0] * len(daemons), _logs(daemons)
    finally:
        for daemon in daemons:
            await daemon.kill()
        await store.close()


async def _settle(store: Store, world: World) -> list[str]:
    """Wait until nothing is left to do; give what is, if that does not come."""
    deadline = time.monotonic() + SETTLED_WITHIN
    while True:
        left = await store.read(lambda query: verdict.unfinished(query, world.known))
        if world.reports_wait:
            left.append("reports are under way")
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(0.1)


async def _deadlocks(store: Store) -> int:
    sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int((await store.read(lambda query: query.execute(sql)))[0][0])


def _logs(daemons: list[Process]) -> str:
    return "\n".join(f"--- {daemon.folder.name}\n{daemon.log[-3000:]}" for daemon in daemons)
