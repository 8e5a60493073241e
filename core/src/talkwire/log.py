"""The log's readers: each is told every fact after it is true, until it has taken it.

A reader that is down keeps its cursor. A fact that is refused gets its conversation a lane of its own
(`read:<reader>`): later facts of that conversation queue there, all others go on. After the schedule the
fact is parked: named in health, replayable, and later ones go on marked `after_gap`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Protocol

import structlog

from . import lanes, readmodels
from .actions import Action
from .answers import AccountView
from .clock import Clock
from .errors import HistoryGone, StoreDown, TalkwireError
from .hooks import SessionStep, hook_of
from .lanes import Fence, Lane, Lanes, NewTask
from .model import Account, AccountState, Fact, State
from .pump import Pump
from .readmodels import fact_of, head
from .store import Query, Store, Tx

_log = structlog.get_logger("talkwire.log")
_BATCH = 200  # facts a reader takes at once …
_SLICE = 0.010  # … and seconds its hooks hold the writer
_TOGETHER = 8  # conversations whose hooks without `tx` run side by side
SCHEDULE = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 3600))  # then it is parked

_FACT_COLUMNS = "seq, type, at, account, conversation, ids, small"
_AFTER = f"SELECT {_FACT_COLUMNS} FROM fact WHERE seq > :seq ORDER BY seq LIMIT :most"
_ONE = f"SELECT {_FACT_COLUMNS} FROM fact WHERE seq = :seq"
_OLDEST = "SELECT min(seq) FROM fact"
_CURSOR = "SELECT cursor, state FROM reader WHERE name = :name"
_ENSURE = """
    INSERT INTO reader (name, cursor, moved_at)
    SELECT :name, seq, :now FROM log_head WHERE id = 1
    ON CONFLICT (name) DO UPDATE SET state = 'active'
"""
_MOVE = """
    UPDATE reader SET cursor = :to, moved_at = :now WHERE name = :name AND cursor = :was
"""
_SAY_ERROR = "UPDATE reader SET last_error = :error, error_at = :now WHERE name = :name"
_BLOCKED = """
    SELECT subject FROM lane l WHERE l.grp = :grp AND EXISTS (SELECT 1 FROM task WHERE lane_id = l.id)
"""
_PARK = """
    INSERT INTO parked (reader, seq, conversation, account, error, at)
    VALUES (:reader, :seq, :conversation, :account, :error, :now)
    ON CONFLICT (reader, seq) DO NOTHING
"""
_GAPS = "SELECT DISTINCT conversation FROM parked WHERE reader = :reader AND conversation IN (:ids[])"
_UNPARK = "DELETE FROM parked WHERE reader = :reader AND seq = :seq"
_STOP_OTHERS = "UPDATE reader SET state = 'stopped' WHERE name = :name"
_READERS = "SELECT name FROM reader WHERE state = 'active'"


class Told(Protocol):
    """Who is told facts: a plugin, or a rule of the settings."""

    name: str

    def wants(self, fact_type: str) -> bool: ...
    def in_tx(self, hook_name: str) -> bool: ...
    def outside(self, hook_name: str) -> bool: ...
    async def call_async(self, hook_name: str, kwargs: Mapping[str, Any]) -> list[Action]: ...
    def call_tx(self, hook_name: str, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]: ...


AccountOf = Callable[[str], Account]
ViewOf = Callable[[str], AccountView]


def page(query: Query, after: int, most: int = 500) -> list[Fact]:
    """Give the facts that follow a cursor. Errors: `HistoryGone` where the log no longer reaches there."""
    rows = query.execute(_AFTER, {"seq": after, "most": most})
    if rows and rows[0][0] > after + 1:
        raise HistoryGone(f"the log begins at {rows[0][0]}; facts after {after} are gone")
    return [fact_of(row) for row in rows]


class Tail:
    """Lets anybody on this daemon follow the log without a row or a lease."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._more = asyncio.Event()
        self.closed = False

    def woken(self) -> None:
        """Say that there may be more."""
        self._more.set()
        self._more = asyncio.Event()

    def close(self) -> None:
        """End every `follow`."""
        self.closed = True
        self.woken()

    async def wait(self, until: datetime | None = None) -> None:
        """Wait until there may be more, or until a moment."""
        await self._clock.wait(self._more, until)

    async def follow(self, after: int | None = None, types: Sequence[str] = ()) -> AsyncIterator[Fact]:
        """Give facts as they happen, after a cursor (None: from now on). Errors: `HistoryGone`."""
        if after is None:
            after = await self._store.read(head)
        while not self.closed:
            more = self._more
            facts = await self._store.read(lambda query, after=after: page(query, after))  # type: ignore[misc]
            for fact in facts:
                after = fact.seq
                if not types or fact.type in types:
                    yield fact
            if not facts:
                await self._clock.wait(more, self._clock.now() + timedelta(seconds=5))


