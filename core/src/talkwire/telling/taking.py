"""What a reader has been told, stored: its cursor, what its hooks asked for, and the facts that it refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Protocol

import structlog

from .. import readmodels
from ..actions import Action
from ..clock import micros
from ..errors import Conflict, NotFound, StoreDown, TalkwireError
from ..model import Fact, Small
from ..readmodels import fact_of
from ..store import Tx
from ..store.writer import RunAgain
from ..work import lanes
from ..work.lanes import Fence, NewTask, Task
from . import standing

_log = structlog.get_logger("talkwire.log")
ONE = f"{readmodels.FACT} WHERE seq = :seq"
CURSOR = "SELECT cursor FROM reader WHERE name = :name AND state = 'active'"
_SLICE = 0.010  # seconds that the hooks of a reader hold the writer
_ENSURE = """
    INSERT INTO reader (name, cursor, moved_at)
    SELECT :name, seq, :now FROM log_head WHERE id = 1
    ON CONFLICT (name) DO UPDATE SET state = 'active'
"""
_MISSED = """
    SELECT name, cursor + 1, f.first - 1 FROM reader, (SELECT min(seq) AS first FROM fact) f
    WHERE state = 'active' AND cursor + 1 < f.first ORDER BY name
"""
_ACTIVE = "SELECT name FROM reader WHERE state <> 'stopped' ORDER BY name"
_STOP = "UPDATE reader SET state = 'stopped' WHERE name = :name"
_MOVE = "UPDATE reader SET cursor = :to, moved_at = :now WHERE name = :name"
_SAY_ERROR = "UPDATE reader SET last_error = :error, error_at = :now WHERE name = :name AND last_error <> :error"
_NO_ERROR = """
    UPDATE reader SET last_error = '' WHERE name = :name AND last_error <> ''
    AND NOT EXISTS (SELECT 1 FROM parked WHERE reader = :name)
"""
_PARK = """
    INSERT INTO parked (reader, seq, conversation, account, error, at)
    VALUES (:reader, :seq, :conversation, :account, :error, :now)
"""
_UNPARK = "DELETE FROM parked WHERE reader = :reader AND seq = :seq RETURNING seq"


class Told(Protocol):
    """Who is told facts: a plugin, a rule or a webhook of the settings."""

    name: str

    @property
    def schedule(self) -> Sequence[timedelta]: ...  # of a fact that it refuses; then it is parked
    @property
    def need(self) -> timedelta: ...  # how long a lease must still hold when it is told something
    def wants(self, fact_type: str) -> bool: ...
    def hears_of(self, account: str) -> bool: ...
    def hook_of(self, fact_type: str) -> str: ...  # what it is called by
    def in_tx(self, hook_name: str) -> bool: ...
    def outside(self, hook_name: str) -> bool: ...
    async def call_async(self, hook_name: str, kwargs: Mapping[str, Any]) -> list[Action]: ...  # raises `Away`, `Gone`
    def call_tx(self, hook_name: str, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact, with what its hooks are given."""

    fact: Fact
    hook: str
    kwargs: Mapping[str, Any] | None  # None: what it was about is gone


Outcome = Sequence[Action] | str  # what hooks without `tx` asked for, or why the fact is refused


@dataclass(frozen=True, slots=True)
class Batch:
    """What a reader takes in one transaction."""

    told: Told
    fence: Fence
    settle: Callable[[Tx], None]
    was: int
    upto: int
    entries: Sequence[Entry]
    blocked: frozenset[str]  # subjects that have a lane
    outcomes: dict[int, Outcome]  # by seq

    def before(self, seq: int | None) -> Batch:
        """Give what comes before a fact; None: all of it."""
        if seq is None:
            return self
        return replace(self, upto=seq - 1, entries=[entry for entry in self.entries if entry.fact.seq < seq])


@dataclass(frozen=True, slots=True)
class Again:
    """One fact that is told once more."""

    told: Told
    fence: Fence
    settle: Callable[[Tx], None]
    task: Task
    entry: Entry | None  # None: the log no longer has it, or the reader no longer wants it
    outcome: Outcome


