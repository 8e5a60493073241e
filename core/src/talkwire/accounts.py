"""An account's life: its channel is made, opened, listened to; what fails is tried again or told.

starting ─▶ working ◀─▶ waiting      the provider cannot be reached: tried again by itself
   │           │
   └──────▶ broken                   a person must act: `talkwire accounts resume NAME`
paused                               a person said so
absent                               its plugin or its settings are gone: readable, no replies
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from . import account_states
from .answers import AccountView
from .channel import Channel
from .counting import AccountCounts
from .errors import PLUGIN_MAY_RAISE, AccountBroken, SendError, StoreDown, TryLater, line_of
from .lending import AccountServices, Lent
from .model import (
    Account,
    AccountNotice,
    AccountState,
    Batch,
    Policy,
    Typing,
)
from .redaction import Redactor, secrets_of
from .settings import AccountConfig
from .store import Tx
from .work.lanes import Fence
from .work.pump import Pump, Pumps
from .work.rates import Backoff, Rates

_log = structlog.get_logger("talkwire.accounts")
_Stores = Callable[[Tx, Sequence[Account]], Sequence[None]]
_OPEN_WITHIN = timedelta(seconds=30)
_CLOSE_WITHIN = timedelta(seconds=5)
_RESTLESS = 100  # batches with nothing in them …
_MOMENT = timedelta(seconds=1)  # … within this time
_SECOND = timedelta(seconds=1)  # in which providers count
_SETTLED = timedelta(seconds=60)  # a listener that has not failed for so long works
_EVIDENCE_EVERY = timedelta(seconds=30)


class Runtime:
    """One account of this daemon."""

    def __init__(self, config: AccountConfig, kind: type[Channel] | None, lent: Lent) -> None:
        self.name = config.name
        self.endpoint = config.endpoint
        self._standing: AccountView | None = None  # as it was asked for last
        self.when_closed: Policy = config.when_closed
        self.fallback = config.fallback
        self.template = config.template
        self._lent = lent
        self.view = Account(name=config.name, channel=config.channel, since=lent.clock.now())
        self.channel: Channel | None = None
        self.last_in: datetime | None = None
        self.last_out: datetime | None = None
        self.counts = AccountCounts()
        self.last_rejected: datetime | None = None
        self.rejected_in_a_row = 0  # since something genuine came
        self.backoff = Backoff()  # of sending
        self.failures = Backoff()  # of opening and listening
        self.unstored: _Stores | None = None  # how its view is stored that the store did not take; None: it did
        self._replaced = False
        self._anew: datetime | None = None  # when a person last let it begin anew; None: it began with this daemon
        self._redact = Redactor(secrets_of(config.settings))
        self.rates = Rates(())
        if kind is None or config.settings is None:
            self._set(AccountState.ABSENT, f'no plugin gives the channel "{config.channel}"')
        else:
            self._make(kind, config.settings)

    def _make(self, kind: type[Channel], settings: Any) -> None:
        try:
            channel = kind(settings, AccountServices(self, self._lent, settings, kind))
            self.channel, self.rates = channel, Rates(channel.rates)
        except PLUGIN_MAY_RAISE as error:  # one account's fault is its own
            _log.error("account cannot be made", account=self.name, kind=type(error).__name__, place=line_of(error))
            self._set(AccountState.BROKEN, f"{type(error).__name__} while it was made")

    @property
    def standing(self) -> AccountView:
        """Give what answers depend on."""
        known, view = self._standing, self.view
        features = self.channel.features if self.channel else None
        if (
            known is None
            or known.features is not features
            or known.state is not view.state
            or known.since != view.since
        ):
            known = self._standing = AccountView(
                name=self.name,
                features=features,
                state=view.state,
                since=view.since,
                when_closed=self.when_closed.value,
                fallback=self.fallback,
                template=self.template,
            )
        return known

    def pending(self) -> str:
        """Say why a reply that is stored now does not go at once; empty: it does."""
        now = self._lent.clock.now()
        if self.view.state is AccountState.WAITING:
            return "provider_down"
        busy = (self.backoff.until or now) > now or self.rates.account_free_at(now) is not None
        return "rate_limited" if busy else ""

    def words_of(self, error: Exception) -> str:
        """Give what an error says, without the account's secrets: a provider may quote what it was sent."""
        return self._redact.text(str(error))

    def heard(self, at: datetime) -> None:
        """Note that a genuine envelope came."""
        self.last_in = at
        self.rejected_in_a_row = 0
        self.counts.taken += 1

    def rejected(self, at: datetime) -> None:
        """Note that something came that was not genuine."""
        self.last_rejected = at
        self.rejected_in_a_row += 1
        self.counts.rejected += 1

    def attempted(self, outcome: str, seconds: float) -> None:
        """Note what became of an attempt to send, and how long it took."""
        self.counts.attempts[outcome] += 1
        self.counts.send.add(seconds)

    def sent(self, at: datetime) -> None:
        """Note that the provider took something."""
        self.last_out = at
        self._works_again(self.failures)

    def fetched(self, at: datetime, batch: Batch) -> None:
        """Note that a listener's batch is kept; one that is empty says that it looked."""
        if batch.envelopes:
            self.heard(at)
        self.failures.reset()
        self._works_again(self.backoff)

    def _works_again(self, other: Backoff) -> None:
        """Say that a way works again, unless the other still waits: some providers have a server for each."""
        if self.view.state is AccountState.WAITING and (other.until is None or other.until <= self._lent.clock.now()):
            self.change(AccountState.WORKING, "")

    def typing(self, typing: Typing) -> None:
        """Pass a hint on; it is never stored."""
        small = {"account": self.name, "address": typing.address.value, "on": typing.on}
        self._lent.publish("typing", small)

    async def noticed(self, notice: AccountNotice) -> None:
        """Take what the provider says of the account; stored when this returns.

        What was wrong before a person let it begin anew may have been put right: it would break again by itself.
        """
        is_old = self._anew is not None and notice.at + _SECOND <= self._anew
        if notice.broken and not self._replaced and not is_old:
            self._set(AccountState.BROKEN, self._redact.text(notice.text or notice.code))
            await self.store()

    def waits(self, reason: str) -> None:
        """Say that the provider cannot be reached."""
        if self.view.state.sends:
            self.change(AccountState.WAITING, reason)

    def broke(self, reason: str) -> None:
        """Stop sending, at once, until a person acts."""
        self.change(AccountState.BROKEN, reason)

    def change(self, state: AccountState, reason: str) -> None:
        """Take another state; it is stored and told soon, or as soon as the store is there again."""
        reason = self._redact.text(reason)
        if self._replaced or (state is self.view.state and reason == self.view.reason):
            return
        self._set(state, reason)
        self.store_soon()

    def store_soon(self) -> None:
        """Store how the account does, without waiting for it."""
        fn, view = self._to_store()
        self._lent.soon(fn, view, not_stored=lambda: self._not_stored(fn, view))

    async def store(self) -> None:
        """Store how the account does. Errors: `StoreDown`; then it is tried again."""
        fn, view = self._to_store()
        try:
            await self._lent.store.write(fn, view)
        except StoreDown:
            self._not_stored(fn, view)
            raise

    def _to_store(self) -> tuple[_Stores, Account]:
        fn, self.unstored = self.unstored or account_states.put_state, None
        return fn, self.view

    def _not_stored(self, fn: _Stores, view: Account) -> None:
        is_now = (view.state, view.reason) == (self.view.state, self.view.reason)  # else a newer one is stored
        if (is_now and self.unstored is None) or fn is account_states.begin:
            self.unstored = fn

    def _set(self, state: AccountState, reason: str) -> None:
        now = self._lent.clock.now()
        since = self.view.since if state is self.view.state else now
        self.view = replace(self.view, state=state, reason=reason, since=since)

    def goes_on_from(self, other: Runtime) -> None:
        """Keep what was seen and counted of the account, which begins anew with other settings."""
        self._anew = self.view.since
        self.last_in, self.last_out, self.counts = other.last_in, other.last_out, other.counts
        self.last_rejected, self.rejected_in_a_row = other.last_rejected, other.rejected_in_a_row

    def replaced(self) -> None:
        """Say that another stands in its place: what it still hears of its provider is no news of the account."""
        self._replaced = True

    def set_back(self, by: timedelta) -> None:
        """Go by a clock that was set back."""
        for waits in (self.backoff, self.failures, self.rates):
            waits.set_back(by)
        if self._anew is not None:
            self._anew = min(self._anew, self._lent.clock.now())
        if self.view.since is not None:  # else what a person says from now on would be older than this
            self.view = replace(self.view, since=min(self.view.since, self._lent.clock.now()))

    def take(self, state: AccountState, reason: str, since: datetime) -> None:
        """Take the state that another daemon or a command stored."""
        if state.sends:
            self.backoff.reset()
        if state is AccountState.STARTING:
            self._anew = since
        self.view = replace(self.view, state=state, reason=reason, since=since)
        self.unstored = None

    def stays(self, since: datetime) -> None:
        """Store again how it does, where a person let it begin anew at `since` and nothing can begin."""
        self.view = replace(self.view, since=max(since, self.view.since or since))
        self.store_soon()


