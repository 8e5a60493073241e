"""What people and programs read: plain functions over one moment's truth, giving the nouns of `model`.

Each takes a constant number of statements, however many rows it gives, and at most `PAGE` rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from . import answers, people
from .answers import OtherWay, Standing, View
from .clock import moment
from .deliveries import message_state
from .errors import HistoryGone, NoSuchPage, NotFound
from .formatting import blocks_from_json
from .model import (
    Address,
    Attachment,
    AttachmentClass,
    Block,
    ChangeKind,
    Contact,
    Conversation,
    Degradation,
    Delivery,
    Detail,
    Direction,
    Ended,
    Fact,
    First,
    Message,
    Notification,
    OnDesktop,
    Option,
    Original,
    Problem,
    RemoteMedia,
    SessionState,
    State,
    StoredChange,
    Style,
)
from .store import Query, Row

T = TypeVar("T")
PAGE = 500  # rows of one read
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOOKED_THROUGH = 10_000  # newest rows that a search by text reads: about 10 ms
_SCANNED = 20_000  # facts that one read passes over where it wants certain types


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of many, and where to go on."""

    items: tuple[T, ...]
    next: str = ""  # cursor for the next page; empty: this was the last


def when(value: int | None) -> datetime | None:
    return None if value is None else moment(value)


def like(text: str) -> str:
    return "%" + re.sub(r"([%_!])", r"!\1", text.lower()) + "%"


def any_like(*columns: str) -> str:
    return "(" + " OR ".join(f"lower({column}) LIKE :like ESCAPE '!'" for column in columns) + ")"


# --- conversations ---------------------------------------------------------------------------------

_CONVERSATION = f"""
    SELECT {answers.COLUMNS}, c.channel, c.thread, c.contact_id, c.last_n, c.last_at, c.last_inbound_at, c.last_text,
           a.kind, a.value, a.name, c.session_since, c.handled, c.continues, c.subject
    FROM conversation c JOIN address a ON a.id = c.address_id
"""
_CONTINUED = """
    SELECT continues, id FROM conversation WHERE continues <> '' AND continues IN (:ids[]) ORDER BY id
"""
_NEWEST_CONVERSATIONS = "c.id IN (SELECT id FROM conversation ORDER BY last_at DESC LIMIT :through)"
_ADDRESSES = """
    SELECT contact_id, kind, value, name FROM address WHERE contact_id IN (:ids[]) ORDER BY kind, value, id
"""


_LIVE = frozenset({"live", *answers.LIVE})
_IS_LIVE = "c.session IN ('connected', 'disconnected')"
_OF_ADDRESS = """c.address_id =
    (SELECT id FROM address WHERE kind = :kind AND scope = :scope AND value = :value)"""


