"""Draft → parts, by features alone."""

import json
import re
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkwire.errors import Unsupported
from talkwire.features import Features, MediaFeature, OptionFeature
from talkwire.formatting import Dialect, length, plain_text, render
from talkwire.model import (
    Address,
    Attachment,
    AttachmentClass,
    Buttons,
    Card,
    Choice,
    Choices,
    Draft,
    FormLink,
    Level,
    Location,
    Media,
    Option,
    RemoteMedia,
    RenderContext,
    Template,
    Text,
    Unit,
    draft,
    type_names,
)  # fmt: skip


def attached(name, media_type, size=100):
    return Attachment(id=name, name=name, media_type=media_type, size=size, sha256="0" * 64, cls=AttachmentClass.FILE)


FILES = {
    "cat": attached("cat", "image/png"),
    "big": attached("big", "image/png", 5000),
    "exe": attached("exe", "application/x-exe"),
}
CONTEXT = RenderContext(account="a", address=Address(kind="phone", value="+1"), attachments=FILES)

STARS = Dialect(
    name="stars", bold=("*", "*"), italic=("_", "_"), strike=("~", "~"), code=("`", "`"), pre=("```\n", "\n```"), quote="> ",
    bullet="• ", spans_lines=False,
)  # fmt: skip
TAGS = Dialect(
    name="tags", bold=("<b>", "</b>"), italic=("<i>", "</i>"), code=("<code>", "</code>"), pre=("<pre>", "</pre>"),
    heading=("<h>", "</h>"), link=lambda text, url: f'<a href="{url}">{text}</a>',
    escape=lambda text: text.replace("&", "&amp;").replace("<", "&lt;"),
    escape_code=lambda text: text.replace("&", "&amp;").replace("<", "&lt;"),
)  # fmt: skip

FULL_BUTTONS = OptionFeature(level=Level.FULL, most=3, title_limit=10)
FULL_LISTS = OptionFeature(level=Level.FULL, most=4, title_limit=12, description_limit=8)
IMAGES = MediaFeature(types=("image/*",), limit=1000, caption_limit=20)
ASK = Buttons(text="**Which?**", options=(Option("1", "Red"), Option("2", "Blue")))
LIST = Choices(text="Which?", button="Open", options=(Option("1", "Red", "warm"), Option("2", "Blue", "cold")))
CARD = Card(title="Shoe", text="_new_", image="cat", options=(Option("1", "Buy"),))
HERE = Location(latitude=1.5, longitude=2.5, name="Shop")
FORM = FormLink(label="Form", url="https://a.b/f")
TEMPLATE = Template(name="hello", language="id", values=("Ann",), text="Halo Ann")


def rendered(*blocks, subject="", reply_to="", **features):
    return render(Draft(blocks=blocks, subject=subject, reply_to=reply_to), Features(**features), CONTEXT)


def texts(result):
    return [part.text for part in result.parts]


def named(result):
    return [(loss.what, loss.lost) for loss in result.degradations]


# --- text ---


def test_text_is_written_in_the_dialect_with_a_plain_twin():
    result = rendered(Text("**a** _b_ ~~c~~ `d*` <https://e.f>"), dialect=STARS)
    (part,) = result.parts
    assert part.text == "*a* _b_ ~c~ `d*` https://e.f"
    assert part.plain == "a b c d* https://e.f"
    assert result.degradations == ()


def test_a_plain_channel_needs_no_twin():
    (part,) = rendered(Text("**a**")).parts
    assert (part.text, part.plain) == ("a", "")


def test_a_dialect_escapes_and_nests():
    result = rendered(Text("# A **b**\n\n1 < 2 **[c _d_](https://e.f)** `<`"), dialect=TAGS)
    assert texts(result) == ['<h>A b</h>\n\n1 &lt; 2 <b><a href="https://e.f">c <i>d</i></a></b> <code>&lt;</code>']


def test_a_provider_that_counts_no_marks_gets_longer_parts():
    counted = replace(TAGS, counted=lambda text: re.sub(r"<[^>]*>", "", text))
    text = Text("**one two three four**")
    assert texts(rendered(text, dialect=TAGS, text_limit=20)) == ["<b>one two three</b>", "<b>four</b>"]
    assert texts(rendered(text, dialect=counted, text_limit=20)) == ["<b>one two three four</b>"]


