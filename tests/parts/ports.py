"""Ports for what a test starts by number, or for where nobody listens.

A port that the machine chose, read and let go again is the next one's to have: another test's, or a connection's.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket

_NUMBERS = range(20_000, 32_000)  # below those that the machine gives by itself, from 32768 on (Linux)
_APART = 16  # workers of one run, each of which has numbers of its own
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Find ports that nobody has, and that nobody gets who does not ask for them by number; never one of them twice."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _APART
    ours = [number for number in _NUMBERS if number % _APART == worker and number not in _given]
    found: list[int] = []
    for number in random.sample(ours, len(ours)):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", number))
            found.append(number)
        if len(found) == count:
            _given.update(found)
            return found
    raise OSError(f"no {count} ports are free here")


def free_port() -> int:
    """Find one such port."""
    return free_ports(1)[0]
