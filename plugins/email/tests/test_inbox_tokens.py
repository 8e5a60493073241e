"""Tokens instead of passwords: early, once for all who ask, and none is used before what it needs is kept."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from talkwire import AccountBroken, NotSent, TryLater
from talkwire.testing.provider import Answers, Reply

from .postroom import TODAY, Reader, Reading, mail, settings_of, subjects


class Endpoint:
    """A token endpoint that gives what the test says, or tokens that it counts."""

    def __init__(self):
        self.asked = []
        self.replies = []  # the next ones; then tokens
        self.token = "token-{}".format
        self.more = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    def answer(self, seen):
        self.asked.append(seen.form())
        if self.replies:
            return self.replies.pop(0)
        return Reply.json({"access_token": self.token(len(self.asked)), "expires_in": 3600, **self.more})

    def settings(self, **more):
        return {"token_url": f"{self.url}/token", "client_id": "us", "client_secret": "client-s3cret", **more}


@pytest.fixture
async def endpoint(fake_provider):
    one = Endpoint()
    provider = await fake_provider(Answers(accept=lambda _seen, _id: Reply(), harmless=one.answer))
    one.url = provider.url
    return one


@pytest.fixture
def lend(lend_channel, dovecot, endpoint):
    """Give what lends a channel with tokens: `(channel, services)`."""

    async def make(user="ann@example.test", **oauth):
        oauth = endpoint.settings(**({"refresh_token": "refresh-first"} | oauth))
        settings = settings_of(dovecot, user, oauth=oauth, password=None, since_days=1)
        return await lend_channel(Reading, settings)

    return make


async def test_a_token_is_asked_for_once_and_again_five_minutes_before_its_end(lend, endpoint):
    lent = await lend()
    tokens = lent.channel.tokens
    assert [await tokens.bearer() for _ in range(2)] == ["token-1"] * 2
    lent.services.clock.advance(timedelta(minutes=54))
    assert await tokens.bearer() == "token-1"
    lent.services.clock.advance(timedelta(minutes=1))
    assert await tokens.bearer() == "token-2"
    assert endpoint.asked[0] == {
        "client_id": "us",
        "client_secret": "client-s3cret",
        "grant_type": "refresh_token",
        "refresh_token": "refresh-first",
    }


async def test_all_who_ask_at_once_wait_for_one_answer(lend, endpoint):
    tokens = (await lend()).channel.tokens
    assert await asyncio.gather(*(tokens.bearer() for _ in range(5))) == ["token-1"] * 5
    assert len(endpoint.asked) == 1


async def test_a_replaced_refresh_token_is_kept_as_a_secret_before_it_is_used(lend, endpoint):
    endpoint.more = {"refresh_token": "refresh-second"}
    lent = await lend()
    await lent.channel.tokens.bearer()
    assert json.loads(lent.services.values["refresh-token"])["token"] == "refresh-second"
    assert lent.services.secret_values == {"refresh-token"}
    assert "refresh-first" not in lent.services.values["refresh-token"]
    again = await lend()
    again.services.values.update(lent.services.values)  # a restart
    await again.channel.tokens.bearer()
    assert [form["refresh_token"] for form in endpoint.asked] == ["refresh-first", "refresh-second"]


async def test_a_refresh_token_that_a_person_put_in_since_goes_before_a_kept_one(lend, endpoint):
    endpoint.more = {"refresh_token": "refresh-second"}
    lent = await lend()
    await lent.channel.tokens.bearer()
    again = await lend(refresh_token="refresh-of-a-person")
    again.services.values.update(lent.services.values)
    await again.channel.tokens.bearer()
    assert endpoint.asked[-1]["refresh_token"] == "refresh-of-a-person"


async def test_a_replaced_refresh_token_is_kept_though_nobody_waits_any_more(lend, endpoint):
    endpoint.more = {"refresh_token": "refresh-second"}
    lent = await lend()
    asking = asyncio.ensure_future(lent.channel.tokens.bearer())
    while not endpoint.asked:
        await asyncio.sleep(0)
    asking.cancel()
    await lent.channel.tokens.close()
    assert "refresh-second" in lent.services.values["refresh-token"]
    assert await lent.channel.tokens.bearer() == "token-1"


async def test_without_a_refresh_token_we_ask_in_our_own_name(lend, endpoint):
    endpoint.more = {"refresh_token": "of no use"}
    lent = await lend(refresh_token=None, scope="https://outlook.office365.com/.default")
    await lent.channel.tokens.bearer()
    assert endpoint.asked[0]["grant_type"] == "client_credentials"
    assert endpoint.asked[0]["scope"] == "https://outlook.office365.com/.default"
    assert lent.services.values == {}


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client"])
async def test_a_refusal_for_ever_is_for_a_person(lend, endpoint, code):
    endpoint.replies = [Reply.json({"error": code, "error_description": "refresh-first"}, status=400)]
    lent = await lend()
    with pytest.raises(
        AccountBroken, match=rf"refuses us \({code}\).*accounts\.kit\.oauth.*accounts resume kit"
    ) as caught:
        await lent.channel.tokens.bearer()
    assert "refresh-first" not in str(caught.value)


NOT_NOW = [
    (Reply(status=503), TryLater),
    (Reply(status=429, headers={"Retry-After": "7"}), TryLater),
    (Reply.json({"error": "temporarily_unavailable"}, status=400), TryLater),
    (Reply.text("<html>a portal</html>"), NotSent),
    (Reply.json({"hello": 1}), NotSent),
    (Reply.json([]), NotSent),
    (Reply.json({"access_token": "two\r\nlines"}), NotSent),
]


@pytest.mark.parametrize(("reply", "error"), NOT_NOW)
async def test_an_endpoint_that_gives_no_token_now_is_asked_again(lend, endpoint, reply, error):
    """Never `Uncertain`: of a mail nothing has left, so it may be sent again."""
    endpoint.replies = [reply]
    lent = await lend()
    with pytest.raises(error):
        await lent.channel.tokens.bearer()
    assert await lent.channel.tokens.bearer() == "token-2"


@pytest.mark.parametrize("life", [None, "3600", "soon", -5, 1e300, True])
async def test_whatever_life_a_token_is_said_to_have_it_is_used(lend, endpoint, life):
    endpoint.replies = [Reply.json({"access_token": "t", "expires_in": life})]
    assert await (await lend()).channel.tokens.bearer() == "t"


async def test_a_mailbox_is_read_with_a_token(lend, dovecot, endpoint):
    dovecot.put(user := dovecot.user(), mail(1), at=TODAY)
    endpoint.token = lambda _: dovecot.token(user)
    lent = await lend(user)
    assert subjects(await Reader(lent.channel).caught_up()) == ["parcel 1"]


async def test_a_token_that_the_server_takes_no_more_is_replaced_at_once(lend, dovecot, endpoint):
    dovecot.put(user := dovecot.user(), mail(1), at=TODAY)
    endpoint.token = lambda count: dovecot.token(user, life=-60 if count == 1 else 3600)
    lent = await lend(user)
    assert subjects(await Reader(lent.channel).caught_up()) == ["parcel 1"]
    assert len(endpoint.asked) == 2


async def test_a_server_that_takes_no_token_at_all_is_for_a_person(lend, dovecot, endpoint):
    endpoint.token = lambda _: dovecot.token("somebody.else@example.test", life=-60)
    lent = await lend(dovecot.user())
    with pytest.raises(AccountBroken, match="does not take user"):
        await Reader(lent.channel).batch()


async def test_no_token_is_in_what_was_recorded(lend, endpoint):
    endpoint.more = {"refresh_token": "refresh-second"}
    lent = await lend()
    await lent.channel.tokens.bearer()
    assert lent.records
    said = repr([*lent.records, *lent.services.exchanges, lent.channel.settings])
    assert [word for word in ("token-1", "refresh-first", "refresh-second", "client-s3cret") if word in said] == []
