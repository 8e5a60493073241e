"""What is called, and what the answers mean."""

import json
from datetime import timedelta

import pytest
import pytest_asyncio

from talkwire import (
    AccountBroken,
    Acknowledge,
    Address,
    AddressChanged,
    MarkupRefused,
    NotSent,
    Option,
    Part,
    Reaction,
    ReadUpTo,
    Receipt,
    Refused,
    SendError,
    State,
    TryLater,
    TypingSignal,
    Uncertain,
    Unreachable,
)
from talkwire.testing import Reply, down, garbage_200, hang_after_acceptance, reset_after_body, says, truncated
from talkwire_telegram.simulator.bot import REACTIONS

from .chats import ANN, GROUP, TOKEN, a_bot, no, outgoing, yes

PNG = b"\x89PNG\r\n\x1a\n and the rest"


@pytest_asyncio.fixture
async def bot():
    async with a_bot() as bot:
        yield bot


def part(text="Hello", **said):
    method = said.pop("method", "sendMessage")
    return Part(text=text, plain=said.pop("plain", ""), payload=json.dumps({"method": method, **said}))


async def failed(bot, given="Hello", **changes):
    with pytest.raises(SendError) as caught:
        await bot.send(given, **changes)
    return caught.value


async def test_a_text_is_sent_with_its_entities_and_its_receipt_names_chat_and_message(bot):
    bold = [{"type": "bold", "offset": 0, "length": 5}]
    receipt = await bot.send(part(entities=bold))
    assert receipt == Receipt(state=State.SENT, external_id="4711:1")
    assert bot.calls == [("sendMessage", {"chat_id": 4711, "text": "Hello", "entities": bold})]


async def test_a_reply_names_what_it_answers_and_goes_without_where_that_is_gone(bot):
    await bot.send("yes", reply_to="4711:12")
    await bot.send("yes", reply_to="cb:77")
    await bot.send("yes", reply_to="-100:12")
    said = [values.get("reply_parameters") for _, values in bot.calls]
    assert said == [{"message_id": 12, "allow_sending_without_reply": True}, None, None]


async def test_a_reply_to_what_is_gone_is_sent_without(bot):
    bot.will(no(400, "Bad Request: message to be replied not found"))
    assert (await bot.send("yes", reply_to="4711:12")).external_id == "4711:1"
    assert ["reply_parameters" in values for _, values in bot.calls] == [True, False]


async def test_a_topic_of_a_group_is_named(bot):
    await bot.send("yes", address=GROUP, thread="42")
    assert bot.calls[0][1] == {"chat_id": -100200, "message_thread_id": 42, "text": "yes"}


async def test_a_direct_message_to_a_channel_is_answered_to_whoever_wrote_it(bot):
    await bot.send("yes", address=GROUP, thread="dm:7000000042", reply_to="-100200:12")
    assert bot.calls[0][1] == {
        "chat_id": -100200,
        "direct_messages_topic_id": 7000000042,
        "text": "yes",
        "reply_parameters": {"message_id": 12, "allow_sending_without_reply": True},
    }


async def test_a_business_message_has_the_external_id_that_the_customers_answer_to_it_names(bot):
    receipt = await bot.send("Shall we keep it?", thread="business:bc-1", reply_to="bc-1:4711:900")
    assert receipt.external_id == "bc-1:4711:1"
    assert bot.calls[0][1]["reply_parameters"]["message_id"] == 900
    await bot.send("yes", thread="business:bc-1", reply_to="bc-2:4711:900")
    assert "reply_parameters" not in bot.calls[1][1]


async def test_a_picture_goes_up_with_its_caption_and_buttons(bot):
    bot.services.store(PNG, name="parcel.png", media_type="image/png", attachment="f1")
    keyboard = [[{"text": "Yes", "callback_data": "y"}]]
    said = part("The parcel", method="sendPhoto", keyboard=keyboard)
    await bot.send(Part(text=said.text, attachment="f1", payload=said.payload))
    ((method, values),) = bot.calls
    assert method == "sendPhoto"
    assert values == {
        "chat_id": 4711,
        "photo": ("parcel.png", PNG),
        "caption": "The parcel",
        "reply_markup": {"inline_keyboard": keyboard},
    }


