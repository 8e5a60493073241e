"""What recipients want, beside what the settings say; theirs go before."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from ..errors import NotFound
from ..model import Preferences
from ..quiet import Quiet
from ..store import Query, Tx

_OF = """
    SELECT p.wants FROM recipient r LEFT JOIN preference p ON p.recipient = r.name WHERE r.name = :name
"""
_PUT = """
    INSERT INTO preference (recipient, wants, changed_at) VALUES (:name, :wants, :now)
    ON CONFLICT (recipient) DO UPDATE SET wants = excluded.wants, changed_at = excluded.changed_at
"""
# What waits for its time may be due, or be dropped, by what is wanted now.
_WAITING = """
    SELECT l.id FROM lane l JOIN notification_medium m ON l.grp = 'notify:' || m.medium
    AND l.subject = CASE WHEN m.lane = '' THEN m.notification_id ELSE m.lane END
    JOIN notification n ON n.id = m.notification_id
    WHERE n.recipient = :name AND m.decision = 'waiting' AND m.reason = 'quiet_hours'
"""
_LOOK_AGAIN = "UPDATE lane SET due = :now WHERE id IN (:ids[]) AND due > :now AND attempts = 0 AND held = ''"
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?")
_MEDIUM = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MOST = 50  # media that can be switched off
_KEYS = ("off", "quiet", "time_zone", "language")


@dataclass(frozen=True, slots=True)
class Wants:
    """A change that was looked through."""

    recipient: str
    changes: Mapping[str, Any]
    mute: str = ""
    unmute: str = ""


def checked(recipient: str, wants: Mapping[str, Any]) -> Wants:
    """Look a change through. Errors: `ValueError` with the key and what may stand there."""
    changes = {key: value for key, value in wants.items() if key not in ("mute", "unmute")}
    for key, value in changes.items():
        if key not in _KEYS:
            raise ValueError(f"{key}: there is no such preference")
        _check(key, value)
    for key in ("mute", "unmute"):
        if key in wants:
            _check("off", (wants[key],))
    if "off" in changes:
        changes["off"] = sorted(set(changes["off"]))
    return Wants(recipient, changes, wants.get("mute", ""), wants.get("unmute", ""))


def _check(key: str, value: Any) -> None:
    if key == "off":
        if isinstance(value, str) or len(value) > _MOST or not all(_MEDIUM.fullmatch(one) for one in value):
            raise ValueError("off: write a list of media")
    elif value is None:
        return
    elif key == "quiet":
        try:
            Quiet.parse(value)
        except ValueError:
            raise ValueError("quiet: write hours such as 22:00-07:00, or nothing") from None
    elif key == "time_zone":
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("time_zone: no such time zone; write one such as Asia/Jakarta") from None
    elif not _LANGUAGE.fullmatch(value):
        raise ValueError("language: write one such as en or id")


def of(query: Query, recipient: str) -> Preferences:
    """Give what a recipient wants. Errors: `NotFound`."""
    row = query.one(_OF, {"name": recipient})
    if row is None:
        raise NotFound(f'there is no recipient "{recipient}"')
    return _preferences(recipient, from_json(row[0]) if row[0] else {})


def prefer(tx: Tx, items: Sequence[Wants]) -> Sequence[Preferences]:
    """Change what recipients want; what waits for the end of quiet hours is looked at again. Errors: `NotFound`."""
    found = []
    for item in items:
        tx.lock_name("recipient", item.recipient)
        row = tx.one(_OF, {"name": item.recipient})
        if row is None:
            raise NotFound(f'there is no recipient "{item.recipient}"')
        wants = {**(from_json(row[0]) if row[0] else {}), **item.changes}
        off = ({*wants.get("off", ()), item.mute} - {item.unmute, ""}) if item.mute or item.unmute else wants.get("off")
        wants = {key: value for key, value in {**wants, "off": sorted(off or ())}.items() if value not in (None, [])}
        tx.execute(_PUT, {"name": item.recipient, "wants": to_json(wants).decode(), "now": tx.now_us})
        waiting = sorted({row[0] for row in tx.execute(_WAITING, {"name": item.recipient})})
        if waiting:
            tx.lock("lane", waiting)
            tx.execute(_LOOK_AGAIN, {"ids": waiting, "now": tx.now_us})
            tx.hint("lanes")
        found.append(_preferences(item.recipient, wants))
    return found


def _preferences(recipient: str, wants: Mapping[str, Any]) -> Preferences:
    return Preferences(
        recipient=recipient,
        off=tuple(wants.get("off", ())),
        quiet=wants.get("quiet"),
        time_zone=wants.get("time_zone"),
        language=wants.get("language"),
    )
