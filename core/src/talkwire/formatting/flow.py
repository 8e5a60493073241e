"""The tree as a flow of marked text, which can be cut at any character and written in any dialect."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from .dialect import Dialect
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


def write(pieces: Iterable[Piece], dialect: Dialect, depth: int = 0) -> str:
    """Write a flow, or any cut of one, in a dialect: every mark that is opened is closed."""
    written = []
    for mark, group in groupby(pieces, lambda piece: piece.marks[depth] if depth < len(piece.marks) else None):
        if mark is None:
            written.append(dialect.escape("".join(piece.text for piece in group)))
        else:
            written.append(_marked(mark, list(group), dialect, depth + 1))
    return "".join(written)


_INLINE = ("bold", "italic", "strike", "code")
_BLOCKS = ("heading", "pre")  # whole lines: these have no neighbours


def at_borders(pieces: Sequence[Piece], dialect: Dialect) -> tuple[list[Piece], tuple[str, ...]]:
    """Take marks off that begin or end inside a word, and those around a sign of their own that could end them.

    Gives what is left, and the kinds that were taken off.
    """
    left, taken = list(pieces), []
    for kind in (*_INLINE, *_BLOCKS):
        pair, at = _pair(kind, dialect), 0
        under = [any(mark.kind == kind for mark in piece.marks) for piece in pieces]
        for marked, run in groupby(range(len(pieces)), under.__getitem__):
            group = [pieces[n] for n in run]
            text, end = "".join(piece.text for piece in group), at + len(group)
            before = pieces[at - 1].text[-1:] if at and kind in _INLINE else ""
            after = pieces[end].text[:1] if end < len(pieces) and kind in _INLINE else ""
            ended = marked and pair is not None and _is_ended(kind, pair[1], group, dialect)
            if ended or (marked and (_touches(before, text[:1]) or _touches(after, text[-1:]))):
                taken.append(kind)
                for n in range(at, end):
                    marks = tuple(mark for mark in left[n].marks if mark.kind != kind)
                    left[n] = Piece(left[n].text, marks)
            at = end
    return left, tuple(dict.fromkeys(taken))


def _pair(kind: str, dialect: Dialect) -> tuple[str, str] | None:
    pair: tuple[str, str] | None = getattr(dialect, kind)
    return pair or (dialect.bold if kind == "heading" else None)


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
    return _is_hidden(written[-1], dialect) or any(_ends(sign, text) for text in written)


def _is_hidden(text: str, dialect: Dialect) -> bool:
    """Say whether a mark would not be seen beside this text."""
    return bool(dialect.unseen) and dialect.unseen in (text[:1], text[-1:])


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


def cut(pieces: Sequence[Piece], ends: Sequence[int], start: int, end: int) -> Iterator[Piece]:
    """Give what lies between two positions of the flow's text; `ends` says where in it each piece ends."""
    for number in range(bisect_right(ends, start), bisect_left(ends, end) + 1):
        text, marks = pieces[number]
        begin = ends[number] - len(text)
        yield Piece(text[max(start - begin, 0) : end - begin], marks)


def _marked(mark: Mark, pieces: list[Piece], dialect: Dialect, depth: int) -> str:
    if mark.kind == "bullet":
        return dialect.escape(mark.arg) if mark.arg else dialect.bullet
    pair: tuple[str, str] | None = getattr(dialect, mark.kind, None) if mark.kind not in _OTHERWISE else None
    if mark.kind in ("code", "pre") and pair:
        named = dialect.language(mark.arg) if mark.arg and dialect.language else ""
        code = dialect.escape_code("".join(piece.text for piece in pieces))
        before, after = pair[0] + named, pair[1]
        if not code.strip():
            return code
        if mark.kind == "code" and dialect.only_at_borders:
            return _around(code, lambda text: before + text + after, dialect)
        if not dialect.spans_lines and any(outer.kind == "quote" for outer in pieces[0].marks[:depth]):
            return "\n".join(before + line + after if line.strip() else line for line in code.split("\n"))
        return before + code + after
    inner = write(pieces, dialect, depth)
    if mark.kind == "heading":
        pair = pair or dialect.bold
    if mark.kind == "quote":
        return "\n".join(((dialect.quote or "") + line).rstrip() for line in inner.split("\n"))
    if mark.kind == "item":
        first, *others = inner.split("\n")
        return "\n".join([first, *(" " * int(mark.arg) + line if line else "" for line in others)])
    if mark.kind == "link":
        link, url = dialect.link, mark.arg
        return _around(
            inner, lambda text: link(text, url) if link else with_address(text, dialect.escape(url)), dialect
        )
    if pair is None:
        return inner
    before, after = pair
    return _around(inner, lambda text: before + text + after, dialect)


_OTHERWISE = frozenset({"quote", "item", "link", "table", "address", "flat"})  # no pair of marks stands around these


def _around(inner: str, wrap: Callable[[str], str], dialect: Dialect) -> str:
    # "*bold *" is not bold anywhere: spaces stay outside.
    if not dialect.spans_lines and "\n" in inner:
        return "\n".join(_around(line, wrap, dialect) for line in inner.split("\n"))
    text = inner.strip()
    if not text or _is_hidden(text, dialect):
        return inner
    at = inner.index(text)
    return inner[:at] + wrap(text) + inner[at + len(text) :]


def with_address(text: str, url: str) -> str:
    """Put a link's address behind its text, unless it is the text."""
    return text if url in (text, f"mailto:{text}", f"tel:{text}") else f"{text} ({url})"
