"""Hypertext of a stranger: its text in lines, and a form of it that is safe to show.

It is read once, by a tokenizer that follows the HTML standard where a tag ends, and is written anew from a list of what
is allowed, never nested deeper than a page needs. nh3 judges that once more: what it costs grows with the square of
the depth (20,000 nested `div` took it 0.76 s), so it is given nothing deep.

Source: HTML standard, chapter 13.2.5 "Tokenization", read 2026-11-28; the marks of quotes are what Gmail, Apple Mail,
Thunderbird, Outlook, Yahoo, Proton and Roundcube wrote in 2026.
"""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote

import nh3

from .transfer import content_of

MOST_LINES = 20_000
_DEEPEST = 60  # elements that are open at once in what is written
_MOST_OPEN = 500  # elements that are open at once in what is read; what is deeper is read without its tags
_TAGS, _BYTES_A_TAG = 2000, 40  # tags that are read: so many, and one more for so many characters of the source
_MOST_ENTITIES = 20_000  # in what nh3 is given; each costs it 2 µs
_QUOTE_MARKS = 10  # most `>` before a line
# Possessive throughout: no way back, so no text makes it slow.
_TAG = re.compile(
    r"<([a-zA-Z][^\s/>]*+)"
    r"((?:[\s/]++|[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\s>\"'][^\s>]*+)?+)?+)*+)>"
)
_END = re.compile(r"</([a-zA-Z][^\s/>]*+)[^>]*+>")
_ATTRIBUTE = re.compile(r"([^\s/>=]++)\s*+(?:=\s*+(?:\"([^\"]*+)\"?|'([^']*+)'?|([^\s>]*+)))?+")
_MOST_ATTRIBUTES = 40
_MARKUP = re.compile(r"<[a-zA-Z/!?]")
_ANY_TAG = re.compile(r"<[a-zA-Z/!?][^<>]*(?:>|\Z)")
_BREAK = re.compile(r"</?(?:br|p|div|li|tr|table|blockquote|h[1-6])\b[^<>]*>", re.IGNORECASE)
_COMMENT_ENDS = re.compile("-->")
_CODE = re.compile(r"<(script|style|!--)", re.IGNORECASE)
_DATA = re.compile(r"data:(image/[a-z0-9.+-]{1,40})(?:;[a-z0-9=_-]{1,40}){0,5};base64,", re.IGNORECASE)
_MOST_PICTURES = 50
_SPACES = re.compile(r"[ \t\r\n\f]+")
_RAW = {
    name: re.compile(rf"</{name}[\s/>]", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "iframe", "noembed", "noframes", "xmp")
}
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_ALLOWED = frozenset(
    (
        *("a", "abbr", "b", "blockquote", "br", "caption", "cite", "code", "col", "colgroup", "dd", "del", "div", "dl"),
        *("dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "kbd", "li", "ol", "p", "pre", "q"),
        *("s", "samp", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th"),
        *("thead", "tr", "tt", "u", "ul", "var"),
    )
)  # fmt: skip
# An empty line is around these …
_APART = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "dl", "pre", "table"))
_ALONE = _APART | frozenset(  # … and these begin a line
    ("div", "li", "dt", "dd", "tr", "section", "article", "header", "footer", "address", "center", "form", "main")
)
_CLOSES = {  # what an element that begins ends, and where that stops
    "li": (frozenset({"li"}), frozenset({"ul", "ol"})),
    "dt": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "dd": (frozenset({"dt", "dd"}), frozenset({"dl"})),
    "td": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "th": (frozenset({"td", "th"}), frozenset({"tr", "table"})),
    "tr": (frozenset({"tr"}), frozenset({"table", "tbody", "thead", "tfoot"})),
}
_KEPT = {
    "a": ("href", "title"),
    "td": ("colspan", "rowspan", "align"),
    "th": ("colspan", "rowspan", "align"),
    "ol": ("start",),
}
_LINKS = frozenset({"http", "https", "mailto", "tel"})
_NH3_ATTRIBUTES = {"*": {"dir", "lang"}, "img": {"src", "alt", "width", "height"}} | {
    name: set(names) for name, names in _KEPT.items()
}


class Mark(Enum):
    """What a line is."""

    OWN = "own"
    QUOTED = "quoted"
    ATTRIBUTION = "attribution"  # "On … Ann wrote:"; a quote follows


