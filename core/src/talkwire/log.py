"""The log's readers: each is told every fact after it is true, until it has taken it.

A reader that is away keeps its cursor (`standing`). A fact that is refused gets its conversation a lane of its own
(`read:<reader>`): later facts of that conversation queue there, all others go on. After the schedule the
fact is parked: named in health, replayable, and later ones go on marked `after_gap`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Protocol

import structlog

from . import lanes, readmodels, standing
from .actions import Action
from .answers import AccountView
from .clock import Clock, micros
from .errors import Conflict, NotFound, StoreDown, TalkwireError
from .hooks import SessionStep
from .lanes import Fence, Lane, Lanes, NewTask, Task
from .model import Account, AccountState, Fact, Small, State
from .pump import Pump, Pumps
from .readmodels import fact_of
from .standing import Away, Gone, Standing
from .store import Query, Store, Tx
from .store.writer import RunAgain

_log = structlog.get_logger("talkwire.log")
_BATCH = 200  # facts a reader takes at once …
_SLICE = 0.010  # … and seconds its hooks hold the writer
_TOGETHER = 8  # conversations whose hooks without `tx` run side by side …
_ROUND = 5.0  # … and seconds after which no more of them are called before the cursor moves
_LOOK_AGAIN = timedelta(seconds=5)  # a hint that there is more may be lost

_AFTER = f"{readmodels.FACT} WHERE seq > :seq ORDER BY seq LIMIT :most"
_ONE = f"{readmodels.FACT} WHERE seq = :seq"
_CURSOR = "SELECT cursor FROM reader WHERE name = :name AND state = 'active'"
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
_BLOCKED = "SELECT subject FROM lane l WHERE l.grp = :grp AND EXISTS (SELECT 1 FROM task WHERE lane_id = l.id)"
_PARK = """
    INSERT INTO parked (reader, seq, conversation, account, error, at)
    VALUES (:reader, :seq, :conversation, :account, :error, :now)
"""
_UNPARK = "DELETE FROM parked WHERE reader = :reader AND seq = :seq RETURNING seq"
_GAPS = f"""
    {readmodels.FACT}
    WHERE seq IN (SELECT seq FROM parked WHERE reader = :reader AND conversation IN (:ids[]))
"""


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


AccountOf = Callable[[str], Account]
ViewOf = Callable[[str], AccountView]


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

    @property
    def more(self) -> asyncio.Event:
        """Give the event of the next news; take it before looking at the log, so that nothing is missed."""
        return self._more

    async def follow(self, after: int | None = None, types: Sequence[str] = ()) -> AsyncIterator[Fact]:
        """Give facts as they happen, after a cursor (None: from now on). Errors: `HistoryGone`."""
        last = await self._store.read(readmodels.head) if after is None else after
        while not self.closed:
            more = self._more
            found = await self._store.read(lambda query, last=last: readmodels.facts(query, last, types=types))  # type: ignore[misc]
            for fact in found.items:
                yield fact
            last = found.next
            if last == found.head:
                await self._clock.wait(more, self._clock.now() + _LOOK_AGAIN)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One fact, with what its hooks are given."""

    fact: Fact
    hook: str
    kwargs: Mapping[str, Any] | None  # None: what it was about is gone


