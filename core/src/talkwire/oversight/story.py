"""What became of one thing, as one timeline: the operator's trace.

received ─▶ known already? ─▶ told ─▶ reply ─▶ parts ─▶ attempts ─▶ reports      and how its account did meanwhile
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from pydantic_core import from_json

from ..clock import micros, moment
from ..errors import NotFound
from ..model import Fact, State
from ..readmodels import DELIVERIES, FACT, PAGE, delivery_of, fact_of, there
from ..store import Query, Row
from . import evidence, reasons
from .evidence import Found
from .reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLine:
    """One moment of a story."""

    at: datetime
    kind: str  # one of `KINDS`
    who: str  # the customer's address, the author of a reply, the account, a reader; empty: Talkwire itself
    text: str  # without content
    ids: Mapping[str, str]  # role → id; of the line's own kind the one it is found again by
    body: str = ""  # only with `bodies`: what was written, or said to the provider and answered
    is_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What became of a message or a whole talk."""

    of: Found
    others: tuple[Found, ...]  # what is found by the same words, and whose story this is not; texts only with `bodies`
    title: str  # whose talk it is: name, address, account; empty: of none
    conversation: str  # id; empty: of none
    why: tuple[Reason, ...]  # why the talk stands still
    lines: tuple[TraceLine, ...]  # oldest first
    cut: bool  # there is more before the first line


KINDS = (
    "envelope",
    "message",
    "told",
    "attempt",
    "report",
    "part",
    "account",
    "fact",
    "parked",
)  # at one moment: in this order
_OTHERS = 20  # that are named beside the one whose story is told
_MEANWHILE = timedelta(hours=1)  # before the first line: how the account did
_WHOSE = """
    SELECT a.name, a.value, c.account, c.channel FROM conversation c JOIN address a ON a.id = c.address_id
    WHERE c.id = :id
"""
_OF_DELIVERY = "SELECT message_id FROM delivery WHERE id = :id"
_OF_CONTACT = """
    SELECT c.id FROM address a JOIN conversation c ON c.address_id = a.id WHERE a.contact_id = :id
    ORDER BY c.last_at DESC LIMIT 1
"""
_OF_ENVELOPE = """
    SELECT id FROM (SELECT id, envelope_id FROM message WHERE id > :id ORDER BY id LIMIT :through) m
    WHERE m.envelope_id = :id
"""  # a message's id is made after its envelope's: the first ones behind it are enough
_TRACED = """
    SELECT id, conversation_id, envelope_id, direction, n, author, stored_at, text, at, notice, automatic
    FROM message m WHERE
"""
_ENVELOPES = "SELECT id, received_at, endpoint, method, items, unread, account FROM envelope WHERE id IN (:ids[])"
# What was received stands beside a message's row that tells the same; no index leads to that fact.
_FACTS_OF = f"""
    {FACT} WHERE conversation IN (:ids[]) AND type <> 'message.received' ORDER BY seq DESC LIMIT :limit
"""
_MEANWHILE_FACTS = f"""
    {FACT} WHERE conversation = '' AND type <> 'message.received' AND account = :account
    AND at >= :since AND at <= :until AND (type LIKE 'account.%' OR type = 'envelope.unread')
    ORDER BY seq DESC LIMIT 50
"""
_PARKED = """
    SELECT p.at, p.reader, p.seq, p.error FROM reader r
    JOIN parked p ON p.reader = r.name AND p.conversation IN (:ids[]) ORDER BY p.seq LIMIT :limit
"""
_EXCHANGES = """
    SELECT at, delivery_id, what, request, answer, milliseconds FROM exchange WHERE delivery_id IN (:ids[])
    ORDER BY id LIMIT :limit
"""
_REPORTS = """
    SELECT stored_at, delivery_id, state, code, reason, envelope_id, account, at FROM report
    WHERE delivery_id IN (:ids[]) ORDER BY id LIMIT :limit
"""
_READERS = "SELECT name, cursor FROM reader WHERE state <> 'stopped' ORDER BY name"
_TOLD_UPTO = "SELECT at FROM fact WHERE seq = :seq"


