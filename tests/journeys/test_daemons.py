"""Several daemons on one PostgreSQL: any of them takes webhooks, one of them serves each group, none sends twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from talkwire import hookimpl
from talkwire.actions import SetTimer
from talkwire.answers import sweep_windows
from talkwire.clock import micros
from talkwire.errors import StoreDown
from talkwire.model import Batch, Message
from talkwire.reloading import reload
from talkwire.store import Tx
from talkwire.testing import FakeProvider, Logs, slow
from talkwire.testing.hub import WholeHub, whole_hub
from talkwire.testing.provider import busy, refuse
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin
from tests.journeys.webhook_host import Host
from tests.mutants.acme import ACME, WROTE, AcmeChannel, PollingAcme
from tests.parts.postgres import Cluster

pytestmark = pytest.mark.needs("postgres")

StartDaemon = Callable[..., Awaitable[AcmeHub]]


class Counting:
    """Counts what it is told, in the database; sets a timer for each message."""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> SetTimer:
        tx.tell("counting.heard", conversation=message.conversation, ids={"message": message.id})
        return SetTimer(key=message.id, due=tx.now + timedelta(minutes=1))

    @hookimpl
    def on_timer(self, key: str, tx: Tx) -> None:
        tx.tell("counting.rang", ids={"message": key})


@pytest_asyncio.fixture
async def provider(fake_provider: Callable[..., Awaitable[FakeProvider]]) -> FakeProvider:
    return await fake_provider(ACME.answers)


@pytest_asyncio.fixture
async def start_daemon(provider: FakeProvider, postgres_with_tables: str, tmp_path: Path) -> AsyncIterator[StartDaemon]:
    """Give what starts one more daemon on the same database, with a clock of its own."""
    async with contextlib.AsyncExitStack() as started:

        async def start(more: str = "", channel: type[AcmeChannel] = AcmeChannel) -> AcmeHub:
            settings = SETTINGS.format(url=provider.url, more="") + '[plugins]\nenabled = ["counting"]\n' + more
            plugins = {"acme": AcmePlugin(channel), "counting": Counting()}
            hub = await started.enter_async_context(
                whole_hub(settings, tmp_path, plugins=plugins, url=postgres_with_tables)
            )
            return AcmeHub(hub, provider)

        yield start


async def eventually(true: Callable[[], Awaitable[bool]] | Callable[[], bool]) -> None:
    """Wait for what another daemon does: it is woken by NOTIFY, which nobody here can wait for."""
    async with asyncio.timeout(20):
        while not (await result if isinstance(result := true(), Awaitable) else result):
            await asyncio.sleep(0.01)


def lapse(url: str, name: str = "%") -> None:
    """Let leases lapse, as the database's clock does when their owner stands still."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE lease SET until = 0 WHERE name LIKE %s", (name,))


