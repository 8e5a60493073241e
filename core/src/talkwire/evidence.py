"""How everything stands, and what became of one thing: the operator's status, find and trace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic_core import from_json

from .clock import micros, moment
from .errors import NotFound
from .model import AccountState, State
from .readmodels import DELIVERIES, FACT, LOOKED_THROUGH, PAGE, any_like, delivery_of, fact_of, like, there, when
from .store import Query, Row


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
_TROUBLE = "SELECT state, count(*) FROM delivery WHERE state IN (5, 25) AND state_at > :since GROUP BY state"
_READERS = """
    SELECT r.name, r.state, h.seq - r.cursor,
           (SELECT count(*) FROM lane l JOIN task t ON t.lane_id = l.id WHERE l.grp = 'read:' || r.name),
           (SELECT count(*) FROM parked p WHERE p.reader = r.name), r.last_error
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
        readers=tuple(
            ReaderLag(name=name, state=state, behind=behind, waiting=waiting, parked=parked, last_error=error)
            for name, state, behind, waiting, parked, error in query.execute(_READERS)
        ),
        unread=unread_row[0] if unread_row else 0,
    )


# --- find, trace -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a search found."""

    kind: str  # conversation, message, delivery, contact, attachment, envelope, notification
    id: str
    text: str  # what to recognise it by; of a message the beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """One moment of a story."""

    at: datetime
    kind: str  # envelope, message, fact, delivery, exchange, report, parked
    text: str
    ids: Mapping[str, str]  # role → id


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


def find(query: Query, text: str, *, limit: int = 50) -> list[Found]:
    """Find by the id of anything, an external id, an address in any form or part, a text in the newest messages."""
    text = text.strip()
    found = [Found(*row) for row in query.execute(_BY_ID, {"id": text})]
    found += [Found(*row) for row in query.execute(_BY_EXTERNAL_ID, {"id": text})]
    if found or not text:
        return found
    digits = re.sub(r"[\s().\-/+]", "", text).lstrip("0")
    phone = f"%{digits}%" if digits.isascii() and digits.isdigit() and len(digits) > 3 else "-"
    params = {"like": like(text), "limit": min(limit, PAGE)}
    for kind, value, name, contact_id, place, account in query.execute(_BY_ADDRESS, {**params, "digits": phone}):
        label = " ".join(word for word in (account or "", kind, value, name) if word)
        found.append(Found("conversation", place, label) if place else Found("contact", contact_id, label))
    rows = query.execute(_BY_TEXT, {**params, "through": LOOKED_THROUGH})
    return [*found, *(Found("message", id_, said[:120]) for id_, said in rows)][:limit]


_OF_DELIVERY = "SELECT message_id FROM delivery WHERE id = :id"
_OF_CONTACT = """
    SELECT c.id FROM address a JOIN conversation c ON c.address_id = a.id WHERE a.contact_id = :id
    ORDER BY c.last_at DESC LIMIT 1
"""
_OF_ENVELOPE = """
    SELECT id FROM (SELECT id, envelope_id FROM message WHERE id > :id ORDER BY id LIMIT :through) m
    WHERE m.envelope_id = :id
"""  # a message's id is made after its envelope's: the first ones behind it are enough
_TRACED = "SELECT id, conversation_id, envelope_id, direction, n, author, stored_at, text FROM message m WHERE"
_ENVELOPES = """
    SELECT id, received_at, endpoint, method, items, unread FROM envelope WHERE id IN (:ids[])
"""
_FACTS_OF = f"{FACT} WHERE conversation IN (:ids[]) ORDER BY seq DESC LIMIT :limit"
_PARKED = "SELECT at, reader, seq, error FROM parked WHERE conversation IN (:ids[]) ORDER BY seq LIMIT :limit"
_EXCHANGES = """
    SELECT at, delivery_id, what, request, answer, milliseconds FROM exchange WHERE delivery_id IN (:ids[])
    ORDER BY id LIMIT :limit
"""
_REPORTS = """
    SELECT stored_at, delivery_id, state, code, reason, envelope_id FROM report WHERE delivery_id IN (:ids[])
    ORDER BY id LIMIT :limit
"""


