"""On a whole hub: what becomes of replies to Telegram, whatever it answers."""

from datetime import timedelta

import pytest_asyncio

from talkwire import Address, Buttons, Draft, Inbound, Option
from talkwire.testing import Answers, FakeProvider, Reply, reset_after_body

from .chats import ANN, GROUP, TOKEN, accept, called, no


class Shop:
    """A hub with a bot, at a Bot API that notes when it was called."""

    def __init__(self, hub, provider, times):
        self.hub, self.provider, self._times = hub, provider, times

    @property
    def calls(self):
        return [called(seen) for seen in self.provider.shown]

    def times(self, chat=None):
        return [at for at, to in self._times if chat in (None, to)]

    async def written(self, address=ANN, thread="", number=1):
        """Let somebody write; gives the conversation."""
        said = Inbound(
            external_id=f"{address.value}:{number}", address=address, at=self.hub.clock.now(), text="Hi", thread=thread
        )
        await self.hub.daemon.account("bot").channel.admit([said])
        found = await self.hub.conversations()
        return next(one for one in found if (one.address.value, one.thread) == (address.value, thread))

    async def deliveries(self):
        return await self.hub.rows("SELECT id, state, reason, external_id FROM delivery ORDER BY id")


@pytest_asyncio.fixture
async def shop(start_hub):
    times, hubs, webhook = [], [], {"url": ""}

    def harmless(seen):
        """Answer what an account asks as it begins."""
        method, values = called(seen)
        if method == "setWebhook":
            webhook.update({key: values[key] for key in ("url", "max_connections", "allowed_updates")})
        asked = {"getWebhookInfo": webhook, "setWebhook": True}
        return Reply.json({"ok": True, "result": asked[method]}) if method in asked else None

    def noted(seen, id_):
        times.append((hubs[0].clock.now(), int(called(seen)[1]["chat_id"])))
        return accept(seen, id_)

    async with FakeProvider(Answers(accept=noted, harmless=harmless)) as provider:
        hub = await start_hub(
            f'[server]\npublic_url = "https://talk.example.org"\n[accounts.bot]\nchannel = "telegram"\n'
            f'token = "{TOKEN}"\napi_url = "{provider.url}"\nupdates = "webhook"\n'
        )
        hubs.append(hub)
        await hub.run_until_idle()
        yield Shop(hub, provider, times)


async def test_a_reply_is_sent_and_no_more_is_claimed(shop):
    conversation = await shop.written()
    await shop.hub.reply(conversation, "It arrives on **Friday**")
    await shop.hub.pass_time(hours=1)
    assert await shop.hub.states(conversation) == ["sent"]
    assert shop.calls[0][1]["text"] == "It arrives on Friday"
    assert [row[3] for row in await shop.deliveries()] == ["4711:1"]


async def test_refused_entities_go_once_more_as_plain_text_with_the_buttons(shop):
    conversation = await shop.written()
    shop.provider.will(no(400, "Bad Request: can't parse entities: offset"))
    asked = Buttons(text="**Shall** we?", options=(Option("y", "Yes"),))
    await shop.hub.reply(conversation, Draft(blocks=(asked,)))
    await shop.hub.pass_time(seconds=1)
    (_, first), (_, second) = shop.calls
    assert ("entities" in first, "entities" in second) == (True, False)
    assert second["text"] == "Shall we?"
    assert second["reply_markup"] == first["reply_markup"]
    assert await shop.hub.states(conversation) == ["sent"]


async def test_what_telegram_may_have_taken_is_not_said_again_until_a_person_says_so(shop):
    """Telegram tells nobody what it did with a request, so nothing but a person can settle it."""
    conversation = await shop.written()
    shop.provider.will(reset_after_body())
    await shop.hub.reply(conversation, "Hello")
    await shop.hub.reply(conversation, "Are you there?")
    await shop.hub.pass_time(hours=30)
    assert await shop.hub.states(conversation) == ["uncertain", "sent"]
    assert [values["text"] for _, values in shop.calls] == ["Hello", "Are you there?"]
    (delivery, *_), _ = await shop.deliveries()
    await shop.hub.daemon.replies.settle(delivery, "sent", "agent:ann")
    assert await shop.hub.states(conversation) == ["sent", "sent"]
    assert len(shop.calls) == 2


