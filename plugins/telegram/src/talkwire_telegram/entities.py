"""Text and entities, which Telegram takes instead of markup: what is bold is said beside the text, by where it stands.

    Markdown ──core, in `DIALECT`──▶ text with signs ──read──▶ text, entities

The signs are control characters. What people write loses its own on the way, so no text can begin or end a mark, and
nothing is escaped: what stands in the text is what is shown.

Source: Bot API 10.1, "MessageEntity", "Formatting options" (which entity may stand in which), read 2026-11-28.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from talkwire import Dialect

# What begins a mark; `_END` ends the innermost. An argument stands before `_OF`: a link's address, a code's language.
_KINDS = {"\x01": "bold", "\x02": "italic", "\x03": "strikethrough", "\x04": "code", "\x05": "pre"}
_LINK, _LANGUAGE, _OF, _END, _QUOTED = "\x06", "\x0e", "\x0f", "\x08", "\x10"
_SIGN = re.compile(rf"{_LINK}([^{_OF}]*){_OF}|{_LANGUAGE}([^{_OF}]*){_OF}|[\x01-\x05{_END}{_QUOTED}]")
_UNSEEN = re.compile(
    rf"{_LINK}[^{_OF}]*{_OF}|{_LANGUAGE}[^{_OF}]*{_OF}|(?<![^\n]){_QUOTED}|[\x01-\x05{_END}]"
)  # all of them but a quote's that does not begin its line
_INNER_QUOTE = "> "  # "blockquote entities can't be nested"
_ALONE = frozenset({"code", "pre"})  # "can't contain other entities", nor be part of any
_UNFIT = re.compile(r"[\s\x00-\x1f]")  # in an address

# Telegram itself makes spaces of them, a tab's among them; from memory, not tried there.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class Entity:
    """What is said of a stretch of the text."""

    type: str  # Telegram's word for it
    offset: int  # UTF-16 code units before it
    length: int  # UTF-16 code units
    arg: str = ""  # of a `text_link` its URL, of a `pre` its language

    def json(self) -> dict[str, Any]:
        """Give it as Telegram takes it."""
        said = {"type": self.type, "offset": self.offset, "length": self.length}
        return {**said, _ARGUMENT[self.type]: self.arg} if self.arg else said


_ARGUMENT = {"text_link": "url", "pre": "language"}


def _clean(text: str) -> str:
    return _CONTROL.sub(" ", text)


def opens(url: str) -> bool:
    """Say whether Telegram opens an address: "HTTP or tg:// URL", and of a host only one with a dot in its name.

    A button with another address is refused (BUTTON_URL_INVALID), a link to one is left out and nothing says so.

    Source: Bot API 10.1, "InlineKeyboardButton", url, read 2026-11-29; the dot from memory of tdlib, LinkManager.cpp.
    """
    if _UNFIT.search(url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "tg":
        return url[3:5] == "//"
    return parts.scheme in ("http", "https") and "." in (parts.hostname or "")


def _linked(text: str, url: str) -> str:
    url = _clean(url)
    if opens(escaped := url.replace(" ", "%20")):
        return f"{_LINK}{escaped}{_OF}{text}{_END}"
    bare = url if "://" in url else url.partition(":")[2]  # mailto: and tel: Telegram finds in the text by itself
    return text if bare in _UNSEEN.sub("", text) else f"{text} ({bare})"


def _counted(written: str) -> str:
    return _UNSEEN.sub("", written).replace(_QUOTED, _INNER_QUOTE)


DIALECT = Dialect(
    name="telegram",
    bold=("\x01", _END),
    italic=("\x02", _END),
    strike=("\x03", _END),
    code=("\x04", _END),
    pre=("\x05", _END),
    language=lambda language: f"{_LANGUAGE}{_clean(language)}{_OF}",
    quote=_QUOTED,
    bullet="• ",
    link=_linked,
    escape=_clean,
    escape_code=_clean,
    counted=_counted,
)


def read(written: str) -> tuple[str, tuple[Entity, ...]]:
    """Give a text in `DIALECT` as it is shown, with its entities, the outer before the inner.

    No two of them cross: `code` and `pre` interrupt what they stand in, and give way to a link around them. A quote that
    does not begin its line (in a list), or is in another one, is shown by a sign.
    """
    reading = _Reading()
    end = 0
    for sign in _SIGN.finditer(written):
        reading.add(written[end : sign.start()])
        reading.turn(sign)
        end = sign.end()
    reading.add(written[end:])
    return reading.whole()


class _Open:
    """A mark that is not closed yet."""

    __slots__ = ("arg", "kind", "start")

    def __init__(self, kind: str, start: int, arg: str = "") -> None:
        self.kind, self.start, self.arg = kind, start, arg


class _Reading:
    """A text on its way to be read."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._at = 0  # UTF-16 code units so far
        self._open: list[_Open] = []
        self._found: list[Entity] = []
        self._quoted: set[int] = set()  # where a line begins that is quoted
        self._begins = True  # a line does here

    def add(self, text: str) -> None:
        if text:
            self._pieces.append(text)
            self._at += _units(text)
            self._begins = text.endswith("\n")

    def turn(self, sign: re.Match[str]) -> None:
        match sign[0][0]:
            case "\x08":
                self._close()
            case "\x10" if self._begins and self._at not in self._quoted:
                self._quoted.add(self._at)
            case "\x10":
                self.add(_INNER_QUOTE)
            case "\x06":
                self._open.append(_Open("text_link", self._at, sign[1]))
            case "\x0e":
                self._open[-1].arg = sign[2] if self._open[-1].kind else ""
            case mark:
                self._begin(_KINDS[mark])

    def _begin(self, kind: str) -> None:
        if kind in _ALONE:
            if any(mark.kind == "text_link" for mark in self._open):
                kind = ""  # the link is worth more than how it looks
            else:
                for mark in self._open:
                    self._note(mark)
        self._open.append(_Open(kind, self._at))

    def _close(self) -> None:
        closed = self._open.pop()
        self._note(closed)
        if closed.kind in _ALONE:
            for mark in self._open:
                mark.start = self._at

    def _note(self, mark: _Open) -> None:
        if mark.kind and self._at > mark.start:
            self._found.append(Entity(mark.kind, mark.start, self._at - mark.start, mark.arg))

    def whole(self) -> tuple[str, tuple[Entity, ...]]:
        text = "".join(self._pieces)
        found = [*self._quotes(text), *self._found] if self._quoted else self._found
        return text, tuple(sorted(found, key=lambda one: (one.offset, -one.length)))

    def _quotes(self, text: str) -> Iterator[Entity]:
        start, end, at = -1, 0, 0
        for line in text.split("\n"):
            if at in self._quoted:
                start, end = (at if start < 0 else start), at + _units(line)
            elif start >= 0:
                if end > start:
                    yield Entity("blockquote", start, end - start)
                start = -1
            at += _units(line) + 1
        if end > start >= 0:
            yield Entity("blockquote", start, end - start)


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
