"""The bot answers through each channel, once, whatever fails on the way; the hub, its API and the providers' simulators are real."""

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook

import talkwire_livechat
import talkwire_smsgate
from talkwire.api import make_app
from talkwire.api.principals import create_keys
from talkwire.testing.services import TurnedClock
from talkwire_host_app import OTHERWISE, Bot, answer_to, is_genuine
from tests.parts.ports import free_port

SECRET = "whsec_" + "b3VyIGtleSBvZiB0aGlydHkgdHdvIGJ5dGVzLCBub3c="
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CHANNELS = {"livechat": talkwire_livechat, "smsgate": talkwire_smsgate}


def signed(body, secret=SECRET, at=NOW):
    return {
        "webhook-id": "m-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": f"v1,AAAA {Webhook(secret).sign('m-1', at, body.decode())}",
    }


def test_what_the_library_signs_is_genuine_and_nothing_else():
    body, other = b'{"a": 1}', "whsec_" + "YW5vdGhlciBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="
    assert is_genuine(SECRET, signed(body), body, NOW.timestamp())
    assert not is_genuine(SECRET, signed(body), body + b" ", NOW.timestamp())
    assert not is_genuine(SECRET, signed(body, other), body, NOW.timestamp())
    assert not is_genuine(SECRET, signed(body), body, NOW.timestamp() + 301)
    assert not is_genuine(SECRET, signed(body) | {"webhook-id": "m-2"}, body, NOW.timestamp())
    assert not is_genuine(SECRET, {}, body, NOW.timestamp())


def test_it_knows_two_words():
    assert "9 to 17" in answer_to("What are your HOURS?")
    assert answer_to("Where is my parcel?") == OTHERWISE


@dataclass
class Shop:
    """A daemon with one channel, its customer, and the bot beside it."""

    hub: Any
    simulator: Any
    url: str  # of the simulator
    keys: list  # of the bot's replies

    async def customer_says(self, text):
        await self.simulator.play(self.url, text)
        await self.hub.run_until_idle()

    async def customer_has(self, count):
        async with asyncio.timeout(20):
            while len(found := await self.simulator.received(self.url)) < count:
                await asyncio.sleep(0.01)  # the simulator's phone shows it when it comes
        return found


def toml(value):
    """Write what a simulator says of its account, as an inline table."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    return (
        json.dumps(value, ensure_ascii=False)
        if not isinstance(value, list | tuple)
        else f"[{', '.join(map(toml, value))}]"
    )


@pytest_asyncio.fixture(params=CHANNELS)
async def shop(request, aiohttp_server, start_hub):  # the hub ends first, and its sockets with it
    plugin = CHANNELS[request.param]
    public = f"http://127.0.0.1:{(port := free_port())}"
    (simulator,) = plugin.register_simulators()
    played = await aiohttp_server(simulator.app(f"{public}/in/shop"))
    url = str(played.make_url("")).rstrip("/")
    bot = Bot(public, "", SECRET)
    helpdesk = await aiohttp_server(bot.app())
    account = {"channel": request.param, **simulator.settings(url, f"{public}/in/shop")}
    settings = f"[accounts]\nshop = {toml(account)}\n"
    settings += f'[[webhooks]]\nname = "helpdesk"\nurl = "{helpdesk.make_url("/talkwire")}"\nsecrets = ["{SECRET}"]\n'
    # The bot looks at signatures by the machine's clock.
    clock = TurnedClock(datetime.now(UTC))
    hub = await start_hub(settings, plugins={request.param: plugin}, clock=clock)
    bot.key = await hub.daemon.store.write(create_keys, ("helpdesk", "bot"))
    seen = []

    @web.middleware
    async def noting(request, handler):
        if request.path.endswith("/replies"):
            seen.append((await request.json())["key"])
        return await handler(request)

    app = make_app(hub.daemon)
    app.middlewares.append(noting)
    await aiohttp_server(app, port=port)
    await hub.run_until_idle()
    return Shop(hub, simulator, url, seen)


async def test_a_customer_is_answered_over_the_channel_they_wrote_by(shop):
    await shop.customer_says("What are your hours?")
    assert await shop.customer_has(1) == ["We are here from 9 to 17, Monday to Friday."]
    (key,) = shop.keys
    assert key.startswith("helpdesk-")


async def test_what_is_told_twice_is_answered_once(shop):
    await shop.customer_says("human, please")
    await shop.customer_has(1)
    (fact,) = await shop.hub.facts("message.received")
    await shop.hub.daemon.readers.replay("webhook:helpdesk", fact.seq, wanted=lambda _: True)
    await shop.hub.run_until_idle()
    assert len(shop.keys) == 2
    assert len(set(shop.keys)) == 1
    conversation = await shop.hub.conversation
    assert len(await shop.hub.states(conversation)) == 1
