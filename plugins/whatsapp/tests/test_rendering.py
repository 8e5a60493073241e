"""A draft as the messages that Meta is given."""

import json
from dataclasses import replace

import pytest

from talkwire import (
    Buttons,
    Card,
    Choices,
    Draft,
    FormLink,
    Location,
    Media,
    Option,
    Template,
    Text,
    Unsupported,
)
from talkwire_whatsapp.rendering import render
from talkwire_whatsapp.templates import Templates, known

from .shop import CONTEXT, FILES, LISTED

YES, NO = Option("yes", "Yes"), Option("no", "No")
TRACK = Option("", "Track it", url="https://shop.example/o/7")


class OneAccount:
    """What templates need to know of their channel."""

    account = "shop"

    class settings:  # noqa: N801  it stands for an object
        business_account_id = "102290129340398"


def templates(*listed):
    found = Templates(OneAccount())
    found.take([known(one) for one in (listed or LISTED)])
    return found


def rendered(*blocks, context=CONTEXT, **more):
    return render(Draft(blocks=blocks, **more), context, templates())


def messages(*blocks, **more):
    return [json.loads(part.payload) for part in rendered(*blocks, **more).parts]


def named(*blocks):
    return [(loss.block, loss.what, loss.lost) for loss in rendered(*blocks).degradations]


def interactive(kind, body, action, **more):
    return {"type": "interactive", "interactive": {"type": kind, **more, "body": {"text": body}, "action": action}}


def replies(*options):
    return {"buttons": [{"type": "reply", "reply": {"id": one.id, "title": one.title}} for one in options]}


def opens(title, url):
    return {"name": "cta_url", "parameters": {"display_text": title, "url": url}}


PLACE = Location(latitude=-6.2, longitude=106.8, name="Monas", address="Jakarta Pusat")
ROWS = (Option("a", "Red", "warm"), Option("b", "Blue"))
SHAPES = [
    ((Text("**Hi** there"),), [{"type": "text", "text": {"body": "*Hi* there", "preview_url": False}}]),
    (
        (Text("see https://a.b/c"),),
        [{"type": "text", "text": {"body": "see https://a.b/c", "preview_url": True}}],
    ),
    (
        (Buttons(text="**Well?**", options=(YES, NO)),),
        [interactive("button", "*Well?*", replies(YES, NO))],
    ),
    (
        (Choices(text="Which?", button="Colours", options=ROWS),),
        [
            interactive(
                "list",
                "Which?",
                {
                    "button": "Colours",
                    "sections": [
                        {"rows": [{"id": "a", "title": "Red", "description": "warm"}, {"id": "b", "title": "Blue"}]}
                    ],
                },
            )
        ],
    ),
    (
        (Buttons(text="Your order", options=(TRACK,)),),
        [interactive("cta_url", "Your order", opens("Track it", TRACK.url))],
    ),
    (
        (FormLink(label="Your address", url="https://forms.example/f1"),),
        [interactive("cta_url", "Your address", opens("Your address", "https://forms.example/f1"))],
    ),
    (
        (PLACE,),
        [
            {
                "type": "location",
                "location": {"latitude": -6.2, "longitude": 106.8, "name": "Monas", "address": "Jakarta Pusat"},
            }
        ],
    ),
    ((Location(latitude=0, longitude=0),), [{"type": "location", "location": {"latitude": 0, "longitude": 0}}]),
    ((Media(attachment="photo", caption="A _lamp_"),), [{"type": "image", "image": {"caption": "A _lamp_"}}]),
    ((Media(attachment="photo"),), [{"type": "image", "image": {}}]),
    ((Media(attachment="film"),), [{"type": "video", "video": {}}]),
    (
        (Media(attachment="pdf", caption="The bill"),),
        [{"type": "document", "document": {"caption": "The bill", "filename": "bill.pdf"}}],
    ),
    ((Media(attachment="smile"),), [{"type": "sticker", "sticker": {}}]),
    (
        (Media(attachment="voice", caption="Listen"),),
        [{"type": "audio", "audio": {}}, {"type": "text", "text": {"body": "Listen", "preview_url": False}}],
    ),
    (
        (Card(title="Shoe", text="_new_", image="photo", options=(YES,)),),
        [interactive("button", "*Shoe*\n\n_new_", replies(YES), header={"type": "image", "image": {}})],
    ),
    (
        (Card(title="Bill", image="pdf", options=(TRACK,)),),
        [
            interactive(
                "cta_url",
                "*Bill*",
                opens("Track it", TRACK.url),
                header={"type": "document", "document": {"filename": "bill.pdf"}},
            )
        ],
    ),
    ((Card(title="Shoe", image="photo"),), [{"type": "image", "image": {"caption": "*Shoe*"}}]),
    ((Card(title="Shoe"),), [{"type": "text", "text": {"body": "*Shoe*", "preview_url": False}}]),
]


