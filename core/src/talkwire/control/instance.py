"""What concerns the whole instance: its settings and its API keys."""

from __future__ import annotations

from typing import Any

from .. import reloading
from ..api import principals
from ..daemon import Daemon
from .command import Command, Said


async def _new_key(daemon: Daemon, said: Said) -> str:
    return await daemon.store.write(principals.create_keys, (str(said["name"]), str(said["scope"])))


async def _revoke_key(daemon: Daemon, said: Said) -> None:
    await daemon.store.write(principals.revoke_keys, str(said["key"]))


async def _reload(daemon: Daemon, _: Said) -> dict[str, Any]:
    """Read the settings again."""
    changes = await reloading.reload(daemon)
    return {"faults": "", "lines": reloading.words(changes), "restart": changes.restart}


COMMANDS: dict[str, Command] = {"new-key": _new_key, "revoke-key": _revoke_key, "reload": _reload}