_REFUSED, _WAITS, REPLAY = "refused", "waits", "replay"  # what a task of `read:` says: how its fact came there


def subject_of(fact: Fact) -> str:
    """Say with which others a fact keeps its order."""
    alone = f"timer:{fact.small.get('key')}" if fact.type == "timer.due" else "-"
    return fact.conversation or fact.account or alone


_OF_ITSELF = ("fact.parked", "reader.down", "reader.recovered", "reader.stopped", "reader.missed")


def is_for(told: Told, fact: Fact) -> bool:
    """Say whether a fact is told: a timer is its plugin's, and what became of a reader is no news to it."""
    if fact.type == "timer.due":
        return fact.small.get("plugin") == told.name.removeprefix("plugin:")
    return told.hears_of(fact.account) and (fact.type not in _OF_ITSELF or fact.small.get("reader") != told.name)


def ensure(tx: Tx, items: Sequence[tuple[str, ...]]) -> Sequence[None]:
    for names in items:
        tx.many(_ENSURE, [{"name": name, "now": tx.now_us} for name in sorted(names)])
        for (name,) in tx.execute(_ACTIVE):
            if name not in names and name.startswith(("plugin:", "rule:", "webhook:")):
                tx.execute(_STOP, {"name": name})
                tx.tell("reader.stopped", small={"reader": name})
        for _, small in _missed(tx):
            tx.tell("reader.missed", small=small)
    return [None] * len(items)


def resume(tx: Tx, names: Sequence[str]) -> Sequence[bool]:
    returned = standing.returns(tx, names)
    missed = dict(_missed(tx)) if any(returned) else {}
    for name, was_gone in zip(names, returned, strict=True):
        if was_gone and name in missed:
            tx.tell("reader.missed", small=missed[name])
    return returned


def _missed(tx: Tx) -> Iterator[tuple[str, Mapping[str, Small]]]:
    """Say which facts are gone that readers had not been told, as the small values of `reader.missed`."""
    for name, first, last in tx.execute(_MISSED):
        yield name, {"reader": name, "from": first, "to": last}


def take(tx: Tx, batches: Sequence[Batch]) -> Sequence[int]:
    """Tell batches to their readers; gives how far each cursor has come."""
    held = lanes.ours(tx, batches[0].fence, (f"read:{batch.told.name}" for batch in batches))
    return [_take_one(tx, batch) if f"read:{batch.told.name}" in held else batch.was for batch in batches]


def _take_one(tx: Tx, batch: Batch) -> int:
    tx.lock_name("reader", batch.told.name)
    row = tx.one(CURSOR, {"name": batch.told.name})
    if row is None or row[0] != batch.was:
        return row[0] if row else batch.was  # somebody else moved it
    began, reached = monotonic(), batch.upto
    blocked = set(batch.blocked)
    queued: list[NewTask] = []
    for number, entry in enumerate(batch.entries):
        if number and monotonic() - began > _SLICE:  # the first is taken, however late the machine lets us begin
            reached = entry.fact.seq - 1
            break
        subject, error = subject_of(entry.fact), ""
        if subject not in blocked:
            outcome = batch.outcomes.get(entry.fact.seq, ())
            error = outcome if isinstance(outcome, str) else _tell(tx, batch, entry, outcome)
        if error:
            blocked.add(subject)
            _say(tx, batch.told, entry.fact, error)
            due = micros(tx.now + batch.told.schedule[0])
            queued.append(NewTask(f"read:{batch.told.name}", subject, "fact", str(entry.fact.seq), _REFUSED, due))
        elif subject in blocked:
            queued.append(NewTask(f"read:{batch.told.name}", subject, "fact", str(entry.fact.seq), _WAITS))
    lanes.add(tx, queued)
    tx.execute(_MOVE, {"name": batch.told.name, "to": reached, "now": tx.now_us})
    return reached


