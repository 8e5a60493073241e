"""What is too old goes by itself, in slices that hold nobody up, and nothing goes that is still needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from talkwire import Media, Text
from talkwire.cli.looking import _readers
from talkwire.clock import micros
from talkwire.media.files import Chunks
from talkwire.outbound.queueing import use_files
from talkwire.oversight import evidence
from talkwire.testing.hub import WholeHub
from tests.journeys.acme_hub import AcmeHub, FullAcme
from tests.journeys.listening import listener
from tests.journeys.test_readers import head

BIG = b'{"events": [' + b" " * 300_000 + b"]}"


async def turned(hub: WholeHub, **units: float) -> None:
    """Turn the clock, and purge what is too old then."""
    await hub.run_until_idle()
    hub.clock.advance(timedelta(**units))
    await hub.run_until_idle()
    await hub.daemon.purge.sweep()
    await hub.run_until_idle()


async def count(hub: WholeHub, table: str) -> int:
    [(number,)] = await hub.rows(f"SELECT count(*) FROM {table}")
    return int(number)


async def kept(hub: WholeHub, data: bytes, name: str = "a.txt") -> str:
    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return (await hub.daemon.hub.keep_file(chunks(), name=name, limit=len(data))).id


async def contents(files: Chunks) -> list[str]:
    found, after = await files.walk("")
    while after:
        more, after = await files.walk(after)
        found += more
    return found


# --- what goes ------------------------------------------------------------------------------------------


async def test_envelopes_go_after_fourteen_days_and_their_messages_stay(acme: AcmeHub) -> None:
    await acme.wrote("m1", "Hello")
    await turned(acme.hub, days=13)
    await acme.wrote("m2", "Hello again")
    assert await count(acme.hub, "envelope") == 2
    await turned(acme.hub, days=2)
    assert await count(acme.hub, "envelope") == 1
    assert await count(acme.hub, "message") == 2


async def test_each_kind_goes_at_its_age(acme: AcmeHub) -> None:
    conversation = await acme.talk()
    await acme.hub.reply(conversation, "Good day", key="k1")
    await acme.hub.run_until_idle()
    await acme.reported("nobody's", "delivered")
    assert [await count(acme.hub, table) for table in ("idempotency", "exchange", "report")] == [1, 1, 1]
    await turned(acme.hub, days=6)
    assert [await count(acme.hub, table) for table in ("idempotency", "exchange", "report")] == [1, 1, 1]
    await turned(acme.hub, days=2)
    assert [await count(acme.hub, table) for table in ("idempotency", "exchange", "report")] == [0, 0, 0]


async def test_a_report_that_found_its_part_stays(acme: AcmeHub) -> None:
    acme.provider.will(acme.accept("p1"))
    await acme.reply(await acme.talk(), "Good day")
    await acme.reported("p1", "delivered")
    await turned(acme.hub, days=30)
    assert await count(acme.hub, "report") == 1


async def test_what_was_done_to_a_message_that_is_gone_goes_as_old_as_one(start_acme: Any) -> None:
    acme = await start_acme(settings="[retention]\nmessages_days = 9\n", channel=FullAcme)
    await acme.talk()
    await acme.told("edit", of="m1", text="It is here")
    await turned(acme.hub, days=10)
    assert [await count(acme.hub, table) for table in ("message", "change")] == [0, 0]
    await acme.told("edit", of="m1", text="Late words")
    await acme.hub.run_until_idle()
    await turned(acme.hub, days=8)
    assert await count(acme.hub, "change") == 1
    await turned(acme.hub, days=2)
    assert await count(acme.hub, "change") == 0


async def test_a_session_goes_when_it_has_expired(acme: AcmeHub) -> None:
    await acme.hub.daemon.store.write(_session, micros(acme.hub.clock.now() + timedelta(hours=12)))
    await turned(acme.hub, hours=11)
    assert await count(acme.hub, "session") == 1
    await turned(acme.hub, hours=2)
    assert await count(acme.hub, "session") == 0


def _session(tx: Any, items: Any) -> list[None]:
    for until in items:
        row = {"now": tx.now_us, "until": until}
        tx.execute("INSERT INTO session VALUES ('s', 'key:crm', 'host', :now, :until)", row)
    return [None] * len(items)


async def test_settings_say_how_long(start_acme: Any) -> None:
    acme = await start_acme(settings="[retention]\njournal_days = 1\ntrace_days = 2\n")
    await acme.reply(await acme.talk(), "Good day")
    await turned(acme.hub, hours=25)
    assert [await count(acme.hub, table) for table in ("envelope", "exchange")] == [0, 1]
    await turned(acme.hub, hours=25)
    assert await count(acme.hub, "exchange") == 0


async def test_messages_stay_for_ever_unless_the_settings_say_for_how_long(start_acme: Any) -> None:
    acme = await start_acme(settings="[retention]\nmessages_days = 100\n")
    talk = await acme.talk()
    await acme.reply(talk, "Good day")
    await acme.hub.daemon.store.write(_notification, talk.id)
    await turned(acme.hub, days=99)
    assert await count(acme.hub, "message") == 2
    assert (await acme.hub.conversation).last_text == "Good day"
    await turned(acme.hub, days=2)
    for table in ("message", "delivery", "envelope", "exchange", "notification"):
        assert await count(acme.hub, table) == 0, table
    assert await acme.column("SELECT last_text FROM conversation") == [""]
    await acme.wrote("m9", "Hello again")
    await acme.hub.run_until_idle()
    assert [message.n for message in await acme.hub.messages(await acme.hub.conversation)] == [3]


def _notification(tx: Any, items: Any) -> list[None]:
    row = "INSERT INTO notification (id, recipient, asker, key, conversation, created_at) VALUES ('n', 'ops', 'x', 'k', :c, :now)"
    for conversation in items:
        tx.execute(row, {"c": conversation, "now": tx.now_us})
    return [None] * len(items)


async def test_the_daemon_purges_by_itself_and_rests_between_slices(start_acme: Any) -> None:
    acme = await start_acme(settings="[retention]\njournal_days = 1\n")
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    acme.hub.clock.advance(timedelta(hours=25))
    async with asyncio.timeout(20):
        while await count(acme.hub, "envelope"):
            acme.hub.clock.advance(timedelta(seconds=1))
            await acme.hub.run_until_idle()


# --- the log --------------------------------------------------------------------------------------------


async def test_the_log_is_kept_for_thirty_days_and_goes_from_its_beginning(acme: AcmeHub) -> None:
    await acme.wrote("m1", "Hello")
    await turned(acme.hub, days=29)
    old = await head(acme.hub)
    await acme.wrote("m2", "Hello again")
    await turned(acme.hub, days=2)
    assert next(fact.seq for fact in await acme.hub.facts()) == old + 1


async def test_a_reader_that_is_behind_holds_the_log(acme: AcmeHub) -> None:
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    await acme.hub.daemon.store.write(_slow, 2)
    await acme.hub.daemon.store.write(_facts_are_old, None)
    last = await head(acme.hub)
    await acme.hub.daemon.purge.sweep()
    assert [fact.seq for fact in await acme.hub.facts()] == list(range(3, last + 1))


async def test_a_reader_that_stood_still_for_so_long_is_stopped_told_of_and_holds_the_log_no_longer(
    start_acme: Any,
) -> None:
    heard: list[int] = []
    acme = await start_acme(plugins={"crm": listener("tx", lambda message, fact, tx: heard.append(fact.seq))})
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    told = len(heard)
    await acme.hub.daemon.store.write(_behind, "plugin:crm")
    await acme.hub.daemon.store.write(_facts_are_old, None)
    await acme.hub.daemon.purge.sweep()
    assert await acme.column("SELECT state FROM reader WHERE name = 'plugin:crm'") == ["still"]
    [line] = _readers(await acme.hub.daemon.store.read(evidence.status))
    assert (line.level, line.what) == ("BAD", "reader plugin:crm")
    assert "it took nothing for log_days" in line.text
    [stopped] = await acme.hub.facts("reader.stopped")
    assert stopped.small == {"reader": "plugin:crm", "why": "still"}
    assert [fact.type for fact in await acme.hub.facts()] == ["reader.stopped"]
    await acme.wrote("m2", "Anybody?")
    await acme.hub.run_until_idle()
    assert len(heard) == told  # until the daemon is started again


async def test_a_reader_to_whom_nothing_happened_is_not_stopped(start_acme: Any) -> None:
    heard: list[int] = []
    acme = await start_acme(plugins={"crm": listener("tx", lambda message, fact, tx: heard.append(fact.seq))})
    await turned(acme.hub, days=40)
    await acme.wrote("m1", "Hello")
    await turned(acme.hub, minutes=1)
    assert await acme.column("SELECT state FROM reader WHERE name = 'plugin:crm'") == ["active"]
    assert len(heard) == 1


def _behind(tx: Any, names: Any) -> list[None]:
    """Let a reader be where it was before the first fact, a long time ago."""
    for name in names:
        tx.execute("UPDATE reader SET cursor = 0, moved_at = 0 WHERE name = :name", {"name": name})
    return [None] * len(names)


def _slow(tx: Any, items: Any) -> list[None]:
    """Let somebody have read up to here, a moment ago."""
    for cursor in items:
        row = {"cursor": cursor, "now": tx.now_us}
        tx.execute("INSERT INTO reader (name, cursor, moved_at) VALUES ('webhook:slow', :cursor, :now)", row)
    return [None] * len(items)


def _facts_are_old(tx: Any, items: Any) -> list[None]:
    tx.execute("UPDATE fact SET at = 1")
    return [None] * len(items)


# --- files ----------------------------------------------------------------------------------------------


async def test_an_uploaded_file_that_no_message_used_goes_after_a_day_and_its_content_with_it(acme: AcmeHub) -> None:
    await kept(acme.hub, b"never sent")
    await turned(acme.hub, hours=23)
    assert await count(acme.hub, "attachment") == len(await contents(acme.hub.daemon.files)) == 1
    await turned(acme.hub, hours=2)
    assert await count(acme.hub, "attachment") == len(await contents(acme.hub.daemon.files)) == 0


async def test_a_file_that_a_message_of_ours_uses_stays(acme: AcmeHub) -> None:
    await acme.reply(await acme.talk(), "Good day")
    [message] = await acme.column("SELECT id FROM message WHERE direction = 'out'")
    file = await kept(acme.hub, b"a price list")
    await acme.hub.daemon.store.write(_uses, (file, message))
    await turned(acme.hub, days=3)
    assert await acme.column("SELECT message_id FROM attachment") == [message]
    assert len(await contents(acme.hub.daemon.files)) == 1


def _uses(tx: Any, items: Any) -> list[None]:
    for file, message in items:
        use_files(tx, [(message, (Text("here"), Media(attachment=file), Media(attachment=file)))])
    return [None] * len(items)


async def test_a_large_envelope_s_body_goes_with_it(acme: AcmeHub) -> None:
    await acme.says([{"kind": "message", "id": "m1", "time": acme.now, "from": "628", "text": "x" * 300_000}])
    assert len(await contents(acme.hub.daemon.files)) == 1
    await turned(acme.hub, days=13)
    assert len(await contents(acme.hub.daemon.files)) == 1
    await turned(acme.hub, days=2)
    assert await contents(acme.hub.daemon.files) == []


async def test_a_content_whose_row_is_on_its_way_stays(acme: AcmeHub) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"somebody else's, the same"

    await acme.hub.daemon.files.put(chunks(), 100)
    await acme.hub.daemon.purge.sweep()
    assert len(await contents(acme.hub.daemon.files)) == 1
    await turned(acme.hub, minutes=11)
    assert await contents(acme.hub.daemon.files) == []


# --- nobody waits ------------------------------------------------------------------------------------------


def _fill(tx: Any, items: Any) -> list[None]:
    for first, rows in items:
        tx.many(
            "INSERT INTO envelope (id, body, received_at) VALUES (:id, :body, 1)",
            [(f"00000000-0000-7000-8000-{n:012x}", b"x" * 200) for n in range(first, first + rows)],
        )
    return [None] * len(items)


async def slices_waited_for(acme: AcmeHub, rows: int) -> list[int]:
    """Let customers write while `rows` envelopes are purged; gives how many slices each of them waited for."""
    purge = acme.hub.daemon.purge
    for first in range(0, rows, 10_000):
        await acme.hub.daemon.store.write(_fill, (first, min(10_000, rows - first)))
    sweep = asyncio.create_task(purge.sweep())
    waited: list[int] = []
    while not sweep.done():
        before = purge.slices
        await acme.wrote(f"m{len(waited)}", "Hello")
        waited.append(purge.slices - before)
    await sweep
    assert await acme.column("SELECT count(*) FROM envelope WHERE received_at = 1") == [0]
    assert purge.slices >= rows // 200  # no slice had more
    return waited


@pytest.mark.one_file  # on PostgreSQL another writer takes what customers write
async def test_intake_waits_for_one_slice_of_a_purge_at_most(acme: AcmeHub) -> None:
    waited = await slices_waited_for(acme, 4_000)
    assert len(waited) > 10
    assert max(waited) <= 2, waited  # the one that was under way, and the one that shares its commit


@pytest.mark.prove
@pytest.mark.one_file
async def test_intake_waits_for_one_slice_of_a_purge_of_a_hundred_thousand_rows(acme: AcmeHub) -> None:
    waited = await slices_waited_for(acme, 100_000)
    assert max(waited) <= 2, max(waited)


async def test_a_slice_takes_a_megabyte_of_envelopes_at_most(acme: AcmeHub) -> None:
    purge = acme.hub.daemon.purge
    await purge.sweep()
    empty = purge.slices
    await acme.hub.daemon.store.write(_fill_large, 20)
    await purge.sweep()
    assert await acme.column("SELECT count(*) FROM envelope WHERE received_at = 1") == [0]
    assert purge.slices - 2 * empty >= 4


def _fill_large(tx: Any, items: Any) -> list[None]:
    for rows in items:
        tx.many(
            "INSERT INTO envelope (id, body, received_at) VALUES (:id, :body, 1)",
            [(f"00000000-0000-7000-8000-{n:012x}", b"x" * 250_000) for n in range(rows)],
        )
    return [None] * len(items)


async def test_of_two_daemons_one_purges(start_acme: Any) -> None:
    acme = await start_acme()
    if acme.hub.daemon.store.is_sqlite:
        pytest.skip("one daemon a file")
    other = await start_acme(provider=acme.provider)
    holders = [hub.daemon.leases.holds("purge") for hub in (acme.hub, other.hub)]
    assert holders == [True, False]
    await acme.wrote("m1", "Hello")
    for hub in (acme.hub, other.hub):
        hub.clock.advance(timedelta(days=20))
    await other.hub.daemon.purge.sweep()
    assert await count(acme.hub, "envelope") == 1
    await acme.hub.daemon.purge.sweep()
    assert await count(acme.hub, "envelope") == 0
