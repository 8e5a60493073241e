"""Whoever reads the log is told every fact, in order, until it has taken it; what it refuses holds up nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from talkwire import Fact, Message, Reply, draft, hookimpl
from talkwire.daemon import PATIENCE
from talkwire.errors import NotFound
from talkwire.oversight import evidence
from talkwire.testing.hub import WholeHub, whole_hub
from tests.journeys.acme_hub import AcmeHub
from tests.journeys.listening import WAYS, cut_power, listener

OTHER = "6289999999999"
MAKE = "CREATE TABLE told (text TEXT)"
NOTE = "INSERT INTO told (text) VALUES (:text)"


async def make_table(hub: WholeHub) -> None:
    await hub.daemon.store.write(lambda tx, items: [tx.execute(MAKE)], None)


async def cursor(hub: WholeHub, reader: str) -> int:
    return int((await hub.rows("SELECT cursor FROM reader WHERE name = :name", name=reader))[0][0])


async def head(hub: WholeHub) -> int:
    return int((await hub.rows("SELECT seq FROM log_head"))[0][0])


def message(text: str, sender: str = "6281234567890") -> dict[str, Any]:
    return {"kind": "message", "id": f"{sender} {text}", "time": 1795435200, "from": sender, "text": text}


# --- once -----------------------------------------------------------------------------------------------


@pytest.mark.one_file
async def test_a_tx_hook_writes_once_however_the_power_fails(start_acme, start_hub, tmp_path):
    """What it wrote and the cursor are one transaction: cut in between, both are gone and it is told again."""
    cuts = []

    def hear(message: Message, fact: Fact, tx: Any) -> None:
        tx.execute(NOTE, {"text": message.text})
        if not cuts:
            cuts.append(cut_power(tmp_path, tmp_path / "cut"))

    acme: AcmeHub = await start_acme(plugins={"noting": listener("tx", hear)})
    await make_table(acme.hub)
    await acme.wrote("m1", "one")
    await acme.hub.run_until_idle()
    assert await acme.hub.rows("SELECT text FROM told") == [("one",)]

    again: AcmeHub = await start_acme(plugins={"noting": listener("tx", hear)}, folder=cuts[0], provider=acme.provider)
    await again.hub.run_until_idle()
    assert await again.hub.rows("SELECT text FROM told") == [("one",)]


async def test_what_a_tx_hook_wrote_is_gone_with_its_refusal(start_acme):
    def hear(message: Message, fact: Fact, tx: Any) -> Any:
        tx.execute(NOTE, {"text": message.text})
        tx.tell("noting.heard", small={"text": "of a fact that is refused"})
        tx.act(Reply(conversation=message.conversation, draft=draft("never")))
        raise ValueError

    acme: AcmeHub = await start_acme(plugins={"noting": listener("tx", hear)})
    await make_table(acme.hub)
    await acme.wrote("m1", "one")
    await acme.hub.run_until_idle()
    assert await acme.hub.rows("SELECT text FROM told") == []
    assert await acme.hub.facts("noting.heard", "reply.queued") == []


@pytest.mark.one_file
@pytest.mark.parametrize("way", ["thread", "loop"])
async def test_a_hook_without_tx_may_be_called_again_and_what_it_asks_for_is_done_once(start_acme, tmp_path, way):
    calls, cuts = [], []

    def hear(message: Message, fact: Fact) -> Reply:
        calls.append(fact.seq)
        if not cuts:
            cuts.append(cut_power(tmp_path, tmp_path / "cut"))
        return Reply(conversation=message.conversation, draft=draft("Thank you"))

    acme: AcmeHub = await start_acme(plugins={"polite": listener(way, hear)})
    await acme.wrote("m1", "one")
    await acme.hub.run_until_idle()
    assert len(calls) == 1
    assert acme.texts == ["Thank you"]

    again: AcmeHub = await start_acme(plugins={"polite": listener(way, hear)}, folder=cuts[0])
    await again.hub.run_until_idle()
    assert len(calls) == 2  # the power failed before anything was stored
    assert again.texts == ["Thank you"]
    assert len(await again.hub.facts("reply.queued")) == 1

    after = cut_power(tmp_path, tmp_path / "later")
    late: AcmeHub = await start_acme(plugins={"polite": listener(way, hear)}, folder=after)
    await late.hub.run_until_idle()
    assert len(calls) == 2  # it was stored: nobody is called again


async def test_a_hook_is_not_called_again_because_its_batch_had_no_time(start_acme):
    """The writer is given back after 10 ms; what was called outside is remembered until the cursor has passed."""
    calls: list[str] = []

    class Both:
        @hookimpl
        def on_inbound_message(self, message: Message) -> None:
            calls.append(message.text)

        @hookimpl
        def on_fact(self, fact: Fact, tx: Any) -> None:
            time.sleep(0.012)

    acme: AcmeHub = await start_acme(plugins={"both": Both()})
    for n in range(3):
        await acme.says(
            [{"kind": "message", "id": f"m{n}", "time": acme.now, "from": f"62811111111{n}", "text": f"{n}"}]
        )
    await acme.hub.run_until_idle()
    assert sorted(calls) == ["0", "1", "2"]


async def test_a_reader_whose_time_was_over_before_it_began_takes_one_fact_all_the_same(start_acme):
    """A machine that was elsewhere for 10 ms must not let it rest with facts untold."""
    told: list[str] = []

    class Elsewhere(list):
        def __iter__(self) -> Any:
            time.sleep(0.02)
            return super().__iter__()

    plugin = listener("tx", lambda m, f, tx: told.append(m.text))
    acme: AcmeHub = await start_acme(plugins={"late": plugin})
    readers = acme.hub.daemon.readers
    look = readers._look
    readers._look = lambda query, one: replace(batch := look(query, one), entries=Elsewhere(batch.entries))
    await acme.says([message(str(n), OTHER) for n in range(3)])
    await acme.hub.run_until_idle()
    assert told == ["0", "1", "2"]


async def test_a_statement_that_failed_and_was_passed_over_refuses_the_fact_and_stops_no_reader(start_acme):
    """PostgreSQL takes nothing more after it; SQLite does. Neither may stand still."""
    heard: list[str] = []

    def hear(message: Message, fact: Fact, tx: Any) -> None:
        heard.append(message.text)
        if message.text == "bad":
            with contextlib.suppress(Exception):
                tx.execute("SELECT nothing FROM nowhere")

    acme: AcmeHub = await start_acme(plugins={"careless": listener("tx", hear)})
    await acme.says([message("bad"), message("elsewhere", OTHER)])
    await acme.hub.run_until_idle()
    assert heard == ["bad", "elsewhere"]
    assert await cursor(acme.hub, "plugin:careless") == await head(acme.hub)


# --- in order ---------------------------------------------------------------------------------------------


async def test_a_conversation_is_told_in_order_and_waits_for_no_other(start_acme):
    heard: list[str] = []
    gate = asyncio.Event()

    class Slow:
        @hookimpl
        async def on_inbound_message(self, message: Message) -> None:
            if message.text == "a1":
                await gate.wait()
            heard.append(message.text)
            if message.text == "b2":
                gate.set()

    acme: AcmeHub = await start_acme(plugins={"slow": Slow()})
    await acme.says([message("a1", OTHER), message("b1"), message("a2", OTHER), message("b2")])
    await acme.hub.run_until_idle()
    assert heard == ["b1", "b2", "a1", "a2"]


async def test_each_reader_has_its_own_cursor(start_acme):
    heard: list[str] = []

    def refuse(message: Message, fact: Fact) -> None:
        raise ValueError

    plugins = {"broken": listener("thread", refuse), "sound": listener("thread", lambda m, f: heard.append(m.text))}
    acme: AcmeHub = await start_acme(plugins=plugins)
    await acme.wrote("m1", "one")
    await acme.wrote("m2", "two")
    await acme.hub.run_until_idle()
    assert heard == ["one", "two"]


async def test_a_reader_is_told_what_it_wants_and_passes_over_the_rest(start_acme):
    heard: list[str] = []

    class Wants:
        @hookimpl
        def on_delivery_status(self, state: Any, fact: Fact) -> None:
            heard.append(f"{fact.type} {state.word}")

    acme: AcmeHub = await start_acme(plugins={"wants": Wants()})
    await acme.wrote("m1", "one")
    await acme.hub.reply(await acme.hub.conversation, "two")
    await acme.hub.run_until_idle()
    assert heard == ["delivery.changed accepted"]
    assert await cursor(acme.hub, "plugin:wants") == await head(acme.hub)


# --- refused ----------------------------------------------------------------------------------------------


class Refusing:
    """Refuses what says so; notes who was told what, when."""

    def __init__(self) -> None:
        self.wrong = True
        self.told: list[tuple[float, str, bool, bool]] = []
        self.clock: Any = None

    def hear(self, message: Message, fact: Fact, tx: Any = None) -> Reply | None:
        at = (self.clock.now() - message.stored_at).total_seconds() if self.clock else 0
        self.told.append((at, message.text, fact.replayed and message.replayed, fact.after_gap))
        if self.wrong and message.text == "bad":
            raise ValueError("a text that may quote a message")
        return Reply(conversation=message.conversation, draft=draft("again")) if fact.replayed else None

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _, _ in self.told]


@pytest.fixture(params=WAYS)
async def refusing(start_acme, request):
    plugin = Refusing()
    acme = await start_acme(plugins={"picky": listener(request.param, plugin.hear)})
    plugin.clock = acme.hub.clock
    return acme, plugin


async def status_of(acme: AcmeHub, reader: str) -> Any:
    status = await acme.hub.daemon.store.read(evidence.status)
    return next(one for one in status.readers if one.name == reader)


async def test_a_refused_fact_holds_up_its_own_conversation_alone(refusing):
    acme, plugin = refusing
    await acme.says([message("bad"), message("behind"), message("elsewhere", OTHER)])  # one batch
    await acme.hub.run_until_idle()
    assert plugin.texts == ["bad", "elsewhere"]

    await acme.wrote("m4", "later", sender=OTHER)
    await acme.wrote("m5", "further behind")
    await acme.hub.run_until_idle()
    assert plugin.texts == ["bad", "elsewhere", "later"]

    plugin.wrong = False
    await acme.hub.pass_time(seconds=5)
    assert plugin.texts == ["bad", "elsewhere", "later", "bad", "behind", "further behind"]
    assert not any(replayed or after_gap for _, _, replayed, after_gap in plugin.told)

    await acme.wrote("m6", "at once")
    await acme.hub.run_until_idle()
    assert plugin.texts[-1] == "at once"
    assert (await status_of(acme, "plugin:picky")).last_error == ""


async def test_a_fact_is_refused_by_the_schedule_then_parked(refusing):
    acme, plugin = refusing
    await acme.wrote("m1", "bad")
    await acme.wrote("m2", "behind")
    await acme.hub.pass_time(hours=2)
    assert [at for at, text, _, _ in plugin.told if text == "bad"] == [0, 5, 35, 155, 755, 4355]
    assert [(text, after_gap) for _, text, _, after_gap in plugin.told if text != "bad"] == [("behind", True)]

    parked = await acme.hub.facts("fact.parked")
    bad = (await acme.hub.facts("message.received"))[0]
    assert [(fact.small, fact.conversation) for fact in parked] == [
        ({"reader": "plugin:picky", "seq": bad.seq}, bad.conversation)
    ]
    status = await status_of(acme, "plugin:picky")
    assert status.parked == 1
    assert "picky" in status.last_error
    assert "quote" not in status.last_error


async def test_a_parked_fact_can_be_told_again_marked_and_gets_no_reply(refusing):
    acme, plugin = refusing
    await acme.wrote("m1", "bad")
    await acme.hub.pass_time(hours=2)
    bad = (await acme.hub.facts("message.received"))[0]
    readers = acme.hub.daemon.readers

    await readers.replay("plugin:picky", bad.seq)
    await acme.hub.run_until_idle()
    assert plugin.told[-1][1:] == ("bad", True, False)
    with pytest.raises(NotFound):
        await readers.replay("plugin:picky", bad.seq)  # it waits for its next try already

    plugin.wrong = False
    await acme.hub.pass_time(seconds=5)
    assert plugin.told[-1][1:] == ("bad", True, False)
    failed = await acme.hub.facts("action.failed")
    assert [fact.small["code"] for fact in failed] == ["replayed"]
    assert acme.texts == []
    assert (await status_of(acme, "plugin:picky")).parked == 0

    await acme.wrote("m2", "no gap any more")
    await acme.hub.run_until_idle()
    assert plugin.told[-1][1:] == ("no gap any more", False, False)


async def test_a_fact_that_fails_from_the_lane_has_the_whole_schedule_too(refusing):
    acme, plugin = refusing
    await acme.wrote("m1", "bad")
    await acme.wrote("m2", "bad")
    await acme.hub.pass_time(hours=3)
    times = [at for at, _, _, _ in plugin.told]
    assert times == [0, 5, 35, 155, 755, 4355, 4355, 4360, 4390, 4510, 5110, 8710]
    assert (await status_of(acme, "plugin:picky")).parked == 2


async def test_what_no_table_takes_is_refused_and_parked_like_an_error(start_acme):
    """An action that cannot be stored is its plugin's fault, not a stop of the reader."""
    heard: list[str] = []

    def hear(message: Message, fact: Fact) -> Any:
        heard.append(message.text)
        return Reply(conversation=["no id"], draft=draft("x")) if message.text == "bad" else None  # type: ignore[arg-type]

    acme: AcmeHub = await start_acme(plugins={"odd": listener("thread", hear)})
    await acme.wrote("m1", "bad")
    await acme.wrote("m2", "good", sender=OTHER)
    await acme.hub.run_until_idle()
    assert heard == ["bad", "good"]
    assert "asked for what no table takes" in (await status_of(acme, "plugin:odd")).last_error


