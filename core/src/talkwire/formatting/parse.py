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
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MARKDOWN_LIMIT = 16_000  # characters; hostile input of this size costs half a second, what follows is taken as written
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


def parse(markdown: str) -> tuple[Node, ...]:
    """Read Markdown; HTML in it is text, link definitions are text, images are links.

    Never raises and loses no words: what is too long, too deep or too wide for the parser is taken
    as it was written.
    """
    return _parsed(markdown)[0]


def is_too_deep(markdown: str) -> bool:
    """Say whether `parse` takes a text as it was written because its quotes and lists nest too deep."""
    return _parsed(markdown)[1]


@lru_cache(maxsize=64)  # a reply is rendered, stored as plain text and previewed within a moment
def _parsed(markdown: str) -> tuple[tuple[Node, ...], bool]:
    markdown = markdown.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    markdown = markdown.replace("\r\n", "\n").replace("\r", "\n")  # the parser counts these as lines, too
    cut = len(markdown)
    if cut > MARKDOWN_LIMIT:
        cut = markdown.rfind("\n", 0, MARKDOWN_LIMIT) + 1 or MARKDOWN_LIMIT
    head, rest = markdown[:cut], markdown[cut:]
    rows = [line.count("|") for line in head.split("\n") if "|" in line]
    tokens = _parser(tables=max(rows, default=0) * len(rows) <= CELLS_LIMIT).parse(head)
    if any(token.level >= NESTING_LIMIT - 1 for token in tokens):
        return as_written(markdown), True
    return (*_nodes(iter(tokens), head.split("\n")), *as_written(rest)), False


def as_written(text: str) -> tuple[Node, ...]:
    """Make paragraphs of plain text: marks in it mean nothing."""
    paragraphs = [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text)]
    return tuple(Paragraph(tuple(_lines(part))) for part in paragraphs if part.strip())


def to_json(markdown: str) -> list[Any]:
    """Give the tree as JSON values, for the live chat's widget; each has a `type`."""
    return [_json(node) for node in parse(markdown)]


@cache
def _parser(*, tables: bool) -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_LIMIT})
    # `[a]: b` would vanish from the text as a definition.
    return parser.enable(["strikethrough", *["table"] * tables]).disable("reference")


def _nodes(tokens: Iterator[Token], source: list[str], end: str = "") -> Iterator[Node]:
    for token in tokens:
        match token.type:
            case "paragraph_open":
                yield Paragraph(_spans(next(tokens).children or ()))
            case "heading_open":
                yield Heading(int(token.tag[1]), _spans(next(tokens).children or ()))
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


def _items(tokens: Iterator[Token], source: list[str], end: str) -> Iterator[tuple[Node, ...]]:
    for token in tokens:
        if token.type == end:
            return
        yield tuple(_nodes(tokens, source, "list_item_close"))


def _rows(tokens: Iterator[Token], source: list[str]) -> Iterator[tuple[tuple[Span, ...], ...]]:
    for token in tokens:
        if token.type == "table_close":
            return
        if token.type == "tr_open" and token.map:
            cells = [cell for cell in _until(tokens, "tr_close") if cell.type == "inline"]
            line = source[token.map[0]]
            # Cells beyond the head's are left out by the parser; then the row stays as it was written.
            whole = _letters(line) == _letters("".join(cell.content for cell in cells))
            yield tuple(_spans(cell.children or ()) for cell in cells) if whole else ((Words(line.strip("> |")),),)


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
    active: Counter[str] = Counter()
    for token in tokens:
        if token.nesting == 1:
            stack.append([])
            opened.append(token)
            active[token.tag or "a"] += 1
        elif token.nesting == -1:
            inner, start = tuple(stack.pop()), opened.pop()
            tag = start.tag or "a"
            active[tag] -= 1
            stack[-1].extend(_closed(start, inner) if not active[tag] else inner)
        elif token.type == "code_inline":
            stack[-1].append(Code(token.content))
        elif token.type == "image":
            stack[-1].extend(_link(str(token.attrs["src"]), token, (Words(token.content),), nested=bool(active["a"])))
        elif token.type in ("softbreak", "hardbreak"):
            stack[-1].append(Break())
        elif token.content:
            stack[-1].append(Words(token.content))
    return tuple(stack[0])


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
