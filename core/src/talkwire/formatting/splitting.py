"""Lengths in the units of providers, with the places where a text may be cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Literal

from talkwire.model import Unit

# GSM 7 bit default alphabet and its extension table, whose characters take two septets.
# Source: 3GPP TS 23.038, 6.2.1 and 6.2.1.1; the table compared with six other implementations, 2026-11-22.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM = _BASIC | _EXTENSION

# Room in one SMS, alone and as one of several: 140 octets less 6 of header, in septets or UCS-2 units.
# Source: 3GPP TS 23.040, 9.2.3.24.1 (concatenation with an 8-bit reference); not read again for this.
_ROOM = {"gsm7": (160, 153), "ucs2": (70, 67)}

# Places to cut, the best first. A no-break space is none.
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?…。！？])[^\S\xa0\u202f]")
_WORD = re.compile(r"[^\S\xa0\u202f]")
_GAP = re.compile(r"\s*\n|\s*")  # what a cut swallows; the next line's indentation stays


def length(text: str, unit: Unit) -> int:
    """Measure a text as a provider does; an SMS in segments."""
    if text.isascii() and unit is not Unit.SEGMENTS:
        return len(text)
    match unit:
        case Unit.CHARACTERS:
            return len(text)
        case Unit.UTF16:
            return len(text.encode("utf-16-le", "surrogatepass")) // 2
        case Unit.BYTES:
            return len(text.encode("utf-8", "surrogatepass"))
        case Unit.SEGMENTS:
            return segments(text)[1]


def segments(text: str) -> tuple[Literal["gsm7", "ucs2"], int]:
    """Say how an SMS is coded, with the number of segments it takes; no text takes none."""
    encoding: Literal["gsm7", "ucs2"] = "gsm7" if _GSM.issuperset(text) else "ucs2"
    if encoding == "gsm7":
        widths = [2 if character in _EXTENSION else 1 for character in text]
    else:
        widths = [2 if character > "\uffff" else 1 for character in text]
    alone, together = _ROOM[encoding]
    if sum(widths) <= alone:
        return encoding, 1 if text else 0
    count, used = 1, 0
    for width in widths:  # an escape or a surrogate pair does not lie across two segments
        if used + width > together:
            count, used = count + 1, 0
        used += width
    return encoding, count


def split(text: str, limit: int, unit: Unit) -> list[str]:
    """Cut a text into pieces of at most `limit` units; with segments, of so many segments each.

    Borders of paragraphs, lines, sentences, words are preferred in this order; the space at a border
    goes, nothing else. A grapheme (accents, emoji, flags) stays whole unless it alone is too long.
    ValueError where not even one character fits.
    """

    def measure(start: int, end: int) -> int:
        return length(text[start:end], unit)

    return [text[start:end] for start, end in cuts(text, limit, measure, widest(limit, unit))]


def widest(limit: int, unit: Unit) -> int:
    """Give the most characters that `limit` units can hold."""
    return limit * _ROOM["gsm7"][0] if unit is Unit.SEGMENTS else limit


def cuts(text: str, limit: int, measure: Callable[[int, int], int], width: int) -> Iterator[tuple[int, int]]:
    """Give start and end of each piece, as `split` does; `width` is the most characters that can fit.

    `measure` may fall a little as the end moves on: a link that is cut has its address behind it, a whole one may be its
    own. So a piece is measured as it will be.
    """
    start, stop = 0, len(text.rstrip())
    while start < stop:
        end = stop
        if stop - start > width or measure(start, stop) > limit:
            fits = _most_that_fits(start, min(width, stop - start), limit, measure)
            if not fits:
                raise ValueError(f"a limit of {limit} is too small for a single character")
            end = _border(text, start, start + fits)
            while end > start + 1 and measure(start, _without_space(text, start, end)) > limit:
                end = _border(text, start, end - 1)
        piece_end = _without_space(text, start, end)
        if piece_end > start:
            yield start, piece_end
        gap = _GAP.match(text, piece_end)
        start = gap.end() if gap else piece_end
        if start > piece_end and _joined(text, start):  # a space may carry an accent
            start -= 1


def _without_space(text: str, start: int, end: int) -> int:
    return start + len(text[start:end].rstrip())


def _most_that_fits(start: int, most: int, limit: int, measure: Callable[[int, int], int]) -> int:
    """Give how many characters from `start` on measure at most `limit`, and are at most `most`."""
    low, low_measure = 0, 0
    high, high_measure = most + 1, limit + 1
    guess, guesses = most, 0
    while high - low > 1:
        measured = measure(start, start + guess)
        if measured <= limit:
            low, low_measure = guess, measured
        else:
            high, high_measure = guess, measured
        guesses += 1
        if guesses < _GUESSES:  # most texts are of one kind all along
            guess = low + (limit - low_measure) * (high - low) // (high_measure - low_measure)
        else:
            guess = (low + high) // 2
        guess = min(max(guess, low + 1), high - 1)
    return low


_GUESSES = 6


def _border(text: str, start: int, end: int) -> int:
    half = (start + end) // 2  # a paragraph of three words is no reason to send three words
    for border, first in ((_PARAGRAPH, half), (_LINE, half), (_SENTENCE, half), (_WORD, start + 1)):
        places = [match.start() for match in border.finditer(text, first, end + 1)]
        if places and text[start : places[-1]].strip():
            return places[-1]
    for place in range(end, start, -1):
        if not _joined(text, place, start):
            return place
    return end


def _joined(text: str, at: int, start: int = 0) -> bool:
    """Say whether a cut would go through a grapheme (Unicode UAX #29, the rules that matter in chats).

    `start` is a border before it.
    """
    if not start < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if after in "\u200d\u200c" or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":  # skin tones, tags
        return True
    if before == "\u200d":
        return not after.isspace()
    if "\u1160" <= after <= "\u11ff":  # Hangul vowels and finals follow their consonant
        return "\u1100" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3"
    if _is_flag(before) and _is_flag(after):
        run = next((n for n in range(at - start) if not _is_flag(text[at - 1 - n])), at - start)
        return run % 2 == 1
    return (before == "\r" and after == "\n") or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