async def test_a_fact_without_a_conversation_waits_with_its_account(start_acme):
    heard: list[str] = []

    class Watching:
        @hookimpl
        def on_account(self, state: Any) -> None:
            heard.append(state.value)
            if heard == ["paused"]:
                raise ValueError

    acme: AcmeHub = await start_acme(plugins={"watching": Watching()})
    heard.clear()
    await acme.hub.daemon.store.write(_pause, "shop")
    await acme.hub.run_until_idle()
    assert heard == ["paused"]
    await acme.hub.daemon.store.write(_resume, "shop")
    await acme.hub.run_until_idle()
    assert heard == ["paused"]
    await acme.hub.pass_time(seconds=5)
    assert heard[:3] == ["paused", "paused", "starting"]


def _pause(tx, names):
    from talkwire.account_states import pause

    return pause(tx, [(name, "for the test") for name in names])


def _resume(tx, names):
    from talkwire.account_states import resume

    return resume(tx, names)


async def test_who_refused_a_fact_is_not_told_that_it_was_parked(start_acme):
    """Else a plugin that refuses every fact would be told a new one for each, without an end."""
    told: list[str] = []

    def refuse(fact: Fact) -> None:
        told.append(fact.type)
        raise ValueError

    acme: AcmeHub = await start_acme(plugins={"stubborn": listener("tx", refuse, "on_fact")})
    await acme.wrote("m1", "one")
    await acme.hub.pass_time(hours=2)
    assert "fact.parked" in {fact.type for fact in await acme.hub.facts()}
    assert "fact.parked" not in told


