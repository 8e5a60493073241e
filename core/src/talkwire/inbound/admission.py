"""The one transaction of the way in: envelopes, people, conversations, messages, reports, facts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic_core import to_json

from .. import answers, deliveries, people
from ..actions import Signal
from ..clock import micros
from ..errors import Unreadable
from ..formatting import plain_text
from ..ids import new_id
from ..messages import following
from ..messages.attaching import NOT_ITS_FILE, bring, claim, with_attachments
from ..messages.changing import adopt, changed
from ..messages.enclosures import Filed
from ..messages.pointing import conversation_of, messages_of_parts, messages_or_changes, messages_there
from ..model import (
    AccountNotice,
    Acknowledge,
    AddressChanged,
    Change,
    Inbound,
    Item,
    Original,
    Reachable,
    Report,
    SessionChange,
    SessionState,
)
from ..outbound.releasing import release
from ..outbound.windows import heard
from ..store import Tx, goes_first
from ..store.writer import RunAgain
from ..work import lanes

_PREVIEW = 120  # characters of a conversation's last message
_MOST_COPIED = 100  # others that got it as well; a stranger decides how many there are


@dataclass(slots=True)
class Arrival:
    """One envelope, read, on its way into the store."""

    envelope: tuple[object, ...] | None  # the row but for `unread`; None: own connection
    envelope_id: str
    items: list[tuple[str, str, Item]]  # (account, channel, item)
    windows: Mapping[str, timedelta | None]
    received: int  # microseconds; what a provider dates later than this happened then
    unread: list[tuple[int, str]] = field(default_factory=list)  # (position, reason)
    cursor: tuple[str, str] | None = None  # (account, cursor) of a listener …
    fence: lanes.Fence | None = None  # … moved only while the account is this daemon's to listen to
    replayed: bool = False
    before: int = 0  # microseconds; what was written before may have been here until a backup was brought back


@dataclass(slots=True)
class Admitted:
    """What one arrival brought."""

    messages: list[str] = field(default_factory=list)  # ids of the new ones
    duplicates: int = 0
    unread: list[str] = field(default_factory=list)  # reasons
    gone: bool = False  # it was to be replayed, and is not there any more


def as_json(value: object) -> str:
    """Write JSON, whatever stands in its texts."""
    try:
        return to_json(value).decode()
    except ValueError:  # bytes that are no UTF-8 stand in it as lone surrogates
        return json.dumps(value)


_INSERT_ENVELOPE = """
    INSERT INTO envelope (id, account, endpoint, method, path, headers, query, body, body_ref,
                          remote, received_at, items, unread)
    VALUES (:id, :account, :endpoint, :method, :path, :headers, :query, :body, :body_ref,
            :remote, :received_at, :items, :unread)
"""
_REPLAYED = """
    UPDATE envelope SET unread = CASE WHEN :unread = '' THEN unread ELSE :unread END,
        replayed_at = CASE WHEN :unread = '' THEN :now ELSE NULL END
    WHERE id = :id
"""
_SET_CURSOR = """
    UPDATE account_state SET cursor = :cursor, last_poll_at = :now WHERE account = :account
"""
_PLACE_ROWS = """
    SELECT id, account, last_n, last_at, last_inbound_at, last_inbound, last_text, subject, session,
           reply_until, window_told, unreachable_at, contact_id, answer_code
    FROM conversation WHERE id IN (:ids[]) ORDER BY id
"""
_INSERT_MESSAGE = """
    INSERT INTO message (id, conversation_id, n, account, direction, external_id, envelope_id, at,
                         stored_at, text, blocks, author, reply_to, grp, subject, automatic, known_as, cc, answer_at,
                         original)
    VALUES (:id, :conversation, :n, :account, 'in', :external_id, :envelope, :at,
            :stored_at, :text, :blocks, :author, :reply_to, :grp, :subject, :automatic, :known_as, :cc, :answer_at,
            :original)
"""
_MOVE_PLACE = """
    UPDATE conversation SET last_n = :n, last_at = :at, last_inbound_at = CAST(:inbound_at AS BIGINT),
        last_inbound = :inbound, last_text = :text, subject = :subject
    WHERE id = :id
