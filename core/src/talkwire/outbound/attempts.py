"""The two transactions of an attempt: the one that opens it, and the one that stores what became of it.

An attempt that is found open was cut by a crash or a lapsed lease: it may have reached the customer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .. import answers, deliveries
from ..answers import AccountView, Standing
from ..clock import micros, moment
from ..deliveries import Learnt
from ..http import ExchangeRecord
from ..model import Address, AnswerCode, Outgoing, Part, Policy, Receipt, State
from ..store import Tx
from ..work import lanes
from ..work.lanes import Fence
from . import elsewhere, windows
from .mending import fail_queued
from .parts import part_from_json

CUT = "cut"  # what is recorded of an attempt of which nothing else is known
_ON_THE_WAY = 20  # external ids in `Outgoing.references`


@dataclass(frozen=True, slots=True)
class Opening:
    """A lane that asks for its next attempt."""

    lane: int
    account: AccountView
    fence: Fence
    reopen: bool = False  # an attempt that was found open may be made again
    resolved: Learnt | None = None  # what reconciling an open attempt brought
    behind: tuple[int, ...] = ()  # lanes that wait for the account's rate, of which it is not said yet

    @property
    def group(self) -> str:
        return f"send:{self.account.name}"

    @property
    def need(self) -> timedelta:
        return self.account.features.send_timeout if self.account.features else timedelta()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is open now."""

    task: int
    lane: int
    wakes: int
    delivery: str
    out: Outgoing
    was_open: bool = False  # found open: it must be decided before anything is sent
    message: str = ""
    conversation: str = ""
    fallback: str = ""  # account that the message goes on from where the address cannot be reached; empty: none
    policy: str = ""  # of its message, as it is kept
    until: int | None = None  # when we thought that the window closes; None: no window


@dataclass(slots=True)
class Outcome:
    """What became of an attempt, on its way into the store."""

    attempt: Attempt
    group: str
    fence: Fence
    receipt: Receipt | None = None
    learnt: State | None = None  # FAILED or UNCERTAIN
    code: str = ""
    text: str = ""
    unreachable: bool = False
    shut: bool = False  # the provider says that the window has closed …
    put_off: bool = False  # … and the part waits, or goes on from elsewhere
    later: datetime | None = None  # tried again then …
    counted: bool = True  # … and that counts as an attempt
    rests: datetime | None = None  # the provider wants nothing for the address before that, in none of its threads
    held: str = ""  # waits to be woken, for this reason
    as_plain: bool = False  # the markup was refused: once more as plain text
    reason: str = ""  # shown while it is queued
    exchanges: list[ExchangeRecord] = field(default_factory=list)

    @property
    def word(self) -> str:
        """Say in one word what became of it, for the count."""
        if self.receipt is not None:
            return "taken"
        return self.learnt.word if self.learnt is not None else "held" if self.held else "later"


# --- transaction 1 -----------------------------------------------------------------------------------

_OPEN = f"""
    SELECT {answers.COLUMNS}, c.thread, c.last_inbound, a.kind, a.value, a.name,
           d.id, d.message_id, d.position, d.part, d.state, d.attempts, d.open_since, d.as_plain,
           m.reply_to, m.subject, m.policy, m.notice, d.recipient,
           CASE WHEN d.recipient = '' THEN NULL ELSE
               (SELECT max(o.id) FROM delivery o WHERE o.message_id = d.message_id AND o.position = d.position
                AND o.recipient = '' AND o.id < d.id) END,
           m.automatic
    FROM delivery d JOIN message m ON m.id = d.message_id
    JOIN conversation c ON c.id = d.conversation_id JOIN address a ON a.id = c.address_id
    WHERE d.id IN (:ids[])
"""
_MARK_OPEN = """
    UPDATE delivery SET open_since = :now, open_wakes = :wakes, attempts = attempts + 1, reason = ''
    WHERE id = :id
"""
# By which name the provider's other end knows a message.
_NAME = """COALESCE(NULLIF(m.known_as, ''), m.external_id,
                    (SELECT max(d.external_id) FROM delivery d WHERE d.message_id = m.id AND d.position = 0))"""
_EXTERNAL = f"SELECT {_NAME} FROM message m WHERE m.id = :id"
_REFERENCES = f"SELECT {_NAME} FROM message m WHERE m.conversation_id = :id ORDER BY m.n DESC LIMIT :most"


