"""The parts of a mail, as a tree of places in its bytes; nothing is copied.

The standard library's parser keeps every line as an object and compares each with every open boundary: short lines and
deep nesting cost it many times the mail in memory and time. This one looks for a boundary from its parent's beginning
to its end, level by level, and stops at limits; what lies beyond them is one part.

Source: RFC 2046 chapter 5.1.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from .headers import Headers, Value, content_type, disposition, split
from .transfer import content_of

DEEPEST = 20  # levels of parts in parts
MOST = 200  # parts of a mail
_AFTER = re.compile(rb"(--)?[ \t]*(?:\r?\n|\Z)")
_A_BOUNDARY = re.compile(
    rb"^--(\S[^\r\n]{2,198}?)[ \t]*\r?\n(?:content-[a-z-]+[ \t]*:|\r?\n)", re.IGNORECASE | re.MULTILINE
)


@dataclass(slots=True, eq=False)
class Part:
    """One part: a mail, a multipart in it, a text, a file."""

    mail: bytes = field(repr=False)
    headers: Headers
    type: Value
    disposition: Value
    start: int  # where its header block begins
    body: int  # where its body begins
    end: int
    parts: tuple[Part, ...] = ()
    cut: bool = False  # what it holds was not looked into: a limit was reached

    @property
    def is_multipart(self) -> bool:
        """Say whether it holds parts that were found."""
        return bool(self.parts)

    @property
    def raw(self) -> bytes:
        """Give its body as it came."""
        return self.mail[self.body : self.end]

    def content(self, limit: int | None = None) -> bytes:
        """Give its body without the transfer encoding, of the first `limit` bytes of it."""
        stop = self.end if limit is None else min(self.end, self.body + limit)
        return content_of(self.mail[self.body : stop], self.headers.raw("content-transfer-encoding"))

    @property
    def size(self) -> int:
        """Say how many bytes its body has as it came."""
        return self.end - self.body

    def walk(self) -> list[Part]:
        """Give this part and all parts in it, in the order of the mail."""
        found: list[Part] = []
        waiting = [self]
        while waiting:
            part = waiting.pop()
            found.append(part)
            waiting.extend(reversed(part.parts))
        return found


def structure(mail: bytes) -> Part:
    """Find the parts of a mail."""
    root = _part(mail, 0, len(mail), "text/plain", is_mail=True)
    waiting = deque([(root, 1)])
    count = 1
    while waiting:
        part, depth = waiting.popleft()
        if not part.type.main.startswith("multipart/"):
            continue
        if depth > DEEPEST or count >= MOST:
            part.cut = True
            continue
        default = "message/rfc822" if part.type.main == "multipart/digest" else "text/plain"
        places = _places(mail, part, MOST - count)
        if not places and (guessed := _A_BOUNDARY.search(mail, part.body, part.end)):
            places = _divided(mail, guessed[1], part, MOST - count)
        part.parts = tuple(_part(mail, start, end, default) for start, end in places)
        count += len(part.parts)
        if part.parts and count >= MOST:
            part.parts[-1].cut = True
        waiting.extend((one, depth + 1) for one in part.parts)
    return root


def inner(mail: bytes) -> Part:
    """Read a mail that lies in another one, without looking for its parts."""
    return _part(mail, 0, len(mail), "text/plain", is_mail=True)


def _part(mail: bytes, start: int, end: int, default: str, *, is_mail: bool = False) -> Part:
    headers, body = split(mail, start, end, is_mail=is_mail)
    return Part(mail, headers, content_type(headers, default), disposition(headers), start, min(body, end), end)


def _places(mail: bytes, part: Part, most: int) -> list[tuple[int, int]]:
    boundary = part.type.param("boundary").rstrip()
    return _divided(mail, boundary.encode("utf-8", "replace"), part, most) if boundary else []


def _divided(mail: bytes, boundary: bytes, part: Part, most: int) -> list[tuple[int, int]]:
    """Find what lies between the lines of a boundary; the last of `most` places goes on to the end."""
    mark = b"--" + boundary
    places: list[tuple[int, int]] = []
    begun = -1
    at = part.body
    while (found := mail.find(mark, at, part.end)) >= 0:
        at = found + len(mark)
        if found > part.body and mail[found - 1] != 0x0A:
            continue
        after = _AFTER.match(mail, at, part.end)
        if after is None:
            continue
        if begun >= 0:
            places.append((begun, max(begun, _line_end_before(mail, found))))
        begun = after.end()
        if after[1]:
            return places
        if len(places) >= most - 1:
            break
    if begun >= 0 and (begun < part.end or not places):
        places.append((begun, part.end))
    return places


def _line_end_before(mail: bytes, at: int) -> int:
    """Give where the line before a boundary ends: its line end belongs to the boundary."""
    return at - 2 if mail[at - 2 : at] == b"\r\n" else at - 1