"""
_MOVE_WINDOW = _MOVE_PLACE.replace("WHERE", ", reply_until = :until, window_told = :told WHERE")
_SAME_ADDRESS = """
    SELECT DISTINCT o.id FROM conversation c
    JOIN conversation o ON o.account = c.account AND o.address_id = c.address_id
    WHERE c.id IN (:ids[]) AND o.unreachable_at IS NOT NULL
"""
_REACHABLE = "UPDATE conversation SET unreachable_at = NULL WHERE id = :id"


@dataclass(slots=True)
class _Place:
    id: str
    account: str
    last_n: int
    last_at: int | None
    last_inbound_at: int | None
    last_inbound: str
    last_text: str
    subject: str
    session: str
    reply_until: int | None
    window_told: int
    unreachable_at: int | None
    contact: str
    answer_code: str


@goes_first
def admit(tx: Tx, arrivals: Sequence[Arrival]) -> Sequence[Admitted]:
    """Store arrivals: envelopes, people, conversations, messages, reports, facts.

    A replay brings nothing where its envelope has gone since it was read: whoever wrote it was forgotten.
    """
    there = _still_kept(tx, arrivals)
    results = [Admitted(gone=arrival.replayed and arrival.envelope_id not in there) for arrival in arrivals]
    arrivals = [replace(a, items=[], unread=[]) if r.gone else a for a, r in zip(arrivals, results, strict=True)]
    moved = [a.cursor for a in arrivals if a.cursor and (a.fence is None or a.fence.check(tx, f"listen:{a.cursor[0]}"))]
    moved.sort()
    if named := {
        account for a in arrivals for account, _, i in a.items if type(i) is Inbound and (i.known_as or i.follows)
    }:
        following.lock(tx, sorted(named | {account for account, _ in moved}))
    tx.many(_INSERT_ENVELOPE, [(*a.envelope, _unread(a)) for a in arrivals if a.envelope])
    tx.many(
        _REPLAYED,
        [{"unread": _unread(a), "now": tx.now_us, "id": a.envelope_id} for a in arrivals if a.replayed],
    )
    tx.many(
        _SET_CURSOR,
        [{"account": account, "cursor": cursor, "now": tx.now_us} for account, cursor in moved],
    )
    inbound: list[tuple[int, str, Inbound]] = []
    reports: list[tuple[str, Report, str]] = []
    others: list[tuple[str, str, Item, Arrival]] = []
    channels: dict[str, str] = {}
    windows: dict[str, timedelta | None] = {}
    for index, arrival in enumerate(arrivals):
        windows.update(arrival.windows)
        for account, channel, item in arrival.items:
            channels[account] = channel
            if type(item) is Inbound:
                inbound.append((index, account, item))
            elif type(item) is Report:
                reports.append((account, item, arrival.envelope_id))
            else:
                others.append((account, channel, item, arrival))
    if inbound:
        _messages(tx, arrivals, inbound, channels, windows, results)
    for account, channel, item, arrival in others:
        _other(tx, account, channel, item, arrival)
    heard(tx, deliveries.reported(tx, reports))
    _tell_unread(tx, arrivals)
    return results


_KEPT = "SELECT id FROM envelope WHERE id IN (:ids[])"


def _still_kept(tx: Tx, arrivals: Sequence[Arrival]) -> set[str]:
    """Give the envelopes that are replayed and still there; they are not taken away before this transaction has ended."""
    again = sorted(arrival.envelope_id for arrival in arrivals if arrival.replayed)
    tx.lock("envelope", again)
    return {row[0] for row in tx.execute(_KEPT, {"ids": again})} if again else set()


def _unread(arrival: Arrival) -> str:
    return as_json(arrival.unread) if arrival.unread else ""


def admit_all(tx: Tx, batches: Sequence[Sequence[Arrival]]) -> Sequence[None]:
    """Store the arrivals of listeners, each batch with its cursor."""
    admit(tx, [arrival for batch in batches for arrival in batch])
    return [None] * len(batches)


def _messages(
    tx: Tx,
    arrivals: Sequence[Arrival],
    inbound: Sequence[tuple[int, str, Inbound]],
    channels: Mapping[str, str],
    windows: Mapping[str, timedelta | None],
    results: Sequence[Admitted],
) -> None:
    met = people.meet(tx, [(account, item.address, item.thread) for _, account, item in inbound])
    persons = people.resolve(tx, [(account, item.address) for _, account, item in inbound], known=met.persons)
    whose = [persons[people.key_of(account, item.address)] for _, account, item in inbound]
    followed = _followed(tx, inbound, whose)
    spots: list[people.Place] = []
    wanted: dict[people.Place, tuple[str, str]] = {}
    for position, (_, account, item) in enumerate(inbound):
        person = whose[position]
        spot = (account, person.address, followed[position].thread if followed else item.thread)
        spots.append(spot)
        wanted[spot] = (channels[account], person.contact)
    ids, new = people.find_places(tx, wanted, known=met.places)
    places = {row[0]: _Place(*row) for row in tx.locked(_PLACE_ROWS, {"ids": sorted(set(ids.values()))})}
    if len(places) < len(set(ids.values())):
        raise RunAgain  # somebody was forgotten while this waited for the conversation
    there, touched = messages_or_changes(tx, {(account, i.external_id) for _, account, i in inbound})
    answered = _answered(tx, inbound)
    rows, attachments, facts, repeated = [], [], [], []
    kept: dict[str, tuple[str, str]] = {}  # file → the message that brings it, and its account
    moved: dict[str, _Place] = {}
    early: dict[tuple[str, str], str] = {}  # messages to which something was done before they came
    for position, ((index, account, item), spot) in enumerate(zip(inbound, spots, strict=True)):
        known = there.get((account, item.external_id))
        if known is not None:
            results[index].duplicates += 1
            if arrivals[index].envelope is not None:  # what a provider delivers again; a replay is nobody's delivery
                repeated.append((account, ids[spot], known, arrivals[index].envelope_id))
            continue
        message = there[account, item.external_id] = new_id()
        if touched and (account, item.external_id) in touched:
            early[account, item.external_id] = message
        place = places[ids[spot]]
        at = min(micros(item.at), arrivals[index].received)
        blocks, remote, own = with_attachments(account, message, item, tx.now_us)
        attachments += remote
        for file in own:
            if kept.setdefault(file, (message, account))[0] != message:
                raise Unreadable(NOT_ITS_FILE)
        place.last_n += 1
        answers_to = answered.get((account, item.reply_to), "") if item.reply_to else ""
        if followed and not answers_to:
            answers_to = _message_of(followed[position], inbound, there)
        rows.append(
            (message, place.id, place.last_n, account, item.external_id,
             arrivals[index].envelope_id, at, tx.now_us, item.text, blocks, item.author,
             answers_to, item.group, item.subject, int(item.automatic), following.name_of(item),
             as_json(item.cc[:_MOST_COPIED]) if item.cc else "", item.answer_at, _original(item))
        )  # fmt: skip
        place.last_at = max(place.last_at or 0, at)
        place.last_text = (item.text or _in_words(item))[:_PREVIEW]
        place.subject = item.subject or place.subject
        if at >= (place.last_inbound_at or 0):
            place.last_inbound_at, place.last_inbound = at, following.name_of(item) or item.external_id
        window = windows.get(account)
        if window is not None:
            until = at + micros_of(window)
            if until > (place.reply_until or 0):
                if place.reply_until is None or place.window_told:
                    tx.hint("timers")  # an open window is looked at in time anyway
                if until > tx.now_us or place.reply_until is None:
                    place.window_told = 0
                place.reply_until = until
        moved[place.id] = place
        if item.acknowledge:
            tx.act(Signal(account=account, address=item.address.value, signal=Acknowledge(item.external_id)))
        results[index].messages.append(message)
        again = arrivals[index].replayed or at < arrivals[index].before
        facts.append((account, place, message, place.last_n, again, item.automatic))
    for spot in sorted(new):
        tx.tell("conversation.opened", account=spot[0], conversation=ids[spot])
    tx.many(_INSERT_MESSAGE, rows)
    _move(tx, [place for _, place in sorted(moved.items())])
    if early:
        adopt(tx, early)
    bring(tx, attachments)
    if kept:
        claim(tx, kept)
    for account, place, message, n, replayed, automatic in facts:
        small: dict[str, str | int | bool] = {"n": n}
        if replayed:
            small["replayed"] = True
        if automatic:
            small["automatic"] = True
        tx.tell(
            "message.received",
            account=account,
            conversation=place.id,
            ids={"message": message, "contact": place.contact},
            small=small,
        )
    for account, conversation, message, envelope in repeated:
        tx.tell(
            "message.repeated",
            account=account,
            conversation=conversation,
            ids={"message": message, "envelope": envelope},
        )
    changed = [p.id for p in moved.values() if p.answer_code]
    changed += _reachable(tx, [p.id for p in moved.values() if p.unreachable_at is not None])
    release(tx, answers.tell_changes(tx, changed))


def _in_words(item: Inbound) -> str:
    """Say what a message without text is: its files by their names, its other blocks as text."""
    given: tuple[Any, ...] = item.blocks
    words = (f"[{one.name or 'file'}]" if isinstance(one, Filed) else plain_text((one,)) for one in given)
    return " ".join(" ".join(word.split()) for word in words if word)


def _move(tx: Tx, places: Sequence[_Place]) -> None:
    rows = [(p.last_n, p.last_at, p.last_inbound_at, p.last_inbound, p.last_text, p.subject) for p in places]
    pairs = list(zip(places, rows, strict=True))
    # Where no window is, its index stays as it is.
    tx.update(_MOVE_PLACE, [(*row, p.id) for p, row in pairs if p.reply_until is None])
    tx.update(
        _MOVE_WINDOW, [(*row, p.reply_until, p.window_told, p.id) for p, row in pairs if p.reply_until is not None]
    )


def _reachable(tx: Tx, conversations: Sequence[str]) -> list[str]:
    """Forget, in every thread, that these conversations' addresses could not be reached; give all."""
    ids = [row[0] for row in tx.execute(_SAME_ADDRESS, {"ids": conversations})] if conversations else []
    tx.lock("conversation", ids)
    tx.many(_REACHABLE, [(conversation,) for conversation in sorted(ids)])
    return ids