def test_the_language_of_a_code_block_is_told_in_each_part_of_it():
    named = replace(TAGS, language=lambda language: f"<{language}>")
    code = "```sh\necho one\necho two\n```"
    assert texts(rendered(Text(code), dialect=named)) == ["<pre><sh>echo one\necho two</pre>"]
    assert texts(rendered(Text(code), dialect=TAGS)) == ["<pre>echo one\necho two</pre>"]
    assert texts(rendered(Text(code), dialect=named, text_limit=25)) == [
        "<pre><sh>echo one</pre>",
        "<pre><sh>echo two</pre>",
    ]


def test_marks_close_at_the_end_of_a_part_and_open_again_in_the_next():
    result = rendered(Text("**one two three _four five_ six**"), dialect=TAGS, text_limit=27)
    assert texts(result) == ["<b>one two three</b>", "<b><i>four five</i> six</b>"]
    assert [part.plain for part in result.parts] == ["one two three", "four five six"]


def test_marks_close_before_a_line_break_where_they_must():
    assert texts(rendered(Text("**one\ntwo**"), dialect=STARS)) == ["*one*\n*two*"]


def test_code_and_quotes_are_opened_again_in_the_next_part():
    result = rendered(Text("```\none\ntwo\n```\n\n> three\n> four"), dialect=STARS, text_limit=12)
    assert texts(result) == ["```\none\n```", "```\ntwo\n```", "> three", "> four"]


def test_blocks_are_the_best_place_to_cut():
    result = rendered(Text("aa bb cc.\n\ndd ee ff gg"), text_limit=18)
    assert texts(result) == ["aa bb cc.", "dd ee ff gg"]


def test_texts_that_follow_each_other_are_one_text():
    assert texts(rendered(Text("a"), Text("b"))) == ["a\n\nb"]


def test_the_limit_holds_after_escaping_and_for_the_twin():
    result = rendered(Text("< " * 30 + "[a](https://long.example/address) b"), dialect=TAGS, text_limit=100)
    assert len(result.parts) > 1
    assert all(len(part.text) <= 100 and len(part.plain) <= 100 for part in result.parts)


def test_a_link_longer_than_a_part_is_shown_as_text():
    url = "https://a.b/" + "c" * 90
    result = rendered(Text(f"[here]({url})"), dialect=TAGS, text_limit=50)
    assert "".join(texts(result)) == f"here({url})"
    assert named(result) == [("links_as_text", False)]


LONG = ["- a\n" * 25_000, "a\n\n" * 33_000, "*a* " * 25_000, "> - `a` " * 12_500, "[a](https://a.b) " * 6_000]


@pytest.mark.parametrize("markdown", LONG, ids=range(len(LONG)))
def test_the_longest_text_is_cut_in_bounded_time(markdown):
    start = time.process_time()
    assert len(rendered(Text(markdown), text_limit=160, parts=10_000).parts) > 500
    with pytest.raises(Unsupported, match="more than the 10 parts"):
        rendered(Buttons(text=markdown, options=ASK.options), text_limit=160, buttons=FULL_BUTTONS)
    assert time.process_time() - start < 8  # seconds


def test_options_whose_ids_are_too_long_to_come_back_are_a_numbered_list():
    short = replace(FULL_BUTTONS, id_limit=4)
    fits = Buttons(text="Which?", options=(Option("ab", "Red"), Option("éé", "Blue")))
    assert len(rendered(fits, buttons=short).parts[0].options) == 2
    long = Buttons(text="Which?", options=(Option("ab", "Red"), Option("éé1", "Blue")))
    result = rendered(long, buttons=short)
    assert (texts(result), named(result)) == (["Which?\n\n1. Red\n2. Blue"], [("buttons_as_text", False)])


def test_spaces_stay_outside_of_marks():
    assert texts(rendered(Text("x[ a ](https://b.c)y"), dialect=TAGS)) == ['x <a href="https://b.c">a</a> y']


def test_nesting_costs_little_room():
    assert texts(rendered(Text(">" * 10 + " a"))) == ["> > > > a"]


@pytest.mark.parametrize(
    ("markdown", "named_as"),
    [
        ("> > > > a", []),
        ("> > > > > a", [("nesting_flattened", False)]),
        ("- a\n  - b\n    - c\n      - d\n        - e", [("nesting_flattened", False)]),
        ("> " * 30 + "a", [("marks_as_written", False)]),
    ],
)
def test_nesting_that_is_not_shown_is_named(markdown, named_as):
    assert named(rendered(Text(markdown), dialect=STARS)) == named_as
    of_card = named(rendered(Card(title="t", text=markdown), dialect=STARS, card=Level.PARTIAL))
    assert sorted(of_card) == sorted([("card_as_text", False), *named_as])


