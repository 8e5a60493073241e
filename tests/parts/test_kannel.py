"""The real gateway does what the recipes say; and what must not happen elsewhere can happen here."""

import asyncio
import re

import aiohttp
import pytest
from aiohttp import web

from tests.parts.kannel import CONFIG, ESCAPES, SHORT_CODE, kannel

pytestmark = pytest.mark.needs("kannel")
PHONE = "+6281234567890"


class Endpoint:
    """What stands for our `/in/<endpoint>`."""

    def __init__(self):
        self.seen = []
        self.answers = []  # responses to give first; then 200 and nothing
        self.url = ""

    async def take(self, request):
        self.seen.append(request.query)
        return self.answers.pop(0) if self.answers else web.Response()

    async def has(self, count):
        async with asyncio.timeout(20):
            while len(self.seen) < count:
                await asyncio.sleep(0.01)
        return self.seen


@pytest.fixture
async def endpoint(aiohttp_server):
    one = Endpoint()
    app = web.Application()
    app.router.add_get("/in/sms", one.take)
    server = await aiohttp_server(app)
    one.url = f"http://127.0.0.1:{server.port}/in/sms"
    return one


async def send(gateway, text, **more):
    query = {
        "username": gateway.username,
        "password": gateway.password,
        "to": PHONE,
        "text": text,
        "charset": "UTF-8",
        **more,
    }
    async with aiohttp.ClientSession() as session, session.get(gateway.url, params=query) as answer:
        return answer.status, await answer.text()


async def test_messages_come_in_in_both_codings(endpoint):
    async with kannel(endpoint.url, token="t" * 16) as gateway:
        await gateway.say(PHONE, "halo + dunia ü€")
        await gateway.say("6281234567890", "terima kasih 🙏", ucs2=True)
        first, second = await endpoint.has(2)
        assert await gateway.settled() == []
    assert (first["from"], first["to"], first["text"], first["token"]) == (
        PHONE,
        SHORT_CODE,
        "halo + dunia ü€",
        "t" * 16,
    )
    assert (second["from"], second["text"], second["charset"]) == ("6281234567890", "terima kasih 🙏", "UTF-8")
    assert first["id"] != second["id"]


async def test_a_message_that_met_503_comes_again_under_its_id(endpoint):
    endpoint.answers = [web.Response(status=503)]
    async with kannel(endpoint.url) as gateway:
        await gateway.say(PHONE, "halo")
        first, second = await endpoint.has(2)
    assert first == second


async def test_texts_go_out_in_segments_and_are_reported(endpoint):
    async with kannel(endpoint.url) as gateway:
        long, cyrillic = "long words " * 41 + "and end", "ж" * 134
        asked = {"dlr-mask": "31", "dlr-url": f"{endpoint.url}?id=K&code=%d&ts=%T&reason=%A"}
        assert await send(gateway, long, coding="0", **asked) == (202, "0: Accepted for delivery")
        assert (await send(gateway, cyrillic, coding="2"))[0] == 202
        one, two = await gateway.texts(2)
        reports = await endpoint.has(2)
    assert (one.text, one.segments, one.receiver) == (long, 3, PHONE)
    assert (two.text, two.segments) == (cyrillic, 2)
    assert sorted(report["code"] for report in reports) == ["1", "8"]
    assert {report["id"] for report in reports} == {"K"}


async def test_words_in_our_answer_would_reach_the_customer(endpoint):
    """So that a test which sees no stray text has looked where one would be."""
    endpoint.answers = [web.Response(text="OK")]
    async with kannel(endpoint.url, max_messages=1) as gateway:
        await gateway.say(PHONE, "halo")
        assert [text.text for text in await gateway.texts(1)] == ["OK"]


async def test_a_wrong_password_and_a_missing_receiver_are_told_apart(endpoint):
    async with kannel(endpoint.url) as gateway:
        assert await send(gateway, "x", password="wrong") == (403, "Authorization failed for sendsms")
        async with aiohttp.ClientSession() as session:
            query = {"username": gateway.username, "password": gateway.password}
            async with session.get(gateway.url, params=query) as answer:
                assert (answer.status, await answer.text()) == (400, "Missing receiver number, rejected")


def test_operators_are_told_to_configure_what_the_tests_run(pytestconfig):
    readme = (pytestconfig.rootpath / "examples" / "smsgate" / "README.md").read_text()
    [told] = re.findall(r"```ini\n(.*?)```", readme, re.DOTALL)
    ours = settings_of(CONFIG) | {("smsbox", "http-queue-delay"): "10"}  # seconds, of which tests wait only one
    fixed = {name: value for name, value in ours.items() if "{" not in value}
    recipe = settings_of(told)
    assert recipe.keys() <= ours.keys()
    assert {name: value for name, value in recipe.items() if name in fixed} == {
        name: fixed[name] for name in recipe if name in fixed
    }
    assert (recipe["sms-service", "max-messages"], recipe["smsbox", "mo-recode"]) == (
        "0",
        "true",
    )  # defaults of `kannel`
    assert f"?{ESCAPES}&token=" in told


def settings_of(config):
    pairs = {}
    for group in config.strip().split("\n\n"):
        lines = [line.split(" = ", 1) for line in group.splitlines()]
        assert lines[0][0] == "group"
        pairs |= {(lines[0][1], name): value for name, value in lines[1:]}
    return pairs