def micros_of(span: timedelta) -> int:
    """Turn a duration into microseconds."""
    return span // timedelta(microseconds=1)


def _followed(
    tx: Tx, inbound: Sequence[tuple[int, str, Inbound]], whose: Sequence[people.Person]
) -> list[following.Followed]:
    """Say what each of these follows; empty where none says that it follows anything."""
    if not any(item.follows for _, _, item in inbound):
        return []
    asked = zip(inbound, whose, strict=True)
    return following.follow(tx, [(account, person.address, item) for (_, account, item), person in asked])


def _message_of(
    followed: following.Followed,
    inbound: Sequence[tuple[int, str, Inbound]],
    there: Mapping[tuple[str, str], str],
) -> str:
    if followed.item is None:
        return followed.message
    _, account, item = inbound[followed.item]
    return there.get((account, item.external_id), "")  # empty: it stands after this one in the batch


def _answered(tx: Tx, inbound: Sequence[tuple[int, str, Inbound]]) -> dict[tuple[str, str], str]:
    asked = sorted({(account, i.reply_to) for _, account, i in inbound if i.reply_to})
    if not asked:
        return {}
    return messages_of_parts(tx, asked) | messages_there(tx, asked)


def _original(item: Inbound) -> str:
    """Give what the blocks `original` hold, apart from the others: lists of messages do not read it."""
    whole = [{"text": one.text, "html": one.html} for one in item.blocks if isinstance(one, Original)]
    return as_json(whole) if whole else ""


