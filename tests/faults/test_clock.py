"""The machine's clock jumps: what waits goes on as soon as it would have, and no promise is lost."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from talkwire import account_states
from talkwire.testing import TurnedClock
from talkwire.testing.hub import whole_hub
from talkwire.testing.provider import busy
from talkwire.work.setbacks import Watch
from tests.faults.page import shows
from tests.faults.town import HEALS_WITHIN, LOOK_EVERY, Gateway, Town
from tests.journeys.acme_hub import AcmeHub, no

HOUR = timedelta(hours=1)
NOON = datetime.fromisoformat("2026-11-28T12:00:00Z")


def test_a_clock_that_stands_still_or_was_suspended_was_not_set_back() -> None:
    watch = Watch(NOON, steady=0)
    assert not watch.look(NOON + timedelta(seconds=1), steady=1)
    assert not watch.look(NOON + timedelta(days=1), steady=2)  # the machine slept
    assert not watch.look(NOON + timedelta(days=1, seconds=-8), steady=3)  # a time server's small step
    assert watch.look(NOON + timedelta(hours=23), steady=4) == timedelta(hours=1, seconds=-7)
    assert not watch.look(NOON + timedelta(hours=23, seconds=1), steady=5)


async def test_replies_that_wait_go_out_as_soon_by_a_clock_that_was_set_back(full_acme: AcmeHub) -> None:
    acme, conversation = full_acme, await full_acme.talk()
    acme.provider.will(busy(after=50))
    await acme.reply(conversation, "one")
    acme.hub.clock.set_back(HOUR)
    await acme.hub.daemon.set_back(HOUR)
    await acme.reply(conversation, "two")
    assert acme.texts == ["one"]
    await acme.hub.pass_time(seconds=51)
    assert acme.texts == ["one", "one", "two"]
    assert [fact.small for fact in await acme.hub.facts("clock.set_back")] == [{"seconds": 3600}]


async def test_an_account_that_waits_goes_on_as_soon_by_a_clock_that_was_set_back(full_acme: AcmeHub) -> None:
    acme, conversation = full_acme, await full_acme.talk()
    acme.provider.will(no("nothing_left"))
    await acme.reply(conversation, "one")
    acme.hub.clock.set_back(HOUR)
    await acme.hub.daemon.set_back(HOUR)
    await acme.hub.pass_time(seconds=6)
    assert acme.texts == ["one", "one"]


async def test_an_account_that_cannot_send_is_told_as_soon_by_a_clock_that_was_set_back(full_acme: AcmeHub) -> None:
    acme, conversation = full_acme, await full_acme.talk()
    acme.provider.always(no("nothing_left"))
    await acme.reply(conversation, "one")
    acme.hub.clock.set_back(HOUR)
    await acme.hub.daemon.set_back(HOUR)
    await acme.hub.pass_time(minutes=2)
    assert await acme.hub.facts("account.waiting")


async def test_a_person_who_resumes_is_heard_though_the_clock_was_set_back(full_acme: AcmeHub) -> None:
    acme = full_acme
    acme.shop.broke("the token is wrong")
    await acme.hub.run_until_idle()
    acme.hub.clock.set_back(HOUR)
    await acme.hub.daemon.set_back(HOUR)
    acme.hub.clock.advance(timedelta(seconds=1))
    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.run_until_idle()
    assert acme.shop.view.state == "working"


async def test_a_clock_that_was_set_back_while_nobody_ran_is_seen_at_the_start(
    fake_acme_settings: Any, tmp_path: Path, empty_database: Path
) -> None:
    settings, plugins = fake_acme_settings
    async with whole_hub(settings, tmp_path, plugins=plugins, template=empty_database) as hub:
        await hub.run_until_idle()
    earlier = TurnedClock(TurnedClock().now() - HOUR)
    async with whole_hub(settings, tmp_path, plugins=plugins, clock=earlier) as hub:
        told = await hub.facts("clock.set_back")
    assert [fact.small for fact in told] == [{"seconds": 3600}]


@pytest.mark.prove
@pytest.mark.needs("faketime")
@pytest.mark.timeout(180)
async def test_a_daemon_whose_clock_jumps_a_day_ahead_and_an_hour_back_serves_on(
    long_form: None, sqlite_url: str, tmp_path: Path
) -> None:
    [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    jump = tmp_path / "jump"
    jump.write_text("+0d\n")
    env = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(jump),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    async with Gateway().open() as gateway, Town(tmp_path, gateway, log=tmp_path / "log.txt").open(env=env) as town:
        await town.writes_until_taken(sender=1)
        await town.all_answered()
        jump.write_text("+1d\n")
        await town.writes_until_taken(sender=1)
        await town.all_answered()
        gateway.first = [503]  # Kannel has no room: in a moment once more
        await town.writes_until_taken(sender=1)
        async with asyncio.timeout(HEALS_WITHIN):
            while gateway.first:
                await asyncio.sleep(LOOK_EVERY)
        jump.write_text("-1h\n")
        await town.writes_until_taken(sender=2)
        await town.writes_until_taken(sender=1)
        await town.all_answered()
        await town.report()
        assert await town.lost() == []
        shows("clock set back", town.log, *(row[0] for row in town.rows("SELECT type FROM fact")))
