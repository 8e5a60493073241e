"""Header fields as bytes on the wire allow them: folded, encoded where they are not ASCII, never more than one.

Sources: RFC 5322, 2.1.1 and 2.2.3; RFC 2047, 2 and 5; RFC 2231, 3 and 4; read 2026-11-28.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote

LINE = 76  # characters of a line, without its end
_WORD = 39  # bytes of text in one encoded word: 64 characters of it, behind the longest name that we encode below
_NAME = 100  # characters of a name beside an address: correspondents choose theirs
_VALUE = 50  # characters of one piece of a parameter (RFC 2231, 3)
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&+^_`{|}~.-]+")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def field(name: str, items: Iterable[str]) -> str:
    """Give a whole field, its end with it; it is folded between items, which hold no line end."""
    lines = [f"{name}:"]
    for item in items:
        said = _FORBIDDEN.sub(" ", item)
        if len(lines[-1]) + 1 + len(said) > LINE and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {said}"
    return "\r\n".join(lines) + "\r\n"


def text(value: str) -> list[str]:
    """Give free text as items of a field."""
    if value.isascii() and "=?" not in value and all(len(word) <= LINE for word in value.split(" ")):
        return value.split()
    return list(_encoded(value))


def phrase(name: str) -> list[str]:
    """Give the name beside an address as items of a field, empty for none."""
    name = " ".join(_FORBIDDEN.sub(" ", name).split())[:_NAME]
    if not name:
        return []
    if name.isascii() and "=?" not in name:
        if _PHRASE.fullmatch(name):
            return [name]
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{escaped}"']
    return list(_encoded(name))


def _encoded(value: str) -> Iterator[str]:
    piece, size = "", 0
    for letter in value:
        more = len(letter.encode("utf-8", "replace"))
        if size + more > _WORD:
            yield _word(piece)
            piece, size = "", 0
        piece, size = piece + letter, size + more
    yield _word(piece)


def _word(piece: str) -> str:
    return f"=?utf-8?b?{b64encode(piece.encode('utf-8', 'replace')).decode()}?="


def parameter(name: str, value: str) -> list[str]:
    """Give a parameter of a field as items of it, each behind its semicolon; long or foreign values by RFC 2231."""
    value = _FORBIDDEN.sub(" ", value)
    if _TOKEN.fullmatch(value) and len(value) <= _VALUE:
        return [f"{name}={value}"]
    if value.isascii() and not re.search(r'["\\%]', value) and len(value) <= _VALUE:
        return [f'{name}="{value}"']
    said = quote(value, safe="", errors="replace")
    if len(said) <= _VALUE:
        return [f"{name}*=utf-8''{said}"]
    first, *others = re.findall(rf"(?:%..|[^%]){{1,{_VALUE // 3}}}", said)  # no escape is cut in two
    return [f"{name}*0*=utf-8''{first}", *(f"{name}*{number}*={piece}" for number, piece in enumerate(others, 1))]
