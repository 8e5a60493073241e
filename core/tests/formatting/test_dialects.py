"""Nothing breaks out of a dialect: marks that come out are balanced, and what was text stays text."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkwire.features import Features
from talkwire.formatting import Dialect, render
from talkwire.model import Address, RenderContext, Unit, draft

CONTEXT = RenderContext(account="a", address=Address(kind="phone", value="+1"), attachments={})
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
THUMB = "\U0001f44d\U0001f3fd"
FLAG = "\U0001f1ee\U0001f1e9"
HEBREW, ARABIC = "שָׁלוֹם", "مَرْحَبًا"
RIGHT_TO_LEFT = f"{HEBREW} \u2067{ARABIC}\u2069 abc"

GUARD = "\u2060"  # a word joiner: behind a sign it says that the sign is no mark
TAGS = Dialect(
    name="tags", bold=("<b>", "</b>"), italic=("<i>", "</i>"), strike=("<s>", "</s>"), code=("<code>", "</code>"),
    pre=("<pre>", "</pre>"), heading=("<h>", "</h>"),
    link=lambda text, url: f'<a href="{html.escape(url)}">{text}</a>', escape=html.escape, escape_code=html.escape,
)  # fmt: skip
NO_TAGS = replace(
    TAGS, name="bare", escape=lambda text: text, escape_code=lambda text: text, link=lambda text, _url: text,
    **dict.fromkeys(("bold", "italic", "strike", "code", "pre", "heading"), ("", "")),
)  # fmt: skip


def guarded(text):
    return re.sub(r"([*_~`])", rf"\1{GUARD}", text)


STARS = Dialect(
    name="stars", bold=("*", "*"), italic=("_", "_"), strike=("~", "~"), code=("`", "`"), pre=("```\n", "\n```"),
    quote="> ", bullet="• ", spans_lines=False, escape=guarded, escape_code=guarded,
)  # fmt: skip

WRITTEN = st.lists(
    st.sampled_from(
        [*"*_~`[]()<>&\"'!#-|\\.:/1a", "ab", " ", "\n", "\n\n", "**", "~~", "```\n", "> ", "- ", "1. ", "    ",
         "<b>", "</b>", "&lt;", "[a](https://e.f)", '[b](https://e.f/"x")', "https://a.b/?c=d&e", HEBREW, ARABIC,
         FAMILY, THUMB, FLAG, "e\u0301"]
    ),
    max_size=40,
).map(lambda words: "x\n\n" + "".join(words))  # fmt: skip


def parts(markdown, dialect, **features):
    result = render(draft(markdown), Features(dialect=dialect, parts=1000, **features), CONTEXT)
    return [part.text for part in result.parts]


class Tags(HTMLParser):
    """Reads what is shown, and sees to it that each tag is closed in its turn."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.shown, self.open = "", []
        self.feed(text)
        self.close()
        assert self.open == [], text

    def handle_starttag(self, tag, attrs):
        assert tag in {"b", "i", "s", "code", "pre", "h", "a"}
        assert [name for name, _ in attrs] == (["href"] if tag == "a" else [])
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.shown += data

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = unknown_decl = handle_pi = handle_comment


def without_space(text):
    return re.sub(r"\s", "", text)


@given(WRITTEN, st.sampled_from([None, 120]))
@example("**a <b> _c & `</code>`_**", None)
@example('[a" onclick="b](https://e.f/"x")', None)
def test_tags_are_balanced_in_each_part_and_what_was_text_is_shown_as_text(markdown, limit):
    written = parts(markdown, TAGS, text_limit=limit, unit=Unit.CHARACTERS)
    (plain,) = parts(markdown, NO_TAGS)
    assert without_space("".join(Tags(part).shown for part in written)) == without_space(plain)


def unbalanced(text):
    """Give the marks that are open at the end of a line, or close in the wrong turn."""
    without = re.sub(rf"[*_~`]{GUARD}", "", text)
    open_ = []
    for token in re.findall(r"```|[*_~`]|\n", without):
        if token == "\n":
            if open_ and open_ != ["```"]:
                return open_
        elif open_ and open_[-1] == token:
            open_.pop()
        elif token in open_:
            return [*open_, token]
        else:
            open_.append(token)
    return open_


@given(WRITTEN, st.sampled_from([None, 60]))
@example("**a _b_ ~~c~~ `d*`** *e", None)
@example("**a\nb** ```x", None)
def test_signs_are_balanced_in_each_line_and_what_was_a_sign_stays_one(markdown, limit):
    for part in parts(markdown, STARS, text_limit=limit, unit=Unit.CHARACTERS):
        assert unbalanced(part) == [], part


@pytest.mark.parametrize("dialect", [TAGS, STARS], ids=["tags", "stars"])
def test_text_that_runs_from_right_to_left_comes_out_in_its_own_order_with_its_vowels(dialect):
    """Signs of direction are text: who reads needs them where they stood."""
    (part,) = parts(f"**{RIGHT_TO_LEFT}** {HEBREW}", dialect)
    bold = dialect.bold
    assert part == f"{bold[0]}{RIGHT_TO_LEFT}{bold[1]} {HEBREW}"


@given(st.lists(st.sampled_from([FAMILY, THUMB, FLAG, "e\u0301", "שָׁ", "مَ", " "]), min_size=1, max_size=40))
def test_no_sign_of_several_characters_is_cut_where_marks_stand_around_it(signs):
    words = "".join(signs).strip()
    if not words:
        return
    left = [sign for sign in signs if sign != " "]
    for part in parts(f"**{words}**", TAGS, text_limit=24, unit=Unit.UTF16):
        shown = without_space(Tags(part).shown)
        while shown:
            assert shown.startswith(left[0]), part
            shown = shown.removeprefix(left.pop(0))
    assert left == []
