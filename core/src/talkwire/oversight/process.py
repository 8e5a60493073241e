"""What this process holds: memory, handles, threads, tasks; a plugin that leaks is seen here first."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held now."""

    resident: int  # bytes; 0: this system does not say
    handles: int
    handles_most: int  # that the system allows; with none left nothing can be opened, and nobody connects
    threads: int
    tasks: int
    most_of: str  # what most of the tasks do, but for those that serve a connection each: `acme/__init__.py pump`
    most: int


def held() -> Held:
    """Look at this process; called on the event loop."""
    running = Counter(map(_doing, asyncio.all_tasks()))
    ours = Counter({what: count for what, count in running.items() if not what.startswith("aiohttp/")})
    [(most_of, most)] = ours.most_common(1) or [("", 0)]
    return Held(
        resident=_resident(),
        handles=_handles(),
        handles_most=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        threads=threading.active_count(),
        tasks=running.total(),
        most_of=most_of,
        most=most,
    )


def _doing(task: asyncio.Task[object]) -> str:
    code = getattr(task.get_coro(), "cr_code", None)
    if code is None:
        return "?"
    file = Path(code.co_filename)
    return f"{file.parent.name}/{file.name} {code.co_qualname if hasattr(code, 'co_qualname') else code.co_name}"


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
    except OSError:  # not Linux, or no handle is left
        return 0


def _handles() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # the listing has one of its own
        except FileNotFoundError:
            continue
        except OSError:  # none is left
            return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 0
