"""The life of the data: people are forgotten, what a plugin kept is purged."""

from __future__ import annotations

from typing import Any

from ..daemon import Daemon
from ..errors import Conflict
from ..lifecycle import departures
from ..lifecycle.forgetting import Forgetting
from .command import Command, Said


def is_alone(daemon: Daemon) -> bool:
    """Say whether nothing else puts files here now: done at hand, under SQLite's lock."""
    return daemon.store.is_sqlite and not daemon.ready


async def _forget(daemon: Daemon, said: Said) -> Any:
    """Forget a person, by the contact's id."""
    forgetting = Forgetting(
        daemon.store,
        daemon.files,
        daemon.clock,
        daemon.plugins.forget,
        alone=is_alone(daemon),
        rewrite=True if said.get("rewrite") else None,
    )
    return await forgetting.forget(str(said["contact"]), str(said["by"]))


async def _purge_plugin(daemon: Daemon, said: Said) -> Any:
    name = str(said["plugin"])
    if any(info.name == name and info.state != "available" for info in daemon.plugins.infos):
        raise Conflict(f"the plugin {name} is enabled: take what names it out of the settings, and restart")
    return await departures.purge_plugin(daemon.store, name)


async def _noted(_daemon: Daemon, _said: Said) -> None:
    """Do nothing but what is done with every command: it is written down who asked."""


COMMANDS: dict[str, Command] = {
    "forget": _forget,
    "purge-plugin": _purge_plugin,
    "export": _noted,  # the command line reads by itself
    "backup": _noted,
}