Outcome = Sequence[Action] | str  # what hooks without `tx` asked for, or why the fact is refused


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a reader takes in one transaction."""

    told: Told
    fence: Fence
    settle: Callable[[Tx], None]
    was: int
    upto: int
    entries: Sequence[_Entry]
    blocked: frozenset[str]  # subjects that have a lane
    outcomes: dict[int, Outcome]  # by seq

    def before(self, seq: int | None) -> _Batch:
        """Give what comes before a fact; None: all of it."""
        if seq is None:
            return self
        return replace(self, upto=seq - 1, entries=[entry for entry in self.entries if entry.fact.seq < seq])


@dataclass(slots=True)
class _Rest:
    """What was not told in one round, and why."""

    undone: int | None = None  # the first one; None: all was told
    took: bool = False  # somebody was there
    away: Away | None = None
    gone: Gone | None = None
    down: StoreDown | None = None

    @property
    def is_over(self) -> bool:
        """Say whether nothing more is begun."""
        return self.away is not None or self.gone is not None or self.down is not None

    def leave(self, seq: int, why: StoreDown | Away | Gone | None = None) -> None:
        """Leave a fact, and what follows in its conversation, to another round."""
        self.undone = min(seq, self.undone or seq)
        match why:
            case Away():
                self.away = why if self.away is None or why.by_itself else self.away
            case Gone():
                self.gone = why
            case StoreDown():
                self.down = why


@dataclass(frozen=True, slots=True)
class _Again:
    """One fact that is told once more."""

    told: Told
    fence: Fence
    settle: Callable[[Tx], None]
    task: Task
    entry: _Entry | None  # None: the log no longer has it, or the reader no longer wants it
    outcome: Outcome


class Readers:
    """Tells all readers of this daemon."""

    def __init__(self, store: Store, clock: Clock, fence: Fence, work: Lanes, account: AccountOf, view: ViewOf) -> None:
        self._store = store
        self._clock = clock
        self._fence = fence
        self._lanes = work
        self._account = account
        self._view = view
        self._outcomes: dict[str, dict[int, Outcome]] = {}  # reader → of facts that its cursor has not passed yet
        self._told: dict[str, Told] = {}
        self._standings: dict[str, Standing] = {}
        self.pumps = Pumps()

    async def open(self, told: Sequence[Told]) -> None:
        """Give each reader its row: a new one begins with the next fact; one that is gone is stopped.

        Called again where the settings have changed: whoever has a name of before goes on where that one was.
        """
        await self._store.write(_ensure, tuple(one.name for one in told))
        self._told = {one.name: one for one in told}
        for name in self.pumps.names:
            if name not in self._told:
                await self.pumps.end(name)
                self._lanes.drop(f"read:{name}")
                del self._outcomes[name], self._standings[name]
        for name, one in self._told.items():
            if name not in self.pumps:
                self._outcomes[name] = {}
                self._standings[name] = Standing()
                self.pumps.add(name, self._pump(name))
            self._lanes.serve(
                f"read:{name}",
                lambda lane, name=name: self._again(self._told[name], lane),  # type: ignore[misc]
                need=one.need,
                may_run=lambda name=name: self._not_before(self._told[name]),  # type: ignore[misc]
            )

    def _pump(self, name: str) -> Pump:
        return Pump(f"reader {name}", lambda: self._step(self._told[name]), self._clock, slow_poll=_LOOK_AGAIN)

    async def run(self) -> None:
        """Tell all readers until cancelled."""
        await self.pumps.run()

    def woken(self) -> None:
        """Say that there may be more."""
        for pump in self.pumps:
            pump.wake()

    async def replay(self, reader: str, seq: int, *, wanted: Callable[[Fact], bool] | None = None) -> None:
        """Tell a reader a fact once more: one that it refused, or with `wanted` also any that it takes.

        Errors: `NotFound`; `Conflict` where the reader is not told such facts.
        """
        await self._store.write(_replay, (reader, seq, wanted))

    async def resume(self, name: str) -> bool:
        """Let somebody who wanted to be told no more be told again; says whether they were gone."""
        return await self._store.write(_resume, name)

    def try_now(self, name: str, *, is_there: bool = False) -> None:
        """Do not wait any longer for somebody who was away; `is_there`: something that is no fact was taken."""
        if (one := self._standings.get(name)) is not None:
            if is_there:
                one.is_there()
            one.until = None
            self.pumps[name].wake()
            self._lanes.wake()

    def _not_before(self, told: Told) -> datetime | None:
        """Say until when its lanes wait."""
        one = self._standings[told.name]
        now = self._clock.now()
        return now + _LOOK_AGAIN if one.gone else one.not_before(now)

    async def _step(self, told: Told) -> datetime | None:
        stands = self._standings[told.name]
        if not self._fence.holds(f"read:{told.name}", told.need):
            return None
        if (until := stands.not_before(self._clock.now())) is not None:
            return until
        batch, row = await self._store.read(lambda query: (self._look(query, told), standing.row_of(query, told.name)))
        stands.gone = row.gone
        if row.gone or batch is None:
            return None
        rest = await self._call_outside(batch, stands)
        reached = batch.was
        if (taken := batch.before(rest.undone)).upto > batch.was:
            reached = await self._store.write(_take, taken)
            for seq in [seq for seq in batch.outcomes if seq <= reached]:
                del batch.outcomes[seq]
        if rest.gone is not None:
            stands.gone = True
            await self._store.write(standing.left, (told.name, str(rest.gone)))
            return None
        if rest.away is not None:
            if rest.took and not rest.away.by_itself:
                return self._clock.now()  # others are taken: is it this fact, or all of them since?
            await self._store.write(standing.fell, (told.name, str(rest.away)))
            return stands.waits(self._clock.now(), rest.away)
        if rest.undone is not None:
            return self._clock.now()
        more = reached < batch.upto or reached - batch.was >= _BATCH
        if more and reached > batch.was:
            return self._clock.now()
        if not row.down or stands.tries:
            return None
        self._lanes.wake()
        return await self._store.write(standing.stood, told.name)

    def _look(self, query: Query, told: Told) -> _Batch | None:
        row = query.one(_CURSOR, {"name": told.name})
        if row is None:
            return None  # it stood still for too long, and was stopped
        rows = query.execute(_AFTER, {"seq": row[0], "most": _BATCH})
        facts = [fact for fact in (fact_of(r) for r in rows if told.wants(r[1])) if _is_for(told, fact)]
        blocked = query.execute(_BLOCKED, {"grp": f"read:{told.name}"}) if facts else []
        return _Batch(
            told=told,
            fence=self._fence,
            settle=self._store.settle,
            was=row[0],
            upto=rows[-1][0] if rows else row[0],
            entries=self._entries(query, told, facts),
            blocked=frozenset(r[0] for r in blocked),
            outcomes=self._outcomes[told.name],
        )

    def _entries(self, query: Query, told: Told, facts: Sequence[Fact]) -> list[_Entry]:
        gaps: set[str] = set()
        if facts:
            ids = {"", *(fact.conversation for fact in facts)}  # empty: facts of an account, and timers
            gaps = {subject_of(fact_of(r)) for r in query.execute(_GAPS, {"reader": told.name, "ids": sorted(ids)})}
        by_hook: dict[str, list[Fact]] = {}
        for fact in facts:
            by_hook.setdefault(told.hook_of(fact.type), []).append(fact)
        about = [*by_hook.get("on_inbound_message", ()), *by_hook.get("on_delivery_status", ())]
        things = {
            **readmodels.messages_by_id(query, sorted({f.ids.get("message", "") for f in about})),
            **readmodels.conversations_by_id(
                query, sorted({f.conversation for f in by_hook.get("on_session", ())}), self._view
            ),
            **readmodels.notifications_by_id(
                query, sorted({f.ids.get("notification", "") for f in by_hook.get("on_notification", ())})
            ),
        }
        entries = []
        for fact in facts:
            told_fact = replace(fact, after_gap=True) if subject_of(fact) in gaps else fact
            hook = told.hook_of(fact.type)
            entries.append(_Entry(told_fact, hook, self._kwargs(hook, told_fact, things)))
        return entries

    def _kwargs(self, hook: str, fact: Fact, things: Mapping[str, Any]) -> Mapping[str, Any] | None:
        try:
            given = self._given(hook, fact, things)
        except (KeyError, ValueError) as error:  # a plugin may tell whatever it likes under a type of ours
            _log.error("fact makes no sense", seq=fact.seq, type=fact.type, kind=type(error).__name__)
            return None
        return None if None in given.values() else {**given, "fact": fact}

    def _given(self, hook: str, fact: Fact, things: Mapping[str, Any]) -> Mapping[str, Any]:
        small = fact.small
        match hook:
            case "on_inbound_message" | "on_delivery_status":
                message = things.get(fact.ids["message"])
                if message is not None and fact.replayed:
                    message = replace(message, replayed=True)
                reached = State[str(small["state"]).upper()] if "state" in small else State.QUEUED
                return {"message": message, "state": reached}
            case "on_session":
                step = SessionStep(fact.type.replace("window.", "window_").removeprefix("session."))
                return {"conversation": things.get(fact.conversation), "change": step}
            case "on_notification":
                return {"notification": things.get(fact.ids["notification"])}
            case "on_account":
                state, reason = AccountState(str(small["state"])), str(small.get("reason") or "")
                account = replace(self._account(fact.account), state=state, reason=reason, since=fact.at)
                return {"account": account, "state": state, "reason": reason}
            case "on_timer":
                due = datetime.fromisoformat(str(small["due"]))
                return {"key": str(small["key"]), "due": due, "subject": str(small["subject"])}
        return {}

    async def _call_outside(self, batch: _Batch, stands: Standing) -> _Rest:
        """Run the hooks without `tx`, in order within a conversation, conversations side by side.

        What they gave is remembered until the cursor has passed: only after a crash are they called again. Whoever was
        away is tried with one fact.
        """
        by_subject: dict[str, list[_Entry]] = {}
        for entry in batch.entries:
            subject = subject_of(entry.fact)
            if subject not in batch.blocked and entry.kwargs is not None and batch.told.outside(entry.hook):
                by_subject.setdefault(subject, []).append(entry)
        together = asyncio.Semaphore(_TOGETHER)
        ends, taken = monotonic() + _ROUND, stands.taken
        rest = _Rest()
        tried_with = None
        if stands.tries and by_subject:
            tried_with = stands.least_failed([_first_of(batch, entries) for entries in by_subject.values()])

        async def one_after_the_other(entries: Sequence[_Entry]) -> None:
            async with together:
                for entry in entries:
                    seq = entry.fact.seq
                    if seq not in batch.outcomes:
                        if rest.is_over or monotonic() > ends or tried_with not in (None, seq):
                            rest.leave(seq)
                            return
                        try:
                            batch.outcomes[seq] = await self._called(batch.told, entry, stands)
                        except (StoreDown, Away, Gone) as error:
                            rest.leave(seq, error)
                            return
                    if isinstance(batch.outcomes[seq], str):
                        return  # what follows in this conversation queues behind it

        async with asyncio.TaskGroup() as group:
            for entries in by_subject.values():
                group.create_task(one_after_the_other(entries))
        if rest.down is not None:
            raise rest.down
        rest.took = stands.taken > taken
        return rest

    async def _called(self, told: Told, entry: _Entry, stands: Standing, *, refused: bool = False) -> Outcome:
        """Tell one fact outside a transaction; it may have been `refused` before. Errors: `StoreDown`, `Away`, `Gone`."""
        assert entry.kwargs is not None  # whoever calls has looked
        outcome: Outcome
        try:
            outcome = await told.call_async(entry.hook, entry.kwargs)
        except (StoreDown, Gone):
            raise
        except Away as error:
            # A fact that was refused before says nothing of the others, unless no fact would have been taken.
            if error.by_itself or not (refused or stands.is_at_fault(entry.fact.seq)):
                raise
            return str(error)
        except TalkwireError as error:
            outcome = str(error)
        stands.took(entry.fact.seq)
        return outcome

    async def _again(self, told: Told, lane: Lane) -> None:
        """Tell the fact at the head of a lane once more."""
        found = await self._store.read(lambda query: self._head(query, told, lane))
        if found is None:
            return
        task, entry = found
        stands = self._standings[told.name]
        was_away = stands.tries > 0
        outcome: Outcome = ()
        if entry is not None and entry.kwargs is not None and told.outside(entry.hook):
            try:
                outcome = await self._called(told, entry, stands, refused=True)
            except Away as error:  # this is no refusal: the lane has its whole schedule yet
                due = stands.waits(self._clock.now(), error)
                await self._store.write(standing.fell, (told.name, str(error)))
                await self._store.write(_wait, (lane.id, due, str(error)))
                return
            except Gone as error:
                stands.gone = True
                await self._store.write(standing.left, (told.name, str(error)))
                return
        await self._store.write(_take_again, _Again(told, self._fence, self._store.settle, task, entry, outcome))
        if was_away and not stands.tries:
            self.pumps[told.name].wake()

    def _head(self, query: Query, told: Told, lane: Lane) -> tuple[Task, _Entry | None] | None:
        task = lanes.due_heads(query, [lane.id]).get(lane.id)
        if task is None:
            return None
        row = query.one(_ONE, {"seq": int(task.ref)})
        if row is None or not (told.wants(row[1]) and _is_for(told, fact_of(row))):
            return task, None  # it is gone, the settings have changed, or a restore queued all that was not passed
        fact = replace(fact_of(row), replayed=True) if task.body == _REPLAY else fact_of(row)
        return task, self._entries(query, told, [fact])[0]


_REFUSED, _WAITS, _REPLAY = "refused", "waits", "replay"  # what a task of `read:` says: how its fact came there


def subject_of(fact: Fact) -> str:
    """Say with which others a fact keeps its order."""
    alone = f"timer:{fact.small.get('key')}" if fact.type == "timer.due" else "-"
    return fact.conversation or fact.account or alone


_OF_ITSELF = ("fact.parked", "reader.down", "reader.recovered", "reader.stopped", "reader.missed")


def _is_for(told: Told, fact: Fact) -> bool:
    """Say whether a fact is told: a timer is its plugin's, and what became of a reader is no news to it."""
    if fact.type == "timer.due":
        return fact.small.get("plugin") == told.name.removeprefix("plugin:")
    return told.hears_of(fact.account) and (fact.type not in _OF_ITSELF or fact.small.get("reader") != told.name)


