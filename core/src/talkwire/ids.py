"""Ids that leave this process: UUIDv7 in text form, in order within one process.

Source: RFC 9562, section 5.7 and method 1 of 6.2, read 2026-11-22.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time

_MOST = 1 << 12  # ids of one millisecond; the next one borrows from the millisecond after it
_KIND = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))  # a digit of chance → one that says RFC 9562
_lock = threading.Lock()
_stamp = 0  # milliseconds since 1970-01-01 UTC
_head = ""  # the stamp and the version, as they stand in an id
_count = _MOST  # of the next id of this stamp
_tails: list[str] = []  # of ids to come, made many at a time: each read of the system gives other threads their turn


def new_id() -> str:
    """Make a UUIDv7: 48 bits of milliseconds, a 12 bit counter, 62 random bits."""
    global _stamp, _head, _count  # noqa: PLW0603  one counter a process is what makes ids of one process sort
    now = time.time_ns() // 1_000_000
    with _lock:
        if now > _stamp or _count == _MOST:
            _stamp = max(now, _stamp + 1)
            _head, _count = f"{_stamp >> 16:08x}-{_stamp & 0xFFFF:04x}-7", 0
        head, count = _head, _count
        _count += 1
        if not _tails:
            _tails.extend(_some_tails())
        tail = _tails.pop()
    return f"{head}{count:03x}-{tail}"


def derived_id(of: str, what: str) -> str:
    """Make the one UUIDv7 of something that belongs to a thing with an id: its moment, and a hash where others have chance."""
    chance = hashlib.sha256(f"{of}\0{what}".encode()).hexdigest()
    return f"{of[:14]}7{chance[:3]}-{_KIND[chance[3]]}{chance[4:7]}-{chance[7:19]}"


def _some_tails() -> list[str]:
    """Make the last two groups of 256 ids: two bits that say which kind of UUID it is, 62 of chance."""
    chance = os.urandom(2048).hex()
    tails = (chance[at : at + 16] for at in range(0, len(chance), 16))
    return [f"{_KIND[tail[0]]}{tail[1:4]}-{tail[4:]}" for tail in tails]


os.register_at_fork(after_in_child=_tails.clear)  # no id twice in two processes
