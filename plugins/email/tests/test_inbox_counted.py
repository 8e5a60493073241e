"""Outages, counted in a real store: each mail is there once, and the account's state is true in time."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext

import pytest
import pytest_asyncio

from talkwire import AccountState
from talkwire.clock import SystemClock
from talkwire_email.channel import Email
from tests.parts.dovecot import Line, dovecot_running

from .postroom import TODAY, Plugin, as_toml, given_up_soon, mail

CHECK_EVERY = 10  # seconds, in the long form
SOON = 10  # seconds beyond that until the state is true


@pytest_asyncio.fixture
async def line(dovecot):
    """A way to the server on which the test can see, hold and cut."""
    async with Line(dovecot.host, dovecot.port) as line:
        yield line


@pytest.fixture
def start(start_hub):
    """Give what starts a hub with the account `mail`."""

    async def begin(server, user, **more):
        return Counted(await start_hub(as_toml(server, user, **more), plugins={"email": Plugin()}))

    return begin


class Counted:
    """A hub whose messages are counted."""

    def __init__(self, hub):
        self.hub = hub

    @property
    def view(self):
        return self.hub.daemon.accounts.by_name["mail"].view

    @property
    def inbox(self):
        return self.hub.daemon.accounts.by_name["mail"].channel.inbox

    async def subjects(self):
        return [row[0] for row in await self.hub.rows("SELECT subject FROM message ORDER BY id")]

    async def until(self, is_so, what, *, seconds=20.0):
        """Turn the clock on, second by second, until something is so."""
        try:
            async with asyncio.timeout(seconds):
                while not await is_so():
                    await self.hub.pass_time(seconds=1)
        except TimeoutError:
            raise AssertionError(f"{what} never came; the account is {self.view}") from None

    async def has(self, count, **more):
        """Wait until so many messages are there, and see that none of them is there twice."""

        async def all_there():
            return len(await self.subjects()) >= count

        await self.until(all_there, f"{count} messages", **more)
        subjects = await self.subjects()
        assert sorted(subjects) == sorted(f"parcel {number}" for number in range(count))

    async def is_in(self, state):
        async def so():
            return self.view.state is state

        await self.until(so, f"the state {state}")


@pytest.mark.prove
async def test_many_mails_wait_and_the_line_breaks_again_and_again(dovecot, line, start, proving, proof):
    count = 10_000 if proving else 300
    dovecot.put(user := dovecot.user(), *map(mail, range(count)), at=TODAY)
    breaks = 12 if proving else 3
    line.cut_every = count * 400 // breaks  # bytes
    counted = await start(line, user, since_days=1)
    began = time.monotonic()
    await counted.has(count, seconds=600 if proving else 20)
    took = time.monotonic() - began
    assert line.connections > breaks // 2
    assert (await counted.hub.rows("SELECT count(*) FROM envelope WHERE unread <> ''"))[0][0] == 0
    proof(
        "imap-waiting",
        {"mails waiting": count, "connections": line.connections, "seconds until all were there": round(took, 1)},
    )


@pytest.mark.parametrize("what", ["renumbered", "restored"])
async def test_after_other_numbers_each_mail_is_there_once(dovecot, start, what):
    dovecot.put(user := dovecot.user(), *map(mail, range(30)), at=TODAY)
    counted = await start(dovecot, user, since_days=1)
    await counted.has(30)
    kept = dovecot.back_up(user)
    dovecot.put(user, *map(mail, range(30, 35)), at=TODAY)
    await counted.has(35)
    if what == "renumbered":
        dovecot.renumber(user)
    else:
        dovecot.bring_back(user, kept)
    dovecot.put(user, *map(mail, range(35, 50)), at=TODAY)
    await counted.has(50)


async def test_the_state_is_true_and_the_mails_are_there_after_each_outage(dovecot, line, start):
    counted = await start(line, user := dovecot.user())
    await counted.is_in(AccountState.WORKING)
    for number, outage in enumerate(("cut", "held", "kicked")):
        await line.hears(b"IDLE", number + 1)
        if outage == "cut":
            line.cut()
        elif outage == "held":
            line.hold()
        else:
            await asyncio.to_thread(dovecot.kick, user)
        with given_up_soon(counted.inbox) if outage == "held" else nullcontext():
            await counted.is_in(AccountState.WAITING)
        assert counted.view.reason.startswith("127.0.0.1:")
        dovecot.put(user, mail(number))
        line.flow()
        await counted.has(number + 1)
        await counted.is_in(AccountState.WORKING)


async def test_a_person_is_needed_where_the_password_is_wrong_and_listening_goes_on_after_that(dovecot, start):
    counted = await start(dovecot, dovecot.user(), password="wrong-secret")
    await counted.is_in(AccountState.BROKEN)
    assert "talkwire accounts resume mail" in counted.view.reason


async def test_a_look_that_finds_nothing_is_evidence_and_no_message(dovecot, start):
    counted = await start(dovecot, dovecot.user())
    await counted.is_in(AccountState.WORKING)

    async def looked():
        return (await counted.hub.rows("SELECT last_poll_at FROM account_state"))[0][0] is not None

    await counted.until(looked, "the first look")
    assert await counted.hub.rows("SELECT id FROM envelope") == []
    assert counted.hub.daemon.accounts.by_name["mail"].last_in is None


# --- by the clock on the wall ------------------------------------------------------------------------------


@pytest.mark.prove
@pytest.mark.needs("dovecot")
async def test_the_state_is_true_in_time_by_the_clock_on_the_wall(start_hub, proving, proof):
    """Of each outage: how long until the account waits, and how long until it works and the mail is there."""
    if not proving:
        pytest.skip("the short form is turned by hand, above")
    figures, number = {"check_every": f"{CHECK_EVERY} s"}, 0
    with dovecot_running() as server:
        user = server.user()
        async with Line(server.host, server.port) as line:
            text = as_toml(line, user, check_every=CHECK_EVERY)
            hub = await start_hub(text, plugins={"email": Plugin(Email)}, clock=SystemClock())
            counted = Counted(hub)

            async def take(what, is_so):
                began = time.monotonic()
                async with asyncio.timeout(120):
                    while not await is_so():
                        await asyncio.sleep(0.02)
                figures[what] = f"{time.monotonic() - began:.1f} s"
                return time.monotonic() - began

            said = 0  # bytes, before the outage

            async def waits():
                return counted.view.state is AccountState.WAITING

            async def idles():
                return b"IDLE" in line.said[said:]

            async def works():
                return counted.view.state is AccountState.WORKING and len(await counted.subjects()) == number

            for outage in ("kicked", "cut", "stalled", "stopped", "stalled in FETCH", "cut before + idling"):
                await take(f"{outage}: until it waited for news", idles)
                said = len(line.said)
                if "FETCH" in outage:
                    line.hold_after = b"BODY[] {"
                    server.put(user, mail(number))
                    number += 1
                elif "idling" in outage:
                    line.cut_after = b"+ idling"
                elif outage == "kicked":
                    await asyncio.to_thread(server.kick, user)
                elif outage == "cut":
                    line.cut()
                elif outage == "stalled":
                    line.hold()
                else:
                    await asyncio.to_thread(server.stop)
                assert await take(f"{outage}: until it waits", waits) <= CHECK_EVERY + SOON
                server.put(user, mail(number))
                number += 1
                if outage == "stopped":
                    await asyncio.to_thread(server.start)
                line.flow()
                assert await take(f"{outage}: until it works again", works) <= CHECK_EVERY + SOON
            subjects = await counted.subjects()
            assert sorted(subjects) == sorted(f"parcel {one}" for one in range(number))
    proof("imap-outages", figures | {"mails": number, "lost": 0, "twice": 0})
