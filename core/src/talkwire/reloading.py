"""The settings of a running daemon, read again: what changed begins anew, all else goes on.

the file ──▶ read ──▶ a fault: nothing changes, and it is said
└──▶ compared with what runs ──▶ accounts, rules, recipients, … ──▶ in force
                              └──▶ one of them fails: the others are in force, it is said, and the next reload does it
└──▶ servers, database, plugins ──▶ named: they need a restart
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from .daemon import Daemon, LastReload
from .errors import PLUGIN_MAY_RAISE, Conflict, StoreDown, TalkwireError, line_of
from .notify import notifying
from .sections import SECTIONS
from .settings import AccountConfig, Config, RawConfig, load_raw, read

_log = structlog.get_logger("talkwire.reloading")
_AT_ONCE = ("general", "log", "retention")  # sections that hold from the next look at them; the others need a restart


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What was done with changed settings."""

    done: tuple[str, ...] = ()  # what is in force: `general.language`, `accounts.shop: begun anew`
    restart: tuple[str, ...] = ()  # keys whose new values hold from the next start
    notes: tuple[str, ...] = ()  # what else somebody should do
    left: Mapping[str, str] = field(default_factory=dict)  # what could not be put in force → why


async def reload(daemon: Daemon) -> Changes:
    """Read the file of a running daemon again, and put in force what changed; one at a time.

    Errors: `SettingsError` with every fault, and nothing has changed; `StoreDown` likewise; `Conflict` while it starts
    or stops; `TalkwireError` that names what could not be put in force: all else is, and the next reload tries it again.
    """
    async with daemon.reloading:
        if not daemon.ready or daemon.stopping:
            raise Conflict("the daemon starts or stops; ask again once it runs")
        for told in daemon.reloads:
            told(True)
        try:
            return await _reload(daemon)
        finally:
            for told in daemon.reloads:
                told(False)


async def _reload(daemon: Daemon) -> Changes:
    now, last = daemon.clock.now(), daemon.last_reload
    left = last.left if last is not None else ()
    try:
        changes = await apply(daemon, await read_again(daemon), again=left)
    except TalkwireError as error:
        daemon.last_reload = LastReload(at=now, fault=str(error), left=left, taken=False)
        _log.error("settings not taken; those of before hold", why=str(error))
        raise
    fault = "; ".join(f"{what}: {why}" for what, why in changes.left.items())
    daemon.last_reload = LastReload(at=now, fault=fault, restart=changes.restart, left=tuple(changes.left))
    _log.info("settings read again", done=list(changes.done), restart=list(changes.restart))
    for note in changes.notes:
        _log.warning(note)
    if fault:
        raise TalkwireError(f"not all is in force, reload again: {fault}")
    return changes


# --- reading -------------------------------------------------------------------------------------------


async def read_again(daemon: Daemon) -> Config:
    """Read the file, and check it against the plugins that run. Errors: `SettingsError`."""
    raw, plugins = read(daemon.config.path), daemon.plugins
    new = {*raw.enabled, *raw.channels, *(f"notify_{medium}" for medium in raw.media)} - {*plugins.settings_models}
    if new:  # they come with the next start; what that would say is said now
        await asyncio.to_thread(_try, raw, plugins.extra)
    return raw.complete(plugins.channels, plugins.settings_models, others=[*plugins.others, *new])


def _try(raw: RawConfig, extra: Mapping[str, Any]) -> None:
    """Load the plugins that a file names as a start does, only to check the file. Errors: `SettingsError`."""
    load_raw(raw, extra=extra)


# --- comparing -----------------------------------------------------------------------------------------


def _restarts(old: Config, new: Config) -> Iterator[str]:
    """Name what a running daemon cannot change."""
    for section in SECTIONS:
        if section not in _AT_ONCE:
            yield from (f"{section}.{key}" for key in _keys(getattr(old, section), getattr(new, section)))
    if old.enabled != new.enabled:
        yield "plugins.enabled"


def _keys(old: Any, new: Any) -> Iterator[str]:
    return (key for key in type(new).model_fields if getattr(old, key) != getattr(new, key))


def _plugins_changed(old: Config, new: Config) -> list[str]:
    return [name for name in new.plugins if old.plugins.get(name) != new.plugins[name]]


# --- applying ------------------------------------------------------------------------------------------


