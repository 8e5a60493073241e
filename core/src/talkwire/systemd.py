"""What a daemon tells systemd: that it runs, how it does, that it lives (sd_notify(3), sd_watchdog_enabled(3), read 2026-11-28)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

_log = structlog.get_logger("talkwire.systemd")
_MOST = 500  # characters of a status line


class Systemd:
    """The service manager that started us, if one did: without NOTIFY_SOCKET nothing is told to anybody."""

    def __init__(self, env: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        self._place = env.get("NOTIFY_SOCKET", "")
        mine = env.get("WATCHDOG_PID", "") in ("", str(os.getpid() if pid is None else pid))
        said = env.get("WATCHDOG_USEC", "")
        self.every = int(said) / 2_000_000 if mine and said.isdecimal() and int(said) else None  # seconds; None: never

    def ready(self, status: str) -> None:
        """Say that we serve."""
        self._say("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """Say that the settings are read again; `ready` says that this is over."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that we stop."""
        self._say("STOPPING=1", "STATUS=finishing what is under way")

    def status(self, text: str) -> None:
        """Say how we do, for `systemctl status`."""
        self._say(f"STATUS={_line(text)}")

    async def watch(self, stuck: Callable[[], Sequence[str]]) -> None:
        """Say that we live for as long as it is true; else say why not, and be started anew.

        It runs on the loop that serves: where that hangs, nothing is said either.
        """
        named = ""
        while self.every is not None:
            why = "; ".join(stuck())
            if not why:
                self._say("WATCHDOG=1")
            elif why.partition(" for ")[0] != named:
                _log.error("not alive: the watchdog is told nothing", why=why)
                self.status(why)
            named = why.partition(" for ")[0]
            await asyncio.sleep(self.every)

    def _say(self, *lines: str) -> None:
        if not self._place:
            return
        address = "\0" + self._place[1:] if self._place.startswith("@") else self._place
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, contextlib.suppress(OSError):
            notify.setblocking(False)
            notify.sendto("\n".join(lines).encode(), address)


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST]
