"""What became of each part: the join of receipts and reports.

The state is the largest ever learnt, the problem the earliest failure ever learnt. Both are joins:
any order and any repetition ends the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .clock import micros
from .model import Report, Small, State
from .store import Query, Row, Tx

_INSERT_REPORT = """
    INSERT INTO report (account, external_id, key, state, at, stored_at, code, reason, recipient,
                        envelope_id, refusal, delivery_id)
    VALUES (:account, :external_id, :key, :state, :at, :stored, :code, :reason, :recipient,
            :envelope, :refusal, :delivery)
"""
_BY_EXTERNAL = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT d.account, d.external_id, d.recipient, d.id
    FROM v JOIN delivery d ON d.account = v.account AND d.external_id = v.external_id
"""
_BY_KEY = "SELECT account, id FROM delivery WHERE id IN (:keys[])"
_ROWS = """
    SELECT id, conversation_id, message_id, account, state, problem_at, problem_code, problem_text,
           position
    FROM delivery WHERE id IN (:ids[])
"""
_UPDATE = """
    UPDATE delivery SET state = :state, state_at = :at, reason = :reason,
        problem_at = :problem_at, problem_code = :code, problem_text = :text
    WHERE id = :id
"""
# Parts that stand at the same place of a message, one for each who gets it, and whom each goes to.
_BESIDE = """
    SELECT d.id, o.id, COALESCE(NULLIF(o.recipient, ''), a.value, '')
    FROM delivery d JOIN delivery o
      ON o.message_id = d.message_id AND o.position = d.position AND o.generation = d.generation
    LEFT JOIN conversation c ON c.id = o.conversation_id LEFT JOIN address a ON a.id = c.address_id
    WHERE d.id IN (:ids[]) ORDER BY d.id, o.id
"""
# Where parts say who they go to, a report that names somebody is that part's alone; what names nobody that a part
# goes to is of the one that goes to the conversation's own address.
_MEANT = """(r.recipient = '' OR lower(d.recipient) = lower(r.recipient) OR (d.recipient = '' AND NOT EXISTS (
    SELECT 1 FROM delivery b WHERE b.message_id = d.message_id AND b.position = d.position
    AND b.generation = d.generation AND lower(b.recipient) = lower(r.recipient))))"""
_COPIED = """r.account, r.external_id, r.key, r.state, r.at, r.stored_at, r.code, r.reason, r.recipient, r.envelope_id,
    r.refusal"""
