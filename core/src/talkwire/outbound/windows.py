"""What becomes of a reply whose window is closed, by our clock or because the provider says so: the message's policy.

hold          it waits, and goes out in its order when the customer writes
template:N    as hold, and the template N goes out at once, once in each closed window
fallback:A    it goes on from another account (`elsewhere`)
reject        it fails
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic_core import from_json, to_json

from .. import answers, deliveries
from ..answers import Standing
from ..clock import moment
from ..deliveries import ARRIVED, Refusals
from ..model import AnswerCode, Draft, Policy, State, Template
from ..store import Query, Tx
from ..work import lanes
from ..work.lanes import NewTask
from . import elsewhere
from .mending import fail_queued
from .parts import NewParts, insert_deliveries, part_from_json

KIND = "template"  # of a task

_WINDOW = "SELECT account, reply_until, window_told FROM conversation WHERE id = :id"
_BORN = "UPDATE conversation SET reply_until = :now, window_told = 2, answer_code = :code WHERE id = :id"
_SHUT = "UPDATE conversation SET reply_until = :now, window_told = 2 WHERE id = :id"
_HELD = "UPDATE delivery SET reason = :reason WHERE id = :id AND state = 0"
_ASKED = """
    SELECT 1 FROM message m WHERE m.conversation_id = :id AND m.direction = 'out' AND m.policy = 'template'
    AND m.stored_at >= :since AND EXISTS (SELECT 1 FROM delivery d WHERE d.message_id = m.id AND d.state <> :failed)
    LIMIT 1
"""
_REFUSED = """
    SELECT d.id, d.account, d.conversation_id, d.message_id, d.position, d.recipient, d.generation, d.part, m.policy,
           c.reply_until
    FROM delivery d JOIN message m ON m.id = d.message_id JOIN conversation c ON c.id = d.conversation_id
    WHERE d.id = :id AND d.state = :failed AND (c.last_inbound_at IS NULL OR c.last_inbound_at <= :at)
      AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.message_id = d.message_id
        AND o.position = d.position AND o.recipient = d.recipient AND o.generation > d.generation)
"""
_ORDER = """
    SELECT id, conversation_id FROM delivery WHERE id IN (:ids[]) ORDER BY message_id, position, recipient, id
"""
_THEIRS = """
    SELECT o.id FROM conversation c JOIN conversation o ON o.account = c.account AND o.address_id = c.address_id
    WHERE c.id IN (:ids[]) ORDER BY o.id
"""
_ONCE_MORE = """
    SELECT DISTINCT o.id FROM delivery d JOIN delivery o
      ON o.message_id = d.message_id AND o.position = d.position AND o.recipient = d.recipient
     AND o.generation > d.generation
    WHERE d.id IN (:ids[]) AND o.state = 0 AND o.open_since IS NULL
      AND o.reason IN ('window_closed', 'address_unreachable', 'falls_back') ORDER BY o.id
"""
_AWAY = """
    UPDATE conversation SET unreachable_at = :at
    WHERE id = :id AND unreachable_at IS NULL AND (last_inbound_at IS NULL OR last_inbound_at <= :at2)
"""


def template(name: str) -> Draft:
    """Make the draft of a template of that name; in which language it goes its channel says."""
    return Draft(blocks=(Template(name=name, language=""),))


def template_of(policy: str) -> str:
    """Give the template of `template:NAME`, as a message's policy is kept; empty for any other policy."""
    word, _, name = policy.partition(":")
    return name if word == Policy.TEMPLATE else ""


def born(tx: Tx, conversations: Sequence[str]) -> None:
    """Close the window of conversations that we begin: nobody has written in them who could be answered."""
    code = AnswerCode.WINDOW_CLOSED.value
    tx.many(_BORN, [{"id": id_, "now": tx.now_us, "code": code} for id_ in sorted(conversations)])


def put_off(tx: Tx, message: str, conversation: str, delivery: str, policy: str, code: AnswerCode) -> bool:
    """Let a part that cannot go now wait or go on, by its message's policy; False: it fails."""
    if (instead := elsewhere.named(policy)) and elsewhere.falls_back(code):
        elsewhere.promise(tx, message, conversation, instead, code)
        return True
    opening = template_of(policy) if code is AnswerCode.WINDOW_CLOSED else ""
    if not opening and not (policy == Policy.HOLD and code in answers.HOLDABLE):
        return False
    tx.execute(_HELD, {"id": delivery, "reason": code})
    answers.tell_changes(tx, [conversation])  # what is held is released by the change back
    if opening:
        lanes.add(tx, [NewTask("do", conversation, KIND, message, to_json({"template": opening}).decode())])
    return True


def promised(body: str) -> str:
    """Read what a task says: the template."""
    return str(from_json(body)["template"])


def is_asked(query: Query, standing: Standing) -> bool:
    """Say whether a template went out, or is on its way, since the window closed."""
    values = {"id": standing.id, "since": standing.reply_until or 0, "failed": int(State.FAILED)}
    return query.one(_ASKED, values) is not None


# --- what only the provider knew -------------------------------------------------------------------------------


