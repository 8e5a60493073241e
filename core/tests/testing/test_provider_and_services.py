"""What the kit lends behaves as the real thing does."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import aiohttp
import pytest
import structlog
from aiohttp import web
from pydantic import SecretStr

from talkwire.channel import Channel, Services, Settings
from talkwire.errors import NotFound, NotSent
from talkwire.model import Unread
from talkwire.testing import (
    Answers,
    FakeProvider,
    Logs,
    Reply,
    Sample,
    accept,
    busy,
    deliver,
    in_disorder,
    lend,
    refuse,
    slow,
    unauthorised,
)

ANSWERS = Answers(
    accept=lambda seen, external_id: Reply.text(f"ok {external_id}"),
    harmless=lambda seen: Reply.text("me") if seen.path == "/me" else None,
)


class OwnSettings(Settings):
    url: str
    token: SecretStr
    more: tuple[SecretStr, ...] = ()


class Plain(Channel):
    Settings = OwnSettings


async def say(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(url) as answer:
        return answer.status, await answer.text()


async def test_steps_are_used_up_by_requests_that_show_something() -> None:
    async with FakeProvider(ANSWERS) as gate, aiohttp.ClientSession() as session:
        gate.will(busy(after=7), accept("mine"), refuse(), unauthorised())
        said = [await say(session, gate.url + path) for path in ("/me", "/a", "/b", "/me", "/c", "/d", "/e")]
        assert [status for status, _ in said] == [200, 429, 200, 200, 400, 401, 200]
        assert said[2][1] == "ok mine"
        assert said[6][1] == "ok p1"
        assert [seen.path for seen in gate.shown] == ["/a", "/b", "/c", "/d", "/e"]
        assert {key: seen.path for key, seen in gate.taken.items()} == {"mine": "/b", "p1": "/e"}


async def test_a_slow_provider_answers_when_it_is_told_to() -> None:
    async with FakeProvider(ANSWERS) as gate, aiohttp.ClientSession() as session:
        go = asyncio.Event()
        gate.will(slow(go))
        saying = asyncio.ensure_future(say(session, gate.url))
        await gate.arrived()
        assert not saying.done()
        go.set()
        assert await saying == (200, "ok p1")


async def test_a_mistake_in_the_case_is_kept_for_the_kit_to_show() -> None:
    async with (
        FakeProvider(Answers(accept=lambda seen, key: seen.json()["no"])) as gate,
        aiohttp.ClientSession() as session,
    ):
        assert (await say(session, gate.url))[0] == 599
        assert len(gate.faults) == 1


async def test_deliveries_can_be_repeated_and_reordered() -> None:
    came: list[tuple[str, str, bytes]] = []

    async def endpoint(request: web.Request) -> web.Response:
        came.append((request.rel_url.raw_path_qs, request.headers.get("X-Sig", ""), await request.read()))
        return web.Response(status=200)

    app = web.Application()
    app.router.add_route("*", "/in/{tail:.*}", endpoint)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    samples = [Sample(str(n), body={"n": n}, headers={"X-Sig": "s"}, query={"a b": "ü&"}) for n in range(3)]
    envelopes = in_disorder([sample.raw() for sample in samples], seed=1)
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/in/kit"
        assert await deliver(session, url, envelopes) == (200,) * 6
    await runner.cleanup()
    assert came[0][0] == "/in/kit?a+b=%C3%BC%26"
    assert came[0][1] == "s"
    assert sorted(body for _, _, body in came) == sorted(2 * [sample.raw().body for sample in samples])
    assert envelopes == in_disorder([sample.raw() for sample in samples], seed=1)


async def test_a_channel_alone_is_lent_all_that_the_core_lends() -> None:
    async with lend(Plain, {"url": "http://127.0.0.1:1", "token": "kit-token-1", "more": ["kit-more-2"]}) as lent:
        promised: Services = lent.services
        channel = lent.channel
        assert channel.services is promised
        await channel.keep("cursor", "5", secret=True)
        assert (await channel.kept("cursor"), await channel.kept("other")) == ("5", "")
        await channel.admit([Unread("x")])
        channel.wake("+62")
        await channel.publish("typing", {"on": True})
        picture = lent.services.store(b"png", name="a.png", media_type="image/png")
        assert (await channel.services.attachment(picture.id)).size == 3
        assert b"".join([piece async for piece in channel.services.open_attachment(picture.id)]) == b"png"
        with pytest.raises(NotFound):
            await channel.services.attachment("none")
        with pytest.raises(NotSent):
            _ = [piece async for piece in channel.services.fetch_guarded("http://x.example", limit=1)]
        async with channel.services.exchange("smtp") as exchange:
            exchange.sent("EHLO")
        with pytest.raises(NotSent, match="cannot be connected"):
            await channel.http.get("http://127.0.0.1:1/kit-token-1/kit-more-2")
        assert lent.services.admitted == [Unread("x")]
        assert lent.services.woken == ["+62"]
        assert lent.services.published == [("typing", {"on": True})]
        assert lent.services.exchanges[0].lines == ["> EHLO"]
        assert lent.records[0].request == "GET http://127.0.0.1:1/***/***"
        lent.services.clock.advance(timedelta(days=1))


def test_logs_of_both_kinds_are_heard_and_the_configuration_comes_back() -> None:
    logs, before = Logs(), structlog.get_config()["processors"]
    with logs.listening():
        structlog.get_logger().info("one", value="first")
        logging.getLogger("a.library").debug("two %s", "second")
        try:
            raise ValueError("third")
        except ValueError:
            structlog.get_logger().exception("three")
        logs.logger(account="kit").debug("four", value="fourth")
    text = "\n".join(logs.lines)
    assert all(word in text for word in ("first", "second", "third", "fourth"))
    assert structlog.get_config()["processors"] == before