@pytest.mark.parametrize(("blocks", "wanted"), SHAPES, ids=range(len(SHAPES)))
def test_each_block_is_the_message_that_whatsapp_has_for_it(blocks, wanted):
    assert messages(*blocks) == wanted


MANY = tuple(Option(f"o{n}", f"Option {n}") for n in range(12))
LOSSES = [
    ((Buttons(text="Which?", options=MANY[:4]),), [(0, "buttons_as_text", False)]),
    ((Choices(text="Which?", button="Open", options=MANY),), [(0, "list_as_text", False)]),
    ((Buttons(text="Well?", options=(YES, TRACK)),), [(0, "links_as_text", False), (0, "buttons_as_text", False)]),
    ((Text("Hi"), Buttons(text="Well?", options=(Option("a", "x" * 21),))), [(1, "title_cut", True)]),
    ((Buttons(text="Well?", options=(Option("a", "\U0001f4a1" * 11),)),), [(0, "title_cut", True)]),
    ((Choices(text="?", button="A label with too many words", options=ROWS),), [(0, "title_cut", True)]),
    ((Buttons(text=" ", options=(YES,)),), [(0, "text_added", False)]),
    ((Card(title="", options=(YES,)),), [(0, "text_added", False)]),
    ((Media(attachment="large"),), [(0, "media_as_file", False)]),
    ((Media(attachment="voice", caption="Listen"),), [(0, "caption_apart", False)]),
    ((Text("in**side**word"),), [(0, "marks_in_words", False)]),
]


@pytest.mark.parametrize(("blocks", "wanted"), LOSSES, ids=range(len(LOSSES)))
def test_what_is_said_less_well_is_named_with_its_block(blocks, wanted):
    assert named(*blocks) == wanted


def test_a_text_that_is_followed_by_buttons_alone_is_theirs():
    assert messages(Text("**Well?**"), Buttons(text="", options=(YES,))) == [
        interactive("button", "*Well?*", replies(YES))
    ]


ASKING = [
    lambda text: Buttons(text=text, options=(YES,)),
    lambda text: Buttons(text=text, options=(TRACK,)),
    lambda text: Choices(text=text, button="Colours", options=ROWS),
    lambda text: Card(title="", text=text, image="photo", options=(YES,)),
]


@pytest.mark.parametrize("ask", ASKING, ids=["buttons", "link", "list", "card"])
@pytest.mark.parametrize(
    "text", ["", "> ", "#", "&nbsp;", "[]()", "`` ``", "```\n```", "> &nbsp;", "\u200b", "\n"], ids=repr
)
def test_a_text_that_shows_nothing_gets_words_above_its_options(text, ask):
    found = rendered(ask(text))
    [part] = found.parts
    assert json.loads(part.payload)["interactive"]["body"] == {"text": "Please choose:"}
    assert (part.text, part.plain) == ("Please choose:", "Please choose:")
    assert [(loss.block, loss.what, loss.lost) for loss in found.degradations] == [(0, "text_added", False)]


