"""Nothing breaks out of a text: what is written for WhatsApp reads as what was meant."""

import time
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkwire import Address, Features, RenderContext, Unit, Unsupported, draft, render
from talkwire_whatsapp.abilities import FEATURES
from talkwire_whatsapp.dialect import NO_MARK, WHATSAPP, escape

from .reader import read, seen

CONTEXT = RenderContext(account="a", address=Address(kind="phone", value="+1"))
BULLET, QUOTE = "\ue001", "\ue002"  # in no text of a person
BARE = replace(  # the same tree, with nothing that a phone would read
    WHATSAPP, name="bare", bullet=BULLET, quote=QUOTE, escape=lambda text: text,
    **dict.fromkeys(("bold", "italic", "strike", "code", "pre"), ("", "")),
)  # fmt: skip
HEBREW, FAMILY, FLAG = "שָׁלוֹם", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1ee\U0001f1e9"
WORDS = [
    *"*_~`[]()<>&\"'!#-|\\.:/1a5", "ab", " ", "\n", "\n\n", "**", "~~", "__", "```\n", "```", "> ", "- ", "* ", "1. ", "    ",
    "[a](https://e.f/_x_)", "[b *c*](https://e.f/x*)", "https://a.b/_c_?d=*e&f~", "http://a.b", "a.bc/_d", "e.fg/*h~", "x_y_z", "5 * 3", HEBREW,
    FAMILY, FLAG, "e\u0301", "中文",
]  # fmt: skip
WRITTEN = st.lists(st.sampled_from(WORDS), max_size=40).map("".join)
ANY = st.one_of(WRITTEN, WRITTEN.map(lambda text: f"x\n\n{text}"), st.text(max_size=60))


def parts(markdown, dialect=WHATSAPP, **features):
    features = {"text_limit": None, "parts": 1000, "dialect": dialect, "unit": Unit.UTF16, **features}
    try:
        return [part.text for part in render(draft(markdown), Features(**features), CONTEXT).parts]
    except Unsupported:  # nothing is written, or a mark and one sign do not fit into so small a part
        return None


