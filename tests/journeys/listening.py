"""Plugins of a test that note what they are told, and a power cut."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from talkwire import hookimpl

WAYS = ("tx", "thread", "loop")


def listener(way: str, hear: Callable[..., Any], hook: str = "on_inbound_message") -> Any:
    """Make a plugin whose hook calls `hear(subject, fact)`; of a message, with `tx` too where it runs there."""

    class Listener:
        pass

    if hook == "on_fact":
        functions: dict[str, Any] = {
            "tx": lambda self, fact, tx: hear(fact),
            "thread": lambda self, fact: hear(fact),
        }
    else:
        functions = {
            "tx": lambda self, message, fact, tx: hear(message, fact, tx),
            "thread": lambda self, message, fact: hear(message, fact),
        }

    async def on_loop(self, message, fact):
        return hear(message, fact)

    function = functions.get(way, on_loop)
    function.__name__ = hook
    setattr(Listener, hook, hookimpl(function))
    return Listener()


def cut_power(folder: Path, into: Path) -> Path:
    """Keep what the disk has at this moment: all that a machine without power finds again."""
    into.mkdir()
    for name in ("talkwire.db", "talkwire.db-wal"):
        shutil.copyfile(folder / name, into / name)
    return into
