"""Two daemons on one PostgreSQL: a surface is at one of them, the right to deliver at the other."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
import pytest_asyncio

import talkwire_notify_desktop
from talkwire.api import make_app
from talkwire.testing.hub import whole_hub
from talkwire_notify_desktop import rows

from .surfaces import SETTINGS, Office

pytestmark = pytest.mark.needs("postgres")


@pytest_asyncio.fixture
async def start(postgres_with_tables, tmp_path, aiohttp_client):
    """Lend a starter of daemons on the same database; the first holds the right to deliver."""
    async with contextlib.AsyncExitStack() as started:

        async def start_one():
            plugins = {"notify_desktop": talkwire_notify_desktop}
            hub = await started.enter_async_context(
                whole_hub(SETTINGS, tmp_path, plugins=plugins, url=postgres_with_tables)
            )
            return Office(hub, await aiohttp_client(make_app(hub.daemon)))

        yield start_one


@pytest_asyncio.fixture
async def offices(start):
    holder, other = await start(), await start()
    [(owner,)] = await holder.hub.rows("SELECT owner FROM lease WHERE name = 'notify:desktop'")
    assert owner == holder.hub.daemon.hub.daemon
    other.keys = holder.keys
    await hears(other, holder)
    await hears(holder, other)
    return holder, other


async def hears(office, speaker):
    """Wait until what one daemon says reaches the other: before it listens, hints are lost."""
    hints = office.hub.daemon.hub.subscribe("probe")
    hint = asyncio.ensure_future(anext(hints))
    async with asyncio.timeout(15):
        while not hint.done():
            await speaker.hub.daemon.hub.publish("probe", {})
            await asyncio.wait({hint}, timeout=0.02)
    await hints.aclose()


async def test_a_surface_at_another_daemon_is_told_and_says_that_it_shows_it(offices):
    holder, other = offices
    one = await other.native()
    id_ = await holder.notify()
    assert (await one.shows())["id"] == id_
    assert await holder.decision(id_) == ("handed", "")
    await one.say(type="shown", id=id_)
    await one.echo()
    assert await holder.decision(id_) == ("shown", "")


async def test_an_answer_at_one_daemon_withdraws_at_both(offices):
    holder, other = offices
    here, there = await holder.page(), await other.native()
    id_ = await holder.notify(style="alert")
    assert (await here.shows())["id"] == (await there.shows())["id"] == id_
    assert (await there.answers(id_, "accept"))["type"] == "won"
    assert await here.gets("withdraw") == {"type": "withdraw", "id": id_, "why": "answered", "by": "native:laptop"}
    lost = await here.answers(id_, "decline")
    assert (lost["code"], lost["by"]) == ("already_answered", "native:laptop")


async def test_of_two_answers_at_two_daemons_one_wins(offices):
    holder, other = offices
    surfaces = await holder.page(), await other.native()
    for _ in range(5):
        id_ = await holder.notify(style="alert")
        for surface in surfaces:
            assert (await surface.shows())["id"] == id_
        said = await asyncio.gather(*(surface.answers(id_, "accept") for surface in surfaces))
        assert sorted(frame["type"] for frame in said) == ["lost", "won"]
        [(winner,)] = await holder.hub.rows("SELECT answered_by FROM notification WHERE id = :id", id=id_)
        assert [frame["by"] for frame in said if frame["type"] == "lost"] == [winner]
        for surface in surfaces:
            await surface.until_withdrawn(id_, winner)


async def test_a_lost_hint_is_made_good_by_the_next_look(offices):
    holder, other = offices
    one = await other.native(able=False, why_not="no_daemon")
    id_ = await holder.notify(style="alert")
    await one.say(type="able", able=True)
    await one.echo()  # what was suppressed is not told
    await holder.hub.daemon.hub.write(rows.put_out, (id_, "ann"))  # as `deliver` does, and no hint is heard
    await other.notifier._look()
    assert (await one.shows())["id"] == id_
    await holder.hub.daemon.hub.write(rows.take_in, id_)
    await other.notifier._look()
    assert (await one.gets("withdraw"))["id"] == id_


async def test_surfaces_of_a_daemon_that_died_are_nobodys_and_are_ended(offices, postgres_with_tables):
    holder, other = offices
    one = await other.native()
    await one.say(type="focus", state="idle")
    await one.echo()
    with psycopg.connect(postgres_with_tables, autocommit=True) as connection:
        # As a daemon leaves them that was killed: the row stays, its lease has lapsed.
        connection.execute("UPDATE desktop_surface SET daemon = 'killed'")
        connection.execute("INSERT INTO lease (name, owner, until) VALUES ('daemon:killed', 'killed', 0)")
    id_ = await holder.notify()
    assert await holder.decision(id_) == ("suppressed", "no_surface")
    await holder.notifier._bury()
    assert await holder.hub.rows("SELECT socket, daemon FROM desktop_surface") == [("", "")]
    assert await holder.hub.rows("SELECT id FROM surface") == []
