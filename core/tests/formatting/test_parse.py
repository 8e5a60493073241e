"""Markdown → tree."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkwire.formatting import html, plain, sanitise, to_json
from talkwire.formatting.parse import (
    MARKDOWN_LIMIT,
    SIGNS_LIMIT,
    Break,
    CodeBlock,
    Link,
    Paragraph,
    Styled,
    Table,
    Words,
    parse,
    read,
)

ROWS = [  # Markdown, plain twin
    ("a **b** _c_ ~~d~~ `e`", "a b c d e"),
    ("one\ntwo", "one\ntwo"),
    ("# Title\ntext", "Title\n\ntext"),
    ("[docs](https://a.b/c)", "docs (https://a.b/c)"),
    ("<https://a.b/c>", "https://a.b/c"),
    ("[me@a.b](mailto:me@a.b)", "me@a.b"),
    ("![cat](https://a.b/cat.png)", "cat (https://a.b/cat.png)"),
    ("[x](ftp://a.b)", "x (ftp://a.b)"),
    ("[x](javascript:alert)", "[x](javascript:alert)"),
    ('[x](https://a.b "title")', "x (https://a.b) (title)"),
    ("[a]: https://b.c", "[a]: https://b.c"),
    ("<b>bold</b>", "<b>bold</b>"),
    ("3. a\n4. b", "3. a\n4. b"),
    ("- a\n  - b\n    more\n- c", "- a\n  - b\n    more\n- c"),
    ("> a\n> b\n>\n> c", "> a\n> b\n>\n> c"),
    ("```py\nx\n  y\n```", "x\n  y"),
    ("``` not a language\n```", "not a language"),
    ("|a|b|\n|-|-|\n|c|d|", "a | b\nc | d"),
    ("|a|b|\n|-|-|\n|c|d|too many|", "a | b\nc|d|too many"),
    ("a\n\n---\n\nb", "a\n\n---\n\nb"),
    ("**a __b__ c**", "a b c"),
    ("a\r\r|b|c|\r|-|-|\r|d|e|too many|", "a\n\nb | c\nd|e|too many"),
    ("", ""),
]


@pytest.mark.parametrize(("markdown", "text"), ROWS, ids=[row[0] for row in ROWS])
def test_markdown_has_a_readable_plain_twin(markdown, text):
    assert plain(markdown) == text


def test_the_same_mark_does_not_nest():
    assert parse("*a **b *c* d** e*") == (
        Paragraph(
            (Styled("italic", (Words("a "), Styled("bold", (Words("b "), Words("c"), Words(" d"))), Words(" e"))),)
        ),
    )


def test_links_do_not_nest():
    (paragraph,) = parse("[![cat](https://a.b/cat.png)](https://c.d)")
    assert paragraph == Paragraph((Link("https://c.d", (Words("cat"), Words(" (https://a.b/cat.png)"))),))


def test_the_live_chat_gets_nodes_and_no_html():
    assert to_json("**a** [b](https://c.d)\n\n1. x") == [
        {
            "type": "paragraph",
            "spans": [
                {"type": "bold", "spans": [{"type": "text", "text": "a"}]},
                {"type": "text", "text": " "},
                {"type": "link", "url": "https://c.d", "spans": [{"type": "text", "text": "b"}]},
            ],
        },
        {"type": "list", "items": [[{"type": "paragraph", "spans": [{"type": "text", "text": "x"}]}]], "start": 1},
    ]


HOSTILE = [
    "*" * 20_000, "*a **b " * 3000, "[" * 20_000, "![[" * 7000, "`" * 20_000, "> " * 3000 + "deep", "- " * 3000 + "deep",
    ("|" + "a|" * 90 + "\n") + ("|" + "-|" * 90 + "\n") + "|\n" * 9000, "<" * 20_000, "\\" * 20_000, "\ud83d", "\x00",
    ("|" + "a|" * 1200 + "\r") + ("|" + "-|" * 1200 + "\r") + "|\r" * 1000, "&#x110000;", "[a](http://\ud83d)", "<http://[>", "[x](http://xn--\u0378)",
]  # fmt: skip


@pytest.mark.parametrize("markdown", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_markdown_is_read_in_bounded_time(markdown):
    start = time.process_time()
    html(markdown), plain(markdown), to_json(markdown)
    assert time.process_time() - start < 4  # seconds


def test_a_table_that_asks_for_too_many_cells_is_none():
    assert isinstance(parse("|a" * 9 + "|\n" + "|-" * 9 + "|\n" + "|\n" * 9)[0], Table)
    assert not [
        node for node in parse("|a" * 100 + "|\n" + "|-" * 100 + "|\n" + "|\n" * 900) if isinstance(node, Table)
    ]


def test_halves_of_characters_do_not_get_through():
    assert (plain("\ud83d"), plain("\ud83d\ude00")) == ("\ufffd", "\U0001f600")


@given(st.text(alphabet=st.sampled_from("abcdefg *_~#>-|[]()!\\\n<&;:.\t\"'"), max_size=300))
@example("|a|b|\n|-|-|\n|c|d|e|")
@example("> " * 30 + "a")
@example("[a]: b 'c'")
def test_no_word_is_lost_on_the_way_to_plain_text(markdown):
    letters = [letter for letter in markdown if letter.isalpha()]
    text = plain(markdown)
    assert [letter for letter in text if letter.isalpha()] == letters or "&" in markdown or "(" in markdown
    for letter in set(letters):
        assert text.count(letter) >= markdown.count(letter) or "&" in markdown


@given(st.text(max_size=200))
def test_no_text_breaks_the_formatter(text):
    assert isinstance(plain(text), str)
    assert isinstance(to_json(text), list)
    assert isinstance(html(text), str)


def test_what_is_too_long_is_taken_as_written():
    text = "**a** word\n" * (MARKDOWN_LIMIT // 11 + 10)
    assert plain(text).count("word") == text.count("word")
    assert plain(text).endswith("**a** word")


@pytest.mark.parametrize(
    "line", ["- **a** word\n", "> a\n\n", "1. a word\n", "a|b\n-|-\n", "**a** word\n\n", "[a](b)\n\n", "# *a*\n"]
)
def test_what_follows_too_many_signs_is_taken_as_written(line):
    text = line * (MARKDOWN_LIMIT // len(line))
    reading = read(text)
    assert (reading.too_full, reading.too_long, reading.too_deep) == (True, False, False)
    assert plain(text).count("a") >= text.count("a")
    assert plain(text).endswith(line.strip())
    assert not read(line * 100).too_full
    assert html(text)[:500] == html(line * 100)[:500]


def test_signs_in_code_are_not_counted():
    code = "x = *p & y[i_1]\n" * (SIGNS_LIMIT // 4)
    assert read(f"```c\n{code}```").nodes == (CodeBlock(code.rstrip("\n"), "c"),)


# --- two short ways ---

BITS = st.sampled_from(
    ["a", "b c", " ", "  \n", "\n", "\n\n", ".", "(", "é", "1", "٣", "\t", "\xa0", "\x1f", "\u2028", "**a**", "*b c*", "_d_", "__e__",
     "~~f~~", "**g.**", "*", "_", "**", "~~", "`", "[h](https://i.j)", "<k@l.m>", "&lt;", "\\", "# ", "- ", "> ", "1. ", "===", "---",
     "|n|\n|-|\n", "    ", "```\n"]
)  # fmt: skip
MANY = st.lists(BITS, max_size=12).map("".join)


@given(MANY)
@example("a\n- b")
@example("a \n\n  b")
@example("**a\n===\n")
def test_paragraphs_alone_are_read_as_the_parser_of_blocks_reads_them(text):
    """A heading before them is no paragraph, so then it is asked."""
    assert parse(f"# x\n\n{text}")[1:] == parse(text)


@given(MANY)
@example("**a** _b_, ~~c~~")
@example("a**b** c")
@example("*a *b* c*")
@example("**a**b**")
def test_words_in_marks_are_read_as_the_parser_reads_them(text):
    """An entity behind them is no mark around words, so then it is asked."""
    text = "x " + re.sub(r"\s*\n\s*", "\nx ", text.strip()).strip()
    (alone,), (followed,) = parse(text)[:1], parse(f"{text}\nx &amp;")[:1]
    if not text.endswith("\\") and len(parse(f"{text}\nx &amp;")) == 1:
        assert followed.spans == (*alone.spans, Break(), Words("x &"))


# --- HTML ---


def test_html_escapes_everything():
    assert html('<script>x</script> & "q"\n\n```\n<b>\n```') == (
        "<p>&lt;script&gt;x&lt;/script&gt; &amp; &quot;q&quot;</p><pre><code>&lt;b&gt;</code></pre>"
    )


def test_html_says_all_kinds_of_nodes():
    assert html('# a\n\n> b\n\n2. c\n\n- d\n\n|e|\n|-|\n|f|\n\n---\n\n`g` [h](https://i.j?k="l") *m*\\\nn') == (
        '<h1>a</h1><blockquote><p>b</p></blockquote><ol start="2"><li><p>c</p></li></ol><ul><li><p>d</p></li></ul>'
        "<table><tr><th>e</th></tr><tr><td>f</td></tr></table><hr>"
        '<p><code>g</code> <a href="https://i.j?k=%22l%22" rel="noopener noreferrer nofollow">h</a> <em>m</em><br>n</p>'
    )


FOREIGN = [
    ('<p onclick="x">a</p>', "<p>a</p>"),
    ('a<img src="https://spy.example/pixel">b', "ab"),
    ("a<script>b</script><style>c</style><title>d</title>e", "ae"),
    ('<a href="javascript:x">a</a>', '<a rel="noopener noreferrer nofollow">a</a>'),
    ('<a href="mailto:a@b">a</a>', '<a href="mailto:a@b" rel="noopener noreferrer nofollow">a</a>'),
    ('<b style="position:fixed">a', "<b>a</b>"),
    ("<!-- a -->b", "b"),
    ('<ol start="2" align="left" title="a"><li>b', '<ol start="2"><li>b</li></ol>'),
    ('<table><tr><td align="right" colspan="2">a', '<table><tbody><tr><td colspan="2">a</td></tr></tbody></table>'),
    ("<form><input><iframe src=x></iframe></form>a", "a"),
    ("\ud83d", "?"),
]


@pytest.mark.parametrize(("foreign", "clean"), FOREIGN, ids=range(len(FOREIGN)))
def test_foreign_html_keeps_only_what_is_harmless(foreign, clean):
    assert sanitise(foreign) == clean


def test_foreign_html_is_cut_before_it_costs_too_much():
    start = time.process_time()
    clean = sanitise("<div>" * 200_000)
    assert time.process_time() - start < 4  # seconds
    assert clean.endswith("<p>[…]</p>")
