"""Markdown as a small tree of our own, which every renderer walks.

Node ─┬─ Paragraph, Heading          spans
      ├─ CodeBlock, Rule
      ├─ Quote, List                 nodes again
      └─ Table                       rows of cells of spans
Span ─┬─ Words, Code, Break
      └─ Styled, Link                spans again
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MARKDOWN_LIMIT = 16_000  # characters; what follows is taken as written
SIGNS_LIMIT = 3_000  # of one text; the parser takes up to 10 µs for each, and what follows is taken as written
BLOCK_SIGNS_LIMIT = 2_000  # of these what begins lines and borders cells
NESTING_LIMIT = 20  # markdown-it drops what lies deeper, so such a text is taken as written
CELLS_LIMIT = 4_000  # markdown-it fills short rows up: 70 bytes can ask for 65,000 cells

# Anything else (javascript:, file:, a path) is not made clickable; its address is shown as text.
_SAFE_URL = re.compile(r"(https?://|mailto:|tel:)", re.IGNORECASE)
_LANGUAGE = re.compile(r"[\w+#.-]{1,20}")
_STYLES = {"strong": "bold", "em": "italic", "s": "strike"}  # markdown-it's word → ours


@dataclass(frozen=True, slots=True)
class Words:
    """Text without marks."""

    text: str


@dataclass(frozen=True, slots=True)
class Styled:
    """Spans under one mark; the same mark does not stand inside again."""

    kind: str  # bold | italic | strike
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Code in a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """Spans that lead somewhere; links do not nest."""

    url: str  # http, https, mailto or tel
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Break:
    """A line break; a plain line end in the source is one, too."""


Span = Words | Styled | Code | Link | Break


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Lines that belong together."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A title."""

    level: int  # 1 to 6
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Code with its line breaks."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Quote:
    """What somebody else said."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class List:
    """Points, each of which may hold anything."""

    items: tuple[tuple[Node, ...], ...]
    start: int | None = None  # number of the first; None: bullets


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; the first row is the head."""

    rows: tuple[tuple[tuple[Span, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""


Node = Paragraph | Heading | CodeBlock | Quote | List | Table | Rule


class Reading(NamedTuple):
    """What a text means, and why some of it stands as it was written."""

    nodes: tuple[Node, ...]
    too_long: bool = False  # what lies beyond `MARKDOWN_LIMIT` is as written
    too_full: bool = False  # what lies beyond `SIGNS_LIMIT` is
    too_deep: bool = False  # all of it is


def parse(markdown: str) -> tuple[Node, ...]:
    """Read Markdown; HTML in it is text, link definitions are text, images are links.

    Never raises and loses no words: what is too long, too deep, too wide or too full of signs for the
    parser is taken as it was written.
    """
    return read(markdown).nodes


@lru_cache(maxsize=64)  # a reply is rendered, stored as plain text and previewed within a moment
def read(markdown: str) -> Reading:
    """Read Markdown as `parse` does, and say what was too much of it."""
    if not markdown.isascii():
        markdown = markdown.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "\r" in markdown:
        markdown = markdown.replace("\r\n", "\n").replace("\r", "\n")  # the parser counts these as lines, too
    if "\0" in markdown:
        markdown = markdown.replace("\0", "\ufffd")
    if len(markdown) <= MARKDOWN_LIMIT:
        return _read(markdown)
    cut = markdown.rfind("\n", 0, MARKDOWN_LIMIT) + 1 or MARKDOWN_LIMIT
    head = _read(markdown[:cut])
    if head.too_deep:
        return Reading(as_written(markdown), too_long=True, too_deep=True)
    return head._replace(nodes=(*head.nodes, *as_written(markdown[cut:])), too_long=True)


def _read(markdown: str) -> Reading:
    if _PROSE.fullmatch(markdown):
        return _read_prose(markdown)
    end, signs = _affordable(markdown)
    head, rest = markdown[:end], markdown[end:]
    rows = [line.count("|") for line in head.split("\n") if "|" in line] if "|" in head else []
    tokens = _block_parser(tables=max(rows, default=0) * len(rows) <= CELLS_LIMIT).parse(head)
    if any(token.level >= NESTING_LIMIT - 1 for token in tokens):
        return Reading(as_written(markdown), too_deep=True)
    inline = _Inline(SIGNS_LIMIT - signs)
    nodes = tuple(_nodes(iter(tokens), _Source(head.split("\n"), inline)))
    return Reading((*nodes, *as_written(rest)), too_full=bool(rest) or inline.is_spent)


def _read_prose(markdown: str) -> Reading:
    inline = _Inline(SIGNS_LIMIT)
    nodes = tuple(Paragraph(inline.spans(text.rstrip())) for text in _BLANK.split(markdown) if text)
    return Reading(nodes, too_full=inline.is_spent)


# Lines that all begin as a paragraph's do: with nothing that could be a block's sign.
_PROSE = re.compile(r"(?:[*_~]{0,2}[^\s\d#>+*_`~=|:-][^\n\v\f\x1c-\x1f\x85]*+(?:\n++|\Z))++")
_BLANK = re.compile(r"\n{2,}")
_FIRST_SIGNS = re.compile(r"(?:[ \t]*(?:[>#*+=~-]|\d{1,9}[.)]))*")
_INLINE_SIGNS = re.compile(r"[\\`~*_\[<&]")


def _affordable(markdown: str) -> tuple[int, int]:
    """Say how many characters of a text the parser of blocks is given, and the signs that are counted for them."""
    if 3 * len(markdown) <= BLOCK_SIGNS_LIMIT:  # no text of that length has so many
        return len(markdown), 0
    end = signs = 0
    for line in markdown.split("\n"):
        more = _signs_of_line(line)
        if signs + more > BLOCK_SIGNS_LIMIT:
            break
        signs += more
        end += len(line) + 1
    return min(end, len(markdown)), signs


def _signs_of_line(line: str) -> int:
    """Count the line itself, each border of a cell, and twice what a block may begin with."""
    first = _FIRST_SIGNS.match(line)
    before = len(first[0].replace(" ", "")) if first else 0
    return 1 + line.count("|") + 2 * min(before, NESTING_LIMIT)


class _Inline:
    """What stands in lines, read as long as there are signs left."""

    def __init__(self, signs: int) -> None:
        self._left = signs
        self.is_spent = False

    def spans(self, text: str) -> tuple[Span, ...]:
        signs = len(_INLINE_SIGNS.findall(text))
        if not signs:
            return tuple(_lines(_AROUND_BREAK.sub("\n", text)))
        self._left -= signs + 2 * (text.count("[") + text.count("<"))
        if self._left < 0:
            self.is_spent = True
            return tuple(_lines(text))
        around, *marked = _WORDS_IN_MARKS.split(text)
        if 2 * sum(map(len, marked[::3])) == signs:  # there are no other
            return tuple(_marked(_AROUND_BREAK.sub("\n", around), marked))
        parser = _inline_parser(links="](" in text)
        return _spans(parser.inline.parse(text, parser, {}, []))


def _marked(before: str, marked: Sequence[str]) -> Iterator[Span]:
    """Give the spans of a text in which nothing but words is marked: in turn a sign, words and what follows them."""
    yield from _lines(before)
    for sign, words, after in zip(marked[::3], marked[1::3], marked[2::3], strict=True):
        yield Styled(_SIGNS[sign], (Words(words),))
        yield from _lines(_AROUND_BREAK.sub("\n", after))


# Words that stand between two equal signs, with a space or nothing before the first, a space, a stop or nothing behind the
# last, and no sign in them. All rules of Markdown agree on these, which are most marks that people write.
_WORDS_IN_MARKS = re.compile(
    r"(?:(?<=[ \n\t])|(?<!.))(\*\*?|__?|~~)([^\W_](?:[^\n\\`~*_\[<&]*[^\W_])?)\1(?=[ \n\t.,;:!?)]|\Z)", re.DOTALL
)
_SIGNS = {"**": "bold", "__": "bold", "*": "italic", "_": "italic", "~~": "strike"}
_AROUND_BREAK = re.compile(r" *\n[ \t]*")


class _Source(NamedTuple):
    lines: list[str]
    inline: _Inline


def as_written(text: str) -> tuple[Node, ...]:
    """Make paragraphs of plain text: marks in it mean nothing."""
    paragraphs = [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text)]
    return tuple(Paragraph(tuple(_lines(part))) for part in paragraphs if part.strip())


def to_json(markdown: str) -> list[Any]:
    """Give the tree as JSON values, for the live chat's widget; each has a `type`."""
    return [_json(node) for node in parse(markdown)]


@cache
def _block_parser(*, tables: bool) -> MarkdownIt:
    """Give the parser of blocks; what stands in their lines is left to `_Inline`."""
    # `[a]: b` would vanish from the text as a definition.
    return _parser().enable(["table"] * tables).disable(["reference", "inline", "text_join"])


@cache
def _inline_parser(*, links: bool) -> MarkdownIt:
    """Give the parser of what stands in lines; without links it does not look for the end of each bracket."""
    return _parser().enable("strikethrough").disable([] if links else ["link", "image"])


def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_LIMIT})
    return parser.disable(["html_block", "html_inline"])


