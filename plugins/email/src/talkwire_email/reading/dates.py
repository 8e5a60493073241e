"""When a mail was written.

Source: RFC 5322 chapters 3.3 and 4.3.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from talkwire import Envelope

from .headers import Headers

_FIRST = datetime(1990, 1, 1, tzinfo=UTC)  # what claims to be older has a broken clock
_AHEAD = timedelta(days=1)  # a clock may be wrong, a zone may be missing
_LONGEST = 100  # characters of a date


def written_at(headers: Headers, envelope: Envelope) -> datetime:
    """Give the time in the Date header; where that is absurd or missing, the time at which the mailbox had the mail."""
    came = _came(envelope)
    said = _said(headers.raw("date"))
    return said if said is not None and _FIRST <= said <= came + _AHEAD else came


def _came(envelope: Envelope) -> datetime:
    try:
        at = datetime.fromisoformat(envelope.param("at"))
    except ValueError:
        return envelope.received_at
    at = at.replace(tzinfo=UTC) if at.utcoffset() is None else _in_utc(at) or envelope.received_at
    return at if _FIRST <= at <= envelope.received_at + _AHEAD else envelope.received_at


def _said(value: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(value[:_LONGEST])
    except Exception:  # noqa: BLE001  the standard library's reader raises what it likes; a date that is none costs only itself
        return None
    return at.replace(tzinfo=UTC) if at.utcoffset() is None else _in_utc(at)


def _in_utc(at: datetime) -> datetime | None:
    try:
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