def shut(tx: Tx, conversation: str, until: int | None) -> bool:
    """Believe a provider that says a window has closed: it has, from now on, until the customer writes again.

    `until` is when we thought that it closes, as the attempt began. False: the customer wrote meanwhile, and it is
    open again. The conversation is locked already.
    """
    row = tx.one(_WINDOW, {"id": conversation})
    if row is None:
        return True
    account, now_until, told = row
    if now_until is None or now_until > tx.now_us:
        if now_until is not None and now_until > (until or 0):
            return False
        tx.execute(_SHUT, {"id": conversation, "now": tx.now_us})
        if told < 2:
            small = {"until": moment(tx.now_us).isoformat()}
            tx.tell("window.closed", account=account, conversation=conversation, small=small)
    answers.tell_changes(tx, [conversation])
    return True


def heard(tx: Tx, refusals: Refusals) -> None:
    """Take what reports say of conversations beside their parts."""
    refused(tx, refusals.shut)
    unreached(tx, refusals.away)
    arrived(tx, refusals.arrived)


def sweep_unmatched(tx: Tx, items: Sequence[int]) -> Sequence[int]:
    """Join what two open transactions missed since these moments (microseconds), and take what it says of conversations."""
    refusals = Refusals()
    count = deliveries.sweep_unmatched(tx, min(items), refusals)
    heard(tx, refusals)
    return [count] * len(items)


def refused(tx: Tx, parts: Sequence[tuple[str, int]]) -> None:
    """Take reports that parts (id, when) failed because the window has closed.

    The conversation's answer is that of a closed window, where its channel has any. A part that has failed stays so;
    where its message's policy lets it wait or go on, another generation of it does.
    """
    for one in _failed(tx, parts):
        if one.until is None:
            continue  # its channel has no window
        _, until, _ = tx.one(_WINDOW, {"id": one.conversation}) or ("", None, 0)
        shut(tx, one.conversation, until)
        if one.policy not in (Policy.REJECT, Policy.TEMPLATE):
            _again(tx, one, AnswerCode.WINDOW_CLOSED)


def unreached(tx: Tx, parts: Sequence[tuple[str, int]]) -> None:
    """Take reports that parts (id, when) failed because nobody is reached at their address.

    It is marked until it writes, in all its threads; a part that has failed stays so, and where its message's policy
    names an account to go on from, another generation of it does. Who got a copy is not whom we talk to.
    """
    for one in _failed(tx, parts, everywhere=True):
        if one.recipient:
            continue
        theirs = [row[0] for row in tx.execute(_THEIRS, {"ids": [one.conversation]})]
        at = min(one.at, tx.now_us)
        tx.many(_AWAY, [{"id": id_, "at": at, "at2": at} for id_ in theirs])
        answers.tell_changes(tx, theirs)
        if elsewhere.named(one.policy):
            _again(tx, one, AnswerCode.ADDRESS_UNREACHABLE)


def arrived(tx: Tx, parts: Sequence[str]) -> None:
    """Take back what waits to be sent once more of parts that had failed, and have arrived after all."""
    waiting = [row[0] for row in tx.execute(_ONCE_MORE, {"ids": sorted(parts)})] if parts else []
    tx.lock("delivery", waiting)
    waiting = [row[0] for row in tx.execute(_ONCE_MORE, {"ids": sorted(parts)})] if waiting else []
    fail_queued(tx, waiting, ARRIVED, "the provider said that it had failed, and then that it has arrived")


@dataclass(frozen=True, slots=True)
class _Failed:
    """A part that failed, its customer not having written since; no other generation of it is there."""

    at: int
    id: str
    account: str
    conversation: str
    message: str
    position: int
    recipient: str
    generation: int
    part: str
    policy: str
    until: int | None  # when the conversation's window closes; None: it has none


def _failed(tx: Tx, parts: Sequence[tuple[str, int]], *, everywhere: bool = False) -> Iterator[_Failed]:
    """Give those parts (id, when) that are as they were reported; their conversations are locked before.

    `everywhere`: with them all others of their addresses.
    """
    when = dict(sorted(parts))
    if not when:
        return
    rows = tx.execute(_ORDER, {"ids": sorted(when)})
    conversations = sorted({row[1] for row in rows})
    if everywhere and conversations:
        conversations = [row[0] for row in tx.execute(_THEIRS, {"ids": conversations})]
    tx.lock("conversation", conversations)
    tx.lock("delivery", sorted(when))
    for id_, _ in rows:
        if row := tx.one(_REFUSED, {"id": id_, "failed": int(State.FAILED), "at": when[id_]}):
            yield _Failed(when[id_], *row)


def _again(tx: Tx, one: _Failed, code: AnswerCode) -> None:
    """Let another generation of a part wait or go on, as its message's policy says."""
    following = NewParts(
        account=one.account,
        conversation=one.conversation,
        message=one.message,
        parts=[(one.position, one.recipient, part_from_json(one.part))],
        generation=one.generation + 1,
        held=code.value,
    )
    [made] = insert_deliveries(tx, [following])
    put_off(tx, one.message, one.conversation, made, one.policy, code)


__all__ = [
    "KIND",
    "arrived",
    "born",
    "heard",
    "is_asked",
    "promised",
    "put_off",
    "refused",
    "shut",
    "sweep_unmatched",
    "template",
    "template_of",
    "unreached",
]
