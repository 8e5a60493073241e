"""The small API that hooks, routes and commands get."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from talkwire import (
    HistoryGone,
    Hub,
    KeyReused,
    NotFound,
    Query,
    State,
    StoreDown,
    TooLarge,
    Tx,
    draft,
    hookimpl,
    readmodels,
)
from talkwire.work.hints import Hints
from tests.journeys.acme_hub import AcmeHub


@pytest.fixture
async def hub(acme: AcmeHub) -> Hub:
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    return acme.hub.daemon.hub.of("mine")


async def first(found: Any, count: int) -> list[Any]:
    async with asyncio.timeout(20):
        return [await anext(found) for _ in range(count)]


# --- following the log ------------------------------------------------------------------------------------


async def test_the_log_is_followed_from_a_cursor_as_it_grows(acme, hub):
    facts = await acme.hub.facts()
    following = hub.tail(after=facts[0].seq)
    assert await first(following, len(facts) - 1) == facts[1:]

    waiting = asyncio.ensure_future(anext(following))
    await acme.wrote("m2", "more")
    async with asyncio.timeout(20):
        fact = await waiting
    assert (fact.seq, fact.type) == (facts[-1].seq + 1, "message.received")


async def test_without_a_cursor_the_log_is_followed_from_now_on(acme, hub):
    following = hub.tail(types=["message.received"])
    waiting = asyncio.ensure_future(anext(following))
    await acme.hub.daemon.store.write(lambda tx, items: items, None)  # it has looked where the log ends
    await acme.hub.run_until_idle()
    await acme.wrote("m2", "more")
    async with asyncio.timeout(20):
        fact = await waiting
    assert [fact] == (await acme.hub.facts("message.received"))[1:]


async def test_only_the_types_that_are_asked_for_are_given(acme, hub):
    await acme.hub.reply(await acme.hub.conversation, "an answer")
    await acme.hub.run_until_idle()
    found = await first(hub.tail(after=0, types=["reply.queued", "delivery.changed"]), 2)
    assert [fact.type for fact in found] == ["reply.queued", "delivery.changed"]


async def test_who_asks_for_more_than_the_log_has_is_told(acme, hub):
    await hub.write(_purge, 2)
    assert (await first(hub.tail(after=2), 1))[0].seq == 3
    with pytest.raises(HistoryGone, match="begin with a fresh look"):
        await first(hub.tail(after=1), 1)


def _purge(tx: Tx, items: Sequence[int]) -> Sequence[Any]:
    return [tx.execute("DELETE FROM fact WHERE seq <= :upto", {"upto": upto}) for upto in items]


async def test_following_ends_with_the_daemon(acme, hub):
    following = hub.tail()
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    acme.hub.daemon.tail.close()
    with pytest.raises(StopAsyncIteration):
        async with asyncio.timeout(20):
            await waiting


# --- one message -------------------------------------------------------------------------------------------


class Counting:
    """Counts what a reader asks the database."""

    def __init__(self, query: Query) -> None:
        self.query, self.count = query, 0

    def execute(self, sql: str, params: Any = {}) -> Any:  # noqa: B006  as `Query.execute` has it
        self.count += 1
        return self.query.execute(sql, params)


async def test_one_message_is_given_with_its_deliveries_and_changes(full_acme):
    full_acme.provider.will(full_acme.accept("p1"), full_acme.accept("p2"))
    conversation = await full_acme.talk()
    await full_acme.reply(conversation, "one")
    await full_acme.reply(conversation, "x" * 1000)  # in parts
    for number in range(3):
        await full_acme.told("edit", of="m1", text=f"Hello {number}")
    hub, all_of_them = full_acme.hub.daemon.hub, await full_acme.hub.messages(conversation)
    assert [await hub.message(message.id) for message in all_of_them] == all_of_them
    assert len(all_of_them[0].changes) == 3
    assert len(all_of_them[2].deliveries) > 1
    assert await hub.message("nobody's") is None

    def cost(query: Query, message: str) -> int:
        counting = Counting(query)
        readmodels.messages_by_id(counting, [message])
        return counting.count

    costs = {await hub.read(lambda query, id_=message.id: cost(query, id_)) for message in all_of_them}
    assert costs == {2, 3}  # of ours the parts as well


# --- hints ------------------------------------------------------------------------------------------------


async def listening(hub: Hub, topic: str) -> tuple[Any, asyncio.Future[Any]]:
    hints: Any = hub.subscribe(topic)
    waiting = asyncio.ensure_future(anext(hints))
    await asyncio.sleep(0)
    return hints, waiting


async def test_a_hint_comes_to_all_who_listen_as_json_would_bring_it(acme, hub):
    other = acme.hub.daemon.hub.of("other")
    (_, one), (_, two) = await listening(hub, "typing"), await listening(other, "typing")
    _, none = await listening(hub, "else")
    await hub.publish("typing", {"who": ("a", "b"), "state": State.SENT, "on": True})
    said = {"who": ["a", "b"], "state": 20, "on": True}  # the same on this daemon as on another
    assert (await one, await two) == (said, said)
    assert not none.done()
    none.cancel()


async def test_who_reads_slowly_loses_the_oldest_hints(hub):
    hints, waiting = await listening(hub, "many")
    for n in range(151):
        await hub.publish("many", {"n": n})
    assert await waiting == {"n": 51}
    assert [one["n"] for one in await first(hints, 99)] == list(range(52, 151))


async def test_a_hint_is_small_on_every_database(hub):
    with pytest.raises(TooLarge, match="publish an id"):
        await hub.publish("big", {"text": "x" * 7000})


async def test_who_listens_no_more_leaves_nothing_behind(acme, hub):
    hints, waiting = await listening(hub, "typing")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await hints.aclose()
    assert acme.hub.daemon.hints._subscribers == {}


@pytest.mark.needs("postgres")
async def test_hints_go_from_daemon_to_daemon(postgres_with_tables):
    here, there = Hints(postgres_with_tables), Hints(postgres_with_tables)
    ready: dict[str, asyncio.Event] = {"here": asyncio.Event(), "there": asyncio.Event()}
    woken: list[str] = []
    here.heard = lambda loop: ready["here"].set()
    there.heard = lambda loop: (ready["there"].set(), woken.append(loop))[0]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one.run()) for one in (here, there)]
        async with asyncio.timeout(20):
            await ready["here"].wait()
            await ready["there"].wait()  # both listen
            waiting = [asyncio.ensure_future(anext(one.subscribe("typing"))) for one in (here, there)]
            await asyncio.sleep(0)
            here.publish("typing", {"on": 'a "quoted" text'})
            assert [await one for one in waiting] == [{"on": 'a "quoted" text'}] * 2
            here.wake({"lanes"})
            while "lanes" not in woken:
                await asyncio.sleep(0.001)
        for one in running:
            one.cancel()


# --- writing and reading -------------------------------------------------------------------------------------


async def test_a_plugin_has_one_hub(acme, hub):
    assert acme.hub.daemon.hub.of("mine") is hub
    assert acme.hub.daemon.hub.of("other") is not hub


async def test_what_is_written_together_is_one_group_and_an_error_reaches_its_own_caller(hub):
    groups: list[int] = []

    def write(tx: Tx, items: Sequence[str]) -> Sequence[str]:
        groups.append(len(items))
        for item in items:
            if item == "bad":
                raise ValueError("bad")
            tx.execute("INSERT INTO meta (name, value) VALUES (:name, '')", {"name": item})
        return [item.upper() for item in items]

    items = ["a", "b", "bad", "c"]
    results = await asyncio.gather(*(hub.write(write, item) for item in items), return_exceptions=True)
    assert [str(one) for one in results] == ["A", "B", "bad", "C"]
    assert max(groups) > 1
    rows = await hub.read(
        lambda query: query.execute("SELECT name FROM meta WHERE name IN ('a', 'b', 'c') ORDER BY name")
    )
    assert rows == [("a",), ("b",), ("c",)]


async def test_what_a_write_hints_at_happens_after_its_commit(hub):
    seen: list[str] = []
    committed = asyncio.Event()

    def write(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        tx.after_commit(lambda: (seen.append("after"), committed.set())[0])
        seen.append("inside")
        return items

    await hub.write(write, None)
    async with asyncio.timeout(20):
        await committed.wait()
    assert seen == ["inside", "after"]


async def test_who_reads_cannot_write(hub):
    with pytest.raises(StoreDown, match=r"(?i)read.?only"):
        await hub.read(lambda query: query.execute("DELETE FROM message"))


async def test_a_hook_writes_and_reads(start_acme):
    read: list[Any] = []

    class Both:
        @hookimpl
        async def on_inbound_message(self, message: Any, hub: Hub) -> None:
            await hub.write(_noted, message.id)
            read.extend(await hub.read(lambda query: query.execute("SELECT value FROM meta WHERE name = 'mine'")))

    acme = await start_acme(plugins={"both": Both()})
    await acme.wrote("m1", "hello")
    await acme.hub.run_until_idle()
    [message] = await acme.hub.messages(await acme.hub.conversation)
    assert read == [(message.id,)]


def _noted(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    for item in items:
        tx.execute("INSERT INTO meta (name, value) VALUES ('mine', :value)", {"value": item})
    return [None] * len(items)


async def test_whoever_holds_the_writer_by_a_write_is_named(acme, hub):
    gate = threading.Event()

    def hold(tx: Tx, items: Sequence[None]) -> Sequence[None]:
        gate.wait()
        return items

    acme.hub.daemon.stuck_after = 0.0
    writing = asyncio.ensure_future(hub.write(hold, None))
    while not (stuck := acme.hub.daemon.stuck()) or "locals>.hold" not in stuck[0]:
        await asyncio.sleep(0.001)
    gate.set()
    await writing
    assert stuck[0].startswith("plugin:mine: ")


# --- replying and looking --------------------------------------------------------------------------------------


async def test_a_reply_is_repeated_by_its_key_and_not_for_another_text(acme, hub):
    conversation = await acme.hub.conversation
    once = await hub.reply(conversation.id, draft("one"), author="agent:ann", key="k")
    again = await hub.reply(conversation.id, draft("one"), author="agent:ann", key="k")
    assert (again.message, again.repeated) == (once.message, True)
    with pytest.raises(KeyReused):
        await hub.reply(conversation.id, draft("two"), author="agent:ann", key="k")
    with pytest.raises(NotFound):
        await hub.reply("nowhere", draft("one"), author="agent:ann")
    await acme.hub.run_until_idle()
    assert acme.texts == ["one"]


async def test_what_is_there_is_read_as_the_api_serves_it(acme, hub):
    [conversation] = (await hub.conversations(account="shop")).items
    assert await hub.conversation(conversation.id) == conversation
    assert await hub.conversation("nowhere") is None
    assert [message.text for message in await hub.messages(conversation.id)] == ["hello"]
    [contact] = (await hub.contacts(text="6281234567890")).items
    assert await hub.contact(conversation.contact) == contact
    assert [(account.name, account.state.value) for account in hub.accounts] == [("shop", "working")]
    assert (await hub.deliveries(State.FAILED)).items == ()
    with pytest.raises(NotFound):
        await hub.attachment("nowhere")


# --- daemons ------------------------------------------------------------------------------------------------


@pytest.mark.one_file
async def test_on_sqlite_this_daemon_is_the_only_one(start_hub):
    hub = (await start_hub("")).daemon.hub
    assert hub.daemon
    assert await hub.daemons() == {hub.daemon}