def tell(query: Query, what: str, *, bodies: bool = False) -> Story:
    """Tell what became of a message or a conversation; `what` is anything `evidence.find` takes.

    Texts and exchanges are given only with `bodies`; secrets were taken out when they were stored. Errors: `NotFound`.
    """
    found = evidence.find(query, what, limit=_OTHERS + 1)
    hit = there(next(iter(found), None), "thing")
    rows, envelopes = _traced(query, hit)
    conversations = sorted({row[1] for row in rows})
    place = conversations[0] if conversations else hit.id if hit.kind == "conversation" else ""
    name, value, account, channel = query.one(_WHOSE, {"id": place}) or ("", "", "", "")
    own = {row[0] for row in rows}
    lines = [*_messages(rows, value, bodies=bodies)]
    parts = query.execute(DELIVERIES, {"ids": sorted(own)}) if own else []
    facts = _facts(query, [place] if place else [], None if hit.kind in _WHOLE else own)
    lines += _told_facts(facts, parts)
    lines += _sent(query, parts, bodies=bodies)
    lines += _reports(query, parts, envelopes)
    envelopes |= {fact.ids["envelope"] for fact in facts if fact.type == "message.repeated" and "envelope" in fact.ids}
    lines += _envelopes(query, envelopes)
    if conversations:
        lines += _parked(query, conversations)
        lines += _told(query, rows)
    why = reasons.of_talk(query, place) if place else ()
    if account and lines:
        lines += _meanwhile(query, account, lines, is_open=any(one.is_open for one in why))
    lines.sort(key=lambda line: (line.at, KINDS.index(line.kind)))
    return Story(
        of=hit,
        others=tuple(one if bodies or one.kind != "message" else replace(one, text="") for one in found[1:]),
        title=" · ".join(word for word in (name, value, f"{account} ({channel})" if account else "") if word),
        conversation=place,
        why=why,
        lines=tuple(lines[-PAGE:]),
        cut=len(rows) == PAGE or len(lines) > PAGE,
    )


_WHOLE = ("conversation", "contact")  # hits whose story is that of the whole talk


def _traced(query: Query, hit: Found) -> tuple[list[Row], set[str]]:
    """Give the messages of a story, and the envelopes beside theirs."""
    if hit.kind in _WHOLE:
        row = (hit.id,) if hit.kind == "conversation" else query.one(_OF_CONTACT, {"id": hit.id})
        place = there(row, "conversation")[0]
        rows = query.execute(
            f"{_TRACED} m.conversation_id = :id ORDER BY n DESC LIMIT :limit", {"id": place, "limit": PAGE}
        )
        return rows[::-1], {row[2] for row in rows} - {""}
    ids, envelopes = [hit.id], set()
    if hit.kind == "delivery":
        ids = [row[0] for row in query.execute(_OF_DELIVERY, {"id": hit.id})]
    elif hit.kind == "envelope":
        envelopes = {hit.id}
        ids = [row[0] for row in query.execute(_OF_ENVELOPE, {"id": hit.id, "through": 2000})]
    elif hit.kind != "message":
        raise NotFound(f"a {hit.kind} has no story; find its message")
    rows = query.execute(f"{_TRACED} m.id IN (:ids[])", {"ids": ids}) if ids else []
    return rows, (envelopes | {row[2] for row in rows}) - {""}


# --- each kind of line -------------------------------------------------------------------------------------


def _messages(rows: Sequence[Row], customer: str, *, bodies: bool) -> Iterator[TraceLine]:
    for id_, place, _, direction, n, author, stored, text, said_at, notice, automatic in rows:
        late = moment(stored) - moment(said_at)
        said = f"message {n}" if direction == "in" else f"notice {n} ({notice})" if notice else f"reply {n}"
        if direction == "in" and late > timedelta(minutes=1):
            said += f", written {_span(late)} before it came"
        said += ", automatic" if automatic else ""
        yield TraceLine(
            at=moment(stored),
            kind="message",
            who=customer if direction == "in" else author,
            text=said,
            ids={"message": id_, "conversation": place},
            body=text if bodies else "",
        )


