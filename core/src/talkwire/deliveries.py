"""What became of each part: the join of receipts and reports.

The state is the largest ever learnt, the problem the earliest failure ever learnt. Both are joins:
any order and any repetition ends the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .clock import micros
from .model import Report, Small, State
from .store import Tx

_INSERT_REPORT = """
    INSERT INTO report (account, external_id, key, state, at, stored_at, code, reason, recipient,
                        envelope_id, delivery_id)
    VALUES (:account, :external_id, :key, :state, :at, :stored, :code, :reason, :recipient,
            :envelope, :delivery)
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
    UPDATE delivery SET state = :state, state_at = :at, reason = '',
        problem_at = :problem_at, problem_code = :code, problem_text = :text
    WHERE id = :id
"""
_UNMATCHED = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT r.id, r.account, r.external_id, r.state, r.at, r.code, r.reason
    FROM v JOIN report r ON r.account = v.account AND r.external_id = v.external_id
    WHERE r.delivery_id IS NULL
"""
_STRAYS = """
    SELECT r.id, d.id, r.state, r.at, r.code, r.reason
    FROM report r JOIN delivery d ON d.account = r.account
     AND (d.id = r.key OR (r.external_id <> '' AND d.external_id = r.external_id))
    WHERE r.delivery_id IS NULL AND r.stored_at > :since
    ORDER BY r.id LIMIT 500
"""
_MATCH = "UPDATE report SET delivery_id = :delivery WHERE id = :id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """One thing learnt about a part."""

    delivery: str
    state: State
    at: int  # microseconds; of a failure the time that counts as "earliest"
    code: str = ""
    text: str = ""


def reported(tx: Tx, reports: Sequence[tuple[str, Report, str]]) -> None:
    """Keep every report of (account, report, envelope id), and join those that match a part."""
    if not reports:
        return
    keys = sorted({report.key for _, report, _ in reports if report.key})
    by_key = {row[1]: row[0] for row in tx.execute(_BY_KEY, {"keys": keys})} if keys else {}
    ids = sorted({(account, r.external_id) for account, r, _ in reports if r.external_id})
    by_external: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for account, external, recipient, delivery in set(tx.execute(_BY_EXTERNAL, {"ids": ids}) if ids else ()):
        by_external.setdefault((account, external), []).append((recipient, delivery))
    learnt: list[Learnt] = []
    rows = []
    for account, report, envelope in reports:
        matched: Sequence[str | None] = _match(account, report, by_key, by_external)
        at = micros(report.at)
        for delivery in matched or [None]:
            rows.append(
                (account, report.external_id, report.key, int(report.state), at, tx.now_us,
                 report.code, report.reason[:500], report.recipient, envelope, delivery)
            )  # fmt: skip
            if delivery is not None:
                learnt.append(_learnt(delivery, report.state, at, report.code, report.reason))
    learn(tx, learnt)
    tx.many(_INSERT_REPORT, rows)


def _match(
    account: str,
    report: Report,
    by_key: dict[str, str],
    by_external: dict[tuple[str, str], list[tuple[str, str]]],
) -> list[str]:
    if report.key and by_key.get(report.key) == account:
        return [report.key]
    there = by_external.get((account, report.external_id), [])
    mine = [delivery for recipient, delivery in there if recipient == report.recipient]
    return mine or ([delivery for _, delivery in there] if not report.recipient else [])


def _learnt(delivery: str, state: int, at: int, code: str, reason: str) -> Learnt:
    return Learnt(delivery=delivery, state=State(state), at=at, code=code, text=reason)


def match_waiting(tx: Tx, named: Iterable[tuple[str, str, str]]) -> list[Learnt]:
    """Give what was reported of parts before their external id was stored.

    `named` are (account, external id, delivery); the reports are marked as matched.
    """
    by_id = {(account, external): delivery for account, external, delivery in named if external}
    if not by_id:
        return []
    rows = set(tx.execute(_UNMATCHED, {"ids": sorted(by_id)}))
    tx.many(_MATCH, [(by_id[row[1], row[2]], row[0]) for row in sorted(rows)])
    return [
        _learnt(by_id[account, external], state, at, code, reason)
        for _, account, external, state, at, code, reason in sorted(rows)
    ]


def sweep_unmatched(tx: Tx, items: Sequence[int]) -> Sequence[int]:
    """Join what two open transactions missed: reports stored since `items` (microseconds)."""
    rows = tx.execute(_STRAYS, {"since": min(items)})
    learn(tx, [_learnt(d, state, at, code, reason) for _, d, state, at, code, reason in rows])
    tx.many(_MATCH, [(row[1], row[0]) for row in rows])
    return [len(rows)] * len(items)


def learn(tx: Tx, learnt: Sequence[Learnt]) -> None:
    """Join what was learnt into the parts, and tell what changed."""
    if not learnt:
        return
    tx.lock("delivery", [one.delivery for one in learnt])
    rows = {row[0]: row for row in tx.execute(_ROWS, {"ids": sorted({x.delivery for x in learnt})})}
    by_delivery: dict[str, list[Learnt]] = {}
    for one in learnt:
        by_delivery.setdefault(one.delivery, []).append(one)
    updates = []
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
        updates.append((state, tx.now_us, *(problem or (None, "", "")), delivery))
        _tell(tx, account, conversation, message, delivery, position, before, state, problem, known)
    tx.many(_UPDATE, updates)


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
