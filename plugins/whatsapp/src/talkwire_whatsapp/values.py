"""Values of what Meta sends, each taken by its type: nothing here trusts that a value is what its page says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json

from talkwire import Address, Alias, Unreadable

Json = Mapping[str, Any]

LATE = timedelta(hours=1)  # Meta repeats for seven days: what was wrong then may have been put right
_LONGEST = 500  # characters of an id; ids of Meta's have under 100
_RAW = 64 * 1024  # bytes of JSON that a block keeps
_NUMBER = re.compile(r"[0-9]{4,20}")  # a wa_id: a number without its plus sign, as it came
_BEGAN = 1_230_768_000  # seconds; 2009, before which nobody wrote on WhatsApp
_ENDS = 4_102_444_800  # seconds; 2100
_NONE: Json = {}


def whole(body: bytes) -> Json:
    """Read a body. Errors: `Unreadable`.

    Meta writes every letter beyond ASCII as an escape, and may cut a text in the middle of a pair of them: the quick
    reader takes no half of a pair, the standard one does.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        try:
            value = json.loads(body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise Unreadable("the body is no JSON, or nested too deeply") from None
    if type(value) is not dict:
        raise Unreadable("the body is no JSON object")
    return value


def _no_number(word: str) -> float:
    raise ValueError(word)


def text(value: Json, name: str) -> str:
    """Give a text; empty where it is missing or something else."""
    found = value.get(name)
    return found if type(found) is str else ""


def needed(value: Json, name: str, place: str = "") -> str:
    """Give a text that there must be, of an id's length. Errors: `Unreadable`."""
    found = value.get(name)
    if type(found) is not str or not 0 < len(found) <= _LONGEST:
        raise Unreadable(f"{place}{name}: missing, or no text of 1 to {_LONGEST} characters")
    return found


def inner(value: Json, name: str) -> Json:
    """Give an object; empty where it is missing or something else."""
    found = value.get(name)
    return found if type(found) is dict else _NONE


def objects(value: Json, name: str) -> tuple[Json, ...]:
    """Give the objects of a list, without what else stands in it; empty where it is missing or no list."""
    found = value.get(name)
    return tuple(one for one in found if type(one) is dict) if type(found) is list else ()


def an_object(value: Any) -> Json:
    """Give a value that must be an object. Errors: `Unreadable`."""
    if type(value) is not dict:
        raise Unreadable("no JSON object")
    return value


def number(value: Json, name: str) -> float | None:
    """Give a finite number, also where it is written as text; None where it is missing, too large or something else."""
    found = value.get(name)
    if type(found) not in (int, float) and not (type(found) is str and len(found) <= 40):
        return None
    try:
        read = float(found)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return None
    return read if math.isfinite(read) else None


def moment(value: Any, otherwise: datetime) -> datetime:
    """Read a timestamp: seconds since 1970, as text or number; milliseconds have been seen.

    What is neither, or lies outside of 2009 to 2099, gives `otherwise`: a message is not lost for its time.
    """
    if type(value) is str and len(value) <= 16 and value.isascii() and value.isdecimal():
        seconds = int(value)
    elif type(value) is int:
        seconds = value
    else:
        return otherwise
    if seconds >= 1_000_000_000_000:
        seconds //= 1000
    return datetime.fromtimestamp(seconds, UTC) if _BEGAN <= seconds < _ENDS else otherwise


def person(wa_id: str, user_id: str, name: str = "") -> Address | None:
    """Give who has a number, an id of their own at this business (BSUID), or both; None: neither is one.

    A number is kept as it came, for wa_ids are not always the numbers that people dial (Mexico, Brazil, Argentina).
    An id in the place of the number is an id.
    """
    if _NUMBER.fullmatch(wa_id):
        aliases = (Alias("bsuid", user_id),) if 0 < len(user_id) <= _LONGEST else ()
        return Address(kind="phone", value=f"+{wa_id}", name=name, aliases=aliases)
    user_id = user_id or wa_id
    return Address(kind="bsuid", value=user_id, name=name) if 0 < len(user_id) <= _LONGEST else None


def complaint(value: Json) -> tuple[str, str]:
    """Give code and words of one of Meta's errors, the most telling words of those that it brings; empty: none.

    Source: Cloud API, "Error codes", form of errors in webhooks, read 2026-11-22.
    """
    code = value.get("code")
    known = str(code) if type(code) in (int, str) else ""
    details = text(inner(value, "error_data"), "details")
    return known[:40], details or text(value, "message") or text(value, "title")


def raw(value: Any) -> str:
    """Write a value as JSON to be kept; empty where it is too long."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return written if len(written.encode("utf-8", "surrogatepass")) <= _RAW else ""


def line(words: str, limit: int = 300) -> str:
    """Make one line of words, at most so long."""
    words = " ".join(words[: 4 * limit].split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
