"""Ids that leave this process: UUIDv7 in text form, in order within one process.

Source: RFC 9562, section 5.7 and method 1 of 6.2, read 2026-11-22.
"""

from __future__ import annotations

import os
import threading
import time

_lock = threading.Lock()
_last = 0  # milliseconds << 12 | counter


def new_id() -> str:
    """Make a UUIDv7: 48 bits of milliseconds, a 12 bit counter, 62 random bits."""
    global _last  # noqa: PLW0603  one counter a process is what makes ids of one process sort
    stamp = (time.time_ns() // 1_000_000) << 12
    with _lock:
        _last = stamp if stamp > _last else _last + 1
        stamp = _last
    head = f"{stamp >> 12:012x}"
    tail = os.urandom(8).hex()
    variant = "89ab"[int(tail[0], 16) & 3]
    return f"{head[:8]}-{head[8:]}-7{stamp & 0xFFF:03x}-{variant}{tail[1:4]}-{tail[4:]}"