def _facts(query: Query, conversations: Sequence[str], own: set[str] | None) -> list[Fact]:
    """Give the facts of a talk, or of these messages of it."""
    found = query.execute(_FACTS_OF, {"ids": conversations, "limit": PAGE}) if conversations else []
    facts = map(fact_of, reversed(found))
    return [fact for fact in facts if own is None or fact.ids.get("message", "") in own]


def _told_facts(facts: Sequence[Fact], parts: Sequence[Row]) -> Iterator[TraceLine]:
    named = set()
    for fact in facts:
        kind, text = _said(fact)
        named.add(fact.ids.get("delivery", ""))
        if text:
            is_bad = bool(_BAD.search(fact.type)) or fact.small.get("state") in ("failed", "uncertain")
            yield TraceLine(
                at=fact.at, kind=kind, who=str(fact.small.get("author") or ""), text=text, ids=fact.ids, is_bad=is_bad
            )
    for part in map(delivery_of, parts):
        if part.id not in named and part.state is not State.QUEUED:  # the log no longer reaches back so far
            problem = f", {part.problem.code}: {part.problem.text}" if part.problem else ""
            text = f"part {part.position + 1} {part.state.word}{problem}"
            is_bad = part.state in (State.FAILED, State.UNCERTAIN)
            yield TraceLine(at=part.state_at, kind="part", who="", text=text, ids={"delivery": part.id}, is_bad=is_bad)


_BAD = re.compile(r"failed|refused|broken|unread|stopped|parked|repeated$")


def _said(fact: Fact) -> tuple[str, str]:
    """Put a fact into words; without words it is told by another line."""
    small = {key: value for key, value in fact.small.items() if value is not None and key != "author"}
    match fact.type:
        case "reply.queued":
            held = small.get("held")
            return "fact", f"held: {reasons.WAITS.get(str(held), held)}" if held else ""
        case "reply.fell_back":
            return (
                "fact",
                f"a reply could not go out here ({_plain(small.get('code', ''))}): {small.get('account')} wrote it",
            )
        case "delivery.failed":
            return "part", ""  # `delivery.changed` said it
        case "delivery.changed":
            place = int(small.get("position") or 0) + 1
            problem = f", {small['problem']}" if small.get("problem") else ""
            return "part", f"part {place} {small.get('was')} → {small.get('state')}{problem}"
        case "message.repeated":
            return "message", "the provider delivered it again: known already, nothing was stored twice"
        case "conversation.answer_changed":
            can = "may" if small.get("allowed") else f"may not ({_plain(small.get('code', ''))})"
            return "fact", f"the talk {can} be answered"
    if fact.type.startswith("account."):
        was = f"{small['was']} → " if small.get("was") else ""
        return "account", f"{was}{small.get('state', fact.type)}" + (
            f": {small['reason']}" if small.get("reason") else ""
        )
    values = " ".join(f"{key}={value}" for key, value in small.items())
    return "fact", f"{fact.type.replace('.', ' ').replace('_', ' ')} {values}".rstrip()


def _plain(code: object) -> str:
    return str(code).replace("_", " ")


def _sent(query: Query, parts: Sequence[Row], *, bodies: bool) -> Iterator[TraceLine]:
    keys = {"ids": [part[0] for part in parts], "limit": PAGE}
    place = {part[0]: part[2] + 1 for part in parts}
    for at, delivery, what, request, answer, ms in query.execute(_EXCHANGES, keys) if parts else ():
        status = answer.partition(" ")[0]
        has_status = status.isascii() and status.isdigit()
        if has_status:
            said = f"answered {status}"
        elif what == "http":
            said = f"no answer: {answer[:80]}" if answer else "no answer"
        else:
            said = "was spoken"
        yield TraceLine(
            at=moment(at) - timedelta(milliseconds=ms),
            kind="attempt",
            who="",
            text=f"part {place[delivery]} to {_place(what, request)}: {said} in {ms} ms",
            ids={"delivery": delivery},
            body=f"→ {request}\n← {answer}" if bodies else "",
            is_bad=not (has_status and status.startswith("2")) if what == "http" else False,
        )


