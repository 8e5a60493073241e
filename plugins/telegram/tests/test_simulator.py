"""The simulator is the Bot API to us and Telegram to people; its answers and updates are what the Bot API describes."""

import ast
import asyncio
import io
import json
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from talkwire_telegram import simulator as package
from talkwire_telegram.simulator import (
    BOT,
    BUDI,
    CONNECTION,
    DEWI,
    DIRECT,
    FORUM,
    GROUP,
    OWNER,
    SITI,
    Limits,
    Messenger,
    files,
    markup,
    simulator,
)
from talkwire_telegram.simulator.customer import KINDS, Impossible
from talkwire_telegram.simulator.refusal import Refusal

from .contract import description, faults, result_faults

TOKEN = "7100000001:sim-token-0123456789"
CHAT = BUDI["id"]
SECRET = "X-Telegram-Bot-Api-Secret-Token"


@pytest.fixture
def clock():
    class Clock:
        now = 1_790_000_000.0

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def messenger(clock):
    return Messenger(token=TOKEN, now=clock, slow=0.01, retry_every=0.01)


@pytest.fixture
async def client(messenger, aiohttp_client):
    return await aiohttp_client(messenger.app())


@pytest.fixture
def bot(client):
    """Call a method; what comes back must be what the Bot API describes."""

    async def call(method, form=None, **given):
        body = {"data": form} if form is not None else {"json": given}
        async with client.post(f"/bot{TOKEN}/{method}", **body) as answer:
            said = await answer.json()
        if said["ok"]:
            assert [one for one in result_faults(method, said["result"]) if "drum_solo" not in one] == []
            return said["result"]
        assert answer.status == said["error_code"]
        assert faults(said.get("parameters", {}), "ResponseParameters") == []
        return said

    return call


async def heard(bot, offset=0, **given):
    """Ask for updates."""
    return await bot("getUpdates", offset=offset, **given)


def parts(**fields):
    form = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, bytes):
            form.add_field(name, io.BytesIO(value), filename=f"{name}.png", content_type="image/png")
        else:
            form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    return form


# --- what the bot says -------------------------------------------------------------------------------------------


async def test_a_message_reaches_the_customer_with_its_entities_and_its_keyboard(bot, messenger):
    keyboard = {
        "inline_keyboard": [[{"text": "Yes", "callback_data": "y"}], [{"text": "Shop", "url": "https://shop.example"}]]
    }
    entities = [{"type": "bold", "offset": 3, "length": 5}]
    sent = await bot("sendMessage", chat_id=CHAT, text="🎉 today", entities=entities, reply_markup=keyboard)
    [line] = messenger.everything()["messages"]
    assert line["message"] == sent
    assert (sent["text"], sent["entities"], sent["reply_markup"]) == ("🎉 today", entities, keyboard)
    assert not line["mine"]


