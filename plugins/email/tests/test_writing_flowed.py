"""format=flowed: what a program that knows it puts together again is what was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkwire_email.writing.flowed import flowed

LONG = "A parcel of ordinary words wanders along the long way until nobody counts them any more, and then some."


def put_together(wire):
    """Read flowed text as RFC 3676, 4.1 to 4.5 says."""
    lines, before, depth_before = [], None, 0
    for line in wire.removesuffix("\r\n").split("\r\n"):
        depth = len(line) - len(line.lstrip(">"))
        said = line[depth:].removeprefix(" ")
        if before is not None and depth == depth_before:
            said = before + said
        elif before is not None:
            lines.append((depth_before, before))
        if said.endswith(" ") and said != "-- ":
            before, depth_before = said, depth
        else:
            lines.append((depth, said))
            before = None
    if before is not None:
        lines.append((depth_before, before))
    return lines


def test_a_long_line_is_broken_behind_its_spaces_and_comes_together_again():
    wire = flowed(LONG)
    assert [len(line) <= 76 for line in wire.split("\r\n")] == [True] * 3
    assert put_together(wire) == [(0, LONG)]


def test_a_quote_keeps_its_depth_on_every_line():
    wire = flowed(f">> {LONG}\n> short\nmine")
    assert wire.split("\r\n")[:2] == [
        ">> A parcel of ordinary words wanders along the long way until nobody ",
        ">> counts them any more, and then some.",
    ]
    assert put_together(wire) == [(2, LONG), (1, "short"), (0, "mine")]


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        (" indented", "  indented"),
        ("From here on", " From here on"),
        ("ends with spaces   ", "ends with spaces"),
        ("-- ", "-- "),
        ("> -- ", "> -- "),
        ("", ""),
        (">", ">"),
        (">   code", ">   code"),
        ("https://shop.example/" + "x" * 100, "https://shop.example/" + "x" * 100),
    ],
)
def test_a_line_that_would_mean_something_else_is_stuffed(line, sent):
    assert flowed(line) == sent + "\r\n"


def test_no_line_but_the_real_one_looks_like_the_line_above_a_signature():
    line = "-- " + "x" * 80 + " and more words after it"
    assert "-- " not in flowed(line).split("\r\n")
    assert put_together(flowed(line)) == [(0, line)]


WORDS = st.text(alphabet="ab>-. \tFromé早", max_size=200)


@given(st.lists(WORDS, max_size=5))
def test_whatever_is_written_comes_together_again(lines):
    """A line that begins with `>` is a quote, and one that ends in white space loses it: nothing else changes."""
    meant = []
    for line in lines or [""]:
        depth = len(line) - len(line.lstrip(">"))
        said = line[depth:].removeprefix(" ") if depth else line
        meant.append((depth, said if said == "-- " else said.rstrip()))
    wire = flowed("\n".join(lines))
    assert put_together(wire) == meant
