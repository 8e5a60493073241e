"""What waits for a thread of the store, and how the thread's answer reaches whoever waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol


class Waiter(Protocol):
    """Who waits for a job, on the loop: a future, or whoever does as one."""

    def done(self) -> bool: ...
    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, error: BaseException, /) -> None: ...


@dataclass(slots=True)
class Job:
    """One item that waits to be written, or one function that waits to read."""

    item: Any
    future: Waiter


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
