"""A daemon at half of what it can take, for half an hour: it keeps its memory, its handles and its speed.

TALKWIRE_SOAK_SECONDS makes the long form shorter, to look at it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import load
from tests.faults.plot import svg
from tests.faults.town import ROOT, Gateway, Town
from tests.parts.ports import free_port

Proof = Callable[[str, Mapping[str, object]], None]
PAGE = os.sysconf("SC_PAGE_SIZE")
REST = 4  # seconds until what the daemon keeps open between two requests is closed
LATE = 0.99


@dataclass(frozen=True)
class Sample:
    """What the daemon's process holds at a moment."""

    at: float  # seconds since the epoch
    mib: float
    handles: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Sample:
        proc = Path(f"/proc/{pid}")
        pages = int((proc / "statm").read_text().split()[1])
        threads = len(list((proc / "task").iterdir()))
        return cls(time.time(), pages * PAGE / 2**20, len(list((proc / "fd").iterdir())), threads)


class Generator:
    """The load, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.host = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Generator]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.load", url),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        made = cls(process)
        try:
            made.host = await made._hears()
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def does(self, **said: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        async with asyncio.timeout(said["seconds"] + 2 * load.ANSWERED_WITHIN):
            found: dict[str, Any] = json.loads(await self._hears())
        return found

    async def _hears(self) -> str:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the load ended"
        return line.decode().strip()


@pytest.mark.prove
@pytest.mark.timeout(180)
async def test_half_an_hour_at_half_of_full_load_leaves_memory_handles_and_speed_as_they_were(
    sqlite_url: str, tmp_path: Path, proving: bool, proof: Proof
) -> None:
    seconds = int(os.environ.get("TALKWIRE_SOAK_SECONDS", "1800")) if proving else 2
    # Half of what comes at full load also fills SQLite's cache, 64 MiB, before memory is looked at.
    calibration, warm = (min(60, seconds / 9), seconds / 6) if proving else (1, 1)
    port = free_port()
    async with Generator.open(f"http://127.0.0.1:{port}") as generator:
        town = Town(tmp_path, Gateway(), log=tmp_path / "log.txt", host=generator.host, port=port)
        async with town.open():
            full = await generator.does(do="full", seconds=calibration)
            rate = full["rate"] / 2
            samples: list[Sample] = []
            async with asyncio.TaskGroup() as group:
                sampling = group.create_task(_sample(town.pid, samples))
                files = [tmp_path / "first", tmp_path / "second"]
                await generator.does(do="steady", seconds=warm, rate=rate, into=str(files[0]))
                await asyncio.sleep(REST if proving else 0)
                early = Sample.of(town.pid)
                said = await generator.does(do="steady", seconds=seconds - warm, rate=rate, into=str(files[1]))
                await asyncio.sleep(REST if proving else 0)
                late = Sample.of(town.pid)
                sampling.cancel()
            cycles = [cycle for file in files for cycle in load.read(file)]
            stored = town.rows("SELECT count(*), count(DISTINCT external_id) FROM message WHERE direction = 'in'")[0]
            delivered = town.rows("SELECT count(*) FROM delivery WHERE state = 30")[0][0]
            assert await town.stop() == 0, town.log[-2000:]
    assert stored == (said["acknowledged"],) * 2  # all that was acknowledged, once
    assert delivered == said["acknowledged"]  # each answered, and reported
    assert said["twice"] == 0
    figures = _figures(cycles, samples, early, late, warm)
    proof(
        "soak",
        {
            "seconds at load": seconds,
            "full load, cycles a second (message, reply by a hook, report)": f"{full['rate']:.0f}",
            "rate held": f"{rate:.0f}",
            "messages acknowledged, each stored once, answered once, reported": said["acknowledged"],
            "answers of 503": said["refused"],
            **figures.told,
        },
    )
    if not proving:
        return
    (ROOT / "docs" / "proof" / "soak.svg").write_text(_plot(cycles, samples, rate))
    assert figures.memory <= 1.05
    assert (late.handles, late.threads) == (early.handles, early.threads)
    assert figures.slower <= 1.2


async def _sample(pid: int, samples: list[Sample]) -> None:
    while True:
        samples.append(Sample.of(pid))
        await asyncio.sleep(1)


@dataclass(frozen=True)
class Figures:
    """What is judged, and told."""

    memory: float  # at the end : after the first sixth
    slower: float
    told: Mapping[str, object]


def _figures(
    cycles: list[tuple[float, float, float]], samples: list[Sample], early: Sample, late: Sample, warm: float
) -> Figures:
    began, ended = cycles[0][0], cycles[-1][0]
    settled = [s.mib for s in samples if began + warm <= s.at <= began + warm * 1.2 + 1] or [early.mib]
    final = [s.mib for s in samples if s.at >= ended - max(warm * 0.2, 1)] or [late.mib]
    first = [cycle for cycle in cycles if cycle[0] <= began + warm]
    last = [cycle for cycle in cycles if cycle[0] >= ended - warm]
    memory = statistics.median(final) / statistics.median(settled)
    p99 = {(name, i): _late(c[i] for c in part) for name, part in (("first", first), ("last", last)) for i in (1, 2)}
    slower = p99["last", 1] / p99["first", 1]
    told = {
        "resident MiB after a sixth of the time, at the end": (
            f"{statistics.median(settled):.1f}, {statistics.median(final):.1f} (× {memory:.3f}; at most 1.05)"
        ),
        "handles at rest after a sixth, at the end": f"{early.handles}, {late.handles}",
        "threads at rest after a sixth, at the end": f"{early.threads}, {late.threads}",
        "p99 ms until 200, first and last sixth": (
            f"{p99['first', 1]:.1f}, {p99['last', 1]:.1f} (× {slower:.2f}; at most 1.2)"
        ),
        "p99 ms until the reply is at the provider, first and last sixth": (
            f"{p99['first', 2]:.1f}, {p99['last', 2]:.1f}"
        ),
    }
    return Figures(memory, slower, told)


def _late(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[int(len(ordered) * LATE)] if ordered else 0.0


def _plot(cycles: list[tuple[float, float, float]], samples: list[Sample], rate: float) -> str:
    began = cycles[0][0]
    minutes = [((s.at - began) / 60, s) for s in samples]
    step = 10  # seconds in one point
    slices: dict[int, list[tuple[float, float, float]]] = {}
    for cycle in cycles:
        slices.setdefault(int((cycle[0] - began) // step), []).append(cycle)
    slow = {
        name: [((at + 0.5) * step / 60, _late(c[i] for c in part)) for at, part in sorted(slices.items())]
        for i, name in ((1, "until 200"), (2, "until the reply is out"))
    }
    return svg(
        f"One daemon on SQLite, {rate:.0f} messages, replies and reports a second",
        {
            "resident MiB": {"daemon": [(at, s.mib) for at, s in minutes]},
            "handles, threads": {
                "handles": [(at, float(s.handles)) for at, s in minutes],
                "threads": [(at, float(s.threads)) for at, s in minutes],
            },
            f"p99 of {step} seconds, ms": slow,
        },
    )
