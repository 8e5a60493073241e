"""Text without what no text holds."""

from __future__ import annotations

import unicodedata


def clean(text: str) -> str:
    """Take out control characters but line ends, which become LF, and tabs."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isprintable():
        return text
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def one_line(text: str) -> str:
    """Make one line of a text."""
    return " ".join(clean(text).split())