@dataclass(frozen=True, slots=True)
class _Entry:
    """One fact of a batch, with what its hooks are given."""

    fact: Fact
    hook: str
    kwargs: Mapping[str, Any] | None  # None: what it was about is gone


@dataclass(slots=True)
class _Batch:
    """What a reader takes in one transaction."""

    told: Told
    was: int
    upto: int
    entries: Sequence[_Entry]
    blocked: set[str]
    actions: Mapping[int, Sequence[Action]] = field(default_factory=dict)  # of hooks without `tx`, by seq
    refused: Mapping[int, str] = field(default_factory=dict)  # by those, and why


class Readers:
    """Tells all readers of this daemon."""

    def __init__(
        self, store: Store, clock: Clock, fence: Fence, work: Lanes, account: AccountOf, view: ViewOf
    ) -> None:
        self._store = store
        self._clock = clock
        self._fence = fence
        self._lanes = work
        self._account = account
        self._view = view
        self._told: dict[str, Told] = {}
        self.pumps: dict[str, Pump] = {}

    async def open(self, told: Iterable[Told]) -> None:
        """Give each reader its row: a new one begins with the next fact; one that is gone is stopped."""
        self._told = {one.name: one for one in told}
        await self._store.write(_ensure, tuple(self._told))
        for name, one in self._told.items():
            self.pumps[name] = Pump(
                f"reader {name}",
                lambda one=one: self._step(one),  # type: ignore[misc]
                self._clock,
                slow_poll=timedelta(seconds=5),
            )
            self._lanes.serve(f"read:{name}", lambda lane, one=one: self._retry(one, lane))  # type: ignore[misc]

    def woken(self) -> None:
        """Say that there may be more."""
        for pump in self.pumps.values():
            pump.wake()

    async def replay(self, reader: str, seq: int) -> None:
        """Tell a reader a parked fact once more."""
        await self._store.write(_replay, (reader, seq))
        self._lanes.wake()

    async def _step(self, told: Told) -> datetime | None:
        if not self._fence.holds(f"read:{told.name}"):
            return None
        batch = await self._store.read(lambda query: self._look(query, told))
        if batch.upto == batch.was:
            return None
        await self._call_outside(batch)
        more = await self._store.write(_take, batch)
        if more:
            self.pumps[told.name].wake()
        if batch.refused or batch.blocked:
            self._lanes.wake()
        return None

    def _look(self, query: Query, told: Told) -> _Batch:
        row = query.one(_CURSOR, {"name": told.name})
        was = int(row[0]) if row else 0
        rows = query.execute(_AFTER, {"seq": was, "most": _BATCH})
        facts = [fact_of(r) for r in rows if told.wants(r[1])]
        facts = self._after_gaps(query, told, facts)
        blocked = {r[0] for r in query.execute(_BLOCKED, {"grp": f"read:{told.name}"})} if facts else set()
        entries = self._entries(query, facts)
        return _Batch(told, was, rows[-1][0] if rows else was, entries, blocked)

    def _after_gaps(self, query: Query, told: Told, facts: list[Fact]) -> list[Fact]:
        ids = sorted({fact.conversation for fact in facts if fact.conversation})
        if not ids:
            return facts
        gaps = {r[0] for r in query.execute(_GAPS, {"reader": told.name, "ids": ids})}
        return [replace(f, after_gap=True) if f.conversation in gaps else f for f in facts]

    def _entries(self, query: Query, facts: Sequence[Fact]) -> list[_Entry]:
        by_id = {
            "message": readmodels.messages_by_id(
                query,
                sorted({f.ids["message"] for f in facts if hook_of(f.type) in _WITH_MESSAGE and "message" in f.ids}),
            ),
            "conversation": readmodels.conversations_by_id(
                query, sorted({f.conversation for f in facts if hook_of(f.type) == "on_session"}), self._view
            ),
            "notification": readmodels.notifications_by_id(
                query, sorted({f.ids["notification"] for f in facts if hook_of(f.type) == "on_notification"})
            ),
        }
        return [_Entry(fact, hook_of(fact.type), self._kwargs(fact, by_id)) for fact in facts]

    def _kwargs(self, fact: Fact, by_id: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
        hook = hook_of(fact.type)
        if hook in _WITH_MESSAGE:
            message = by_id["message"].get(fact.ids.get("message", ""))
            if message is None:
                return None
            state = State[str(fact.small.get("state", "queued")).upper()]
            return {"message": message, "fact": fact, "state": state}
        if hook == "on_session":
            conversation = by_id["conversation"].get(fact.conversation)
            step = SessionStep(fact.type.replace("window.", "window_").removeprefix("session."))
            return None if conversation is None else {"conversation": conversation, "change": step, "fact": fact}
        if hook == "on_notification":
            notification = by_id["notification"].get(fact.ids["notification"])
            return None if notification is None else {"notification": notification, "fact": fact}
        if hook == "on_account":
            account = replace(
                self._account(fact.account),
                state=AccountState(str(fact.small["state"])),
                reason=str(fact.small.get("reason") or ""),
                since=fact.at,
            )
            return {"account": account, "state": account.state, "reason": account.reason, "fact": fact}
        if hook == "on_timer":
            due = datetime.fromisoformat(str(fact.small["due"]))
            key, subject = str(fact.small["key"]), str(fact.small.get("subject") or "")
            return {"key": key, "due": due, "subject": subject, "fact": fact}
        return {"fact": fact}

    async def _call_outside(self, batch: _Batch) -> None:
        """Run the hooks without `tx`, in order within a conversation, conversations side by side."""
        todo = [e for e in batch.entries if e.kwargs is not None and batch.told.outside(e.hook)]
        if not todo:
            return
        actions: dict[int, Sequence[Action]] = {}
        refused: dict[int, str] = {}
        by_subject: dict[str, list[_Entry]] = {}
        for entry in todo:
            if _mine(batch.told, entry.fact) and subject_of(entry.fact) not in batch.blocked:
                by_subject.setdefault(subject_of(entry.fact), []).append(entry)
        together = asyncio.Semaphore(_TOGETHER)

        async def one_after_the_other(entries: Sequence[_Entry]) -> None:
            async with together:
                for entry in entries:
                    try:
                        actions[entry.fact.seq] = await batch.told.call_async(entry.hook, entry.kwargs or {})
                    except TalkwireError as error:
                        refused[entry.fact.seq] = str(error)
                        return  # what follows in this conversation queues behind it

        async with asyncio.TaskGroup() as group:
            for entries in by_subject.values():
                group.create_task(one_after_the_other(entries))
        batch.actions, batch.refused = actions, refused

    async def _retry(self, told: Told, lane: Lane) -> None:
        """Tell the fact at the head of a lane once more."""
        try:
            found = await self._store.read(lambda query: self._head(query, told, lane))
            if found is None:
                return
            task, entry = found
            actions: Sequence[Action] = ()
            error = ""
            if entry is not None and entry.kwargs is not None and told.outside(entry.hook):
                try:
                    actions = await told.call_async(entry.hook, entry.kwargs)
                except TalkwireError as failed:
                    error = str(failed)
            await self._store.write(_take_again, (told, task, entry, actions, error))
        except StoreDown as down:
            _log.warning("store down while telling", reader=told.name, error=str(down))
        self._lanes.wake()

    def _head(self, query: Query, told: Told, lane: Lane) -> tuple[lanes.Task, _Entry | None] | None:
        task = lanes.heads(query, [lane.id]).get(lane.id)
        if task is None:
            return None
        row = query.one(_ONE, {"seq": int(task.ref)})
        if row is None:
            return task, None
        fact = self._after_gaps(query, told, [fact_of(row)])[0]
        if task.body == "replay":
            fact = replace(fact, replayed=True)
        return task, self._entries(query, [fact])[0]


_WITH_MESSAGE = frozenset({"on_inbound_message", "on_delivery_status"})


def subject_of(fact: Fact) -> str:
    """Say with which others a fact keeps its order."""
    timer = str(fact.small.get("subject") or "") if fact.type == "timer.due" else ""
    return fact.conversation or timer or fact.account or "-"


def _mine(told: Told, fact: Fact) -> bool:
    return fact.type != "timer.due" or fact.small.get("plugin") == told.name.removeprefix("plugin:")


def _ensure(tx: Tx, items: Sequence[tuple[str, ...]]) -> Sequence[None]:
    for names in items:
        tx.many(_ENSURE, [{"name": name, "now": tx.now_us} for name in sorted(names)])
        gone = sorted({row[0] for row in tx.execute(_READERS)} - set(names))
        for name in gone:
            if name.startswith(("plugin:", "rule:")):
                tx.execute(_STOP_OTHERS, {"name": name})
                tx.tell("reader.stopped", small={"reader": name})
    return [None] * len(items)


def _take(tx: Tx, batches: Sequence[_Batch]) -> Sequence[bool]:
    return [_take_one(tx, batch) for batch in batches]


def _take_one(tx: Tx, batch: _Batch) -> bool:
    """Run a batch's hooks with `tx`, move the cursor over what was taken; True: there may be more."""
    tx.lock_name("reader", batch.told.name)
    row = tx.one(_CURSOR, {"name": batch.told.name})
    if row is None or row[0] != batch.was:
        return True  # somebody else moved it: look again
    started, upto = monotonic(), batch.upto
    refused = set(batch.blocked)
    queued: list[NewTask] = []
    for position, entry in enumerate(batch.entries):
        subject = subject_of(entry.fact)
        error = ""
        if entry.kwargs is None or not _mine(batch.told, entry.fact):
            continue
        if subject not in refused:
            error = batch.refused.get(entry.fact.seq, "") or _tell(tx, batch.told, entry, batch.actions)
        if error or subject in refused:
            refused.add(subject)
            queued.append(_refused_task(tx, batch.told, entry.fact, subject, error))
        if monotonic() - started > _SLICE and position + 1 < len(batch.entries):
            upto = entry.fact.seq
            break
    lanes.add(tx, queued)
    tx.execute(_MOVE, {"name": batch.told.name, "was": batch.was, "to": upto, "now": tx.now_us})
    return upto != batch.upto or upto - batch.was >= _BATCH


def _tell(tx: Tx, told: Told, entry: _Entry, outside: Mapping[int, Sequence[Action]]) -> str:
    """Tell one fact inside the transaction; gives why it was refused, or nothing."""
    acts: list[Action] = list(outside.get(entry.fact.seq, ()))
    try:
        if told.in_tx(entry.hook):
            with tx.part():
                tx.asker, tx.ref = told.name, str(entry.fact.seq)
                acts += told.call_tx(entry.hook, entry.kwargs or {}, tx)
    except TalkwireError as error:
        if isinstance(error, StoreDown):
            raise
        return str(error)
    _act(tx, told, entry.fact, acts)
    return ""


def _act(tx: Tx, told: Told, fact: Fact, acts: Sequence[Action]) -> None:
    tx.asker = told.name
    tx.ref = f"{fact.seq}{'r' if fact.replayed else ''}"
    for action in acts:
        tx.act(action)
    tx.asker = tx.ref = ""


def _refused_task(tx: Tx, told: Told, fact: Fact, subject: str, error: str) -> NewTask:
    if error:
        tx.execute(_SAY_ERROR, {"name": told.name, "error": error[:300], "now": tx.now_us})
        _log.warning("fact refused", reader=told.name, seq=fact.seq, type=fact.type, error=error)
    due = tx.now_us + SCHEDULE[0] // timedelta(microseconds=1) if error else None
    return NewTask(f"read:{told.name}", subject, "fact", str(fact.seq), due=due)


def _take_again(
    tx: Tx, items: Sequence[tuple[Told, lanes.Task, _Entry | None, Sequence[Action], str]]
) -> Sequence[None]:
    for told, task, entry, actions, outside_error in items:
        error = outside_error
        if not error and entry is not None and entry.kwargs is not None and _mine(told, entry.fact):
            error = _tell(tx, told, entry, {entry.fact.seq: actions})
        if not error:
            tx.execute(_UNPARK, {"reader": told.name, "seq": int(task.ref)})
            lanes.end(tx, [(task.lane, task.id)])
        elif task.attempts + 1 < len(SCHEDULE):
            lanes.later(tx, task.lane, tx.now + SCHEDULE[task.attempts + 1], error)
        else:
            assert entry is not None  # only a told fact is refused
            _park(tx, told, task, entry.fact, error)
    return [None] * len(items)


def _park(tx: Tx, told: Told, task: lanes.Task, fact: Fact, error: str) -> None:
    tx.execute(
        _PARK,
        {
            "reader": told.name,
            "seq": fact.seq,
            "conversation": fact.conversation,
            "account": fact.account,
            "error": error[:300],
            "now": tx.now_us,
        },
    )
    tx.tell(
        "fact.parked",
        account=fact.account,
        conversation=fact.conversation,
        small={"reader": told.name, "seq": fact.seq},
    )
    lanes.end(tx, [(task.lane, task.id)])


def _replay(tx: Tx, items: Sequence[tuple[str, int]]) -> Sequence[None]:
    for reader, seq in items:
        row = tx.one(_ONE, {"seq": seq})
        if row is not None:
            subject = subject_of(fact_of(row))
            lanes.add(tx, [NewTask(f"read:{reader}", subject, "fact", str(seq), body="replay")])
    return [None] * len(items)