def conversations(
    query: Query,
    view: View,
    *,
    account: str = "",
    contact: str = "",
    address: Address | None = None,  # as `account` has it; also the talk in which nothing was said yet
    text: str = "",  # in the address, the name, the subject or the last message of the newest ones
    session: str | None = None,  # `live` (connected or disconnected), or a `SessionState`
    cursor: str = "",
    limit: int = 50,
    language: str = "en",
) -> Page[Conversation]:
    """Give conversations with a message, the one that moved last first.

    Those with a live session also before anything is said: nobody replied first, and of these the longest session.
    """
    where, params = ["c.last_at IS NOT NULL"], dict[str, Any](limit=min(limit, PAGE))
    waiting = session in _LIVE
    if address is not None:
        kind, scope, value = people.key_of(account, address)
        where, params = [_OF_ADDRESS], {**params, "kind": kind, "scope": scope, "value": value}
    if waiting:
        where = [*(where if address is not None else ()), _IS_LIVE]  # as the index says it
    if session == "ended":
        where.append("c.session = 'ended'")
    elif session and session != "live":
        where, params["session"] = [*where, "c.session = :session"], session
    if account:
        # SQLite uses one index, and knows not how long each is: a session's states are fewer than an account's talks.
        where.append("NOT c.account <> :account" if session else "c.account = :account")
        params["account"] = account
    if contact:
        where.append("c.address_id IN (SELECT id FROM address WHERE contact_id = :contact)")
        params["contact"] = contact
    if text:
        where += [any_like("a.value", "a.name", "c.last_text", "c.subject"), _NEWEST_CONVERSATIONS]
        params |= {"like": like(text), "through": LOOKED_THROUGH}
    if cursor and waiting:
        where.append("(c.handled, c.session_since, c.id) > (:handled, :at, :id)")
        handled, _, rest = cursor.partition(".")
        params["handled"], (params["at"], params["id"]) = int(handled == "1"), _cursor(rest)
    elif cursor:
        where.append("(c.last_at, c.id) < (:at, :id)")
        params["at"], params["id"] = _cursor(cursor)
    order = "c.handled, c.session_since, c.id" if waiting else "c.last_at DESC, c.id DESC"
    rows = query.execute(f"{_CONVERSATION} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT :limit", params)
    following = ""
    if len(rows) == params["limit"]:
        last = rows[-1]
        following = f"{last[19]}.{last[18]}.{last[0]}" if waiting else f"{last[12]}.{last[0]}"
    return Page(tuple(_conversations(query, view, rows, language)), following)


def _cursor(cursor: str) -> tuple[int, str]:
    at, _, id_ = cursor.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) < 19):
        raise NoSuchPage
    return int(at), _id_cursor(id_)


def _id_cursor(cursor: str) -> str:
    if not _ID.fullmatch(cursor):
        raise NoSuchPage
    return cursor


def conversations_by_id(query: Query, ids: Sequence[str], view: View, language: str = "en") -> dict[str, Conversation]:
    """Give these conversations; those that are not there are missing."""
    rows = query.execute(f"{_CONVERSATION} WHERE c.id IN (:ids[])", {"ids": ids}) if ids else []
    return {one.id: one for one in _conversations(query, view, rows, language)}


def conversation(query: Query, id_: str, view: View, language: str = "en") -> Conversation:
    """Give one conversation. Errors: `NotFound`."""
    found = conversations_by_id(query, [id_], view, language)
    return there(found.get(id_), "conversation")


def there(found: T | None, what: str) -> T:
    if found is None:
        raise NotFound(f"there is no such {what}")
    return found


def _conversations(query: Query, view: View, rows: Sequence[Row], language: str) -> Iterable[Conversation]:
    standings = [Standing.of(row[:8]) for row in rows]
    shut = {
        row[10]
        for row, standing in zip(rows, standings, strict=True)
        if answers.code_of(standing, view(standing.account), query.now_us) is not None
    }
    ways = _ways(query, view, sorted(shut)) if shut else {}
    further: dict[str, tuple[str, ...]] = {}
    for old, new in query.execute(_CONTINUED, {"ids": [s.id for s in standings]}) if standings else ():
        further[old] = (*further.get(old, ()), new)
    for row, standing in zip(rows, standings, strict=True):
        channel, thread, contact, last_n, last_at, last_inbound_at, last_text, *rest = row[8:]
        kind, value, name, since, handled, continues, subject = rest
        others = [way for way in ways.get(contact, ()) if way.account != standing.account]
        yield Conversation(
            id=standing.id,
            account=standing.account,
            channel=channel,
            address=Address(kind=kind, value=value, name=name),
            thread=thread,
            contact=contact,
            last_n=last_n,
            last_at=when(last_at),
            last_inbound_at=when(last_inbound_at),
            last_text=last_text,
            subject=subject,
            session=standing.session,
            session_since=when(since),
            session_reason=standing.session_reason if standing.session is SessionState.ENDED else "",
            handled=bool(handled),
            continues=continues,
            continued_in=further.get(standing.id, ()),
            answer=answers.answer_of(standing, view(standing.account), query.now, language=language, others=others),
        )