def owner_of(url: str, name: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT owner FROM lease WHERE name = %s AND until > 0", (name,)).fetchone()
        return str(row[0]) if row else ""


async def types(acme: AcmeHub, *names: str) -> list[str]:
    return [fact.type for fact in await acme.hub.facts(*names)]


async def _all_told(acme: AcmeHub, names: Sequence[str]) -> bool:
    return await types(acme, *dict.fromkeys(names)) == list(names)


async def test_any_daemon_takes_webhooks_and_one_sends(start_daemon: StartDaemon, provider: FakeProvider) -> None:
    first, second = await start_daemon(), await start_daemon()
    await second.wrote("m1", "to the second")
    await first.wrote("m2", "to the first")
    await first.wrote("m1", "to the second")  # the provider did not hear our 200
    conversation = await first.hub.conversation
    assert [m.text for m in await second.hub.messages(conversation)] == ["to the second", "to the first"]

    await second.hub.reply(conversation, "from the second")  # the first has the lease: NOTIFY wakes it
    await eventually(lambda: second.texts == ["from the second"])
    await eventually(lambda: _states(second, conversation, ["accepted"]))
    await eventually(lambda: _all_told(first, ["counting.heard"] * 2))


async def _states(acme: AcmeHub, conversation: Any, states: Sequence[str]) -> bool:
    return await acme.hub.states(conversation) == list(states)


async def test_each_daemon_knows_which_ones_live(
    start_daemon: StartDaemon, provider: FakeProvider, postgres_with_tables: str, tmp_path: Path
) -> None:
    first, second = (await start_daemon()).hub.daemon.hub, (await start_daemon()).hub.daemon.hub
    both = {first.daemon, second.daemon}
    assert (len(both), await first.daemons(), await second.daemons()) == (2, both, both)
    settings, plugins = SETTINGS.format(url=provider.url, more=""), {"acme": AcmePlugin()}
    async with whole_hub(settings, tmp_path, plugins=plugins, url=postgres_with_tables) as third:
        assert await first.daemons() == both | {third.daemon.hub.daemon}
    assert await first.daemons() == both  # it stopped in good order
    lapse(postgres_with_tables, f"daemon:{second.daemon}")  # it was killed
    assert await first.daemons() == {first.daemon}


async def test_one_daemon_has_each_group_and_the_other_none(
    start_daemon: StartDaemon, postgres_with_tables: str
) -> None:
    first, second = await start_daemon(), await start_daemon()
    for name in ("send:shop", "read:plugin:counting", "timers", "do"):
        assert owner_of(postgres_with_tables, name) == first.hub.daemon.leases.owner
        assert first.hub.daemon.leases.holds(name)
        assert not second.hub.daemon.leases.holds(name)


async def test_who_stops_in_good_order_hands_over_at_once(
    provider: FakeProvider, postgres_with_tables: str, tmp_path: Path
) -> None:
    settings = SETTINGS.format(url=provider.url, more="")
    plugins = {"acme": AcmePlugin()}
    async with whole_hub(settings, tmp_path, plugins=plugins, url=postgres_with_tables) as hub:
        await AcmeHub(hub, provider).wrote("m1", "hello")
    async with whole_hub(settings, tmp_path, plugins=plugins, url=postgres_with_tables) as hub:
        assert hub.daemon.leases.holds("send:shop")
        await hub.reply(await hub.conversation, "at once")
        await hub.run_until_idle()
        assert AcmeHub(hub, provider).texts == ["at once"]


async def test_when_leases_lapse_the_other_goes_on(start_daemon: StartDaemon, postgres_with_tables: str) -> None:
    first, second = await start_daemon(), await start_daemon()
    lapse(postgres_with_tables)
    await second.hub.daemon.leases.take()
    assert second.hub.daemon.leases.holds("send:shop")
    await first.wrote("m1", "hello")
    conversation = await first.hub.conversation
    await first.hub.reply(conversation, "by the second")
    await eventually(lambda: _states(first, conversation, ["accepted"]))
    assert second.texts == ["by the second"]
    await eventually(lambda: _all_told(second, ["counting.heard"]))
    # The first believed for a moment that it had them; the database told it otherwise.
    await first.hub.daemon.leases.take()
    assert not first.hub.daemon.leases.holds("send:shop")


async def test_an_attempt_of_a_lapsed_lease_is_uncertain_and_its_outcome_is_learnt_later(
    start_daemon: StartDaemon, provider: FakeProvider, postgres_with_tables: str
) -> None:
    """The first stands still in the middle of a send; the second takes over; then the first goes on."""
    first, second = await start_daemon(), await start_daemon()
    await first.wrote("m1", "hello")
    conversation = await first.hub.conversation
    answered = asyncio.Event()
    provider.will(slow(answered, first.accept("one")))
    await first.hub.reply(conversation, "one")
    await provider.arrived()
    lapse(postgres_with_tables)
    await second.hub.daemon.leases.take()
    await eventually(lambda: _states(first, conversation, ["uncertain"]))
    await second.hub.reply(conversation, "two")
    await eventually(lambda: _states(first, conversation, ["uncertain", "accepted"]))

    answered.set()
    await eventually(lambda: _states(first, conversation, ["accepted", "accepted"]))
    assert first.texts == ["one", "two"]  # each once
    await first.reported("one", "delivered")
    await eventually(lambda: _states(first, conversation, ["delivered", "accepted"]))


@pytest.mark.parametrize("answer", [busy(after=1), refuse()], ids=["busy", "refused"])
async def test_an_outcome_of_a_lapsed_lease_touches_no_lane(
    start_daemon: StartDaemon, provider: FakeProvider, postgres_with_tables: str, answer: Any
) -> None:
    """Between the lapse and the take-over the first stores its outcome: nothing may be sent a second time for it."""
    first = await start_daemon()
    await first.wrote("m1", "hello")
    conversation = await first.hub.conversation
    answered = asyncio.Event()
    provider.will(slow(answered, answer))
    await first.hub.reply(conversation, "one")
    await provider.arrived()
    [lane] = await first.hub.rows("SELECT id, due, attempts, last_error FROM lane WHERE grp = 'send:shop'")
    lapse(postgres_with_tables)
    answered.set()
    await eventually(lambda: not first.hub.daemon.lanes.busy)
    assert await first.hub.rows("SELECT id, due, attempts, last_error FROM lane WHERE grp = 'send:shop'") == [lane]
    assert await first.hub.rows("SELECT count(*) FROM task WHERE kind = 'send'") == [(1,)]

    second = await start_daemon()
    await eventually(lambda: _no_tasks(second))
    state = "failed" if answer.name == "refuse" else "uncertain"  # busy is no news: the attempt is found open
    assert await second.hub.states(conversation) == [state]
    assert second.texts == ["one"]


async def _no_tasks(acme: AcmeHub) -> bool:
    return await acme.hub.rows("SELECT count(*) FROM task WHERE kind = 'send'") == [(0,)]


async def test_nothing_is_begun_that_could_outlast_the_lease(
    start_daemon: StartDaemon, postgres_with_tables: str
) -> None:
    first = await start_daemon()
    await first.wrote("m1", "hello")
    conversation = await first.hub.conversation
    await first.hub.run_until_idle()
    with psycopg.connect(postgres_with_tables, autocommit=True) as connection:  # 10 s left; a send may take 15
        connection.execute(
            "UPDATE lease SET until = CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + 10000000"
        )
    await first.hub.reply(conversation, "not yet")
    await first.hub.run_until_idle()
    assert first.texts == []
    await first.hub.daemon.leases.take()  # renewed
    await eventually(lambda: first.texts == ["not yet"])


class Listening(PollingAcme):
    """Fetches what the test lays down."""

    type = "acme"

    def prepare(self) -> None:
        super().prepare()
        self.laid: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.began: list[str] = []

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        self.began.append(cursor)
        while True:
            message, cursor = await self.laid.get()
            yield Batch((self.envelope(json.dumps({"events": [{**WROTE, "id": message}]}).encode()),), cursor)


async def test_one_daemon_listens_and_the_other_goes_on_where_it_was(
    start_daemon: StartDaemon, postgres_with_tables: str
) -> None:
    first, second = await start_daemon(channel=Listening), await start_daemon(channel=Listening)
    one, other = (acme.hub.daemon.account("shop").channel for acme in (first, second))
    await eventually(lambda: one.began == [""])
    one.laid.put_nowait(("m1", "5"))
    await eventually(lambda: _cursor(first, "5"))
    lapse(postgres_with_tables)
    await second.hub.daemon.leases.take()
    await eventually(lambda: other.began == ["5"])

    one.laid.put_nowait(("m2", "6"))  # the first does not know yet: what it fetched is kept, its cursor is not
    await eventually(lambda: _messages(first, 2))
    other.laid.put_nowait(("m2", "6"))
    other.laid.put_nowait(("m3", "7"))
    await eventually(lambda: _messages(first, 3))
    assert await _cursor(first, "7")
    await first.hub.daemon.leases.take()  # now it knows, and ends its listener
    await first.hub.run_until_idle()
    one.laid.put_nowait(("m4", "8"))
    await first.hub.run_until_idle()
    assert await _cursor(first, "7")
    assert one.began == [""]


async def _cursor(acme: AcmeHub, cursor: str) -> bool:
    return await acme.hub.rows("SELECT cursor FROM account_state") == [(cursor,)]


async def _messages(acme: AcmeHub, count: int) -> bool:
    return await acme.hub.rows("SELECT count(*) FROM message") == [(count,)]


async def test_timers_ring_once_whoever_holds_them(start_daemon: StartDaemon, postgres_with_tables: str) -> None:
    first, second = await start_daemon(), await start_daemon()
    await first.wrote("m1", "hello")
    await eventually(lambda: _told(first, "counting.heard"))
    for acme in (first, second):
        acme.hub.clock.advance(timedelta(minutes=2))
    await eventually(lambda: _told(first, "counting.rang"))
    lapse(postgres_with_tables)
    await second.hub.daemon.leases.take()
    for acme in (first, second):
        await acme.hub.run_until_idle()
    assert await types(first, "timer.due", "counting.rang") == ["timer.due", "counting.rang"]


async def _told(acme: AcmeHub, name: str) -> bool:
    return bool(await types(acme, name))


async def test_a_lost_wake_up_is_found_by_looking_now_and_then(
    start_daemon: StartDaemon, provider: FakeProvider
) -> None:
    first, second = await start_daemon(), await start_daemon()
    await second.wrote("m1", "hello")
    conversation = await second.hub.conversation
    # The first hears hints by now: else it would look because it begins to hear, when the reply is there.
    await eventually(lambda: _told(first, "counting.heard"))
    await first.hub.run_until_idle()
    second.hub.daemon.hints.wake = lambda loops: None  # type: ignore[method-assign]  # this one is lost
    await second.hub.reply(conversation, "found")
    await second.hub.run_until_idle()
    assert provider.shown == []
    await eventually(lambda: _looked(first, provider))


async def _looked(acme: AcmeHub, provider: FakeProvider) -> bool:
    acme.hub.clock.advance(timedelta(seconds=5))
    await asyncio.sleep(0.05)
    return len(provider.shown) == 1


async def test_one_daemon_tells_a_host_and_another_goes_on_where_it_was(
    start_daemon: StartDaemon, postgres_with_tables: str
) -> None:
    host = Host()
    await host.comes()
    try:
        one = await start_daemon(host.table("crm", 'types = ["message.received"]'))
        other = await start_daemon(host.table("crm", 'types = ["message.received"]'))
        await other.wrote("m1", "one")
        await eventually(lambda: len(host.taken) == 1)
        await one.hub.run_until_idle()
        one.hub.daemon.leases.pump.wake = lambda: None  # type: ignore[method-assign]  it stands still
        lapse(postgres_with_tables)
        await other.hub.daemon.leases.take()
        await other.wrote("m2", "two")
        await eventually(lambda: len(host.taken) >= 2)
        await other.hub.run_until_idle()
        once = {told.id: told.fact["small"]["n"] for told in host.taken}  # who lost the lease may have called too
        assert list(once.values()) == [1, 2]
        assert (await other.hub.rows("SELECT last_error FROM reader WHERE name = 'webhook:crm'")) == [("",)]
    finally:
        await host.goes()


async def test_a_daemon_with_other_settings_says_so(start_daemon: StartDaemon) -> None:
    first = await start_daemon()
    assert first.hub.daemon.same_settings
    logs = Logs()
    with logs.listening():
        other = await start_daemon('[general]\nlanguage = "de"\n')
    assert not other.hub.daemon.same_settings
    assert any("other settings" in line for line in logs.lines)


async def test_settings_may_change_once_nobody_else_runs(
    provider: FakeProvider, postgres_with_tables: str, tmp_path: Path
) -> None:
    for more in ("", '[general]\nlanguage = "de"\n'):
        settings = SETTINGS.format(url=provider.url, more="") + more
        async with whole_hub(settings, tmp_path, plugins={"acme": AcmePlugin()}, url=postgres_with_tables) as hub:
            assert hub.daemon.same_settings


async def test_hints_reach_every_daemon(start_daemon: StartDaemon) -> None:
    first, second = await start_daemon(), await start_daemon()
    heard: dict[WholeHub, Any] = {}

    async def listen(hub: WholeHub) -> None:
        async for small in hub.daemon.hints.subscribe("typing"):
            heard[hub] = small

    listening = [asyncio.create_task(listen(acme.hub)) for acme in (first, second)]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        while len(heard) < 2:  # the second may not listen yet: hints may be lost
            first.hub.daemon.hints.publish("typing", {"on": True})
            await asyncio.sleep(0.1)
    assert heard == {first.hub: {"on": True}, second.hub: {"on": True}}
    for task in listening:
        task.cancel()


async def test_daemons_are_reloaded_one_after_the_other_and_say_until_then_that_they_differ(
    start_daemon: StartDaemon, provider: FakeProvider, postgres_with_tables: str
) -> None:
    first, second = await start_daemon(), await start_daemon()
    shop = SETTINGS.format(url=provider.url, more="")
    text = f'[store]\nurl = "{postgres_with_tables}"\n{shop}[plugins]\nenabled = ["counting"]\n'
    first.hub.daemon.config.path.write_text(text + shop.replace("accounts.shop", "accounts.kiosk"))
    changes = await reload(first.hub.daemon)
    assert changes.done == ("accounts.kiosk: added",)
    assert changes.notes == ("other daemons of this database have other settings now: reload them too",)
    assert first.hub.daemon.not_ready() == []  # it serves on: only a start refuses to
    await first.wrote("k1", "to the first", endpoint="kiosk")

    changes = await reload(second.hub.daemon)
    assert (changes.done, changes.notes) == (("accounts.kiosk: added",), ())
    await second.wrote("k2", "to the second", endpoint="kiosk")
    conversation = await first.hub.conversation
    assert [m.text for m in await second.hub.messages(conversation)] == ["to the first", "to the second"]
    await second.hub.reply(conversation, "by whoever has the lease")
    await eventually(lambda: first.texts + second.texts != [])


WAITS_FOR_US = """
    SELECT 1 FROM pg_locks w JOIN pg_locks h ON h.transactionid = w.transactionid
    WHERE NOT w.granted AND h.granted AND h.pid = pg_backend_pid()
"""


async def test_a_window_that_a_message_moves_while_the_sweep_waits_for_it_is_not_told_closed(
    start_daemon: StartDaemon,
) -> None:
    acme = await start_daemon()
    store, now = acme.hub.daemon.store, acme.hub.clock.now()
    await acme.wrote("m1", "Hello")
    conversation = await acme.hub.conversation
    window = {"until": micros(now - timedelta(minutes=1)), "id": conversation.id}

    def set_window(tx: Tx, items: Sequence[Any]) -> Sequence[None]:
        for values in items:
            tx.execute("UPDATE conversation SET reply_until = :until, window_told = 0 WHERE id = :id", values)
        return [None] * len(items)

    def moves_it(tx: Tx, items: Sequence[asyncio.Future[None]]) -> Sequence[bool]:
        set_window(tx, [{**window, "until": micros(now + timedelta(days=1))}])
        for locked in items:
            locked.get_loop().call_soon_threadsafe(locked.set_result, None)
        until = monotonic() + 2
        while not (waits := tx.one(WAITS_FOR_US)) and monotonic() < until:
            pass
        return [bool(waits)] * len(items)

    for _ in range(5):  # the daemon's own sweep may come between, and then nobody waits
        await store.write(set_window, window)
        told = len(await types(acme, "window.closed", "window.closing"))
        locked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        moving = asyncio.create_task(store.write(moves_it, locked))
        await locked
        await store.write(sweep_windows, 0)
        if await moving:
            break
    else:
        raise AssertionError("no sweep ever waited for the message")
    assert (await types(acme, "window.closed", "window.closing"))[told:] == []


async def test_a_database_that_says_nothing_more_is_503_fails_livez_and_heals_by_itself(
    own_cluster: Cluster, provider: FakeProvider, tmp_path: Path
) -> None:
    url = own_cluster.url(own_cluster.new_database())
    async with whole_hub(
        SETTINGS.format(url=provider.url, more=""), tmp_path, plugins={"acme": AcmePlugin()}, url=url
    ) as hub:
        acme = AcmeHub(hub, provider)
        await acme.wrote("m1", "before")
        store, hub.daemon.stuck_after = hub.daemon.store, 1.0
        assert hub.daemon.stuck() == []
        patience, store.answer_within = store.answer_within, timedelta(seconds=0.3)  # only while nothing is said
        own_cluster.freeze()
        try:
            for attempt in ("first", "second"):
                async with asyncio.timeout(15):
                    with pytest.raises(StoreDown):  # the public port answers it with 503
                        await acme.wrote("m2", attempt)
            assert any("mute database" in fault for fault in hub.daemon.stuck())
        finally:
            own_cluster.thaw()
            store.answer_within = patience
        async with asyncio.timeout(15):
            await acme.wrote("m2", "after")
            while hub.daemon.stuck():
                await hub.run_until_idle()
        assert await acme.column("SELECT text FROM message ORDER BY n") == ["before", "after"]