def trace(query: Query, what: str, *, bodies: bool = False) -> list[TraceLine]:
    """Tell the whole story of a message or a conversation, oldest first; `what` is anything `find` takes.

    Texts and exchanges are given only with `bodies`; secrets were taken out when they were stored. Errors: `NotFound`.
    """
    hit = there(next(iter(find(query, what)), None), "thing")
    rows, envelopes = _traced(query, hit)
    conversation_ids = sorted({row[1] for row in rows})
    limit = {"limit": PAGE}
    lines = [
        TraceLine(
            at=moment(at),
            kind="message",
            text=f"{'in' if direction == 'in' else 'out'} {n}{' by ' + author if author else ''}"
            + (f": {text}" if bodies else ""),
            ids={"message": id_, "conversation": place},
        )
        for id_, place, _, direction, n, author, at, text in rows
    ]
    ids = {row[0] for row in rows}
    for fact in map(fact_of, query.execute(_FACTS_OF, {"ids": conversation_ids, **limit}) if rows else ()):
        if hit.kind == "conversation" or fact.ids.get("message", "") in ids:
            small = " ".join(f"{key}={value}" for key, value in fact.small.items() if value is not None)
            lines.append(
                TraceLine(at=fact.at, kind="fact", text=f"{fact.seq} {fact.type} {small}".rstrip(), ids=fact.ids)
            )
    parts = query.execute(DELIVERIES, {"ids": sorted(ids)}) if ids else []
    keys = {"ids": [part[0] for part in parts], **limit}
    for part in map(delivery_of, parts):
        problem = f", {part.problem.code}: {part.problem.text}" if part.problem else ""
        text = f"part {part.position}.{part.generation} {part.state.word}, {part.attempts} attempts{problem}"
        lines.append(TraceLine(at=part.state_at, kind="delivery", text=text, ids={"delivery": part.id}))
    for at, delivery, said, request, answer, ms in query.execute(_EXCHANGES, keys) if parts else ():
        text = f"{said} in {ms} ms" + (f"\n→ {request}\n← {answer}" if bodies else "")
        lines.append(TraceLine(at=moment(at), kind="exchange", text=text, ids={"delivery": delivery}))
    for at, delivery, state, code, reason, envelope in query.execute(_REPORTS, keys) if parts else ():
        envelopes.add(envelope)
        text = " ".join(word for word in (State(state).word, code, reason) if word)
        lines.append(
            TraceLine(at=moment(at), kind="report", text=text, ids={"delivery": delivery, "envelope": envelope})
        )
    for at, reader, seq, error in query.execute(_PARKED, {"ids": conversation_ids, **limit}) if rows else ():
        lines.append(TraceLine(at=moment(at), kind="parked", text=f"{seq} of {reader}: {error}", ids={}))
    wanted = sorted(envelopes - {""})
    for id_, at, endpoint, method, items, said in query.execute(_ENVELOPES, {"ids": wanted}) if wanted else ():
        text = f"{method} /in/{endpoint}, {items} items" + (f", unread: {said}" if said else "")
        lines.append(TraceLine(at=moment(at), kind="envelope", text=text, ids={"envelope": id_}))
    return sorted(lines, key=lambda line: (line.at, _STORY.index(line.kind)))


_STORY = ("envelope", "message", "exchange", "report", "delivery", "fact", "parked")  # what is told first of one moment


def _traced(query: Query, hit: Found) -> tuple[list[Row], set[str]]:
    """Give the messages of a story, and the envelopes beside theirs."""
    if hit.kind in ("conversation", "contact"):
        row = (hit.id,) if hit.kind == "conversation" else query.one(_OF_CONTACT, {"id": hit.id})
        place = there(row, "conversation")[0]
        sql = f"{_TRACED} m.conversation_id = :id ORDER BY n DESC LIMIT :limit"
        rows = query.execute(sql, {"id": place, "limit": PAGE})
        return rows, {row[2] for row in rows}
    ids, envelopes = [hit.id], set()
    if hit.kind == "delivery":
        ids = [row[0] for row in query.execute(_OF_DELIVERY, {"id": hit.id})]
    elif hit.kind == "envelope":
        envelopes = {hit.id}
        ids = [row[0] for row in query.execute(_OF_ENVELOPE, {"id": hit.id, "through": 2000})]
    elif hit.kind != "message":
        raise NotFound(f"a {hit.kind} has no story; find its message")
    rows = query.execute(f"{_TRACED} m.id IN (:ids[])", {"ids": ids}) if ids else []
    return rows, envelopes | {row[2] for row in rows}
