"""The header block of a mail or of a part: what stands in it, however it is broken.

Source: RFC 5322 chapters 2.2 and 3.6, RFC 2045 chapter 5, RFC 2231.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from .charsets import text_of
from .words import decoded, raw_text

LARGEST = 256 * 1024  # bytes of a header block that are read
_MOST = 1000  # fields of it
_VALUE = 64 * 1024  # bytes of one value that are read
# A name, and a value with its folded lines. Lines that are neither belong to nobody and cost nothing.
_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)")
_KNOWN = frozenset(("from", "to", "subject", "date", "message-id", "received", "content-type", "mime-version"))
_MBOX = re.compile(rb">?From [^\n]*\n")
_PARAM = re.compile(r';\s*([^\s=;"]{1,100})\s*=\s*("(?:[^"\\]++|\\.|"(?!\s*+(?:;|$)))*+(?:"|\\?\Z)|[^;]*+)', re.DOTALL)
_TYPE = re.compile(r"\s*([A-Za-z0-9!#$&^_.+-]{1,100})\s*/\s*([A-Za-z0-9!#$&^_.+-]{1,100})")
_SEGMENTS = 100  # of one parameter (RFC 2231)


@dataclass(frozen=True, slots=True)
class Headers:
    """Fields in the order in which they stand; names in lower case, values as they came."""

    fields: tuple[tuple[str, bytes], ...] = ()

    def raw(self, name: str) -> str:
        """Give the first value of a name as text, without its folding; empty where there is none."""
        return next(self.every(name), "")

    def every(self, name: str) -> Iterator[str]:
        """Give all values of a name, from the top."""
        return (raw_text(value).strip() for key, value in self.fields if key == name)

    def text(self, name: str) -> str:
        """Give the first value of a name that says something, for people: encoded words decoded."""
        return next((decoded(value) for value in self.every(name) if value), "")

    def has(self, name: str) -> bool:
        """Say whether there is a field of this name."""
        return any(key == name for key, _ in self.fields)


def split(content: bytes, start: int, end: int, *, is_mail: bool) -> tuple[Headers, int]:
    """Read the header block that begins at `start`; give it, and where the body begins.

    A part whose first line is no field has no headers. A mail may begin with lines that are none (an mbox line, an
    empty line, rubbish), as long as fields that every mail has follow them.
    """
    at = start
    if is_mail:
        while content[at : at + 1] in (b"\r", b"\n") and at < end:
            at += 1
        if mbox := _MBOX.match(content, at, min(end, at + 1000)):
            at = mbox.end()
    stop, body = blank_line(content, at, end)
    read_to = min(stop, at + LARGEST)
    fields: list[tuple[str, bytes]] = []
    last, line = at, at
    while line < read_to and len(fields) < _MOST:
        found = _FIELD.match(content, line, read_to)
        if found:
            fields.append((found[1].decode("ascii").lower(), found[2][:_VALUE]))
            last = line = found.end() + 1
        elif not (is_mail or fields):
            break
        else:
            line = content.find(b"\n", line, read_to) + 1 or read_to
    if not fields or (not _FIELD.match(content, at, read_to) and _KNOWN.isdisjoint(name for name, _ in fields)):
        # Nothing but a body; the empty line before it is no part of that.
        return Headers(), (body if stop == at else start)
    if len(fields) < _MOST and read_to == stop and content[last:stop].strip():
        body = last  # text that no empty line divides from the fields
    return Headers(tuple(fields)), body


def blank_line(content: bytes, start: int, end: int) -> tuple[int, int]:
    """Find the first empty line: where the block before it ends, and where what follows begins."""
    if content.startswith(b"\r\n", start, end):
        return start, start + 2
    if content.startswith(b"\n", start, end):
        return start, start + 1
    lone = content.find(b"\n\n", start, end)
    both = content.find(b"\n\r\n", start, end if lone < 0 else lone)
    if both >= 0:
        return both + 1, both + 3
    if lone >= 0:
        return lone + 1, lone + 2
    return end, end


@dataclass(frozen=True, slots=True)
class Value:
    """A structured value: `text/plain; charset=utf-8`."""

    main: str  # before the first semicolon, lower case
    params: tuple[tuple[str, str], ...] = ()  # names in lower case, values decoded

    def param(self, name: str) -> str:
        """Give a parameter, empty where there is none."""
        return next((value for key, value in self.params if key == name), "")


def content_type(headers: Headers, default: str = "text/plain") -> Value:
    """Give the type of a part; of two the first that is one, `default` where there is none."""
    for value in headers.every("content-type"):
        if found := _TYPE.match(value):
            rest = value[found.end() :].lstrip()
            if rest and not rest.startswith(";"):  # a semicolon was forgotten
                rest = ";" + rest
            return Value(f"{found[1]}/{found[2]}".lower(), _params(rest))
    return Value(default)


def disposition(headers: Headers) -> Value:
    """Give the disposition of a part; empty where it has none."""
    value = headers.raw("content-disposition")
    main, semicolon, rest = value.partition(";")
    return Value(main.strip().lower(), _params(semicolon + rest))


def _params(text: str) -> tuple[tuple[str, str], ...]:
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for found in _PARAM.finditer(text):
        name, value = found[1].lower(), _unquoted(found[2].strip())
        base, star, rest = name.partition("*")
        if not star:
            plain.setdefault(name, value)
            continue
        number, encoded, _ = rest.partition("*")
        is_encoded = bool(encoded) or not number
        if (number.isascii() and number.isdigit() and len(number) < 4) or not number:
            pieces.setdefault(base, {}).setdefault(int(number or 0), (is_encoded, value))
    given = {name: decoded(value) for name, value in plain.items()}
    for name, numbered in pieces.items():
        if joined := _joined(numbered):
            given[name] = joined
    return tuple(given.items())


def _joined(pieces: dict[int, tuple[bool, str]]) -> str:
    """Join what RFC 2231 continues: `name*0*=utf-8''a%20; name*1=b`."""
    content, charset = b"", ""
    for position, number in enumerate(sorted(pieces)[:_SEGMENTS]):
        is_encoded, value = pieces[number]
        if position == 0 and is_encoded and value.count("'") >= 2:
            charset, _, value = value.partition("'")
            value = value.partition("'")[2]
        content += unquote_to_bytes(value) if is_encoded else value.encode("utf-8", "replace")
    return decoded(text_of(content, charset))


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    # Other backslashes are meant: `filename="C:\letters\may.doc"`.
    return value[1:].removesuffix('"').replace('\\"', '"').replace("\\\\", "\\")
