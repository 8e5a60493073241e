"""Marks that a dialect shows at the borders of words alone, taken off where they would not be seen."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from .dialect import Dialect
from .flow import Marks, Piece
from .writing import is_hidden, pair_of

_INLINE = ("bold", "italic", "strike", "code")
_BLOCKS = ("heading", "pre")  # whole lines: these have no neighbours


def at_borders(pieces: Sequence[Piece], dialect: Dialect) -> tuple[list[Piece], tuple[str, ...]]:
    """Take marks off that begin or end inside a word, and those around a sign of their own that could end them.

    Gives what is left, and the kinds that were taken off.
    """
    left, taken = list(pieces), []
    kinds_of = {marks: {mark.kind for mark in marks} for marks in {piece.marks for piece in pieces}}
    kinds = [kinds_of[piece.marks] for piece in pieces]
    used = set[str]().union(*kinds_of.values())
    for kind in (*_INLINE, *_BLOCKS):
        for at, end in _under(kind, kinds) if kind in used else ():
            if _is_lost(kind, pieces, at, end, dialect):
                taken.append(kind)
                left[at:end] = [Piece(piece.text, _without(kind, piece.marks)) for piece in left[at:end]]
    return left, tuple(dict.fromkeys(taken))


def _under(kind: str, kinds: Sequence[set[str]]) -> Iterator[tuple[int, int]]:
    """Give where each run of pieces under a mark begins and ends."""
    at = 0
    for marked, run in groupby(kinds, lambda those: kind in those):
        end = at + sum(1 for _ in run)
        if marked:
            yield at, end
        at = end


def _without(kind: str, marks: Marks) -> Marks:
    return tuple(mark for mark in marks if mark.kind != kind)


def _is_lost(kind: str, pieces: Sequence[Piece], at: int, end: int, dialect: Dialect) -> bool:
    """Say whether a phone would not read a mark around these pieces as one."""
    group, pair = pieces[at:end], pair_of(kind, dialect)
    if pair is not None and _is_ended(kind, pair[1], group, dialect):
        return True
    text = "".join(piece.text for piece in group)
    before = pieces[at - 1].text[-1:] if at and kind in _INLINE else ""
    after = pieces[end].text[:1] if end < len(pieces) and kind in _INLINE else ""
    return _touches(before, text[:1]) or _touches(after, text[-1:])


def _written(piece: Piece, dialect: Dialect) -> Iterator[str]:
    """Give what is written of a piece: addresses that may stand behind it, and its text last."""
    yield from (dialect.escape(mark.arg) for mark in piece.marks if mark.kind == "link")
    if any(mark.kind in ("code", "pre") for mark in piece.marks):
        yield piece.text.strip()
    yield dialect.escape(piece.text.strip())


def _is_ended(kind: str, sign: str, pieces: Sequence[Piece], dialect: Dialect) -> bool:
    """Say whether a text holds a sign that would end a mark around it: in code any, else one at a border."""
    if kind in ("code", "pre"):
        return any(sign.strip()[:1] in piece.text for piece in pieces)
    written = [text for piece in pieces for text in _written(piece, dialect)]
    return is_hidden(written[-1], dialect) or any(_ends(sign, text) for text in written)


def _ends(sign: str, text: str) -> bool:
    at = text.find(sign)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(sign) : at + len(sign) + 1]
        if not before.isspace() and not _of_word(after):
            return True
        at = text.find(sign, at + 1)
    return False


def _touches(outside: str, inside: str) -> bool:
    return _of_word(outside) and not inside.isspace()


def _of_word(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character or " ").startswith("M")
