"""Who runs on which core: what is measured has the first to itself, what measures and what stands in for others the last.

A process hands its cores on to those that it starts, so one that must have another core is told so by its environment.
"""

from __future__ import annotations

import os

_NAME = "BENCH_CORE"


def take_last() -> None:
    """Take the last core for this process, and leave the first to those that are measured."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.environ[_NAME] = str(cores[0])
        os.sched_setaffinity(0, {cores[-1]})


def take_first() -> None:
    """Take the cores that were left to this process."""
    if cores := os.environ.get(_NAME):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


def for_all() -> dict[str, str]:
    """Give what tells a process to run wherever it likes."""
    return {_NAME: ",".join(map(str, range(os.cpu_count() or 1)))}
