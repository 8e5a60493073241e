"""The table in docs/explanation/faults.md: what it says that the operator sees is what a test saw.

A test says `shows("disk full", text)`: each word in backticks in that row's second column stands in the text; `…` is
anything, and what begins with `/` or `talkwire` says where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "faults.md"

_WHERE = ("/", "talkwire ")  # where the words are read: a path, a command


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    fault: str
    seen: tuple[str, ...]  # what stands in backticks
    messages: str
    heals: str


@cache
def rows() -> dict[str, Row]:
    """Read the table."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "fault" and not cells[0].startswith("-"):
            seen = [words for words in re.findall(r"`([^`]+)`", cells[1]) if not words.startswith(_WHERE)]
            found[cells[0]] = Row(cells[0], tuple(seen), cells[2], cells[3])
    return found


def shows(fault: str, *seen: str) -> None:
    """Compare what was seen with what the page says."""
    text = "\n".join(seen)
    missing = [words for words in rows()[fault].seen if not re.search(_pattern(words), text)]
    assert not missing, f"{PAGE.name} says of {fault!r} that the operator sees {missing}; there was:\n{text}"


def _pattern(words: str) -> str:
    return ".*".join(map(re.escape, words.split("…")))