def test_words_that_are_added_are_named_with_the_block_that_they_are_added_to():
    again = Buttons(text="Sure?", options=(YES, NO))
    blocks = (Text("Hi"), again, Buttons(text="", options=MANY[:4]), replace(again, text="#"), ASKING[2]("> "))
    assert named(*blocks) == [
        (2, "buttons_as_text", False),
        (2, "text_added", False),
        (3, "text_added", False),
        (4, "text_added", False),
    ]


def test_too_many_buttons_are_a_list_that_can_be_answered_with_a_number():
    (message,) = messages(Buttons(text="Which?", options=MANY[:4]))
    assert message["text"]["body"] == "Which?\n\n1. Option 0\n2. Option 1\n3. Option 2\n4. Option 3"


def test_a_long_text_stands_before_its_buttons_and_each_message_keeps_its_limit():
    found = messages(Text("a " * 3000), Buttons(text="word " * 500, options=(YES,)))
    bodies = [m["text"]["body"] if m["type"] == "text" else m["interactive"]["body"]["text"] for m in found]
    assert [m["type"] for m in found] == ["text", "text", "text", "text", "interactive"]
    assert all(len(body) <= 4096 for body in bodies)
    assert len(bodies[-1]) <= 1024


def test_a_preview_shows_what_goes_out():
    text, form = rendered(Text("**Hi**"), FormLink(label="A form with a long, long label", url="https://a.b/f")).parts
    assert (text.text, text.plain) == ("*Hi*", "Hi")
    assert form.text == "A form with a long, long label"
    assert form.options == (Option("", "A form with a long,…", url="https://a.b/f"),)


def test_words_that_are_added_are_in_the_readers_language():
    (message,) = messages(Buttons(text="", options=(YES,)), context=replace(CONTEXT, language="id"))
    assert message["interactive"]["body"]["text"] == "Silakan pilih:"


@pytest.mark.parametrize("file", ["pdf", "sheet", "note", "table"])
def test_a_document_goes_with_its_name(file):
    [message] = messages(Media(attachment=file))
    assert message == {"type": "document", "document": {"filename": FILES[file].name}}


def test_nothing_in_a_label_is_a_mark():
    (message,) = messages(FormLink(label="*Form* _a_", url="https://a.b/f"))
    assert message["interactive"]["body"]["text"] == "*\u200bForm* _\u200ba_"
    assert message["interactive"]["action"]["parameters"]["display_text"] == "*Form* _a_"  # a button has no marks


REFUSED = [
    (Media(attachment="huge"), "100000001 bytes"),
    (Media(attachment="archive"), "does not carry files of type application/zip"),
    (Media(attachment="moving"), "does not carry files of type image/gif"),
    (Media(attachment="cinema"), "does not carry files of type video/quicktime"),
    (Buttons(text="?", options=(Option("a", " "),)), "needs a title"),
    (Buttons(text="?", options=(Option("x" * 257, "A"),)), "1 to 256 characters"),
    (Choices(text="?", button="O", options=(Option("x" * 201, "A"),)), "1 to 200 characters"),
    (Buttons(text="?", options=(Option(" a", "A"),)), "without spaces"),
    (Buttons(text="?", options=(Option("", "A"),)), "1 to 256 characters"),
    (Buttons(text="?", options=(Option("a", "A"), Option("a", "B"))), "an id of its own"),
    (Buttons(text="?", options=(Option("", "A", url="javascript:alert(1)"),)), "no http or https address"),
    (FormLink(label="A", url="file:///etc/passwd"), "http or https address"),
    (FormLink(label="", url="https://a.b"), "needs a label"),
    (Card(title="A", image="voice", options=(YES,)), "not audio/ogg"),
    (Template(name="nothing", language="en"), "there are: hello_world, order_ready, spring"),
]


@pytest.mark.parametrize(("block", "why"), REFUSED, ids=range(len(REFUSED)))
def test_what_whatsapp_does_not_take_is_refused_with_its_place(block, why):
    with pytest.raises(Unsupported, match=why) as refused:
        rendered(Text("Hi"), block)
    assert refused.value.block == 1
