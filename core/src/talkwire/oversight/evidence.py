"""How everything stands, and where a thing is: the operator's status and find."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic_core import from_json

from ..clock import micros, moment
from ..model import AccountState, State
from ..readmodels import LOOKED_THROUGH, PAGE, any_like, like, when
from ..store import Query
from . import reasons
from .reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How an account does, and what shows it."""

    name: str
    channel: str
    state: AccountState
    reason: str
    since: datetime
    last_in_at: datetime | None  # None: never
    last_out_at: datetime | None
    last_poll_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadEnvelope:
    """A delivery that was not understood, at least not whole."""

    id: str
    account: str
    endpoint: str
    at: datetime
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestTask:
    """The promise that has waited longest."""

    group: str
    subject: str
    since: datetime
    held: str  # empty: it is not held
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLag:
    """How far behind the log a reader is."""

    name: str
    state: str
    behind: int  # facts
    waiting: int  # facts that it refused and is told again, and those behind them in their conversations
    parked: int
    last_error: str
    down_since: datetime | None  # None: it takes what it is told, or the outage is not a minute old


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One screen for the operator."""

    accounts: tuple[Evidence, ...]
    oldest: OldestTask | None  # None: nothing waits
    uncertain: int  # parts, in the last 24 hours
    failed: int
    readers: tuple[ReaderLag, ...]
    unread: int  # envelopes


_ACCOUNTS = """
    SELECT account, channel, state, reason, since, last_in_at, last_out_at, last_poll_at FROM account_state
    ORDER BY account
"""
_UNREAD = """
    SELECT id, account, endpoint, received_at, unread FROM envelope WHERE unread <> '' AND replayed_at IS NULL
    ORDER BY received_at DESC LIMIT :limit
"""
_OLDEST = """
    SELECT l.grp, l.subject, t.created_at, l.held, l.last_error FROM task t JOIN lane l ON l.id = t.lane_id
    ORDER BY t.id LIMIT 1
"""
_TROUBLE = """
    SELECT state, count(*) FROM delivery
    WHERE state IN (5, 25) AND state_at > :since AND problem_code NOT IN ('fell_back', 'arrived') GROUP BY state
"""
_READERS = """
    SELECT r.name, r.state, h.seq - r.cursor,
           (SELECT count(*) FROM lane l JOIN task t ON t.lane_id = l.id WHERE l.grp = 'read:' || r.name),
           (SELECT count(*) FROM parked p WHERE p.reader = r.name), r.last_error,
           CASE WHEN r.down_told = 1 AND r.up_since IS NULL THEN r.down_since END
    FROM reader r, log_head h WHERE h.id = 1 ORDER BY r.name
"""


def accounts(query: Query) -> list[Evidence]:
    """Give what is stored of every account, configured or gone."""
    return [
        Evidence(
            name=name,
            channel=channel,
            state=AccountState(state or "starting"),
            reason=reason,
            since=moment(since),
            last_in_at=when(last_in),
            last_out_at=when(last_out),
            last_poll_at=when(last_poll),
        )
        for name, channel, state, reason, since, last_in, last_out, last_poll in query.execute(_ACCOUNTS)
    ]


def unread(query: Query, limit: int = 50) -> list[UnreadEnvelope]:
    """Give envelopes that were not understood and not replayed since, the newest first."""
    return [
        UnreadEnvelope(
            id=id_,
            account=account,
            endpoint=endpoint,
            at=moment(at),
            reasons=tuple(reason for _, reason in from_json(said)),
        )
        for id_, account, endpoint, at, said in query.execute(_UNREAD, {"limit": min(limit, PAGE)})
    ]


def readers(query: Query) -> list[ReaderLag]:
    """Say how far everybody is who is told facts."""
    return [
        ReaderLag(
            name=name,
            state=state,
            behind=behind,
            waiting=waiting,
            parked=parked,
            last_error=error,
            down_since=when(down),
        )
        for name, state, behind, waiting, parked, error, down in query.execute(_READERS)
    ]


def status(query: Query) -> Status:
    """Say how everything stands."""
    since = micros(query.now - timedelta(hours=24))
    trouble: dict[int, int] = dict(query.execute(_TROUBLE, {"since": since}))
    waits = query.one(_OLDEST)
    unread_row = query.one("SELECT count(*) FROM envelope WHERE unread <> '' AND replayed_at IS NULL")
    return Status(
        accounts=tuple(accounts(query)),
        oldest=None
        if waits is None
        else OldestTask(group=waits[0], subject=waits[1], since=moment(waits[2]), held=waits[3], last_error=waits[4]),
        uncertain=trouble.get(int(State.UNCERTAIN), 0),
        failed=trouble.get(int(State.FAILED), 0),
        readers=tuple(readers(query)),
        unread=unread_row[0] if unread_row else 0,
    )


# --- find, trace -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a search found."""

    kind: str  # conversation, message, delivery, contact, attachment, envelope, notification
    id: str
    text: str  # what to recognise it by; of a message the beginning
    why: tuple[Reason, ...] = ()  # of a conversation: what it waits for, what went wrong in it