@pytest.mark.parametrize("how", ["form", "query", "multipart"])
async def test_a_request_may_come_in_any_form(client, messenger, how):
    given = {"chat_id": str(CHAT), "text": "Halo", "entities": '[{"type":"bold","offset":0,"length":4}]'}
    url = f"/bot{TOKEN}/SENDmessage"
    if how == "query":
        answer = await client.get(url, params=given)
    else:
        answer = await client.post(url, data=given if how == "form" else parts(**given))
    assert (await answer.json())["result"]["entities"][0]["length"] == 4


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("abc", {"type": "bold", "offset": 1, "length": 3}),
        ("a🎉", {"type": "bold", "offset": 2, "length": 1}),
        ("a🎉", {"type": "bold", "offset": 0, "length": 2}),
        ("abc", {"type": "bold", "offset": -1, "length": 2}),
        ("abc", {"type": "bold", "offset": 0, "length": 0}),
        ("abc", {"type": "heading", "offset": 0, "length": 1}),
        ("abc", {"type": "text_link", "offset": 0, "length": 1, "url": "no address"}),
        ("abc", {"type": "bold", "offset": True, "length": 1}),
        ("abc", "bold"),
    ],
)
async def test_entities_that_make_no_sense_are_refused(bot, messenger, text, entity):
    refused = await bot("sendMessage", chat_id=CHAT, text=text, entities=[entity])
    assert refused["error_code"] == 400
    assert "can't parse entities" in refused["description"]
    assert messenger.everything()["messages"] == []


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        (("bold", 0, 4), ("italic", 0, 4), True),
        (("bold", 0, 4), ("italic", 2, 4), False),
        (("blockquote", 0, 6), ("bold", 1, 2), True),
        (("blockquote", 0, 6), ("blockquote", 1, 2), False),
        (("bold", 0, 4), ("code", 1, 2), False),
        (("pre", 0, 4), ("bold", 1, 2), False),
        (("pre", 0, 4), ("blockquote", 1, 2), False),
        (("blockquote", 0, 6), ("code", 1, 2), True),
        (("blockquote", 0, 6), ("pre", 0, 6), True),
        (("bold", 0, 3), ("code", 3, 3), True),
    ],
)
def test_entities_lie_in_one_another_as_the_documentation_allows(one, other, may):
    entities = [{"type": kind, "offset": offset, "length": length} for kind, offset, length in (other, one)]
    if not may:
        with pytest.raises(Refusal, match="can't parse entities"):
            markup.checked_entities("abcdef", entities)
        return
    found = markup.checked_entities("abcdef", entities)
    assert [entity["offset"] for entity in found] == sorted(entity["offset"] for entity in entities)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"text": "  "}, "message text is empty"),
        ({"text": "🎉" * 2049}, "message is too long"),
        ({"text": "x", "chat_id": 1}, "chat not found"),
        ({"text": "x", "chat_id": "nobody"}, "chat not found"),
        ({"text": "x", "message_thread_id": 9}, "message thread not found"),
        ({"text": "x", "reply_parameters": {"message_id": 9}}, "message to be replied not found"),
        ({"text": "x", "parse_mode": "MarkdownV2"}, "parse_mode"),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "y", "callback_data": "é" * 33}]]}},
            "BUTTON_DATA_INVALID",
        ),
        ({"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "y"}]]}}, "text buttons are unallowed"),
        ({"text": "x", "reply_markup": {"inline_keyboard": [[{"text": " ", "callback_data": "y"}]]}}, "empty"),
        ({"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "y", "url": "nowhere"}]]}}, "URL is invalid"),
        ({"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "y", "url": "http://a/b"}]]}}, "URL is invalid"),
        (
            {"text": "x", "reply_markup": {"inline_keyboard": [[{"text": "y", "url": "https://[::1/"}]]}},
            "URL is invalid",
        ),
    ],
)
async def test_what_telegram_does_not_take_is_refused_with_its_words(bot, messenger, given, words):
    refused = await bot("sendMessage", **{"chat_id": CHAT, **given})
    assert refused["error_code"] == 400
    assert words in refused["description"]
    assert messenger.everything()["messages"] == []


async def test_4096_units_of_utf_16_pass(bot):
    assert (await bot("sendMessage", chat_id=CHAT, text="🎉" * 2048))["text"] == "🎉" * 2048


async def test_only_the_token_opens_the_bot(client):
    for token, status in (("7100000001:wrong", 401), (TOKEN, 200)):
        async with client.post(f"/bot{token}/getMe") as answer:
            assert answer.status == status
    async with client.post(f"/bot{TOKEN}/flyAway") as answer:
        assert answer.status == 404
    async with client.post(
        f"/bot{TOKEN}/sendMessage", data=b"[", headers={"Content-Type": "application/json"}
    ) as answer:
        assert answer.status == 400


async def test_a_photo_is_kept_and_can_be_fetched(bot, client, messenger):
    sent = await bot(
        "sendPhoto",
        parts(
            chat_id=str(CHAT),
            photo=files.picture(1),
            caption="*The* cup",
            caption_entities=[{"type": "bold", "offset": 1, "length": 3}],
        ),
    )
    [size] = sent["photo"]
    assert (size["width"], size["height"], sent["caption"]) == (240, 180, "*The* cup")
    found = await bot("getFile", file_id=size["file_id"])
    async with client.get(f"/file/bot{TOKEN}/{found['file_path']}") as answer:
        assert await answer.read() == files.picture(1)
    async with client.get(f"/file/bot7100000001:wrong/{found['file_path']}") as answer:
        assert answer.status == 401
    async with client.get(f"/sim/files/{size['file_id']}") as answer:
        assert answer.content_type == "image/png"
    again = await bot("sendPhoto", chat_id=CHAT, photo=size["file_id"])
    assert again["photo"] == sent["photo"]


@pytest.mark.parametrize("kind", ["document", "video", "audio", "voice", "animation"])
async def test_files_of_each_kind_are_taken(bot, kind):
    sent = await bot(f"send{kind.capitalize()}", parts(chat_id=str(CHAT), **{kind: b"content"}))
    assert sent[kind]["file_size"] == 7


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"no picture", "IMAGE_PROCESS_FAILED"),
        (files.picture(0, 210, 10), "PHOTO_INVALID_DIMENSIONS"),
        (b"", "non-empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 10 * 1024**2, "file is too big"),
        ("https://elsewhere.example/cup.png", "failed to get HTTP URL content"),
        ("attach://nothing", "file part is missing"),
        ("AgAC", "wrong file identifier"),
    ],
    ids=["no picture", "too long", "empty", "too big", "elsewhere", "not there", "unknown"],
)
async def test_a_photo_that_telegram_cannot_show_is_refused(bot, photo, words):
    refused = await bot("sendPhoto", parts(chat_id=str(CHAT), photo=photo))
    assert words in refused["description"]


async def test_an_album_is_one_request_and_several_messages(bot, messenger):
    media = [{"type": "photo", "media": "attach://a", "caption": "Two"}, {"type": "photo", "media": "attach://b"}]
    sent = await bot("sendMediaGroup", parts(chat_id=str(CHAT), media=media, a=files.picture(0), b=files.picture(1)))
    assert len({one["media_group_id"] for one in sent}) == 1
    assert [one.get("caption") for one in sent] == ["Two", None]
    refused = await bot("sendMediaGroup", parts(chat_id=str(CHAT), media=media[:1], a=files.picture(0)))
    assert refused["error_code"] == 400


async def test_places_and_people_are_shown(bot):
    place = {"latitude": -6.9, "longitude": 107.6}
    assert (await bot("sendLocation", chat_id=CHAT, **place))["location"] == place
    assert (await bot("sendVenue", chat_id=CHAT, **place, title="Kopi Kita", address="Braga 12"))["venue"][
        "title"
    ] == "Kopi Kita"
    assert (await bot("sendContact", chat_id=CHAT, phone_number="+62", first_name="Siti"))["contact"][
        "first_name"
    ] == "Siti"
    assert (await bot("sendLocation", chat_id=CHAT, latitude=91, longitude=0))["error_code"] == 400


async def test_a_message_is_edited_once_and_taken_away(bot, messenger):
    sent = await bot("sendMessage", chat_id=CHAT, text="You are number 2")
    where = {"chat_id": CHAT, "message_id": sent["message_id"]}
    assert (await bot("editMessageText", **where, text="You are next"))["text"] == "You are next"
    assert "message is not modified" in (await bot("editMessageText", **where, text="You are next"))["description"]
    keyboard = {"inline_keyboard": [[{"text": "Leave", "callback_data": "x"}]]}
    assert (await bot("editMessageReplyMarkup", **where, reply_markup=keyboard))["reply_markup"] == keyboard
    assert await bot("deleteMessage", **where) is True
    assert "not found" in (await bot("editMessageText", **where, text="Hello"))["description"]
    assert messenger.everything()["messages"][0]["gone"]


async def test_a_reaction_of_the_bot_is_one_of_those_there_are(bot, messenger):
    said, _ = messenger.customer.write("Thanks")
    where = {"chat_id": CHAT, "message_id": said.wire["message_id"]}
    assert await bot("setMessageReaction", **where, reaction=[{"type": "emoji", "emoji": "👍"}]) is True
    assert messenger.world.line(said)["reactions"] == ["👍"]
    assert (await bot("setMessageReaction", **where, reaction=[{"type": "emoji", "emoji": "🚀"}]))["error_code"] == 400
    assert await bot("setMessageReaction", **where) is True
    assert messenger.world.line(said)["reactions"] == []


async def test_the_customer_sees_that_the_bot_types_until_it_has_written(bot, messenger):
    assert await bot("sendChatAction", chat_id=CHAT, action="typing") is True
    assert messenger.world.chats[CHAT].doing == "typing"
    await bot("sendMessage", chat_id=CHAT, text="Here I am")
    assert messenger.world.chats[CHAT].doing == ""


# --- how fast ------------------------------------------------------------------------------------------------------


async def test_more_than_telegram_allows_is_told_to_wait_as_long_as_it_must(bot, clock):
    for _ in range(8):
        assert "message_id" in await bot("sendMessage", chat_id=CHAT, text="x")
    refused = await bot("sendMessage", chat_id=CHAT, text="x")
    assert (refused["error_code"], refused["parameters"]) == (429, {"retry_after": 5})
    clock.now += 4.5
    assert (await bot("sendMessage", chat_id=CHAT, text="x"))["parameters"] == {"retry_after": 1}
    clock.now += 0.5
    assert "message_id" in await bot("sendMessage", chat_id=CHAT, text="x")


async def test_a_group_takes_twenty_a_minute(bot, clock):
    for _ in range(20):
        clock.now += 1
        assert "message_id" in await bot("sendMessage", chat_id=GROUP, text="x")
    clock.now += 1
    assert (await bot("sendMessage", chat_id=GROUP, text="x"))["parameters"] == {"retry_after": 40}


async def test_thirty_a_second_go_everywhere(clock):
    messenger = Messenger(token=TOKEN, now=clock, limits=Limits(chat=(100, 1.0)))
    for _ in range(30):
        messenger.bot._counter.count(CHAT, is_group=False)
    with pytest.raises(Exception, match="retry after 1"):
        messenger.bot._counter.count(GROUP, is_group=False)


# --- what the bot hears ----------------------------------------------------------------------------------------------


async def test_the_bot_asks_and_what_it_has_confirmed_comes_no_more(bot, messenger):
    _, first = messenger.customer.write("Halo https://shop.example/a")
    messenger.customer.write("/start")
    found = await heard(bot)
    assert [one["message"]["text"] for one in found] == ["Halo https://shop.example/a", "/start"]
    assert found[0]["message"]["entities"] == [{"type": "url", "offset": 5, "length": 22}]
    assert await heard(bot, first + 1) == found[1:]
    assert await heard(bot, found[1]["update_id"] + 1) == []


async def test_a_long_poll_ends_with_the_first_update(bot, messenger):
    asking = asyncio.create_task(heard(bot, timeout=50))
    async with asyncio.timeout(20):
        while not messenger.calls["getUpdates"]:
            await asyncio.sleep(0)
        messenger.customer.write("Halo")
        assert [one["message"]["text"] for one in await asking] == ["Halo"]


async def test_of_two_who_ask_the_first_is_sent_away(bot, messenger):
    first = asyncio.create_task(bot("getUpdates", timeout=50))
    async with asyncio.timeout(20):
        while messenger.updates._pollers < 1:
            await asyncio.sleep(0.001)
        second = asyncio.create_task(heard(bot, timeout=50))
        assert (await first)["error_code"] == 409
        messenger.customer.write("Halo")
        assert len(await second) == 1


async def test_reactions_come_only_to_who_asks_for_them(bot, messenger):
    said, update = messenger.customer.write("Halo")
    message = said.wire["message_id"]
    assert messenger.customer.react(CHAT, message, "👍") == 0
    await heard(bot, update + 1, allowed_updates=["message", "message_reaction"])
    given = messenger.customer.react(CHAT, message, "🔥")
    [found] = await heard(bot, given)
    assert found["message_reaction"]["old_reaction"] == [{"type": "emoji", "emoji": "👍"}]
    assert found["message_reaction"]["new_reaction"] == [{"type": "emoji", "emoji": "🔥"}]


@pytest.mark.parametrize(
    "kind", ["photo", "album", "voice", "document", "large", "location", "venue", "contact", "sticker", "dice"]
)
async def test_whatever_customers_send_is_an_update_that_the_bot_api_describes(bot, messenger, kind):
    messenger.customer.send(kind, caption="look" if kind == "photo" else "")
    found = await heard(bot)
    assert len(found) == (3 if kind == "album" else 1)
    if kind == "album":
        assert len({one["message"]["media_group_id"] for one in found}) == 1


async def test_a_photo_is_swapped_and_a_live_location_moves_and_stops(bot, messenger, client):
    [(photo, _)] = messenger.customer.send("photo", caption="look")
    [(place, _)] = messenger.customer.send("live")
    number = place.wire["message_id"]
    first = photo.wire["photo"][-1]["file_unique_id"]
    for given in (
        {"deed": "swap", "message": photo.wire["message_id"]},
        {"deed": "move", "message": number},
        {"deed": "move", "message": number, "stop": True},
    ):
        async with client.post("/sim/deeds", json=given) as answer:
            assert answer.status == 200
    async with client.post("/sim/deeds", json={"deed": "move", "message": number}) as answer:
        assert answer.status == 400  # it stands still now
    async with client.post("/sim/deeds", json={"deed": "swap", "message": number}) as answer:
        assert answer.status == 400  # it is no photo
    *_, swapped, moved, stopped = [one.get("edited_message") for one in await heard(bot)]
    assert (swapped["caption"], swapped["photo"][-1]["file_unique_id"] == first) == ("look", False)
    assert moved["location"] == {"latitude": -6.916964, "longitude": 107.619125, "live_period": 3600}
    assert stopped["location"] == {"latitude": -6.916964, "longitude": 107.619125}


async def test_what_customers_do_is_told_as_the_bot_api_describes(bot, messenger, client):
    customer = messenger.customer
    said, _ = customer.write("Halo")
    customer.edit(CHAT, said.wire["message_id"], "Halo!")
    customer.shut(CHAT)
    customer.shut(CHAT, on=False)
    topic = customer.open_topic(FORUM, "Milk")
    customer.write("Oat, please", chat=FORUM, topic=topic)
    new = customer.migrate(GROUP)
    async with client.post(
        "/sim/files?name=notes.txt", data=b"oat", headers={"X-Simulator": "1", "Content-Type": "text/plain"}
    ) as answer:
        assert answer.status == 200
    found = await heard(bot)
    assert [next(key for key in one if key != "update_id") for one in found] == [
        "message",
        "edited_message",
        "my_chat_member",
        "my_chat_member",
        "message",
        "message",
        "message",
        "message",
        "message",
    ]
    assert found[0]["message"]["text"] == "Halo"  # as it was when it was told
    assert found[1]["edited_message"]["text"] == "Halo!"
    assert found[5]["message"]["message_thread_id"] == topic
    assert found[6]["message"]["migrate_to_chat_id"] == new == found[7]["message"]["chat"]["id"]
    assert found[8]["message"]["document"]["file_name"] == "notes.txt"
    refused = await bot("sendMessage", chat_id=GROUP, text="x")
    assert refused["parameters"] == {"migrate_to_chat_id": new}


async def test_what_a_customer_edits_is_marked_as_it_is_now(bot, messenger):
    customer = messenger.customer
    text = customer.write("Look at https://shop.example")[0].wire["message_id"]
    [(photo, _)] = customer.send("photo", caption="Was it me@shop.example?")
    customer.edit(CHAT, text, "🎉 /order today")
    customer.edit(CHAT, text, "Nothing")
    customer.edit(CHAT, photo.wire["message_id"], "No: https://shop.example")
    first, _, *edits = await heard(bot)
    marked, plain, caption = [one["edited_message"] for one in edits]
    assert first["message"]["entities"] == [{"type": "url", "offset": 8, "length": 20}]
    assert marked["entities"] == [{"type": "bot_command", "offset": 3, "length": 6}]
    assert "entities" not in plain
    assert caption["caption_entities"] == [{"type": "url", "offset": 4, "length": 20}]


@pytest.mark.parametrize("kind", ["location", "contact", "sticker", "dice"])
async def test_what_has_no_words_is_not_edited(messenger, kind):
    [(said, _)] = messenger.customer.send(kind)
    with pytest.raises(Impossible, match="neither a text nor a caption"):
        messenger.customer.edit(CHAT, said.wire["message_id"], "Look")


async def test_a_caption_of_a_customer_is_marked(messenger):
    [(photo, _)] = messenger.customer.send("photo", caption="See https://shop.example")
    assert photo.wire["caption_entities"] == [{"type": "url", "offset": 4, "length": 20}]


async def test_a_file_has_the_name_that_was_given_to_it(bot):
    form = aiohttp.FormData()
    form.add_field("chat_id", str(CHAT))
    form.add_field("document", b"%PDF", filename="Rechnung März 100%.pdf", content_type="application/pdf")
    assert (await bot("sendDocument", form))["document"]["file_name"] == "Rechnung März 100%.pdf"


async def test_a_business_is_written_to_and_answered_in_its_name_by_its_connection_alone(bot, messenger):
    customer, chat = messenger.customer, DEWI["id"]
    said, _ = customer.write("Is it there?", chat=chat)
    customer.edit(chat, said.wire["message_id"], "Is it still there?")
    customer.write("I look", chat=chat, who=OWNER["id"])
    assert customer.react(chat, said.wire["message_id"], "👍") == 0
    with pytest.raises(Impossible, match="no bot to block"):
        customer.shut(chat)
    told = [{k: v for k, v in one.items() if k != "update_id"} for one in await heard(bot)]
    assert [list(one) for one in told] == [["business_message"], ["edited_business_message"], ["business_message"]]
    senders = [(one["from"]["id"], one["business_connection_id"]) for each in told for one in each.values()]
    assert senders == [(chat, CONNECTION), (chat, CONNECTION), (OWNER["id"], CONNECTION)]

    assert (await bot("sendMessage", chat_id=chat, text="x"))["description"] == "Bad Request: chat not found"
    of = {"business_connection_id": CONNECTION, "chat_id": chat}
    assert await bot("sendChatAction", **of, action="typing") is True
    assert messenger.world.chats[chat].doing == "typing"
    assert await bot("readBusinessMessage", **of, message_id=said.wire["message_id"]) is True
    assert messenger.world.line(said)["read"]
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    sent = await bot("sendMessage", **of, text="It is", reply_markup=keyboard)
    assert (sent["from"], sent["sender_business_bot"]) == (OWNER, BOT)
    edited = await bot("editMessageText", **of, message_id=sent["message_id"], text="Yes", reply_markup=keyboard)
    assert edited["text"] == "Yes"
    customer.press(chat, sent["message_id"], "y")
    assert (await heard(bot))[-1]["callback_query"]["message"]["business_connection_id"] == CONNECTION
    gone = {"business_connection_id": CONNECTION, "message_ids": [sent["message_id"]]}
    assert await bot("deleteBusinessMessages", **gone) is True
    assert [one["gone"] for one in messenger.everything()["messages"]] == [False, False, True]
    own, _ = customer.write("Halo")
    refused = await bot("readBusinessMessage", chat_id=CHAT, message_id=own.wire["message_id"])
    assert refused["description"] == "Bad Request: message to read not found"
    for method, given in (("sendMessage", {**of, "text": "x"}), ("deleteBusinessMessages", gone)):
        refused = await bot(method, **{**given, "business_connection_id": "another"})
        assert refused["description"] == "Bad Request: business connection not found"


async def test_whoever_writes_to_a_channel_has_a_topic_of_their_own(bot, messenger):
    customer = messenger.customer
    customer.write("Where is mine?", chat=DIRECT)
    customer.write("And mine?", chat=DIRECT, topic=SITI["id"])
    topics = [one["message"]["direct_messages_topic"] for one in await heard(bot)]
    assert topics == [{"topic_id": one["id"], "user": one} for one in (BUDI, SITI)]
    sent = await bot("sendMessage", chat_id=DIRECT, direct_messages_topic_id=SITI["id"], text="It comes")
    assert sent["direct_messages_topic"]["user"] == SITI
    assert [one["topic"] for one in messenger.everything()["messages"]] == [BUDI["id"], SITI["id"], SITI["id"]]
    assert (await bot("sendMessage", chat_id=DIRECT, text="To nobody"))["error_code"] == 400
    assert (await bot("sendChatAction", chat_id=DIRECT, action="typing"))["error_code"] == 400


async def test_a_pressed_button_waits_for_its_answer(bot, messenger):
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
    sent = await bot("sendMessage", chat_id=CHAT, text="Shall we?", reply_markup=keyboard)
    query, _ = messenger.customer.press(CHAT, sent["message_id"], "y")
    [found] = await heard(bot)
    assert (found["callback_query"]["id"], found["callback_query"]["data"]) == (query, "y")
    assert messenger.everything()["messages"][0]["pressed"] == ["y"]
    assert await bot("answerCallbackQuery", callback_query_id=query, text="Noted") is True
    [line] = messenger.everything()["messages"]
    assert (line["pressed"], line["toast"]) == ([], "Noted")
    assert "query is too old" in (await bot("answerCallbackQuery", callback_query_id=query))["description"]


async def test_who_has_blocked_the_bot_gets_nothing(bot, messenger):
    messenger.customer.shut(CHAT)
    refused = await bot("sendMessage", chat_id=CHAT, text="x")
    assert refused["description"] == "Forbidden: bot was blocked by the user"
    messenger.customer.shut(CHAT, on=False)
    assert "message_id" in await bot("sendMessage", chat_id=CHAT, text="x")


async def test_in_privacy_mode_a_bot_sees_few_of_a_groups_messages(bot, messenger):
    messenger.fault("privacy")
    assert (await bot("getMe"))["can_read_all_group_messages"] is False
    asked = await bot("sendMessage", chat_id=GROUP, text="Who wants coffee?")
    messenger.customer.write("Among us", chat=GROUP)
    messenger.customer.write("/order", chat=GROUP)
    messenger.customer.write("I do", chat=GROUP, answers=asked["message_id"])
    assert [one["message"]["text"] for one in await heard(bot)] == ["/order", "I do"]


async def test_an_update_is_kept_for_a_day(bot, messenger, clock):
    messenger.customer.write("Old")
    clock.now += 24 * 3600 + 1
    messenger.customer.write("New")
    assert [one["message"]["text"] for one in await heard(bot)] == ["New"]


# --- the webhook -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def endpoint(aiohttp_server):
    """An endpoint of ours, which answers what it is told to."""

    class Endpoint:
        def __init__(self):
            self.will = []
            self.came = asyncio.Queue()
            self.hold = None

        async def handle(self, request):
            self.came.put_nowait((request.headers.get(SECRET), await request.json()))
            if self.hold is not None:
                await self.hold.wait()
            return web.Response(status=self.will.pop(0) if self.will else 200)

        async def next(self):
            async with asyncio.timeout(20):
                return await self.came.get()

    one = Endpoint()
    app = web.Application()
    app.router.add_post("/in/telegram", one.handle)
    server = await aiohttp_server(app)
    one.url = str(server.make_url("/in/telegram"))
    yield one
    if one.hold is not None:
        one.hold.set()


async def test_the_webhook_is_called_with_the_secret_until_it_says_yes(bot, messenger, endpoint):
    endpoint.will = [503]
    await bot("setWebhook", url=endpoint.url, secret_token="s3cret-0_1", max_connections=3, allowed_updates=["message"])
    messenger.customer.write("Halo")
    first, again = await endpoint.next(), await endpoint.next()
    assert first == again
    assert first[0] == "s3cret-0_1"
    assert faults(first[1], "Update") == []
    async with asyncio.timeout(20):
        while messenger.updates.queue:
            await asyncio.sleep(0.001)
    info = await bot("getWebhookInfo")
    assert (info["url"], info["pending_update_count"], info["max_connections"]) == (endpoint.url, 0, 3)
    assert info["allowed_updates"] == ["message"]
    assert "503" in info["last_error_message"]


async def test_asking_and_being_called_exclude_each_other(bot, messenger, client, endpoint):
    await bot("setWebhook", url=endpoint.url)
    assert (await bot("getUpdates"))["error_code"] == 409
    for method, words in (
        ("setWebhook", "already set"),
        ("deleteWebhook", "was deleted"),
        ("deleteWebhook", "already"),
    ):
        async with client.post(f"/bot{TOKEN}/{method}", json={"url": endpoint.url}) as answer:
            assert words in (await answer.json())["description"]
    assert await bot("getUpdates") == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "http://shop.example/in"}, "HTTPS"),
        ({"url": "https://shop.example/in", "secret_token": "a b"}, "unallowed"),
    ],
)
async def test_a_webhook_that_telegram_would_not_call_is_refused(bot, given, words):
    assert words in (await bot("setWebhook", **given))["description"]