def _first_of(batch: _Batch, entries: Sequence[_Entry]) -> int:
    """Give the fact of a conversation that would be told next."""
    return next((e.fact.seq for e in entries if e.fact.seq not in batch.outcomes), entries[0].fact.seq)


def _ensure(tx: Tx, items: Sequence[tuple[str, ...]]) -> Sequence[None]:
    for names in items:
        tx.many(_ENSURE, [{"name": name, "now": tx.now_us} for name in sorted(names)])
        for (name,) in tx.execute(_ACTIVE):
            if name not in names and name.startswith(("plugin:", "rule:", "webhook:")):
                tx.execute(_STOP, {"name": name})
                tx.tell("reader.stopped", small={"reader": name})
        for _, small in _missed(tx):
            tx.tell("reader.missed", small=small)
    return [None] * len(items)


def _resume(tx: Tx, names: Sequence[str]) -> Sequence[bool]:
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


def _take(tx: Tx, batches: Sequence[_Batch]) -> Sequence[int]:
    """Tell batches to their readers; gives how far each cursor has come."""
    held = lanes.ours(tx, batches[0].fence, (f"read:{batch.told.name}" for batch in batches))
    return [_take_one(tx, batch) if f"read:{batch.told.name}" in held else batch.was for batch in batches]


def _take_one(tx: Tx, batch: _Batch) -> int:
    tx.lock_name("reader", batch.told.name)
    row = tx.one(_CURSOR, {"name": batch.told.name})
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


