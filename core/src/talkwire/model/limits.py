"""What a provider can do, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, StrEnum


class Unit(Enum):
    """What a provider counts a text in."""

    CHARACTERS = "characters"  # Unicode code points
    UTF16 = "utf16"  # UTF-16 code units
    BYTES = "bytes"  # of UTF-8
    SEGMENTS = "segments"  # SMS: GSM 7 bit or UCS-2, as the text demands


class Level(StrEnum):
    """How well a channel carries something."""

    FULL = "full"
    PARTIAL = "partial"  # in another form, named as a degradation
    DROPPED = "dropped"  # left out, named as a degradation
    REJECTED = "rejected"  # refused before anything is stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How often a provider lets us send."""

    count: int
    per: timedelta
    key: str = "account"  # or `address`: one person, whatever the thread
    burst: int = 1  # how many may go at once after a rest
    begins: str = ""  # with key `address`: only addresses whose value begins so; empty: all