@pytest.mark.parametrize("fault", ["wrong_secret", "twice", "jump", "impatient"])
async def test_each_fault_of_the_updates_does_what_it_says(bot, messenger, endpoint, fault):
    messenger.fault(fault)
    if fault == "impatient":
        endpoint.hold = asyncio.Event()
    await bot("setWebhook", url=endpoint.url, secret_token="right-secret")
    messenger.customer.write("one")
    secret, first = await endpoint.next()
    assert (secret == "right-secret") == (fault != "wrong_secret")
    if fault in ("twice", "impatient"):
        assert (await endpoint.next())[1] == first
    if fault == "jump":
        messenger.customer.write("two")
        assert (await endpoint.next())[1]["update_id"] != first["update_id"] + 1


async def test_a_strange_update_comes_among_the_others(bot, messenger):
    messenger.fault("strange")
    messenger.customer.write("Halo")
    assert [sorted(one) for one in await heard(bot)] == [["drum_solo", "update_id"], ["message", "update_id"]]


async def test_polled_updates_come_twice_when_told_to(bot, messenger):
    messenger.fault("twice")
    messenger.customer.write("Halo")
    assert len(await heard(bot)) == 2


# --- faults of what we send --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "arrives"),
    [
        ("refuse", 400, False),
        ("flood", 429, False),
        ("token", 401, False),
        ("down", 500, False),
        ("slow", 200, True),
        ("blocked", 403, False),
        ("hangup", 0, True),
    ],
)
async def test_each_fault_of_sending_does_what_it_says(client, messenger, fault, status, arrives):
    messenger.fault(fault)
    try:
        async with client.post(f"/bot{TOKEN}/sendMessage", json={"chat_id": CHAT, "text": "x"}) as answer:
            got = answer.status
    except aiohttp.ClientError:
        got = 0
    assert got == status
    assert len(messenger.everything()["messages"]) == arrives


