"""Marks that count at the borders of words only, and end at the first sign that could end them."""

import re
from dataclasses import replace

import pytest

from talkwire.features import Features, MediaFeature, OptionFeature
from talkwire.formatting import Dialect, render
from talkwire.model import (
    Address,
    Attachment,
    AttachmentClass,
    Buttons,
    Card,
    Draft,
    Level,
    Media,
    Option,
    RenderContext,
    Unit,
    draft,
)

GUARD = "\u200b"
STARS = Dialect(
    name="stars", bold=("*", "*"), italic=("_", "_"), code=("`", "`"), pre=("```", "```"), quote="> ", spans_lines=False,
    only_at_borders=True, unseen=GUARD, escape=lambda text: re.sub(r"(?<!\w)[*_](?!\s)", rf"\g<0>{GUARD}", text),
)  # fmt: skip
FILES = {
    name: Attachment(id=name, name=name, media_type="image/png", size=size, sha256="", cls=AttachmentClass.MEDIA)
    for name, size in (("small", 10), ("large", 1000))
}
CONTEXT = RenderContext(account="a", address=Address(kind="phone", value="+1"), attachments=FILES)


def rendered(said, **features):
    said = draft(said) if isinstance(said, str) else Draft(blocks=(said,))
    return render(said, Features(**features), CONTEXT)


@pytest.mark.parametrize(
    ("markdown", "written", "is_named"),
    [
        ("**Sale\\* now**", "Sale* now", True),
        ("**a\\*b** and **5 * 3**", "*a*b* and *5 * 3*", False),
        ("# Sale\\* now", "Sale* now", True),
        ("`` a`b ``", "a`b", True),
        ("```\na`b\n```", "a`b", True),
        ("`a`b", "ab", True),
        ("**\\***", f"*{GUARD}", True),
        ("**a [b](https://c.d/e*) f**", "a b (https://c.d/e*) f", True),
        ("> ```\n> a\n>\n> b\n> ```", "> ```a```\n>\n> ```b```", False),
        ("` `", "nothing to send", False),
    ],
)
def test_a_mark_stands_only_around_a_text_that_does_not_end_it(markdown, written, is_named):
    if written == "nothing to send":
        markdown, written = f"a {markdown}b", "a  b"
    result = rendered(markdown, dialect=STARS)
    (part,) = result.parts
    assert part.text == written
    assert ("marks_in_words" in {loss.what for loss in result.degradations}) is is_named


def test_what_stands_in_one_text_is_escaped_as_one():
    """A sign between two words of one text is no mark, whether the parser read them as one piece or three."""
    seen = []
    spy = replace(STARS, escape=lambda text: seen.append(text) or text)
    rendered("a&amp;b\nc", dialect=spy)
    assert "a&b\nc" in seen


YES = Option("yes", "Yes")
TRACK = Option("", "Track", url="https://a.b/c")


@pytest.mark.parametrize(
    ("options", "links", "is_full"),
    [
        ((YES, TRACK), None, True),
        ((YES, TRACK), 1, False),
        ((TRACK,), 1, True),
        ((TRACK, replace(TRACK, title="More")), 1, False),
        ((YES,), 0, True),
        ((TRACK,), 0, False),
    ],
)
def test_options_that_open_a_page_stand_alone_where_the_provider_wants_it(options, links, is_full):
    feature = OptionFeature(level=Level.FULL, most=3, links=links)
    (part,) = rendered(Buttons(text="?", options=options), buttons=feature).parts
    assert bool(part.options) is is_full


def test_a_text_beside_options_or_a_picture_has_a_limit_of_its_own():
    words = "word " * 40
    features = {
        "text_limit": 1000, "beside_limit": 50, "buttons": OptionFeature(level=Level.FULL, most=3), "card": Level.FULL,
        "media": (MediaFeature(types=("image/*",), limit=100),),
    }  # fmt: skip
    assert len(rendered(words, **features).parts) == 1
    for block in (Buttons(text=words, options=(YES,)), Card(title="A", text=words, image="small")):
        parts = rendered(block, **features).parts
        assert len(parts) > 1
        assert all(len(part.text) <= 50 for part in parts)
        assert parts[-1].options or parts[-1].attachment
    assert len(rendered(Card(title="A", text=words), **features).parts) == 1


def test_titles_are_cut_in_the_unit_of_the_text():
    bulbs = Buttons(text="?", options=(Option("a", "\U0001f4a1" * 8),))
    feature = OptionFeature(level=Level.FULL, most=3, title_limit=9)
    (part,) = rendered(bulbs, buttons=feature).parts
    assert len(part.options[0].title) == 8
    (part,) = rendered(bulbs, buttons=feature, unit=Unit.UTF16).parts
    assert part.options[0].title == "\U0001f4a1" * 4 + "…"


def test_a_file_that_is_too_large_for_one_family_goes_with_the_next_that_carries_it():
    picture = MediaFeature(types=("image/*",), limit=100, caption_limit=10)
    anything = MediaFeature(types=("*/*",), limit=1000)
    features = Features(media=(picture, anything))
    assert features.media_for("image/png", 100) == picture
    assert features.media_for("image/png", 101) == anything
    assert features.media_for("image/png", 1001) == anything
    assert features.media_for("text/plain") == anything
    (part, _) = rendered(Media(attachment="large", caption="hi"), media=features.media).parts
    assert part.attachment == "large"
