"""The tree as a flow of marked text, which can be cut at any character."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from .parse import Break, Code, CodeBlock, Heading, Link, List, Node, Paragraph, Quote, Rule, Span, Styled, Table, Words

DEPTH_LIMIT = 4  # quotes and lists inside each other that still indent; each costs room in every line


class Mark(NamedTuple):
    """What holds for a stretch of the flow, from the outside in.

    Kinds: bold, italic, strike, code, pre (argument: its language, or nothing), heading, link (argument: its
    URL), quote, item (argument: columns to indent), bullet (argument: a number, or nothing for the dialect's own bullet). Table,
    address and flat change nothing, but say that something else once stood there.
    """

    kind: str
    arg: str = ""


Marks = tuple[Mark, ...]


class Piece(NamedTuple):
    """Text under one set of marks."""

    text: str  # plain; the one character of a bullet stands for it
    marks: Marks = ()


def _always(_url: str) -> bool:
    return True


def flow(nodes: Iterable[Node], marks: Marks = (), *, keeps: Callable[[str], bool] = _always) -> Iterator[Piece]:
    """Lay nodes out one below the other.

    `keeps` says of a URL whether the dialect can hang it on its text; where not, it stands behind it.
    """
    gap = "\n" if any(mark.kind == "item" for mark in marks) else "\n\n"
    for number, node in enumerate(nodes):
        if number:
            yield Piece(gap, marks)
        match node:
            case Paragraph(spans):
                yield from _inline(spans, marks, keeps)
            case Heading(_, spans):
                yield from _inline(spans, (*marks, Mark("heading")), keeps)
            case CodeBlock(text, language):
                yield Piece(text, (*marks, Mark("pre", language)))
            case Quote(inner):
                yield from flow(inner, _deeper(marks, Mark("quote")), keeps=keeps)
            case List(items, start):
                yield from _list(items, start, marks, keeps)
            case Table(rows):
                yield from _table(rows, (*marks, Mark("table")), keeps)
            case Rule():
                yield Piece("---", marks)


def _list(
    items: Sequence[Sequence[Node]], start: int | None, marks: Marks, keeps: Callable[[str], bool]
) -> Iterator[Piece]:
    for number, item in enumerate(items):
        if number:
            yield Piece("\n", marks)
        bullet = "" if start is None else f"{start + number}. "
        inside = _deeper(marks, Mark("item", str(len(bullet) or 2)))
        yield Piece("•", (*inside, Mark("bullet", bullet)))
        yield from flow(item, inside, keeps=keeps)


def _table(rows: Iterable[Iterable[Sequence[Span]]], marks: Marks, keeps: Callable[[str], bool]) -> Iterator[Piece]:
    for number, row in enumerate(rows):
        if number:
            yield Piece("\n", marks)
        for column, cell in enumerate(row):
            if column:
                yield Piece(" | ", marks)
            yield from _inline(cell, marks, keeps)


def _inline(spans: Iterable[Span], marks: Marks, keeps: Callable[[str], bool]) -> Iterator[Piece]:
    for span in spans:
        match span:
            case Words(text):
                yield Piece(text, marks)
            case Code(text):
                yield Piece(text, (*marks, Mark("code")))
            case Break():
                yield Piece("\n", marks)
            case Styled(kind, inner):
                # A heading is bold already where it has no mark of its own.
                double = kind == "bold" and any(mark.kind == "heading" for mark in marks)
                yield from _inline(inner, marks if double else (*marks, Mark(kind)), keeps)
            case Link(url, inner) if keeps(url):
                yield from _inline(inner, (*marks, Mark("link", url)), keeps)
            case Link(url, inner):
                pieces = list(_inline(inner, marks, keeps))
                text = "".join(piece.text for piece in pieces)
                yield from pieces
                yield Piece(with_address(text, url).removeprefix(text), (*marks, Mark("address")))


def _deeper(marks: Marks, mark: Mark) -> Marks:
    if sum(one.kind in ("quote", "item") for one in marks) < DEPTH_LIMIT:
        return (*marks, mark)
    return marks if _FLAT in marks else (*marks, _FLAT)


_FLAT = Mark("flat")


def with_address(text: str, url: str) -> str:
    """Put a link's address behind its text, unless it is the text."""
    return text if url in (text, f"mailto:{text}", f"tel:{text}") else f"{text} ({url})"