async def test_a_bot_whose_entities_are_not_parsed_can_still_send_plain_text(bot, messenger):
    messenger.fault("markup")
    entities = [{"type": "bold", "offset": 0, "length": 1}]
    assert (
        "can't parse entities" in (await bot("sendMessage", chat_id=CHAT, text="x", entities=entities))["description"]
    )
    assert "message_id" in await bot("sendMessage", chat_id=CHAT, text="x")


@pytest.mark.parametrize("large", [True, False])
async def test_a_file_that_is_too_big_is_not_given(bot, messenger, large):
    if not large:
        messenger.fault("large")
    [(said, _)] = messenger.customer.send("large" if large else "document")
    assert (await bot("getFile", file_id=said.wire["document"]["file_id"]))[
        "description"
    ] == "Bad Request: file is too big"


async def test_a_conflict_is_told_to_who_asks(bot, messenger):
    messenger.fault("conflict")
    assert (await bot("getUpdates"))["error_code"] == 409


# --- the page's side -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/telegram.js", "/telegram.css", "/frame.js", "/frame.css"])
async def test_the_page_needs_nothing_from_elsewhere(client, path):
    async with client.get(path) as answer:
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        text = await answer.text()
    assert "innerHTML" not in text
    assert not [word for word in ("//cdn", 'src="http', "@import") if word in text]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"deed": "write", "text": ""}, 400),
        ({"deed": "write", "text": "x" * 4097}, 400),
        ({"deed": "write", "text": "x", "chat": 1}, 400),
        ({"deed": "write", "text": "x", "chat": "no"}, 400),
        ({"deed": "write", "text": "x", "message": 999}, 400),
        ({"deed": "send", "kind": "gold"}, 400),
        ({"deed": "edit", "message": 999, "text": "x"}, 400),
        ({"deed": "swap", "message": 999}, 400),
        ({"deed": "move", "message": 999}, 400),
        ({"deed": "press", "message": 999, "data": "x"}, 400),
        ({"deed": "shut", "on": False}, 400),
        ({"deed": "migrate"}, 400),
        ({"deed": "topic", "name": "x"}, 400),
        ({"deed": "fly"}, 400),
        ({"deed": "write", "text": "x", "chat": FORUM, "topic": 2}, 200),
    ],
)
async def test_deeds_that_nobody_can_do_are_refused(client, messenger, given, status):
    async with client.post("/sim/deeds", json=given) as answer:
        assert answer.status == status