def _nodes(tokens: Iterator[Token], source: _Source, end: str = "") -> Iterator[Node]:
    for token in tokens:
        match token.type:
            case "paragraph_open":
                yield Paragraph(source.inline.spans(next(tokens).content))
            case "heading_open":
                yield Heading(int(token.tag[1]), source.inline.spans(next(tokens).content))
            case "fence" | "code_block":
                yield _code(token)
            case "blockquote_open":
                yield Quote(tuple(_nodes(tokens, source, "blockquote_close")))
            case "bullet_list_open":
                yield List(tuple(_items(tokens, source, "bullet_list_close")))
            case "ordered_list_open":
                start = int(token.attrs.get("start", 1))
                yield List(tuple(_items(tokens, source, "ordered_list_close")), start)
            case "table_open":
                yield Table(tuple(_rows(tokens, source)))
            case "hr":
                yield Rule()
            case kind if kind == end:
                return


def _items(tokens: Iterator[Token], source: _Source, end: str) -> Iterator[tuple[Node, ...]]:
    for token in tokens:
        if token.type == end:
            return
        yield tuple(_nodes(tokens, source, "list_item_close"))


def _rows(tokens: Iterator[Token], source: _Source) -> Iterator[tuple[tuple[Span, ...], ...]]:
    for token in tokens:
        if token.type == "table_close":
            return
        if token.type == "tr_open" and token.map:
            cells = [cell for cell in _until(tokens, "tr_close") if cell.type == "inline"]
            line = source.lines[token.map[0]]
            # Cells beyond the head's are left out by the parser; then the row stays as it was written.
            whole = _letters(line) == _letters("".join(cell.content for cell in cells))
            yield (
                tuple(source.inline.spans(cell.content) for cell in cells) if whole else ((Words(line.strip("> |")),),)
            )


