"""A timer fires once: through the log, after all that was told before, late after a stop."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from talkwire import DropTimer, Fact, Message, SetTimer, hookimpl
from talkwire.testing.hub import whole_hub
from tests.journeys.acme_hub import AcmeHub


class Waking:
    """Does with timers what a message says: `set NAME SECONDS`, `drop NAME`; notes all it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.facts: list[Fact] = []
        self.refuse = ""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Any) -> Any:
        if message.text == self.refuse:
            raise ValueError
        self.heard.append(message.text)
        verb, _, rest = message.text.partition(" ")
        if verb == "set":
            key, seconds = rest.split()
            return SetTimer(key=key, due=tx.now + timedelta(seconds=float(seconds)), subject=message.conversation)
        return DropTimer(rest) if verb == "drop" else None

    @hookimpl
    def on_timer(self, key: str, due: Any, subject: str, fact: Fact) -> None:
        if key == self.refuse:
            raise ValueError
        self.heard.append(f"timer {key}")
        self.facts.append(fact)


async def hub_of(start_acme: Any, **more: Any) -> tuple[AcmeHub, Waking]:
    plugin = Waking()
    return await start_acme(plugins={"waking": plugin, **more}), plugin


async def test_a_timer_fires_once_at_its_time_with_the_facts_of_its_conversation(start_acme):
    acme, plugin = await hub_of(start_acme)
    await acme.wrote("m1", "set tea 180")
    await acme.hub.pass_time(seconds=179)
    assert plugin.heard == ["set tea 180"]
    await acme.hub.pass_time(seconds=1)
    await acme.hub.pass_time(hours=1)
    assert plugin.heard == ["set tea 180", "timer tea"]
    conversation = await acme.hub.conversation
    assert [(fact.conversation, fact.account) for fact in plugin.facts] == [(conversation.id, "shop")]
    assert await acme.hub.rows("SELECT 1 FROM timer") == []


async def test_a_timer_is_moved_by_its_key_and_dropped(start_acme):
    acme, plugin = await hub_of(start_acme)
    for n, text in enumerate(["set tea 60", "set egg 60", "set tea 120", "drop egg"]):
        await acme.wrote(f"m{n}", text)
        await acme.hub.run_until_idle()
    plugin.heard.clear()
    await acme.hub.pass_time(seconds=60)
    assert plugin.heard == []
    await acme.hub.pass_time(seconds=60)
    assert plugin.heard == ["timer tea"]


async def test_a_timer_is_its_plugins_own(start_acme):
    other = Waking()
    acme, plugin = await hub_of(start_acme, other=other)
    other.refuse = "tea"
    await acme.hub.daemon.hub.of("waking").write(_set_tea, None)
    await acme.hub.run_until_idle()
    assert (plugin.heard, other.heard) == (["timer tea"], [])
    readers = await acme.hub.rows("SELECT last_error FROM reader WHERE last_error <> ''")
    assert readers == []


def _set_tea(tx: Any, items: Any) -> Any:
    tx.act(SetTimer(key="tea", due=tx.now))
    return [None] * len(items)


async def test_what_was_told_before_is_heard_before_the_timer(start_acme):
    """The timer is due; an earlier fact of its conversation was refused, so it waits behind that."""
    acme, plugin = await hub_of(start_acme)
    plugin.refuse = "bad"
    await acme.wrote("m1", "set tea 2")
    await acme.wrote("m2", "bad")
    await acme.hub.pass_time(seconds=2)
    assert plugin.heard == ["set tea 2"]
    assert len(await acme.hub.facts("timer.due")) == 1

    plugin.refuse = ""
    await acme.hub.pass_time(seconds=3)
    assert plugin.heard == ["set tea 2", "bad", "timer tea"]


async def test_timers_without_a_conversation_wait_for_nobody(start_acme):
    acme, plugin = await hub_of(start_acme)
    plugin.refuse = "broken"
    await acme.hub.daemon.hub.of("waking").write(_set_two, None)
    await acme.hub.run_until_idle()
    assert plugin.heard == ["timer sound"]


async def test_a_timer_after_one_that_was_parked_says_that_there_is_a_gap(start_acme):
    acme, plugin = await hub_of(start_acme)
    plugin.refuse = "tea"
    hub = acme.hub.daemon.hub.of("waking")
    await hub.write(_set_tea, None)
    await acme.hub.pass_time(hours=2)
    assert await acme.hub.rows("SELECT count(*) FROM parked") == [(1,)]
    plugin.refuse = ""
    await hub.write(_set_tea, None)
    await hub.write(_set_two, None)
    await acme.hub.run_until_idle()
    assert {fact.small["key"]: fact.after_gap for fact in plugin.facts} == {
        "tea": True,
        "broken": False,
        "sound": False,
    }


def _set_two(tx: Any, items: Any) -> Any:
    tx.act(SetTimer(key="broken", due=tx.now, subject="a word of the plugin's own"))
    tx.act(SetTimer(key="sound", due=tx.now, subject="a word of the plugin's own"))
    return [None] * len(items)


async def test_after_a_stop_a_timer_is_late_and_never_twice(fake_acme_settings, tmp_path, empty_database, turned_clock):
    settings, acme_plugin = fake_acme_settings
    plugin = Waking()
    plugins = {**acme_plugin, "waking": plugin}
    for turn in (timedelta(hours=3), timedelta(), timedelta(hours=1)):
        async with whole_hub(settings, tmp_path, template=empty_database, plugins=plugins, clock=turned_clock) as hub:
            if not plugin.heard:
                await AcmeHub(hub, None).wrote("m1", "set tea 60")
            await hub.run_until_idle()
        turned_clock.advance(turn)
    assert plugin.heard == ["set tea 60", "timer tea"]


async def test_five_hundred_timers_of_one_moment_all_fire(start_acme):
    acme, plugin = await hub_of(start_acme)
    await acme.hub.daemon.hub.of("waking").write(_set_many, None)
    await acme.hub.run_until_idle()
    assert len(set(plugin.heard)) == len(plugin.heard) == 500


def _set_many(tx: Any, items: Any) -> Any:
    for n in range(500):
        tx.act(SetTimer(key=f"t{n}", due=tx.now))
    return [None] * len(items)
