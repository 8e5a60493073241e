"""Words of a header: raw bytes, and RFC 2047 as it really comes.

Encoded words stand inside quotes and file names, are split in the middle of a character, and say the wrong charset.

Source: RFC 2047 (1996), RFC 2231 chapter 5 (language after `*`).
"""

from __future__ import annotations

import binascii
import re

from .charsets import text_of

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
_CHARSET = re.compile(r"[A-Za-z0-9_.:+-]{1,40}")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


def raw_text(value: bytes) -> str:
    """Give the value of a header as text, on one line; encoded words stay as they are."""
    if not value.isascii():
        return text_of(value).replace("\r", "").replace("\n", "")
    return value.decode("ascii").replace("\r", "").replace("\n", "")


def decoded(text: str) -> str:
    """Give a text with its encoded words decoded.

    Linear: a word that has no end is looked for once.
    """
    if "=?" not in text:
        return text
    found: list[str | tuple[str, bytes]] = []
    at = 0
    while True:
        start = text.find("=?", at)
        first = text.find("?", start + 2) if start >= 0 else -1
        second = text.find("?", first + 1) if first >= 0 else -1
        if second < 0:
            break
        charset, _, _ = text[start + 2 : min(first, start + 100)].partition("*")
        way = text[first + 1 : second].lower()
        if way not in ("b", "q") or not _CHARSET.fullmatch(charset):
            found.append(text[at : start + 2])
            at = start + 2
            continue
        end = text.find("?=", second + 1)
        if end < 0:
            break
        between = text[at:start]
        if between.strip() or not found or isinstance(found[-1], str):
            found.append(between)
        found.append((charset.lower(), _bytes_of(text[second + 1 : end], way)))
        at = end + 2
    found.append(text[at:])
    return "".join(_joined(found))


def _joined(found: list[str | tuple[str, bytes]]) -> list[str]:
    """Decode; neighbours of one charset together, as a character may be split between them."""
    texts: list[str] = []
    held: list[bytes] = []
    charset = ""
    for one in (*found, ""):
        if held and (isinstance(one, str) or one[0] != charset):
            texts.append(text_of(b"".join(held), charset))
            held = []
        if isinstance(one, str):
            texts.append(one)
        else:
            charset = one[0]
            held.append(one[1])
    return texts


def _bytes_of(word: str, way: str) -> bytes:
    content = word.encode("utf-8", "surrogateescape")
    if way == "q":
        return binascii.a2b_qp(content.replace(b" ", b"_"), header=True)
    content = content.translate(None, _NOT_BASE64)
    if len(content) % 4 == 1:
        content = content[:-1]
    return binascii.a2b_base64(content + b"=" * (-len(content) % 4))


def clean(text: str, limit: int) -> str:
    """Give a text for one line of a page: no control or direction marks, spaces folded, at most `limit` characters."""
    return " ".join(_CONTROL.sub(" ", text[: limit * 4]).split())[:limit]
