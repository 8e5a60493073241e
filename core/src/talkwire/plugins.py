"""Plugins: find them without importing, load those that are enabled, check and order their hooks, call them."""

from __future__ import annotations

import asyncio
import difflib
import importlib.metadata
import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import pluggy
from pydantic import BaseModel

from . import hooks as specs
from .actions import Action
from .channel import PLAIN_METHODS, Channel
from .errors import PLUGIN_MAY_RAISE, Fault, Refuse
from .hooks import HOOK_API, OLDEST_HOOK_API, Drop, hook_of
from .licences import licence_of
from .model import Account, Draft, Inbound, Notification, Person
from .notifier import Notifier
from .running import Holder, Hook, HookFailed, HookTimeout, PluginRefused, Runner, Way, actions_of, one_of, way_of
from .store import Query, Tx
from .telling.standing import SCHEDULE

GROUP = "talkwire"  # entry points; the name is the plugin's
SHAPE_BUDGET = timedelta(milliseconds=200)  # all plugins, one envelope
FORMAT_BUDGET = timedelta(seconds=2)  # all plugins, one reply
TOLD_BUDGET = timedelta(seconds=30)  # one hook, one fact

_EAGER = (  # the rest, register_simulators, is for the demo and for tests
    "register_channels",
    "register_notifiers",
    "register_settings",
    "register_schema",
    "register_routes",
    "register_pages",
)
_TYPE = re.compile(r"[a-z][a-z0-9_]*")


class _Sought(NamedTuple):
    """What settings may name without enabling its plugin."""

    what: str
    begin: str  # of the name of the plugin that gives it
    named: str  # what to do where it was taken for the other


