"""Alarms that are told once: accounts that flap, disks that fill, queues that grow old, lanes that are stuck."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from talkwire import account_states
from talkwire.model import AccountState
from talkwire.oversight import health, watching
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


WEEK = timedelta(weeks=1)


async def wrote_before(acme: AcmeHub, *times: Any) -> None:
    """Let messages have come at these times."""
    await acme.hub.daemon.store.write(_messages, list(times))


async def quiet(acme: AcmeHub) -> list[tuple[Any, ...]]:
    told = await acme.hub.facts("account.quiet")
    return [(fact.account, fact.small["minutes"], fact.small["rule"]) for fact in told]


def busy(end: Any, *, messages: int = 10, minutes: float = 5) -> list[Any]:
    """Give the times of messages that came every few minutes, the last just before `end`."""
    return [end - timedelta(minutes=minutes * n + 1) for n in range(messages)]


@pytest.mark.parametrize(
    ("weeks_ago", "messages", "told"),
    [
        ((1, 2), 10, [("shop", 60, "usual")]),
        ((1, 2), 9, []),  # where few write, silence happens
        ((1,), 10, []),  # one week says little
        ((2, 3), 10, []),
    ],
)
async def test_silence_is_told_where_at_this_time_of_both_weeks_before_many_wrote(acme, weeks_ago, messages, told):
    await acme.wrote("m1", "the last one")
    await look(acme, minutes=59)
    end = acme.hub.clock.now() + timedelta(minutes=1)
    await wrote_before(acme, *(at for n in weeks_ago for at in busy(end - n * WEEK, messages=messages)))
    await look(acme)
    assert await quiet(acme) == []
    await look(acme, minutes=1)
    await look(acme, minutes=5)
    assert [(account, rule) for account, _, rule in await quiet(acme)] == [(one[0], one[2]) for one in told]


async def test_silence_is_told_once_until_somebody_writes_and_shows_meanwhile(acme):
    await acme.wrote("m1", "the last one")
    since, later = acme.hub.clock.now(), acme.hub.clock.now() + timedelta(hours=2)
    await wrote_before(acme, *busy(later - WEEK), *busy(later - 2 * WEEK))
    await look(acme, hours=2)
    for _ in range(3):
        await look(acme, hours=5)  # at night nobody wrote in other weeks; what has begun goes on
    assert await quiet(acme) == [("shop", 120, "usual")]
    health_of = await acme.hub.daemon.store.read(health.of_accounts)
    assert health_of["shop"].silent_since == since

    await acme.wrote("m2", "hello again")
    await look(acme, minutes=1)
    assert await acme.hub.daemon.store.read(health.of_accounts) == {}


async def test_an_account_may_say_itself_how_long_it_may_be_quiet(start_acme):
    acme = await start_acme(more='quiet_after = "6h"')
    await look(acme, hours=5, minutes=59)
    assert await quiet(acme) == []
    await look(acme, minutes=1)
    await look(acme, hours=7)
    assert await quiet(acme) == [("shop", 360, "quiet_after")]  # though nobody ever wrote
    await acme.wrote("m1", "hello")
    await look(acme, minutes=1)
    await look(acme, hours=6)
    assert len(await quiet(acme)) == 2


async def test_an_account_that_may_be_quiet_for_ever_is_never_told(start_acme):
    acme = await start_acme(more='quiet_after = "off"')
    await acme.wrote("m1", "the last one")
    later = acme.hub.clock.now() + timedelta(hours=2)
    await wrote_before(acme, *busy(later - WEEK), *busy(later - 2 * WEEK))
    await look(acme, hours=2)
    assert await quiet(acme) == []


async def test_a_paused_account_is_not_too_quiet(start_acme):
    acme = await start_acme(more='quiet_after = "6h"')
    await acme.hub.daemon.store.write(account_states.pause, ("shop", "holidays"))
    await look(acme, hours=7)
    assert await quiet(acme) == []


def _messages(tx: Any, items: Any) -> list[None]:
    for times in items:
        for n, at in enumerate(times):
            tx.execute(
                "INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at)"
                " VALUES (:id, 'c', :n, 'shop', 'in', 0, 0)",
                {"id": health._id_at(at) + f"7000-8000-{n:012}", "n": n},
            )
    return [None] * len(items)
