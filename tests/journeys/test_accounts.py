"""An account's life: opened, listened to, broken, paused, gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from talkwire import account_states
from talkwire.clock import micros
from talkwire.errors import AccountBroken, NotFound, StoreDown, TryLater
from talkwire.model import Batch
from talkwire.testing.hub import whole_hub
from talkwire.testing.provider import Reply, unauthorised
from tests.journeys.acme_hub import CUSTOMER, AcmeHub, FullAcme, full
from tests.journeys.listening import cut_power
from tests.mutants.acme import ACME, AcmeChannel, PollingAcme
from tests.parts.power import PowerCut, run_through


def events(*ids: str) -> bytes:
    return json.dumps(
        {"events": [{"kind": "message", "id": id_, "time": 1795435200, "from": CUSTOMER, "text": id_} for id_ in ids]}
    ).encode()


def lives(acme: AcmeHub) -> list[str]:
    return [acme.shop.view.state.value, acme.shop.view.reason]


async def said(acme: AcmeHub) -> list[str]:
    """Give what was told of the account since it was made."""
    return [f.type.removeprefix("account.") for f in await acme.hub.facts() if f.type.startswith("account.")]


# --- opened ------------------------------------------------------------------------------------------


def opening(*outcomes: Any) -> type[AcmeChannel]:
    """Make an Acme whose `open` ends like this, one after the other, and then well."""

    class Opening(FullAcme):
        left: ClassVar[list[Any]] = list(outcomes)

        async def open(self) -> None:
            if self.left:
                raise self.left.pop(0)

    return Opening


async def test_an_account_that_cannot_be_opened_waits_longer_each_time_and_then_works(start_acme: Any) -> None:
    acme = await start_acme(channel=opening(OSError("no route"), TryLater("not now", after=timedelta(minutes=2))))
    assert lives(acme) == ["waiting", "its open raised OSError"]
    await acme.hub.pass_time(seconds=5)
    assert lives(acme) == ["waiting", "not now"]
    await acme.hub.pass_time(seconds=119)
    assert lives(acme) == ["waiting", "not now"]
    await acme.hub.pass_time(seconds=1)
    assert lives(acme) == ["working", ""]
    await acme.hub.pass_time(minutes=2)  # a change is told once it has held
    assert await said(acme) == ["starting", "waiting", "working"]


async def test_an_account_that_needs_a_person_is_broken_until_resumed(start_acme: Any) -> None:
    acme = await start_acme(channel=opening(AccountBroken("The token is wrong.")))
    assert lives(acme) == ["broken", "The token is wrong."]
    await acme.hub.pass_time(hours=1)
    assert lives(acme)[0] == "broken"
    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.run_until_idle()
    assert lives(acme) == ["working", ""]
    assert await said(acme) == ["starting", "broken", "starting", "working"]


class Unmakeable(AcmeChannel):
    def prepare(self) -> None:
        raise ZeroDivisionError

    @classmethod
    def hosts(cls, settings: Any) -> frozenset[str]:
        raise ZeroDivisionError


async def test_an_account_that_cannot_be_made_is_broken_and_stops_no_other(start_acme: Any) -> None:
    acme = await start_acme(channel=Unmakeable)
    assert lives(acme) == ["broken", "ZeroDivisionError while it was made"]
    with pytest.raises(NotFound):
        await acme.wrote("m1", "Hello")
    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.pass_time(minutes=1)
    assert await acme.column("SELECT state FROM account_state") == ["broken"]


# --- paused -------------------------------------------------------------------------------------------


async def test_a_paused_account_takes_messages_in_and_keeps_replies_until_it_is_resumed(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    store = full_acme.hub.daemon.store
    await full_acme.hub.pass_time(seconds=1)
    await store.write(account_states.pause, ("shop", "stocktaking"))
    await full_acme.hub.run_until_idle()
    assert lives(full_acme) == ["paused", "stocktaking"]
    await full_acme.wrote("m2", "Hello?")
    await full_acme.reply(conversation, "one", "two")
    await full_acme.hub.pass_time(hours=3)
    assert full_acme.texts == []
    assert await full_acme.hub.states(conversation) == ["queued"] * 2
    await store.write(account_states.resume, "shop")
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["one", "two"]
    with pytest.raises(NotFound):
        await store.write(account_states.pause, ("nobody", ""))


async def test_what_a_person_paused_is_not_started_by_what_was_under_way(full_acme: AcmeHub) -> None:
    store = full_acme.hub.daemon.store
    await full_acme.hub.pass_time(seconds=1)
    paused = asyncio.ensure_future(store.write(account_states.pause, ("shop", "stop!")))
    full_acme.shop.waits("a send that ended meanwhile")
    await paused
    await full_acme.hub.run_until_idle()
    assert lives(full_acme) == ["paused", "stop!"]
    assert await full_acme.column("SELECT state FROM account_state") == ["paused"]


@pytest.mark.parametrize("after", ["a resume", "a resume and a pause"])
async def test_what_a_provider_said_before_an_account_was_resumed_does_not_break_it_again(
    full_acme: AcmeHub, after: str
) -> None:
    acme, store = full_acme, full_acme.hub.daemon.store
    before = acme.now
    await acme.hub.pass_time(minutes=1)
    await acme.told("notice", broken=True)
    await acme.hub.pass_time(minutes=1)
    await store.write(account_states.resume, "shop")
    await acme.hub.pass_time(minutes=1)
    if after == "a resume and a pause":
        await store.write(account_states.pause, ("shop", "stocktaking"))
        await acme.hub.pass_time(minutes=1)
        await store.write(account_states.resume, "shop")
        await acme.hub.pass_time(minutes=1)
    for time in (before, before + 60, before + 119):
        await acme.told("notice", broken=True, time=time)
    assert lives(acme) == ["working", ""]
    await acme.told("notice", broken=True)
    assert lives(acme) == ["broken", "Acme suspended us."]


async def test_what_a_provider_said_while_the_daemon_was_down_breaks_an_account(full_acme: AcmeHub) -> None:
    await full_acme.told("notice", broken=True, time=full_acme.now - 600)
    assert lives(full_acme)[0] == "broken"


async def test_a_state_that_is_stored_late_undoes_no_resume(full_acme: AcmeHub) -> None:
    """The daemon stores again what the store did not take, and does not know yet what a person said."""
    acme = full_acme
    acme.shop.broke("no token")
    late = acme.shop.view
    await acme.hub.pass_time(seconds=1)

    def both(tx: Any, items: Any) -> list[None]:
        account_states.resume(tx, ["shop"])
        account_states.put_state(tx, [late])
        return [None] * len(items)

    await acme.hub.daemon.store.write(both, None)
    await acme.hub.pass_time(seconds=10)
    assert lives(acme) == ["working", ""]
    assert await acme.column("SELECT state FROM account_state") == ["working"]


@pytest.mark.one_file
async def test_a_pause_outlives_a_restart_and_a_break_is_tried_again(start_acme: Any, tmp_path: Any) -> None:
    for state in ("paused", "broken"):
        folder = tmp_path / state
        folder.mkdir()
        acme = await start_acme(channel=full(), folder=folder)
        await acme.hub.pass_time(seconds=1)
        if state == "paused":
            await acme.hub.daemon.store.write(account_states.pause, ("shop", "stop!"))
        else:
            await acme.told("notice", broken=True)
        await acme.hub.run_until_idle()
        again = await start_acme(channel=full(), folder=cut_power(folder, folder / "after"))
        assert lives(again) == (["paused", "stop!"] if state == "paused" else ["working", ""])


# --- while the store is down ---------------------------------------------------------------------------


async def refused(acme: AcmeHub) -> None:
    """Let Acme refuse our token for a reply, and the power go as the store is told of it."""
    power = PowerCut(acme.hub.daemon.store, 1, at="INTO account_state")
    acme.provider.will(unauthorised())
    await acme.hub.reply(await acme.hub.conversation, "one")
    async with asyncio.timeout(20):
        while not power.cuts:
            await asyncio.sleep(0)
    if acme.hub.daemon.store.is_sqlite:  # what became of the send was in the same COMMIT, and is stored a second later
        await acme.hub.clock.advance_when_awaited(timedelta(seconds=1))


@pytest.mark.parametrize("by", ["a send", "a notice"])
async def test_an_account_that_breaks_while_the_store_is_down_is_told_when_it_is_back(
    full_acme: AcmeHub, by: str
) -> None:
    acme, _ = full_acme, await full_acme.talk()
    await acme.hub.pass_time(minutes=1)
    if by == "a send":
        await refused(acme)
    else:
        PowerCut(acme.hub.daemon.store, 1, at="INTO account_state")
        with pytest.raises(StoreDown):
            await acme.told("notice", broken=True)
    await acme.hub.run_until_idle()
    assert acme.shop.view.state.value == "broken"
    assert await acme.column("SELECT state FROM account_state") == ["working"]
    await acme.hub.pass_time(seconds=6)
    assert await acme.column("SELECT state FROM account_state") == ["broken"]
    assert [kind for kind in await said(acme) if kind != "notice"] == ["starting", "working", "broken"]
    [fact] = await acme.hub.facts("account.broken")
    await acme.hub.pass_time(minutes=5)  # once
    assert await acme.hub.facts("account.broken") == [fact]


@pytest.mark.parametrize("says", [account_states.pause, account_states.resume])
async def test_what_a_person_says_after_it_broke_counts_and_not_what_was_not_stored(
    full_acme: AcmeHub, says: Any
) -> None:
    acme, _ = full_acme, await full_acme.talk()
    await refused(acme)
    acme.hub.clock.advance(timedelta(seconds=1))
    await acme.hub.daemon.store.write(says, ("shop", "stocktaking") if says is account_states.pause else "shop")
    await acme.hub.pass_time(seconds=10)
    state = "paused" if says is account_states.pause else "working"
    assert lives(acme)[0] == state
    assert await acme.column("SELECT state FROM account_state") == [state]
    assert "broken" not in await said(acme)


# --- listened to ------------------------------------------------------------------------------------------


class Listening(PollingAcme):
    """Takes its batches from the test, and notes how far it came."""

    type = "acme"
    script: ClassVar[list[Any]]
    seen: ClassVar[list[Any]]

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        self.seen.append(("begins", cursor))
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
                continue
            number, body = step
            yield Batch((self.envelope(body),), number)
            self.seen.append(("acknowledges", number))
        await asyncio.Event().wait()


def listening(*script: Any) -> type[Listening]:
    return type("Sister", (Listening,), {"script": list(script), "seen": []})


CURSOR = "SELECT cursor FROM account_state"


async def test_a_batch_is_stored_with_its_cursor_before_it_is_acknowledged(start_acme: Any) -> None:
    channel = listening(("1", events("m1", "m2")), ("2", events("m2", "m3")))
    acme = await start_acme(channel=channel)
    assert await acme.column("SELECT text FROM message ORDER BY n") == ["m1", "m2", "m3"]
    assert await acme.column(CURSOR) == ["2"]
    assert channel.seen == [("begins", ""), ("acknowledges", "1"), ("acknowledges", "2")]
    commits = [fact.seq for fact in await acme.hub.facts("message.received")]
    assert len(commits) == 3


async def test_a_batch_whose_commit_fails_is_not_acknowledged_and_comes_again(start_acme: Any) -> None:
    gate = asyncio.Event()
    channel = listening(gate, ("1", events("m1")))
    acme = await start_acme(channel=channel)
    power = PowerCut(acme.hub.daemon.store, 1, at="INTO message")
    gate.set()
    async with asyncio.timeout(20):
        while not power.cuts:
            await run_through(acme.hub)
    await run_through(acme.hub)
    assert channel.seen == [("begins", "")]
    assert await acme.hub.rows("SELECT id FROM envelope") == []
    assert await acme.hub.rows("SELECT id FROM message") == []
    assert await acme.column(CURSOR) == [""]
    channel.script.append(("1", events("m1")))
    await acme.hub.pass_time(seconds=5)
    assert channel.seen == [("begins", ""), ("begins", ""), ("acknowledges", "1")]
    assert await acme.column("SELECT text FROM message") == ["m1"]


async def test_one_bad_item_stops_no_listener(start_acme: Any) -> None:
    bad = json.dumps({"events": [{"kind": "impossible", "time": 1795435200}]}).encode()
    sister = type("Sister", (Listening, FullAcme), {"script": [("1", bad), ("2", events("m1"))], "seen": []})
    acme = await start_acme(channel=sister)
    assert await acme.column("SELECT text FROM message") == ["m1"]
    assert await acme.column(CURSOR) == ["2"]
    assert len(await acme.column("SELECT id FROM envelope WHERE unread <> ''")) == 1
    assert lives(acme)[0] == "working"


async def test_a_listener_that_fails_begins_again_where_it_was_longer_each_time(start_acme: Any) -> None:
    channel = listening(("1", events("m1")), OSError("reset"), OSError("reset"), ("2", events("m2")))
    acme = await start_acme(channel=channel)
    assert lives(acme) == ["waiting", "its listen raised OSError"]
    await acme.hub.pass_time(seconds=5)
    assert lives(acme)[0] == "waiting"
    await acme.hub.pass_time(seconds=8)
    assert channel.seen[-1] == ("begins", "1")
    await acme.hub.pass_time(seconds=1)
    assert channel.seen[-1] == ("acknowledges", "2")
    assert lives(acme) == ["working", ""]


async def test_a_listener_that_does_not_fail_again_works_though_nothing_comes(start_acme: Any) -> None:
    acme = await start_acme(channel=listening(OSError("reset")))
    await acme.hub.pass_time(seconds=30)
    assert lives(acme)[0] == "waiting"
    await acme.hub.pass_time(seconds=40)
    assert lives(acme) == ["working", ""]


async def test_an_empty_batch_says_that_it_was_looked_and_not_that_something_came(start_acme: Any) -> None:
    class Quiet(PollingAcme):
        type = "acme"

        async def listen(self, cursor: str) -> AsyncIterator[Batch]:
            yield Batch((), "1")
            await asyncio.Event().wait()

    acme = await start_acme(channel=Quiet)
    assert await acme.column(CURSOR) == ["1"]
    assert await acme.column("SELECT last_poll_at FROM account_state") != [None]
    assert (acme.shop.last_in, acme.shop.counts.taken) == (None, 0)


async def test_a_listener_that_looks_without_waiting_is_slowed_down_and_named(start_acme: Any) -> None:
    looks = []

    class Restless(PollingAcme):
        type = "acme"

        async def listen(self, cursor: str) -> AsyncIterator[Batch]:
            while True:
                looks.append(cursor)
                yield Batch((), str(len(looks)))

    acme = await start_acme(channel=Restless)
    said = "its listen gave 100 empty batches within a second; await something between two"
    assert (lives(acme), len(looks)) == (["waiting", said], 100)
    await acme.hub.pass_time(seconds=5)
    assert (lives(acme), len(looks), looks[-1]) == (["waiting", said], 200, "100")


async def test_a_listener_that_looks_often_and_finds_something_is_not_slowed_down(start_acme: Any) -> None:
    class Busy(PollingAcme):
        type = "acme"

        async def listen(self, cursor: str) -> AsyncIterator[Batch]:
            for number in range(150):
                yield Batch((), f"{number}")
                if number % 60 == 59:
                    yield Batch((self.envelope(events(f"m{number}")),), f"{number}+")
            await asyncio.Event().wait()

    acme = await start_acme(channel=Busy)
    assert lives(acme) == ["working", ""]
    assert await acme.column(CURSOR) == ["149"]


async def test_a_listener_that_ends_at_once_is_named(start_acme: Any) -> None:
    class Ending(PollingAcme):
        type = "acme"

        async def listen(self, cursor: str) -> AsyncIterator[Batch]:
            return
            yield

    acme = await start_acme(channel=Ending)
    said = "its listen ended without a batch; it goes on for as long as it is not cancelled"
    assert lives(acme) == ["waiting", said]


async def test_one_way_that_works_hides_no_other_that_waits(start_acme: Any) -> None:
    """Mail comes from one server and goes to another."""
    channel = listening(TryLater("not in", after=timedelta(minutes=2)), ("1", events("m2")))
    sister = type("Both", (channel, FullAcme), {"type": "acme", "features": replace(full().features, listens=True)})
    acme = await start_acme(channel=sister)
    assert lives(acme) == ["waiting", "not in"]
    acme.shop.sent(acme.hub.clock.now())
    assert lives(acme) == ["waiting", "not in"]
    acme.shop.backoff.fail(acme.hub.clock.now() + timedelta(minutes=3))
    acme.shop.waits("not out")
    await acme.hub.pass_time(minutes=2)
    assert await acme.column("SELECT text FROM message") == ["m2"]
    assert lives(acme) == ["waiting", "not out"]
    acme.shop.sent(acme.hub.clock.now())
    assert lives(acme) == ["working", ""]


async def test_a_listener_of_a_broken_or_paused_account_stops(start_acme: Any) -> None:
    gate = asyncio.Event()
    channel = listening(gate, AccountBroken("The token was withdrawn."))
    acme = await start_acme(channel=channel)
    gate.set()
    await acme.hub.run_until_idle()
    assert lives(acme) == ["broken", "The token was withdrawn."]
    await acme.hub.pass_time(hours=1)
    assert channel.seen == [("begins", "")]
    await acme.hub.daemon.store.write(account_states.resume, "shop")
    await acme.hub.run_until_idle()
    assert channel.seen == [("begins", "")] * 2
    await acme.hub.pass_time(seconds=1)
    await acme.hub.daemon.store.write(account_states.pause, ("shop", ""))
    await acme.hub.run_until_idle()
    channel.script.append(("1", events("m1")))
    await acme.hub.pass_time(hours=1)
    assert await acme.hub.rows("SELECT id FROM message") == []


async def test_a_polled_provider_is_asked_from_the_cursor_on(start_acme: Any, fake_provider: Any) -> None:
    asked: list[str] = []

    def updates(seen: Any) -> Reply | None:
        if seen.path != "/v1/updates":
            return None
        asked.append(seen.param("after"))
        news = [] if seen.param("after") else [{**json.loads(events("m1"))["events"][0], "seq": 7}]
        return Reply.json({"events": news})

    provider = await fake_provider(replace(ACME.answers, harmless=updates))
    channel = type("Polled", (PollingAcme,), {"type": "acme"})
    acme = await start_acme(channel=channel, provider=provider)
    while len(asked) < 2:
        await asyncio.sleep(0)
    await acme.hub.run_until_idle()
    assert asked == ["", "7"]
    assert await acme.column(CURSOR) == ["7"]
    await acme.hub.clock.advance_when_awaited(timedelta(seconds=5))
    while len(asked) < 3:
        await asyncio.sleep(0)
    assert asked[-1] == "7"


async def test_what_came_last_is_known_after_a_restart_however_soon_it_was(
    fake_acme_settings: Any, empty_database: Path, tmp_path: Path
) -> None:
    settings, plugins = fake_acme_settings
    options: dict[str, Any] = {"plugins": plugins, "template": empty_database}
    async with whole_hub(settings, tmp_path, **options) as hub:
        await hub.run_until_idle()
        await AcmeHub(hub, None).wrote("m1", "Hello")
        came = hub.daemon.account("shop").last_in
        assert came is not None
    async with whole_hub(settings, tmp_path, **options) as hub:
        rows = await hub.rows("SELECT last_in_at FROM account_state WHERE account = 'shop'")
    assert rows == [(micros(came),)]