async def test_a_picture_that_cannot_be_shown_goes_as_a_file(bot):
    bot.services.store(PNG, name="long.png", media_type="image/png", attachment="f1")
    bot.will(no(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"))
    await bot.send(Part(attachment="f1"))
    assert [(method, sorted(values)) for method, values in bot.calls] == [
        ("sendPhoto", ["chat_id", "photo"]),
        ("sendDocument", ["chat_id", "document"]),
    ]


async def test_a_voice_note_to_somebody_who_takes_none_goes_as_a_file(bot):
    bot.services.store(b"OggS", name="voice.ogg", media_type="audio/ogg", attachment="f1")
    bot.will(no(400, "Bad Request: VOICE_MESSAGES_FORBIDDEN"))
    await bot.send(Part(attachment="f1"))
    assert [method for method, _ in bot.calls] == ["sendVoice", "sendDocument"]


async def test_a_file_that_is_gone_is_refused_before_anything_is_sent(bot):
    assert type(await failed(bot, Part(attachment="f9"))) is Refused
    assert bot.calls == []


async def test_a_plain_part_keeps_its_buttons_and_its_file(bot):
    """The core gives a part so after its markup was refused."""
    bot.services.store(b"RIFF", name="a.txt", media_type="text/plain", attachment="f1")
    await bot.send(Part(text="Well?", options=(Option("y", "Yes"), Option("s", "Shop", url="https://a.b"))))
    await bot.send(Part(text="Look", attachment="f1"))
    buttons = [{"text": "Yes", "callback_data": "y"}, {"text": "Shop", "url": "https://a.b"}]
    assert bot.calls[0][1] == {"chat_id": 4711, "text": "Well?", "reply_markup": {"inline_keyboard": [buttons]}}
    assert bot.calls[1] == ("sendDocument", {"chat_id": 4711, "document": ("a.txt", b"RIFF"), "caption": "Look"})


# --- noes ----------------------------------------------------------------------------------------------

NOES = [
    (400, "Bad Request: message text is empty", Refused),
    (400, "Bad Request: chat not found", Unreachable),
    (400, "Bad Request: can't parse entities: Can't find end of the entity", MarkupRefused),
    (400, "Bad Request: ENTITY_BOUNDS_INVALID", MarkupRefused),
    (400, "Bad Request: message thread not found", Refused),
    (401, "Unauthorized", AccountBroken),
    (403, "Forbidden: bot was blocked by the user", Unreachable),
    (403, "Forbidden: user is deactivated", Unreachable),
    (403, "Forbidden: bot was kicked from the group chat", Unreachable),
    (404, "Not Found", AccountBroken),
    (409, "Conflict: terminated by other getUpdates request", TryLater),
    (413, "Request Entity Too Large", Refused),
    (429, "Too Many Requests", TryLater),
    (500, "Internal Server Error", Uncertain),
    (502, "Bad Gateway", Uncertain),
    (504, "Gateway Timeout", Uncertain),
]


@pytest.mark.parametrize(("code", "description", "kind"), NOES, ids=[f"{row[0]} {row[1]}" for row in NOES])
async def test_each_no_means_one_thing_and_is_asked_once(bot, code, description, kind):
    bot.will(no(code, description))
    error = await failed(bot)
    assert type(error) is kind
    assert len(bot.calls) == 1
    assert TOKEN.partition(":")[2] not in f"{error!r}{error.__cause__!r}{error.__context__!r}"


async def test_a_refusal_keeps_the_providers_words(bot):
    bot.will(no(403, "Forbidden: bot was blocked by the user"))
    error = await failed(bot)
    assert (str(error), error.code) == ("Forbidden: bot was blocked by the user", "403")


async def test_a_token_that_telegram_repeats_is_gone_before_its_words_are_cut(bot):
    bot.will(no(400, f"Bad Request: {'x' * 180} {TOKEN}"))
    error = await failed(bot)
    assert str(error).endswith(" …")
    assert TOKEN[:6] not in str(error)


@pytest.mark.parametrize("step", [down(), garbage_200(), reset_after_body(), truncated()], ids=lambda step: step.name)
async def test_what_broke_after_the_call_began_is_uncertain(bot, step):
    bot.will(step)
    assert type(await failed(bot)) is Uncertain
    assert len(bot.provider.shown) == 1


async def test_another_bot_than_before_says_nothing_even_where_a_reply_is_due_before_the_account_is_open(bot):
    bot.services.values["bot"] = "123456"
    error = await failed(bot)
    assert (type(error), bot.calls) == (AccountBroken, [])
    with pytest.raises(AccountBroken):
        await bot.channel.edit(outgoing("You are 2"), "4711:9")
    with pytest.raises(AccountBroken):
        await bot.channel.signal(ANN.value, Reaction("4711:9", "👍"))
    assert bot.calls == []
    bot.services.values["bot"] = TOKEN.partition(":")[0]
    await bot.send("Hello")


async def test_no_answer_in_time_is_uncertain(bot):
    import asyncio

    bot.will(hang_after_acceptance())
    async with asyncio.TaskGroup() as group:
        sent = group.create_task(failed(bot))
        await bot.provider.arrived()
        bot.lent.http.end_time()
    assert type(sent.result()) is Uncertain


async def test_a_yes_that_names_no_message_is_uncertain(bot):
    bot.will(yes(True))
    assert type(await failed(bot)) is Uncertain


async def test_a_message_that_telegram_will_send_later_has_no_number_yet(bot):
    bot.will(yes({"message_id": 0, "chat": {"id": -100200}}))
    assert await bot.send("Hello", address=GROUP) == Receipt(state=State.SENT)


async def test_a_server_that_is_not_there_had_nothing_sent_to_it(bot):
    await bot.provider.__aexit__(None, None, None)
    assert type(await failed(bot)) is NotSent


async def test_a_flood_in_one_chat_stops_that_chat_and_in_two_of_them_the_bot(bot):
    bot.will(no(429, "Too Many Requests: retry after 7", retry_after=7))
    first = await failed(bot)
    assert (type(first), first.after, first.scope) == (TryLater, timedelta(seconds=7), "address")
    bot.will(no(429, "Too Many Requests: retry after 5", retry_after=5))
    other = await failed(bot, address=Address(kind="telegram", value="4712"))
    assert (other.after, other.scope) == (timedelta(seconds=5), "account")
    bot.services.clock.advance(timedelta(seconds=10))
    bot.will(no(429, "Too Many Requests: retry after 3", retry_after=3))
    assert (await failed(bot)).scope == "address"


async def test_a_flood_in_a_group_stops_that_group(bot):
    for chat in ("-100200", "-100300"):
        bot.will(no(429, "Too Many Requests: retry after 30", retry_after=30))
        error = await failed(bot, address=Address(kind="telegram", value=chat))
        assert (error.after, error.scope) == (timedelta(seconds=30), "address")


async def test_a_group_that_moved_is_followed_once_and_the_core_is_told(bot):
    moved = no(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1009)
    bot.will(moved)
    receipt = await bot.send("Hello", address=GROUP, thread="42", reply_to="-100200:5")
    assert receipt.external_id == "-1009:1"
    assert [values for _, values in bot.calls][1] == {"chat_id": -1009, "text": "Hello"}
    new = Address(kind="telegram", value="-1009", name=GROUP.name)
    assert bot.services.admitted == [AddressChanged(old=GROUP, new=new, at=bot.services.clock.now())]
    await bot.send("Again", address=GROUP)
    assert bot.calls[2:] == [("sendMessage", {"chat_id": -1009, "text": "Again"})]
    assert len(bot.services.admitted) == 1


async def test_a_group_that_moves_without_end_is_not_followed_for_ever(bot):
    moved = no(400, "Bad Request: group chat was upgraded", migrate_to_chat_id=-1009)
    bot.will(moved, moved)
    assert type(await failed(bot, address=GROUP)) is Refused
    assert len(bot.provider.shown) == 2


# --- edits and hints -----------------------------------------------------------------------------------


async def test_a_notice_is_replaced_in_place_and_taken_away(bot):
    bot.will(yes({"message_id": 9}), no(400, "Bad Request: message is not modified: …"), yes(), yes())
    bold = [{"type": "bold", "offset": 0, "length": 3}]
    assert await bot.channel.edit(outgoing(part("You are 2", entities=bold)), "4711:9") == Receipt(external_id="4711:9")
    assert await bot.channel.edit(outgoing("You are 2"), "4711:9") == Receipt(external_id="4711:9")
    await bot.channel.edit(outgoing(Part()), "4711:9")
    assert bot.calls == [
        ("editMessageText", {"chat_id": 4711, "message_id": 9, "text": "You are 2", "entities": bold}),
        ("editMessageText", {"chat_id": 4711, "message_id": 9, "text": "You are 2"}),
        ("deleteMessage", {"chat_id": 4711, "message_id": 9}),
    ]


@pytest.mark.parametrize("external_id", ["bc-1:4711:9", "4711:9"], ids=["as it is", "as it was before"])
async def test_a_business_message_is_replaced_and_taken_away_in_the_name_of_the_business(bot, external_id):
    bot.will(yes({"message_id": 9}), yes())
    to = {"thread": "business:bc-1"}
    assert (await bot.channel.edit(outgoing("You are 2", **to), external_id)).external_id == external_id
    assert (await bot.channel.edit(outgoing(Part(), **to), external_id)).external_id == external_id
    of = {"business_connection_id": "bc-1"}
    assert bot.calls == [
        ("editMessageText", {**of, "chat_id": 4711, "message_id": 9, "text": "You are 2"}),
        ("deleteBusinessMessages", {**of, "message_ids": [9]}),
    ]
    with pytest.raises(Refused):
        await bot.channel.edit(outgoing("You are 1", **to), "bc-2:4711:9")
    with pytest.raises(Refused):
        await bot.channel.edit(outgoing("You are 1"), "bc-1:4711:9")


@pytest.mark.parametrize("external_id", ["bc-1:4711:9", "cb:77", ""])
async def test_a_reaction_that_telegram_does_not_take_is_not_said_to_be_shown(bot, external_id):
    with pytest.raises(Refused, match="no reaction"):
        await bot.channel.signal(ANN.value, Reaction(external_id, "👍"))
    assert bot.calls == []


async def test_a_notice_whose_marks_are_refused_is_plain(bot):
    bot.will(no(400, "Bad Request: can't parse entities"), yes({"message_id": 9}))
    bold = [{"type": "bold", "offset": 0, "length": 3}]
    await bot.channel.edit(outgoing(part("You are 2", plain="You are 2", entities=bold)), "4711:9")
    assert [values.get("entities") for _, values in bot.calls] == [bold, None]


async def test_what_is_gone_is_taken_away_and_what_may_not_be_is_refused(bot):
    bot.will(no(400, "Bad Request: message to delete not found"))
    await bot.channel.edit(outgoing(Part()), "4711:9")
    bot.will(no(400, "Bad Request: message can't be deleted for everyone"))
    with pytest.raises(Refused):
        await bot.channel.edit(outgoing(Part()), "4711:9")
    with pytest.raises(Refused):
        await bot.channel.edit(outgoing(Part(attachment="f1")), "4711:9")
    with pytest.raises(Refused):
        await bot.channel.edit(outgoing("You are 1"), "")


async def test_hints_are_passed_on(bot):
    bot.will(yes(), yes(), yes(), yes())
    await bot.channel.signal(ANN.value, TypingSignal())
    await bot.channel.signal(ANN.value, TypingSignal(on=False))
    await bot.channel.signal(ANN.value, ReadUpTo("4711:9"))
    await bot.channel.signal(ANN.value, Reaction("4711:9", "👍"))
    await bot.channel.signal(ANN.value, Reaction("4711:9", ""))
    await bot.channel.signal(ANN.value, Acknowledge("cb:123", "t" * 300))
    assert bot.calls == [
        ("sendChatAction", {"chat_id": 4711, "action": "typing"}),
        ("setMessageReaction", {"chat_id": 4711, "message_id": 9, "reaction": [{"type": "emoji", "emoji": "👍"}]}),
        ("setMessageReaction", {"chat_id": 4711, "message_id": 9, "reaction": []}),
        ("answerCallbackQuery", {"callback_query_id": "123", "text": "t" * 200}),
    ]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("bc-1:4711:900", {"business_connection_id": "bc-1", "chat_id": 4711, "action": "typing"}),
        ("cb:bc-1:77", {"business_connection_id": "bc-1", "chat_id": 4711, "action": "typing"}),
        ("4711:900", {"chat_id": 4711, "action": "typing"}),
        ("cb:77", {"chat_id": 4711, "action": "typing"}),
    ],
)
async def test_that_we_type_is_shown_in_the_chat_in_which_the_customer_was_last(bot, last, said):
    bot.will(yes())
    await bot.channel.signal(ANN.value, TypingSignal(last_inbound=last))
    assert bot.calls == [("sendChatAction", said)]


