"""Blocks as JSON and as plain text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkwire import model
from talkwire.formatting import blocks_from_json, blocks_to_json, plain_text
from talkwire.model import (
    Buttons,
    Card,
    Choice,
    Choices,
    ContactCard,
    Draft,
    FormLink,
    Forward,
    Location,
    Media,
    Option,
    Original,
    Other,
    RemoteMedia,
    Template,
    Text,
)  # fmt: skip

ROWS = [  # a block of each type, with its plain twin
    (Text("a **b**"), "a b"),
    (Media(attachment="f", caption="_c_"), "c"),
    (Media(attachment="f"), "[attachment]"),
    (RemoteMedia(handle="h", name="a.png", caption="*as sent*", size=3), "[a.png]\n*as sent*"),
    (Buttons(text="Which?", options=(Option("1", "Red"), Option("2", "Blue"))), "Which?\n\n1. Red\n2. Blue"),
    (
        Choices(
            text="Which?", button="Open", options=(Option("1", "Red", "warm"), Option("2", "Shop", "", "https://a.b"))
        ),
        "Which?\n\n1. Red: warm\n2. Shop (https://a.b)",
    ),
    (Card(title="T*", text="_x_", options=(Option("1", "Go"),)), "T*\n\nx\n\n1. Go"),
    (
        Location(latitude=-6.2, longitude=106.816666, name="Monas", address="Jakarta"),
        "Monas, Jakarta\n-6.2, 106.816666 (https://www.openstreetmap.org/?mlat=-6.200000&mlon=106.816666)",
    ),
    (Template(name="hello", language="id", values=("Ann",), text="Halo *Ann*"), "Halo *Ann*"),
    (Template(name="hello", language="id", values=("Ann",)), "hello, Ann"),
    (FormLink(label="Form", url="https://a.b/f"), "Form (https://a.b/f)"),
    (Original(text="a\n> b", html="<p>a</p>"), ""),
    (Forward("m"), "[forwarded message]"),
    (Choice(id="1", title="Red"), "Red"),
    (ContactCard(name="Ann", phones=("+62",), emails=("a@b.c",)), "Ann\n+62\na@b.c"),
    (Other(kind="order", text="An order of 2 things", raw="{}"), "An order of 2 things"),
]


@pytest.mark.parametrize(("block", "text"), ROWS, ids=range(len(ROWS)))
def test_each_block_has_a_plain_twin(block, text):
    assert plain_text((block,)) == text


def test_the_rows_above_hold_every_type():
    assert {type(block) for block, _ in ROWS} == set(model.type_names)


def test_a_draft_is_its_blocks_one_below_the_other():
    assert plain_text(Draft(blocks=(Text("a"), Text(""), Text("b")))) == "a\n\nb"


def test_no_blocks_are_no_text():
    assert (plain_text(()), blocks_to_json(()), blocks_from_json("[]")) == ("", "[]", ())


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OPTIONS = st.lists(st.builds(Option, WORDS, WORDS, WORDS, WORDS), max_size=3).map(tuple)
TEXTS = st.lists(WORDS, max_size=3).map(tuple)
BLOCKS = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Media, attachment=WORDS, caption=WORDS),
    st.builds(RemoteMedia, handle=WORDS, name=WORDS, media_type=WORDS, size=st.none() | st.integers(0), caption=WORDS),
    st.builds(Buttons, text=WORDS, options=OPTIONS),
    st.builds(Choices, text=WORDS, button=WORDS, options=OPTIONS),
    st.builds(Card, title=WORDS, text=WORDS, image=WORDS, options=OPTIONS),
    st.builds(Location, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), name=WORDS, address=WORDS),
    st.builds(Template, name=WORDS, language=WORDS, values=TEXTS, text=WORDS),
    st.builds(FormLink, label=WORDS, url=WORDS),
    st.builds(Choice, id=WORDS, title=WORDS),
    st.builds(ContactCard, name=WORDS, phones=TEXTS, emails=TEXTS),
    st.builds(Other, kind=WORDS, text=WORDS, raw=WORDS),
)


@given(st.lists(BLOCKS, max_size=4).map(tuple))
def test_blocks_come_back_as_they_were(blocks):
    assert blocks_from_json(blocks_to_json(blocks)) == blocks


def test_json_names_the_type():
    assert json.loads(blocks_to_json((Choice(id="1", title="Red"),))) == [{"type": "choice", "id": "1", "title": "Red"}]


def test_a_field_of_a_newer_version_is_passed_over():
    assert blocks_from_json('[{"type":"text","markdown":"a","colour":"red"}]') == (Text("a"),)


def test_a_field_that_an_older_version_did_not_have_gets_its_default():
    assert blocks_from_json('[{"type":"card","title":"a"}]') == (Card(title="a"),)


STRANGE = [
    '[{"type":"hologram","words":"kept"}]', '[{"type":"text","words":"kept"}]', '[{"type":"text","markdown":["kept"]}]',
    '[{"type":"buttons","text":"kept","options":7}]', '[{"type":"location","latitude":"kept","longitude":1}]',
    '[{"type":"location","latitude":500,"longitude":1,"name":"kept"}]',
    '[["kept"]]', '["kept"]', '{"kept":1}', "kept", '[{"type":["kept"]}]', '[{"type":"contact","name":"a","phones":"kept"}]',
]  # fmt: skip


@pytest.mark.parametrize("stored", STRANGE, ids=range(len(STRANGE)))
def test_what_cannot_be_read_is_shown_as_it_is_stored(stored):
    (block,) = blocks_from_json(stored)
    assert isinstance(block, Text)
    assert "kept" in plain_text((block,))


@pytest.mark.parametrize("place", [(90.5, 0), (-91, 0), (0, 181), (0, -180.1), (float("nan"), 0), (0, float("inf"))])
def test_a_place_that_is_not_on_the_earth_cannot_be_made(place):
    """What a provider sends of such becomes unread, and a plugin's reply fails where it is made."""
    with pytest.raises(ValueError, match="not on the earth"):
        Location(latitude=place[0], longitude=place[1])


@given(st.text(max_size=100))
def test_no_stored_text_breaks_the_reader(stored):
    assert isinstance(blocks_from_json(stored), tuple)