def _until(tokens: Iterator[Token], end: str) -> Iterator[Token]:
    for token in tokens:
        if token.type == end:
            return
        yield token


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text)


def _code(token: Token) -> CodeBlock:
    text, info = token.content.removesuffix("\n"), token.info.strip()
    if text and _LANGUAGE.fullmatch(info):
        return CodeBlock(text, info)
    return CodeBlock(f"{info}\n{text}".strip("\n"))  # "``` two words" was meant to be read


def _spans(tokens: Iterable[Token]) -> tuple[Span, ...]:
    # No recursion: ten thousand asterisks nest five thousand times.
    stack: list[list[Span]] = [[]]
    opened: list[Token] = []
    active: dict[str, int] = {}  # tag → how many of it are open
    words: list[str] = []
    for token in tokens:
        kind = token.type
        if kind in _TEXTS:
            words.append(token.content)
            continue
        if text := "".join(words):
            stack[-1].append(Words(text))
        words = []
        if token.nesting == 1:
            stack.append([])
            opened.append(token)
            tag = token.tag or "a"
            active[tag] = active.get(tag, 0) + 1
        elif token.nesting == -1:
            inner, start = tuple(stack.pop()), opened.pop()
            tag = start.tag or "a"
            active[tag] -= 1
            stack[-1].extend(inner if active[tag] else _closed(start, inner))
        elif kind == "code_inline":
            stack[-1].append(Code(token.content))
        elif kind == "image":
            image = (Words(token.content),)
            stack[-1].extend(_link(str(token.attrs["src"]), token, image, nested=active.get("a", 0) > 0))
        elif kind in ("softbreak", "hardbreak"):
            stack[-1].append(Break())
    if text := "".join(words):
        stack[-1].append(Words(text))
    return tuple(stack[0])


_TEXTS = frozenset({"text", "text_special"})  # the latter was escaped, or an entity


def _closed(start: Token, inner: tuple[Span, ...]) -> tuple[Span, ...]:
    if start.tag in _STYLES:
        return (Styled(_STYLES[start.tag], inner),)
    return _link(str(start.attrs.get("href", "")), start, inner)


def _link(url: str, token: Token, inner: tuple[Span, ...], *, nested: bool = False) -> tuple[Span, ...]:
    title = (Words(f" ({token.attrs['title']})"),) if token.attrs.get("title") else ()
    return (*linked(url, inner, nested=nested), *title)


def linked(url: str, inner: tuple[Span, ...], *, nested: bool = False) -> tuple[Span, ...]:
    """Hang an address on spans; one that is not safe to follow, or has no place there, stands behind them."""
    if _SAFE_URL.match(url) and not nested:
        shown = any(not isinstance(span, Words) or span.text for span in inner)
        return (Link(url, inner if shown else (Words(url),)),)
    return (*inner, *((Words(f" ({url})"),) if url else ()))


def _lines(text: str) -> Iterator[Span]:
    for number, line in enumerate(text.split("\n")):
        if number:
            yield Break()
        if line:
            yield Words(line)


_NAMES: dict[type, str] = {
    Words: "text", Code: "code", Link: "link", Break: "break", Paragraph: "paragraph", Heading: "heading",
    CodeBlock: "code_block", Quote: "quote", List: "list", Table: "table", Rule: "rule",
}  # fmt: skip


def _json(value: object) -> Any:
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    if isinstance(value, Styled):
        return {"type": value.kind, "spans": _json(value.spans)}
    if is_dataclass(value):
        inner = {field.name: _json(getattr(value, field.name)) for field in fields(value)}
        return {"type": _NAMES[type(value)], **inner}
    return value