_LABELS = {  # table → what to recognise a row by
    "conversation": "account",
    "message": "account",
    "delivery": "account",
    "contact": "name",
    "attachment": "name",
    "envelope": "account",
    "notification": "title",
}
_BY_ID = " UNION ALL ".join(f"SELECT '{t}', id, {label} FROM {t} WHERE id = :id" for t, label in _LABELS.items())
_BY_EXTERNAL_ID = """
    SELECT 'message', m.id, m.account FROM account_state s
    JOIN message m ON m.account = s.account AND m.kind = 'message' AND m.external_id = :id
    UNION ALL
    SELECT 'message', m.id, m.account FROM account_state s
    JOIN message m ON m.account = s.account AND m.known_as = :id AND m.known_as <> ''
    UNION ALL
    SELECT 'delivery', d.id, d.account FROM account_state s
    JOIN delivery d ON d.account = s.account AND d.external_id IS NOT NULL AND d.external_id = :id
"""
_BY_ADDRESS = f"""
    SELECT a.kind, a.value, a.name, a.contact_id, c.id, c.account
    FROM address a LEFT JOIN conversation c ON c.address_id = a.id
    WHERE {any_like("a.value", "a.name")} OR a.value LIKE :digits
       OR a.id IN (SELECT address_id FROM alias WHERE {any_like("value")}) ORDER BY c.last_at DESC, a.id LIMIT :limit
"""
_BY_TEXT = f"""
    SELECT id, text FROM message WHERE id IN (SELECT id FROM message ORDER BY id DESC LIMIT :through)
    AND {any_like("text")} ORDER BY id DESC LIMIT :limit
"""


_UNREAD_SIZES = """
    SELECT id, length(body) + length(query) FROM envelope WHERE unread <> '' AND replayed_at IS NULL
    ORDER BY received_at DESC LIMIT :most
"""
_UNREAD_BODIES = "SELECT id, account, body, query, unread FROM envelope WHERE id IN (:ids[])"
_UNREAD_BYTES = 4 << 20  # of the newest envelopes that were not understood are looked through: 10 to 40 ms
_AT_ONCE = 200  # of them
_EXPLAINED = 20  # talks that are asked why they stand still


def find(query: Query, text: str, *, limit: int = 50) -> list[Found]:
    """Find by the id of anything, an external id, an address in any form or part, a text in the newest messages.

    Where nobody has that address, the newest 4 MiB of what was not understood are looked through for it.
    """
    text = text.strip()
    found = [Found(*row) for row in query.execute(_BY_ID, {"id": text})]
    found += [Found(*row) for row in query.execute(_BY_EXTERNAL_ID, {"id": text})]
    if found or not text:
        return found
    digits = re.sub(r"[\s().\-/+]", "", text).lstrip("0")
    is_phone = digits.isascii() and digits.isdigit() and len(digits) > 3
    params = {"like": like(text), "digits": f"%{digits}%" if is_phone else "-", "limit": min(limit, PAGE)}
    for kind, value, name, contact_id, place, account in query.execute(_BY_ADDRESS, params):
        label = " ".join(word for word in (account or "", kind, value, name) if word)
        found.append(Found("conversation", place, label) if place else Found("contact", contact_id, label))
    if not found:
        found = _unread_with(query, digits if is_phone else text, min(limit, PAGE))
    rows = query.execute(_BY_TEXT, {**params, "through": LOOKED_THROUGH})
    return [*found, *(Found("message", id_, said[:120]) for id_, said in rows)][:limit]


def explained(query: Query, found: Sequence[Found]) -> list[Found]:
    """Say of the first talks that were found why they stand still."""
    return [
        replace(one, why=reasons.of_talk(query, one.id)) if one.kind == "conversation" and place < _EXPLAINED else one
        for place, one in enumerate(found)
    ]


def _unread_with(query: Query, text: str, limit: int) -> list[Found]:
    """Look for a text in what providers said and we did not understand, the newest first.

    What was so large that it lies with the files is not looked through.
    """
    wanted, found = text.lower().encode(), list[Found]()
    newest = _newest_unread(query)
    for place in range(0, len(newest), _AT_ONCE):
        some = newest[place : place + _AT_ONCE]
        rows = {row[0]: row[1:] for row in query.execute(_UNREAD_BODIES, {"ids": some})}
        for id_ in some:
            account, body, said_in_query, reasons_ = rows[id_]
            if wanted in bytes(body).lower() or wanted in said_in_query.lower().encode():
                why = from_json(reasons_)[0][1]
                found.append(Found("envelope", id_, f"{account}: not understood, and holds what you look for: {why}"))
        if len(found) >= limit:
            break
    return found[:limit]


def _newest_unread(query: Query) -> list[str]:
    """Give the envelopes that were not understood, as many as may be looked through."""
    ids, size = list[str](), 0
    for id_, length in query.execute(_UNREAD_SIZES, {"most": LOOKED_THROUGH}):
        size += length
        if size > _UNREAD_BYTES and ids:
            break
        ids.append(id_)
    return ids
