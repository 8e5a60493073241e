"""Lanes: each in order, none in another's way, many of them as quick as few."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import perf_counter
from typing import Any

from talkwire.testing.provider import slow
from talkwire.work import lanes, working
from tests.journeys.acme_hub import SETTINGS, AcmeHub, FullAcme, no


async def customers(acme: AcmeHub, count: int) -> list[Any]:
    """Let so many customers write; gives their conversations, the first first."""
    for n in range(count):
        await acme.wrote(f"m{n}", "Hello", sender=f"62812{n:07}")
    return list(reversed(await acme.hub.conversations()))


def add(tx: Any, items: Any) -> list[None]:
    for tasks in items:
        lanes.add(tx, tasks)
    return [None] * len(items)


def task(group: str, subject: str, ref: str = "x") -> lanes.NewTask:
    return lanes.NewTask(group, subject, "nothing", ref)


async def test_a_lane_keeps_the_order_of_its_messages_whoever_writes_them(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    await asyncio.gather(*(full_acme.hub.reply(conversation, f"{n}") for n in range(25)))
    await full_acme.hub.run_until_idle()
    stored = [m.text for m in await full_acme.hub.messages(conversation) if m.state is not None]
    assert full_acme.texts == stored
    assert sorted(stored, key=int) == [str(n) for n in range(25)]


async def test_eight_lanes_of_an_account_are_served_at_once_and_no_more(full_acme: AcmeHub) -> None:
    go_on = asyncio.Event()
    full_acme.provider.always(slow(go_on))
    for conversation in await customers(full_acme, 12):
        await full_acme.hub.reply(conversation, "Hi")
    while len(full_acme.provider.shown) < 8:
        await full_acme.under_way()
    for _ in range(50):
        await full_acme.hub.daemon.store.read(lambda query: query.one("SELECT 1"))
    assert len(full_acme.provider.shown) == 8
    go_on.set()
    await full_acme.hub.run_until_idle()
    assert len(full_acme.provider.shown) == 12


async def test_a_lane_that_is_held_or_slow_stops_no_other(full_acme: AcmeHub) -> None:
    held, stuck, free = await customers(full_acme, 3)
    go_on = asyncio.Event()
    full_acme.provider.will(no("offline"), slow(go_on))
    await full_acme.reply(held, "held")
    await full_acme.hub.reply(stuck, "stuck")
    await full_acme.under_way()
    while len(full_acme.texts) < 2:
        await full_acme.under_way()
    await full_acme.hub.reply(free, "free")
    while len(full_acme.texts) < 3:
        await full_acme.under_way()
    assert full_acme.texts == ["held", "stuck", "free"]
    go_on.set()
    await full_acme.hub.run_until_idle()


async def test_accounts_take_turns(start_acme: Any) -> None:
    second = SETTINGS.replace("accounts.shop", "accounts.second").format(url="http://127.0.0.1:9", more="")
    acme = await start_acme(channel=FullAcme, settings=second)
    store = acme.hub.daemon.store
    await store.write(add, [task("a", str(n)) for n in range(3)] + [task("b", str(n)) for n in range(5)])
    found, _ = await store.read(lambda query: working._look(query, [("a", 8), ("b", 8)]))
    assert [lane.group for lane in found] == ["a", "b", "a", "b", "a", "b", "b", "b"]


async def test_a_backlog_of_ten_thousand_makes_picking_no_slower(acme: AcmeHub) -> None:
    store = acme.hub.daemon.store
    wanted = [("few", 8), ("many", 8), ("long", 8)]

    async def picking() -> float:
        """Give milliseconds, the least of several looks: others use this machine."""
        took = []
        for _ in range(9):
            began = perf_counter()
            found, _ = await store.read(lambda query: working._look(query, wanted))
            await store.read(lambda query, found=found: lanes.heads(query, [lane.id for lane in found]))  # type: ignore[misc]
            took.append(perf_counter() - began)
        return min(took) * 1000

    await store.write(add, [task("few", "1"), task("many", "1"), task("long", "1")])
    few = await picking()
    await store.write(add, [task("many", str(n)) for n in range(10_000)])
    await store.write(add, [task("long", "1") for _ in range(10_000)])
    assert await picking() < max(10, 20 * few)


async def test_a_task_that_raises_is_tried_again_and_stops_no_other(acme: AcmeHub) -> None:
    done: list[str] = []
    daemon = acme.hub.daemon

    async def work(lane: lanes.Lane) -> None:
        if lane.subject == "bad" and not lane.attempts:
            raise ZeroDivisionError
        done.append(lane.subject)
        await daemon.store.write(end, lane.id)

    daemon.lanes.serve("test", work)
    daemon.leases.want(["test"])
    await daemon.leases.take()
    await daemon.store.write(add, [task("test", "bad"), task("test", "good")])
    await acme.hub.run_until_idle()
    assert done == ["good"]
    assert await acme.column("SELECT last_error FROM lane WHERE subject = 'bad'") == ["ZeroDivisionError in the core"]
    await acme.hub.pass_time(seconds=10)
    assert done == ["good", "bad"]


class LateStore:
    """A store, one of whose answers comes when it is old."""

    def __init__(self, store: Any, *, answer: int) -> None:
        self.answers = 0
        self.seen, self.go_on = asyncio.Event(), asyncio.Event()
        self._store = store
        self._late = answer

    async def read(self, fn: Any) -> Any:
        self.answers += 1
        late = self.answers == self._late
        found = await self._store.read(fn)
        if late:
            self.seen.set()
            await self.go_on.wait()
        return found


async def test_a_look_that_is_older_than_a_lanes_turn_serves_it_no_second_time(acme: AcmeHub) -> None:
    store, clock = acme.hub.daemon.store, acme.hub.daemon.clock
    served: list[str] = []
    finish = asyncio.Event()
    late = LateStore(store, answer=2)

    async def work(lane: lanes.Lane) -> None:
        served.append(lane.subject)
        serving.wake()
        await finish.wait()
        await store.write(end, lane.id)

    serving = working.Lanes(late, clock, acme.hub.daemon.leases)  # type: ignore[arg-type]
    serving.serve("apart", work)
    acme.hub.daemon.leases.want(["apart"])
    await acme.hub.daemon.leases.take()
    await store.write(add, [task("apart", "one")])
    running = asyncio.create_task(serving.pump.run())
    async with asyncio.timeout(20):
        await late.seen.wait()
        finish.set()
        while serving.busy:
            await asyncio.sleep(0)
        late.go_on.set()
        while late.answers < 3 or not serving.pump.idle:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert served == ["one"]


def end(tx: Any, items: Any) -> list[None]:
    for lane, head in lanes.heads(tx, items).items():
        lanes.end(tx, [(lane, head.id)])
    return [None] * len(items)


async def test_a_wake_frees_what_is_held_and_hurries_nothing_that_backs_off(acme: AcmeHub) -> None:
    store = acme.hub.daemon.store
    await store.write(add, [task("test", "held"), task("test", "later")])

    def hold_and_postpone(tx: Any, items: Any) -> list[None]:
        ids = dict(tx.execute("SELECT subject, id FROM lane WHERE grp = 'test'"))
        lanes.hold(tx, ids["held"], "offline", 0)
        lanes.later(tx, ids["later"], acme.hub.clock.now().replace(year=2027), "busy")
        return [None] * len(items)

    def wake(tx: Any, items: Any) -> list[None]:
        lanes.wake(tx, "test", ["held", "later"])
        return [None] * len(items)

    await store.write(hold_and_postpone, None)
    before = dict(await acme.hub.rows("SELECT subject, due FROM lane WHERE grp = 'test'"))
    assert before["held"] is None
    await store.write(wake, None)
    after = dict(await acme.hub.rows("SELECT subject, due FROM lane WHERE grp = 'test'"))
    assert after["later"] == before["later"]
    assert after["held"] is not None


async def test_whoever_looked_before_a_lanes_last_turn_has_nothing_to_do(full_acme: AcmeHub) -> None:
    """Two looks may find a lane due; the one that comes after its turn must not shorten what it waits for."""
    conversation = await full_acme.talk()
    full_acme.provider.will(no("slow_down"))
    await full_acme.reply(conversation, "waits")
    daemon = full_acme.hub.daemon
    [(lane_id, subject)] = await full_acme.hub.rows("SELECT id, subject FROM lane WHERE grp = 'send:shop'")
    before = await full_acme.hub.rows("SELECT due, attempts FROM lane")
    await daemon.lanes._groups["send:shop"].work(lanes.Lane(lane_id, "send:shop", subject, 0, 0))
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["waits"]
    assert await full_acme.hub.rows("SELECT due, attempts FROM lane") == before


async def test_a_look_that_was_under_way_at_the_stop_begins_nothing(acme: AcmeHub) -> None:
    """Else a send would be begun that nobody waits for, and be cut in the middle."""
    store = acme.hub.daemon.store
    served: list[str] = []
    late = LateStore(store, answer=1)

    async def work(lane: lanes.Lane) -> None:
        served.append(lane.subject)

    serving = working.Lanes(late, acme.hub.daemon.clock, acme.hub.daemon.leases)  # type: ignore[arg-type]
    serving.serve("apart", work)
    acme.hub.daemon.leases.want(["apart"])
    await acme.hub.daemon.leases.take()
    await store.write(add, [task("apart", "one")])
    running = asyncio.create_task(serving.pump.run())
    async with asyncio.timeout(20):
        await late.seen.wait()
        await serving.stop(timedelta(seconds=1))
        late.go_on.set()
        while not serving.pump.resting:
            await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert served == []


async def test_a_lane_that_was_emptied_meanwhile_is_not_postponed(acme: AcmeHub) -> None:
    """A lane that is due and has no task would be looked at again and again, without an end."""
    store = acme.hub.daemon.store
    await store.write(add, [task("test", "one")])
    [(lane,)] = await acme.hub.rows("SELECT id FROM lane WHERE grp = 'test'")
    await store.write(end, lane)  # by another daemon
    await store.write(lanes.postpone, (lane, acme.hub.clock.now(), "it failed here"))
    assert await acme.hub.rows("SELECT due, attempts, last_error FROM lane WHERE grp = 'test'") == [(None, 0, "")]