@pytest.mark.parametrize("last", ["4711:900", "cb:77", "cb:bc-1:77"])
async def test_that_we_have_read_is_said_to_the_customers_of_a_business_alone(bot, last):
    bot.will(yes())
    await bot.channel.signal(ANN.value, ReadUpTo(last))
    await bot.channel.signal(ANN.value, ReadUpTo("bc-1:4711:900"))
    said = {"business_connection_id": "bc-1", "chat_id": 4711, "message_id": 900}
    assert bot.calls == [("readBusinessMessage", said)]


async def test_a_button_that_was_pressed_in_the_name_of_a_business_is_let_go(bot):
    bot.will(yes())
    await bot.channel.signal(ANN.value, Acknowledge("cb:bc-1:123"))
    assert bot.calls == [("answerCallbackQuery", {"callback_query_id": "123"})]


@pytest.mark.parametrize("emoji", ["❤\ufe0f", "🕊\ufe0f", "❤\ufe0f\u200d🔥"], ids=ascii)
async def test_a_reaction_is_named_as_telegram_lists_it_without_what_only_says_how_it_looks(bot, emoji):
    bot.will(yes())
    await bot.channel.signal(ANN.value, Reaction("4711:9", emoji))
    shown = bot.calls[0][1]["reaction"][0]["emoji"]
    assert shown == emoji.replace("\ufe0f", "")
    assert shown in REACTIONS


async def test_a_method_that_an_older_bot_api_server_lacks_does_not_break_the_account(bot):
    bot.will(no(404, "Not Found: method not found"))
    with pytest.raises(Refused, match="method not found"):
        await bot.channel.edit(outgoing(Part(), thread="business:bc-1"), "bc-1:4711:9")


async def test_a_hint_that_is_refused_says_so(bot):
    bot.will(no(400, "Bad Request: REACTION_INVALID"))
    with pytest.raises(Refused, match=r"(?i)reaction_invalid"):
        await bot.channel.signal(ANN.value, Reaction("4711:9", "🦄"))


async def test_a_proxys_page_is_no_part_of_an_error(bot):
    bot.will(says(Reply.text("<html>customer wrote: secret</html>", status=403)))
    assert "secret" not in str(await failed(bot))
