"""Why a talk stands still: who has not been told, what waits for what, what failed; each with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic_core import from_json

from ..clock import micros, moment
from ..deliveries import ARRIVED, FELL_BACK
from ..model import AccountState, State
from ..store import Query, Row
from ..work.lanes import RESTORED, of_part

_LOOKED_AT = 50  # newest messages of a talk
_UNSERVED = timedelta(minutes=1)  # a lane that is due for so long is served by nobody

WAITS = {  # why a part is queued → in words
    "recipient_offline": "the customer's connection is down; it goes on when they are back",
    "window_closed": "the provider allows no answer until the customer writes again",
    "session_ended": "the session has ended; it goes on when the customer comes back",
    "address_unreachable": "the address cannot be reached; it goes on when the customer writes again",
    "restored": "open at the backup that was brought back, and perhaps done since: release it, or drop it",
    "falls_back": "it goes on from another account",
    "rate_limited": "the provider takes no more for now; it is tried again by itself",
    "provider_down": "the provider cannot be reached; it is tried again by itself",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that a talk waits for, or that went wrong in it."""

    text: str
    since: datetime | None  # None: it has no beginning that anybody wrote down
    until: datetime | None = None  # when it is tried again by itself; None: when that happens what `text` says
    hint: str = ""  # what to type; empty: nothing to do
    is_open: bool = True  # False: it is over and cannot be changed, as a part that failed


_TALK = """
    SELECT c.account, c.channel, s.state, s.reason, s.since, c.answer_code, c.last_n
    FROM conversation c LEFT JOIN account_state s ON s.account = c.account WHERE c.id = :id
"""
_MESSAGES = """
    SELECT id, n, direction, stored_at, notice FROM message WHERE conversation_id = :id ORDER BY n DESC LIMIT :most
"""
_PARTS = """
    SELECT d.id, d.message_id, d.position, d.recipient, d.generation, d.state, d.state_at, d.problem_code,
           d.problem_text, d.reason, d.open_since
    FROM delivery d WHERE d.message_id IN (:ids[]) ORDER BY d.generation
"""
_LANE = "SELECT id, due, held, last_error FROM lane WHERE grp = :grp AND subject = :id"
_REFUSALS = """
    SELECT at, small FROM fact WHERE conversation = :id AND type <> 'message.received' AND type = 'reply.refused'
    AND at > :since ORDER BY seq DESC LIMIT 1
"""
_BEHIND = """
    SELECT r.name, r.state, r.last_error, COALESCE(r.down_since, r.error_at), h.seq - r.cursor,
           (SELECT at FROM fact WHERE seq = r.cursor + 1)
    FROM reader r, log_head h WHERE h.id = 1 AND r.state <> 'stopped' AND r.cursor < h.seq ORDER BY r.name
"""
_REFUSED = """
    SELECT l.id, l.grp, l.due, l.last_error, min(t.created_at), count(t.id) FROM reader r
    JOIN lane l ON l.grp = 'read:' || r.name AND l.subject = :id JOIN task t ON t.lane_id = l.id
    GROUP BY l.id, l.grp, l.due, l.last_error ORDER BY l.grp
"""
_PARKED = """
    SELECT p.reader, p.seq, p.at, p.error FROM reader r JOIN parked p ON p.reader = r.name AND p.conversation = :id
    ORDER BY p.seq LIMIT 20
"""
_UNREAD = """
    SELECT count(*), min(received_at) FROM envelope WHERE unread <> '' AND replayed_at IS NULL
    AND received_at > :since AND account = :account
"""


def of_talk(query: Query, conversation: str) -> tuple[Reason, ...]:
    """Say why a conversation stands still; empty: nothing is open in it, and nothing failed at its end."""
    talk = query.one(_TALK, {"id": conversation})
    if talk is None:
        return ()
    account, _, state, why, since, code, _ = talk
    messages = query.execute(_MESSAGES, {"id": conversation, "most": _LOOKED_AT})
    parts = _latest(query, [row[0] for row in messages if row[2] == "out"])
    found: list[Reason] = []
    waiting = [part for part in parts if part[5] == State.QUEUED]
    if waiting:
        stored = {row[0]: row[3] for row in messages}
        begun = moment(min(stored[part[1]] for part in waiting))
        found.append(_waiting(query, conversation, account, (state, why, since), waiting, begun))
    found += _broken_parts(parts, messages)
    inbound = next((row for row in messages if row[2] == "in"), None)
    outbound = next((row for row in messages if row[2] == "out" and not row[4]), None)
    if inbound is not None and (outbound is None or outbound[1] < inbound[1]):
        found += _unanswered(query, conversation, moment(inbound[3]), code)
        if not waiting and state and AccountState(state) in _STOPPED:
            found.append(_account(account, state, why, since, "replies are refused"))
    found += _missed(query, conversation, inbound[3] if inbound else None)
    if inbound is not None:
        count, first = query.one(_UNREAD, {"since": inbound[3], "account": account}) or (0, None)
        if count:
            text = f"{count} deliveries to {account} since then were not understood: it may be among them"
            text = text.replace("1 deliveries", "1 delivery", 1) if count == 1 else text
            text = text.replace("were", "was", 1) if count == 1 else text
            found.append(Reason(text=text, since=moment(first), hint="talkwire replay --unread"))
    return tuple(found)


_STOPPED = (AccountState.BROKEN, AccountState.PAUSED, AccountState.ABSENT)


def _latest(query: Query, messages: Sequence[str]) -> list[Row]:
    """Give each part's newest generation."""
    rows = query.execute(_PARTS, {"ids": messages}) if messages else []
    return list({(row[1], row[2], row[3]): row for row in rows}.values())