# --- what is neither message nor report --------------------------------------------------------------

_SESSION = """
    UPDATE conversation SET session = :state, session_at = :at, session_reason = :reason
    WHERE id = :id
"""
_SESSION_BEGAN = "UPDATE conversation SET session_since = :at, handled = 0 WHERE id = :id"
_SESSION_AT = "UPDATE conversation SET session_at = :at WHERE id = :id"
_SESSION_NOW = "SELECT session, session_at FROM conversation WHERE id = :id"


def _other(tx: Tx, account: str, channel: str, item: Item, arrival: Arrival) -> None:
    if isinstance(item, SessionChange):
        conversation, _ = conversation_of(tx, account, channel, item.address, item.thread)
        at = min(micros(item.at), arrival.received)
        again = arrival.replayed or at < arrival.before
        session_changed(tx, account, conversation, item.state, at, item.reason, replayed=again)
    elif isinstance(item, Change):
        changed(tx, account, channel, item, arrival.envelope_id)
    elif isinstance(item, AddressChanged):
        _address_changed(tx, account, item)
    elif isinstance(item, Reachable) and not arrival.replayed:
        _reachable_now(tx, account, item)
    elif isinstance(item, AccountNotice):
        small: dict[str, str | int | bool] = {"code": item.code, "text": item.text[:200], "broken": item.broken}
        if arrival.replayed:
            small["replayed"] = True
        tx.tell("account.notice", account=account, small=small)