def open_attempt(tx: Tx, items: Sequence[Opening]) -> Sequence[Attempt | None]:
    """Open the attempts of these lanes' heads; None where there is nothing to send (any more), or not by us."""
    needs = {item.group: item.need for item in items}
    held = {group for group, need in sorted(needs.items()) if items[0].fence.check(tx, group, need)}
    ours = {item.lane: item for item in items if item.group in held}
    tasks = lanes.due_heads(tx, sorted(ours)) if ours else {}
    refs = sorted({task.ref for task in tasks.values()})
    behind = _behind(tx, ours.values())
    tx.lock("delivery", [*refs, *behind])
    tx.many(_RATE_LIMITED, [{"id": id_} for id_ in behind])
    rows = {row[13]: row for row in tx.execute(_OPEN, {"ids": refs})} if refs else {}
    results: dict[int, Attempt | None] = {}
    opened: list[dict[str, object]] = []
    for lane, task in sorted(tasks.items(), key=lambda pair: (pair[1].group, pair[1].subject)):
        row = rows.get(task.ref)
        if row is None:
            lanes.end(tx, [(lane, task.id)])
            continue
        attempt = results[lane] = _open_one(tx, ours[lane], task, row)
        if attempt is not None and not attempt.was_open:
            opened.append({"id": attempt.delivery, "now": tx.now_us, "wakes": task.wakes})
    for lane in sorted(ours.keys() - tasks.keys()):
        lanes.rest(tx, lane)
    opened.sort(key=lambda one: str(one["id"]))
    tx.many(_MARK_OPEN, opened)
    return [results.get(item.lane) for item in items]


def _behind(tx: Tx, openings: Iterable[Opening]) -> list[str]:
    """Give the parts of lanes that wait for a rate."""
    lanes_behind = sorted({lane for opening in openings for lane in opening.behind})
    return sorted({row[0] for row in tx.execute(_TO_SEND, {"lanes": lanes_behind})}) if lanes_behind else []


def _open_one(tx: Tx, item: Opening, task: lanes.Task, row: Sequence[object]) -> Attempt | None:
    standing = Standing.of(row[:8])
    thread, last_inbound, kind, value, name = map(str, row[8:13])
    delivery, message, position, part_text, state, attempts, open_since, as_plain = row[13:21]
    reply_to, subject, policy, notice, recipient, copy_of = (str(value or "") for value in row[21:27])
    automatic = bool(row[27])
    features = item.account.features
    place = (task.lane, task.id)
    known = int(str(state))
    if known >= State.ACCEPTED or (known and open_since is None):  # a report, or who had the lane before us, knows
        tx.execute(_MARK_CLOSED, {"id": delivery, "reason": "", "uncounted": 0})
        lanes.end(tx, [place])
        return None
    if item.resolved is not None:
        deliveries.learn(tx, [replace(item.resolved, at=tx.now_us)])
        tx.execute(_MARK_CLOSED, {"id": delivery, "reason": item.resolved.text, "uncounted": 0})
        lanes.end(tx, [place])
        tx.many(_INSERT_EXCHANGE, [(standing.account, delivery, tx.now_us, CUT, "", item.resolved.text, 0)])
        return None
    is_copy = bool(recipient)
    part_of = (str(message), str(delivery))
    if open_since is None and not _may_go(tx, item, task, standing, part_of, policy, is_copy=is_copy):
        return None
    part = part_from_json(str(part_text))
    out = Outgoing(
        key=str(delivery),
        account=standing.account,
        address=Address(kind=kind, value=value, name=name),
        thread=thread,
        part=_as_plain(part) if as_plain else part,
        reply_to=_external(tx, reply_to) if reply_to and not position else "",
        subject=subject,
        notice=notice,
        last_inbound=last_inbound,
        references=_references(tx, standing.id) if features and features.references else (),
        recipient=recipient,
        copy_of=copy_of,
        automatic=automatic,
        attempt=int(str(attempts)) + 1,
    )
    was_open = open_since is not None and not item.reopen
    return Attempt(
        task.id,
        task.lane,
        task.wakes,
        str(delivery),
        out,
        was_open=was_open,
        message=str(message),
        conversation=standing.id,
        fallback="" if recipient else elsewhere.named(policy),
        policy=policy,
        until=standing.reply_until,
    )


def _may_go(
    tx: Tx, item: Opening, task: lanes.Task, standing: Standing, part: tuple[str, str], policy: str, *, is_copy: bool
) -> bool:
    """Look at the answer a third time, and at how long this was tried; False: the task is ended."""
    message, delivery = part
    features = item.account.features
    code = answers.closed_code(standing, tx.now_us)
    if is_copy and code is AnswerCode.ADDRESS_UNREACHABLE:
        code = None  # it is not theirs
    too_long = (
        features is not None
        and task.failing_since is not None
        and moment(task.failing_since) + features.give_up_after <= tx.now
    )
    if code is None and not too_long:
        return True
    if too_long:
        _fail(tx, delivery, "gave_up", "tried for too long")
    elif code is AnswerCode.WINDOW_CLOSED and policy == Policy.TEMPLATE:
        return True
    elif code is None or not windows.put_off(tx, message, standing.id, delivery, policy, code):
        _fail(tx, delivery, str(code), "the conversation could not be answered any more")
    lanes.end(tx, [(task.lane, task.id)])
    return False


