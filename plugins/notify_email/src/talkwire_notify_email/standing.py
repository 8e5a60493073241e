"""How a notification stands: open, answered by whom, over, or taken back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from talkwire import Option, Query

from .rows import moment

_STANDING = """
    SELECT title, kind, details, actions, answered_by, answer, answered_at, ended, withdrawn_at, lapses_at,
           created_at, recipient, asker, key, does
    FROM notification WHERE id = :id
"""
_WINNER = """
    SELECT answered_by, answer, answered_at, recipient FROM notification
    WHERE asker = :asker AND key = :key AND key <> '' AND answered_by <> '' AND id <> :id ORDER BY id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class First:
    """Who answered."""

    surface: str
    answer: str  # id of the action
    at: datetime | None
    recipient: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One notification, as a page needs it."""

    title: str
    details: tuple[tuple[str, str], ...]
    actions: tuple[Option, ...]
    at: datetime
    first: First | None  # None: nobody has answered
    is_over: bool  # it lapsed
    is_gone: bool  # it was taken back

    def label(self, action: str) -> str:
        """Give what stands on a button."""
        return next((option.title for option in self.actions if option.id == action), action)


def standing(query: Query, notification: str, now: int) -> Standing | None:
    """Say how a notification stands at a moment (microseconds); None: there is none."""
    row = query.one(_STANDING, {"id": notification})
    if row is None:
        return None
    title, kind, details, actions, surface, answer, answered, ended, *rest = row
    withdrawn, lapses, created, recipient, asker, key, does = rest
    first = (surface, answer, answered, recipient) if surface else None
    if first is None and withdrawn is not None:
        first = query.one(_WINNER, {"asker": asker, "key": key, "id": notification})
    is_over = ended == "lapsed" or (withdrawn is None and lapses is not None and lapses <= now)
    opens = {action for action, deed in json.loads(does).items() if deed == "open"}
    return Standing(
        title=title or kind,
        details=tuple((one["label"], one["value"]) for one in json.loads(details)),
        actions=tuple(Option(one["id"], one["title"]) for one in json.loads(actions) if one["id"] not in opens),
        at=moment(created),
        first=None if first is None else First(first[0], first[1], moment(first[2]) if first[2] else None, first[3]),
        is_over=first is None and is_over,
        is_gone=first is None and withdrawn is not None and not is_over,
    )
