"""A draft as the requests that show it, with every loss named."""

import json

import pytest

from talkwire import (
    Attachment,
    AttachmentClass,
    Buttons,
    Card,
    Choices,
    Draft,
    FormLink,
    Location,
    Media,
    Option,
    RenderContext,
    Template,
    Text,
    Unsupported,
)
from talkwire_telegram.features import FEATURES
from talkwire_telegram.rendering import render

from .chats import ANN

YES, NO = Option("yes", "Yes please"), Option("no", "No thanks")


def attachment(id_, media_type, size=1000):
    return Attachment(id=id_, name=id_, media_type=media_type, size=size, sha256="0" * 64, cls=AttachmentClass.MEDIA)


FILES = {
    one.id: one
    for one in (
        attachment("picture", "image/jpeg"),
        attachment("large picture", "image/png", 10_000_001),
        attachment("film", "video/mp4"),
        attachment("other film", "video/webm"),
        attachment("cat", "image/gif"),
        attachment("song", "audio/mpeg"),
        attachment("voice", "audio/ogg"),
        attachment("paper", "application/pdf"),
        attachment("huge", "application/pdf", 50_000_001),
    )
}
CONTEXT = RenderContext(account="kit", address=ANN, attachments=FILES)


def rendered(*blocks, **more):
    said = [Text(block) if isinstance(block, str) else block for block in blocks]
    return render(Draft(blocks=tuple(said), **more), CONTEXT, FEATURES)


def only(*blocks, **more):
    """Give the only part, with what it says of its request, and the names of what was lost."""
    result = rendered(*blocks, **more)
    (part,) = result.parts
    return part, json.loads(part.payload), [loss.what for loss in result.degradations]


def test_a_text_without_marks_is_said_as_it_is():
    part, payload, losses = only("Hello 1*2_3")
    assert (part.text, part.plain, payload, losses) == ("Hello 1*2_3", "", {"method": "sendMessage"}, [])


def test_a_text_with_marks_has_a_plain_twin_for_when_they_are_refused():
    part, payload, losses = only("**Hi** [shop](https://a.b)")
    assert (part.text, part.plain, losses) == ("Hi shop", "Hi shop (https://a.b)", [])
    assert payload["entities"] == [
        {"type": "bold", "offset": 0, "length": 2},
        {"type": "text_link", "offset": 3, "length": 4, "url": "https://a.b"},
    ]


def test_a_long_text_is_cut_in_utf16_units():
    parts = rendered("\U0001f600" * 3000).parts
    assert [len(part.text) for part in parts] == [2048, 952]


def test_two_buttons_stand_in_a_row_and_long_ones_below_each_other():
    _, payload, losses = only(Buttons(text="Shall **we**?", options=(YES, NO)))
    assert payload["keyboard"] == [
        [{"text": "Yes please", "callback_data": "yes"}, {"text": "No thanks", "callback_data": "no"}]
    ]
    assert losses == []
    long = Option("s", "See what is in the shop", url="https://shop.example/a?b=c")
    _, payload, _ = only(Buttons(text="Well?", options=(YES, long)))
    assert payload["keyboard"] == [
        [{"text": "Yes please", "callback_data": "yes"}],
        [{"text": "See what is in the shop", "url": "https://shop.example/a?b=c"}],
    ]


def test_a_list_is_a_keyboard_with_what_its_rows_mean_in_the_text():
    rows = (Option("s", "Small", "holds *one* cup"), Option("l", "Large"))
    part, payload, losses = only(Choices(text="Which?", button="Choose", options=rows))
    assert part.text == "Which?\n\n• Small: holds *one* cup"
    assert [len(row) for row in payload["keyboard"]] == [1, 1]
    assert losses == ["descriptions_in_text"]


# Telegram refuses a button that opens one of these, and leaves a link to it out.
UNOPENED = ["http://intranet/shop", "http://localhost:8080/form/1", "https://[::1/x", "https://[::1]/x", "http:///a.b"]
UNPRESSED = [
    Option("i" * 65, "An id of 65 bytes"),
    Option("é" * 33, "An id of 66 bytes"),
    Option("", "No id"),
    Option("m", "Mail", url="mailto:me@a.b"),
    *(Option("u", "Unknown to Telegram", url=url) for url in UNOPENED),
    Option("n", " "),
]


@pytest.mark.parametrize("option", UNPRESSED, ids=lambda option: option.title)
def test_buttons_that_telegram_does_not_take_are_a_numbered_list(option):
    part, payload, losses = only(Buttons(text="Well?", options=(YES, option)))
    assert part.text.startswith("Well?\n\n1. Yes please\n2.")
    assert option.title.strip() in part.text
    assert option.url.partition(":")[2] in part.text
    assert ("keyboard" in payload, losses) == (False, ["buttons_as_text"])


def test_what_stands_in_an_option_is_no_markdown():
    part, payload, _ = only(Buttons(text="Well?", options=(Option("", "*a* [b](https://c.d) 1. `e`"),)))
    assert part.text == "Well?\n\n1. *a* [b](https://c.d) 1. `e`"
    assert "entities" not in payload


def test_buttons_need_a_text():
    with pytest.raises(Unsupported, match="without a text"):
        rendered(Buttons(text=" ", options=(YES,)))