def _fail(tx: Tx, delivery: str, code: str, text: str) -> None:
    fail_queued(tx, [delivery], code, text)
    _fail_later_parts(tx, delivery)


def _fail_later_parts(tx: Tx, delivery: str) -> None:
    rows = tx.execute(_LATER_PARTS, {"id": delivery})
    fail_queued(tx, [row[0] for row in rows], "earlier_part", "an earlier part failed")


def _as_plain(part: Part) -> Part:
    return replace(part, text=part.plain, plain="", payload="")


def _external(tx: Tx, message: str) -> str:
    row = tx.one(_EXTERNAL, {"id": message})
    return str(row[0]) if row and row[0] else ""


def _references(tx: Tx, conversation: str) -> tuple[str, ...]:
    rows = tx.execute(_REFERENCES, {"id": conversation, "most": _ON_THE_WAY})
    return tuple(str(row[0]) for row in reversed(rows) if row[0])


# --- transaction 2 -----------------------------------------------------------------------------------

_MARK_CLOSED = """
    UPDATE delivery SET open_since = NULL, reason = :reason, attempts = attempts - :uncounted WHERE id = :id
"""
_SET_EXTERNAL = "UPDATE delivery SET external_id = :external WHERE id = :id"
_MARK_PLAIN = "UPDATE delivery SET as_plain = 1 WHERE id = :id"
_LATER_PARTS = """
    SELECT o.id FROM delivery d
    JOIN delivery o ON o.message_id = d.message_id AND o.recipient = d.recipient
     AND o.position > d.position AND o.state = 0
    WHERE d.id = :id
"""
_SAME_ADDRESS = """
    SELECT o.id FROM delivery d JOIN conversation c ON c.id = d.conversation_id
    JOIN conversation o ON o.account = c.account AND o.address_id = c.address_id
    WHERE d.id = :id
"""
_UNREACHABLE = "UPDATE conversation SET unreachable_at = :now WHERE id = :id"
_INSERT_EXCHANGE = """
    INSERT INTO exchange (account, delivery_id, at, what, request, answer, milliseconds)
    VALUES (:account, :delivery, :at, :what, :request, :answer, :ms)
"""


