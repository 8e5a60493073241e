"""Why a recipient was shown something, or not: rules, decisions and answers, in sentences for an operator.

a fact's number, a message, a notification, a conversation ─▶ facts ─▶ each rule: did it apply? ─▶ each medium: why (not)?
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic_core import from_json

from ..clock import moment
from ..errors import NotFound
from ..sections import Rule
from ..store import Query

REASONS = {  # of decisions, as they are kept; a notifier may have words of its own
    "not_wanted": "this medium is not wanted: by the recipient's preferences, or by the settings",
    "template": "its template shows it nowhere outside of our pages",
    "focused": "the recipient was looking at a page or client of ours, where it shows",
    "quiet_hours": "these are the recipient's quiet hours",
    "replied": "somebody had replied to the customer before it was due",
    "seen": "the recipient had read it elsewhere",
    "answered": "it had been answered",
    "lapsed": "the time for an answer was over",
    "withdrawn": "whoever asked had taken it back",
    "medium_absent": "no notifier gives this medium here: its plugin is not enabled, or did not load",
    "no_address": "the recipient has no address for it in the settings",
    "permission": "the browser has no permission to show notifications",
    "no_surface": "no page and no client of the recipient was connected",
    "no_session_bus": "the recipient's client has no desktop session that shows notifications",
    "no_daemon": "nothing on the recipient's machine shows notifications",
    "unsupported": "the recipient's page or client cannot show notifications",
    "address_bounced": "mail to this address came back before",
}
_ENDED = {
    "answered": "answered",
    "lapsed": "lapsed: nobody answered in time",
    "withdrawn": "taken back by whoever asked",
}
_MOST = 20  # notifications of one conversation
_EVENTS = 500
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER = re.compile(r"\d{1,18}")

_FACT = "SELECT seq, type, at, account, conversation, ids FROM fact WHERE seq = :seq"
_MESSAGE = "SELECT conversation_id, account, direction, stored_at FROM message WHERE id = :id"
_CONVERSATION = "SELECT account FROM conversation WHERE id = :id"
_LAST_HEARD = """
    SELECT id, stored_at FROM message WHERE conversation_id = :id AND direction = 'in' ORDER BY n DESC LIMIT 1
"""
# Of a message that came its row tells what its fact would: the index of facts leaves those out.
_FACTS_OF = """
    SELECT seq, type, at, account, conversation, ids FROM fact
    WHERE conversation = :id AND type <> 'message.received' ORDER BY seq DESC LIMIT :most
"""
_TOLD = """
    SELECT n.id, e.seq, e.joined, f.ids FROM notification n
    JOIN notification_event e ON e.notification_id = n.id LEFT JOIN fact f ON f.seq = e.seq
    WHERE n.recipient = :recipient AND n.conversation = :conversation ORDER BY e.seq DESC LIMIT :most
"""
_TOLD_OF = """
    SELECT n.id, e.seq, e.joined, '{}' FROM notification_event e JOIN notification n ON n.id = e.notification_id
    WHERE e.seq = :seq AND n.recipient = :recipient ORDER BY n.id
"""
_OF_TALK = """
    SELECT id FROM notification WHERE recipient = :recipient AND conversation = :conversation
    ORDER BY created_at DESC, id DESC LIMIT :most
"""
_EVENTS_OF = """
    SELECT f.seq, f.type, f.at, f.account, f.conversation, f.ids, e.joined FROM notification_event e
    JOIN fact f ON f.seq = e.seq WHERE e.notification_id = :id ORDER BY f.seq
"""
_NOTIFICATIONS = """
    SELECT n.id, n.asker, n.key, n.kind, n.title, n.style, n.created_at, n.seen_at, n.ended, n.withdrawn_at, n.conversation
    FROM notification n WHERE n.id IN (:ids[]) ORDER BY n.created_at, n.id
"""
_WINNER = """
    SELECT recipient, answered_by, answer, answered_at FROM notification
    WHERE asker = :asker AND key = :key AND answered_by <> '' LIMIT 1
"""
_DECISIONS = """
    SELECT medium, decision, reason, at FROM notification_medium WHERE notification_id = :id ORDER BY medium