# --- late, hanging, holding the writer ----------------------------------------------------------------------


@pytest.mark.parametrize("way", ["thread", "loop"])
async def test_a_hook_that_hangs_is_refused_and_hurts_only_its_own_work(start_acme, way):
    heard: list[str] = []
    gate = threading.Event()

    class Hanging:
        if way == "thread":

            @hookimpl
            def on_inbound_message(self, message: Message) -> None:
                gate.wait()
        else:

            @hookimpl
            async def on_inbound_message(self, message: Message) -> None:
                await asyncio.Event().wait()

    plugins = {"hanging": Hanging(), "sound": listener("thread", lambda m, f: heard.append(m.text))}
    acme: AcmeHub = await start_acme(plugins=plugins)
    acme.hub.daemon.plugins.readers()[0].budget = timedelta(milliseconds=20)
    try:
        await acme.wrote("m1", "one")
        await acme.hub.run_until_idle()
        assert heard == ["one"]
        assert "did not end within 0.02 s" in (await status_of(acme, "plugin:hanging")).last_error
    finally:
        gate.set()


async def test_a_batch_is_two_hundred_facts(start_acme):
    calls: dict[int, int] = {}

    class Counting:
        @hookimpl
        async def on_inbound_message(self, hub: Any) -> None:
            rows = await hub.read(lambda q: q.execute("SELECT cursor FROM reader WHERE name = 'plugin:counting'"))
            calls[rows[0][0]] = calls.get(rows[0][0], 0) + 1

    acme: AcmeHub = await start_acme(plugins={"counting": Counting()})
    await acme.says([message(str(n), OTHER) for n in range(250)])
    await acme.hub.run_until_idle()
    assert sum(calls.values()) == 250
    assert 190 < max(calls.values()) <= 200