def close_attempt(tx: Tx, outcomes: Sequence[Outcome]) -> Sequence[None]:
    """Store outcomes: states, external ids, ended or postponed tasks, recorded exchanges.

    What was learnt is taken from whoever made the attempt. Lane, task and the mark of the open attempt are
    touched only where the group is still ours: whoever has it now finds the attempt open, and decides.
    """
    held = lanes.ours(tx, outcomes[0].fence, (o.group for o in outcomes))
    outcomes_in_order = sorted(outcomes, key=lambda o: o.attempt.delivery)
    ours = [o for o in outcomes_in_order if o.group in held]
    tx.lock("conversation", [o.attempt.conversation for o in ours if o.shut])
    tx.lock("delivery", [o.attempt.delivery for o in outcomes])
    named = {o.attempt.delivery: o.receipt.external_id for o in outcomes if o.receipt and o.receipt.external_id}
    tx.many(_SET_EXTERNAL, [(external, delivery) for delivery, external in sorted(named.items())])
    tx.many(
        _MARK_CLOSED, [{"id": o.attempt.delivery, "reason": o.reason, "uncounted": int(not o.counted)} for o in ours]
    )
    refusals = deliveries.Refusals()
    news = deliveries.match_waiting(tx, named, refusals)
    fall = {o.attempt.delivery for o in ours if o.unreachable and o.attempt.fallback}  # they go on from elsewhere
    fall |= {o.attempt.delivery for o in ours if o.shut and _put_off(tx, o)}
    learnt = [x for o in outcomes_in_order if o.attempt.delivery not in fall for x in _learnt(tx, o)]
    # Whoever was forgotten while this was on its way leaves nothing behind.
    known = deliveries.rows_of(tx, (o.attempt.delivery for o in outcomes))
    refusals.arrived.extend(deliveries.learn(tx, [*learnt, *news], known))
    windows.heard(tx, refusals)
    lanes.lock(tx, (o.attempt.lane for o in ours))
    for outcome in ours:
        _store_outcome(tx, outcome)
    done = [o for o in ours if o.receipt is not None or o.learnt is not None]
    lanes.end(tx, [(o.attempt.lane, o.attempt.task) for o in done])
    tx.many(
        _INSERT_EXCHANGE,
        [
            (o.attempt.out.account, o.attempt.delivery, tx.now_us, r.what, f"{r.request}\n{r.sent}".strip(),
             f"{r.status or ''} {r.error or r.answer}".strip(), r.took // timedelta(milliseconds=1))
            for o in outcomes_in_order
            if o.attempt.delivery in known
            for r in o.exchanges
        ],
    )  # fmt: skip
    return [None] * len(outcomes)


def close_and_open(tx: Tx, items: Sequence[tuple[Outcome, Opening]]) -> Sequence[Attempt | None]:
    """Store outcomes, and open the attempts of other lanes' heads."""
    heads = lanes.due_heads(tx, sorted(opening.lane for _, opening in items)) if tx.locks_rows else {}
    # Conversations are locked before deliveries, and those before lanes, those of both halves in one order.
    tx.lock("conversation", [outcome.attempt.conversation for outcome, _ in items if outcome.shut])
    parts = [*(outcome.attempt.delivery for outcome, _ in items), *(task.ref for task in heads.values())]
    tx.lock("delivery", [*parts, *_behind(tx, (opening for _, opening in items))] if tx.locks_rows else [])
    close_attempt(tx, [outcome for outcome, _ in items])
    return open_attempt(tx, [opening for _, opening in items])


def _learnt(tx: Tx, outcome: Outcome) -> list[Learnt]:
    state = outcome.receipt.state if outcome.receipt else outcome.learnt
    if state is None:
        return []
    return [
        Learnt(
            delivery=outcome.attempt.delivery,
            state=state,
            at=tx.now_us,
            code=outcome.code or ("refused" if state is State.FAILED else ""),
            text=outcome.text,
        )
    ]


def _put_off(tx: Tx, outcome: Outcome) -> bool:
    """Close the window that the provider says is closed, and do what the message's policy says; False: it fails."""
    attempt = outcome.attempt
    if not windows.shut(tx, attempt.conversation, attempt.until):
        outcome.learnt, outcome.later = None, tx.now + lanes.backoff(attempt.out.attempt)  # it is open again
        return True
    code = AnswerCode.WINDOW_CLOSED
    outcome.put_off = windows.put_off(tx, attempt.message, attempt.conversation, attempt.delivery, attempt.policy, code)
    return outcome.put_off


def _store_outcome(tx: Tx, outcome: Outcome) -> None:
    attempt = outcome.attempt
    if outcome.as_plain:
        tx.execute(_MARK_PLAIN, {"id": attempt.delivery})
    if outcome.unreachable and attempt.fallback:
        code, said = AnswerCode.ADDRESS_UNREACHABLE, outcome.text
        elsewhere.promise(tx, attempt.message, attempt.conversation, attempt.fallback, code, said=said)
    elif outcome.learnt is State.FAILED and not outcome.put_off:
        _fail_later_parts(tx, attempt.delivery)
    if outcome.unreachable and not attempt.out.recipient:  # who got a copy is not whom we talk to
        ids = [row[0] for row in tx.execute(_SAME_ADDRESS, {"id": attempt.delivery})]
        tx.lock("conversation", ids)
        tx.many(_UNREACHABLE, [{"id": conversation, "now": tx.now_us} for conversation in sorted(ids)])
        answers.tell_changes(tx, ids)
    if outcome.held:
        lanes.hold(tx, attempt.lane, outcome.held, attempt.wakes)
    elif outcome.later is not None:
        lanes.later(tx, attempt.lane, outcome.later, outcome.text, counted=outcome.counted)


_TO_SEND = "SELECT ref FROM task WHERE lane_id IN (:lanes[]) AND kind = 'send'"
_RATE_LIMITED = "UPDATE delivery SET reason = 'rate_limited' WHERE id = :id AND state = 0 AND reason = ''"
_DUE_AT = "UPDATE lane SET due = :due WHERE id = :id"


def rate_limited(tx: Tx, items: Sequence[tuple[int, datetime]]) -> Sequence[None]:
    """Let lanes (id, due) wait for the rate of an address."""
    parts = sorted({row[0] for row in tx.execute(_TO_SEND, {"lanes": sorted(lane for lane, _ in items)})})
    tx.lock("delivery", parts)
    tx.many(_RATE_LIMITED, [{"id": id_} for id_ in parts])
    tx.many(_DUE_AT, [{"id": lane, "due": micros(due)} for lane, due in sorted(items)])
    return [None] * len(items)
