"""A daemon that is killed or stopped with open sockets: nothing is lost, and no session stays connected for ever."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest_asyncio

from talkwire.instance_keys import new_instance_key

from .processes import Process


@pytest_asyncio.fixture
async def process(tmp_path):
    (tmp_path / "instance.key").write_text(new_instance_key() + "\n")
    (tmp_path / "instance.key").chmod(0o600)
    process = Process(tmp_path)
    await process.make()
    await process.start()
    yield process
    await process.end()


async def hello(process, session, token="", after=0):
    """Come in; gives the socket, the welcome and the texts that follow it."""
    ws = await process.connect(session)
    await ws.send_json({"t": "hello", "protocol": 1, "after": after, **({"token": token} if token else {})})
    welcome = await ws.receive_json(timeout=20)
    texts = []
    while (frame := await ws.receive_json(timeout=20))["t"] != "ready":
        texts.append(frame.get("text"))
    return ws, welcome, texts


async def eventually(process, sql, wanted):
    async with asyncio.timeout(10):
        while process.rows(sql) != wanted:
            await asyncio.sleep(0.02)  # another process works


async def test_a_killed_daemon_keeps_what_it_acknowledged_and_its_sessions_are_found(process):
    async with aiohttp.ClientSession() as session:
        ws, welcome, _ = await hello(process, session)
        await ws.send_json({"t": "message", "id": "1", "text": "before"})
        while (await ws.receive_json(timeout=20))["t"] != "ack":
            pass
        assert process.rows("SELECT session FROM conversation") == [("connected",)]
        await process.kill()
        assert len(process.rows("SELECT id FROM livechat_connection")) == 1, "the socket's row outlives its daemon"

        await process.start()
        await eventually(process, "SELECT session FROM conversation", [("disconnected",)])
        await eventually(process, "SELECT id FROM livechat_connection", [])
        await eventually(process, "SELECT count(*) FROM timer WHERE plugin = 'livechat'", [(1,)])
        _, again, texts = await hello(process, session, welcome["token"])
        assert (again["session"], texts) == ("connected", ["before"])
        assert process.rows("SELECT count(*) FROM timer WHERE plugin = 'livechat'") == [(0,)]


async def test_a_daemon_that_stops_tells_its_visitors_to_come_again(process):
    async with aiohttp.ClientSession() as session:
        ws, _, _ = await hello(process, session)
        stopping = asyncio.create_task(process.stop())
        async with asyncio.timeout(20):
            async for _ in ws:
                pass
        assert ws.close_code == 1012
        assert await stopping == 0
        assert process.rows("SELECT session FROM conversation") == [("disconnected",)]
        assert process.rows("SELECT id FROM livechat_connection") == []