_UNMATCHED = f"""
    SELECT r.id, d.id, {_COPIED}
    FROM delivery d JOIN report r ON r.account = d.account AND r.external_id = d.external_id
    WHERE d.id IN (:ids[]) AND r.delivery_id IS NULL AND {_MEANT} ORDER BY r.id, d.id
"""
# Other parts of the same message that have the same id: some providers give one to all of them.
_SISTERS = """
    SELECT o.id FROM delivery d JOIN delivery o
      ON o.account = d.account AND o.external_id = d.external_id AND o.message_id = d.message_id
     AND o.generation = d.generation AND o.id <> d.id
    WHERE d.id IN (:ids[])
"""
_OF_SISTERS = f"""
    SELECT DISTINCT d.id, {_COPIED}
    FROM delivery d
    JOIN delivery o ON o.account = d.account AND o.external_id = d.external_id AND o.message_id = d.message_id
     AND o.generation = d.generation AND o.id <> d.id
    JOIN report r ON r.delivery_id = o.id AND r.external_id = d.external_id AND r.key <> o.id
    WHERE d.id IN (:ids[]) AND {_MEANT}
      AND NOT EXISTS (SELECT 1 FROM report t WHERE t.delivery_id = d.id AND t.stored_at = r.stored_at AND
          t.state = r.state AND t.at = r.at AND t.code = r.code AND t.reason = r.reason)
"""
_STRAYS = f"""
    SELECT r.id, d.id, {_COPIED}
    FROM report r JOIN delivery d ON d.account = r.account
     AND (d.id = r.key OR (r.external_id <> '' AND d.external_id = r.external_id AND {_MEANT}))
    WHERE r.delivery_id IS NULL AND r.stored_at > :since
    ORDER BY r.id, d.id LIMIT 500
"""
_SHUT, _AWAY = 1, 2  # what a refused part says of its conversation
FELL_BACK = "fell_back"  # code of a part that went on from another account
ARRIVED = "arrived"  # code of a part that waited to be sent once more, of which the first has arrived
_MATCH = "UPDATE report SET delivery_id = :delivery WHERE id = :id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """One thing learnt about a part."""

    delivery: str
    state: State
    at: int  # microseconds; of a failure the time that counts as "earliest"
    code: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Refusals:
    """Parts (id, when) that failed for what the provider alone knew, and those of which it has taken that back."""

    shut: list[tuple[str, int]] = field(default_factory=list)  # the window has closed
    away: list[tuple[str, int]] = field(default_factory=list)  # nobody is reached at the address
    arrived: list[str] = field(default_factory=list)  # had failed, and has arrived after all

    def add(self, delivery: str, at: int, refusal: int) -> None:
        """Note what a report of a part says of its conversation."""
        if refusal & _SHUT:
            self.shut.append((delivery, at))
        if refusal & _AWAY:
            self.away.append((delivery, at))


def reported(tx: Tx, reports: Sequence[tuple[str, Report, str]]) -> Refusals:
    """Keep every report of (account, report, envelope id), and join those that match a part."""
    refusals = Refusals()
    if not reports:
        return refusals
    keys = sorted({report.key for _, report, _ in reports if report.key})
    by_key = {row[1]: row[0] for row in tx.execute(_BY_KEY, {"keys": keys})} if keys else {}
    ids = sorted({(account, r.external_id) for account, r, _ in reports if r.external_id})
    by_external = _by_external(tx, ids)
    if by_external:
        # A sister part whose receipt is being stored holds the lock of this one: it is seen after that.
        tx.lock("delivery", [*by_key, *(delivery for parts in by_external.values() for _, delivery in parts)])
        by_external = _by_external(tx, ids)
    named = {one for account, r, _ in reports if r.recipient for _, one in _match(account, r, by_key, by_external)}
    beside = _beside(tx, named)
    learnt: list[Learnt] = []
    rows = []
    for account, report, envelope in reports:
        found = _match(account, report, by_key, by_external)
        matched: Sequence[str | None] = [
            one for to, part in found if (one := _meant(report.recipient, part, to, beside))
        ]
        at, refusal = micros(report.at), _SHUT * report.window_shut + _AWAY * report.unreachable
        if report.key and report.key not in by_key:  # of something of ours that is no reply
            small = {"state": report.state.word, "code": report.code}
            tx.tell("report.unmatched", account=account, ids={"key": report.key}, small=small)
        for delivery in matched or [None]:
            rows.append(
                (account, report.external_id, report.key, int(report.state), at, tx.now_us,
                 report.code, report.reason[:500], report.recipient, envelope, refusal, delivery)
            )  # fmt: skip
            if delivery is not None:
                learnt.append(_learnt(delivery, report.state, at, report.code, report.reason))
                refusals.add(delivery, at, refusal)
    refusals.arrived.extend(learn(tx, learnt))
    tx.many(_INSERT_REPORT, rows)
    return refusals


def _by_external(tx: Tx, ids: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Give (recipient, delivery) of the parts that a provider knows by (account, external id)."""
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for account, external, recipient, delivery in sorted(tx.execute(_BY_EXTERNAL, {"ids": ids}) if ids else ()):
        found.setdefault((account, external), []).append((recipient, delivery))
    return found


