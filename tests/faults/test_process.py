"""The daemon's own process: killed while it starts, out of handles."""

from __future__ import annotations

import asyncio
import random
import resource
from pathlib import Path

import pytest

from tests.faults.page import shows
from tests.faults.town import Gateway, Town


@pytest.mark.prove
@pytest.mark.timeout(180)
async def test_a_daemon_that_is_killed_while_it_starts_loses_nothing_and_sends_nothing_twice(
    long_form: None, sqlite_url: str, tmp_path: Path
) -> None:
    """Kills fall from the first import to the first work: what was open is found, what was promised is done once."""
    kills, seed = 20, random.randrange(2**32)
    chance = random.Random(seed)
    async with Gateway().open() as gateway, Town(tmp_path, gateway, log=tmp_path / "log.txt").open() as town:
        for _ in range(kills):
            gateway.delay = 0.2  # so that attempts are open when the kill comes
            for _ in range(5):
                await town.writes_until_taken()
            await town.kill()
            await town.begins()
            await asyncio.sleep(chance.uniform(0, 0.1 if chance.random() < 0.5 else 2))
            await town.kill()
            gateway.delay = 0.0
            await town.start()
        await town.writes_until_taken()
        await town.comes_to_rest()
        assert await town.lost() == [], f"seed {seed}"
        twice = [text for text, count in gateway.texts.items() if count > 1]
        assert not twice, f"seed {seed}: {twice}"
        unsure = town.rows("SELECT count(*) FROM delivery WHERE state = 5")[0][0]
        sent = town.rows("SELECT count(*) FROM delivery WHERE state >= 10")[0][0]
        assert unsure + sent == len(town.acknowledged), f"seed {seed}"
        assert gateway.texts.total() >= sent


@pytest.mark.timeout(180)
async def test_a_daemon_without_handles_takes_nobody_and_goes_on_once_there_are_some(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with Gateway().open() as gateway, Town(tmp_path, gateway, log=tmp_path / "log.txt").open() as town:
        await town.writes_until_taken()
        await town.all_answered()
        for _ in range(3):
            assert await town.writes(token="nobody-knows-this-one") == 401
        assert "the last 3 deliveries were not genuine" in " ".join((await town.status()).split())
        usual = resource.prlimit(town.pid, resource.RLIMIT_NOFILE)
        open_now = len(list(Path(f"/proc/{town.pid}/fd").iterdir()))
        resource.prlimit(town.pid, resource.RLIMIT_NOFILE, (open_now + 12, usual[1]))
        idle = [await asyncio.open_connection("127.0.0.1", town.port) for _ in range(40)]  # the kernel takes them
        try:
            async with asyncio.timeout(10):
                while "no handles left" not in town.log:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(
                1.2
            )  # asyncio tries again every second, and tells of it as often as the backlog is long
            shows("no handles left", town.log)
            assert town.log.count("no handles left") == 1
            assert "Traceback" not in town.log
        finally:
            for _, writer in idle:
                writer.close()
        await town.writes_until_taken()
        await town.all_answered()
        await town.is_ready()
        assert await town.lost() == []
