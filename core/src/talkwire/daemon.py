"""The daemon: wires everything, the only one who knows everybody."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

import aiohttp
import structlog
from pydantic import SecretBytes

from . import account_states, doing, showing
from .accounts import Accounts, Runtime
from .answers import AccountView
from .api.limits import Limits
from .api.principals import Principals
from .channel import Channel, Route
from .clock import Clock, SystemClock
from .counting import Requests
from .doing import Doer
from .errors import StoreDown, TalkwireError
from .fetching import Fetcher
from .hub import Hub
from .inbound.intake import Intake
from .keeping import Keeper
from .lending import Lent
from .lifecycle import restoring
from .lifecycle.expiring import Expiries, Source, of_account
from .lifecycle.purging import GROUP as PURGE
from .lifecycle.purging import Purge
from .media.chunks import ChunkStore
from .media.files import Chunks, FileStore
from .messages import handling
from .messages.filing import Filing
from .model import Account, AccountState, Inbound, Notification
from .notifier import Notifier, NotifierFeatures
from .notify import notifying
from .notify.ruling import RuleReader
from .notify.templates import Does, Templates
from .outbound.notices import Notices
from .outbound.outgoing import Replies
from .outbound.sending import Sender
from .oversight.watching import GROUP as WATCH
from .oversight.watching import Watch
from .plugins import Plugins
from .sessions import Sessions
from .settings import Config
from .showing import Medium
from .store import Store, Tx, revisions
from .store.revisions import Chain
from .store.sqlite import path_of
from .telling.log import Readers
from .telling.tail import Tail
from .telling.taking import Told
from .telling.webhooks import WebhookReader
from .timers import GROUP as TIMERS
from .timers import Timers
from .work import setbacks
from .work.hints import Hints
from .work.leases import TERM, Leases
from .work.pump import Pump
from .work.working import Lanes

_log = structlog.get_logger("talkwire.daemon")
STUCK = 5.0  # seconds after which a holder of the writer is named and `/livez` fails
PATIENCE = timedelta(seconds=20)  # for sends that are under way at SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class LastReload:
    """How reading the settings again went, for `status`."""

    at: datetime
    fault: str = ""  # why the file was not taken, or what of it could not be put in force; empty: all holds
    restart: tuple[str, ...] = ()  # keys whose new values hold from the next start
    left: tuple[str, ...] = ()  # what the next reading does again, though the settings that run hold it already
    taken: bool = True  # the file was, wholly or in part; else the settings of before hold

    @property
    def words(self) -> str:
        """Say what is wrong; empty: all holds."""
        if not self.fault:
            return ""
        return f"{'not all settings are in force' if self.taken else 'the settings were not taken'}: {self.fault}"


class Daemon:
    """Everything of one process, but for its HTTP servers."""

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        *,
        keys: Sequence[SecretBytes] = (),
        clock: Clock | None = None,
        lease_term: timedelta = TERM,
    ) -> None:
        self.config = config
        self.plugins = plugins
        self.keys = tuple(keys)
        self.clock: Clock = clock or SystemClock()
        url = config.store.url.get_secret_value()
        self.store = Store(url, self.clock, synchronous=config.store.synchronous)
        digests = frozenset(name for name, kind in plugins.notifiers.items() if kind.features.digests)
        general = config.general
        self.templates = Templates(
            config.templates,
            language=general.language,
            time_zone=general.time_zone,
            digests=digests,
            always=general.desktop_always == "on",
        )
        self.store.settle = functools.partial(doing.settle, templates=self.templates)
        self.store.committed.append(self._committed)
        self.files: Chunks = (
            FileStore(config.store.files, self.clock.now) if self.store.is_sqlite else ChunkStore(self.store)
        )
        self.filing = Filing(self.store, self.files, self.clock, self.keys, config.server.public_url)
        self.hints = Hints(url)
        self.hints.heard = self._heard
        self.leases = Leases(self.store, term=lease_term, changed=self._wake_all)
        self.purge = Purge(self.store, self.files, self.clock, self.leases, lambda: self.config.retention)
        self.tail = Tail(self.store, self.clock)
        self.lanes = Lanes(self.store, self.clock, self.leases)
        self.timers = Timers(self.store, self.clock, self.leases)
        folders = {"database": path_of(url).parent, "files": config.store.files} if self.store.is_sqlite else {}
        self.watch = Watch(self.store, self.clock, self.leases, folders, self._quiet_after)
        self.expiries = Expiries(self.store, self.clock, self.leases, self._credentials)
        self.openings = Pump("media", self._open_again, self.clock)
        self.readers = Readers(self.store, self.clock, self.leases, self.lanes, self._account_of, self.view)
        shape = self._shape if plugins.shapes else None
        self.intake = Intake(self.store, self.clock, self.files, shape=shape)
        self.replies = Replies(
            self.store,
            self.clock,
            self.account,
            plugins.format_reply,
            language=config.general.language,
            time_zone=config.general.time_zone,
        )
        self.sessions = Sessions(self.store, self.account)
        self.accounts: Accounts
        self.hub: Hub
        self.limits = Limits(config.server, self.clock)
        self.principals = Principals(self.store, self.clock, config.server, self.limits)
        self.started = monotonic()
        self.ready = False
        self.stopping = False
        self.same_settings = True  # as the other daemons of this database
        self.stuck_after = STUCK
        self.patience = PATIENCE
        self.requests = Requests()
        self.reloading = asyncio.Lock()  # the settings are read again by one at a time
        self.last_reload: LastReload | None = None
        self.reloads: list[Callable[[bool], None]] = []  # called when that begins (True) and when it is over
        self.told_settings: list[Callable[[Config], None]] = []  # called with settings that were read again
        self.slow_hooks: dict[tuple[str, str], float] = {}  # (plugin, hook) → longest seconds
        self._media: dict[str, Medium] = {}
        self._told: list[Told] = []
        self._webhooks: list[WebhookReader] = []

    # --- what others ask -----------------------------------------------------------------------------

    def account(self, name: str) -> Runtime | None:
        """Give an account of this daemon; None: there is none."""
        return self.accounts.by_name.get(name)

    def _account_of(self, name: str) -> Account:
        runtime = self.account(name)
        return runtime.view if runtime else Account(name=name, channel="", state=AccountState.ABSENT)

    def view(self, name: str) -> AccountView:
        """Give what answers need to know of an account, also of one that is gone."""
        runtime = self.account(name)
        if runtime is not None:
            return runtime.standing
        return AccountView(name=name, features=None, state=AccountState.ABSENT, since=None)

    def _quiet_after(self) -> dict[str, timedelta | None]:
        """Give how long nobody may write to an account, where the settings say so; None: for ever."""
        said = {name: one.quiet_after for name, one in self.config.accounts.items()}
        return {name: None if limit == "off" else limit for name, limit in said.items() if limit is not None}

    def _credentials(self) -> Iterator[Source]:
        """Give who may know when something ends that we sign in with: accounts and media that are open."""
        for name, runtime in self.accounts.by_name.items():
            channel = runtime.channel
            is_open = runtime.view.state in (AccountState.WORKING, AccountState.WAITING)
            if channel is not None and is_open and type(channel).expires is not Channel.expires:
                yield Source(key=of_account(name), account=name, ask=channel.expires, of=channel)
        for name, medium in self._media.items():
            notifier = medium.notifier
            if notifier is not None and type(notifier).expires is not Notifier.expires:
                yield Source(key=f"medium:{name}", ask=notifier.expires, of=notifier)

    def media(self) -> dict[str, str]:
        """Say of each medium what keeps it from showing anything now; empty: nothing."""
        return {name: medium.trouble for name, medium in sorted(self._media.items())}

    def media_features(self) -> dict[str, NotifierFeatures | None]:
        """Say of each medium what it can do; None: nobody gives it."""
        return {name: medium.features for name, medium in sorted(self._media.items())}

    def notifier_routes(self) -> Iterator[tuple[str, Route]]:
        """Give the routes of notifiers, each with its plugin."""
        for medium in self._media.values():
            yield from ((f"notify_{medium.name}", route) for route in medium.routes())

    def stuck(self) -> list[str]:
        """Say why this process is no longer alive: who holds a writer too long, or that one is gone."""

        def held(since: float) -> str:
            return f"holds the writer for {monotonic() - since:.0f} s"

        late = monotonic() - self.stuck_after
        faults = [f"plugin {h.plugin}: hook {h.hook} {held(h.since)}" for h in self.plugins.holders if h.since < late]
        faults = faults or [f"{h.what} {held(h.since)}" for h in self.store.holders if h.since < late]
        if not self.store.alive:
            faults.append("a writer thread has ended")
        return faults

    def not_ready(self) -> list[str]:
        """Say why this process takes no work."""
        if self.stopping:
            return ["stopping"]
        if not self.ready:
            return ["starting"]
        reasons = [] if self.same_settings else ["settings: other daemons of this database have others"]
        return [*reasons, f"database: {self.store.down}"] if self.store.down else reasons

    @property
    def pumps(self) -> list[Pump]:
        """Give every loop."""
        return [
            self.lanes.pump,
            self.timers.pump,
            self.purge.pump,
            self.leases.pump,
            self.watch.pump,
            self.expiries.pump,
            self.openings,
            *self.readers.pumps,
            *self.accounts.pumps,
        ]

    def take(self, config: Config) -> None:
        """Hold other settings from now on; whoever copied a value at the start is told."""
        self.config = config
        self.replies.language = config.general.language
        self.replies.time_zone = config.general.time_zone
        self.templates.files = config.templates
        self.templates.language = config.general.language
        self.templates.time_zone = config.general.time_zone
        self.templates.always = config.general.desktop_always == "on"
        self.plugins.lend(hub=self.hub, settings=config.plugins)
        for told in self.told_settings:
            told(config)

    # --- life ----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        """Open everything, work until the block ends, then finish what is under way and close.

        Errors: `StoreDown`, `SchemaError`, `Conflict` where another daemon has the SQLite file.
        """
        await self.store.open(exclusive=True)
        try:
            await self._check_tables()
            async with aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None), auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            ) as session:
                behind = await self.store.read(setbacks.behind)  # before anything is told at the new time
                await self._open(session)
                if behind:
                    await self.set_back(behind)
                async with asyncio.TaskGroup() as group:
                    loops = [
                        group.create_task(loop)
                        for loop in (
                            self.hints.run(),
                            self.leases.pump.run(),
                            self.lanes.pump.run(),
                            self.timers.pump.run(),
                            self.watch.pump.run(),
                            self.expiries.pump.run(),
                            self.openings.run(),
                            self.purge.pump.run(),
                            self.readers.run(),
                            self.accounts.run(),
                            self._watch(),
                        )
                    ]
                    self.ready = True
                    try:
                        yield self
                    finally:
                        await self._stop()
                        for loop in loops:
                            loop.cancel()
        finally:
            for webhook in self._webhooks:  # what is under way ends with its loop, and is told again
                await webhook.close()
            await self.plugins.close()
            await self.store.close(timedelta() if self.stuck() else PATIENCE)

    @contextlib.asynccontextmanager
    async def at_hand(self) -> AsyncIterator[Daemon]:
        """Open the store and make the accounts, and start nothing: for one change, where no daemon runs.

        Errors: as `running`.
        """
        await self.store.open(exclusive=True)
        try:
            await self._check_tables()
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                self._make(session)
                yield self
        finally:
            await self.plugins.close()
            await self.store.close()

    async def _check_tables(self) -> None:
        chains = [Chain(plugin, Path(folder)) for plugin, folder in self.plugins.register("register_schema")]
        await self.store.read(lambda query: revisions.check(query, chains))

    async def _open(self, session: aiohttp.ClientSession) -> None:
        self._make(session)
        self.intake.restored_at = await self.store.read(restoring.restored_at)
        await self.accounts.open()
        await self.store.write(notifying.put_recipients, self.config.recipients)
        await self._serve()

    def _make(self, session: aiohttp.ClientSession) -> None:
        """Make accounts and hub, and lend them what they need."""
        config = self.config
        lent = Lent(
            store=self.store,
            clock=self.clock,
            intake=self.intake,
            files=self.files,
            keeper=Keeper(self.store, self.keys),
            session=session,
            publish=self.hints.publish,
            hub=lambda channel: self.hub.of(self.plugins.giver(channel)),
            public_url=config.server.public_url,
        )
        self.accounts = Accounts(lent, self.leases)
        self.accounts.make(config.accounts, self.plugins.channels)
        self.intake.serve(self.accounts.endpoints())
        self.hub = Hub(
            self.store,
            self.replies,
            self.tail,
            self.hints,
            self.view,
            lambda: [runtime.view for runtime in self.accounts.by_name.values()],
            self._answered,
            self.principals,
            self.sessions,
            self.filing,
            self.leases,
            self.templates,
        )
        self.plugins.lend(hub=self.hub, settings=config.plugins, on_slow=self._slow)

    async def _serve(self) -> None:
        for runtime in self.accounts.by_name.values():
            self.send_for(runtime)
        await self.open_media()
        fetcher = Fetcher(self.store, self.files, self.account)
        notices = Notices(self.store, self.replies, lambda name: getattr(self.account(name), "channel", None))
        doer = Doer(self.store, self.leases, self.replies, self.account, self.sessions, notices, fetcher)
        self.lanes.serve(doing.GROUP, doer.work)
        await self.tell_readers()
        self.leases.want(["do", TIMERS, WATCH, PURGE])
        await self.leases.take()
        await self._compare()

    def send_for(self, runtime: Runtime) -> None:
        """Send for an account from now on, and listen for it."""
        if runtime.channel is None:
            return
        sender = Sender(self.store, self.clock, runtime, self.leases, self.lanes)
        features = runtime.channel.features
        need, most = features.send_timeout, features.at_once
        self.lanes.serve(sender.group, sender.work, most=most, need=need, may_run=sender.may_run, room=sender.room)
        self.leases.want([sender.group, f"listen:{runtime.name}"], need)

    async def tell_readers(self) -> None:
        """Tell plugins, rules and webhooks from now on; asked again where rules or webhooks have changed."""
        before = [told.name for told in self._told]
        old = {one.settings: one for one in self._webhooks}
        new = self.config.webhooks
        webhooks = [old.pop(one) if one in old else WebhookReader(one, self.clock) for one in new]
        rules = [RuleReader(i, rule, self.templates) for i, rule in enumerate(self.config.notify)]
        told_now: list[Told] = [*self.plugins.readers(), *rules, *webhooks]
        await self.readers.open(told_now)
        self._webhooks, self._told = webhooks, told_now
        for webhook in old.values():
            await webhook.close()
            self.readers.try_now(webhook.name)  # it may be there at its new place
        for gone in {f"read:{name}" for name in before} - {f"read:{told.name}" for told in self._told}:
            self.leases.drop(gone)
        for told in self._told:
            self.leases.want([f"read:{told.name}"], told.need)

    async def _compare(self) -> None:
        """Say where another daemon of this database runs with other settings."""
        key = self.keys[0].get_secret_value() if self.keys else b""
        self.same_settings = await self.leases.same_settings(self.config.shared_hash(key))
        if not self.same_settings:
            _log.error("another daemon of this database has other settings: give all of them the same talkwire.toml")

    async def open_media(self, changed: Collection[str] = ()) -> None:
        """Show by every medium that is asked for; those of `changed` are made anew."""
        by_rules = {medium for rule in self.config.notify for medium in rule.media}
        wanted = by_rules | await self.store.read(showing.media) | self.plugins.notifiers.keys()
        for medium in self._media.values():
            await medium.learn()  # there may be other recipients
        for name in sorted(wanted - (self._media.keys() - {*changed})):
            if (before := self._media.get(name)) is not None:
                await self.lanes.rest(before.group, self.patience)
                await before.close()
            medium = self._media[name] = Medium(self.store, self.clock, self.leases, name, self.hub, self.templates)
            await medium.open(self.plugins.notifiers.get(name), self.config.plugins.get(f"notify_{name}"))
            self.lanes.serve(medium.group, medium.work)
            self.leases.want([medium.group])
        self.openings.wake()

    async def _open_again(self) -> datetime | None:
        """Open the notifiers that could not be opened; one that hangs delays none of the others."""
        tries = [medium.open_again() for medium in self._media.values()]
        return min(filter(None, await asyncio.gather(*tries)), default=None)

    async def _stop(self) -> None:
        """Take nothing more in, let sends finish, let others take over."""
        self.stopping = True
        self.ready = False
        self.intake.serve({})
        self.tail.close()
        await self.lanes.stop(timedelta() if self.stuck() else self.patience)
        for medium in self._media.values():
            await medium.close()
        await self.accounts.close()
        with contextlib.suppress(TalkwireError):
            await self.leases.give_up()

    async def set_back(self, by: timedelta) -> None:
        """Go on as soon as before by a clock that was set back."""
        _log.error("the clock was set back", seconds=round(by.total_seconds()))
        for runtime in self.accounts.by_name.values():
            runtime.set_back(by)
        groups = self.lanes.set_back()
        await self.store.write(setbacks.bring_along, setbacks.SetBack(by, groups, self.leases))
        self._wake_all()

    async def _watch(self) -> None:
        """Name who holds the writer too long; see when the clock is set back."""
        named: set[str] = set()
        clock = setbacks.Watch(self.clock.now(), monotonic())
        while True:
            await asyncio.sleep(1)
            if by := clock.look(self.clock.now(), monotonic()):
                with contextlib.suppress(StoreDown):
                    await self.set_back(by)
            stuck = self.stuck()
            for fault in stuck:
                if (what := fault.rsplit(" for ", 1)[0]) not in named:
                    named.add(what)
                    _log.error("writer held", what=fault)
            if not stuck:
                named.clear()

    # --- what happens ----------------------------------------------------------------------------------

    def _committed(self, facts: int, hints: set[str]) -> None:
        if facts:
            self.tail.woken()
            self.readers.woken()
            hints = hints | {"log"}
        for loop in hints:
            self._heard(loop)
        self.hints.wake(hints)

    def _heard(self, loop: str) -> None:
        match loop:
            case "lanes":
                self.lanes.wake()
            case "log":
                self.tail.woken()
                self.readers.woken()
            case "timers":
                self.timers.woken()
            case "accounts":
                for pump in self.accounts.pumps:
                    pump.wake()
                self.watch.woken()
                self.expiries.pump.wake()
            case "everything":
                self._wake_all()

    def _wake_all(self) -> None:
        for pump in self.pumps:
            pump.wake()
        self.tail.woken()

    def _slow(self, plugin: str, hook: str, seconds: float) -> None:
        self.slow_hooks[plugin, hook] = max(seconds, self.slow_hooks.get((plugin, hook), 0))

    def _answered(self, tx: Tx, notification: Notification, answer: str, does: Does) -> None:
        """Do what a button brings about, and let whoever asked take the answer."""
        if does is Does.HANDLED and notification.conversation:
            handling.mark(tx, notification.conversation, notification.recipient)
        elif does is Does.RESUME and notification.account in self.accounts.by_name:
            account_states.resume(tx, [notification.account])
        self.plugins.answer(tx, notification, answer)

    async def _shape(
        self, wanted: Sequence[tuple[Account, Inbound]], budget: timedelta
    ) -> Sequence[tuple[Inbound | None, str]]:
        deadline = asyncio.get_running_loop().time() + budget.total_seconds()
        results: list[tuple[Inbound | None, str]] = []
        for account, message in wanted:
            shaped = await self.plugins.shape_inbound(message, account, deadline)
            if shaped.dropped is not None:
                results.append((None, f"dropped by {shaped.dropped.plugin}: {shaped.dropped.reason}"))
            else:
                results.append((shaped.message, "; ".join(shaped.notes)))
        return results
