"""Two daemons on one PostgreSQL: a visitor is at one of them, and both say the same of it."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
import pytest_asyncio

import talkwire_livechat
from talkwire import TypingSignal
from talkwire.api import make_app
from talkwire.testing.hub import whole_hub

from .visits import SETTINGS, Site

pytestmark = pytest.mark.needs("postgres")


@pytest_asyncio.fixture
async def start(postgres_with_tables, tmp_path, aiohttp_client):
    """Lend a starter of daemons on the same database; each can be ended by itself."""
    async with contextlib.AsyncExitStack() as started:

        async def start_one(tokens):
            stack = await started.enter_async_context(contextlib.AsyncExitStack())
            hub = await stack.enter_async_context(
                whole_hub(SETTINGS, tmp_path, plugins={"livechat": talkwire_livechat}, url=postgres_with_tables)
            )
            return Site(hub, await aiohttp_client(make_app(hub.daemon)), tokens=tokens), stack

        yield start_one


async def eventually(true):
    """Wait for what another daemon does."""
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0.01)


async def test_a_reply_reaches_a_visitor_at_whichever_daemon(start):
    tokens = {}
    (one, _), (two, _) = await start(tokens), await start(tokens)
    at_one, at_two = await one.visit("ann"), await two.visit("ann")
    await at_one.says("from the first tab", "1")
    seen = await at_two.gets("message")
    assert (seen["id"], seen["n"]) == ("1", 1)
    talk = await one.talk()
    for site, text in ((one, "by the first daemon"), (two, "by the second")):
        await site.hub.reply(talk, text)
        assert (await at_one.ours())["text"] == (await at_two.ours())["text"] == text
    await two.hub.daemon.hub.signal(talk.id, TypingSignal())
    await at_one.gets("typing")


async def test_leaving_one_daemon_is_no_disconnect_while_the_other_has_a_socket(start):
    tokens = {}
    (one, _), (two, _) = await start(tokens), await start(tokens)
    at_one, at_two = await one.visit("ann"), await two.visit("ann")
    await at_one.ws.close()

    async def left():
        return len(await one.hub.rows("SELECT id FROM livechat_connection")) == 1

    await eventually(left)
    assert (await two.talk()).session == "connected"
    await at_two.ws.close()

    async def disconnected():
        return (await one.talk()).session == "disconnected"

    await eventually(disconnected)


async def test_sockets_of_a_daemon_that_died_are_ended_by_one_that_lives(start, postgres_with_tables):
    tokens = {}
    one, _ = await start(tokens)
    await one.visit("ann")
    with psycopg.connect(postgres_with_tables, autocommit=True) as connection:
        # As a daemon leaves them that was killed: the row stays, its lease has lapsed.
        connection.execute("UPDATE livechat_connection SET daemon = 'killed'")
        connection.execute("INSERT INTO lease (name, owner, until) VALUES ('daemon:killed', 'killed', 0)")
    two, _ = await start(tokens)

    async def buried():
        return await two.hub.rows("SELECT id FROM livechat_connection") == []

    await eventually(buried)
    assert (await two.talk()).session == "disconnected"
