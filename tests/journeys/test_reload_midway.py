"""The settings of a running daemon, read again while something fails: all else is in force, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from talkwire import account_states
from talkwire.errors import SettingsError, StoreDown, TalkwireError
from talkwire.reloading import Changes, reload
from talkwire.testing.provider import accept, slow, unauthorised
from tests.journeys.test_reload import NEW_TOKEN, RULE, Operator, Watched
from tests.parts.power import WENT, PowerCut, run_through

FOR_EVER = 1000


@pytest.fixture
def start(start_acme: Any) -> Any:
    """Give what starts a hub with the account `shop`, and somebody who edits its file."""

    async def starting(channel: type[Watched] = Watched, **options: Any) -> Operator:
        channel = type("Ours", (channel,), {"lived": []})
        return Operator(await start_acme(channel=channel, **options), channel)

    return starting


async def left(op: Operator, text: str) -> str:
    """Read settings again of which something cannot be put in force; give what is said of it."""
    op.saves(text)
    with pytest.raises(TalkwireError) as refused:
        await reload(op.daemon)
    said = str(refused.value).removeprefix("not all is in force, reload again: ")
    assert op.daemon.last_reload is not None
    assert op.daemon.last_reload.fault == said
    return said


# --- accounts ------------------------------------------------------------------------------------------


async def test_an_account_begins_though_the_store_goes_down_and_that_is_stored_when_it_is_back(start: Any) -> None:
    op = await start()
    conversation = await op.acme.talk()
    answered = asyncio.Event()
    op.acme.provider.will(slow(answered, unauthorised()))
    await op.hub.reply(conversation, "one")
    answered.set()
    await op.hub.run_until_idle()
    await op.hub.pass_time(minutes=5)
    assert await op.acme.column("SELECT state FROM account_state") == ["broken"]
    _ = op.lived

    power = PowerCut(op.daemon.store, FOR_EVER, at="INTO account_state")
    changed = op.shop.replace("kit-token-0123456789", NEW_TOKEN)
    op.saves(changed)
    assert (await reload(op.daemon)).done == ("accounts.shop: begun anew",)
    await run_through(op.hub)
    assert (op.state(), op.lived) == ("working", ["shop closed", "shop opened"])
    assert await op.acme.column("SELECT state FROM account_state") == ["broken"]
    power.wanted = 0
    await op.hub.pass_time(minutes=1)
    assert await op.acme.column("SELECT state FROM account_state") == ["working"]
    assert op.acme.texts == ["one", "one"]
    assert await op.hub.states(conversation) == ["accepted"]
    assert await op.reloads(changed) == Changes()


async def test_an_account_that_comes_while_the_store_goes_down_is_known_when_it_is_back(start: Any) -> None:
    op = await start()
    power = PowerCut(op.daemon.store, FOR_EVER, at="INTO account_state")
    op.saves(op.shop + op.kiosk)
    await reload(op.daemon)
    await run_through(op.hub)
    assert op.state("kiosk") == "working"
    assert await op.acme.column("SELECT account FROM account_state") == ["shop"]
    power.wanted = 0
    await op.hub.pass_time(seconds=10)
    assert await op.hub.rows("SELECT account, state FROM account_state ORDER BY account") == [
        ("kiosk", "working"),
        ("shop", "working"),
    ]


async def test_an_account_that_fails_stops_no_other_and_begins_with_the_next_reload(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = await start()
    await op.reloads(op.shop + op.kiosk)
    conversation, _ = await op.acme.talk(), op.lived
    end, failing = op.daemon.accounts.end, ["shop", "shop"]

    async def ends(name: str) -> None:
        if name in failing:
            failing.remove(name)
            raise ZeroDivisionError(NEW_TOKEN)
        await end(name)

    monkeypatch.setattr(op.daemon.accounts, "end", ends)
    changed = (op.shop + op.kiosk).replace("kit-token-0123456789", NEW_TOKEN)
    assert (await left(op, changed)).startswith("accounts.shop: ZeroDivisionError at test_reload_midway.py:")
    await op.hub.run_until_idle()
    assert op.lived == ["kiosk closed", "kiosk opened"]

    with pytest.raises(SettingsError):
        await op.reloads("[accounts")  # it does not hide what was left
    assert "accounts.shop" in await left(op, changed)
    assert (await op.reloads(changed)).done == ("accounts.shop: begun anew",)
    assert op.lived == ["shop closed", "shop opened"]
    await op.acme.reply(conversation, "one")
    assert op.acme.texts == ["one"]
    assert await op.reloads(changed) == Changes()
    assert op.daemon.last_reload.fault == ""


async def test_an_account_that_fails_and_gets_its_old_settings_back_begins_all_the_same(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = await start()
    conversation = await op.acme.talk()

    async def shut(runtime: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(op.daemon.accounts, "shut", shut)
        assert "accounts.shop" in await left(op, op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    assert (await op.reloads(op.shop)).done == ("accounts.shop: begun anew",)
    await op.acme.reply(conversation, "one")
    assert [seen.headers["authorization"] for seen in op.acme.provider.shown] == ["Bearer kit-token-0123456789"]


async def test_an_account_that_fails_to_come_and_is_taken_out_again_leaves_nothing(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = await start()

    async def end(name: str) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(op.daemon.accounts, "end", end)
        assert "accounts.kiosk" in await left(op, op.shop + op.kiosk)
    assert await op.reloads(op.shop) == Changes()
    assert (op.daemon.account("kiosk"), op.daemon.last_reload.fault) == (None, "")
    assert await op.acme.column("SELECT account FROM account_state") == ["shop"]


async def test_an_old_send_begins_nothing_more_with_the_channel_that_was_closed(start: Any) -> None:
    one_at_a_time = type("One", (Watched,), {"features": replace(Watched.features, at_once=1)})
    op = await start(one_at_a_time)
    for number in range(3):
        await op.acme.wrote(f"m{number}", "Hello", sender=f"62811{number:05}")
    await op.hub.run_until_idle()
    first, *others = await op.acme.column("SELECT id FROM conversation ORDER BY id")
    op.daemon.patience = timedelta(0)
    answered = asyncio.Event()
    op.acme.provider.will(slow(answered, accept("p1")))
    await op.hub.reply(first, "slowly")
    await op.acme.under_way()
    for conversation in others:
        await op.hub.reply(conversation, "next")
    async with asyncio.timeout(20):
        while not op.daemon.lanes.ahead("send:shop"):
            await asyncio.sleep(0)
    op.saves(op.shop.replace("kit-token-0123456789", NEW_TOKEN))
    async with asyncio.timeout(20):
        await reload(op.daemon)
        while not op.daemon.lanes.ahead("send:shop"):  # those that wait are seen anew
            await asyncio.sleep(0)
    answered.set()
    await op.hub.run_until_idle()
    tokens = [seen.headers["authorization"].removeprefix("Bearer ") for seen in op.acme.provider.shown]
    assert tokens == ["kit-token-0123456789", NEW_TOKEN, NEW_TOKEN]


async def test_a_slow_send_is_made_once_though_its_account_goes_and_comes_back_meanwhile(start: Any) -> None:
    op = await start()
    await op.reloads(op.shop + op.kiosk)
    conversation = await op.acme.talk("k1", endpoint="kiosk")
    op.daemon.patience = timedelta(0)
    answered = asyncio.Event()
    op.acme.provider.will(slow(answered, accept("p1")))
    await op.hub.reply(conversation, "slowly")
    await op.acme.under_way()
    for text in (op.shop, op.shop + op.kiosk):
        op.saves(text)
        async with asyncio.timeout(20):
            await reload(op.daemon)
    for _ in range(3):  # each looks what is due, and stores what it comes to
        op.daemon.lanes.wake()
        async with asyncio.timeout(20):
            while op.daemon.store.reading or op.daemon.store.waiting or not op.daemon.lanes.pump.idle:
                await asyncio.sleep(0)
    assert await op.hub.states(conversation) == ["queued"]
    answered.set()
    await op.hub.run_until_idle()
    assert op.acme.texts == ["slowly"]
    assert await op.hub.states(conversation) == ["accepted"]


# --- rules, media, other daemons -----------------------------------------------------------------------


async def test_rules_whose_readers_cannot_be_stored_hold_from_the_next_reload(start: Any) -> None:
    op = await start()
    power = PowerCut(op.daemon.store, FOR_EVER, at="INTO reader")
    changed = op.shop + RULE.format("paused") + op.kiosk
    assert await left(op, changed) == f"readers: {WENT}"
    await run_through(op.hub)
    assert op.state("kiosk") == "working"  # what comes after it was done
    power.wanted = 0
    assert await op.reloads(changed) == Changes()
    await op.hub.pass_time(seconds=1)
    await op.daemon.store.write(account_states.pause, ("shop", ""))
    await op.hub.run_until_idle()
    assert await op.acme.column("SELECT kind FROM notification") == ["account.paused"]
    assert op.daemon.last_reload.fault == ""


async def test_what_is_not_in_force_is_told_apart_from_what_was_not_taken(
    start: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    op = await start()
    power = PowerCut(op.daemon.store, FOR_EVER, at="INTO reader")
    changed = op.shop + RULE.format("paused")
    await left(op, changed)
    assert op.daemon.last_reload.words == f"not all settings are in force: readers: {WENT}"
    assert f"why={WENT!r}" in capsys.readouterr().out
    power.wanted = 0
    with pytest.raises(SettingsError):
        await op.reloads("[accounts")
    assert op.daemon.last_reload.words.startswith("the settings were not taken: ")
    await op.reloads(changed)
    assert op.daemon.last_reload.words == ""


async def test_media_that_cannot_be_opened_are_opened_with_the_next_reload(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = await start()

    async def open_media(changed: Any) -> None:
        raise StoreDown(WENT)

    changed = op.shop + RULE.format("paused") + op.kiosk
    with monkeypatch.context() as broken:
        broken.setattr(op.daemon, "open_media", open_media)
        assert await left(op, changed) == f"media: {WENT}"
    await op.hub.run_until_idle()
    assert (op.state("kiosk"), op.daemon.media()) == ("working", {})
    await op.reloads(changed)
    assert [*op.daemon.media()] == ["paper"]
    assert op.daemon.last_reload.fault == ""


async def test_what_is_not_known_of_other_daemons_is_said_and_takes_nothing_back(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    op = await start()

    async def same_settings(_: str) -> bool:
        raise StoreDown(WENT)

    monkeypatch.setattr(op.daemon.leases, "same_settings", same_settings)
    changes = await op.reloads(op.shop + op.kiosk)
    assert changes.done == ("accounts.kiosk: added",)
    assert changes.notes == (
        f"whether other daemons of this database have the same settings is not known, reload again: {WENT}",
    )
    assert op.daemon.last_reload.fault == ""