class Accounts:
    """All accounts of this daemon."""

    def __init__(self, lent: Lent, fence: Fence) -> None:
        self._lent = lent
        self._fence = fence
        self.by_name: dict[str, Runtime] = {}
        self._kinds: Mapping[str, type[Channel]] = {}
        self._life = Pumps()
        self.pump = Pump("accounts", self._step, lent.clock, slow_poll=timedelta(seconds=5))

    def make(self, configs: Mapping[str, AccountConfig], kinds: Mapping[str, type[Channel]]) -> None:
        """Make the accounts that the settings name."""
        self._kinds = kinds
        for name, config in configs.items():
            self.by_name[name] = Runtime(config, kinds.get(config.channel), self._lent)

    async def open(self) -> None:
        """Take the stored states over; accounts whose settings are gone are absent from now on."""
        stored = await self._lent.store.read(account_states.states)
        for name, (channel, state, reason, since) in stored.items():
            runtime = self.by_name.get(name)
            if runtime is None:
                self.by_name[name] = self._gone(name, channel)
            elif state is AccountState.PAUSED and runtime.channel is not None:
                runtime.take(state, reason, since)
        for runtime in self.by_name.values():
            await self._lent.store.write(account_states.put_state, runtime.view)

    def _gone(self, name: str, channel: str) -> Runtime:
        config = AccountConfig(name=name, channel=channel, endpoint="", when_closed=Policy.REJECT)
        runtime = Runtime(config, None, self._lent)
        runtime.change(AccountState.ABSENT, "its settings are gone")
        return runtime

    def put(self, name: str, config: AccountConfig | None) -> tuple[Runtime, Runtime | None]:
        """Put an account in the place of one, or where none was; None: its settings are gone.

        Gives the new one, of which nothing runs yet, and the one before. What a person paused stays paused.
        """
        before = self.by_name.get(name)
        if config is not None:
            runtime = Runtime(config, self._kinds.get(config.channel), self._lent)
        else:
            runtime = self._gone(name, before.view.channel if before is not None else "")
        self.by_name[name] = runtime
        if config is not None and config.channel not in self._kinds:
            runtime.change(AccountState.ABSENT, f'the channel "{config.channel}" is not loaded: restart the daemon')
        if before is None:
            return runtime, None
        before.replaced()
        runtime.goes_on_from(before)
        was = before.view
        if was.state is AccountState.PAUSED and runtime.channel is not None:
            runtime.take(was.state, was.reason, was.since or self._lent.clock.now())
        return runtime, before

    async def begin(self, runtime: Runtime) -> None:
        """Let an account live that was put in place; its replies have their whole time again.

        Where the store is down it lives all the same, and this is stored when the store is back.
        """
        runtime.unstored = account_states.begin
        try:
            await runtime.store()
        except StoreDown as error:
            _log.warning("state not stored yet", account=runtime.name, error=str(error))
        if runtime.channel is not None:
            self._life.add(runtime.name, Pump(f"account {runtime.name}", self._living(runtime), self._lent.clock))

    async def end(self, name: str) -> None:
        """Let an account open and fetch nothing more; what it was fetching comes again."""
        await self._life.end(name)

    def endpoints(self) -> dict[str, list[Runtime]]:
        """Give the accounts by the endpoint they stand behind."""
        found: dict[str, list[Runtime]] = {}
        for runtime in self.by_name.values():
            if runtime.endpoint:
                found.setdefault(runtime.endpoint, []).append(runtime)
        return found

    async def run(self) -> None:
        """Open every account, listen where the channel listens, and keep doing so."""
        for runtime in self.by_name.values():
            if runtime.channel is not None:
                self._life.add(runtime.name, Pump(f"account {runtime.name}", self._living(runtime), self._lent.clock))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._life.run())
            group.create_task(self.pump.run())

    @property
    def pumps(self) -> list[Pump]:
        """Give the loops of all accounts."""
        return [*self._life, self.pump]

    async def close(self) -> None:
        """Close every channel; its listener ends before, or the line that is taken from it would count as a failure."""
        for name, runtime in tuple(self.by_name.items()):
            await self.end(name)
            await self.shut(runtime)
        self._lent.soon(account_states.put_evidence, self._evidence())  # not waited for where a hook holds the writer
        await asyncio.wait(set(self._lent.under_way), timeout=5)

    async def shut(self, runtime: Runtime) -> None:
        """Close one channel; what it raises is its own."""
        if runtime.channel is not None:
            try:
                async with asyncio.timeout(_CLOSE_WITHIN.total_seconds()):
                    await runtime.channel.close()
            except PLUGIN_MAY_RAISE as error:  # the others are closed all the same
                _log.warning("close failed", account=runtime.name, kind=type(error).__name__, place=line_of(error))

    def _living(self, runtime: Runtime) -> Callable[[], Awaitable[datetime | None]]:
        listening: asyncio.Task[None] | None = None
        began = self._lent.clock.now()
        failures = runtime.failures
        opened = False

        async def step() -> datetime | None:
            nonlocal listening, began, opened
            if listening is not None and listening.done():
                listening = None
            now, state = self._lent.clock.now(), runtime.view.state
            if state in (AccountState.PAUSED, AccountState.BROKEN):
                opened = False
                failures.reset()
            elif listening is None and failures.until is not None and failures.until > now:
                return failures.until
            elif not opened and not (opened := await self._opened(runtime, failures)):
                return failures.until if runtime.view.state.sends else None
            if not opened or not self._listens(runtime):
                if listening is not None:
                    listening.cancel()
                return None
            if listening is None:
                life, began = self._life[runtime.name], now
                listening = life.tasks.create_task(self._listen(runtime, failures))
                listening.add_done_callback(lambda _: life.wake())
            if now < began + _SETTLED:
                return began + _SETTLED
            if state is AccountState.WAITING and runtime.view.since is not None and runtime.view.since <= began:
                runtime.change(AccountState.WORKING, "")  # it listens again, though nothing came yet
            return None

        return step

    def _listens(self, runtime: Runtime) -> bool:
        channel = runtime.channel
        return channel is not None and channel.features.listens and self._fence.holds(f"listen:{runtime.name}")

    async def _opened(self, runtime: Runtime, failures: Backoff) -> bool:
        assert runtime.channel is not None  # only those with a channel live
        try:
            async with asyncio.timeout(_OPEN_WITHIN.total_seconds()):
                await runtime.channel.open()
        except AccountBroken as error:
            runtime.broke(str(error))
            return False
        except PLUGIN_MAY_RAISE as error:  # one account's start is its own affair
            self._later(failures, error)
            runtime.waits(_said("open", error))
            if not isinstance(error, SendError):  # what it says then is why
                _log.warning("open failed", account=runtime.name, kind=type(error).__name__, place=line_of(error))
            return False
        failures.reset()
        runtime.change(AccountState.WORKING, "")
        return True

    async def _listen(self, runtime: Runtime, failures: Backoff) -> None:
        channel = runtime.channel
        assert channel is not None  # only those with a channel live
        pace, batches = _Pace(), 0
        try:
            cursor = await self._lent.store.read(lambda query: account_states.cursor(query, runtime.name))
            async for batch in channel.listen(cursor):
                await self._lent.intake.admit_batch(runtime, batch, self._fence)
                runtime.fetched(self._lent.clock.now(), batch)
                pace.keeps(self._lent.clock.now(), batch)
                batches += 1
            failures.fail(self._lent.clock.now())  # it ended by itself: listened to again, not at once
            if not batches:
                runtime.waits("its listen ended without a batch; it goes on for as long as it is not cancelled")
        except _Restless as error:
            failures.fail(self._lent.clock.now())
            runtime.waits(str(error))
        except AccountBroken as error:
            runtime.broke(str(error))
        except PLUGIN_MAY_RAISE as error:  # one listener's fault is its own
            self._later(failures, error)
            if not isinstance(error, StoreDown):
                runtime.waits(_said("listen", error))
            _log.warning("listener failed", account=runtime.name, kind=type(error).__name__, place=line_of(error))

    def _later(self, failures: Backoff, error: BaseException) -> None:
        until = failures.fail(self._lent.clock.now())
        if isinstance(error, TryLater) and error.after is not None:
            failures.pause(max(until, self._lent.clock.now() + error.after))

    async def _step(self) -> datetime | None:
        """Take over what other daemons and commands stored; store the evidence of this one, and what was not stored."""
        for name, (_, state, reason, since) in (await self._lent.store.read(account_states.states)).items():
            runtime = self.by_name.get(name)
            if runtime is None or state is runtime.view.state:
                continue
            if runtime.channel is None:
                runtime.stays(since)
            elif since > (runtime.view.since or since) or state is AccountState.PAUSED:
                runtime.take(state, reason, since)
                if name in self._life:
                    self._life[name].wake()
        for runtime in self.by_name.values():
            if runtime.unstored is not None:
                runtime.store_soon()
        self._lent.wake_again()
        await self._lent.store.write(account_states.put_evidence, self._evidence())
        return self._lent.clock.now() + _EVIDENCE_EVERY

    def _evidence(self) -> tuple[tuple[str, datetime | None, datetime | None], ...]:
        return tuple((r.name, r.last_in, r.last_out) for r in self.by_name.values())


class _Restless(Exception):
    """A listener looks again and again, and waits for nothing."""


class _Pace:
    """How fast a listener gives batches with nothing in them, each of which is a commit."""

    def __init__(self) -> None:
        self._since: datetime | None = None  # the first of those that came one after the other
        self._empty = 0

    def keeps(self, now: datetime, batch: Batch) -> None:
        """Count a batch. Errors: `_Restless`."""
        if batch.envelopes or self._since is None or now - self._since > _MOMENT:
            self._since, self._empty = now, 0
        self._empty += not batch.envelopes
        if self._empty >= _RESTLESS:
            raise _Restless(f"its listen gave {self._empty} empty batches within a second; await something between two")


def _said(method: str, error: BaseException) -> str:
    """Say why: the text only of our own errors, any other may quote a secret."""
    if isinstance(error, SendError):
        return str(error)
    if isinstance(error, TimeoutError) and method == "open":
        return f"its open did not end within {_OPEN_WITHIN.total_seconds():g} s"
    return f"its {method} raised {type(error).__name__}"