@given(ANY, st.sampled_from([None, 80]))
@example("**a** _b_ ~~c~~ `d` *e", None)
@example("**Sale* until _Monday_**", None)
@example("> ```\n> a\n> b\n> ```\n>\n> c", None)
@example("\\- no list\n\n\\> no quote\n\n\\* none", None)
@example("**a [b](https://e.f/x*) c**", None)
def test_what_is_written_reads_as_what_was_meant_with_no_mark_left_open(markdown, limit):
    if limit is not None:
        markdown = markdown.replace("://", ":/")  # a link that is cut tells its address in both parts
    written = parts(markdown, text_limit=limit)
    plain = parts(markdown, BARE)
    if written is None or plain is None:
        return
    found = [read(part) for part in written]
    assert seen("".join(one.shown for one in found)) == seen("".join(plain)), written
    for kind, sign in (("item", BULLET), ("quote", QUOTE)) if limit is None else ():
        assert sum(mark == kind for one in found for mark, _ in one.marks) <= "".join(plain).count(sign), written
    assert [line for one in found for line in one.open] == [], written
    assert limit is None or all(len(part.encode("utf-16-le")) // 2 <= limit for part in written)


@given(ANY, st.integers(60, 120))
@example("[m a@b.c](mailto:a@b.c)" * 9, 60)
@example("**a [b](https://e.f/x*) c** `d` *e* " * 5, 61)
def test_no_part_is_over_its_limit_or_leaves_a_mark_open_with_links_either(markdown, limit):
    features = Features(text_limit=limit, parts=1000, dialect=WHATSAPP, unit=Unit.UTF16)
    try:
        written = render(draft(markdown), features, CONTEXT).parts
    except Unsupported:
        return
    for part in written:
        assert max(len(text.encode("utf-16-le")) // 2 for text in (part.text, part.plain)) <= limit
        assert read(part.text).open == []


@pytest.mark.parametrize(
    ("markdown", "written"),
    [
        ("**a** _b_ ~~c~~ `d`", "*a* _b_ ~c~ `d`"),
        ("# Title\n\ntext", "*Title*\n\ntext"),
        ("```\na\n  b\n```", "```a\n  b```"),
        ("- a\n- b\n\n1. c\n2. d", "- a\n- b\n\n1. c\n2. d"),
        ("> a\n> b", "> a\n> b"),
        ("> ```\n> a\n> b\n> ```", "> ```a```\n> ```b```"),
        ("**one\ntwo**", "*one*\n*two*"),
        ("[shop](https://a.b)", "shop (https://a.b)"),
        ("in**side**word and `a`b", "insideword and ab"),
        ("**5 * 3**", "*5 * 3*"),
        ("**Sale\\* now**", "Sale* now"),
        ("`a \\` b", "`a \\` b"),
        ("``a ` b``", "a ` b"),
        ("a_b_c and x*y", "a_b_c and x*y"),
        ("\\*a\\* \\_b\\_", f"*{NO_MARK}a* _{NO_MARK}b_"),
        ("\\- a", f"-{NO_MARK} a"),
        ("see https://a.b/c_d_e?f=_g", "see https://a.b/c_d_e?f=%5Fg"),
    ],
)
def test_each_mark_is_written_as_whatsapp_reads_it(markdown, written):
    assert parts(markdown) == [written]


@given(ANY, ANY)
def test_a_longer_text_is_never_shorter_when_it_is_escaped(text, more):
    """The splitter looks for the longest piece that fits, and relies on it."""
    whole = text + more
    lengths = [len(escape(whole[:end]).encode("utf-16-le", "surrogatepass")) for end in range(len(whole) + 1)]
    assert lengths == sorted(lengths)


WHOLE, LONG = 4096, 16_000  # characters: a part that is full; the most that is read as Markdown, in four parts
SLOW = [
    "*", "*_*~`", "`", "```", "> ", "- ", "[", "](", "**a", "*a _b", "~~", "\\*", "https://a.b/_", "a*", "\u200b*", "1. ",
    "<", "&", "![a](b)", "![[", "[[]]", "[a](", "<a@b.c>", "`a` b ", "**`a`** ", "***a** b* ", "- a\n", "- - - - a\n",
    "> **a**\n", "> a\n\n", "# a\n", "a\n=\n", "a|b\n-|-\n", "1\n", "[a](https://e.f) ", FAMILY,
]  # fmt: skip
HOSTILE = [(sign * length)[:length] for length in (WHOLE, LONG) for sign in SLOW]
HOSTILE += [
    "|a" * (WHOLE // 4) + "\n" + "|-" * (WHOLE // 4),
    " ".join("`" * n for n in range(1, 90)),
    "![" * 682 + "a" + "](b)" * 682,
    "".join(f"{n}. a\n" for n in range(580)),
]
QUICK = 0.05  # CPU seconds


def written_in(text):
    """Give the parts of a text, and the CPU seconds that they take, the least of some tries: others use this machine."""
    least, whole = float("inf"), replace(FEATURES, parts=1000)  # otherwise they are refused as too long
    for attempt in range(5):
        said = draft(f"{attempt}\n\n{text}")  # another text: what was parsed once is remembered
        start = time.process_time()
        result = render(said, whole, CONTEXT)
        least = min(least, time.process_time() - start)
        if least < QUICK:
            break
    return result.parts, least


@pytest.mark.prove
def test_hostile_texts_are_written_in_time_with_no_mark_left_open(proof):
    longest = dict.fromkeys((WHOLE, LONG), 0.0)
    for text in HOSTILE:
        parts, took = written_in(text)
        size = LONG if len(text) == LONG else WHOLE
        longest[size] = max(longest[size], took)
        assert took < QUICK, text[:20]
        assert [part.text for part in parts if read(part.text).open] == []
    proof("whatsapp-hostile", {
        f"texts of {WHOLE} characters": len(HOSTILE) - len(SLOW), "longest": f"{longest[WHOLE] * 1000:.0f} ms of CPU",
        f"texts of {LONG} characters": len(SLOW), "longest of these": f"{longest[LONG] * 1000:.0f} ms of CPU",
        "allowed": f"{QUICK * 1000:.0f} ms",
    })  # fmt: skip


@pytest.mark.parametrize("place", ["https://", "HTTPS://", "Http://", "www.", "", "(", "sub.", "münchen."])
def test_an_address_leads_where_it_led_however_it_begins(place):
    assert escape(f"See {place}shop.example/_a and *that*") == f"See {place}shop.example/%5Fa and *{NO_MARK}that*"