async def apply(daemon: Daemon, config: Config, *, again: Collection[str] = ()) -> Changes:
    """Put in force what changed, and `again` what the last reload left; whatever fails of it stops nothing else.

    Errors: `StoreDown`, before anything has changed.
    """
    old = daemon.config
    restart = list(_restarts(old, config))
    # What cannot change stays as it runs, so that the next look finds the same difference again.
    stays = {name: getattr(old, name) for name in SECTIONS if name not in _AT_ONCE}
    new = replace(config, **stays, enabled=old.enabled)
    if new.recipients != old.recipients:
        await daemon.store.write(notifying.put_recipients, new.recipients)
    else:
        await daemon.store.read(lambda query: query.one("SELECT 1"))  # whoever is down says so before anything ends
    daemon.take(new)
    done = [f"{section}.{key}" for section in _AT_ONCE for key in _keys(getattr(old, section), getattr(new, section))]
    done += [f"plugins.{name}" for name in _plugins_changed(old, new)]
    if old.recipients != new.recipients:
        done.append("recipients")
    if old.templates != new.templates:
        done.append("templates")
    left: dict[str, str] = {}
    media = {name.removeprefix("notify_") for name in _plugins_changed(old, new) if name.startswith("notify_")}
    if "media" in again:
        media.update(daemon.media())  # which of them it left is not known
    if media or old.recipients != new.recipients or old.notify != new.notify or "media" in again:
        await _tried("media", daemon.open_media(media), left)
    told = [key for key in ("notify", "webhooks") if getattr(old, key) != getattr(new, key)]
    if (told or "readers" in again) and await _tried("readers", daemon.tell_readers(), left):
        done += told
    done += await _accounts(daemon, old, new, again, left)
    for name, account in new.accounts.items():
        if account.channel not in daemon.plugins.channels:
            restart.append(f"accounts.{name}.channel")
    return Changes(done=tuple(done), restart=tuple(restart), notes=await _notes(daemon, config), left=left)


async def _tried(what: str, work: Awaitable[None], left: dict[str, str]) -> bool:
    """Say whether a step was done; why not stands in `left` then."""
    try:
        await work
    except PLUGIN_MAY_RAISE as error:  # the other steps are done all the same
        ours = isinstance(error, TalkwireError)  # any other may quote a secret
        left[what] = str(error) if ours else f"{type(error).__name__} at {line_of(error)}"
        _log.error("not in force", what=what, why=left[what], kind=type(error).__name__, place=line_of(error))
        return False
    return True


async def _accounts(
    daemon: Daemon, old: Config, new: Config, again: Collection[str], left: dict[str, str]
) -> list[str]:
    """Let those accounts begin anew whose table is another; all at once, the slowest send decides how long it takes."""
    known = {**old.accounts, **new.accounts, **daemon.accounts.by_name}
    keys = {n: f"accounts.{n}" for n in known}
    names = [n for n in known if old.accounts.get(n) != new.accounts.get(n) or keys[n] in again]
    names = [n for n in names if n in new.accounts or daemon.account(n) is not None]  # else it never came
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(_tried(keys[name], _begin_anew(daemon, name, new.accounts.get(name)), left))
    return [f"{keys[name]}: {_word(name, old, new)}" for name in names if keys[name] not in left]


def _word(name: str, old: Config, new: Config) -> str:
    return "removed" if name not in new.accounts else "added" if name not in old.accounts else "begun anew"


async def _begin_anew(daemon: Daemon, name: str, config: AccountConfig | None) -> None:
    """Finish what the account has under way, then let another stand in its place.

    It takes in what comes at every moment; a send that takes longer than our patience ends as it ends, and its lane
    waits for that. Where the store is down meanwhile it begins all the same.
    """
    group, accounts = f"send:{name}", daemon.accounts
    await daemon.lanes.rest(group, daemon.patience)
    await accounts.end(name)
    runtime, before = accounts.put(name, config)
    daemon.intake.serve(accounts.endpoints())
    if before is not None:
        await accounts.shut(before)
    if runtime.channel is None:
        daemon.lanes.drop(group)
        daemon.leases.drop(group)
        daemon.leases.drop(f"listen:{name}")
    await accounts.begin(runtime)
    daemon.send_for(runtime)


async def _notes(daemon: Daemon, config: Config) -> tuple[str, ...]:
    key = daemon.keys[0].get_secret_value() if daemon.keys else b""
    try:
        same = await daemon.leases.same_settings(config.shared_hash(key))
    except StoreDown as error:
        return (f"whether other daemons of this database have the same settings is not known, reload again: {error}",)
    daemon.same_settings = same or daemon.same_settings
    return () if same else ("other daemons of this database have other settings now: reload them too",)


def words(changes: Changes) -> list[str]:
    """Say in lines for a person what a reload did."""
    lines = [one if ": " in one else f"{one}: in force" for one in changes.done]
    if not lines and not changes.restart:
        lines = ["nothing has changed"]
    lines += [f"{key}: holds from the next start" for key in changes.restart]
    return [*lines, *changes.notes]
