"""A clock that was set back: what sessions do from then on is heard, though it is older than what was known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.acme_hub import AcmeHub, full

HOUR = timedelta(hours=1)


@pytest.fixture
async def acme(start_acme: Any) -> AcmeHub:
    """Give a shop with sessions whose customer has come."""
    found: AcmeHub = await start_acme(channel=full(sessions=True))
    await found.told("session", state="connected")
    await found.talk()
    return found


async def set_back(acme: AcmeHub) -> None:
    acme.hub.clock.set_back(HOUR)
    await acme.hub.daemon.set_back(HOUR)


async def test_a_session_that_comes_back_is_answered(acme: AcmeHub) -> None:
    await acme.hub.pass_time(minutes=1)
    await acme.told("session", state="ended", reason="bye")
    await acme.hub.run_until_idle()
    await set_back(acme)
    await acme.hub.pass_time(minutes=1)
    await acme.told("session", state="connected")
    await acme.hub.run_until_idle()
    assert (await acme.hub.conversation).answer.allowed


async def test_a_session_that_ends_is_over(acme: AcmeHub) -> None:
    await set_back(acme)
    await acme.hub.pass_time(minutes=1)
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    assert not (await acme.hub.conversation).answer.allowed


async def test_what_is_really_older_than_what_is_known_stays_unheard(acme: AcmeHub) -> None:
    before = acme.now
    await acme.hub.pass_time(minutes=20)
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    await acme.hub.pass_time(minutes=10)
    await set_back(acme)
    [known] = await acme.column("SELECT session_at FROM conversation")
    assert known == (before + 20 * 60 - 60 * 60) * 1_000_000  # ten minutes ago by the new clock, as by the old one
    await acme.told("session", state="connected", time=before - 45 * 60)
    await acme.hub.run_until_idle()
    assert not (await acme.hub.conversation).answer.allowed


async def test_a_session_of_which_nothing_came_later_stays_as_it_is(acme: AcmeHub) -> None:
    [known] = await acme.column("SELECT session_at FROM conversation")
    await acme.hub.pass_time(hours=2)
    await set_back(acme)
    assert await acme.column("SELECT session_at FROM conversation") == [known]
