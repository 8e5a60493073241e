"""Telegram calls us, or we ask it: what is told, what is compared first, what becomes of what does not work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import pytest

from talkwire import (
    AccountBroken,
    Attachment,
    AttachmentClass,
    Envelope,
    NotSent,
    Refused,
    Rejected,
    SendError,
    TryLater,
    Uncertain,
)
from talkwire.testing import NOON, Lent, lend
from talkwire_telegram.channel import Telegram
from talkwire_telegram.reading import ALLOWED_UPDATES

from .bot_api import TOKEN, BotApi

HEADER = "x-telegram-bot-api-secret-token"
OURS = "https://talk.example.org/in/kit"


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi() as api:
        yield api


def bot(api, **settings):
    return lend(Telegram, {"token": TOKEN, "api_url": api.url, **settings})


def envelope(**headers):
    return Envelope(
        endpoint="kit", method="POST", path="", headers=headers, query=(), body=b"{}", remote="", received_at=NOON
    )


async def rests(lent: Lent, task: asyncio.Future) -> None:
    """Wait until a listener waits for the clock."""
    async with asyncio.timeout(10):
        while not task.done() and lent.services.clock.next_due() is None:
            await asyncio.sleep(0)
    assert not task.done()


# --- called --------------------------------------------------------------------------------------


async def test_telegram_is_told_once_where_to_call_with_what_and_with_which_secret(api):
    async with bot(api) as lent:
        for _ in range(3):
            await lent.channel.open()
        assert api.methods("getWebhookInfo") == ["setWebhook"]
        secret = api.webhook.pop("secret_token")
        assert api.webhook == {
            "url": OURS,
            "max_connections": 40,
            "allowed_updates": [*ALLOWED_UPDATES],
            "drop_pending_updates": False,
        }
        assert TOKEN not in secret
        assert len(secret) == 64
        lent.channel.authenticate(envelope(**{HEADER: secret}))
        for forged in ({}, {HEADER: ""}, {HEADER: secret[:-1]}, {HEADER: secret + "0"}, {HEADER: TOKEN}):
            with pytest.raises(Rejected):
                lent.channel.authenticate(envelope(**forged))
        told = repr(lent.records) + "".join(lent.services.logs.lines)
        assert secret not in told
        assert secret not in lent.services.values.values()


async def test_every_daemon_knows_the_secret_whoever_of_them_told_telegram(api):
    async with bot(api) as one, bot(api) as other:
        await one.channel.open()
        other.channel.authenticate(envelope(**{HEADER: api.webhook["secret_token"]}))


@pytest.mark.parametrize("changed", ["url", "max_connections", "allowed_updates", "secret"])
async def test_what_stands_at_telegram_and_is_not_what_we_want_is_told_anew(api, changed):
    async with bot(api) as lent:
        await lent.channel.open()
        if changed == "secret":  # told by another program: Telegram never says which it is
            lent.services.values.clear()
        else:
            api.webhook |= {"url": "https://other.example", "max_connections": 5, "allowed_updates": ["message"]} | {
                key: value for key, value in api.webhook.items() if key != changed
            }
        await lent.channel.open()
        assert api.methods("getWebhookInfo") == ["setWebhook", "setWebhook"]
        await lent.channel.open()
        assert api.methods("getWebhookInfo") == ["setWebhook", "setWebhook"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no [server] public_url"),
        ("http://talk.example.org/in/kit", "not https"),
        ("https://talk.example.org:9000/in/kit", "443, 80, 88, 8443"),
    ],
)
async def test_where_telegram_cannot_call_it_is_asked_and_whoever_wants_to_be_called_is_told_why_not(url, words):
    async with lend(Telegram, {"token": TOKEN, "updates": "webhook"}) as lent:
        lent.services.webhook_url = url
        with pytest.raises(AccountBroken) as caught:
            await lent.channel.open()
        assert words in str(caught.value)
    async with lend(Telegram, {"token": TOKEN}) as lent:
        lent.services.webhook_url = url
        assert not lent.channel.receiving.is_called
        lent.services.webhook_url = OURS
        assert lent.channel.receiving.is_called


async def test_an_account_that_is_forgotten_takes_back_its_own_webhook_and_nobody_elses(api):
    async with bot(api) as lent:
        await lent.channel.open()
        await lent.channel.removed()
        assert api.webhook == {}
        api.webhook = {"url": "https://other.example"}
        await lent.channel.removed()
        assert api.webhook
        assert api.params("deleteWebhook") == [{"drop_pending_updates": False}]
    async with bot(api, updates="poll") as lent:
        api.webhook, lent.services.webhook_url = {}, ""
        await lent.channel.removed()
    assert len(api.params("deleteWebhook")) == 1


async def test_that_telegram_does_not_reach_us_is_a_reason_that_people_see(api):
    async with bot(api) as lent:
        await lent.channel.open()
        await api.write("Hello")
        api.told = {
            "last_error_date": int(NOON.timestamp()) - 5,
            "last_error_message": "Wrong response: 502 Bad Gateway",
        }
        with pytest.raises(TryLater, match=r"does not reach us .*502.*; 1 updates wait"):
            await anext(lent.channel.listen(""))
        api.told["last_error_date"] -= 3600  # long ago: it goes on by itself
        listening = asyncio.ensure_future(anext(lent.channel.listen("")))
        for looked in (3, 4, 5):
            await rests(lent, listening)
            assert api.methods().count("getWebhookInfo") == looked
            lent.services.clock.advance(timedelta(minutes=10))
        listening.cancel()
        assert api.methods("getWebhookInfo") == ["setWebhook"]


async def test_a_call_that_came_since_says_that_telegram_reaches_us_though_updates_wait(api):
    """Telegram keeps the date of the last failure, and where many write there is always one that waits."""
    async with bot(api) as lent:
        await lent.channel.open()
        await api.write("Hello")
        api.told = {"last_error_date": int(NOON.timestamp()) - 5, "last_error_message": "Connection refused"}
        with pytest.raises(TryLater, match="does not reach us"):
            await anext(lent.channel.listen(""))
        with pytest.raises(Rejected):
            lent.channel.authenticate(envelope(**{HEADER: "guessed"}))
        with pytest.raises(TryLater, match="does not reach us"):
            await anext(lent.channel.listen(""))
        lent.channel.authenticate(envelope(**{HEADER: api.webhook["secret_token"]}))
        listening = asyncio.ensure_future(anext(lent.channel.listen("")))
        await rests(lent, listening)
        listening.cancel()


@pytest.mark.parametrize(
    ("url", "where"), [("https://other.example/hook", "called other.example"), ("", "called nobody")]
)
async def test_that_another_program_took_the_webhook_away_is_a_reason_that_people_see(api, url, where):
    async with bot(api) as lent:
        await lent.channel.open()
        api.webhook = {**api.webhook, "url": url}
        with pytest.raises(TryLater, match=f"{where} instead of us.*a bot of its own"):
            await anext(lent.channel.listen(""))
        assert api.webhook["url"] == OURS
        listening = asyncio.ensure_future(anext(lent.channel.listen("")))
        await rests(lent, listening)  # it is ours again: nothing more to say
        listening.cancel()


async def test_a_token_that_telegram_names_as_the_reason_is_gone_before_the_reason_is_cut(api):
    async with bot(api) as lent:
        await lent.channel.open()
        await api.write("Hello")
        api.told = {"last_error_date": int(NOON.timestamp()), "last_error_message": f"{'x' * 180} {TOKEN}"}
        with pytest.raises(TryLater) as raised:
            await anext(lent.channel.listen(""))
    assert "xxx …); 1 updates wait" in str(raised.value)
    assert TOKEN[:6] not in str(raised.value)


# --- asking --------------------------------------------------------------------------------------


async def test_an_offset_is_told_only_when_what_came_before_it_is_kept(api):
    numbers = await api.write("one", "two")
    async with bot(api, updates="poll") as lent:
        await lent.channel.open()
        async with aclosing(lent.channel.listen("")) as listening:
            batch = await anext(listening)
            assert [json.loads(one.body)["update_id"] for one in batch.envelopes] == numbers
            assert [type(item).__name__ for one in batch.envelopes for item in lent.channel.parse(one)] == [
                "Inbound"
            ] * 2
            assert len(api.params("getUpdates")) == 1
            assert len(api.waiting) == 2  # a crash here would lose nothing
            await api.write("three")
            second = await anext(listening)
    assert [json.loads(one.body)["message"]["text"] for one in second.envelopes] == ["three"]
    first, then = api.params("getUpdates")
    assert first == {"limit": 100, "timeout": 50, "allowed_updates": [*ALLOWED_UPDATES]}
    assert then["offset"] == numbers[-1] + 1


async def test_numbers_that_go_on_lower_after_a_silence_lose_no_update(api):
    await api.write("before", number=900_000)
    async with bot(api, updates="poll") as lent:
        async with aclosing(lent.channel.listen("")) as listening:
            cursor = (await anext(listening)).cursor
            api.patient = False
            assert (await anext(listening)).envelopes == ()  # all is confirmed
            api.patient = True
            await api.write("after", number=17)
            nothing = asyncio.ensure_future(anext(listening))
            await rests(lent, nothing)
            lent.services.clock.advance(timedelta(seconds=1))
            assert len((await nothing).envelopes) == 1
        await api.write("and after a restart that came late", number=18)
        lent.services.clock.advance(timedelta(days=8))
        async with aclosing(lent.channel.listen(cursor)) as listening:
            texts = [json.loads(one.body)["message"]["text"] for one in (await anext(listening)).envelopes]
    assert texts == ["after", "and after a restart that came late"]  # the first again: it was never confirmed


async def test_a_server_that_does_not_wait_is_not_asked_without_a_pause(api):
    api.patient = False
    async with bot(api, updates="poll") as lent, aclosing(lent.channel.listen("")) as listening:
        assert (await anext(listening)).cursor == "0"
        again = asyncio.ensure_future(anext(listening))
        await rests(lent, again)
        assert len(api.params("getUpdates")) == 1
        lent.services.clock.advance(timedelta(seconds=1))
        assert (await again).envelopes == ()


async def test_a_second_program_that_asks_is_a_reason_and_no_spin(api):
    api.refusals = [
        (409, "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running")
    ]
    async with bot(api, updates="poll") as lent:
        with pytest.raises(TryLater) as caught:
            await anext(lent.channel.listen(""))
        assert "somebody else hears of this bot's messages" in str(caught.value)
        assert caught.value.code == "409"
        assert len(api.params("getUpdates")) == 1
        api.webhook = {"url": "https://other.example/hook"}  # that is how it was done
        await api.write("Hello")
        assert len((await anext(lent.channel.listen(""))).envelopes) == 1
        assert api.webhook == {}
        assert "other.example" in "".join(lent.services.logs.lines)


async def test_after_an_answer_that_did_not_come_whole_less_is_asked_for(api):
    async with bot(api, updates="poll") as lent:
        asked = []
        call = lent.channel.bot.call

        async def fails(method, data, **options):
            asked.append(data["limit"])
            if len(asked) < 4:
                raise Uncertain("the answer is larger than 4194304 bytes")
            return await call(method, data, **options)

        lent.channel.receiving._bot = type("Bot", (), {"call": staticmethod(fails)})()
        await api.write(*("x" * 5))
        for _ in range(3):
            with pytest.raises(Uncertain):
                await anext(lent.channel.listen(""))
        async with aclosing(lent.channel.listen("")) as listening:
            await anext(listening)
            await anext(listening)
    assert asked == [100, 25, 6, 1, 2]


async def test_before_we_ask_a_webhook_that_stands_there_is_taken_away_and_its_updates_are_not(api):
    api.webhook = {"url": OURS}
    async with bot(api, updates="poll") as lent:
        await lent.channel.open()
        await lent.channel.open()
    assert api.methods("getWebhookInfo") == ["deleteWebhook"]
    assert api.params("deleteWebhook") == [{"drop_pending_updates": False}]


@pytest.mark.parametrize(
    ("refusal", "error", "words"),
    [
        ((401, "Unauthorized"), AccountBroken, "accounts.kit.token"),
        ((404, "Not Found"), AccountBroken, "accounts.kit.token"),
        ((400, "Bad Request: strange"), AccountBroken, "Strange"),
        ((502, "Bad Gateway"), TryLater, "trouble"),
    ],
)
async def test_a_refusal_says_what_to_do(api, refusal, error, words):
    api.refusals = [refusal]
    async with bot(api, updates="poll") as lent:
        with pytest.raises(error, match=words):
            await anext(lent.channel.listen("0"))


async def test_a_token_that_telegram_repeats_is_gone_before_a_reason_is_cut(api):
    api.refusals = [(400, f"Bad Request: {'x' * 180} {TOKEN}")]
    async with bot(api, updates="poll") as lent:
        with pytest.raises(AccountBroken) as raised:
            await anext(lent.channel.listen("0"))
    assert "xxx" in str(raised.value)
    assert TOKEN[:6] not in str(raised.value)


async def test_a_token_that_telegram_does_not_know_breaks_the_account_at_its_start(api):
    async with bot(api, token="999:wrong") as lent:
        with pytest.raises(AccountBroken, match="BotFather"):
            await lent.channel.open()
        with pytest.raises(AccountBroken):
            await lent.channel.probe()


@pytest.mark.parametrize("updates", ["poll", "webhook"])
async def test_another_bot_is_not_let_into_an_account_whose_messages_are_of_the_one_before(api, updates):
    async with bot(api, updates=updates) as lent:
        await lent.channel.open()
        kept = dict(lent.services.values)
    asked, api.token = len(api.asked), "777:another"
    async with bot(api, updates=updates, token="777:another") as lent:
        lent.services.values |= kept
        with pytest.raises(AccountBroken, match="another bot than before") as raised:
            await lent.channel.open()
    assert len(api.asked) == asked  # nothing was changed at Telegram
    assert "777 instead of 123456" in str(raised.value)
    assert "an account of its own" in str(raised.value)
    assert "talkwire accounts forget kit" in str(raised.value)


async def test_half_a_token_is_no_bots_id_and_is_told_to_nobody(api):
    async with bot(api, token="AAF-half-a-token") as lent:
        lent.services.values["bot"] = "123456"
        with pytest.raises(AccountBroken, match="BotFather") as raised:
            await lent.channel.open()
    assert "AAF" not in str(raised.value)


async def test_a_renewed_token_is_the_same_bots_and_one_that_was_never_taken_binds_nobody(api):
    async with bot(api, token="999:mistyped") as lent:
        with pytest.raises(AccountBroken, match="BotFather"):
            await lent.channel.open()
        kept = dict(lent.services.values)
    for token in ("123456:first", "123456:renewed"):
        api.token = token
        async with bot(api, token=token) as lent:
            lent.services.values |= kept  # at first as before the id was kept
            await lent.channel.open()
            kept = dict(lent.services.values)
    assert token.partition(":")[2] not in repr(kept)


async def test_who_we_are_is_said_in_a_line(api):
    async with bot(api) as lent:
        assert await lent.channel.probe() == "@shop_bot (Shop); Telegram is asked, 0 updates wait there"
        await lent.channel.open()
        assert await lent.channel.probe() == "@shop_bot (Shop); Telegram calls talk.example.org, 0 updates wait there"


@pytest.mark.parametrize("token", ["", "123 456", "123/../x", "123:a?b", "1:ü"])
def test_a_token_that_could_lead_elsewhere_is_refused(token):
    with pytest.raises(ValueError, match="digits, a colon"):
        Telegram.Settings.model_validate({"token": token})


# --- files ---------------------------------------------------------------------------------------


def file(id_, size=None):
    handle = json.dumps({"file_id": id_, "size": size})
    return Attachment(
        id="a", name="a.pdf", media_type="", size=size or 0, sha256="", cls=AttachmentClass.FILE, handle=handle
    )


async def fetched(lent: Lent, attachment: Attachment) -> bytes:
    return b"".join([piece async for piece in lent.channel.fetch(attachment)])


async def test_a_file_is_fetched_in_two_steps_and_its_address_which_holds_the_token_is_told_to_nobody(api):
    api.files["doc 1"] = b"%PDF" * 1000
    async with bot(api) as lent:
        assert await fetched(lent, file("doc 1", 4000)) == b"%PDF" * 1000
        told = repr(lent.records) + "".join(lent.services.logs.lines)
    assert len(lent.records) == 2
    assert TOKEN not in told


@pytest.mark.parametrize(
    ("one", "error", "words"),
    [
        (file("huge", 21_000_000), Refused, "too big"),
        (file("gone"), Uncertain, "temporarily"),
    ],
)
async def test_a_file_that_telegram_does_not_give_is_given_up_or_asked_for_again(api, one, error, words):
    async with bot(api) as lent:
        with pytest.raises(error, match=words):
            await fetched(lent, one)


@pytest.mark.parametrize(("what", "error"), [("temporarily", Uncertain), ("wrong", Refused)])
async def test_a_token_that_telegram_repeats_with_a_file_is_gone_before_its_words_are_cut(api, what, error):
    api.no_file = f"Bad Request: file {what} {'x' * 160} {TOKEN}"
    async with bot(api) as lent:
        with pytest.raises(error) as raised:
            await fetched(lent, file("gone"))
    assert "xxx" in str(raised.value)
    assert TOKEN[:6] not in str(raised.value)


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_where_a_file_does_not_come_its_address_which_holds_the_token_is_not_named(api, status):
    api.files["doc 1"] = b"%PDF"
    api.no_content = status
    async with bot(api) as lent:
        with pytest.raises(SendError) as raised:
            await fetched(lent, file("doc 1", 4))
        told = repr(lent.records) + "".join(lent.services.logs.lines)
    assert TOKEN[:6] not in f"{raised.value} {raised.value!r} {told}"


async def test_a_file_that_a_bot_never_gets_is_not_even_asked_for():
    async with lend(Telegram, {"token": TOKEN}) as lent:
        with pytest.raises(Refused, match=r"has 3000\.0 MB; Telegram gives a bot 20 MB at most"):
            await fetched(lent, file("big", 3_000_000_000))
        assert lent.records == []


async def test_a_file_of_20_mebibytes_is_what_telegram_calls_20_mb(api):
    api.files["film"] = b"m" * 1000
    async with bot(api) as lent:
        lent.channel.receiving._is_official = True
        assert len(await fetched(lent, file("film", 20 * 1024**2))) == 1000
        with pytest.raises(Refused, match="MB at most"):
            await fetched(lent, file("film", 20 * 1024**2 + 1))


async def test_a_file_on_the_disk_of_a_bot_api_server_is_not_read_from_our_own(api):
    async with bot(api) as lent:

        async def local(method, data, **_options):
            return {"file_path": "/etc/passwd"}

        lent.channel.receiving._bot = type("Bot", (), {"call": staticmethod(local)})()
        with pytest.raises(Refused, match="--local"):
            await fetched(lent, file("x"))


async def test_while_telegram_is_away_nothing_was_said():
    async with lend(Telegram, {"token": TOKEN, "api_url": "http://127.0.0.1:9", "updates": "poll"}) as lent:
        with pytest.raises(NotSent):
            await lent.channel.open()
