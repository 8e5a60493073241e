"""Text without what no text holds."""

from __future__ import annotations

import re

_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, halves of others


def clean(text: str) -> str:
    """Take out control characters but line ends, which become LF, and tabs."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _NO_TEXT.sub("", text)


def one_line(text: str) -> str:
    """Make one line of a text."""
    return " ".join(clean(text).split())
