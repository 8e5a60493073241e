"""Text as `format=flowed`: lines short enough for every program, which one that knows of it puts together again.

A line that ends in a space goes on in the next one. A line that begins with a space, `>` or `From ` gets one more space in
front, which its reader takes away. Quotes keep their depth as `>` at the head of each line.

Source: RFC 3676, 4.1 to 4.5, read 2026-11-28.
"""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 76  # characters of a line with all that stands before and behind it; 78 are allowed (4.2)
SIGNATURE = "-- "  # the line above a signature, which nothing flows into (4.3)


def flowed(text: str) -> str:
    """Give text in lines that end in CR LF, the last one too."""
    return "\r\n".join(piece for line in text.split("\n") for piece in _lines(line)) + "\r\n"


def depth_of(line: str) -> int:
    """Say how deep a line is quoted."""
    return len(line) - len(line.lstrip(">"))


def _lines(line: str) -> Iterator[str]:
    depth = depth_of(line)
    said = line[depth:].removeprefix(" ") if depth else line
    before = f"{'>' * depth} " if depth else ""
    if said == SIGNATURE:
        yield before + said
        return
    said = said.rstrip()  # a hard line end: a space before it would say that the line goes on
    room = WIDTH - len(before) - 1  # 1: the space that some lines get in front
    while len(said) > room:
        at = _break(said, room)
        if at < 0:
            break
        yield before + _stuffed(said[:at], quoted=depth > 0)
        said = said[at:]
    yield (before + _stuffed(said, quoted=depth > 0)) if said else ">" * depth


def _break(said: str, room: int) -> int:
    """Say where the next line begins: behind a space; negative where there is none."""
    at = said.rfind(" ", 0, room) + 1
    while not said[:at].strip() or said[:at] == SIGNATURE:  # such a line would mean something else
        at = said.find(" ", max(at, 1)) + 1
        if not at:
            return -1
    return at


def _stuffed(said: str, *, quoted: bool) -> str:
    return f" {said}" if not quoted and said.startswith((" ", ">", "From ")) else said
