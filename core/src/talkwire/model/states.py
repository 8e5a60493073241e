"""What became of a part, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class State(IntEnum):
    """How far a part has come; the number is the rank, and the largest ever learnt holds."""

    QUEUED = 0
    UNCERTAIN = 5
    ACCEPTED = 10
    SENT = 20
    FAILED = 25
    DELIVERED = 30
    READ = 40

    @property
    def word(self) -> str:
        """Give the name as it stands on wires and pages."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The earliest failure of a part, whatever its state became."""

    code: str
    text: str  # the provider's own words, or ours
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """What a rendered message says less well than its draft."""

    block: int  # position of the block in the draft, from 0
    what: str  # stable code: `table_as_text`, `button_dropped`, …
    text: str  # for a person
    lost: bool = False  # True: content is gone; False: it is said in another form
