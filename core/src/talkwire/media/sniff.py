"""What a file is, by its first bytes; what it is called, made harmless."""

from __future__ import annotations

import re
import unicodedata

from talkwire.model import AttachmentClass

HEAD = 8192  # bytes that are enough to know a type
UNKNOWN = "application/octet-stream"

_MEDIA = frozenset({"image/png", "image/jpeg", "video/mp4", "video/webm"})  # requirement OCT-08; all else is a file
_MEDIA_NAMES = (".png", ".jpeg", ".jpg", ".mp4", ".webm")
_MARKUP = (
    (b"<svg", "image/svg+xml"),
    (b"<!doctype html", "text/html"),
    (b"<html", "text/html"),
    (b"<script", "text/html"),
)
_TEXTS = {"csv": "text/csv", "txt": "text/plain"}
_OLE = {"doc": "application/msword", "xls": "application/vnd.ms-excel", "ppt": "application/vnd.ms-powerpoint"}

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # device names on Windows
_BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # "exe.fdp" reads as "pdf.exe"
_NAME_LIMIT = 120  # characters


def sniff(head: bytes, name: str = "") -> str:
    """Say the media type of a file by its first `HEAD` bytes.

    The name decides only among types that look the same: plain texts, and old Office files.
    """
    import filetype  # type: ignore[import-untyped]

    kind = filetype.guess_mime(head)
    if kind:
        return str(kind)
    extension = name.rpartition(".")[2].lower()
    if head[4:10] == b"ftyp3g":
        return "video/3gpp"
    if head.startswith(b"#!AMR"):
        return "audio/amr"
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _OLE.get(extension, UNKNOWN)
    text = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        return next((kind for mark, kind in _MARKUP if mark in text), UNKNOWN)
    return _TEXTS.get(extension, UNKNOWN) if _is_text(head) else UNKNOWN


def classify(media_type: str, name: str = "") -> AttachmentClass:
    """Say where a file is listed; the name counts only while its type is not known (empty)."""
    media = media_type in _MEDIA if media_type else name.lower().endswith(_MEDIA_NAMES)
    return AttachmentClass.MEDIA if media else AttachmentClass.FILE


def safe_name(name: str) -> str:
    """Make a name that is only a name: no path, no tricks, at most 120 characters; "file" where nothing is left."""
    name = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    name = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    name = "".join("_" if sign in '<>:"|?*' else sign for sign in name if _is_visible(sign)).strip(" .")
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    stem, dot, extension = name.rpartition(".")
    if dot and len(extension) <= 20:
        return stem[: _NAME_LIMIT - 1 - len(extension)] + dot + extension
    return name[:_NAME_LIMIT] or "file"


def _is_visible(sign: str) -> bool:
    return sign not in _BIDI and unicodedata.category(sign) not in ("Cc", "Zl", "Zp")


def _is_text(head: bytes) -> bool:
    if not head or any(byte < 32 and byte not in b"\t\n\r\f" for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"  # the head ends inside a character
    return True
