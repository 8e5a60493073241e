"""Lengths and cuts."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkwire.formatting import length, segments, split
from talkwire.formatting.splitting import cuts
from talkwire.model import Unit

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # three people joined into one sign
FLAGS = "\U0001f1ee\U0001f1e9\U0001f1e9\U0001f1ea"  # Indonesia, Germany

SEGMENTS = [
    ("", "gsm7", 0),
    ("a" * 160, "gsm7", 1),
    ("a" * 161, "gsm7", 2),
    ("a" * 306, "gsm7", 2),
    ("a" * 307, "gsm7", 3),
    ("€" * 80, "gsm7", 1),
    ("€" * 81, "gsm7", 2),
    ("a" * 152 + "€" + "a" * 151, "gsm7", 2),
    ("a" * 152 + "€" + "a" * 152, "gsm7", 3),  # the pair moves to the second segment and leaves a septet empty
    ("ą" * 70, "ucs2", 1),
    ("ą" * 71, "ucs2", 2),
    ("ą" * 134, "ucs2", 2),
    ("ą" * 135, "ucs2", 3),
    ("ą" * 66 + "\U0001f600" + "ą" * 66, "ucs2", 3),  # so does the surrogate pair
    ("a" * 70 + "\U0001f600", "ucs2", 2),
]


@pytest.mark.parametrize(("text", "encoding", "count"), SEGMENTS, ids=range(len(SEGMENTS)))
def test_an_sms_is_counted_as_the_network_counts(text, encoding, count):
    assert segments(text) == (encoding, count)


def test_the_gsm_alphabet_is_complete():
    signs = [chr(n) for n in range(0x3000) if chr(n) != "\x1b" and segments(chr(n))[0] == "gsm7"]
    assert len(signs) == 127 + 10  # 128 without the escape; the extension


def test_one_text_has_four_lengths():
    text = "a€\U0001f600"
    assert [length(text, unit) for unit in Unit] == [3, 4, 8, 1]


CUTS = [
    ("one two three", 8, ["one two", "three"]),
    ("First one. Second two", 14, ["First one.", "Second two"]),
    ("One two. Three four five", 15, ["One two.", "Three four five"]),
    ("ab \u0301cd", 3, ["ab", " \u0301c", "d"]),  # a space may carry an accent
    ("a b c d\ne f g h", 10, ["a b c d", "e f g h"]),
    ("a b c d\n\ne f\ng h i", 13, ["a b c d", "e f\ng h i"]),
    ("code:\n    indented", 12, ["code:", "    indented"]),
    ("abcdefgh", 3, ["abc", "def", "gh"]),
    ("no\xa0break here", 9, ["no\xa0break", "here"]),
    ("e\u0301e\u0301", 3, ["e\u0301", "e\u0301"]),
    (f"{FAMILY}{FAMILY}", 7, [FAMILY, FAMILY]),
    (FLAGS, 3, [FLAGS[:2], FLAGS[2:]]),
    ("\U0001f44d\U0001f3fd" * 2, 3, ["\U0001f44d\U0001f3fd"] * 2),
    ("\u1112\u1161\u11ab" * 2, 4, ["\u1112\u1161\u11ab"] * 2),
    ("   ", 2, []),
    ("", 2, []),
    ("fits  ", 10, ["fits"]),
]


@pytest.mark.parametrize(("text", "limit", "pieces"), CUTS, ids=range(len(CUTS)))
def test_the_best_border_is_taken(text, limit, pieces):
    assert split(text, limit, Unit.CHARACTERS) == pieces


def test_a_pair_of_surrogates_is_two_units_and_stays_whole():
    assert split("\U0001f600" * 3, 3, Unit.UTF16) == ["\U0001f600"] * 3


def test_segments_limit_the_segments_of_one_piece():
    assert split("a" * 459 + "b", 3, Unit.SEGMENTS) == ["a" * 459, "b"]


def test_a_grapheme_longer_than_the_limit_is_cut_all_the_same():
    zalgo = "e" + "\u0301" * 9
    assert "".join(split(zalgo, 4, Unit.CHARACTERS)) == zalgo


LONG = [
    "\U0001f1ee" * 100_000,
    "e" + "\u0301" * 100_000,
    "x" * 100_000,
    "x" + " " * 100_000 + "y",
    "\n " * 50_000 + "y",
]


@pytest.mark.parametrize("text", LONG, ids=range(len(LONG)))
def test_a_long_text_without_a_good_border_is_cut_in_bounded_time(text):
    start = time.process_time()
    assert re.sub(r"\s", "", "".join(split(text, 100, Unit.CHARACTERS))) == re.sub(r"\s", "", text)
    assert time.process_time() - start < 2  # seconds


def test_a_piece_is_measured_as_it_will_be():
    """A link whose text holds its address says it once; where only the words before it are left, it stands behind them."""
    text, address = "see our shop a.b/cdefgh", "a.b/c"

    def measure(start, end):
        shown = text[start:end]
        return len(shown) + (len(f" ({address})") if "shop" in shown and address not in shown else 0)

    pieces = [text[start:end] for start, end in cuts(text, 18, measure, 18)]
    assert pieces == ["see our", "shop a.b/cdefgh"]


def test_a_limit_too_small_for_a_character_is_an_error():
    with pytest.raises(ValueError, match="limit of 3"):
        split("\U0001f600", 3, Unit.BYTES)


TEXT = st.lists(
    st.sampled_from(["a", "bc ", ". ", "\n", "\n\n", "€", "é", "e\u0301", FAMILY, FLAGS, "\U0001f600", "ą"]),
    max_size=200,
).map("".join)


@given(TEXT, st.sampled_from(list(Unit)), st.integers(8, 60))
@example("a" * 400, Unit.SEGMENTS, 1)
def test_nothing_is_lost_and_each_piece_fits(text, unit, limit):
    limit = max(1, limit // 20) if unit is Unit.SEGMENTS else limit
    pieces = split(text, limit, unit)
    assert all(0 < length(piece, unit) <= limit for piece in pieces)
    assert re.sub(r"\s", "", "".join(pieces)) == re.sub(r"\s", "", text)


@given(
    st.lists(st.sampled_from(["a", "e\u0301", FAMILY, FLAGS[:2], "\U0001f600", " "]), max_size=60), st.integers(5, 20)
)
def test_no_grapheme_is_cut(graphemes, limit):
    pieces = split("".join(graphemes), limit, Unit.CHARACTERS)
    rest = [grapheme for grapheme in graphemes if grapheme != " "]
    for piece in pieces:
        text = piece.replace(" ", "")
        while text:
            grapheme = rest.pop(0)
            assert text.startswith(grapheme)
            text = text.removeprefix(grapheme)
    assert not rest
