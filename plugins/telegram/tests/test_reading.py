"""Each kind of update that the Bot API has, in Talkwire's words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from talkwire import (
    Address,
    AddressChanged,
    Alias,
    Change,
    ChangeKind,
    Choice,
    ContactCard,
    Envelope,
    Inbound,
    Location,
    Other,
    Reachable,
    RemoteMedia,
    Unread,
    each,
)
from talkwire_telegram import reading
from talkwire_telegram.contents import _ABOUT, _TO_THE_CHAT
from talkwire_telegram.texts import readable, rich_text
from talkwire_telegram.values import Entity

from . import contract

CONTENTS_ABOUT = _ABOUT | _TO_THE_CHAT
SAMPLES = Path(__file__).parent / "samples"
T = datetime.fromtimestamp(1795780800, UTC)
RECEIVED = datetime(2026, 11, 28, 12, tzinfo=UTC)
ANN = Address(kind="telegram", value="42", name="Ann Lee")
GROUP = Address(kind="telegram", value="-4001", name="Neighbours")
SUPER = Address(kind="telegram", value="-1001234567890", name="Neighbours")
CHANNEL = Address(kind="telegram", value="-1009876543210", name="Shop news")
DIRECT = Address(kind="telegram", value="-1005000000005", name="Shop messages")
BEN_ALONE = Address(kind="telegram", value="42", name="Ann Lee")


def envelope(body):
    return Envelope(
        endpoint="bot", method="POST", path="", headers={}, query=(), body=body, remote="", received_at=RECEIVED
    )


def read(body):
    """Read as the core does: what raises becomes unread."""
    return list(each([envelope(body)], reading.read))


def sample(name):
    return read((SAMPLES / f"{name}.json").read_bytes())


def number(name):
    """Give the id of the message in a sample, which is also how many seconds after T it was sent, and 100 more."""
    update = json.loads((SAMPLES / f"{name}.json").read_text())
    return next(value["message_id"] for key, value in update.items() if key != "update_id")


def said(name, text="", *blocks, at=ANN, **more):
    one = number(name)
    more.setdefault("external_id", f"{at.value}:{one}")
    return Inbound(address=at, at=T + timedelta(seconds=one - 100), text=text, blocks=blocks, **more)


def media(key, name, media_type, size, caption=""):
    handle = json.dumps({"file_id": f"BAAC-{key}", "size": size}, separators=(",", ":"))
    return RemoteMedia(
        handle=handle, name=name, media_type=media_type, size=size, caption=caption, fingerprint=f"u-{key}"
    )


def other(kind, text):
    return Other(kind=kind, text=text)


MONAS = {"latitude": -6.175392, "longitude": 106.827153}
RICH = "Order\nI want two, see this (https://shop.example/2)\n1. red\n2. blue\nSize | L"
MESSAGES = {
    "text": ("Halo 🙏 apa kabar?",),
    "text_links": ("👋👋 our shop (https://shop.example/?a=1), https://a.example",),
    "photo": ("", media("l", "photo.jpg", "image/jpeg", 150000, "It is broken")),
    "document": ("", media("doc", "Rechnung 11.pdf", "application/pdf", 345678)),
    "document_large": ("", media("big", "film.mkv", "video/x-matroska", 3000000000)),
    "audio": ("", media("song", "song.mp3", "audio/mpeg", 4400000)),
    "voice": ("", media("voice", "voice.ogg", "audio/ogg", 16000)),
    "video": ("", media("film", "video.mp4", "video/mp4", 2500000, "Listen to the noise")),
    "video_note": ("", media("note", "video_note.mp4", "video/mp4", 700000)),
    "animation": ("", media("gif", "cat.mp4", "video/mp4", 90000)),
    "live_photo": (
        "",
        media("live", "live_photo.mp4", "video/mp4", 1900000),
        media("still", "photo.jpg", "image/jpeg", 200000),
    ),
    "sticker": ("", media("st", "sticker.webp", "image/webp", 21000, "👍")),
    "sticker_animated": ("", media("tgs", "sticker.tgs", "application/x-tgsticker", 9000, "👍")),
    "sticker_video": ("", media("webm", "sticker.webm", "video/webm", 60000, "👍")),
    "paid_media": (
        "",
        other("paid_media", "2 files for 25 Telegram Stars"),
        media("paid", "photo.jpg", "image/jpeg", 77000),
    ),
    "contact": ("", ContactCard(name="Budi Santoso", phones=("+628111222333",), emails=("budi@example.org",))),
    "location": ("", Location(**MONAS)),
    "location_live": ("", Location(latitude=-6.2, longitude=106.8, name="Live location")),
    "venue": ("", Location(**MONAS, name="Monas", address="Gambir, Jakarta")),
    "dice": ("", other("dice", "🎲 4")),
    "poll": ("", other("poll", "Poll: Which day? (Monday, Friday)")),
    "story": ("", other("story", "A story of Shop news")),
    "story_reply": ("How much is it?", other("reply_to_story", "About the story of Shop news")),
    "checklist": ("", other("checklist", "Checklist: Moving (Boxes, Van)")),
    "game": ("", other("game", "Game: Snake")),
    "invoice": ("", other("invoice", "Invoice: Parcel")),
    "payment": ("", other("successful_payment", "Paid 1500000 IDR (in its smallest unit)")),
    "web_app_data": ("", other("web_app_data", 'Choose a size: {"size":"L"}')),
    "users_shared": ("", other("users_shared", "Shared: Ben, 44")),
    "gift": ("", other("gift", "A gift. Thank you!")),
    "giveaway": ("", other("giveaway", "A giveaway with 3 winners")),
    "chat_shared": ("", other("chat_shared", "Shared the chat Lift repairs")),
    "refunded": ("", other("refunded_payment", "Paid 50 XTR (in its smallest unit), and got it back")),
    "giveaway_winners": ("", other("giveaway_winners", "1 won a giveaway")),
    "gift_upgrade": ("", other("gift_upgrade_sent", "A gift was made a unique one")),
    "unique_gift": ("", other("unique_gift", "A gift: Cake-7")),
    "passport": ("", other("passport_data", "Documents of Telegram Passport, which we do not open")),
    "rich_message": (RICH,),
    "unknown_content": ("", other("hologram", "Something that only Telegram shows (hologram)")),
    "empty": ("", other("empty", "A message without content")),
    "start": ("/start order-17",),
    "external_reply": (
        "Is this still there?",
        other("external_reply", "In answer to a message from Shop news (photo)"),
        other("quote", "Quotes: Ethiopia, 250 g, 9 EUR"),
    ),
    "external_reply_hidden": (
        "What does this mean?",
        other("external_reply", "In answer to a message from Dewi"),
        other("quote", "Quotes: The lift stays closed"),
    ),
    "scheduled": ("Good morning, where is my parcel?",),
    "text_forwarded": ("Big sale", other("forward_origin", "Forwarded from Shop news")),
}
WITH_MORE = {
    "text_reply": said("text_reply", "Yes, that one", other("quote", "Quotes: Which"), reply_to="42:90"),
    "quote_automatic": said("quote_automatic", "Thank you", reply_to="42:90"),
    "contact_own": replace(
        said("contact_own", "", ContactCard(name="Ann Lee", phones=("628111222333",)), reply_to="42:90"),
        address=replace(ANN, aliases=(Alias("phone", "+628111222333", claimed=True),)),
    ),
    "album_1": said("album_1", "", media("a1", "photo.jpg", "image/jpeg", 50000, "Both sides"), group="13579"),
    "album_2": said("album_2", "", media("a2", "photo.jpg", "image/jpeg", 60000), group="13579"),
    "private_topic": said("private_topic", "In a topic", thread="77"),
    "group": said("group", "Does anybody know?", at=GROUP, author="Ben"),
    "group_automatic": said("group_automatic", "It rains", at=GROUP, author="Weather", automatic=True),
    "group_anonymous": said("group_anonymous", "Be kind", at=SUPER, author="Neighbours"),
    "group_reply_thread": said("group_reply_thread", "I do", at=SUPER, author="Ben", reply_to=f"{SUPER.value}:55"),
    "forum": said("forum", "About the lift", at=SUPER, author="Ben", thread="31"),
    "channel_post": said("channel_post", "We open at nine", at=CHANNEL, author="Cici"),
    "discussed_post": said(
        "discussed_post",
        "We open at nine",
        other("forward_origin", "Forwarded from Shop news"),
        at=SUPER,
        author="Shop news",
        automatic=True,
    ),
    "business": said(
        "business",
        "Is it still there?",
        external_id=f"bc-1:42:{number('business')}",
        thread="business:bc-1",
    ),
    "business_away": said(
        "business_away",
        "I am away until Monday",
        external_id=f"bc-1:42:{number('business_away')}",
        thread="business:bc-1",
        automatic=True,
    ),
    "external_reply_topic": said(
        "external_reply_topic",
        "Is that the same one?",
        other("external_reply", "In answer to a message from Dewi"),
        at=SUPER,
        author="Ben",
        thread="31",
        reply_to=f"{SUPER.value}:60",
    ),
    "direct_message": said("direct_message", "Where is my order? Ann", at=DIRECT, author="Ann", thread="dm:7000000042"),
    "direct_message_other": said(
        "direct_message_other", "Where is my order? Ben", at=DIRECT, author="Ben", thread="dm:7000000043"
    ),
}
SILENT = [  # nobody said anything to us
    "group_joined",
    "group_pinned",
    "reacted_again",
    "business_owner",
    "business_bot",
    "business_deleted",
    "inline_query",
]


def edited(name, text, seconds, at=ANN, blocks=()):
    return Change(
        kind=ChangeKind.EDIT,
        external_id=f"{at.value}:{number(name)}",
        address=at,
        at=T + timedelta(seconds=seconds),
        text=text,
        blocks=blocks,
    )


def reacted(name, text):
    update = json.loads((SAMPLES / f"{name}.json").read_text())
    at = T + timedelta(seconds=60)
    return Change(
        kind=ChangeKind.REACTION,
        external_id="42:200",
        address=ANN,
        at=at,
        text=text,
        change_id=f"reaction:{update['update_id']}:{int(at.timestamp())}",
    )


def pressed(id_, data, title, at=ANN, **more):
    return Inbound(
        external_id=f"cb:{id_}",
        address=at,
        at=RECEIVED,
        text=title,
        blocks=(Choice(id=data, title=title),),
        acknowledge=True,
        **more,
    )


def reachable(at, *, on=False):
    return Reachable(address=at, on=on, at=T + timedelta(seconds=90))


MOVED = AddressChanged(old=GROUP, new=SUPER, at=T)
ROWS = {
    **{name: [said(name, *contents)] for name, contents in MESSAGES.items()},
    **{name: [item] for name, item in WITH_MORE.items()},
    **{name: [] for name in SILENT},
    "edited": [edited("edited", "Halo, apa kabar hari ini?", 500)],
    "edited_caption": [
        edited("edited_caption", "It is not broken", 501, blocks=(media("l", "photo.jpg", "image/jpeg", 150000),))
    ],
    "edited_photo": [
        edited("edited_photo", "It is broken", 504, blocks=(media("o", "photo.jpg", "image/jpeg", 140000),))
    ],
    "edited_live": [
        edited("edited_live", "", 502, blocks=(Location(latitude=-6.21, longitude=106.81, name="Live location"),))
    ],
    "edited_post": [edited("edited_post", "We open at ten", 503, CHANNEL)],
    "pressed": [pressed("4382bfdwdsb323b2d9", "order:1:yes", "Yes, please", reply_to="42:200")],
    "pressed_old": [pressed("4382bfdwdsb323b2e0", "order:0:no", "order:0:no", reply_to="42:12")],
    "pressed_in_a_group": [
        pressed(
            "4382bfdwdsb323b2e1",
            "order:1:no",
            "No",
            SUPER,
            author="Ben",
            thread="31",
            reply_to=f"{SUPER.value}:200",
        )
    ],
    "pressed_business": [
        pressed("bc-1:4382bfdwdsb323b2e3", "order:1:yes", "Yes, please", thread="business:bc-1", reply_to="bc-1:42:200")
    ],
    "pressed_elsewhere": [pressed("4382bfdwdsb323b2e2", "snake", "snake")],
    "reacted": [reacted("reacted", "👍")],
    "reacted_otherwise": [reacted("reacted_otherwise", "(an emoji of Telegram's) ❤")],
    "reacted_no_more": [reacted("reacted_no_more", "")],
    "blocked": [reachable(ANN)],
    "unblocked": [reachable(ANN, on=True)],
    "left_group": [reachable(GROUP)],
    "unknown_kind": [Unread("an update of a kind that we do not know (hologram_call)")],
    "migrated_to": [
        AddressChanged(
            old=GROUP,
            new=Address(kind="telegram", value=SUPER.value, name="Neighbours"),
            at=T + timedelta(seconds=number("migrated_to") - 100),
        )
    ],
    "migrated_from": [
        AddressChanged(
            old=Address(kind="telegram", value=GROUP.value, name="Neighbours"),
            new=SUPER,
            at=T + timedelta(seconds=number("migrated_from") - 100),
        )
    ],
}


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.json")))
def test_a_sample_means_what_its_source_says(name):
    assert "Bot API 10.1" in (SAMPLES / f"{name}.source").read_text()
    assert sample(name) == ROWS[name]


STRANGE = {"unknown_content", "unknown_kind"}  # what no version has yet


def test_every_sample_is_what_the_bot_api_describes(contracts):
    wrong = {
        path.stem for path in SAMPLES.glob("*.json") if contract.faults(json.loads(path.read_text("utf-8")), "Update")
    }
    assert wrong == STRANGE
    assert contracts.is_dir()


def test_every_kind_of_content_that_the_bot_api_describes_has_a_sample_or_is_known_to_say_nothing(contracts):
    known = json.loads((contracts / "telegram-bot-api.json").read_text("utf-8"))["types"]
    fields = {field["name"] for field in known["Message"]["fields"]}
    sampled = {
        key
        for path in SAMPLES.glob("*.json")
        for value in json.loads(path.read_text("utf-8")).values()
        if isinstance(value, dict)
        for key in value
    }
    assert fields - CONTENTS_ABOUT - sampled == set()
    kinds = {field["name"] for field in known["Update"]["fields"]} - {"update_id"}
    assert kinds == reading._KINDS.keys() | reading._NOT_FOR_US


def test_the_providers_own_value_stands_beside_what_has_no_block_of_its_own():
    (poll,) = sample("poll")[0].blocks
    assert json.loads(poll.raw)["options"][1]["text"] == "Friday"
    large = {"message_id": 1, "date": 1, "chat": {"id": 42, "type": "private"}, "hologram": "x" * 70_000}
    (message,) = read(json.dumps({"update_id": 1, "message": large}).encode())
    assert message.blocks[0].raw == ""


def test_what_is_answered_elsewhere_and_quoted_stands_beside_it_as_telegram_gave_it():
    answered, quote = sample("external_reply")[0].blocks
    assert json.loads(answered.raw)["photo"][0]["file_id"] == "BAAC-news"
    assert json.loads(quote.raw)["text"] == "Ethiopia, 250 g,\n9 EUR"


@pytest.mark.parametrize("strange", [7, "x", [], {}, {"origin": 7}, {"origin": {"chat": 7}, "text": 7}])
def test_a_strange_answer_or_quote_does_not_lose_the_text(strange):
    said = {"message_id": 1, "date": 1, "chat": {"id": 42, "type": "private"}, "text": "look"}
    update = {"update_id": 1, "message": {**said, "external_reply": strange, "quote": strange}}
    (message,) = read(json.dumps(update).encode())
    assert message.text == "look"
    assert [(one.kind, one.text) for one in message.blocks] == [
        ("external_reply", "In answer to a message"),
        ("quote", "Quotes a message"),
    ]


def test_what_hangs_on_a_message_and_cannot_be_read_does_not_lose_its_text():
    broken = {"message_id": 1, "date": 1, "chat": {"id": 42, "type": "private"}, "caption": "look", "photo": [{"x": 1}]}
    (message,) = read(json.dumps({"update_id": 1, "message": broken}).encode())
    assert message.text == "look"
    assert message.blocks == (other("photo", "Something that only Telegram shows (photo)"),)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dice", {"value": 4}),
        ("poll", {"question": "Which day?"}),
        ("unique_gift", {}),
        ("users_shared", {"users": [{}]}),
        ("paid_media", {"paid_media": []}),
    ],
)
def test_what_lacks_a_field_that_we_read_is_shown_as_it_is_and_its_message_is_kept(key, value):
    said = {"message_id": 1, "date": 1, "chat": {"id": 42, "type": "private"}, "caption": "look", key: value}
    (message,) = read(json.dumps({"update_id": 1, "message": said}).encode())
    assert message.text == "look"
    assert message.blocks == (other(key, f"Something that only Telegram shows ({key.replace('_', ' ')})"),)
    assert json.loads(message.blocks[0].raw) == value


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"7", b'"a"', b"{}", b'{"update_id": 1}', b"[" * 100_000, b"\xff", b'{"message": 7}']
)
def test_what_is_no_update_is_kept_as_unread(body):
    assert [type(item) for item in read(body)] == [Unread]


@pytest.mark.parametrize(
    ("text", "offset", "length", "shown"),
    [
        ("see this", 4, 4, "see this (https://x.example)"),
        ("🙏🙏 this!", 5, 4, "🙏🙏 this (https://x.example)!"),
        ("see this", 4, 40, "see this"),
        ("see this", 40, 4, "see this"),
        ("https://x.example/", 0, 18, "https://x.example/"),
        ("a b", 1, 1, "a b"),
        ("🙏🙏", 0, 1, "🙏🙏"),
        ("🙏🙏", 0, 2, "🙏 (https://x.example)🙏"),
    ],
)
def test_a_hidden_link_shows_its_address(text, offset, length, shown):
    assert readable(text, [Entity(type="text_link", offset=offset, length=length, url="https://x.example")]) == shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted(
    {
        name
        for file in SAMPLES.glob("*.json")
        for value in json.loads(file.read_text()).values()
        if isinstance(value, dict)
        for name in value
    }
)
VALUES = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8)
CHATS = st.fixed_dictionaries(
    {"id": st.integers(), "type": st.sampled_from(["private", "group", "supergroup", "channel"])}
)
MESSAGE = st.builds(
    lambda more, known: {**more, **known},
    VALUES,
    st.fixed_dictionaries({"message_id": st.integers(), "date": st.integers(0, 2**31), "chat": CHATS}),
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([*reading._KINDS, "poll", "strange"]), st.one_of(JSON, VALUES, MESSAGE))
@example("message", {"message_id": 1, "date": 10**30, "chat": {"id": 1}})
@example("callback_query", {"id": "1", "from": {"id": 1}, "message": {"reply_markup": {"inline_keyboard": [7, [7]]}}})
@example(
    "message",
    {
        "message_id": 1,
        "date": 1,
        "chat": {"id": 1},
        "rich_message": {"blocks": [{"type": "table", "cells": 7, "items": 8}]},
    },
)
def test_whatever_an_update_holds_reading_it_ends_in_items(kind, value):
    items = read(json.dumps({"update_id": 1, kind: value}).encode())
    if value is not None and kind in reading._KINDS and not isinstance(value, dict):
        assert [type(item) for item in items] == [Unread]
    assert items == read(json.dumps({"update_id": 1, kind: value}).encode())


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(JSON, VALUES),
    st.text(max_size=60),
    st.lists(
        st.builds(
            dict,
            type=st.just("text_link"),
            offset=st.integers(0, 80),
            length=st.integers(0, 80),
            url=st.text(max_size=9),
        ),
        max_size=5,
    ),
)
def test_a_text_keeps_all_its_words_whatever_marks_it_has(blocks, text, entities):
    shown = readable(text, [Entity(**entity) for entity in entities])
    rest = iter(shown)
    assert all(letter in rest for letter in text)  # in this order
    assert isinstance(rich_text(blocks), str)