def _waiting(
    query: Query,
    conversation: str,
    account: str,
    standing: tuple[str, str, int],
    waiting: Sequence[Row],
    begun: datetime,
) -> Reason:
    own = [part for part in waiting if not part[3]]
    word, words = ("reply", "replies") if own else ("copy", "copies")
    waiting = own or waiting
    replies = len({part[1] for part in waiting})
    what = f"1 {word} waits" if replies == 1 else f"{replies} {words} wait"
    state, why, since = standing
    if state and AccountState(state) in _STOPPED:
        return _account(account, state, why, since, what)
    lane = query.one(_LANE, {"grp": f"send:{account}", "id": of_part(conversation, waiting[0][3])})
    under_way = next((part[10] for part in waiting if part[10] is not None), None)
    reason = next((part[9] for part in waiting if part[9]), "")
    if lane is None or lane[1] is None:
        held = (lane[2] if lane else "") or reason
        hint = (
            f"talkwire lanes release {lane[0]}"
            if lane and lane[2] and (lane[2] not in WAITS or lane[2] == RESTORED)
            else ""
        )
        return Reason(text=f"{what}: {WAITS.get(held, held or 'nothing promises them')}", since=begun, hint=hint)
    number, due, _, error = lane
    if under_way is not None:
        return Reason(text=f"{what}: it is on its way to the provider", since=moment(under_way))
    if error or reason:
        words = WAITS.get(reason, reason)
        text = f"{words} ({error})" if words and error else error or words
        hint = f"talkwire lanes release {number}" if due > query.now_us else ""
        return Reason(text=f"{what}: {text}", since=begun, until=moment(max(due, query.now_us)), hint=hint)
    if moment(due) + _UNSERVED < query.now:
        return Reason(
            text=f"{what}: it is due, and no daemon serves {account}", since=moment(due), hint="talkwire status"
        )
    return Reason(text=f"{what}: it is its turn", since=begun, until=moment(due) if due > query.now_us else None)


def _account(account: str, state: str, why: str, since: int, what: str) -> Reason:
    hint = f"talkwire accounts resume {account}"
    if state == AccountState.BROKEN:
        hint = f"repair what it says, then: {hint}"
    elif state == AccountState.ABSENT:
        hint = "talkwire plugins"
    text = f"{what}: account {account} is {state}" + (f": {why}" if why else "")
    return Reason(text=text, since=moment(since), hint=hint)


def _broken_parts(parts: Sequence[Row], messages: Sequence[Row]) -> Iterator[Reason]:
    """Name what is uncertain, and what failed among the last replies."""
    number = {row[0]: row[1] for row in messages}
    for part in sorted(parts, key=lambda row: (number[row[1]], row[2])):
        id_, message, position, _, _, state, at, code, text, _, _ = part
        name = f"reply {number[message]}" + (f", part {position + 1}," if position else "")
        why = ": ".join(word for word in (code, text) if word)
        if state == State.UNCERTAIN:
            said = f"{name} is uncertain: {why or 'it may have arrived or not'}"
            yield Reason(text=said, since=moment(at), hint=f"talkwire settle {id_} sent|failed|again")
        elif state == State.FAILED and code == FELL_BACK:
            yield Reason(text=f"{name} could not go here: {_plain(text)}", since=moment(at), is_open=False)
        elif state == State.FAILED and code not in ("earlier_part", ARRIVED):
            yield Reason(text=f"{name} failed: {why or 'no reason was given'}", since=moment(at), is_open=False)


def _unanswered(query: Query, conversation: str, since: datetime, code: str) -> Iterator[Reason]:
    yield Reason(text="nobody has answered the customer's last message", since=since)
    refused = query.one(_REFUSALS, {"id": conversation, "since": micros(since)})
    if refused is not None:
        small = from_json(refused[1])
        text = f"{small.get('author') or 'somebody'} tried, and was refused: {_plain(str(small.get('code', '')))}"
        yield Reason(text=text, since=moment(refused[0]))
    if code:
        yield Reason(text=f"it cannot be answered now: {_plain(code)}", since=None)


def _plain(code: str) -> str:
    return code.replace("_", " ")


def _missed(query: Query, conversation: str, inbound: int | None) -> Iterator[Reason]:
    """Name the readers that were not told, or did not take it."""
    for name, state, error, down, behind, at in query.execute(_BEHIND) if inbound is not None else ():
        if at is not None and inbound is not None and at <= inbound and query.now_us - at > _TOLD_WITHIN:
            said = f": {error}" if error else ""
            hint = f"talkwire webhooks resume {name.removeprefix('webhook:')}" if state == "gone" else "talkwire status"
            away = "wants nothing more" if state == "gone" else f"is {behind} facts behind"
            yield Reason(text=f"{name} has not been told: it {away}{said}", since=moment(down or at), hint=hint)
    for lane, group, due, error, first, count in query.execute(_REFUSED, {"id": conversation}):
        name = group.removeprefix("read:")
        text = f"{name} refuses what it is told; {count} wait" + (f": {error}" if error else "")
        until = None if due is None else moment(due)
        yield Reason(text=text, since=moment(first), until=until, hint=f"talkwire lanes release {lane}")
    for name, seq, at, error in query.execute(_PARKED, {"id": conversation}):
        hint = f"talkwire replay {seq}, once {name} takes it"
        yield Reason(text=f"fact {seq} is parked for {name}: {error}", since=moment(at), hint=hint)


_TOLD_WITHIN = 10_000_000  # microseconds that a reader has before it is named