@dataclass(slots=True)
class Line:
    """One line of text."""

    text: str
    mark: Mark = Mark.OWN


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is written into the hypertext itself, `data:image/png;base64,…`."""

    media_type: str
    content: bytes = field(repr=False)
    content_id: str  # under which `Hypertext.safe` shows it


@dataclass(frozen=True, slots=True)
class Hypertext:
    """What a hypertext says."""

    lines: list[Line]
    safe: str  # to be shown in a page; empty where nothing would be seen
    pictures: tuple[Picture, ...] = ()
    is_whole: bool = True  # False: something of it is in neither form, or has lost its form

    @property
    def text(self) -> str:
        """Give all of it as plain text."""
        return "\n".join(line.text for line in self.lines)


def hypertext(source: str) -> Hypertext:
    """Read a hypertext."""
    reader = _Reader()
    reader.read(source)
    written = reader.safe.getvalue()
    is_whole = reader.is_whole and len(reader.lines) < MOST_LINES
    if written.count("&") > _MOST_ENTITIES:
        written, is_whole = "", False
    safe = ""
    if reader.shows and written:
        safe = nh3.clean(
            written,
            tags=set(_ALLOWED),
            attributes=_NH3_ATTRIBUTES,
            url_schemes={*_LINKS, "cid"},
            link_rel="noopener noreferrer nofollow",
            attribute_filter=_only_enclosed,
        ).strip()
    return Hypertext(reader.lines, safe, tuple(reader.pictures), is_whole=is_whole)


def _only_enclosed(tag: str, name: str, value: str) -> str | None:
    if tag == "img" and name == "src" and not value.lower().startswith("cid:"):
        return None
    return value


@dataclass(slots=True)
class _Open:
    name: str
    is_written: bool
    mark: Mark | None = None
    href: str = ""
    said: int = 0  # pieces of the line when a link began
    on: int = 0  # lines before it
    number: int = -1  # of the next row of a list; -1: rows are not counted


@dataclass(slots=True)
class _Reader:
    lines: list[Line] = field(default_factory=list)
    safe: io.StringIO = field(default_factory=io.StringIO)
    shows: bool = False
    stack: list[_Open] = field(default_factory=list)
    count: Counter[str] = field(default_factory=Counter)  # of open elements by name
    marks: Counter[Mark] = field(default_factory=Counter)  # of open elements
    line: list[str] = field(default_factory=list)
    written: int = 0  # open elements in `safe`
    has_gap: bool = True  # nothing, or an empty line, is above
    needs_gap: bool = False
    above: int = 0  # quote marks before the last line
    in_gmail_quote: bool = False
    all_quoted: bool = False
    pictures: list[Picture] = field(default_factory=list)
    is_whole: bool = True

    def read(self, source: str) -> None:
        at = 0
        tags = _TAGS + len(source) // _BYTES_A_TAG
        while found := _MARKUP.search(source, at):
            if found.start() > at:
                self._text(source[at : found.start()])
            tags -= 1
            if not tags or len(self.stack) > _MOST_OPEN:
                self._without_tags(source[found.start() :])
                at = len(source)
                break
            at = self._markup(source, found.start())
        if at < len(source):
            self._text(source[at:])
        while self.stack:
            self._pop()
        self._flush()
        while self.lines and not self.lines[-1].text:
            self.lines.pop()

    def _without_tags(self, source: str) -> None:
        """Take the text of what is too deep or too much: what it looks like is lost, what it says is not."""
        self.is_whole = False
        kept, at = [], 0
        while found := _CODE.search(source, at):
            kept.append(source[at : found.start()])
            ends = _RAW.get(found[1].lower(), _COMMENT_ENDS).search(source, found.end())
            at = ends.end() if ends else len(source)
        kept.append(source[at:])
        text = _unescaped(_ANY_TAG.sub(" ", _BREAK.sub("\n", "".join(kept))))
        for line in text.split("\n"):
            if said := _SPACES.sub(" ", line).strip():
                self._flush()
                self._say(said)
                if len(self.lines) >= MOST_LINES:
                    break
        self._flush()

    def _markup(self, source: str, at: int) -> int:
        """Read what begins with `<`; give where it ends."""
        sign = source[at + 1 : at + 2]
        if sign in ("!", "?"):
            is_comment = source.startswith("<!--", at)
            end = source.find("-->" if is_comment else ">", at + (4 if is_comment else 2))
            self.is_whole = self.is_whole and end >= 0
            return len(source) if end < 0 else end + (3 if is_comment else 1)
        if sign == "/":
            if tag := _END.match(source, at):
                self._end(tag[1].lower())
                return tag.end()
            end = source.find(">", at)
            return len(source) if end < 0 else end + 1
        tag = _TAG.match(source, at)
        if tag is None:  # its end never comes: browsers show nothing of it, we lose nothing
            self._without_tags(source[at:])
            return len(source)
        name = tag[1].lower()
        self._start(name, tag[2])
        if name in _RAW:
            closed = _RAW[name].search(source, tag.end())
            self.is_whole = self.is_whole and closed is not None
            if name in ("xmp", "textarea"):
                self._text(html.escape(source[tag.end() : closed.start() if closed else len(source)]))
            return closed.start() if closed else len(source)
        return tag.end()

    # --- elements

    def _start(self, name: str, rest: str) -> None:
        attributes = _attributes(rest) if rest and name in _ALLOWED else {}
        if name in _ALONE and self.stack and self.stack[-1].name == "p":
            self._pop()
        if name == "a":
            self._end("a")
        if name in _CLOSES:
            self._close_before(*_CLOSES[name])
        if name in _ALONE:
            self._flush()
            self.needs_gap = self.needs_gap or name in _APART
        if name == "br":
            self._flush(always=True)
        elif name == "hr":
            self._flush()
            self.line.append("---")
            self._flush()
            if "stopspelling" in attributes.get("id", "").lower():
                self.lines[-1].mark = Mark.QUOTED
                self.all_quoted = True
        elif name == "img":
            self._image(attributes)
            return
        elif name == "li":
            self._row()
        elif name in ("td", "th") and self.line:
            self.line.append("  ")
        mark = self._mark(name, attributes)
        if name in _VOID:
            if name in _ALLOWED:
                self.safe.write(f"<{name}>")
            return
        is_written = name in _ALLOWED and self.written < _DEEPEST
        one = _Open(name, is_written, mark)
        if name == "a":
            one.href = _link(attributes.get("href", ""))
            one.said, one.on = len(self.line), len(self.lines)
        elif name == "ol":
            start = attributes.get("start", "1")
            one.number = int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
        if is_written:
            self.written += 1
            self.safe.write(f"<{name}{_kept(name, attributes)}>")
        if mark is not None:
            self._flush()
            self.marks[mark] += 1
        self.stack.append(one)
        self.count[name] += 1

    def _end(self, name: str) -> None:
        if name in ("br", "p") and not self.count[name]:
            self._flush(always=True)
            return
        if not self.count[name]:
            return
        while self.stack[-1].name != name:
            self._pop()
        self._pop()

    def _close_before(self, names: frozenset[str], stops: frozenset[str]) -> None:
        for back, one in enumerate(reversed(self.stack[-10:]), 1):
            if one.name in stops:
                return
            if one.name in names:
                for _ in range(back):
                    self._pop()
                return

    def _pop(self) -> None:
        one = self.stack[-1]
        if one.href and (one.on != len(self.lines) or not _says(self.line[one.said :], one.href)):
            self.line.append(f" ({one.href})")
        if one.name in _ALONE or one.mark is not None:
            self._flush()
            self.needs_gap = self.needs_gap or one.name in _APART
        self.stack.pop()
        self.count[one.name] -= 1
        if one.mark is not None:
            self.marks[one.mark] -= 1
        if one.is_written:
            self.written -= 1
            self.safe.write(f"</{one.name}>")

    def _row(self) -> None:
        for one in reversed(self.stack[-10:]):
            if one.name in ("ol", "ul"):
                self.line.append(f"{one.number}. " if one.number >= 0 else "- ")
                one.number += one.number >= 0
                return
        self.line.append("- ")

    def _image(self, attributes: dict[str, str]) -> None:
        source, alt = attributes.get("src", "").strip(), " ".join(attributes.get("alt", "").split())[:200]
        if alt:
            self._say(f"[{alt}]")
        if found := _DATA.match(source):
            source = self._picture(found[1].lower(), source[found.end() :])
        if source.lower().startswith("cid:"):
            self.shows = True
            source = f"cid:{unquote(source[4:260])}"
            kept = "".join(
                f' {name}="{attributes[name]}"'
                for name in ("width", "height")
                if re.fullmatch(r"[0-9]{1,4}", attributes.get(name, ""))
            )
            self.safe.write(f'<img src="{html.escape(source)}" alt="{html.escape(alt)}"{kept}>')
        elif alt:
            self.safe.write(html.escape(f"[{alt}]"))

    def _picture(self, media_type: str, encoded: str) -> str:
        """Keep a picture; gives the address under which it is shown, empty where it is none."""
        content = content_of(encoded.encode("utf-8", "replace"), "base64")
        if not content or len(self.pictures) == _MOST_PICTURES:
            return ""
        name = f"picture-{len(self.pictures) + 1}@this.mail"
        self.pictures.append(Picture(media_type, content, name))
        return f"cid:{name}"

    def _mark(self, name: str, attributes: dict[str, str]) -> Mark | None:
        """Find the marks that mail programs leave around what they quote."""
        if name == "blockquote" and (self.in_gmail_quote or attributes.get("type", "").lower() == "cite"):
            return Mark.QUOTED
        names = f" {attributes.get('class', '')} {attributes.get('id', '')} ".lower()
        if len(names) < 4:
            return None
        if " gmail_quote" in names:
            self.in_gmail_quote = True
            return Mark.QUOTED if name == "blockquote" else None
        if " olk_src_body_section " in names or " divrplyfwdmsg " in names or " outlookmessageheader " in names:
            self._flush()
            self.all_quoted = True
            if self.lines and self.lines[-1].text == "---":
                self.lines[-1].mark = Mark.QUOTED
        elif " yahoo_quoted " in names or " protonmail_quote " in names or " zmail_extra " in names:
            return Mark.QUOTED
        elif " gmail_attr " in names or " moz-cite-prefix " in names or " reply-intro " in names:
            return Mark.ATTRIBUTION
        return None

    # --- text

    def _text(self, source: str) -> None:
        text = _unescaped(source)
        is_kept = bool(self.count["pre"])
        if not is_kept:
            text = _SPACES.sub(" ", text)
            if not self.line or self.line[-1].endswith((" ", "\n")):
                text = text.lstrip(" ")
        if not text:
            if source:
                self.safe.write(" ")
            return
        self.safe.write(html.escape(text, quote=False))
        self.shows = self.shows or not text.isspace()
        if is_kept:
            first, *others = text.split("\n")
            self._say(first)
            for other in others:
                self._flush(always=True)
                self._say(other)
        else:
            self._say(text)

    def _say(self, text: str) -> None:
        if text:
            self.line.append(text)

    def _flush(self, *, always: bool = False) -> None:
        """End the line; `always`: also an empty one."""
        text = "".join(self.line).replace("\xa0", " ").rstrip()
        self.line.clear()
        if not text and not (always and not self.has_gap):
            return
        if text and self.needs_gap and not self.has_gap:
            self._add("", at_most=self.above)
        self.needs_gap = False
        self._add(text)
        self.has_gap = not text

    def _add(self, text: str, at_most: int = _QUOTE_MARKS) -> None:
        if len(self.lines) < MOST_LINES:
            depth = min(self.count["blockquote"], at_most)
            self.above = depth
            marks = "> " * depth if text else ">" * depth
            mark = Mark.ATTRIBUTION if self.marks[Mark.ATTRIBUTION] else Mark.OWN
            if self.all_quoted or self.marks[Mark.QUOTED]:
                mark = Mark.QUOTED
            self.lines.append(Line(marks + text, mark))


def _attributes(rest: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, one in enumerate(_ATTRIBUTE.finditer(rest)):
        if number == _MOST_ATTRIBUTES:
            break
        name, quoted, single, bare = one.groups()
        found.setdefault(name.lower()[:50], _value(quoted or single or bare or ""))
    return found


def _value(source: str) -> str:
    return source if source[:5].lower() == "data:" else _unescaped(source)[:4000]


def _kept(name: str, attributes: dict[str, str]) -> str:
    made = ""
    for one in (*_KEPT.get(name, ()), "dir", "lang"):
        value = attributes.get(one, "")
        if value and (one != "href" or (value := _link(value))):
            made += f' {one}="{html.escape(value)}"'
    return made


def _link(href: str) -> str:
    """Give an address that may be followed; empty for any other."""
    href = "".join(sign for sign in href.strip() if sign > " ")[:2000]
    scheme, colon, _ = href.partition(":")
    return href if colon and scheme.lower() in _LINKS else ""


def _says(pieces: list[str], href: str) -> bool:
    """Say whether the text of a link names its address already."""
    text = "".join(pieces).strip().rstrip("/").lower()
    bare = re.sub(r"^(mailto:|tel:|https?://)", "", href.lower()).partition("?")[0].rstrip("/")
    return not bare or text.removeprefix("https://").removeprefix("http://") == bare or href.lower() in text


def _unescaped(text: str) -> str:
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except (ValueError, OverflowError):  # a number of thousands of digits
        return text