def _tell(tx: Tx, to: _Batch | _Again, entry: _Entry, outside: Sequence[Action]) -> str:
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


def _take_again(tx: Tx, items: Sequence[_Again]) -> Sequence[None]:
    held = lanes.ours(tx, items[0].fence, (item.task.group for item in items))
    for item in items:
        if item.task.group in held:  # else another daemon tells this reader now
            _take_again_one(tx, item)
    return [None] * len(items)


def _take_again_one(tx: Tx, item: _Again) -> None:
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


def _wait(tx: Tx, items: Sequence[tuple[int, datetime, str]]) -> Sequence[None]:
    """Let lanes of (lane, due, error) wait without counting it: nobody was there to refuse."""
    for lane, due, error in sorted(items):
        lanes.later(tx, lane, due, error, counted=False)
    return [None] * len(items)


def _replay(tx: Tx, items: Sequence[tuple[str, int, Callable[[Fact], bool] | None]]) -> Sequence[None]:
    for reader, seq, wanted in items:
        row = tx.one(_ONE, {"seq": seq})
        was_parked = bool(tx.execute(_UNPARK, {"reader": reader, "seq": seq}))
        if row is None or (wanted is None and not was_parked):
            raise NotFound(f"no fact {seq} is parked for {reader}" if wanted is None else f"the log has no fact {seq}")
        if wanted is not None and not wanted(fact_of(row)):
            raise Conflict(f"{reader} is not told such facts: {row[1]}" + (f" of {row[3]}" if row[3] else ""))
        lanes.add(tx, [NewTask(f"read:{reader}", subject_of(fact_of(row)), "fact", str(seq), _REPLAY)])
    return [None] * len(items)
