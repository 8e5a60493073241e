"""The way out, second half: a part goes to the provider, and what became of it is stored.

    transaction 1 opens the attempt ── send ── transaction 2 stores the outcome, ends the task

An attempt that is found open was cut by a crash or a lapsed lease: it may have reached the customer.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from datetime import datetime, timedelta
from time import monotonic
from typing import Protocol

import structlog

from ..answers import AccountView
from ..channel import Channel
from ..clock import Clock
from ..deliveries import Learnt
from ..errors import (
    PLUGIN_MAY_RAISE,
    AccountBroken,
    MarkupRefused,
    NotSent,
    Refused,
    SendError,
    StoreDown,
    TryLater,
    Uncertain,
    Unreachable,
    Wait,
    WindowShut,
    line_of,
)
from ..http import ExchangeRecord
from ..model import NotThere, Receipt, State
from ..store import Store
from ..work import lanes
from ..work.lanes import Fence, Lane
from ..work.rates import Backoff, Rates, Whose, recent
from ..work.working import Lanes
from .attempts import CUT, Attempt, Opening, Outcome, close_and_open, close_attempt, open_attempt, rate_limited

_log = structlog.get_logger("talkwire.sending")
_AGAIN = timedelta(seconds=1)  # between two tries to store an outcome
_REMEMBERED = 10_000  # conversations whose address is known without a look
_ADDRESS = "SELECT a.id, a.value FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id = :id"

# What the account's HTTP records while a part is on its way lies here until the outcome is stored.
exchanges: ContextVar[list[ExchangeRecord] | None] = ContextVar("exchanges", default=None)


class Account(Protocol):
    """An account as sending sees it."""

    name: str
    channel: Channel | None
    rates: Rates
    backoff: Backoff

    @property
    def standing(self) -> AccountView: ...
    def sent(self, at: datetime) -> None: ...
    def attempted(self, outcome: str, seconds: float) -> None: ...
    def broke(self, reason: str) -> None: ...
    def waits(self, reason: str) -> None: ...
    def words_of(self, error: Exception) -> str: ...


class Sender:
    """Sends for one account."""

    def __init__(self, store: Store, clock: Clock, account: Account, fence: Fence, served: Lanes) -> None:
        self._lanes = served
        self._store = store
        self._clock = clock
        self._account = account
        self._fence = fence
        self.group = f"send:{account.name}"
        self._addresses: dict[str, Whose] = {}  # conversation → address, which it keeps for ever
        self._said: set[int] = set()  # lanes of which it is said that they wait for the account's rate
        self._counted_for: int | None = None  # as which holder of the group the rates were counted; None: not yet
        self._counting = asyncio.Lock()

    def may_run(self) -> datetime | None:
        """Say until when nothing is started; None: go."""
        now = self._clock.now()
        account = self._account
        if account.channel is None or not account.standing.state.sends:
            return now + timedelta(seconds=60)
        waits = [account.backoff.until, account.rates.account_free_at(now)]
        return max((w for w in waits if w is not None and w > now), default=None)

    def room(self) -> int | None:
        """Say how many lanes may begin now by the provider's rate for the account; None: as many as like.

        More would only learn that they must wait, each by a write of its own.
        """
        return self._account.rates.account_room(self._clock.now())

    async def work(self, lane: Lane) -> None:
        """Serve the head of one lane, then of others that are due, as long as nothing is in their way."""
        channel = self._account.channel
        if channel is None or not await self._may_send(lane):
            return
        attempt = await self._store.write(open_attempt, self._opening(lane))
        while attempt is not None:
            if attempt.was_open:
                attempt = await self._decide(channel, lane, attempt)
                continue
            began = monotonic()
            outcome = await self._send(channel, attempt)
            self._account.attempted(outcome.word, monotonic() - began)
            if outcome.rests is not None:
                self._account.rates.pause(await self._whose(lane), outcome.rests, lane.id)
            if outcome.receipt is not None:
                self._account.backoff.reset()
                self._account.sent(self._clock.now())
            following = await self._following()
            if following is None:
                await self._close(outcome)
                return
            lane, attempt = following, await self._turn(outcome, following)

    def _opening(self, lane: Lane) -> Opening:
        return Opening(lane.id, self._account.standing, self._fence, behind=self._behind())

    def _behind(self) -> tuple[int, ...]:
        """Give the lanes that are due and wait for the account's rate, each once."""
        if self._account.rates.account_free_at(self._clock.now()) is None:
            self._said.clear()
            return ()
        new = tuple(lane for lane in self._lanes.ahead(self.group) if lane not in self._said)
        self._said.update(new)
        return new

    async def _may_send(self, lane: Lane) -> bool:
        """Say whether the provider's rates let a lane's head go now; where they do not, it is due when they do."""
        rates = self._account.rates
        await self._count(rates)
        whose = await self._whose(lane) if rates.by_address else Whose("")
        not_before = rates.take(self._clock.now(), whose, lane.id)
        if not_before is not None:
            await self._store.write(rate_limited, (lane.id, not_before))
        elif rates.account_free_at(self._clock.now()) is not None:
            self._lanes.wake()  # the next one may go before this one's turn has ended
        return not_before is None

    async def _following(self) -> Lane | None:
        """Give the next lane that may send now; None: there is none, or it cannot be said."""
        following = self._lanes.another(self.group)
        if following is None:
            return None
        with contextlib.suppress(StoreDown):
            if await self._may_send(following):
                return following
        self._lanes.give_back()
        return None

    async def _turn(self, outcome: Outcome, following: Lane) -> Attempt | None:
        """Store what became of an attempt, and open the next lane's, in one transaction."""
        try:
            attempt = await self._store.write(close_and_open, (outcome, self._opening(following)))
        except Exception as error:
            self._lanes.give_back()
            await self._close(outcome)  # whatever was wrong with the other: nobody else knows this
            if isinstance(error, StoreDown):
                return None
            raise
        self._lanes.go_on()
        return attempt

    async def _count(self, rates: Rates) -> None:
        """Count what was sent before this daemon sends: the provider knows nothing of a restart."""
        if not rates.horizon or self._counted_for == self._fence.number(self.group):
            return
        async with self._counting:
            if self._counted_for != (number := self._fence.number(self.group)):
                sent = await self._store.read(lambda query: recent(query, self._account.name, rates.horizon))
                rates.recall(sent, self._clock.now())
                self._counted_for = number

    async def _whose(self, lane: Lane) -> Whose:
        """Say whom the head of a lane goes to."""
        conversation, _, copied = lane.subject.partition(":")
        return Whose(copied) if copied else await self._address(conversation)

    async def _address(self, conversation: str) -> Whose:
        """Give whose conversation it is: all threads of an address are one to the provider."""
        if conversation not in self._addresses:
            row = await self._store.read(lambda query: query.one(_ADDRESS, {"id": conversation}))
            if len(self._addresses) >= _REMEMBERED:
                self._addresses.clear()
            self._addresses[conversation] = Whose(row[0], row[1]) if row else Whose(conversation)
        return self._addresses[conversation]

    async def _close(self, outcome: Outcome) -> None:
        """Store what became of an attempt, however long the store is down: nobody else knows it."""
        while True:
            try:
                return await self._store.write(close_attempt, outcome)
            except StoreDown as error:
                _log.warning("outcome not stored yet", account=self._account.name, error=str(error))
                await self._clock.wait(asyncio.Event(), self._clock.now() + _AGAIN)

    async def _decide(self, channel: Channel, lane: Lane, attempt: Attempt) -> Attempt | None:
        """Decide about an attempt that was cut: again, asked, or uncertain."""
        view = self._account.standing
        if channel.features.idempotent:
            return await self._store.write(open_attempt, Opening(lane.id, view, self._fence, reopen=True))
        resolved = Learnt(
            delivery=attempt.delivery,
            state=State.UNCERTAIN,
            at=0,
            text="the attempt was cut, perhaps after the provider had it",
        )
        if channel.features.reconciles:
            try:
                async with asyncio.timeout(channel.features.send_timeout.total_seconds()):
                    said = await channel.reconcile(attempt.out)
                    if not isinstance(said, NotThere):
                        said = _checked(said)
            except (NotSent, TryLater) as error:
                again = self._clock.now() + lanes.backoff(lane.attempts)
                await self._store.write(lanes.postpone, (lane.id, again, self._account.words_of(error)))
                return None
            except PLUGIN_MAY_RAISE as error:  # law 7: not known is said
                _log.info("reconcile failed", account=view.name, kind=type(error).__name__)
            else:
                if isinstance(said, NotThere):
                    return await self._store.write(open_attempt, Opening(lane.id, view, self._fence, reopen=True))
                await self._close(Outcome(attempt, self.group, self._fence, receipt=said, exchanges=[_cut(view.name)]))
                return None
        return await self._store.write(open_attempt, Opening(lane.id, view, self._fence, resolved=resolved))

    async def _send(self, channel: Channel, attempt: Attempt) -> Outcome:
        outcome = Outcome(attempt, self.group, self._fence)
        records: list[ExchangeRecord] = []
        token = exchanges.set(records)
        try:
            async with asyncio.timeout(channel.features.send_timeout.total_seconds()):
                outcome.receipt = _checked(await channel.send(attempt.out))
        except SendError as error:
            self._read(outcome, error)
        except TimeoutError:
            outcome.learnt, outcome.text = State.UNCERTAIN, "no answer in time"
        except PLUGIN_MAY_RAISE as error:  # an unclassified error is taken as the worst case
            outcome.learnt = State.UNCERTAIN
            outcome.text = f"{type(error).__name__} in the channel"
            _log.error("send raised", account=self._account.name, kind=type(error).__name__, place=line_of(error))
        finally:
            exchanges.reset(token)
        outcome.exchanges = records
        return outcome

    def _closes(self, error: Refused) -> bool:
        """Say whether the provider closes a window with this; where the channel has none, nothing would open it again."""
        features = self._account.standing.features
        return isinstance(error, WindowShut) and features is not None and features.window is not None

    def _read(self, outcome: Outcome, error: SendError) -> None:
        now, account = self._clock.now(), self._account
        outcome.code, outcome.text = error.code, account.words_of(error)
        match error:
            case NotSent():
                outcome.later, outcome.counted = account.backoff.fail(now), False
                outcome.reason = "provider_down"
                account.waits(outcome.text)
            case TryLater(scope="account"):
                outcome.later = account.backoff.pause(now + error.after) if error.after else account.backoff.fail(now)
                outcome.reason = "rate_limited"
            case TryLater():
                outcome.later = now + (error.after or lanes.backoff(outcome.attempt.out.attempt))
                outcome.rests = outcome.later if error.after else None
                outcome.reason = "rate_limited"
            case Wait():
                outcome.held, outcome.counted, outcome.reason = error.reason, False, error.reason
            case AccountBroken():
                outcome.counted, outcome.reason = False, "provider_down"  # the lane stays due, its group sleeps
                account.broke(outcome.text)
            case MarkupRefused() if outcome.attempt.out.part.plain:
                outcome.as_plain, outcome.later, outcome.counted = True, now, False
            case Unreachable():
                outcome.learnt, outcome.unreachable = State.FAILED, True
            case Refused():
                outcome.learnt, outcome.shut = State.FAILED, self._closes(error)
            case _:
                outcome.learnt = State.UNCERTAIN


def _cut(account: str) -> ExchangeRecord:
    """Give the record of an attempt that a crash cut: it may have reached the provider, whose rate counts it."""
    return ExchangeRecord(
        account=account,
        what=CUT,
        request="",
        sent="",
        status=None,
        answer="",
        error="the attempt was cut, and the provider was asked what became of it",
        took=timedelta(),
    )


def _checked(said: object) -> Receipt:
    """Let nothing pass but a provider's yes."""
    match said:
        case Receipt(state=State.ACCEPTED | State.SENT | State.DELIVERED, external_id=str()):
            return said
    raise Uncertain(f"the channel gave a {type(said).__name__} that is no yes of a provider")