METHODS = [
    ("picture", "sendPhoto", []),
    ("large picture", "sendDocument", ["picture_as_file"]),
    ("film", "sendVideo", []),
    ("other film", "sendDocument", []),
    ("cat", "sendAnimation", []),
    ("song", "sendAudio", []),
    ("voice", "sendVoice", []),
    ("paper", "sendDocument", []),
]


@pytest.mark.parametrize(("file", "method", "losses"), METHODS, ids=[row[0] for row in METHODS])
def test_each_file_goes_as_what_it_is(file, method, losses):
    part, payload, named = only(Media(attachment=file, caption="The *parcel*"))
    assert (part.attachment, part.text, payload["method"], named) == (file, "The parcel", method, losses)
    assert payload["entities"] == [{"type": "italic", "offset": 4, "length": 6}]


def test_a_file_over_50_megabytes_is_refused():
    with pytest.raises(Unsupported, match="50000000"):
        rendered(Media(attachment="huge"))


def test_a_caption_is_counted_without_its_marks():
    only(Media(attachment="picture", caption=f"**{'a' * 1024}**"))
    result = rendered(Media(attachment="picture", caption=f"**{'a' * 1025}**"))
    assert [len(part.text) for part in result.parts] == [0, 1025]
    assert [loss.what for loss in result.degradations] == ["caption_apart"]


def test_a_card_is_a_picture_with_title_text_and_buttons():
    part, payload, losses = only(Card(title="A cup", text="It is *blue*", image="picture", options=(YES,)))
    assert (part.attachment, part.text, part.plain) == ("picture", "A cup\n\nIt is blue", "A cup\n\nIt is blue")
    assert payload["method"] == "sendPhoto"
    assert [entity["type"] for entity in payload["entities"]] == ["bold", "italic"]
    assert payload["keyboard"] == [[{"text": "Yes please", "callback_data": "yes"}]]
    assert losses == []


def test_a_card_with_more_than_a_caption_is_two_messages():
    result = rendered(Card(title="A cup", text="word " * 300, image="picture", options=(YES,)))
    picture, text = result.parts
    assert (picture.attachment, picture.text, text.attachment) == ("picture", "", "")
    assert "keyboard" in json.loads(text.payload)
    assert [loss.what for loss in result.degradations] == ["caption_apart"]


PLACES = [
    ({"name": "Monas", "address": "Jakarta"}, {"title": "Monas", "address": "Jakarta"}),
    ({"name": "Monas"}, {"title": "Monas", "address": "-6.2, 106.8"}),
    ({"address": "Jakarta"}, {"title": "Jakarta", "address": "-6.2, 106.8"}),
]


@pytest.mark.parametrize(("said", "shown"), PLACES)
def test_a_place_with_a_name_is_a_venue(said, shown):
    _, payload, _ = only(Location(latitude=-6.2, longitude=106.8, **said))
    assert payload == {"method": "sendVenue", "place": {"latitude": -6.2, "longitude": 106.8, **shown}}


def test_a_point_is_a_location_that_people_here_can_read():
    part, payload, _ = only(Location(latitude=-6.2, longitude=106.8))
    assert payload == {"method": "sendLocation", "place": {"latitude": -6.2, "longitude": 106.8}}
    assert "-6.2, 106.8" in part.text


def test_a_form_is_a_button():
    part, payload, _ = only(FormLink(label="Your address", url="https://forms.example/f1"))
    assert part.text == "Your address"
    assert payload["keyboard"] == [[{"text": "Your address", "url": "https://forms.example/f1"}]]


@pytest.mark.parametrize("url", UNOPENED)
def test_what_telegram_does_not_open_stands_in_the_text(url):
    part, payload, losses = only(FormLink(label="Your address", url=url))
    assert (part.text, losses) == (f"Your address ({url})", ["form_link_as_text"])
    assert payload == {"method": "sendMessage"}


@pytest.mark.parametrize("url", ["http://intranet/a", "https://localhost:8080/x"])
def test_a_link_that_telegram_leaves_out_shows_its_address(url):
    part, payload, _ = only(f"See [here]({url}) and [{url}]({url})")
    assert part.text == f"See here ({url}) and {url}"
    assert "entities" not in payload


@pytest.mark.parametrize("url", ["tg://resolve?domain=shop", "HTTPS://Shop.Example/a", "http://192.168.1.5:8080/a"])
def test_what_telegram_opens_is_a_button(url):
    _, payload, losses = only(Buttons(text="Well?", options=(Option("", "Look", url=url),)))
    assert (payload["keyboard"], losses) == ([[{"text": "Look", "url": url}]], [])


def test_a_subject_is_the_first_line_and_a_template_is_refused():
    part, _, losses = only("text", subject="Parcel 12")
    assert (part.text, losses) == ("Parcel 12\n\ntext", ["subject_as_text"])
    with pytest.raises(Unsupported):
        rendered(Template(name="hello", language="en"))


def test_more_marks_than_telegram_shows_lose_the_last_and_no_link():
    part, payload, losses = only(" ".join(["**a**"] * 110 + ["[b](https://c.d)"] * 20))
    kinds = [entity["type"] for entity in payload["entities"]]
    assert (len(kinds), kinds.count("text_link"), losses) == (100, 20, ["marks_dropped"])
    part, payload, losses = only(" ".join(["[b](https://c.d)"] * 101))
    assert ("entities" in payload, part.text.count("https://c.d"), losses) == (False, 101, ["marks_dropped"])


def test_what_nobody_can_see_is_not_sent():
    with pytest.raises(Unsupported, match="nothing to send"):
        rendered("\x01\x02")
