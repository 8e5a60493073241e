"""Seen from the kernel: what a webhook brought is on the disk before the provider hears 200."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.load import World
from tests.crash.processes import Process

# -D leaves the daemon itself as our child; -y names files; -s shows whole pages, so that a message's text is seen.
STRACE = ("strace", "-D", "-f", "-y", "-s", "20000", "-e", "trace=fdatasync,fsync,pwrite64,sendto,sendmsg,writev,write")


@pytest.mark.needs("strace")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("synchronous", "synced"), [("full", [True] * 3), ("normal", [False] * 3)])
async def test_a_message_is_written_and_synced_before_200(
    sqlite_url: str, tmp_path: Path, synchronous: str, synced: list[bool]
) -> None:
    """With `synchronous = "normal"`, which nobody has who did not ask for it, the same eyes see no sync."""
    trace = tmp_path / "trace"
    daemons: list[Process] = []
    world = World(daemons, seed=1)
    texts = [f"text number {number} of the durability test" for number in range(3)]
    async with world.open():
        wrapper = (*STRACE, "-o", str(trace))
        daemon = Process(tmp_path / "daemon", sqlite_url, world.url, wrapper=wrapper, synchronous=synchronous)
        daemons.append(daemon)
        await daemon.start()
        for number, text in enumerate(texts):
            await world.says(
                [{"kind": "message", "id": f"m{number}", "time": 0, "from": "6281234567000", "text": text}]
            )
        await daemon.stop()
    calls = list(_calls(trace.read_text(errors="replace")))
    answers = [i for i, (name, _, said) in enumerate(calls) if '"HTTP/1.1 200' in said and name != "write"]
    assert len(answers) == len(texts)
    syncs = [i for i, (name, file, _) in enumerate(calls) if file.endswith(".db-wal") and "sync" in name]
    found = []
    for text, answer in zip(texts, answers, strict=True):
        written = [i for i, (_, file, said) in enumerate(calls) if file.endswith(".db-wal") and text in said]
        assert written[0] < answer, f"200 before `{text}` was written at all"
        found.append(any(written[0] < sync < answer for sync in syncs))
    assert found == synced


def _calls(text: str) -> Iterator[tuple[str, str, str]]:
    """Give (call, file, arguments) of each call: a sync where it ends, anything else where it begins."""
    begun: dict[tuple[str, str], tuple[str, str, str]] = {}
    for line in text.splitlines():
        pid, _, said = line.partition(" ")
        if resumed := re.match(r"\s*<\.\.\. (\w+) resumed>", said):
            if found := begun.pop((pid, resumed[1]), None):
                yield found
        elif match := re.match(r"\s*(\w+)\(\d+<(.*?)>(.*)", said):
            if "sync" in match[1] and said.endswith("<unfinished ...>"):
                begun[pid, match[1]] = (match[1], match[2], match[3])
            else:
                yield match[1], match[2], match[3]
