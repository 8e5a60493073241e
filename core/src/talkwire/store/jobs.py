"""What waits for a thread of the store, and how the thread's answer reaches whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Job:
    """One item that waits to be written, or one function that waits to read."""

    item: Any
    future: asyncio.Future[Any]


Done = tuple[Job, Any, BaseException | None]  # with its result, or the error that it gave


def hand_out(done: Iterable[Done]) -> None:
    """Give each caller what became of its job; on the loop."""
    for job, result, error in done:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
