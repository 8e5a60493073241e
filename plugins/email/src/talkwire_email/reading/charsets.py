"""Text of bytes whose charset is only claimed."""

from __future__ import annotations

import codecs
import re
from functools import cache

from charset_normalizer import from_bytes

_ALIASES = {  # as they come in real mail → what they mean
    "x-unknown": "",
    "unknown-8bit": "",
    "unknown": "",
    "default": "",
    "x-user-defined": "",
    "us-ascii": "",
    "ascii": "",
    "ansi_x3.4-1968": "",
    "binary": "",
    "8bit": "",
    "8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "iso-8859-1": "cp1252",
    "iso-8859-1-windows": "cp1252",
    "latin-1": "cp1252",
    "latin1": "cp1252",
    "ansi": "cp1252",
    "cp-850": "cp850",
    "ks_c_5601-1987": "cp949",
    "ksc_5601": "cp949",
    "ksc5601": "cp949",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "windows-31j": "cp932",
    "iso-2022-jp": "iso2022_jp_ext",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-9": "cp1254",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "utf8": "utf-8",
    "utf-8mb4": "utf-8",
    "utf8mb4": "utf-8",
    "unicode-1-1-utf-8": "utf-8",
    "unicode-1-1-utf-7": "utf-7",
    "macintosh": "mac-roman",
    "x-mac-roman": "mac-roman",
}
# Codecs of characters; the others of Python's (`zip`, `idna`, `unicode_escape`, …) change or cost more than text does.
_OF_CHARACTERS = re.compile(
    r"(utf|iso|cp|koi8|mac|gb|big5|euc|shift|hz|tis|ptcp|kz1048|johab|latin|ascii|hp_roman)[a-z0-9_-]*"
)
_ONE_BYTE = re.compile(r"(iso8859-|cp(?!9(32|49|50)$|65001$)|koi8|mac-|latin|ascii|hp)")
_GUESSED_FROM = 1024  # bytes; of less charset-normalizer made nonsense (latin-1 "café déjà vu" became cp1250)
_GUESSED_TO = 32 * 1024  # bytes that it looks at


def text_of(content: bytes, charset: str = "", *, guess: bool = False) -> str:
    """Decode what claims a charset, empty for none; never raises, and loses a byte only where nothing knows it.

    `guess`: look for the charset of a longer text that claims none; that may take 40 ms, so it is not for every word.

    UTF-8 goes before a charset of one byte a character: what is valid UTF-8 beyond ASCII was never meant as Latin.
    """
    name = _codec(charset)
    if content.isascii() and (not name or _ONE_BYTE.match(name) or name == "utf-8"):
        return content.decode("ascii")
    ladder = [name] if name and not _ONE_BYTE.match(name) else ["utf-8", name]
    for one in (*ladder, "utf-8"):
        if one:
            try:
                return _without_mark(content.decode(one))
            except (ValueError, LookupError):
                continue
    if name and not _ONE_BYTE.match(name):
        # A mail that was cut, or one bad byte: the claimed charset is still the best.
        text = content.decode(name, "replace")
        if text.count("\ufffd") * 20 <= len(text):
            return _without_mark(text)
    if guess and not name and len(content) >= _GUESSED_FROM and (guessed := _guessed(content[:_GUESSED_TO])):
        return content.decode(guessed, "replace")
    try:
        return content.decode("cp1252")
    except ValueError:
        return content.decode("latin-1")


@cache
def _known(charset: str) -> str:
    wanted = _ALIASES.get(charset, charset)
    if not wanted:
        return ""
    try:
        name = codecs.lookup(wanted).name
    except (LookupError, ValueError):
        return ""
    return name if _OF_CHARACTERS.fullmatch(name) else ""


def _codec(charset: str) -> str:
    """Give Python's name of a claimed charset, empty where there is none that we believe."""
    charset = charset.strip().strip("'\"").lower()
    # The cache must not be filled by whoever writes: names of charsets are short, and are ASCII.
    if not charset or len(charset) > 40 or not re.fullmatch(r"[a-z0-9_.:+-]+", charset):
        return ""
    if _known.cache_info().currsize > 500:
        _known.cache_clear()
    return _known(charset)


def _guessed(content: bytes) -> str:
    try:
        best = from_bytes(content).best()
    except Exception:  # noqa: BLE001  a guess that fails is none
        return ""
    name = _codec(best.encoding.replace("_", "-")) if best is not None else ""
    return name or (best.encoding if best is not None and _OF_CHARACTERS.fullmatch(best.encoding) else "")


def _without_mark(text: str) -> str:
    return text.removeprefix("\ufeff")