def _ways(query: Query, view: View, contacts: Sequence[str]) -> dict[str, list[OtherWay]]:
    """Say by which accounts each contact can be written to first."""
    names = [row[0] for row in query.execute("SELECT account FROM account_state ORDER BY account")]
    reaches = [(name, features.reaches) for name in names if (features := view(name).features) is not None]
    found: dict[str, list[OtherWay]] = {}
    for contact, kind, value in people.reached(query, contacts):
        found.setdefault(contact, []).extend(OtherWay(name, kind, value) for name, kinds in reaches if kind in kinds)
    return found


# --- messages ----------------------------------------------------------------------------------------

_MESSAGE = """
    SELECT m.id, m.conversation_id, m.account, m.direction, m.n, m.at, m.stored_at, m.text, m.blocks, m.author,
           m.external_id, m.reply_to, m.grp, m.subject, m.notice, m.degradations, m.automatic, m.cc, m.bcc, m.answer_at
    FROM message m
"""
_WHOLE = _MESSAGE.replace("m.answer_at", "m.answer_at, m.original")
# What waits behind a part that waits for somebody waits for the same.
_REASON = """
    CASE WHEN d.state = 0 AND d.reason = '' THEN COALESCE(
        (SELECT max(l.held) FROM task t JOIN lane l ON l.id = t.lane_id WHERE t.kind = 'send' AND t.ref = d.id), '')
    ELSE d.reason END
"""
_DELIVERY = f"""
    SELECT d.id, d.message_id, d.position, d.recipient, d.generation, d.state, d.external_id, d.problem_code,
           d.problem_text, d.problem_at, {_REASON}, d.attempts, d.text, d.state_at, d.as_plain, d.account,
           d.conversation_id
    FROM delivery d
"""
DELIVERIES = f"""
    {_DELIVERY} WHERE d.message_id IN (:ids[]) ORDER BY d.message_id, d.position, d.recipient, d.generation
"""
_CHANGES = """
    SELECT m.id, ch.kind, ch.text, ch.blocks, ch.at, ch.by_address, ch.id FROM message m
    JOIN change ch ON ch.account = m.account AND ch.external_id = m.external_id WHERE m.id IN (:ids[])
    UNION
    SELECT ch.message_id, ch.kind, ch.text, ch.blocks, ch.at, ch.by_address, ch.id FROM change ch
    WHERE ch.message_id IN (:ids[])
"""
_CHANGES_OF_OURS = f"""{_CHANGES}
    UNION
    SELECT d.message_id, ch.kind, ch.text, ch.blocks, ch.at, ch.by_address, ch.id FROM delivery d
    JOIN change ch ON ch.account = d.account AND ch.external_id = d.external_id WHERE d.message_id IN (:ids[])
"""
_AS_PLAIN = Degradation(block=0, what="markup_refused", text="The provider refused the marks; it went as plain text.")


def messages(
    query: Query,
    conversation_id: str,
    *,
    after_n: int | None = None,
    before_n: int | None = None,
    limit: int = PAGE,
    whole: bool = False,
) -> list[Message]:
    """Give messages in their order: those after a number, those before one, or the last ones.

    Only with `whole` their blocks `original` are filled: a stranger decides how much that is.
    """
    params: dict[str, Any] = {"id": conversation_id, "limit": min(limit, PAGE)}
    where, order = "m.conversation_id = :id", "DESC"
    if after_n is not None:
        where, order, params["after"] = f"{where} AND m.n > :after", "ASC", after_n
    if before_n is not None:
        where, params["before"] = f"{where} AND m.n < :before", before_n
    select = _WHOLE if whole else _MESSAGE
    rows = query.execute(f"{select} WHERE {where} ORDER BY m.n {order} LIMIT :limit", params)
    return sorted(_messages(query, rows), key=lambda message: message.n)


def messages_by_id(query: Query, ids: Sequence[str], *, whole: bool = False) -> dict[str, Message]:
    """Give these messages; those that are not there are missing. `whole` as in `messages`."""
    select = _WHOLE if whole else _MESSAGE
    rows = query.execute(f"{select} WHERE m.id IN (:ids[])", {"ids": ids}) if ids else []
    return {one.id: one for one in _messages(query, rows)}


