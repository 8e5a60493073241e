"""A thread that says who holds the event loop: a channel's plain methods run on it, and one that does not end stops all.

Nothing else can tell: whoever would answer `/livez` runs on that loop too.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from types import FrameType

import structlog

_log = structlog.get_logger("talkwire.standstill")
_DEEPEST = 6  # frames that are named, from the inside


@contextmanager
def watched(held_after: float, told: Callable[[str], None] | None = None) -> Iterator[None]:
    """Name who holds the running loop for more than so many seconds, once each time."""
    loop, thread, ended = asyncio.get_running_loop(), threading.get_ident(), threading.Event()
    ticked = monotonic()

    def tick() -> None:
        nonlocal ticked
        ticked = monotonic()

    def watch() -> None:
        named, every, woke = 0.0, held_after / 5, monotonic()
        while not ended.wait(every):
            # Where this thread is late too, the whole process stood still: nobody in it is to blame.
            late, woke = monotonic() - woke > 3 * every, monotonic()
            if not late and monotonic() - ticked > held_after and named != ticked:
                named = ticked
                (told or _told)(_where(sys._current_frames().get(thread)))  # noqa: SLF001  the one way to see another thread
            try:
                loop.call_soon_threadsafe(tick)
            except RuntimeError:  # the loop is closed
                return

    watching = threading.Thread(target=watch, name="standstill", daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()


def _told(where: str) -> None:
    _log.error("event loop held", where=where)


def _where(frame: FrameType | None) -> str:
    """Name the innermost calls, innermost first: `acme/__init__.py:31 parse`; no value of any variable."""
    places: list[str] = []
    while frame is not None and len(places) < _DEEPEST:
        code = frame.f_code
        file = Path(code.co_filename)
        places.append(f"{file.parent.name}/{file.name}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(places)
