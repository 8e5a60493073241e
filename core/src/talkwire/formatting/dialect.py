"""A dialect: how one channel writes bold, links and lists, and what it cannot say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


def _unchanged(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Marks, escapes and gaps of one markup; a mark of None is what the channel cannot say.

    A pair is what stands before and after. What cannot be said becomes readable text and is named
    as a degradation.
    """

    name: str
    bold: tuple[str, str] | None = None
    italic: tuple[str, str] | None = None
    strike: tuple[str, str] | None = None
    code: tuple[str, str] | None = None
    pre: tuple[str, str] | None = None  # a code block, with its line breaks
    quote: str | None = None  # before each line
    bullet: str = "- "
    link: Callable[[str, str], str] | None = None  # (text already in the dialect, url) → text
    escape: Callable[[str], str] = field(default=_unchanged)  # plain text → text without marks
    escape_code: Callable[[str], str] = field(default=_unchanged)  # inside code
    heading: tuple[str, str] | None = None
    spans_lines: bool = True  # False: marks must close before a line break and open again after


PLAIN = Dialect(name="plain", quote="> ")