async def test_another_sites_page_does_nothing_here(client):
    async with client.post("/sim/deeds", data=json.dumps({"deed": "write", "text": "x"})) as answer:
        assert answer.status == 415
    async with client.post("/sim/files?name=a", data=b"x", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 415


async def test_a_file_that_a_page_could_run_is_given_for_download_only(client, messenger):
    file = messenger.files.keep(b"<script>", name="a.html", media_type="text/html")
    async with client.get(f"/sim/files/{file.id}") as answer:
        assert answer.content_type == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_stream_tells_everything_and_then_each_change(client, messenger):
    messenger.customer.write("before")
    async with client.get("/sim/stream") as stream, asyncio.timeout(20):
        first = json.loads((await stream.content.readline()).removeprefix(b"data: "))
        await stream.content.readline()
        messenger.customer.write("after")
        then = json.loads((await stream.content.readline()).removeprefix(b"data: "))
    assert [one["message"]["text"] for one in first["messages"]] == ["before"]
    assert then["message"]["message"]["text"] == "after"


def test_what_the_bot_api_does_not_describe_is_seen_in_every_answer_and_update_above(contracts):
    assert contracts.is_dir()
    chat = {"id": 1, "type": "private"}
    assert faults({"update_id": 1, "message": {"message_id": 1, "date": 1, "chat": chat}}, "Update") == []
    assert faults({"update_id": "1", "message": {"message_id": 1, "chat": chat, "txt": ""}}, "Update") == [
        "Update.update_id is no Integer",
        "Update.message.txt is unknown",
        "Update.message.date is missing",
    ]
    assert result_faults("sendMediaGroup", [{}]) != []


@pytest.mark.prove
async def test_every_kind_of_update_and_of_answer_is_what_the_bot_api_describes(
    contracts, bot, messenger, clock, proof
):
    """Its short form is its long form; it leaves what was compared, for who has no description at hand."""
    assert description()["version"] >= "Bot API 10"
    customer, seen = messenger.customer, Counter()
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}

    async def calls(method, *form, **given):
        assert await bot(method, *form, **given) not in ([], {}), method  # the fixture compares
        seen[method] += 1

    await calls("getMe")
    await calls("getWebhookInfo")
    await bot(
        "getUpdates",
        allowed_updates=["message", "edited_message", "callback_query", "message_reaction", "my_chat_member"],
    )
    said, _ = customer.write("Halo https://shop.example/a /start me@shop.example")
    where = {"chat_id": CHAT, "message_id": said.wire["message_id"]}
    for kind in KINDS:
        customer.send(kind, caption="look" if kind in ("photo", "album", "document") else "")
    customer.edit(CHAT, where["message_id"], "Halo!")
    customer.react(CHAT, where["message_id"], "👍")
    sent = await bot("sendMessage", chat_id=CHAT, text="Shall we?", reply_markup=keyboard)
    query, _ = customer.press(CHAT, sent["message_id"], "y")
    customer.shut(CHAT)
    customer.shut(CHAT, on=False)
    customer.write("Oat", chat=FORUM, topic=customer.open_topic(FORUM, "Milk"))
    customer.migrate(GROUP)

    await calls("answerCallbackQuery", callback_query_id=query)
    await calls("editMessageText", chat_id=CHAT, message_id=sent["message_id"], text="Shall we then?")
    await calls("setMessageReaction", **where, reaction=[{"type": "emoji", "emoji": "👍"}])
    await calls("sendChatAction", chat_id=CHAT, action="typing")
    await calls("getFile", file_id=next(iter(messenger.files._files)))
    clock.now += 10  # or it would be too much at once
    await calls("sendMessage", chat_id=CHAT, text="Yes", reply_parameters={"message_id": where["message_id"]})
    for kind in ("photo", "document", "video", "audio", "voice", "animation"):
        clock.now += 1
        await calls(
            f"send{kind.capitalize()}", parts(chat_id=str(CHAT), caption="look", **{kind: files.picture(0, 8, 8)})
        )
    clock.now += 10
    await calls("sendVenue", chat_id=CHAT, latitude=1, longitude=2, title="Kopi Kita", address="Braga 12")
    await calls("sendLocation", chat_id=CHAT, latitude=1, longitude=2)
    await calls("deleteMessage", chat_id=CHAT, message_id=sent["message_id"])
    updates = await heard(bot)
    assert [one for update in updates for one in faults(update, "Update")] == []
    kinds = Counter(kind for update in updates for kind in update if kind != "update_id")
    assert kinds.keys() == {"message", "edited_message", "callback_query", "message_reaction", "my_chat_member"}
    proof("telegram-simulator", {"description": description()["version"], **kinds, **seen})


def test_it_shares_no_code_with_the_channel():
    folder = Path(package.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 1 or (node.module or "").partition(".")[0] != "talkwire_telegram", file.name
                assert (node.module or "").partition(".")[0] != "telegram", file.name


def test_what_customers_have_at_hand_is_what_it_says():
    assert files.size_of_picture(files.picture()) == (240, 180)
    assert files.voice().count(b"OggS") == 3
    assert files.size_of_picture(b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x20\x01\x01\x11\x00") == (32, 16)
    assert files.size_of_picture(b"GIF89a") is None


def test_the_demo_account_names_the_bot_that_the_simulator_plays():
    one = simulator()
    settings = one.settings("http://127.0.0.1:1", "http://127.0.0.1:2/in/telegram")
    assert settings["token"].startswith(f"{BOT['id']}:")
    assert settings["api_url"] == "http://127.0.0.1:1"