async def test_a_batch_gives_the_writer_back_after_ten_milliseconds(start_acme):
    batches: dict[int, int] = {}
    kept: list[Any] = []

    class Counting:
        @hookimpl
        def on_inbound_message(self, message: Message, tx: Any) -> None:
            batches[id(tx)] = batches.get(id(tx), 0) + 1
            kept.append(tx)  # so that no later one has its id
            time.sleep(0.004)

    acme: AcmeHub = await start_acme(plugins={"counting": Counting()})
    await acme.says([message(str(n), OTHER) for n in range(12)])
    await acme.hub.run_until_idle()
    assert sum(batches.values()) == 12
    assert max(batches.values()) <= 3  # 10 ms, and the one that passed them


async def test_a_slow_tx_hook_is_named(start_acme):
    acme: AcmeHub = await start_acme(plugins={"slow": listener("tx", lambda m, f, tx: time.sleep(0.06))})
    await acme.wrote("m1", "one")
    await acme.hub.run_until_idle()
    assert acme.hub.daemon.slow_hooks["slow", "on_inbound_message"] >= 0.06


async def test_a_tx_hook_that_never_returns_is_named_while_reading_goes_on_and_can_be_stopped(
    fake_acme_settings, tmp_path, empty_database
):
    gate, inside = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(message: Message, fact: Fact, tx: Any) -> None:
        loop.call_soon_threadsafe(inside.set)
        gate.wait()

    settings, plugins = fake_acme_settings
    try:
        async with whole_hub(
            settings, tmp_path, template=empty_database, plugins={**plugins, "hung": listener("tx", hang)}
        ) as hub:
            await hub.run_until_idle()
            hub.daemon.stuck_after = 0.02
            await AcmeHub(hub, None).wrote("m1", "one")
            await inside.wait()
            async with asyncio.timeout(20):
                # Until the hook itself is late, its transaction is named, which is a little older.
                while not any(fault.startswith("plugin ") for fault in hub.daemon.stuck()):
                    await asyncio.sleep(0.001)
            [fault] = hub.daemon.stuck()
            assert fault.startswith("plugin hung: hook on_inbound_message holds the writer for ")
            assert [c.last_text for c in await hub.conversations()] == ["one"]
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE.total_seconds() / 2  # it was not waited for
    finally:
        gate.set()


