"""On a whole hub: what people write arrives once, whichever way it comes, whatever stops in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from talkwire import draft
from talkwire.errors import AddressUnreachable, Rejected
from talkwire.testing.hub import WholeHub, whole_hub

from .bot_api import TOKEN, BotApi

SAMPLES = Path(__file__).parent / "samples"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
Start = Callable[..., Awaitable[WholeHub]]


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    async with BotApi() as api:
        yield api


def settings(api: BotApi, updates: str) -> str:
    return f"""
[server]
public_url = "https://talk.example.org"
[accounts.bot]
channel = "telegram"
token = "{TOKEN}"
api_url = "{api.url}"
updates = "{updates}"
"""


async def call(hub: WholeHub, api: BotApi, *names: str) -> None:
    """Let Telegram call with these samples, in this order, twice each."""
    for name in names:
        for _ in range(2):
            body = (SAMPLES / f"{name}.json").read_bytes()
            await hub.deliver("bot", body, headers={HEADER: api.webhook["secret_token"]})


async def texts(hub: WholeHub) -> list[str]:
    return [row[0] for row in await hub.rows("SELECT text FROM message ORDER BY n")]


@pytest.fixture
async def called(start_hub: Start, api: BotApi) -> WholeHub:
    """A hub that Telegram calls."""
    hub = await start_hub(settings(api, "webhook"))
    await api.until(lambda: api.webhook)
    await hub.run_until_idle()
    return hub


async def test_what_telegram_calls_with_is_kept_once_and_nothing_that_anybody_else_says(called, api):
    assert api.webhook["url"] == "https://talk.example.org/in/bot"
    await call(called, api, "text", "edited", "reacted", "text_reply")
    with pytest.raises(Rejected):
        await called.deliver("bot", (SAMPLES / "start.json").read_bytes(), headers={HEADER: "guessed"})
    conversation = await called.conversation
    assert conversation.address.value == "42"
    assert conversation.address.name == "Ann Lee"
    messages = await called.messages(conversation)
    assert [message.text for message in messages] == ["Halo 🙏 apa kabar?", "Yes, that one"]
    assert [change.text for change in messages[0].changes] == ["Halo, apa kabar hari ini?"]
    assert len(await called.facts("message.repeated")) == 2
    secret = api.webhook["secret_token"]
    assert not [row for row in await called.rows("SELECT headers, query FROM envelope") if secret in str(row)]


async def test_groups_topics_and_albums_are_told_apart(called, api):
    await call(called, api, "group", "forum", "group_reply_thread", "album_1", "album_2")
    found = {(c.address.value, c.thread): await called.messages(c) for c in await called.conversations()}
    assert sorted(found) == [("-1001234567890", ""), ("-1001234567890", "31"), ("-4001", ""), ("42", "")]
    assert [message.author for message in found["-4001", ""]] == ["Ben"]
    assert [message.group for message in found["42", ""]] == ["13579", "13579"]


async def test_a_button_that_was_pressed_stops_waiting_though_nobody_answers(called, api):
    await call(called, api, "pressed")
    await called.run_until_idle()
    [message] = await called.messages(await called.conversation)
    assert message.text == "Yes, please"
    assert message.blocks[0].id == "order:1:yes"
    assert api.params("answerCallbackQuery") == [{"callback_query_id": "4382bfdwdsb323b2d9"}]


async def test_files_are_fetched_and_one_that_telegram_never_gives_says_why(called, api):
    api.files["BAAC-doc"] = b"%PDF-1.7 " * 100
    await call(called, api, "document", "document_large")
    await called.run_until_idle()
    found = await called.rows("SELECT name, size, media_type, sha256 <> '', error FROM attachment ORDER BY name")
    assert [tuple(row) for row in found] == [
        ("Rechnung 11.pdf", 900, "application/pdf", True, ""),
        ("film.mkv", 3_000_000_000, "video/x-matroska", False, "Telegram does not give the file (File is too big)"),
    ]
    assert api.methods().count("getFile") == 2  # it is not asked for again
    assert await called.rows("SELECT id FROM task") == []


async def test_who_stops_the_bot_is_not_written_to_until_they_come_back(called, api):
    await call(called, api, "text", "blocked")
    conversation = await called.conversation
    assert conversation.answer.code == "address_unreachable"
    with pytest.raises(AddressUnreachable):
        await called.reply(conversation, "Hello?")
    await call(called, api, "unblocked")
    assert (await called.conversation).answer.allowed


async def test_who_writes_to_a_business_is_answered_in_its_name(called, api):
    await call(called, api, "text", "business", "business_owner", "business_bot")
    threads = {c.thread: c for c in await called.conversations()}
    assert sorted(threads) == ["", "business:bc-1"]
    [message] = await called.messages(threads["business:bc-1"])
    assert message.text == "Is it still there?"
    await called.reply(threads["business:bc-1"], replace(draft("Yes"), reply_to=message.id))
    await called.run_until_idle()
    [sent] = api.params("sendMessage")
    assert sent["business_connection_id"] == "bc-1"
    assert sent["chat_id"] == 42
    assert f"bc-1:42:{sent['reply_parameters']['message_id']}" == message.external_id
    assert "message_thread_id" not in sent


async def test_an_answer_to_a_business_message_names_it_and_a_reaction_to_the_bots_own_stays_there(called, api):
    await call(called, api, "business")
    conversation = await called.conversation
    await called.reply(conversation, "Yes. Shall we keep it?")
    await called.run_until_idle()
    [[external_id]] = await called.rows("SELECT external_id FROM delivery")
    ours = int(external_id.removeprefix("bc-1:42:"))
    update = json.loads((SAMPLES / "business.json").read_bytes())
    update["business_message"] |= {"message_id": 902, "text": "Yes please"}
    update["business_message"]["reply_to_message"] = {**update["business_message"], "message_id": ours}
    reacted = json.loads((SAMPLES / "reacted.json").read_bytes())
    reacted["message_reaction"]["message_id"] = ours
    for said in (update, reacted):
        headers = {HEADER: api.webhook["secret_token"]}
        await called.deliver("bot", json.dumps(said).encode(), headers=headers)
    found = {message.text: message for message in await called.messages(conversation)}
    assert found["Yes please"].reply_to == found["Yes. Shall we keep it?"].id
    assert found["Yes. Shall we keep it?"].changes == ()


async def test_who_write_to_a_channel_have_a_conversation_each(called, api):
    await call(called, api, "direct_message", "direct_message_other")
    for conversation in await called.conversations():
        [message] = await called.messages(conversation)
        await called.reply(conversation, f"It comes, {message.author}")
        await called.run_until_idle()
        await called.pass_time(seconds=60)  # they share a chat, and so its rate
    sent = {said["direct_messages_topic_id"]: said["text"] for said in api.params("sendMessage")}
    assert sent == {7000000042: "It comes, Ann", 7000000043: "It comes, Ben"}


async def test_a_group_that_becomes_a_supergroup_stays_one_contact(called, api):
    await call(called, api, "group", "migrated_to", "migrated_from", "group_reply_thread")
    assert [row[0] for row in await called.rows("SELECT count(DISTINCT contact_id) FROM conversation")] == [1]


async def test_what_is_asked_for_arrives_once_across_a_restart_in_the_middle(api, tmp_path, empty_database):
    async with whole_hub(settings(api, "poll"), tmp_path, template=empty_database) as hub:
        await api.write("one", "two")
        await api.all_taken()
        assert await texts(hub) == ["one", "two"]
        assert api.waiting == []
        # It is kept, and Telegram has not heard so: as if the power went between the two.
        api.waiting = [json.loads(row[0]) for row in await hub.rows("SELECT body FROM envelope ORDER BY received_at")]
    await api.write("three")
    assert len(api.waiting) == 3
    async with whole_hub(settings(api, "poll"), tmp_path, template=empty_database) as hub:
        await api.all_taken()
        assert await texts(hub) == ["one", "two", "three"]
        assert (await hub.rows("SELECT state FROM account_state"))[0][0] == "working"


async def test_with_another_bots_token_no_message_is_taken_for_one_that_is_kept(api, tmp_path, empty_database):
    """Its messages have numbers of their own, which begin at 1 again."""
    async with whole_hub(settings(api, "poll"), tmp_path, template=empty_database):
        await api.write("to the first")
        await api.all_taken()
    other = BotApi()
    other.token = "777:another-bot"
    async with other:
        await other.write("to the other")
        said = settings(other, "poll").replace(TOKEN, other.token)
        async with whole_hub(said, tmp_path, template=empty_database) as hub:
            account = hub.daemon.account("bot")
            async with asyncio.timeout(10):
                while account.view.state == "starting":
                    await hub.pass_time(seconds=1)
            assert account.view.state == "broken"
            assert "another bot than before" in account.view.reason
            assert await texts(hub) == ["to the first"]
        assert len(other.waiting) == 1
    async with whole_hub(settings(api, "poll"), tmp_path, template=empty_database) as hub:
        await api.write("to the first again")
        await api.all_taken()
        assert await texts(hub) == ["to the first", "to the first again"]


async def test_a_disturbed_bot_says_why_in_its_health_and_goes_on_when_it_is_over(start_hub, api):
    hub = await start_hub(settings(api, "poll"))
    await api.until(lambda: api.asking)
    await api.write()
    api.refusals = [(409, "Conflict: terminated by other getUpdates request")] * 2
    await api.write()  # wakes the question that waits
    account = hub.daemon.account("bot")

    async def stands(state: str) -> None:
        async with asyncio.timeout(10):
            while account.view.state != state:
                await hub.pass_time(seconds=1)

    await stands("waiting")
    assert "somebody else hears of this bot's messages" in account.view.reason
    asked = len(api.params("getUpdates"))
    await hub.run_until_idle()
    assert len(api.params("getUpdates")) == asked  # it does not spin
    await api.write("Hello")
    await stands("working")
    assert await texts(hub) == ["Hello"]


async def test_a_webhook_that_somebody_took_away_is_set_again_and_people_see_why_for_a_while(called, api):
    account = called.daemon.account("bot")
    api.webhook = {}
    await called.pass_time(minutes=10)
    assert account.view.state == "waiting"
    assert "Telegram called nobody instead of us" in account.view.reason
    assert api.webhook["url"] == "https://talk.example.org/in/bot"
    await call(called, api, "text")
    await called.pass_time(minutes=2)
    assert account.view.state == "working"
    assert await texts(called) == ["Halo 🙏 apa kabar?"]


async def test_of_two_daemons_one_asks(api, tmp_path, postgres_with_tables):
    url = postgres_with_tables
    async with AsyncExitStack() as running:
        hubs = [
            await running.enter_async_context(whole_hub(settings(api, "poll"), tmp_path / name, url=url))
            for name in ("a", "b")
        ]
        await api.write("one")
        await api.all_taken()
        await api.write("two")
        await api.all_taken()
        assert await texts(hubs[0]) == ["one", "two"]
        assert api.most_asking == 1


async def test_of_two_daemons_each_takes_what_telegram_calls_with(api, tmp_path, postgres_with_tables):
    url = postgres_with_tables
    async with AsyncExitStack() as running:
        hubs: list[Any] = [
            await running.enter_async_context(whole_hub(settings(api, "webhook"), tmp_path / name, url=url))
            for name in ("a", "b")
        ]
        await api.until(lambda: api.webhook)
        for hub in hubs:
            await hub.run_until_idle()
            await call(hub, api, "text")
        assert await texts(hubs[0]) == ["Halo 🙏 apa kabar?"]
