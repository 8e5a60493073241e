"""The log's readers: each is told every fact after it is true, until it has taken it.

A reader that is away keeps its cursor (`standing`). A fact that is refused gets its conversation a lane of its own
(`read:<reader>`): later facts of that conversation queue there, all others go on. After the schedule the
fact is parked: named in health, replayable, and later ones go on marked `after_gap`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import structlog

from .. import readmodels
from ..answers import AccountView
from ..clock import Clock
from ..errors import StoreDown, TalkwireError
from ..hooks import SessionStep
from ..model import Account, AccountState, Fact, State
from ..readmodels import fact_of
from ..store import Query, Store
from ..work import lanes
from ..work.lanes import Fence, Lane, Task
from ..work.pump import Pump, Pumps
from ..work.working import Lanes
from . import standing, taking
from .standing import Away, Gone, Standing
from .taking import CURSOR, ONE, REPLAY, Again, Batch, Entry, Outcome, Told, is_for, subject_of

_log = structlog.get_logger("talkwire.log")
_BATCH = 200  # facts a reader takes at once …
_TOGETHER = 8  # conversations whose hooks without `tx` run side by side …
_ROUND = 5.0  # … and seconds after which no more of them are called before the cursor moves
_LOOK_AGAIN = timedelta(seconds=5)  # a hint that there is more may be lost

_AFTER = f"{readmodels.FACT} WHERE seq > :seq ORDER BY seq LIMIT :most"
_BLOCKED = "SELECT subject FROM lane l WHERE l.grp = :grp AND EXISTS (SELECT 1 FROM task WHERE lane_id = l.id)"
_GAPS = f"""
    {readmodels.FACT}
    WHERE seq IN (SELECT seq FROM parked WHERE reader = :reader AND conversation IN (:ids[]))
"""


AccountOf = Callable[[str], Account]
ViewOf = Callable[[str], AccountView]


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
        await self._store.write(taking.ensure, tuple(one.name for one in told))
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
        await self._store.write(taking.replay, (reader, seq, wanted))

    async def resume(self, name: str) -> bool:
        """Let somebody who wanted to be told no more be told again; says whether they were gone."""
        return await self._store.write(taking.resume, name)

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
            reached = await self._store.write(taking.take, taken)
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

    def _look(self, query: Query, told: Told) -> Batch | None:
        row = query.one(CURSOR, {"name": told.name})
        if row is None:
            return None  # it stood still for too long, and was stopped
        rows = query.execute(_AFTER, {"seq": row[0], "most": _BATCH})
        facts = [fact for fact in (fact_of(r) for r in rows if told.wants(r[1])) if is_for(told, fact)]
        blocked = query.execute(_BLOCKED, {"grp": f"read:{told.name}"}) if facts else []
        return Batch(
            told=told,
            fence=self._fence,
            settle=self._store.settle,
            was=row[0],
            upto=rows[-1][0] if rows else row[0],
            entries=self._entries(query, told, facts),
            blocked=frozenset(r[0] for r in blocked),
            outcomes=self._outcomes[told.name],
        )

    def _entries(self, query: Query, told: Told, facts: Sequence[Fact]) -> list[Entry]:
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
            entries.append(Entry(told_fact, hook, self._kwargs(hook, told_fact, things)))
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

    async def _call_outside(self, batch: Batch, stands: Standing) -> _Rest:
        """Run the hooks without `tx`, in order within a conversation, conversations side by side.

        What they gave is remembered until the cursor has passed: only after a crash are they called again. Whoever was
        away is tried with one fact.
        """
        by_subject: dict[str, list[Entry]] = {}
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

        async def one_after_the_other(entries: Sequence[Entry]) -> None:
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

    async def _called(self, told: Told, entry: Entry, stands: Standing, *, refused: bool = False) -> Outcome:
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
                await self._store.write(taking.wait, (lane.id, due, str(error)))
                return
            except Gone as error:
                stands.gone = True
                await self._store.write(standing.left, (told.name, str(error)))
                return
        await self._store.write(taking.take_again, Again(told, self._fence, self._store.settle, task, entry, outcome))
        if was_away and not stands.tries:
            self.pumps[told.name].wake()

    def _head(self, query: Query, told: Told, lane: Lane) -> tuple[Task, Entry | None] | None:
        task = lanes.due_heads(query, [lane.id]).get(lane.id)
        if task is None:
            return None
        row = query.one(ONE, {"seq": int(task.ref)})
        if row is None or not (told.wants(row[1]) and is_for(told, fact_of(row))):
            return task, None  # it is gone, the settings have changed, or a restore queued all that was not passed
        fact = replace(fact_of(row), replayed=True) if task.body == REPLAY else fact_of(row)
        return task, self._entries(query, told, [fact])[0]


def _first_of(batch: Batch, entries: Sequence[Entry]) -> int:
    """Give the fact of a conversation that would be told next."""
    return next((e.fact.seq for e in entries if e.fact.seq not in batch.outcomes), entries[0].fact.seq)
