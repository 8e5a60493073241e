"""The daemon: wires everything, the only one who knows everybody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

import aiohttp
import structlog
from pydantic import SecretBytes

from . import doing, notifying
from .accounts import Accounts, Lent, Runtime
from .answers import AccountView
from .clock import Clock, SystemClock
from .doing import Doer
from .errors import NotFound, TalkwireError
from .fetching import Fetcher
from .hints import Hints
from .hub import Hub

from .intake import Intake
from .keeping import Keeper
from .lanes import Lanes
from .leases import Leases
from .log import Readers, Tail, Told
from .media.chunks import ChunkStore
from .media.files import Chunks, FileStore
from .model import Account, AccountState, Inbound, Notification
from .notifying import Medium, Notices, RuleReader
from .outgoing import Replies
from .plugins import Plugins
from .pump import Pump
from .sending import Sender
from .settings import Config
from .store import Store, Tx
from .timers import GROUP as TIMERS
from .timers import Timers

_log = structlog.get_logger("talkwire.daemon")
STUCK = 5.0  # seconds after which a holder of the writer is named and `/livez` fails
PATIENCE = timedelta(seconds=20)  # for sends that are under way at SIGTERM


class Daemon:
    """Everything of one process, but for its HTTP servers."""

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        *,
        keys: Sequence[SecretBytes] = (),
        clock: Clock | None = None,
    ) -> None:
        self.config = config
        self.plugins = plugins
        self.keys = tuple(keys)
        self.clock: Clock = clock or SystemClock()
        url = config.store.url.get_secret_value()
        self.store = Store(url, self.clock, synchronous=config.store.synchronous)
        self.store.settle = doing.settle
        self.store.committed.append(self._committed)
        self.files: Chunks = FileStore(config.store.files) if self.store.is_sqlite else ChunkStore(self.store)
        self.hints = Hints(url)
        self.hints.heard = self._heard
        self.leases = Leases(self.store, changed=self._wake_all)
        self.tail = Tail(self.store, self.clock)
        self.lanes = Lanes(self.store, self.clock, self.leases)
        self.timers = Timers(self.store, self.clock, self.leases)
        self.readers = Readers(self.store, self.clock, self.leases, self.lanes, self._account_of, self.view)
        shape = self._shape if plugins.shapes else None
        self.intake = Intake(self.store, self.clock, self.files, shape=shape)
        self.replies = Replies(
            self.store, self.clock, self.account, plugins.format_reply, language=config.general.language
        )
        self.accounts: Accounts
        self.hub: Hub
        self.principals: Any = _NoPrincipals()
        self.started = monotonic()
        self.ready = False
        self.stopping = False
        self.slow_hooks: dict[tuple[str, str], float] = {}  # (plugin, hook) → longest seconds
        self._media: dict[str, Medium] = {}
        self._told: list[Told] = []

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

    def stuck(self) -> list[str]:
        """Say why this process is no longer alive: who holds a writer too long, or that one is gone."""
        now = monotonic()
        faults = []
        for hook in self.plugins.holders:
            if now - hook.since > STUCK:
                faults.append(f"plugin {hook.plugin}: hook {hook.hook} holds the writer for {now - hook.since:.0f} s")
        for holder in self.store.holders:
            if not faults and now - holder.since > STUCK:
                faults.append(f"{holder.what} holds the writer for {now - holder.since:.0f} s")
        if not self.store.alive:
            faults.append("a writer thread has ended")
        return faults

    def not_ready(self) -> list[str]:
        """Say why this process takes no work."""
        if self.stopping:
            return ["stopping"]
        return [] if self.ready else ["starting"]

    @property
    def pumps(self) -> list[Pump]:
        """Give every loop."""
        return [
            self.lanes.pump,
            self.timers.pump,
            self.leases.pump,
            *self.readers.pumps.values(),
            *self.accounts.pumps,
        ]

    # --- life ----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Daemon]:
        """Open everything, work until the block ends, then finish what is under way and close.

        Errors: `StoreDown`, `SchemaError`, `Conflict` where another daemon has the SQLite file.
        """
        await self.store.open(exclusive=True)
        try:
            async with aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None), auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            ) as session:
                await self._open(session)
                async with asyncio.TaskGroup() as group:
                    loops = [
                        group.create_task(loop)
                        for loop in (
                            self.hints.run(),
                            self.leases.pump.run(),
                            self.lanes.pump.run(),
                            self.timers.pump.run(),
                            *(pump.run() for pump in self.readers.pumps.values()),
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
            await self.plugins.close()
            await self.store.close()

    async def _open(self, session: aiohttp.ClientSession) -> None:
        config = self.config
        lent = Lent(
            store=self.store,
            clock=self.clock,
            intake=self.intake,
            files=self.files,
            keeper=Keeper(self.store, self.keys),
            session=session,
            publish=self.hints.publish,
        )
        self.accounts = Accounts(lent, self.leases.holds)
        self.accounts.make(config.accounts, self.plugins.channels)
        self.intake.serve(self.accounts.endpoints())
        self.hub = Hub(
            self.store,
            self.replies,
            self.tail,
            self.hints,
            self.view,
            lambda: [runtime.view for runtime in self.accounts.by_name.values()],
            self._answer_hook,
            self.principals,
        )
        self.plugins.lend(hub=self.hub, settings=config.plugins, on_slow=self._slow)
        await self.accounts.open()
        await self.store.write(notifying.put_recipients, config.recipients)
        await self._serve()

    async def _serve(self) -> None:
        names = ["do", TIMERS]
        longest = timedelta()
        for runtime in self.accounts.by_name.values():
            if runtime.channel is None:
                continue
            sender = Sender(self.store, self.clock, runtime, self.leases)
            self.lanes.serve(sender.group, sender.work, may_run=sender.may_run)
            longest = max(longest, runtime.channel.features.send_timeout)
            names += [sender.group, f"listen:{runtime.name}"]
        for medium in self._media_in_use():
            notifier = self._notifier(medium)
            self._media[medium] = Medium(self.store, self.clock, medium, notifier)
            self.lanes.serve(f"notify:{medium}", self._media[medium].work)
            names.append(f"notify:{medium}")
        fetcher = Fetcher(self.store, self.files, self.account)
        notices = Notices(self.store, self.replies, lambda name: getattr(self.account(name), "channel", None))
        doer = Doer(self.store, self.clock, self.replies, self.account, notices, fetcher.fetch)
        self.lanes.serve(doing.GROUP, doer.work)
        self._told = [*self.plugins.readers(), *(RuleReader(i, rule) for i, rule in enumerate(self.config.notify))]
        await self.readers.open(self._told)
        names += [f"read:{told.name}" for told in self._told]
        self.leases.want(names, longest)
        await self.leases.take()

    def _media_in_use(self) -> list[str]:
        rules = (medium for rule in self.config.notify for medium in rule.media)
        wanted = (medium for one in self.config.recipients.values() for medium in one.media)
        return sorted({*rules, *wanted, *self.plugins.notifiers})

    def _notifier(self, medium: str) -> Any:
        kind = self.plugins.notifiers.get(medium)
        if kind is None:
            return None
        settings = self.config.plugins.get(f"notify_{medium}") or kind.Settings()
        try:
            return kind(settings, _NotifierServices(self, medium))
        except Exception as error:  # noqa: BLE001  one notifier's fault is its own
            _log.error("notifier cannot be made", medium=medium, kind=type(error).__name__)
            return None

    async def _stop(self) -> None:
        """Take nothing more in, let sends finish, let others take over."""
        self.stopping = True
        self.ready = False
        self.intake.serve({})
        self.tail.close()
        await self.lanes.stop(PATIENCE)
        await self.accounts.close()
        with contextlib.suppress(TalkwireError):
            await self.leases.give_up()

    async def _watch(self) -> None:
        """Name who holds the writer too long."""
        named: set[str] = set()
        while True:
            await asyncio.sleep(1)
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
            case "everything":
                self._wake_all()

    def _wake_all(self) -> None:
        for pump in self.pumps:
            pump.wake()
        self.tail.woken()

    def _slow(self, plugin: str, hook: str, seconds: float) -> None:
        self.slow_hooks[plugin, hook] = max(seconds, self.slow_hooks.get((plugin, hook), 0))

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

    def _answer_hook(self, tx: Tx, notification: Notification, answer: str) -> None:
        for reader in self.plugins.readers():
            if reader.name == notification.asker:
                kwargs: Mapping[str, Any] = {"notification": notification, "answer": answer}
                tx.asker, tx.ref = reader.name, ""
                for action in reader.call_tx("answer_notification", kwargs, tx):
                    tx.act(action)


class _NoPrincipals:
    """Stands where no HTTP server runs: nobody can make a request."""

    async def principal(self, request: Any) -> Any:
        raise NotFound("no HTTP server runs here")

    async def sign_in(self, response: Any, principal: Any) -> None:
        raise NotFound("no HTTP server runs here")


class _NotifierServices:
    """What the core lends to a notifier."""

    def __init__(self, daemon: Daemon, medium: str) -> None:
        self._daemon = daemon
        self.clock = daemon.clock
        self.log = structlog.get_logger(f"talkwire.notify_{medium}")
        self._medium = medium

    def recipient(self, name: str) -> Any:
        """Give a recipient. Errors: `NotFound`."""
        from .model import Recipient  # noqa: PLC0415

        found = self._daemon.config.recipients.get(name)
        if found is None:
            raise NotFound(f'there is no recipient "{name}"')
        return Recipient(name=name, email=found.email, media=found.media)

    async def shown(self, notification: str) -> None:
        """Note that it can be seen now."""
        await self._daemon.store.write(notifying.shown, (notification, self._medium))

    async def answered(self, notification: str, action: str, surface: str) -> None:
        """Pass on a pressed button. Errors: `Conflict`."""
        await self._daemon.hub.answer(notification, action, surface)

    async def focus(self, recipient: str, surface: str, state: Any) -> None:
        """Note where somebody looks."""
        await self._daemon.store.write(notifying.put_surface, (surface, recipient, self._medium, state.value))