async def test_a_chat_that_is_told_to_wait_waits_in_all_its_topics_and_others_do_not(shop):
    conversation, topic = await shop.written(GROUP), await shop.written(GROUP, "42", 2)
    other = await shop.written()
    shop.provider.will(no(429, "Too Many Requests: retry after 40", retry_after=40))
    began = shop.hub.clock.now()
    await shop.hub.reply(conversation, "one")
    await shop.hub.run_until_idle()
    await shop.hub.reply(topic, "two")
    await shop.hub.reply(other, "three")
    await shop.hub.pass_time(seconds=39)
    assert [row[2] for row in await shop.deliveries()] == ["rate_limited", "rate_limited", ""]
    await shop.hub.pass_time(seconds=20)
    assert await shop.hub.states(conversation) == await shop.hub.states(topic) == ["sent"]
    assert min(shop.times(int(GROUP.value))) >= began + timedelta(seconds=40)
    (to_other,) = shop.times(4711)
    assert to_other < began + timedelta(seconds=1)


def most_in(times, window):
    return max(sum(begin <= at < begin + window for at in times) for begin in times)


async def test_no_group_gets_more_than_20_messages_in_any_minute_and_no_person_more_than_one_a_second(shop):
    group, ann = await shop.written(GROUP), await shop.written()
    for number in range(28):
        await shop.hub.reply(group, f"{number}")
    for number in range(8):
        await shop.hub.reply(ann, f"{number}")
    await shop.hub.pass_time(minutes=3)
    assert (len(shop.times(int(GROUP.value))), len(shop.times(4711))) == (28, 8)
    assert most_in(shop.times(int(GROUP.value)), timedelta(minutes=1)) <= 20
    assert most_in(shop.times(4711), timedelta(seconds=10)) <= 10 + 3


async def test_no_more_than_30_messages_go_out_in_any_second(shop):
    chats = [Address(kind="telegram", value=f"{5000 + number}") for number in range(40)]
    at = shop.hub.clock.now()
    said = [Inbound(external_id=f"{chat.value}:1", address=chat, at=at, text="Hi") for chat in chats]
    await shop.hub.daemon.account("bot").channel.admit(said)
    for conversation in await shop.hub.conversations():
        await shop.hub.reply(conversation, "Hello")
    await shop.hub.pass_time(seconds=3)
    assert len(shop.times()) == 40
    assert most_in(shop.times(), timedelta(seconds=1)) <= 30


async def test_a_group_that_moved_gets_its_message_once_and_is_one_contact_with_the_new(shop):
    conversation = await shop.written(GROUP)
    shop.provider.will(no(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1009))
    await shop.hub.reply(conversation, "Hello")
    await shop.hub.run_until_idle()
    assert [values["chat_id"] for _, values in shop.calls] == [int(GROUP.value), -1009]
    assert await shop.hub.states(conversation) == ["sent"]
    moved = await shop.written(Address(kind="telegram", value="-1009"), number=7)
    contact = await shop.hub.conversations()
    assert {one.contact for one in contact} == {moved.contact}


async def test_somebody_who_blocked_the_bot_cannot_be_answered_until_they_write(shop):
    conversation = await shop.written()
    shop.provider.will(no(403, "Forbidden: bot was blocked by the user"))
    await shop.hub.reply(conversation, "Hello")
    await shop.hub.run_until_idle()
    (found,) = await shop.hub.conversations()
    assert (found.answer.code, found.answer.icon) == ("address_unreachable", "warning")
    assert await shop.hub.states(conversation) == ["failed"]
    await shop.written(number=2)
    assert (await shop.hub.conversation).answer.allowed