def message(query: Query, id_: str) -> Message:
    """Give one message, the whole of it. Errors: `NotFound`."""
    return there(messages_by_id(query, [id_], whole=True).get(id_), "message")


def _messages(query: Query, rows: Sequence[Row]) -> Iterable[Message]:
    ids = [row[0] for row in rows]
    ours = [row[0] for row in rows if row[3] == Direction.OUT]
    parts: dict[str, list[Row]] = {}
    for row in query.execute(DELIVERIES, {"ids": ours}) if ours else ():
        parts.setdefault(row[1], []).append(row)
    changes: dict[str, list[StoredChange]] = {}
    done = query.execute(_CHANGES_OF_OURS if ours else _CHANGES, {"ids": ids}) if ids else []
    for id_, kind, text, said, at, by, _ in sorted(done, key=lambda row: (row[4], row[6])):
        # What lies with a provider has its attachment once the message is known that it belongs to.
        held = tuple(block for block in blocks_from_json(said) if not isinstance(block, RemoteMedia))
        change = StoredChange(kind=ChangeKind(kind), text=text, blocks=held, at=moment(at), by=by)
        changes.setdefault(id_, []).append(change)
    for row in rows:
        id_, conversation_id, account, direction, n, at, stored_at, text, blocks, author, *rest = row
        external, reply_to, group, subject, notice, degradations, automatic, cc, bcc, answer_at, *original = rest
        own = [delivery_of(part) for part in parts[id_]] if id_ in parts else []
        losses = [Degradation(**one) for one in from_json(degradations)] if degradations != "[]" else []
        yield Message(
            id=id_,
            conversation=conversation_id,
            account=account,
            direction=Direction(direction),
            n=n,
            at=moment(at),
            stored_at=moment(stored_at),
            text=text,
            blocks=_filled(blocks_from_json(blocks), original[0]) if any(original) else blocks_from_json(blocks),
            author=author,
            external_id=external or "",
            reply_to=reply_to,
            group=group,
            subject=subject,
            state=message_state((d.position, d.recipient, d.generation, d.state) for d in own) if own else None,
            reason=next((d.reason for d in own if d.state is State.QUEUED and d.reason), "") if own else "",
            deliveries=tuple(own),
            degradations=(*losses, *([_AS_PLAIN] if any(part[14] for part in parts.get(id_, ())) else ())),
            changes=tuple(changes.get(id_, ())),
            notice=notice,
            automatic=bool(automatic),
            cc=values(cc),
            bcc=values(bcc),
            answer_at=answer_at,
        )


def _filled(blocks: Sequence[Block], original: str) -> tuple[Block, ...]:
    fill = iter([Original(**one) for one in from_json(original)])
    return tuple(next(fill, block) if isinstance(block, Original) else block for block in blocks)


def values(text: str) -> tuple[str, ...]:
    """Read a list of texts as a column holds it."""
    return tuple(from_json(text)) if text else ()


def delivery_of(row: Row) -> Delivery:
    id_, message_id, position, recipient, generation, state, external, code, text, at, reason, attempts, *rest = row
    return Delivery(
        id=id_,
        message=message_id,
        position=position,
        recipient=recipient,
        generation=generation,
        state=State(state),
        external_id=external or "",
        problem=None if at is None else Problem(code=code, text=text, at=moment(at)),
        reason=reason,
        attempts=attempts,
        text=rest[0],
        state_at=moment(rest[1]),
    )


@dataclass(frozen=True, slots=True)
class Troubled:
    """A part that is uncertain or failed, and where it belongs."""

    account: str
    conversation: str  # id
    delivery: Delivery


