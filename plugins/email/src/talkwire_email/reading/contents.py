"""What the parts of a mail are to people: texts, hypertexts, and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from talkwire import Enclosed

from .charsets import text_of
from .names import name_of
from .structure import Part

LARGEST_TEXT = 200_000  # characters of a text that is shown; the whole of a longer one is a file as well
LARGEST_HTML = 1024**2  # bytes of a hypertext that is read; a larger one is a file
_OTHER_FORMS = frozenset({"text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext"})  # of the same text
_ENCRYPTED = "[This mail is encrypted. It can be read only with the key that it was written for.]"
_SEALED = "[This mail is signed in a form that only a mail program can open; it is in the file.]"


@dataclass(slots=True)
class Contents:
    """What was found, in the order of the mail."""

    texts: list[Text]
    files: list[Enclosed]

    @property
    def text(self) -> str:
        """Give the plain text; what came only as hypertext is left out."""
        return "\n\n".join(one.plain.strip("\n") for one in self.texts if one.plain.strip())


@dataclass(frozen=True, slots=True)
class Text:
    """One stretch of what is read, in the forms in which it came."""

    plain: str = ""
    html: str = ""


def contents(root: Part) -> Contents:
    """Sort the parts of a mail."""
    files: list[Enclosed] = []
    return Contents(_texts(root, files, is_first=True), files)


def _texts(part: Part, files: list[Enclosed], *, is_first: bool) -> list[Text]:
    """Give the texts of a part, and add its files; `is_first`: nothing of its parent was a text before it."""
    kind = part.type.main
    if part.cut:
        files.append(_rest(part))
        return []
    if part.is_multipart:
        if kind == "multipart/alternative":
            return _alternative(part, files)
        if kind == "multipart/related":
            return _related(part, files)
        if kind == "multipart/encrypted":
            _all_files(part.parts, files)
            return [Text(_ENCRYPTED)]
        return _mixed(part.parts, files, is_first=is_first)
    if is_first and kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        files.append(_file(part, files))
        return [Text(_SEALED if part.type.param("smime-type").lower().startswith("signed") else _ENCRYPTED)]
    if not _is_text(part, is_first=is_first):
        files.append(_file(part, files))
        return []
    text = text_of(part.content(LARGEST_HTML), part.type.param("charset")).replace("\r\n", "\n").replace("\r", "\n")
    is_html = kind == "text/html"
    is_long = part.size > LARGEST_HTML or (not is_html and len(text) > LARGEST_TEXT)
    if is_long:
        files.append(_file(part, files))
    if is_html:
        return [Text(html=text)]
    text = text[:LARGEST_TEXT]
    if part.type.param("format").lower() == "flowed":
        text = unflowed(text, joins=part.type.param("delsp").lower() == "yes")
    return [Text(f"{text}\n\n[The rest of this text is in the file.]" if is_long else text)]


def _mixed(parts: Sequence[Part], files: list[Enclosed], *, is_first: bool) -> list[Text]:
    found: list[Text] = []
    for part in parts:
        found += _texts(part, files, is_first=is_first and not found)
    return found


def _alternative(part: Part, files: list[Enclosed]) -> list[Text]:
    """Give one text in all its forms; the last of two that are alike is the better one (RFC 2046, 5.1.4)."""
    plain = html = ""
    for one in part.parts:
        if one.type.main in _OTHER_FORMS and (plain or html):
            continue
        texts = _texts(one, files, is_first=True)
        plain = "\n\n".join(text.plain for text in texts if text.plain.strip()) or plain
        html = "".join(text.html for text in texts if text.html.strip()) or html
    return [Text(plain, html)] if plain or html else []


def _related(part: Part, files: list[Enclosed]) -> list[Text]:
    """Give the texts of the root; all else is shown in it or lies beside it."""
    start = part.type.param("start").strip("<> ")
    root = next((one for one in part.parts if start and content_id(one) == start), part.parts[0])
    found = _texts(root, files, is_first=True)
    for one in part.parts:
        if one is not root:
            found += _texts(one, files, is_first=False)
    return found


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


def _all_files(parts: Sequence[Part], files: list[Enclosed]) -> None:
    for part in parts:
        if part.is_multipart:
            _all_files(part.parts, files)
        elif part.type.main != "application/pgp-encrypted":  # says "Version: 1"
            files.append(_file(part, files))


def _file(part: Part, files: list[Enclosed]) -> Enclosed:
    return Enclosed(
        content=part.content(),
        name=name_of(part, len(files) + 1),
        media_type=part.type.main,
        content_id=content_id(part),
    )


def _rest(part: Part) -> Enclosed:
    """Give what lies beyond a limit, as it came."""
    return Enclosed(
        content=part.mail[part.start : part.end], name="more-of-this-mail.eml", media_type="application/octet-stream"
    )


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
