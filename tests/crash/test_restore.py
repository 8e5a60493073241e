"""A backup is taken under load, the daemon is killed much later, the backup is brought back: nothing is sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from aiohttp import web

from talkwire.api.principals import create_keys
from talkwire.clock import SystemClock
from talkwire.lifecycle import backups, recovery
from talkwire.lifecycle.backups import Instance, Manifest
from talkwire.lifecycle.copying import Place
from talkwire.store import Query, Store
from talkwire.store.revisions import CORE
from tests.crash.load import World
from tests.crash.processes import Process

Proof = Callable[[str, Mapping[str, object]], None]


class Hearing(World):
    """A world that also knows what the customers read."""

    def __init__(self, daemons: list[Process], seed: int) -> None:
        super().__init__(daemons, seed)
        self.texts: Counter[str] = Counter()
        self._newcomers_from: float = float("inf")

    def gets_newcomers(self) -> None:
        """Let people write from now on who have not written before: nothing of theirs is held."""
        self._newcomers_from = self._written

    def _sender(self, external_id: str) -> str:
        known = super()._sender(external_id)
        return f"{known}7" if int(external_id[1:]) > self._newcomers_from else known

    async def _provider(self, request: web.Request) -> web.StreamResponse:
        before = len(self.known.order)
        answer = await super()._provider(request)
        if len(self.known.order) > before:
            self.texts[(await request.json())["text"]] += 1
        return answer


@pytest.mark.timeout(120)
async def test_a_backup_under_load_is_whole_and_what_it_brings_back_is_not_sent_again(
    database_url: str, tmp_path: Path, proving: bool, proof: Proof, request: pytest.FixtureRequest
) -> None:
    more = 500 if proving else 20  # sends between the backup and the kill
    is_sqlite = database_url.startswith("sqlite:")
    daemons: list[Process] = []
    world = Hearing(daemons, seed=7)
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(600 if proving else 90))
        await stack.enter_async_context(world.open())
        world.token = await _token(database_url)
        first = Process(tmp_path / "before", database_url, world.url)
        daemons.append(first)
        stack.push_async_callback(first.kill)
        await first.start()
        async with world.busy(customers=6, agents=4):
            await _sent(world, 20)
            instance = _instance(first.folder, database_url)
            taken_from = len(world.known.order)
            backup = await asyncio.to_thread(backups.back_up, instance, tmp_path / "backup", [CORE])
            during = len(world.known.order) - taken_from
            await _sent(world, len(world.known.order) + more)
            await first.kill()
            killed_at = len(world.known.order)
            url = _other_database(database_url, tmp_path, request)
            second = Process(tmp_path / "after", url, world.url)
            stack.push_async_callback(second.kill)
            after = _instance(second.folder, url)
            restored = await asyncio.to_thread(recovery.restore, tmp_path / "backup", after, [CORE], {})
            assert len(world.known.order) == killed_at
            await second.start()
            world.gets_newcomers()
            daemons[:] = [second]
            await _sent(world, killed_at + 10)
        await second.stop()
        counted = Counter(world.known.order)
        assert [part for part, count in counted.items() if count > 1] == []
        assert [text for text, count in world.texts.items() if count > 1 and text.startswith("echo")] == []
        assert await _read(url, lambda query: _lacking(query, backup)) == []
    proof(
        f"restore-{'sqlite' if is_sqlite else 'postgres'}",
        {
            "sends before the backup": taken_from,
            "sends while it was taken": during,
            "sends from the backup to kill -9": killed_at - taken_from,
            "rows in the backup": sum(backup.rows.values()),
            "tasks open at the backup, held": sum(one.tasks for one in restored.held),
            "sends after the restore": len(world.known.order) - killed_at,
            "parts sent twice": sum(count > 1 for count in counted.values()),
            "automatic answers read twice": sum(n > 1 for text, n in world.texts.items() if text.startswith("echo")),
            "seconds": round(time.monotonic() - began),
        },
    )


async def _token(url: str) -> str:
    store = Store(url, SystemClock())
    await store.open()
    try:
        return str(await store.write(create_keys, ("agents", "bot")))
    finally:
        await store.close()


async def _sent(world: World, count: int) -> None:
    """Wait until the provider has taken so many parts."""
    while len(world.known.order) < count:
        await asyncio.sleep(0.02)  # daemons in processes of their own: there is nothing to wait for


def _instance(folder: Path, url: str) -> Instance:
    key = folder / "instance.key"
    key.write_text("a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=\n")
    return Instance(folder / "talkwire.toml", key, Place(url, folder / "files"))


def _other_database(url: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Give the place into which the backup is brought back."""
    if url.startswith("sqlite:"):
        return f"sqlite:///{folder / 'after' / 'talkwire.db'}"
    cluster = request.getfixturevalue("postgres_cluster")
    return str(cluster.url(cluster.new_database()))


async def _read(url: str, fn: Callable[[Query], list[str]]) -> list[str]:
    store = Store(url, SystemClock())
    try:
        return await store.read(fn)
    finally:
        await store.close()


def _lacking(query: Query, backup: Manifest) -> list[str]:
    """Name what was in the backup and is not here, and facts that are not in order."""
    faults = []
    for table in ("message", "delivery", "envelope", "contact", "address"):
        [(count,)] = query.execute(f"SELECT count(*) FROM {table}")
        if count < backup.rows[table]:
            faults.append(f"{table}: {count} of {backup.rows[table]}")
    [(count,)] = query.execute("SELECT count(*) FROM fact WHERE seq <= :seq", {"seq": backup.log})
    if count != backup.log:
        faults.append(f"fact: {count} of {backup.log}")
    broken = """
        SELECT count(*) FROM delivery d WHERE d.state = 0 AND NOT EXISTS (SELECT 1 FROM task t WHERE t.ref = d.id)
    """
    [(alone,)] = query.execute(broken)
    return [*faults, *([f"{alone} parts that nobody is to send"] if alone else [])]