def deliveries(query: Query, state: State, *, cursor: str = "", limit: int = 50) -> Page[Troubled]:
    """Give parts that are uncertain or failed, the newest first."""
    params: dict[str, Any] = {"state": int(state), "limit": min(limit, PAGE)}
    where = "d.state IN (5, 25) AND d.state = :state"  # as the index says it
    if cursor:
        where += " AND (d.state_at, d.id) < (:at, :id)"
        params["at"], params["id"] = _cursor(cursor)
    rows = query.execute(f"{_DELIVERY} WHERE {where} ORDER BY d.state_at DESC, d.id DESC LIMIT :limit", params)
    following = f"{rows[-1][13]}.{rows[-1][0]}" if len(rows) == params["limit"] else ""
    return Page(tuple(Troubled(row[15], row[16], delivery_of(row)) for row in rows), following)


# --- contacts, attachments, notifications --------------------------------------------------------------


def contacts(query: Query, *, text: str = "", cursor: str = "", limit: int = 50) -> Page[Contact]:
    """Give contacts, the newest first; `text` is looked for in names and addresses."""
    params: dict[str, Any] = {"limit": min(limit, PAGE)}
    where = ["1 = 1"]
    if text:
        own = any_like("name", "value")
        where.append(f"(c.id IN (SELECT contact_id FROM address WHERE {own}) OR {any_like('c.name')})")
        params["like"] = like(text)
    if cursor:
        where, params["before"] = [*where, "c.id < :before"], _id_cursor(cursor)
    sql = f"SELECT c.id, c.name FROM contact c WHERE {' AND '.join(where)} ORDER BY c.id DESC LIMIT :limit"
    rows = query.execute(sql, params)
    following = rows[-1][0] if len(rows) == params["limit"] else ""
    return Page(tuple(_contacts(query, rows)), following)


def contact(query: Query, id_: str) -> Contact:
    """Give one contact. Errors: `NotFound`."""
    rows = query.execute("SELECT id, name FROM contact WHERE id = :id", {"id": id_})
    return there(next(iter(_contacts(query, rows)), None), "contact")


def _contacts(query: Query, rows: Sequence[Row]) -> Iterable[Contact]:
    addresses: dict[str, list[Address]] = {}
    for id_, kind, value, name in query.execute(_ADDRESSES, {"ids": [row[0] for row in rows]}) if rows else ():
        addresses.setdefault(id_, []).append(Address(kind=kind, value=value, name=name))
    for id_, name in rows:
        yield Contact(id=id_, name=name, addresses=tuple(addresses.get(id_, ())))


def attachment(query: Query, id_: str) -> Attachment:
    """Give one attachment. Errors: `NotFound`."""
    sql = "SELECT id, name, media_type, size, sha256, cls, handle FROM attachment WHERE id = :id"
    row = there(query.one(sql, {"id": id_}), "attachment")
    return Attachment(
        id=row[0],
        name=row[1],
        media_type=row[2],
        size=row[3],
        sha256=row[4],
        cls=AttachmentClass(row[5]),
        handle=row[6],
    )


_NOTIFICATION = """
    SELECT id, recipient, asker, kind, title, text, actions, conversation, created_at, answered_by, answer,
           style, details, on_desktop, lapses_at, shows_lapse, account, seen_at, ended, does
    FROM notification
"""


def notifications(
    query: Query, recipient: str, *, open_: bool = True, cursor: str = "", limit: int = 50
) -> Page[Notification]:
    """Give a recipient's notifications, the newest first; those that are still open, or all.

    A toast that was read is open no longer: it has told what it tells.
    """
    params: dict[str, Any] = {"recipient": recipient, "limit": min(limit, PAGE)}
    where = "recipient = :recipient"
    if open_:
        where += " AND withdrawn_at IS NULL AND NOT (style = 'toast' AND seen_at IS NOT NULL)"
    if cursor:
        where += " AND (created_at, id) < (:at, :id)"
        params["at"], params["id"] = _cursor(cursor)
    rows = query.execute(f"{_NOTIFICATION} WHERE {where} ORDER BY created_at DESC, id DESC LIMIT :limit", params)
    following = f"{rows[-1][8]}.{rows[-1][0]}" if len(rows) == params["limit"] else ""
    return Page(tuple(map(_notification, rows)), following)