def _tell(tx: Tx, to: Batch | Again, entry: Entry, outside: Sequence[Action]) -> str:
    """Tell one fact inside the transaction and store what it made the reader ask for; gives why it was refused."""
    in_tx = to.told.in_tx(entry.hook)
    if entry.kwargs is None or not (outside or in_tx):
        return ""
    try:
        with tx.part():
            tx.asker = to.told.name
            tx.ref = f"{entry.fact.seq}{'r' if entry.fact.replayed else ''}"
            for action in (*outside, *(to.told.call_tx(entry.hook, entry.kwargs, tx) if in_tx else ())):
                tx.act(action)
            to.settle(tx)
    except (StoreDown, RunAgain):
        raise
    except Exception as error:  # noqa: BLE001  one hook
        return str(error) if isinstance(error, TalkwireError) else f"asked for what no table takes ({_name(error)})"
    finally:
        tx.asker = tx.ref = ""
    return ""


def _name(error: Exception) -> str:
    return type(error).__name__


def _say(tx: Tx, told: Told, fact: Fact, error: str) -> None:
    tx.execute(_SAY_ERROR, {"name": told.name, "error": error[:300], "now": tx.now_us})
    _log.warning("fact refused", reader=told.name, seq=fact.seq, type=fact.type, error=error)


def take_again(tx: Tx, items: Sequence[Again]) -> Sequence[None]:
    held = lanes.ours(tx, items[0].fence, (item.task.group for item in items))
    for item in items:
        if item.task.group in held:  # else another daemon tells this reader now
            _take_again_one(tx, item)
    return [None] * len(items)


def _take_again_one(tx: Tx, item: Again) -> None:
    task, entry = item.task, item.entry
    head = lanes.heads(tx, [task.lane]).get(task.lane)
    if head is None or head.id != task.id:
        return  # another daemon told it while this one waited for the hook
    error = ""
    if entry is not None:
        error = item.outcome if isinstance(item.outcome, str) else _tell(tx, item, entry, item.outcome)
    if entry is None or not error:
        tx.execute(_NO_ERROR, {"name": item.told.name})
        lanes.end(tx, [(task.lane, task.id)])
        return
    _say(tx, item.told, entry.fact, error)
    refusals = task.attempts + (task.body == _REFUSED)
    if refusals < len(item.told.schedule):
        lanes.later(tx, task.lane, tx.now + item.told.schedule[refusals], error)
        return
    fact, reader = entry.fact, item.told.name
    account, conversation = fact.account, fact.conversation
    place = {"account": account, "conversation": conversation}
    tx.execute(_PARK, {"reader": reader, "seq": fact.seq, **place, "error": error[:300], "now": tx.now_us})
    tx.tell("fact.parked", account=account, conversation=conversation, small={"reader": reader, "seq": fact.seq})
    lanes.end(tx, [(task.lane, task.id)])


def wait(tx: Tx, items: Sequence[tuple[int, datetime, str]]) -> Sequence[None]:
    """Let lanes of (lane, due, error) wait without counting it: nobody was there to refuse."""
    for lane, due, error in sorted(items):
        lanes.later(tx, lane, due, error, counted=False)
    return [None] * len(items)


def replay(tx: Tx, items: Sequence[tuple[str, int, Callable[[Fact], bool] | None]]) -> Sequence[None]:
    for reader, seq, wanted in items:
        row = tx.one(ONE, {"seq": seq})
        was_parked = bool(tx.execute(_UNPARK, {"reader": reader, "seq": seq}))
        if row is None or (wanted is None and not was_parked):
            raise NotFound(f"no fact {seq} is parked for {reader}" if wanted is None else f"the log has no fact {seq}")
        if wanted is not None and not wanted(fact_of(row)):
            raise Conflict(f"{reader} is not told such facts: {row[1]}" + (f" of {row[3]}" if row[3] else ""))
        lanes.add(tx, [NewTask(f"read:{reader}", subject_of(fact_of(row)), "fact", str(seq), REPLAY)])
    return [None] * len(items)
