"""Content of a part without its transfer encoding; what is broken gives what can be had.

Source: RFC 2045 chapter 6.
"""

from __future__ import annotations

import binascii
import re

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET) - set(b"="))
_CHUNKS = re.compile(rb"[A-Za-z0-9+/=\s]*")  # several texts in base64 after each other, each with its padding
_CHUNK = re.compile(rb"[^=]+")
_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} [^\n]*\n", re.MULTILINE)
_UU = frozenset({"x-uuencode", "x-uue", "uuencode", "uue"})


def content_of(raw: bytes, encoding: str) -> bytes:
    """Decode; an encoding that nobody knows (`7-bit`, `text/html`) changes nothing."""
    encoding = encoding.strip().lower()
    try:
        if encoding == "base64":
            return _base64(raw)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(raw)
        if encoding in _UU:
            return _uu(raw)
    except (ValueError, MemoryError):
        return raw
    return raw


def _base64(raw: bytes) -> bytes:
    first = raw.find(b"=")
    if first >= 0 and raw[first:].strip(b"=\r\n\t "):
        if not _CHUNKS.fullmatch(raw, first):
            raw = raw[:first]  # a mailing list's footer in plain text
        else:
            made = bytearray()
            for chunk in _CHUNK.finditer(raw):
                made += _base64_chunk(chunk[0])
            return bytes(made)
    return _base64_chunk(raw)


def _base64_chunk(raw: bytes) -> bytes:
    raw = raw.translate(None, _NOT_BASE64).rstrip(b"=")
    if len(raw) % 4 == 1:
        raw = raw[:-1]  # six bits make no byte
    return binascii.a2b_base64(raw + b"=" * (-len(raw) % 4))


def _uu(raw: bytes) -> bytes:
    begun = _BEGIN.search(raw)
    if begun is None:
        return raw
    made = bytearray()
    at = begun.end()
    while at < len(raw):
        stop = raw.find(b"\n", at)
        stop = len(raw) if stop < 0 else stop
        line = raw[at:stop].rstrip(b"\r")
        at = stop + 1
        if line == b"end":
            break
        try:
            made += binascii.a2b_uu(line)
        except ValueError:
            # As old encoders wrote it: the count is right, the rest of the line is not.
            wanted = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
            try:
                made += binascii.a2b_uu(line[:wanted])
            except ValueError:
                continue
    return bytes(made)