_CHANNEL = _Sought("channel", "", "an account names it")
_NOTIFIER = _Sought("notifier", "notify_", "a recipient or a rule names it in media")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """A plugin, for `talkwire plugins`."""

    name: str
    distribution: str  # empty: not installed, or made in this process
    version: str
    licence: str
    state: Literal["available", "enabled", "failed"]
    error: str = ""  # what to do, or the traceback; empty unless failed
    hooks: tuple[str, ...] = ()
    # What it brings along under the GPL, each with its licence; only where somebody asked: that looks at many distributions.
    bound_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message that a plugin kept out."""

    reason: str
    plugin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """What the shape hooks made of a message."""

    message: Inbound
    dropped: Dropped | None = None  # None: it is to be stored
    notes: tuple[str, ...] = ()  # hooks that were skipped, and why; for the operator


class ReaderPlugin:
    """A plugin that is told facts."""

    def __init__(self, plugin: str, hooks: Sequence[Hook], runner: Runner) -> None:
        self.plugin = plugin
        self.name = f"plugin:{plugin}"  # of its cursor
        self.schedule = SCHEDULE
        self.need = timedelta()
        self.budget = TOLD_BUDGET
        self.hooks: Mapping[str, tuple[Hook, ...]] = {
            name: tuple(hook for hook in hooks if hook.name == name) for name in dict.fromkeys(h.name for h in hooks)
        }
        self._in_tx = {hook.name for hook in hooks if hook.way is Way.TX}
        self._outside = {hook.name for hook in hooks if hook.way is not Way.TX}
        self._runner = runner

    def wants(self, fact_type: str) -> bool:
        """Say whether a hook of this plugin is told such facts."""
        return hook_of(fact_type) in self.hooks

    def hears_of(self, account: str) -> bool:
        """Say that it is told of every account."""
        return True

    def hook_of(self, fact_type: str) -> str:
        """Name the hook that is told such facts."""
        return hook_of(fact_type)

    def in_tx(self, hook_name: str) -> bool:
        """Say whether `call_tx` has something to call."""
        return hook_name in self._in_tx

    def outside(self, hook_name: str) -> bool:
        """Say whether `call_async` has something to call."""
        return hook_name in self._outside

    async def call_async(self, hook_name: str, kwargs: Mapping[str, Any]) -> list[Action]:
        """Call the hooks without `tx`, one after the other. Errors: `HookFailed`, `HookTimeout`."""
        actions: list[Action] = []
        for hook in self.hooks.get(hook_name, ()):
            if hook.way is not Way.TX:
                actions += await self._runner.call(hook, kwargs, self.budget.total_seconds(), actions_of)
        return actions

    def call_tx(self, hook_name: str, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]:
        """Call the hooks with `tx`, inside the caller's transaction. Errors: `HookFailed`; the store's own pass."""
        actions: list[Action] = []
        for hook in self.hooks.get(hook_name, ()):
            if hook.way is Way.TX:
                actions += self._runner.call_tx(hook, kwargs, tx)
        return actions


class Plugins:
    """The plugins of one daemon or command.

    `enabled` is in order; `channels` and `media` map what accounts, rules and recipients name to the key that names
    it; `extra` are modules or objects of this process, which are on.
    """

    def __init__(
        self,
        enabled: Sequence[str] = (),
        *,
        channels: Mapping[str, str] | None = None,
        media: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        threads: int = 8,
    ) -> None:
        self.faults: list[Fault] = []  # the settings are wrong
        self.warnings: list[Fault] = []  # the daemon runs without something that the settings name
        self.channels: dict[str, type[Channel]] = {}
        self.notifiers: dict[str, type[Notifier]] = {}
        self.settings_models: dict[str, type[BaseModel] | None] = {}  # of those that run; None: takes no settings
        self._extra = dict(extra or {})
        self._installed = _installed()
        self._infos: dict[str, PluginInfo] = {}
        self._given: dict[str, list[tuple[str, Any]]] = {}
        self._manager = pluggy.PluginManager("talkwire")
        self._manager.add_hookspecs(specs)
        self._runner = Runner(threads)

        self._name_the_doubled(enabled)
        named = [*(channels or {}), *(f"notify_{medium}" for medium in media or {})]
        order = dict.fromkeys([*enabled, *self._extra, *(name for name in named if name in self._installed)])
        loaded = {name: plugin for name in order if (plugin := self._loaded(name, enabled)) is not None}
        for name, plugin in reversed(loaded.items()):  # pluggy calls the last registered first
            self._guard(name, self._register, name, plugin)
        for name in order:
            if name in self._infos and self._infos[name].state == "enabled":
                self._guard(name, self._collect, name)
        self._name_the_missing(_CHANNEL, channels or {}, self.channels)
        self._name_the_missing(_NOTIFIER, media or {}, self.notifiers)
        self._hooks = {name: self._ordered(name) for name in _spec_names() if not name.startswith("register_")}
        told = [hook for name, found in self._hooks.items() if name.startswith(("on_", "answer_")) for hook in found]
        self._readers = tuple(
            ReaderPlugin(name, own, self._runner) for name in order if (own := [h for h in told if h.plugin == name])
        )
        self._order = tuple(order)

    @property
    def infos(self) -> tuple[PluginInfo, ...]:
        """List every plugin: enabled and failed ones in order, then what is available."""
        known = [self._infos[name] for name in self._order if name in self._infos]
        return (*known, *(self._about(name, "available") for name in self._available))

    @property
    def extra(self) -> Mapping[str, Any]:
        """Give those of this process."""
        return self._extra

    @property
    def others(self) -> tuple[str, ...]:
        """Name those that do not run: available or failed."""
        failed = (name for name in self._order if name in self._infos and self._infos[name].state != "enabled")
        return (*failed, *self._available)

    @property
    def _available(self) -> list[str]:
        return sorted(name for name in self._installed if name not in self._infos)

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Name the hooks that have a writer now, the longest first; may be asked from any thread."""
        return self._runner.holders

    @property
    def shapes(self) -> bool:
        """Say whether `shape_inbound` has something to call."""
        return bool(self._hooks["shape_inbound"])

    def lend(
        self,
        *,
        hub: Any,
        settings: Mapping[str, Any],
        on_slow: Callable[[str, str, float], None] | None = None,
    ) -> None:
        """Say what hooks get as `hub` and `settings`, and who hears of slow ones: (plugin, hook, seconds).

        `on_slow` is called in the writer's thread.
        """
        self._runner.hub = hub
        self._runner.settings = settings
        self._runner.on_slow = on_slow or self._runner.on_slow

    def register(self, hook_name: str) -> list[tuple[str, Any]]:
        """Give what a register_ hook gave, flat, each with its plugin.

        `register_simulators` is called now, the first time; one that raises is named in `warnings`.
        """
        if hook_name not in self._given:
            self._given[hook_name] = []
            for name in self.settings_models:
                try:
                    self._ask(hook_name, name)
                except PLUGIN_MAY_RAISE as error:  # one plugin; the others go on
                    self.warnings.append(Fault(f"plugins.{name}", f"{hook_name} raised {type(error).__name__}"))
        return self._given[hook_name]

    def readers(self) -> tuple[ReaderPlugin, ...]:
        """Give the plugins that are told facts, in order."""
        return self._readers

    def hooks(self, hook_name: str) -> tuple[Hook, ...]:
        """Give the implementations of a shape or on hook, in the order in which they are called."""
        return self._hooks[hook_name]

    async def shape_inbound(self, message: Inbound, account: Account, deadline: float | None = None) -> Shaped:
        """Let plugins change a message; one that raises or is late is skipped, with a note.

        `deadline` is by the loop's clock, for the whole envelope; None: 200 ms from now.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + SHAPE_BUDGET.total_seconds() if deadline is None else deadline
        notes: list[str] = []
        for hook in self._hooks["shape_inbound"]:
            given = {"message": message, "account": account}
            try:
                result = await self._runner.call(hook, given, until - loop.time(), one_of(Inbound, Drop))
            except HookFailed as error:
                notes.append(str(error))
                continue
            if isinstance(result, Drop):
                return Shaped(message=message, dropped=Dropped(result.reason, hook.plugin), notes=tuple(notes))
            if result is not None and (result.external_id, result.to) != (message.external_id, message.to):
                notes.append(str(HookFailed(hook, "changed external_id or to, by which repeats are known")))
            elif result is not None:
                message = result
        return Shaped(message=message, notes=tuple(notes))

    async def format_reply(self, draft: Draft, account: Account, budget: timedelta = FORMAT_BUDGET) -> Draft:
        """Let plugins change a reply. Errors: `Refuse`, a plugin's own or because a plugin failed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + budget.total_seconds()
        for hook in self._hooks["format_reply"]:
            try:
                given = {"draft": draft, "account": account}
                shaped = await self._runner.call(hook, given, until - loop.time(), one_of(Draft))
                draft = draft if shaped is None else shaped
            except HookFailed as error:
                if isinstance(error.__cause__, Refuse):
                    raise error.__cause__ from None
                again = "Press send again" if isinstance(error, HookTimeout) else "Tell your operator"
                raise Refuse(
                    f"{error}. Nothing was sent. {again}; an operator can take {hook.plugin} out of [plugins] enabled."
                ) from error
        return draft

    def answer(self, tx: Tx, notification: Notification, answer: str) -> None:
        """Let a notification's asker take its answer, and ask for what it returns. Errors: as `call_tx`."""
        for reader in self._readers:
            if reader.name == notification.asker:
                tx.asker, tx.ref = reader.name, ""
                for action in reader.call_tx(
                    "answer_notification", {"notification": notification, "answer": answer}, tx
                ):
                    tx.act(action)

    def forget(self, tx: Tx, person: Person) -> None:
        """Let plugins forget somebody, and ask for what they return. Errors: as `call_tx`."""
        for hook in self._hooks["forget_person"]:
            for action in self._runner.call_tx(hook, {"person": person}, tx):
                tx.asker, tx.ref = f"plugin:{hook.plugin}", ""
                tx.act(action)

    def export(self, query: Query, person: Person) -> dict[str, Mapping[str, str]]:
        """Give what plugins hold of somebody: plugin → file name → text. Errors: `HookFailed`."""
        found: dict[str, Mapping[str, str]] = {}
        for hook in self._hooks["export_person"]:
            given = self._runner.call_here(hook, {"person": person, "query": query}, one_of(Mapping))
            if given:
                found[hook.plugin] = {**found.get(hook.plugin, {}), **given}
        return found

    async def close(self) -> None:
        """Stop what still runs."""
        await self._runner.close()

    def _loaded(self, name: str, enabled: Sequence[str]) -> Any:
        if name in self._extra:
            return self._extra[name]
        entries = self._installed.get(name, [])
        if not entries:
            near = difflib.get_close_matches(name, self._installed, 1, 0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            reason = f"{name} is not installed; type: pip install talkwire-{name.replace('_', '-')}{hint}"
            self.faults.append(Fault(f"plugins.enabled[{list(enabled).index(name)}]", reason))
            self._fail(name, reason)
            return None
        return self._guard(name, self._imported, name, entries)

    def _imported(self, name: str, entries: Sequence[importlib.metadata.EntryPoint]) -> Any:
        if len(entries) > 1:
            owners = " and ".join(sorted(str(e.dist.name) if e.dist else "?" for e in entries))
            raise PluginRefused(f"two distributions are called {name}: {owners}; uninstall one")
        return entries[0].load()

    def _register(self, name: str, plugin: Any) -> None:
        api = getattr(plugin, "TALKWIRE_HOOK_API", HOOK_API)
        if not isinstance(api, int) or api > HOOK_API:
            raise PluginRefused(f"made for hook API {api}, this Talkwire has {HOOK_API}; type: pip install -U talkwire")
        if api < OLDEST_HOOK_API:
            raise PluginRefused(f"made for hook API {api}, too old for {HOOK_API}; look for a newer version of it")
        try:
            self._manager.register(plugin, name)
        except pluggy.PluginValidationError as error:
            raise PluginRefused(str(error)) from error
        own = [(c, i) for c in self._manager.get_hookcallers(plugin) or () for i in c.get_hookimpls()]
        own = [(caller, impl) for caller, impl in own if impl.plugin is plugin]
        for caller, impl in own:
            if not caller.has_spec() and not impl.optionalhook:
                near = difflib.get_close_matches(caller.name, _spec_names(), 1, 0)
                raise PluginRefused(f"there is no hook {caller.name}; did you mean {near[0]}?")
            if impl.wrapper or impl.hookwrapper:
                raise PluginRefused(f"{caller.name} is a wrapper; hooks of Talkwire cannot be wrapped")
            way_of(caller.name, impl.function, impl.argnames)
        names = tuple(dict.fromkeys(caller.name for caller, _ in own))
        self._infos[name] = replace(self._about(name, "enabled"), hooks=names)

    def _collect(self, name: str) -> None:
        for hook_name in _EAGER:
            self._ask(hook_name, name)
        channels = [c for n, c in self._given["register_channels"] if n == name]
        notifiers = [c for n, c in self._given["register_notifiers"] if n == name]
        models = [m for n, m in self._given["register_settings"] if n == name] or [c.Settings for c in notifiers[:1]]
        _check_types("register_channels", channels, Channel, self.channels)
        _check_types("register_notifiers", notifiers, Notifier, self.notifiers)
        for model in models:
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                raise PluginRefused(f"register_settings gave {model!r:.80}; give a subclass of talkwire.Settings")
        self.channels |= {channel.type: channel for channel in channels}
        self.notifiers |= {notifier.type: notifier for notifier in notifiers}
        self.settings_models[name] = models[0] if models else None

    def giver(self, channel: str) -> str:
        """Name the plugin that gives a type of channel."""
        return next(name for name, given in self._given["register_channels"] if given.type == channel)

    def _ask(self, hook_name: str, name: str) -> None:
        others = [p for n, p in self._manager.list_name_plugin() if n != name and p is not None]
        given = self._given.setdefault(hook_name, [])
        for result in self._manager.subset_hook_caller(hook_name, others)():
            things = result if isinstance(result, list | tuple) else [result]
            given += [(name, thing) for thing in things]

    def _guard(self, name: str, step: Callable[..., Any], *args: Any) -> Any:
        """Take one step of loading one plugin; a failure is its own."""
        try:
            return step(*args)
        except PluginRefused as error:
            self._fail(name, str(error))
        except (Exception, SystemExit):  # noqa: BLE001  a plugin may do anything while it loads
            self._fail(name, traceback.format_exc())
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)
        for given in self._given.values():
            given[:] = [(owner, thing) for owner, thing in given if owner != name]
        return None

    def _fail(self, name: str, error: str) -> None:
        self._infos[name] = replace(self._about(name, "failed"), error=error)

    def _about(self, name: str, state: Literal["available", "enabled", "failed"]) -> PluginInfo:
        entries = [] if name in self._extra else self._installed.get(name, [])
        dist = entries[0].dist if entries else None
        distribution = str(dist.metadata["Name"]) if dist else ""
        return PluginInfo(
            name=name,
            distribution=distribution,
            version=dist.version if dist else "",
            licence=licence_of(dist) if dist else "",
            state=state,
        )

    def _name_the_doubled(self, enabled: Sequence[str]) -> None:
        """Warn of what is enabled twice: which of its places counts, nobody could tell."""
        for i, name in enumerate(enabled):
            if (first := enabled.index(name)) < i:
                reason = f"{name} is named twice; its first place, enabled[{first}], counts: take this one out"
                self.warnings.append(Fault(f"plugins.enabled[{i}]", reason))

    def _name_the_missing(self, sought: _Sought, asked: Mapping[str, str], there: Mapping[str, Any]) -> None:
        for kind, path in asked.items():
            if kind in there:
                continue
            name = f"{sought.begin}{kind}"
            if (info := self._infos.get(name)) is None:
                reason = f"no {sought.what} {kind}; {self._remedy(sought, kind, there)}"
            elif info.state == "failed":
                reason = f"the plugin {name} failed; type: talkwire plugins"
            else:
                reason = f"the plugin {name} gives no {sought.what} {kind}"
            self.warnings.append(Fault(path, reason))

    def _remedy(self, sought: _Sought, kind: str, there: Mapping[str, Any]) -> str:
        """Say what to write or to type in place of a channel or notifier that there is not."""
        near = difflib.get_close_matches(kind, [*there, *self._could_give(sought)], 1, 0.6)
        other = _NOTIFIER if sought is _CHANNEL else _CHANNEL
        if near:
            hint = f"did you mean {near[0]}? Else "
        elif kind in self._could_give(other):
            hint = f"{kind} is a {other.what}: {other.named}. Else "
        else:
            hint = ""
        return f"{hint}type: pip install talkwire-{sought.begin.replace('_', '-')}{kind.replace('_', '-')}"

    def _could_give(self, sought: _Sought) -> list[str]:
        """Name the channels, or the notifiers, of installed plugins; of one that is not imported its name alone is known."""
        running = {name for name, info in self._infos.items() if info.state == "enabled"}
        unknown = [name for name in self._installed if name not in running]
        begin = _NOTIFIER.begin
        if sought is _NOTIFIER:
            return [*self.notifiers, *(name.removeprefix(begin) for name in unknown if name.startswith(begin))]
        return [*self.channels, *(name for name in unknown if not name.startswith(begin))]

    def _ordered(self, hook_name: str) -> tuple[Hook, ...]:
        """Read the order that pluggy made, and decide how each one runs."""
        impls = reversed(getattr(self._manager.hook, hook_name).get_hookimpls())
        return tuple(
            Hook(
                plugin=impl.plugin_name,
                name=hook_name,
                function=impl.function,
                arguments=tuple(impl.argnames),
                way=way_of(hook_name, impl.function, impl.argnames),
            )
            for impl in impls
        )


def _installed() -> dict[str, list[importlib.metadata.EntryPoint]]:
    found: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):  # reads metadata, imports nothing
        found.setdefault(entry.name, []).append(entry)
    return found


def _spec_names() -> list[str]:
    return [name for name, value in vars(specs).items() if hasattr(value, "talkwire_spec")]


def _check_types(hook_name: str, given: Iterable[Any], kind: type, taken: Mapping[str, Any]) -> None:
    for one in given:
        if not (isinstance(one, type) and issubclass(one, kind)):
            raise PluginRefused(f"{hook_name} gave {one!r:.80}; give subclasses of {kind.__name__}")
        name = getattr(one, "type", "")
        if not _TYPE.fullmatch(name):
            raise PluginRefused(f"{one.__name__}.type is {name!r}; write a word of a-z, 0-9 and underscore")
        for method in PLAIN_METHODS if kind is Channel else ():
            if inspect.iscoroutinefunction(getattr(one, method)):  # an `authenticate` would let everybody in
                raise PluginRefused(f"{one.__name__}.{method} is async; write it as a plain function")
        if name in taken:
            raise PluginRefused(f"{one.__name__}.type is {name}, which another plugin has; enable one of them")