_FIRST = """
    SELECT f.recipient, f.answered_by, f.answer, f.answered_at
    FROM notification f JOIN notification n ON n.asker = f.asker AND n.key = f.key
    WHERE n.id = :id AND f.answered_by <> '' LIMIT 1
"""


def first_answer(query: Query, notification: str) -> First | None:
    """Give whose answer was the first, of all who were asked the same; None: nobody's yet."""
    row = query.one(_FIRST, {"id": notification})
    return None if row is None else First(recipient=row[0], surface=row[1], action=row[2], at=moment(row[3]))


def notifications_by_id(query: Query, ids: Sequence[str]) -> dict[str, Notification]:
    """Give these notifications; those that are not there are missing."""
    rows = query.execute(f"{_NOTIFICATION} WHERE id IN (:ids[])", {"ids": ids}) if ids else []
    return {row[0]: _notification(row) for row in rows}


def _notification(row: Row) -> Notification:
    id_, recipient, asker, kind, title, text, actions, conversation_id, at, answered_by, answer, *rest = row
    style, details, on_desktop, lapses_at, shows_lapse, account, seen_at, ended, does = rest
    return Notification(
        id=id_,
        recipient=recipient,
        asker=asker,
        kind=kind,
        title=title,
        text=text,
        actions=tuple(Option(**option) for option in from_json(actions)),
        conversation=conversation_id,
        at=moment(at),
        answered_by=answered_by,
        answer=answer,
        style=Style(style),
        details=tuple(Detail(**detail) for detail in from_json(details)),
        on_desktop=OnDesktop(on_desktop),
        lapses_at=moment(lapses_at) if lapses_at is not None and shows_lapse else None,
        account=account,
        seen=seen_at is not None,
        ended=Ended(ended),
        opens=tuple(action for action, deed in from_json(does).items() if deed == "open"),
    )


# --- the log -------------------------------------------------------------------------------------------

FACT = "SELECT seq, type, at, account, conversation, ids, small FROM fact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A stretch of the log."""

    items: tuple[Fact, ...]
    next: int  # where to go on: everything up to here has been looked at
    head: int  # the last fact there is


def head(query: Query) -> int:
    """Give the number of the last fact, 0 before the first."""
    row = query.one("SELECT seq FROM log_head WHERE id = 1")
    return int(row[0]) if row else 0


def facts(query: Query, after: int, *, types: Sequence[str] = (), account: str = "", limit: int = PAGE) -> Facts:
    """Give the facts that follow a cursor. Errors: `HistoryGone` where the log does not reach there."""
    last = head(query)
    row = query.one("SELECT min(seq) FROM fact")
    first = row[0] if row and row[0] is not None else last + 1
    if not first - 1 <= after <= last:
        raise HistoryGone(f"the log goes from {first} to {last}; begin with a fresh look, then after={last}")
    where = "seq > :after AND seq <= :upto"
    params: dict[str, Any] = {"after": after, "upto": min(last, after + _SCANNED), "limit": min(limit, PAGE)}
    if types:
        where, params["types"] = f"{where} AND type IN (:types[])", list(types)
    if account:
        where, params["account"] = f"{where} AND account = :account", account
    rows = query.execute(f"{FACT} WHERE {where} ORDER BY seq LIMIT :limit", params)
    reached = rows[-1][0] if len(rows) == params["limit"] else params["upto"]
    return Facts(items=tuple(map(fact_of, rows)), next=reached, head=last)


def fact_of(row: Row) -> Fact:
    """Read a row of the log."""
    seq, kind, at, account, conversation_id, ids, small = row
    values = from_json(small)
    return Fact(
        seq=seq,
        type=kind,
        at=moment(at),
        account=account,
        conversation=conversation_id,
        ids=from_json(ids),
        small=values,
        replayed=values.get("replayed") is True,
    )