def _match(
    account: str,
    report: Report,
    by_key: dict[str, str],
    by_external: dict[tuple[str, str], list[tuple[str, str]]],
) -> list[tuple[str | None, str]]:
    """Give the parts that a report names, each with whom it goes to; None where it is named by its own key."""
    if report.key and by_key.get(report.key) == account:
        return [(None, report.key)]
    return [*by_external.get((account, report.external_id), [])]


def _beside(tx: Tx, parts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Give for parts those at the same place of the message, by whom each goes to, in lower case."""
    found: dict[str, dict[str, str]] = {}
    ids = sorted(parts)
    for part, other, whose in tx.execute(_BESIDE, {"ids": ids}) if ids else ():
        found.setdefault(part, {})[whose.lower()] = other
    return found


def _meant(recipient: str, part: str, goes_to: str | None, beside: Mapping[str, Mapping[str, str]]) -> str:
    """Say which part a report is of that names `part`; empty: none that is here yet. As `_MEANT`, early and late."""
    if not recipient:
        return part
    whose = beside.get(part, {}).get(recipient.lower(), "")
    if goes_to is None:  # named by its key: whoever else is told of is beside it
        return whose or part
    return part if whose == part or not (whose or goes_to) else ""


def _learnt(delivery: str, state: int, at: int, code: str, reason: str) -> Learnt:
    return Learnt(delivery=delivery, state=State(state), at=at, code=code, text=reason)


def match_waiting(tx: Tx, named: Iterable[str], refusals: Refusals) -> list[Learnt]:
    """Give what was reported of parts before their external id was stored, and note what it says of conversations.

    `named` are deliveries that have their external id since this transaction; the reports are marked as matched.
    """
    ids = sorted(set(named))
    if not ids:
        return []
    if sisters := tx.execute(_SISTERS, {"ids": ids}):
        tx.lock("delivery", [row[0] for row in sisters])  # what is being reported of them is seen after that
    unmatched = tx.execute(_UNMATCHED, {"ids": ids})
    of_sisters = sorted(tx.execute(_OF_SISTERS, {"ids": ids})) if sisters else []
    _joined(tx, unmatched)
    tx.many(_INSERT_REPORT, [(*copied, delivery) for delivery, *copied in of_sisters])
    return [_learnt_of(row, refusals) for row in (*(row[1:] for row in unmatched), *of_sisters)]


def _joined(tx: Tx, rows: Sequence[Row]) -> None:
    """Mark reports (id, delivery, the rest) as matched; one that several parts match is kept once for each."""
    first = {report: delivery for report, delivery, *_ in reversed(rows)}
    tx.many(_MATCH, [(delivery, report) for report, delivery in sorted(first.items())])
    tx.many(
        _INSERT_REPORT,
        [(*copied, delivery) for report, delivery, *copied in rows if first[report] != delivery],
    )


def _learnt_of(row: Row, refusals: Refusals) -> Learnt:
    delivery, _, _, _, state, at, _, code, reason, _, _, refusal = row
    refusals.add(delivery, at, refusal)
    return _learnt(delivery, state, at, code, reason)


def sweep_unmatched(tx: Tx, since: int, refusals: Refusals) -> int:
    """Join what two open transactions missed: reports stored since a moment (microseconds); give how many.

    What they say of conversations is noted in `refusals`.
    """
    rows = _pointed(tx, tx.execute(_STRAYS, {"since": since}))
    refusals.arrived.extend(learn(tx, [_learnt_of(row[1:], refusals) for row in rows]))
    _joined(tx, rows)
    return len({row[0] for row in rows})


def _pointed(tx: Tx, rows: Sequence[Row]) -> list[Row]:
    """Give reports (id, delivery, copied) that name a part by its key with the part that they are of, each pair once."""
    beside = _beside(tx, {part for _, part, _, _, key, *rest in rows if key == part and rest[5]})
    return list(
        dict.fromkeys(
            (id_, _meant(rest[5], part, None, beside) if key == part else part, account, external, key, *rest)
            for id_, part, account, external, key, *rest in rows
        )
    )


def rows_of(query: Query, parts: Iterable[str]) -> dict[str, Row]:
    """Give what is known of parts, for `learn`; of those that are there."""
    ids = sorted(set(parts))
    return {row[0]: row for row in query.execute(_ROWS, {"ids": ids})} if ids else {}


def learn(tx: Tx, learnt: Sequence[Learnt], rows: Mapping[str, Row] | None = None) -> list[str]:
    """Join what was learnt into the parts, and tell what changed; gives those that had failed, and have arrived.

    `rows` are what `rows_of` gave of all these parts, which were locked before it; without them it is asked here.
    """
    if not learnt:
        return []
    if rows is None:
        tx.lock("delivery", [one.delivery for one in learnt])
        rows = rows_of(tx, (one.delivery for one in learnt))
    by_delivery: dict[str, list[Learnt]] = {}
    for one in learnt:
        by_delivery.setdefault(one.delivery, []).append(one)
    updates, arrived = [], []
    for delivery, news in sorted(by_delivery.items()):
        if (row := rows.get(delivery)) is None:
            continue
        _, conversation, message, account, before, problem_at, code, text, position = row
        known = (problem_at, code, text) if problem_at is not None else None
        state = max(before, *(one.state for one in news))
        failures = [(x.at, x.code, x.text[:500]) for x in news if x.state is State.FAILED]
        problem = min([*failures, *([known] if known else [])], default=None)
        if state == before and problem == known:
            continue
        # Of a part whose outcome is not known a person must decide: the reason is what there is to decide by.
        unsure = [x.text[:500] for x in news if x.state is State.UNCERTAIN] if state == State.UNCERTAIN else []
        if before == State.FAILED and state >= State.DELIVERED:
            arrived.append(delivery)
        updates.append((state, tx.now_us, "".join(unsure[-1:]), *(problem or (None, "", "")), delivery))
        _tell(tx, account, conversation, message, delivery, position, before, state, problem, known)
    tx.many(_UPDATE, updates)
    return arrived


def _tell(
    tx: Tx,
    account: str,
    conversation: str,
    message: str,
    delivery: str,
    position: int,
    before: int,
    state: int,
    problem: tuple[int, str, str] | None,
    known: tuple[int, str, str] | None,
) -> None:
    ids = {"message": message, "delivery": delivery}
    small: dict[str, Small] = {"state": State(state).word, "was": State(before).word, "position": position}
    if problem is not None:
        small["problem"] = problem[1] or "failed"
    tx.tell("delivery.changed", account=account, conversation=conversation, ids=ids, small=small)
    became_failure = state == State.FAILED and before != State.FAILED
    if problem is not None and problem[1] in (FELL_BACK, ARRIVED):
        return  # it is said elsewhere, or has arrived; nobody has to do anything
    if became_failure or (problem is not None and known is None):
        tx.tell("delivery.failed", account=account, conversation=conversation, ids=ids, small=small)


def message_state(parts: Iterable[tuple[int, str, int, State]]) -> State | None:
    """Derive a message's state from its parts (position, recipient, generation, state).

    A position counts by its latest generation, or by an older one that was delivered. `failed` if
    one failed, else `uncertain` if one is, else the smallest; None for a message without parts.
    """
    by_place: dict[tuple[int, str], list[tuple[int, State]]] = {}
    for position, recipient, generation, state in parts:
        by_place.setdefault((position, recipient), []).append((generation, state))
    states = [counted(generations) for generations in by_place.values()]
    if not states:
        return None
    for worst in (State.FAILED, State.UNCERTAIN):
        if worst in states:
            return worst
    return min(states)


def counted(generations: Sequence[tuple[int, State]]) -> State:
    """Give the state that a position counts by, of (generation, state) pairs."""
    latest = max(generations)[1]
    delivered = [state for _, state in generations if state >= State.DELIVERED]
    return max([latest, *delivered]) if delivered else latest
