"""Alarms that are told once: accounts that flap, disks that fill, queues that grow old, lanes that are stuck."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from talkwire import health, watching
from talkwire.model import AccountState
from tests.journeys.acme_hub import AcmeHub, no

TOLD = ("account.working", "account.waiting", "account.flapping", "account.broken")


async def changes(acme: AcmeHub, state: str, seconds: float) -> None:
    """Let the account change, and that hold for a while."""
    acme.shop.change(AccountState(state), "the provider hung up" if state == "waiting" else "")
    await acme.hub.pass_time(seconds=seconds)


async def told(acme: AcmeHub) -> list[tuple[str, Any]]:
    return [(fact.type.removeprefix("account."), fact.small.get("changes")) for fact in await acme.hub.facts(*TOLD)][1:]


async def test_a_change_that_does_not_last_a_minute_is_not_told(acme):
    await changes(acme, "waiting", 59)
    await changes(acme, "working", 300)
    assert await told(acme) == []


async def test_a_change_that_lasts_is_told_once_and_so_is_its_end(acme):
    await changes(acme, "waiting", 61)
    await changes(acme, "working", 61)
    await acme.hub.pass_time(hours=1)
    assert await told(acme) == [("waiting", None), ("working", None)]


async def test_an_account_that_flaps_is_told_once_until_it_holds(acme):
    for _ in range(10):
        await changes(acme, "waiting", 5)
        await changes(acme, "working", 5)
    assert await told(acme) == [("flapping", 6)]
    await acme.hub.pass_time(minutes=2)
    assert await told(acme) == [("flapping", 6), ("working", 20)]


async def test_what_a_person_must_repair_is_told_at_once(acme):
    await changes(acme, "waiting", 5)
    acme.shop.broke("the token is gone")
    await acme.hub.run_until_idle()
    [(state, _)] = await told(acme)
    assert state == "broken"
    [broken] = await acme.hub.facts("account.broken")
    assert broken.small["was"] == "working"  # what was told last, not what lasted for five seconds


async def look(acme: AcmeHub, **units: float) -> None:
    """Let the watch look, after some time."""
    await acme.hub.pass_time(**units)
    acme.hub.daemon.watch.woken()
    await acme.hub.run_until_idle()


async def test_a_queue_that_grows_old_is_told_once_an_episode(full_acme):
    talk = await full_acme.talk()
    full_acme.provider.always(no("nothing_left"))
    await full_acme.reply(talk, "One")
    await look(full_acme, minutes=14)
    assert await full_acme.hub.facts("queue.old") == []
    for _ in range(3):
        await look(full_acme, minutes=5)
    [old] = await full_acme.hub.facts("queue.old")
    assert (old.account, old.small["group"], old.small["tasks"]) == ("shop", "send:shop", 1)

    full_acme.provider.always(full_acme.accept())
    await look(full_acme, minutes=20)
    assert await full_acme.hub.rows("SELECT name FROM meta WHERE name LIKE 'episode:%'") == []


async def test_a_lane_that_fails_for_an_hour_is_told_with_its_conversation(full_acme):
    talk = await full_acme.talk()
    full_acme.provider.always(no("nothing_left"))
    await full_acme.reply(talk, "One")
    await look(full_acme, minutes=59)
    assert await full_acme.hub.facts("lane.stuck") == []
    await look(full_acme, minutes=20)
    await look(full_acme, minutes=20)
    [stuck] = await full_acme.hub.facts("lane.stuck")
    assert (stuck.account, stuck.conversation) == ("shop", talk.id)
    assert stuck.small["lane"] == (await full_acme.hub.rows("SELECT id FROM lane WHERE grp = 'send:shop'"))[0][0]


GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (50, 100, "ok"),
        (9, 100, "ok"),
        (4, 100, "look"),
        (4, 30, "ok"),
        (2, 30, "look"),
        (0.9, 100, "BAD"),
        (6, 4000, "ok"),
    ],
)
def test_how_much_room_is_little_depends_on_the_disk(free, total, level):
    assert health.disk_level(int(free * GIB), int(total * GIB)) == level


async def test_a_disk_that_fills_is_told_once_and_again_after_there_was_room(acme):
    """No disk is filled: the watch is told what there is."""
    if not acme.hub.daemon.watch.folders:
        return  # of PostgreSQL's disk nothing is known

    async def room(free: int) -> None:
        trouble = watching._disks({"1": (free * GIB, 100 * GIB)}, await episodes())
        await acme.hub.daemon.store.write(watching._tell, (acme.hub.daemon.leases, tuple(trouble)))

    async def episodes() -> set[str]:
        return {row[0] for row in await acme.hub.rows("SELECT name FROM meta WHERE name LIKE 'episode:%'")}

    for free in (20, 4, 3, 5, 5, 20, 4):  # 5 GiB are enough to begin with, but not to end it
        await room(free)
    assert [fact.small["free_bytes"] for fact in await acme.hub.facts("disk.low")] == [4 * GIB, 4 * GIB]


async def test_silence_is_unusual_only_where_somebody_wrote_at_this_time_on_other_days(acme):
    now = acme.hub.clock.now()
    await acme.hub.daemon.store.write(_messages, [now - timedelta(days=n, hours=1, minutes=30) for n in range(1, 8)])
    await acme.hub.daemon.store.write(_heard, now - timedelta(hours=2))
    health_of = await acme.hub.daemon.store.read(health.of_accounts)
    assert health_of["shop"].silent_since == now - timedelta(hours=2)

    await acme.hub.daemon.store.write(_heard, now - timedelta(minutes=59))
    assert await acme.hub.daemon.store.read(health.of_accounts) == {}


async def test_a_free_weekend_is_not_unusual(acme):
    now = acme.hub.clock.now()
    await acme.hub.daemon.store.write(_messages, [now - timedelta(days=n, hours=1) for n in range(1, 6)])
    await acme.hub.daemon.store.write(_heard, now - timedelta(hours=2))
    assert await acme.hub.daemon.store.read(health.of_accounts) == {}


def _messages(tx: Any, items: Any) -> list[None]:
    for times in items:
        for n, at in enumerate(times):
            tx.execute(
                "INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at)"
                " VALUES (:id, 'c', :n, 'shop', 'in', 0, 0)",
                {"id": health._id_at(at) + f"7000-8000-{n:012}", "n": n},
            )
    return [None] * len(items)


def _heard(tx: Any, items: Any) -> list[None]:
    for at in items:
        tx.execute("UPDATE account_state SET last_in_at = :at", {"at": int(at.timestamp() * 1_000_000)})
    return [None] * len(items)