def _place(what: str, request: str) -> str:
    """Say where a request went, without what stands behind the question mark, which some gateways fill with texts."""
    method, _, url = request.partition("\n")[0].partition(" ")
    try:
        parts = urlsplit(url)
    except ValueError:
        return what
    return f"{parts.hostname} ({method})" if parts.hostname and what == "http" else what


def _reports(query: Query, parts: Sequence[Row], envelopes: set[str]) -> Iterator[TraceLine]:
    keys = {"ids": [part[0] for part in parts], "limit": PAGE}
    place = {part[0]: part[2] + 1 for part in parts}
    for stored, delivery, state, code, reason, envelope, account, at in query.execute(_REPORTS, keys) if parts else ():
        if envelope:
            envelopes.add(envelope)
        late = moment(stored) - moment(at)
        said = " ".join(word for word in (State(state).word, code, reason) if word)
        yield TraceLine(
            at=moment(stored),
            kind="report",
            who=account,
            text=f"part {place[delivery]} {said}" + (f", {_span(late)} ago" if late > timedelta(minutes=1) else ""),
            ids={"delivery": delivery, "envelope": envelope},
            is_bad=State(state) is State.FAILED,
        )


def _envelopes(query: Query, wanted: set[str]) -> Iterator[TraceLine]:
    for id_, at, endpoint, method, items, unread, account in (
        query.execute(_ENVELOPES, {"ids": sorted(wanted)}) if wanted else ()
    ):
        said = "; ".join(dict.fromkeys(reason for _, reason in from_json(unread))) if unread else ""
        yield TraceLine(
            at=moment(at),
            kind="envelope",
            who=account,
            text=f"{method} /in/{endpoint}, {items} {'item' if items == 1 else 'items'}"
            + (f", not understood: {said}" if said else ""),
            ids={"envelope": id_},
            is_bad=bool(said),
        )


def _parked(query: Query, conversations: Sequence[str]) -> Iterator[TraceLine]:
    for at, reader, seq, error in query.execute(_PARKED, {"ids": conversations, "limit": PAGE}):
        text = f"fact {seq} is parked: {error}"
        yield TraceLine(at=moment(at), kind="parked", who=reader, text=text, ids={}, is_bad=True)


def _told(query: Query, rows: Sequence[Row]) -> Iterator[TraceLine]:
    """Say once, at the customer's last message, who has been told."""
    last = max((row for row in rows if row[3] == "in"), key=lambda row: row[4], default=None)
    if last is None:
        return
    told: list[str] = []
    not_yet: list[str] = []
    for name, cursor in query.execute(_READERS):
        upto = query.one(_TOLD_UPTO, {"seq": cursor + 1})
        (told if upto is None or upto[0] > last[6] else not_yet).append(name)
    if not told and not not_yet:
        text = "no plugin and no webhook is told; a host that pulls or streams keeps a cursor of its own"
        yield TraceLine(at=moment(last[6]), kind="told", who="", text=text, ids={})
    if told:
        text = f"message {last[4]} was told to {', '.join(told)}"
        yield TraceLine(at=moment(last[6]), kind="told", who="", text=text, ids={})
    if not_yet:
        text = f"message {last[4]} was not told yet to {', '.join(not_yet)}"
        yield TraceLine(at=moment(last[6]), kind="told", who="", text=text, ids={}, is_bad=True)


def _meanwhile(query: Query, account: str, lines: Sequence[TraceLine], *, is_open: bool) -> Iterator[TraceLine]:
    """Say how the account did, from an hour before the first line until now or, where all is done, an hour after the last."""
    first, last = min(line.at for line in lines), max(line.at for line in lines)
    until = query.now if is_open else last + _MEANWHILE
    params = {"account": account, "since": micros(first - _MEANWHILE), "until": micros(until)}
    for fact in map(fact_of, query.execute(_MEANWHILE_FACTS, params)):
        kind, text = _said(fact)
        yield TraceLine(
            at=fact.at, kind=kind, who=account, text=text, ids=fact.ids, is_bad=bool(_BAD.search(fact.type))
        )


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit or (unit == 60 and seconds >= 60):
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