def session_changed(
    tx: Tx, account: str, conversation: str, state: SessionState, at: int, reason: str, *, replayed: bool = False
) -> None:
    """Store how a session stands, tell it, and let what waited for it go on or fail; `replayed`: it may have been told."""
    row = tx.one(_SESSION_NOW, {"id": conversation})
    if row is None or (row[1] is not None and at < row[1]):
        return  # older than what we know
    over = row[0] == SessionState.ENDED and state is SessionState.DISCONNECTED  # it has ended: nobody is waited for
    if row[0] == state or over:
        tx.execute(_SESSION_AT, {"id": conversation, "at": at})  # what comes now and is older than this changes nothing
        return
    was = SessionState(row[0])
    if was is SessionState.ENDED and state is SessionState.DISCONNECTED:
        return  # we ended it; that the customer's connection closes then begins nothing new
    if state in answers.LIVE and was not in answers.LIVE:
        tx.execute(_SESSION_BEGAN, {"id": conversation, "at": at})
    tx.execute(_SESSION, {"id": conversation, "state": state.value, "at": at, "reason": reason[:100]})
    names = {SessionState.CONNECTED: "opened", SessionState.NONE: "opened"}
    tx.tell(
        f"session.{names.get(state, state.value)}",
        account=account,
        conversation=conversation,
        small={"was": was.value, "reason": reason[:100], **({"replayed": True} if replayed else {})},
    )
    release(tx, answers.tell_changes(tx, [conversation]))
    lanes.wake(tx, f"send:{account}", [conversation])


def _address_changed(tx: Tx, account: str, item: AddressChanged) -> None:
    found = people.resolve(tx, [(account, item.old), (account, item.new)])  # together: the one may be merged by it
    old, new = (found[people.key_of(account, address)] for address in (item.old, item.new))
    if new.contact == old.contact:
        return  # a repeat
    people.merge(tx, new.contact, old.contact)
    tx.tell(
        "address.changed",
        account=account,
        ids={"contact": old.contact, "old": old.address, "new": new.address},
    )


_THEIR_PLACES = """
    SELECT c.id, c.last_inbound_at, c.unreachable_at FROM address a JOIN conversation c ON c.address_id = a.id
    WHERE a.kind = :kind AND a.scope = :scope AND a.value = :value AND c.account = :account
"""
_UNREACHABLE = "UPDATE conversation SET unreachable_at = :at WHERE id = :id"


def _reachable_now(tx: Tx, account: str, item: Reachable) -> None:
    """Store whether an address can be written to; whoever never wrote is not known, and is not made for that."""
    kind, scope, value = people.key_of(account, item.address)
    where = {"kind": kind, "scope": scope, "value": value, "account": account}
    tx.lock("conversation", [row[0] for row in tx.execute(_THEIR_PLACES, where)])
    at = min(micros(item.at), tx.now_us)
    until = at + 1_000_000  # providers count seconds
    # Under the lock they are read again: a message that came meanwhile is news of them, too.
    rows = tx.execute(_THEIR_PLACES, where)
    if any(until <= max(seen or 0, away or 0) for _, seen, away in rows):
        return  # older than what we know
    changed = sorted(row[0] for row in rows if (row[2] is None) is not item.on)
    tx.many(_UNREACHABLE, [{"id": one, "at": None if item.on else at} for one in changed])
    release(tx, answers.tell_changes(tx, changed))


def _tell_unread(tx: Tx, arrivals: Sequence[Arrival]) -> None:
    for arrival in arrivals:
        if arrival.unread and arrival.envelope is not None:
            tx.tell("envelope.unread", account=str(arrival.envelope[1]), ids={"envelope": arrival.envelope_id})


__all__ = [
    "Admitted",
    "Arrival",
    "admit",
    "admit_all",
    "as_json",
    "session_changed",
]