@pytest.mark.parametrize("markdown", ["- a\n" * 1000, "a|b\n-|-\n" * 600, "*a* *" * 1100])
def test_too_many_signs_are_named_and_fewer_are_not(markdown):
    assert ("marks_as_written", False) in named(rendered(Text(markdown), dialect=STARS))
    assert ("marks_as_written", False) not in named(rendered(Text(markdown[: len(markdown) // 3]), dialect=STARS))


@pytest.mark.parametrize(
    ("markdown", "written", "named_as"),
    [
        ("in**side**word", "insideword", [("marks_in_words", False)]),
        ("**be**ginning and **end** of **words**!", "beginning and *end* of *words*!", [("marks_in_words", False)]),
        ("**a *b* c** (**d**) “**e**”", "*a _b_ c* (*d*) “*e*”", []),
        ("**two words**ended ~~x~~", "two wordsended ~x~", [("marks_in_words", False)]),
        ("**ש**\u05c1 x", "ש\u05c1 x", [("marks_in_words", False)]),
    ],
)
def test_where_marks_count_at_the_borders_of_words_only_others_are_left_out_and_named(markdown, written, named_as):
    result = rendered(Text(markdown), dialect=replace(STARS, only_at_borders=True))
    assert (texts(result), named(result)) == ([written], named_as)
    assert texts(rendered(Text("in**side**word"), dialect=STARS)) == ["in*side*word"]


def test_the_twin_fits_where_it_is_the_longer_one():
    quiet = Dialect(name="quiet", bold=("*", "*"), link=lambda text, _url: text)
    result = rendered(Text("[w](https://a.example/b) " * 9), dialect=quiet, text_limit=60)
    assert all(len(part.plain) <= 60 for part in result.parts)


def test_lists_keep_their_place():
    result = rendered(Text("1. a\n   - b\n     c\n2. d"), dialect=STARS)
    assert texts(result) == ["1. a\n   • b\n     c\n2. d"]


def test_more_parts_than_the_channel_allows_are_refused():
    with pytest.raises(Unsupported, match="more than the 2 parts") as refused:
        rendered(Text("aaaa"), Text("a" * 90), text_limit=10, parts=2)
    assert (refused.value.block, refused.value.kind) == (1, "text")


def test_a_limit_that_nothing_fits_is_refused():
    with pytest.raises(Unsupported, match="does not fit"):
        rendered(Text("**a**"), dialect=TAGS, text_limit=5)


@pytest.mark.parametrize("blocks", [(), (Text(""),), (Text(" \n "), Text("[]: x"[:0]))])
def test_an_empty_draft_is_refused(blocks):
    with pytest.raises(Unsupported, match="nothing to send"):
        rendered(*blocks)


# --- what is named ---

MARKS = [
    (Text("**a** _b_ ~~c~~ `d`"), {}, [("marks_dropped", False)]),
    (Text("# a"), {"dialect": STARS}, []),
    (Text("# a"), {}, [("marks_dropped", False)]),
    (Text("|a|\n|-|\n|b|"), {"dialect": STARS}, [("table_as_text", False)]),
    (Text("[a](https://b.c)"), {"dialect": STARS}, [("links_as_text", False)]),
    (Text("[a](https://b.c)"), {"dialect": TAGS}, []),
    (Text("> a"), {"dialect": TAGS}, [("marks_dropped", False)]),
    (Text("a"), {}, []),
]


@pytest.mark.parametrize(("block", "features", "losses"), MARKS, ids=range(len(MARKS)))
def test_what_the_dialect_cannot_say_is_named(block, features, losses):
    assert named(rendered(block, **features)) == losses


def test_marks_that_are_dropped_are_told_one_by_one():
    (loss,) = rendered(Text("**a** `b`")).degradations
    assert loss.text == "Shown without marks: bold, code."


def test_a_subject_is_left_out_or_written_first():
    assert named(rendered(Text("a"), subject="s")) == [("subject_dropped", True)]
    with_first_line = render(
        Draft(blocks=(Text("a"),), subject="s*"), Features(subject=Level.PARTIAL, dialect=STARS), CONTEXT
    )
    assert texts(with_first_line) == ["*s**\n\na"]
    assert named(with_first_line) == [("subject_as_text", False)]


def test_a_reference_that_is_left_out_is_named():
    assert named(rendered(Text("a"), reply_to="m")) == [("reply_to_dropped", True)]
    full = render(
        Draft(blocks=(Text("a"),), reply_to="m", subject="s"),
        Features(reply_to=Level.FULL, subject=Level.FULL),
        CONTEXT,
    )
    assert full.degradations == ()


def test_a_rejected_subject_is_refused():
    with pytest.raises(Unsupported, match="no subject"):
        render(Draft(blocks=(Text("a"),), subject="s"), Features(subject=Level.REJECTED), CONTEXT)


# --- options ---


def test_buttons_in_full_are_options_of_the_part():
    result = rendered(Text("Hi"), ASK, buttons=FULL_BUTTONS, dialect=STARS)
    assert [(part.text, part.plain, part.options) for part in result.parts] == [
        ("Hi", "Hi", ()),
        ("*Which?*", "Which?", ASK.options),
    ]


def test_options_stand_on_the_last_part_of_a_long_text():
    result = rendered(Buttons(text="aaaa bbbb cccc", options=ASK.options), buttons=FULL_BUTTONS, text_limit=10)
    assert [(part.text, len(part.options)) for part in result.parts] == [("aaaa bbbb", 0), ("cccc", 2)]


def test_too_many_buttons_become_a_numbered_list():
    many = Buttons(text="Which?", options=tuple(Option(str(n), f"T{n}") for n in range(4)))
    result = rendered(many, buttons=FULL_BUTTONS)
    assert texts(result) == ["Which?\n\n1. T0\n2. T1\n3. T2\n4. T3"]
    assert named(result) == [("buttons_as_text", False)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("Red",), "Its one option is sent as a numbered line."),
        (("Red", "Blue"), "2 options are sent as a numbered list."),
    ],
)
def test_what_became_of_options_is_said_by_their_number(options, said):
    result = rendered(Buttons(text="Which?", options=tuple(Option(title, title) for title in options)))
    assert [one.text for one in result.degradations] == [said]


def test_a_title_that_is_cut_is_named_as_lost():
    result = rendered(Buttons(text="?", options=(Option("1", "A very long title"),)), buttons=FULL_BUTTONS)
    assert result.parts[0].options == (Option("1", "A very…"),)
    assert named(result) == [("title_cut", True)]


def test_a_title_of_nothing_but_spaces_is_cut_too():
    result = rendered(Buttons(text="?", options=(Option("1", " " * 30),)), buttons=FULL_BUTTONS)
    assert result.parts[0].options == (Option("1", "…"),)
    assert named(result) == [("title_cut", True)]


def test_titles_that_would_look_the_same_become_a_numbered_list():
    same = Buttons(text="?", options=(Option("1", "The longer one"), Option("2", "The longer two")))
    result = rendered(same, buttons=FULL_BUTTONS)
    assert texts(result) == ["?\n\n1. The longer one\n2. The longer two"]
    assert named(result) == [("buttons_as_text", False)]


def test_a_list_in_full_keeps_its_button_in_the_payload():
    (part,) = rendered(LIST, lists=FULL_LISTS).parts
    assert (part.text, part.options) == ("Which?", LIST.options)
    assert json.loads(part.payload)["button"] == "Open"


def test_descriptions_that_are_not_carried_are_named_as_lost():
    result = rendered(LIST, lists=OptionFeature(level=Level.FULL, most=9))
    assert {option.description for option in result.parts[0].options} == {""}
    assert named(result) == [("description_cut", True)] * 2


LEVELS = [  # block, features, texts, losses
    (ASK, {}, ["Which?\n\n1. Red\n2. Blue"], ["marks_dropped", "buttons_as_text"]),
    (LIST, {}, ["Which?\n\n1. Red: warm\n2. Blue: cold"], ["list_as_text"]),
    (HERE, {}, ["Shop\n1.5, 2.5 (https://www.openstreetmap.org/?mlat=1.500000&mlon=2.500000)"], ["links_as_text", "location_as_text"]),
    (FORM, {}, ["Form (https://a.b/f)"], ["links_as_text", "form_link_as_text"]),
    (TEMPLATE, {"template": Level.PARTIAL}, ["Halo Ann"], ["template_as_text"]),
    (CARD, {"media": (IMAGES,), "dialect": STARS}, ["", "*Shoe*\n\n_new_\n\n1. Buy"], ["card_as_text", "buttons_as_text"]),
    (CARD, {"media": (IMAGES,), "dialect": STARS, "buttons": FULL_BUTTONS}, ["", "*Shoe*\n\n_new_"], ["card_as_text"]),
]  # fmt: skip


@pytest.mark.parametrize(("block", "features", "expected", "losses"), LEVELS, ids=range(len(LEVELS)))
def test_what_is_carried_in_part_becomes_readable_text(block, features, expected, losses):
    result = rendered(block, **features)
    assert texts(result) == expected
    assert named(result) == [(loss, False) for loss in losses]


NATIVE = [(HERE, "location"), (FORM, "form_link"), (TEMPLATE, "template"), (CARD, "card")]


@pytest.mark.parametrize(("block", "feature"), NATIVE, ids=[name for _, name in NATIVE])
def test_what_is_carried_in_full_is_in_the_payload_with_a_readable_text(block, feature):
    (part,) = rendered(block, **{feature: Level.FULL}, buttons=FULL_BUTTONS, media=(IMAGES,), dialect=TAGS).parts
    assert json.loads(part.payload)["type"] == feature
    assert part.plain


@pytest.mark.parametrize(("block", "feature"), NATIVE, ids=[name for _, name in NATIVE])
def test_what_is_left_out_is_named_as_lost(block, feature):
    result = rendered(Text("a"), block, **{feature: Level.DROPPED})
    assert texts(result) == ["a"]
    assert named(result) == [(f"{feature}_dropped", True)]


REJECTED = [
    *[(block, {feature: Level.REJECTED}) for block, feature in NATIVE],
    (ASK, {"buttons": OptionFeature(level=Level.REJECTED)}),
    (LIST, {"lists": OptionFeature(level=Level.REJECTED)}),
    (Choice(id="1", title="a"), {}),
    (RemoteMedia(handle="h"), {}),
    (Media(attachment="cat"), {}),
    (Media(attachment="exe"), {"media": (IMAGES,)}),
    (Media(attachment="big"), {"media": (IMAGES,)}),
    (Media(attachment="none"), {"media": (IMAGES,)}),
]


@pytest.mark.parametrize(("block", "features"), REJECTED, ids=range(len(REJECTED)))
def test_what_is_rejected_is_refused_by_position_and_type(block, features):
    with pytest.raises(Unsupported) as refused:
        rendered(Text("a"), block, **features)
    assert (refused.value.block, refused.value.kind) == (1, type_names[type(block)])


FULL_CARD = {"card": Level.FULL, "buttons": FULL_BUTTONS, "media": (IMAGES,)}


@pytest.mark.parametrize("image", ["none", "exe", "big"])
def test_a_card_in_full_shows_no_picture_that_the_channel_does_not_carry(image):
    with pytest.raises(Unsupported) as refused:
        rendered(Card(title="Shoe", image=image), **FULL_CARD)
    assert (refused.value.block, refused.value.kind) == (0, "card")


UNSAFE = ["javascript:alert(1)", "file:///etc/passwd", "/path", 'java\nscript:"x"']


@pytest.mark.parametrize("url", UNSAFE)
def test_an_address_that_is_no_link_in_a_text_is_none_in_a_form_or_an_option(url):
    plain_list = rendered(
        FormLink(label="Form", url=url), Buttons(text="", options=(Option("1", "Go", "", url),)), dialect=TAGS
    )
    assert "<a" not in texts(plain_list)[0]
    assert texts(plain_list)[0].startswith(f"Form ({url})\n\n1. Go (")


# --- media ---


def test_a_caption_goes_with_its_picture():
    (part,) = rendered(Media(attachment="cat", caption="**a**"), media=(IMAGES,), dialect=STARS).parts
    assert (part.attachment, part.text, part.plain) == ("cat", "*a*", "a")


def test_a_caption_that_is_too_long_is_a_message_of_its_own():
    result = rendered(Media(attachment="cat", caption="a" * 21), Text("b"), media=(IMAGES,))
    assert [(part.attachment, part.text) for part in result.parts] == [("cat", ""), ("", "a" * 21 + "\n\nb")]
    assert named(result) == [("caption_apart", False)]


def test_the_order_of_blocks_is_the_order_of_parts():
    result = rendered(Text("a"), Media(attachment="cat"), Text("b"), media=(IMAGES,))
    assert [(part.attachment, part.text) for part in result.parts] == [("", "a"), ("cat", ""), ("", "b")]


# --- everything at once ---

WORD = st.text("abcdefgxyz", min_size=1, max_size=12)
MARKED = st.builds(
    lambda mark, words: mark + " ".join(words) + mark,
    st.sampled_from(["", "**", "_", "~~", "`"]),
    st.lists(WORD, min_size=1),
)
LINE = st.builds(
    lambda head, words: head + " ".join(words),
    st.sampled_from(["", "# ", "- ", "3. ", "> ", "    "]),
    st.lists(MARKED, min_size=1, max_size=6),
)
MARKDOWN = st.builds(
    lambda lines, gap: gap.join(lines), st.lists(LINE, min_size=1, max_size=6), st.sampled_from(["\n", "\n\n"])
)
CHOICE_OPTIONS = st.lists(
    st.builds(Option, WORD, st.lists(WORD, min_size=1, max_size=4).map(" ".join), WORD), max_size=6
).map(tuple)
BLOCK = st.one_of(
    st.builds(Text, MARKDOWN),
    st.builds(Media, attachment=st.just("cat"), caption=MARKDOWN),
    st.builds(Buttons, text=MARKDOWN, options=CHOICE_OPTIONS),
    st.builds(Choices, text=MARKDOWN, button=st.just("Open"), options=CHOICE_OPTIONS),
    st.builds(Card, title=WORD, text=MARKDOWN, image=st.sampled_from(["", "cat"]), options=CHOICE_OPTIONS),
    st.builds(Location, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), name=WORD, address=WORD),
    st.builds(FormLink, label=WORD, url=WORD.map("https://{}.example/".format)),
    st.builds(Template, name=WORD, language=st.just("en"), text=WORD),
)  # fmt: skip
LEVEL = st.sampled_from([Level.FULL, Level.PARTIAL, Level.DROPPED])
OPTION_FEATURE = st.builds(
    OptionFeature,
    level=LEVEL,
    most=st.integers(0, 5),
    title_limit=st.integers(5, 20),
    description_limit=st.integers(0, 12),
)
FEATURES = st.builds(
    Features, text_limit=st.none() | st.integers(80, 300), unit=st.sampled_from([Unit.CHARACTERS, Unit.UTF16, Unit.BYTES]),
    parts=st.just(10_000), dialect=st.sampled_from([STARS, TAGS, Features().dialect]), media=st.just((IMAGES,)), buttons=OPTION_FEATURE,
    lists=OPTION_FEATURE, card=LEVEL, location=LEVEL, form_link=LEVEL, template=LEVEL,
)  # fmt: skip


@settings(max_examples=60, deadline=timedelta(seconds=2))
@given(st.lists(BLOCK, min_size=1, max_size=4).map(tuple), FEATURES)
def test_every_word_is_in_a_part_or_its_loss_is_named_and_every_limit_holds(blocks, features):
    try:
        result = render(Draft(blocks=blocks), features, CONTEXT)
    except Unsupported as refused:
        if "nothing to send" not in str(refused):
            raise
        return
    said = "".join(
        part.text + "".join(option.title + option.description for option in part.options) for part in result.parts
    )
    said, twins = letters(said), letters("".join(part.plain or part.text for part in result.parts) + said)
    lossy = {loss.block for loss in result.degradations if loss.lost}
    for position, block in enumerate(blocks):
        if position not in lossy:
            for word in re.findall(r"[a-z]+", plain_text((block,)).replace("attachment", "")):
                assert word in said
                assert word in twins
    for part in result.parts:
        limit = IMAGES.caption_limit if part.attachment and not part.payload else features.text_limit
        if limit is not None:
            assert length(part.text, features.unit) <= limit
            assert length(part.plain, features.unit) <= limit
        assert len(part.options) <= max(features.buttons.most, features.lists.most)
        assert bool(part.plain) == (bool(part.text) and not features.dialect.is_plain)


def letters(text):
    return re.sub(r"[^a-z]", "", re.sub(r"</?[a-z]+>", "", text))


def test_a_draft_of_one_text_is_the_shortest_way():
    assert texts(render(draft("a"), Features(), CONTEXT)) == ["a"]


def test_sms_are_counted_in_segments():
    result = rendered(Text("a" * 200 + " " + "b" * 200), text_limit=2, unit=Unit.SEGMENTS)
    assert [len(part.text) for part in result.parts] == [200, 200]


def test_marks_beyond_what_is_read_are_named():
    words = "word\n" * 3300 + "**bold**"
    assert "**bold**" in "".join(part.text for part in rendered(Text(words)).parts)
    assert ("marks_as_written", False) in named(rendered(Text(words)))
    assert ("marks_as_written", False) in named(rendered(Card(title="Shoe", text=words)))
    assert named(rendered(Text("word"))) == []