# --- coming and going ------------------------------------------------------------------------------------------


async def test_a_new_reader_begins_with_the_next_fact_and_one_that_is_gone_is_stopped(
    fake_acme_settings, tmp_path, empty_database
):
    heard: list[str] = []
    settings, acme_plugin = fake_acme_settings
    plugin = {"new": listener("thread", lambda m, f: heard.append(m.text))}

    async def run(message: str, plugins: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        async with whole_hub(settings, tmp_path, template=empty_database, plugins={**acme_plugin, **plugins}) as hub:
            await AcmeHub(hub, None).wrote(message, message)
            await hub.run_until_idle()
            readers = await hub.rows("SELECT name, state FROM reader ORDER BY name")
            return readers, [fact.small for fact in await hub.facts("reader.stopped")]

    assert await run("before", {}) == ([], [])
    assert await run("now", plugin) == ([("plugin:new", "active")], [])
    assert heard == ["now"]
    assert await run("gone", {}) == ([("plugin:new", "stopped")], [{"reader": "plugin:new"}])
    assert await run("back", plugin) == ([("plugin:new", "active")], [{"reader": "plugin:new"}])
    assert heard == ["now", "gone", "back"]  # the log still had what it missed


async def test_a_reader_that_comes_back_too_late_says_what_it_missed(fake_acme_settings, tmp_path, empty_database):
    settings, acme_plugin = fake_acme_settings
    plugins = {**acme_plugin, "late": listener("thread", lambda m, f: None)}
    async with whole_hub(settings, tmp_path, template=empty_database, plugins=plugins) as hub:
        await hub.run_until_idle()
        was = await cursor(hub, "plugin:late")
    async with whole_hub(settings, tmp_path, plugins=acme_plugin) as hub:
        for n in range(3):
            await AcmeHub(hub, None).wrote(f"m{n}", "x")
        await hub.daemon.store.write(_purge, was + 2)
    async with whole_hub(settings, tmp_path, plugins=plugins) as hub:
        await hub.run_until_idle()
        missed = [fact.small for fact in await hub.facts("reader.missed")]
        assert missed == [{"reader": "plugin:late", "from": was + 1, "to": was + 2}]
        assert await cursor(hub, "plugin:late") == await head(hub)


def _purge(tx, items):
    return [tx.execute("DELETE FROM fact WHERE seq <= :upto", {"upto": upto}) for upto in items]
