"""Ids that leave this process: UUIDv7 in text form, in order within one process.

Source: RFC 9562, section 5.7 and method 1 of 6.2, read 2026-11-22.
"""

from __future__ import annotations

import os
import threading
import time

_TAIL = 16  # hex digits of chance in one id
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_lock = threading.Lock()
_last = 0  # milliseconds << 12 | counter
_chance = ""  # hex digits, read many at a time: each read of the system gives other threads their turn
_at = 0


def new_id() -> str:
    """Make a UUIDv7: 48 bits of milliseconds, a 12 bit counter, 62 random bits."""
    global _last, _chance, _at  # noqa: PLW0603  one counter a process is what makes ids of one process sort
    stamp = (time.time_ns() // 1_000_000) << 12
    with _lock:
        _last = stamp = stamp if stamp > _last else _last + 1
        if _at >= len(_chance):
            _chance, _at = os.urandom(4096).hex(), 0
        tail = _chance[_at : _at + _TAIL]
        _at += _TAIL
    head = f"{stamp:015x}"
    return f"{head[:8]}-{head[8:12]}-7{head[12:]}-{_VARIANT[tail[0]]}{tail[1:4]}-{tail[4:]}"


os.register_at_fork(after_in_child=lambda: globals().update(_chance="", _at=0))  # no id twice in two processes
