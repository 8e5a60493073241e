"""A dialect: how one channel writes bold, links and lists, and what it cannot say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


def _unchanged(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Marks, escapes and gaps of one markup; a mark of None is what the channel cannot say.

    A pair is what stands before and after; it never has a space on its inner side. What cannot be
    said becomes readable text and is named as a degradation. A text may be cut anywhere and each
    piece escaped by itself, so `escape` takes both ends of a text for borders, and a longer text never
    gets shorter by it.
    """

    name: str
    bold: tuple[str, str] | None = None
    italic: tuple[str, str] | None = None
    strike: tuple[str, str] | None = None
    code: tuple[str, str] | None = None
    pre: tuple[str, str] | None = None  # a code block, with its line breaks
    language: Callable[[str], str] | None = None  # a code block's language → what stands before the code, inside `pre`
    quote: str | None = None  # before each line
    bullet: str = "- "
    link: Callable[[str, str], str] | None = None  # (text already in the dialect, url) → text
    escape: Callable[[str], str] = field(default=_unchanged)  # plain text → text without marks
    escape_code: Callable[[str], str] = field(default=_unchanged)  # inside code
    heading: tuple[str, str] | None = None  # None: as bold
    # True: a mark inside a word is none, and one ends at the first sign of its kind that stands at a border; text
    # inside a word, or with such a sign in it, is shown without the mark.
    only_at_borders: bool = False
    unseen: str = ""  # a sign that is no white space, but beside which no mark begins or ends; `escape` may use it
    # False: marks must close before a line break and open again after; a code block may span lines, but for a quote's.
    spans_lines: bool = True
    counted: Callable[[str], str] = field(default=_unchanged)  # text with marks → what of it the provider counts

    @property
    def is_plain(self) -> bool:
        """Say whether what is written in this dialect is plain text."""
        marks = (self.bold, self.italic, self.strike, self.code, self.pre, self.heading, self.link)
        return not any(marks) and self.escape is _unchanged


PLAIN = Dialect(name="plain", quote="> ")