"""
_RECIPIENT = "SELECT media FROM recipient WHERE name = :name"
_READER = "SELECT cursor FROM reader WHERE name = :name"
_PARKED = "SELECT error FROM parked WHERE reader = :name AND seq = :seq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """Whether a rule applied to an event."""

    rule: str  # `rule:0`, by its place in the file; `plugin:desk` where a plugin asked
    applied: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, and what the rules made of it."""

    type: str  # of the fact
    at: datetime
    account: str
    conversation: str
    seq: int = 0  # of the fact; 0: not known, for its message's row stands for it
    rules: tuple[Ruling, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediumDecision:
    """What became of a notification in one medium."""

    medium: str
    decision: str  # waiting, shown, handed, suppressed, refused
    reason: str  # as it is kept; empty: none
    at: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """Whose answer was first."""

    recipient: str
    surface: str
    answer: str  # id of the action
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One notification of a recipient, and what became of it."""

    id: str
    asker: str
    kind: str
    title: str
    style: str
    at: datetime
    events: int  # facts that it stands for; 0: no fact made it
    joined: bool  # the event that was asked about joined it later, and showed nothing new
    seen_at: datetime | None  # None: it was not read
    ended: str  # empty: it is open
    ended_at: datetime | None
    winner: Winner | None  # None: nobody answered
    media: tuple[MediumDecision, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """All that is known of one recipient and one event."""

    recipient: str
    events: tuple[Event, ...]
    notifications: tuple[Shown, ...]


def why(query: Query, rules: Sequence[Rule], recipient: str, event: str) -> Why:
    """Say what a recipient was shown of an event, and why not.

    `event` is the number of a fact, or the id of a message, a notification or a conversation. Errors: `NotFound`.
    """
    row = query.one(_RECIPIENT, {"name": recipient})
    if row is None:
        raise NotFound(f'there is no recipient "{recipient}"; they stand in [recipients.NAME] of the settings')
    facts, shown = _what(query, recipient, event)
    if not facts and not shown:
        raise NotFound(f"nothing is known of {event}; give the number of a fact, or an id that talkwire find shows")
    told = tuple(notifications(query, shown))
    made = {one.asker for one in told}
    has_media = bool(from_json(row[0]))
    events = tuple(
        Event(
            seq=seq,
            type=type_,
            at=moment(at),
            account=account,
            conversation=conversation,
            rules=tuple(
                _ruling(query, n, rule, recipient, (seq, type_, account), made, has_media=has_media)
                for n, rule in enumerate(rules)
            ),
        )
        for seq, type_, at, account, conversation in facts
    )
    return Why(recipient=recipient, events=events, notifications=told)


_Fact = tuple[int, str, int, str, str]  # seq, type, at, account, conversation


def _what(query: Query, recipient: str, event: str) -> tuple[list[_Fact], dict[str, bool]]:
    """Give the facts that are meant, and the notifications that stand for them (whether it joined one later)."""
    if _NUMBER.fullmatch(event):
        row = query.one(_FACT, {"seq": int(event)})
        told = query.execute(_TOLD_OF, {"seq": int(event), "recipient": recipient})
        return ([row[:5]] if row else []), {id_: bool(joined) for id_, _, joined, _ in told}
    if not _ID.fullmatch(event):
        return [], {}
    if (found := query.one(_MESSAGE, {"id": event})) is not None:
        return _of_message(query, recipient, event, *found)
    if query.one("SELECT 1 FROM notification WHERE id = :id AND recipient = :name", {"id": event, "name": recipient}):
        rows = query.execute(_EVENTS_OF, {"id": event})
        return [row[:5] for row in rows], {event: False}
    talk = query.one(_CONVERSATION, {"id": event})
    if talk is None:
        return [], {}
    ids = query.execute(_OF_TALK, {"recipient": recipient, "conversation": event, "most": _MOST})
    heard = query.one(_LAST_HEARD, {"id": event})
    facts: list[_Fact] = [(0, "message.received", heard[1], talk[0], event)] if heard else []
    return facts, {row[0]: False for row in ids}


def _of_message(
    query: Query, recipient: str, message: str, conversation: str, account: str, direction: str, stored: int
) -> tuple[list[_Fact], dict[str, bool]]:
    told = query.execute(_TOLD, {"recipient": recipient, "conversation": conversation, "most": _EVENTS})
    mine = [(id_, seq, bool(joined)) for id_, seq, joined, ids in told if ids and _names(ids, message)]
    facts: dict[int, _Fact] = {}
    for row in query.execute(_FACTS_OF, {"id": conversation, "most": _EVENTS}):
        if _names(row[5], message) and not row[1].startswith("notification."):
            facts[row[0]] = row[:5]
    for _, seq, _ in mine:
        if (known := query.one(_FACT, {"seq": seq})) is not None:
            facts[seq] = known[:5]
    if direction == "in" and all(one[1] != "message.received" for one in facts.values()):
        facts[0] = (0, "message.received", stored, account, conversation)
    shown: dict[str, bool] = {}
    for id_, _, joined in mine:
        shown[id_] = shown.get(id_, True) and joined
    return [facts[seq] for seq in sorted(facts)], shown


def _names(ids: str, message: str) -> bool:
    return message in ids and from_json(ids).get("message") == message


# --- rules ---------------------------------------------------------------------------------------------


def _ruling(
    query: Query,
    number: int,
    rule: Rule,
    recipient: str,
    fact: tuple[int, str, str],
    made: set[str],
    *,
    has_media: bool,
) -> Ruling:
    name, (seq, type_, account) = f"rule:{number}", fact
    no = _not_meant(rule, recipient, type_, account)
    if no:
        return Ruling(rule=name, applied=False, text=no)
    if name in made:
        media = rule.media or has_media
        text = (
            "it applied"
            if media
            else "it applied; no medium is named by it or by the recipient: only our pages show it"
        )
        return Ruling(rule=name, applied=True, text=text)
    reader = query.one(_READER, {"name": name})
    parked = query.one(_PARKED, {"name": name, "seq": seq})
    if parked is not None:
        text = f"it could not take this fact, which is parked: {parked[0]}"
    elif reader is not None and seq and reader[0] < seq:
        text = f"it has not come to this fact yet: it is {seq - reader[0]} facts behind"
    else:
        text = "it would apply now, and made nothing: it may be newer than this, or its notification is purged"
    return Ruling(rule=name, applied=False, text=text)


def _not_meant(rule: Rule, recipient: str, type_: str, account: str) -> str:
    if recipient not in rule.to:
        return f"it does not apply: it tells {_listed(rule.to)}, not {recipient}"
    if type_ not in rule.on:
        return f"it does not apply: it is about {_listed(rule.on)}, not {type_}"
    if rule.accounts and account not in rule.accounts:
        return f"it does not apply: it is about the accounts {_listed(rule.accounts)}, not {account or 'none'}"
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


# --- notifications -------------------------------------------------------------------------------------


def notifications(query: Query, shown: Mapping[str, bool]) -> Iterator[Shown]:
    """Give notifications by their ids, each with whether what was asked about joined it later."""
    rows = query.execute(_NOTIFICATIONS, {"ids": sorted(shown)}) if shown else []
    for id_, asker, key, kind, title, style, at, seen, ended, ended_at, _ in rows:
        won = query.one(_WINNER, {"asker": asker, "key": key}) if ended == "answered" else None
        count = query.one("SELECT count(*) FROM notification_event WHERE notification_id = :id", {"id": id_})
        yield Shown(
            id=id_,
            asker=asker,
            kind=kind,
            title=title,
            style=style,
            at=moment(at),
            events=count[0] if count else 0,
            joined=shown[id_],
            seen_at=moment(seen) if seen is not None else None,
            ended=ended,
            ended_at=moment(ended_at) if ended_at is not None else None,
            winner=Winner(recipient=won[0], surface=won[1], answer=won[2], at=moment(won[3])) if won else None,
            media=tuple(decisions(query, id_)),
        )


def decisions(query: Query, notification: str) -> Iterator[MediumDecision]:
    """Give what became of a notification in each medium."""
    for medium, decision, reason, at in query.execute(_DECISIONS, {"id": notification}):
        text = _decision(decision, reason)
        yield MediumDecision(medium=medium, decision=decision, reason=reason, at=moment(at), text=text)


def _decision(decision: str, reason: str) -> str:
    means = REASONS.get(reason, reason)
    match decision:
        case "shown":
            return "shown"
        case "handed":
            return "handed over; nothing says yet that it was seen"
        case "suppressed":
            return f"not shown: {means}"
        case "refused":
            return f"can never be shown: {means}"
        case "waiting" if reason == "quiet_hours":
            return "waits until the recipient's quiet hours are over"
        case "waiting" if reason:
            return f"tried again later: {means}"
    return "waits for its time"


# --- for people ----------------------------------------------------------------------------------------


def sentences(found: Why, zone: ZoneInfo) -> Iterator[str]:
    """Say all of it in lines, those that belong to others indented."""
    for event in found.events:
        number = f"fact {event.seq}: " if event.seq else ""
        yield f"{number}{event.type} of {event.account or 'no account'} at {_at(event.at, zone)}"
        for ruling in event.rules:
            yield f"  {ruling.rule}: {ruling.text}"
        if not event.rules:
            yield "  there is no [[notify]] rule"
    if not found.notifications:
        yield f"{found.recipient} was notified of nothing."
    for one in found.notifications:
        yield from _about(one, found.recipient, zone)


def _about(one: Shown, recipient: str, zone: ZoneInfo) -> Iterator[str]:
    yield f"{recipient} was notified at {_at(one.at, zone)}: {one.title} ({one.style}, by {one.asker}, {one.id})"
    if one.joined:
        yield "  grouped: this joined it later, and showed nothing new"
    if one.events > 1:
        yield f"  it stands for {one.events} facts"
    for medium in one.media:
        yield f"  {medium.medium}: {medium.text}; at {_at(medium.at, zone)}"
    if not one.media:
        yield "  no medium was asked for: only our pages show it"
    if one.seen_at is not None:
        yield f"  read at {_at(one.seen_at, zone)}"
    if one.winner is not None:
        won = one.winner
        yield f"  answered {won.answer} by {won.recipient} on {won.surface} at {_at(won.at, zone)}"
    elif one.ended and one.ended_at is not None:
        yield f"  {_ENDED[one.ended]}; at {_at(one.ended_at, zone)}"
    else:
        yield "  it is open"


def _at(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"
