"""What the parts of a mail are to people: texts, hypertexts, and files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from talkwire import Enclosed

from .charsets import text_of
from .names import name_of
from .structure import Part

LARGEST_TEXT = 200_000  # characters of a text that is shown; the whole of a longer one is a file as well
LARGEST_HTML = 512 * 1024  # bytes of hypertext that are read; the whole of a longer one is a file as well
_MOST_GUESSES = 3  # texts whose charset is guessed
_OTHER_FORMS = frozenset({"text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext"})  # of the same text
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([a-z0-9_.:+-]{1,40})", re.IGNORECASE)
IN_THE_FILE = "[The rest of this text is in the file.]"
_ENCRYPTED = "[This mail is encrypted. It can be read only with the key that it was written for.]"
_SEALED = "[This mail is signed in a form that only a mail program can open; it is in the file.]"


@dataclass(frozen=True, slots=True)
class Text:
    """One stretch of what is read, in the forms in which it came."""

    plain: str = ""
    html: str = ""


@dataclass(slots=True)
class Contents:
    """What was found, in the order of the mail."""

    texts: list[Text]
    files: list[Enclosed]

    @property
    def text(self) -> str:
        """Give the plain text; what came only as hypertext is left out."""
        return "\n\n".join(one.plain.strip("\n") for one in self.texts if one.plain.strip())


def contents(root: Part) -> Contents:
    """Sort the parts of a mail."""
    sorter = _Sorter()
    return Contents(sorter.texts(root, is_first=True), sorter.files)


class _Sorter:
    """Goes through the parts once; what is more than people read becomes a file."""

    def __init__(self) -> None:
        self.files: list[Enclosed] = []
        self._text_left = LARGEST_TEXT
        self._html_left = LARGEST_HTML
        self._guesses = _MOST_GUESSES

    def texts(self, part: Part, *, is_first: bool) -> list[Text]:
        """Give the texts of a part, and add its files; `is_first`: nothing of its parent was a text before it."""
        try:
            return self._sorted(part, is_first=is_first)
        except Exception:  # noqa: BLE001  a bad part costs only itself: it is there as it came
            self.files.append(_as_it_came(part, "unreadable-part.eml"))
            return []

    def _sorted(self, part: Part, *, is_first: bool) -> list[Text]:
        kind = part.type.main
        if part.cut:
            self.files.append(_as_it_came(part, "more-of-this-mail.eml"))
            return []
        if part.is_multipart:
            if kind == "multipart/alternative":
                return self._alternative(part)
            if kind == "multipart/related":
                return self._related(part)
            if kind == "multipart/encrypted":
                self._all_files(part.parts)
                return [Text(_ENCRYPTED)]
            return self._mixed(part.parts, is_first=is_first)
        if is_first and kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
            self._add(part)
            return [Text(_SEALED if part.type.param("smime-type").lower().startswith("signed") else _ENCRYPTED)]
        if not _is_text(part, is_first=is_first):
            self._add(part)
            return []
        return self._html(part) if kind == "text/html" else self._plain(part)

    def _plain(self, part: Part) -> list[Text]:
        limit = self._text_left
        text = self._lines(part, limit * 4)
        is_long = len(text) > limit or part.size > limit * 4
        text = text[:limit]
        self._text_left -= len(text)
        if part.type.param("format").lower() == "flowed":
            text = unflowed(text, joins=part.type.param("delsp").lower() == "yes")
        if is_long:
            self._add(part)
            text += f"\n\n{IN_THE_FILE}"
        return [Text(text)]

    def _html(self, part: Part) -> list[Text]:
        limit = self._html_left
        self._html_left -= min(limit, part.size)
        if part.size > limit:
            self._add(part)
        return [Text(html=self._lines(part, limit))]

    def _lines(self, part: Part, limit: int) -> str:
        content, charset = part.content(limit), part.type.param("charset")
        if not charset and part.type.main == "text/html" and (found := _CHARSET.search(content, 0, 2000)):
            charset = found[1].decode("ascii")
        guess = not charset and not content.isascii() and self._guesses > 0
        self._guesses -= guess
        text = text_of(content, charset, guess=guess)
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _mixed(self, parts: Sequence[Part], *, is_first: bool) -> list[Text]:
        found: list[Text] = []
        for part in parts:
            found += self.texts(part, is_first=is_first and not found)
        return found

    def _alternative(self, part: Part) -> list[Text]:
        """Give one text in all its forms; the last of two that are alike is the better one (RFC 2046, 5.1.4)."""
        plain = html = ""
        for one in part.parts:
            if one.type.main in _OTHER_FORMS and (plain or html):
                continue
            texts = self.texts(one, is_first=True)
            plain = "\n\n".join(text.plain for text in texts if text.plain.strip()) or plain
            html = "".join(text.html for text in texts if text.html.strip()) or html
        return [Text(plain, html)] if plain or html else []

    def _related(self, part: Part) -> list[Text]:
        """Give the texts of the root; all else is shown in it or lies beside it."""
        start = part.type.param("start").strip("<> ")
        root = next((one for one in part.parts if start and content_id(one) == start), part.parts[0])
        found = self.texts(root, is_first=True)
        for one in part.parts:
            if one is not root:
                found += self.texts(one, is_first=False)
        return found

    def _all_files(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if part.is_multipart:
                self._all_files(part.parts)
            elif part.type.main != "application/pgp-encrypted":  # says "Version: 1"
                self._add(part)

    def _add(self, part: Part) -> None:
        name = name_of(part, len(self.files) + 1)
        self.files.append(
            Enclosed(content=part.content(), name=name, media_type=part.type.main, content_id=content_id(part))
        )


def _as_it_came(part: Part, name: str) -> Enclosed:
    return Enclosed(content=part.mail[part.start : part.end], name=name, media_type="application/octet-stream")


def _is_text(part: Part, *, is_first: bool) -> bool:
    kind = part.type.main
    if kind not in ("text/plain", "text/html") and kind not in _OTHER_FORMS:
        # A multipart in which no part was found is read as it stands.
        return kind.startswith("multipart/")
    if part.disposition.main == "attachment":
        return False
    is_named = bool(part.disposition.param("filename") or part.type.param("name"))
    if is_first:
        return not (is_named and part.disposition.main)
    return not is_named and not content_id(part)


def content_id(part: Part) -> str:
    """Give the name under which hypertext shows a part, without its brackets."""
    return part.headers.raw("content-id").strip("<> \t")[:250]


def unflowed(text: str, *, joins: bool = False) -> str:
    """Join the lines that a program broke (RFC 3676); `joins`: without the space at which it broke (DelSp)."""
    made: list[str] = []
    open_depth = -1  # of quotes, of the line that goes on; -1: none does
    for line in text.split("\n"):
        bare = line.lstrip(">")
        depth = len(line) - len(bare)
        bare = bare.removeprefix(" ")
        is_signature = bare == "-- "
        if depth != open_depth or is_signature:
            made.append("\n" + ("> " * depth if bare else ">" * depth))
        is_open = bare.endswith(" ") and not is_signature
        made.append(bare[:-1] if is_open and joins else bare)
        open_depth = depth if is_open else -1
    return "".join(made)[1:]
