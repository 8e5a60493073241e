"""Two hundred visitors come, talk, leave and return while agents write: nothing is lost, doubled, or left over."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import talkwire_livechat
from talkwire import NoAnswer
from talkwire.api import make_app
from talkwire.clock import SystemClock

from .visits import SETTINGS, Site

VISITORS = 200  # in the long form
FEW = 60  # in the short one
GRACE = 3  # seconds; some come back within it, some find their session ended
LIMITS = f"""
grace_seconds = {GRACE}
limits.sockets_per_address = 1000
limits.visitors_per_address = 1000
limits.messages = 10000
"""  # they share an address
REPLIES = 15  # a second
SETTLED_WITHIN = 60  # seconds
TOO_SLOW = 4008
_FILLER = json.dumps({"t": "filler", "text": "x" * 50_000})
_PAGE = os.sysconf("SC_PAGE_SIZE")

_LEFT = """
    SELECT (SELECT count(*) FROM livechat_connection), (SELECT count(*) FROM timer WHERE plugin = 'livechat'),
        (SELECT count(*) FROM task)
"""
_TOO_LATE = "SELECT m.text FROM delivery d JOIN message m ON m.id = d.message_id WHERE d.problem_code = 'session_ended'"


@dataclass
class World:
    """What is known from outside."""

    site: Site
    chance: random.Random
    busy: bool = True  # visitors come again
    promised: dict[str, str] = field(default_factory=dict)  # text of a reply → conversation
    counts: Counter[str] = field(default_factory=Counter)


class Person:
    """A visitor with a widget: says what is not acknowledged again, and folds what is shown by its key."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._number = number
        self._token = ""
        self._after = 0
        self._unsure: dict[str, str] = {}  # id → text, said and not acknowledged
        self._ready = asyncio.Event()
        self._heard = asyncio.Event()
        self.conversation = ""
        self.acknowledged: dict[str, str] = {}
        self.shown: dict[str, str] = {}  # key → text
        self.wrong: list[str] = []

    async def live(self) -> None:
        """Come and go while there is something to do."""
        while self._world.busy:
            await self.come()
            await asyncio.sleep(self._world.chance.uniform(0, 2 * GRACE if self._world.busy else 0))  # is elsewhere

    async def come(self, *, silent: bool = False) -> None:
        """Talk for a while, then go; each in its own way."""
        chance, counts = self._world.chance, self._world.counts
        ws = await self._world.site.connect()
        counts["visits"] += 1
        self._ready.clear()
        hello = {"t": "hello", "protocol": 1, "after": self._after, "fresh": chance.random() < 0.5}
        await ws.send_json({**hello, **({"token": self._token} if self._token else {})})
        reading = asyncio.create_task(self._read(ws))
        try:
            async with asyncio.timeout(SETTLED_WITHIN):
                await self._ready.wait()
            for id_, text in list(self._unsure.items()):
                await self._say(ws, id_, text)
            if silent:
                async with asyncio.timeout(SETTLED_WITHIN):
                    while not self._has_all():
                        self._heard.clear()
                        await self._heard.wait()
                return
            for _ in range(chance.randint(1, 3)):
                counts["said"] += 1
                id_ = f"{self._number}-{counts['said']}"
                await self._say(ws, id_, f"{id_} is asked")
                await asyncio.sleep(chance.uniform(0, 1))  # thinks
            if chance.random() < 0.03:
                await self._sleep_over(reading)
        except ConnectionError:
            counts["lines lost while writing"] += 1
        finally:
            if chance.random() < 0.5 and (connection := ws._response.connection) is not None:
                connection.transport.abort()  # the line drops
            await ws.close()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _say(self, ws: Any, id_: str, text: str) -> None:
        self._unsure[id_] = text
        await ws.send_json({"t": "message", "id": id_, "text": text})

    async def _sleep_over(self, reading: asyncio.Task[None]) -> None:
        """Read nothing while much comes, until the server has had enough."""
        channel = self._world.site.channel
        talk = await channel.hub.conversation(self.conversation) if self.conversation else None
        here = channel.sockets.of(talk.address.value) if talk is not None else None
        if here is None:
            return
        for socket in here.sockets.values():
            for _ in range(30):
                socket.put_text(_FILLER)
        async with asyncio.timeout(SETTLED_WITHIN):
            await asyncio.gather(reading, return_exceptions=True)
        self._world.counts["slow readers dropped"] += 1

    async def _read(self, ws: Any) -> None:
        async for said in ws:
            frame = json.loads(said.data)
            match frame["t"]:
                case "welcome":
                    self._token = frame["token"]
                case "ready":
                    self._ready.set()
                case "ack":
                    if text := self._unsure.pop(frame["id"], ""):
                        self.acknowledged[frame["id"]] = text
                case "nack":
                    self.wrong.append(f"nack {frame['code']}")
                case "message":
                    await self._shown(ws, frame)
            self._heard.set()

    async def _shown(self, ws: Any, frame: dict[str, Any]) -> None:
        self._after = max(self._after, frame["n"])
        if not frame["out"]:
            return
        before = self.shown.setdefault(frame["key"], frame["text"])
        if before != frame["text"]:
            self.wrong.append(f"{frame['key']} was another text")
        await ws.send_json({"t": "seen", "keys": [frame["key"]], "state": "read"})

    def _has_all(self) -> bool:
        mine = {text for text, talk in self._world.promised.items() if talk == self.conversation}
        return not self._unsure and mine <= set(self.shown.values())


@pytest.mark.prove
@pytest.mark.timeout(120)
async def test_visitors_who_come_and_go_leave_nothing_behind_and_miss_nothing(
    start_hub: Any, aiohttp_client: Any, proving: bool, proof: Callable[[str, Mapping[str, object]], None]
) -> None:
    visitors, rounds, seconds = (VISITORS, 10, 57) if proving else (FEW, 2, 3)
    seed = random.randrange(2**32)
    plugins = {"livechat": talkwire_livechat}
    hub = await start_hub(SETTINGS + LIMITS, plugins=plugins, clock=SystemClock())
    client = await aiohttp_client(make_app(hub.daemon), connector=aiohttp.TCPConnector(limit=0))
    world = World(Site(hub, Browsers(client)), random.Random(seed))
    people = [Person(world, number) for number in range(visitors)]
    began = time.monotonic()
    rests: list[Rest] = []
    for _ in range(rounds):
        world.busy = True
        async with asyncio.TaskGroup() as group:
            for person in people:
                group.create_task(person.live())
            group.create_task(_answering(world, people))
            await asyncio.sleep(seconds)
            world.busy = False
        await _settled(world)
        await hub.daemon.store.write(_shrink, None)
        rests.append(Rest.now(_own(world, people)))

    await _know(world, people)
    for (text,) in await hub.rows(_TOO_LATE):
        del world.promised[text]
        world.counts["replies failed, their session having ended"] += 1
    for person in people:
        await person.come(silent=True)
    await _settled(world)
    await _know(world, people)  # whose first acknowledgement came only now
    wrong = [f"{person.conversation}: {fault}" for person in people for fault in person.wrong]
    assert not wrong, f"seed {seed}: {wrong[:20]}"
    assert not (faults := await _faults(world, people)), f"seed {seed}: {faults[:20]}"

    first, last = rests[0], rests[-1]
    proof(
        "livechat-soak",
        {
            "visitors": visitors,
            **dict(sorted(world.counts.items())),
            "acknowledged, there exactly once": sum(len(person.acknowledged) for person in people),
            "replies promised, shown exactly once": len(world.promised),
            "rests": rounds,
            "resident MiB at each rest, without SQLite's cache and what the test remembers": " ".join(
                f"{rest.kib / 1024:.1f}" for rest in rests
            ),
            "objects at each rest": " ".join(str(rest.objects) for rest in rests),
            "tasks at each rest": " ".join(str(rest.tasks) for rest in rests),
            "sockets, rows, timers and tasks left": 0,
            "seconds": round(time.monotonic() - began),
            "seed": seed,
        },
    )
    assert last.tasks <= first.tasks + 2  # a pump that happens to be at work
    assert last.kib < first.kib + (8 if proving else 16) * 1024
    assert last.objects < first.objects * 1.1
    assert world.promised  # there was a load
    assert world.counts["visits"] > visitors


class Browsers:
    """Opens sockets; the client of aiohttp's tests keeps each of them to its end."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def ws_connect(self, path: str, **more: Any) -> Any:
        return await self._client.session.ws_connect(self._client.make_url(path), **more)


@dataclass(frozen=True)
class Rest:
    """What the process holds while nobody is there."""

    kib: int
    objects: int
    tasks: int

    @classmethod
    def now(cls, own: int) -> Rest:
        """Count what is held, without the bytes that this test keeps for itself."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, so that only what is held counts
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls((pages * _PAGE - own) // 1024, len(gc.get_objects()), len(asyncio.all_tasks()))


def _shrink(tx: Any, items: Any) -> Any:
    """Let SQLite give back the pages that it has read: its cache may grow to 64 MiB with the database."""
    tx.execute("PRAGMA shrink_memory")
    return items


def _own(world: World, people: list[Person]) -> int:
    """Count the bytes of what was said and shown, which this test remembers to compare it in the end."""
    kept = [world.promised, *(table for person in people for table in (person.acknowledged, person.shown))]
    return sum(sys.getsizeof(table) + sum(map(sys.getsizeof, [*table, *table.values()])) for table in kept)


async def _answering(world: World, people: list[Person]) -> None:
    """Reply to anybody, here or not."""
    while world.busy:
        await asyncio.sleep(1 / REPLIES)
        await _know(world, people)
        known = [person.conversation for person in people if person.conversation]
        if not known:
            continue
        world.counts["replies tried"] += 1
        talk, text = world.chance.choice(known), f"answer {world.counts['replies tried']}"
        try:
            await world.site.hub.reply(talk, text)
        except NoAnswer:  # nothing is stored: the session has ended
            world.counts["replies refused"] += 1
        else:
            world.promised[text] = talk


async def _know(world: World, people: list[Person]) -> None:
    """Find the conversations of those who have said something."""
    missing = {next(iter(person.acknowledged)): person for person in people if person.acknowledged}
    missing = {id_: person for id_, person in missing.items() if not person.conversation}
    if not missing:
        return
    rows = await world.site.hub.rows("SELECT external_id, conversation_id FROM message WHERE direction = 'in'")
    for external_id, conversation in rows:
        if (person := missing.get(external_id.rpartition(":")[2])) is not None:
            person.conversation = conversation


async def _settled(world: World) -> None:
    """Wait until nobody is there, and all sessions have ended."""
    channel, hub = world.site.channel, world.site.hub
    async with asyncio.timeout(SETTLED_WITHIN):
        while len(channel.sockets) or await hub.rows(_LEFT) != [(0, 0, 0)] or hub.daemon.store.waiting:
            await asyncio.sleep(0.05)
    assert channel.sockets.from_address("127.0.0.1") == 0


async def _faults(world: World, people: list[Person]) -> list[str]:
    """Compare what is stored with what was acknowledged, promised and shown."""
    rows = await world.site.hub.rows("SELECT direction, conversation_id, text FROM message")
    kept = Counter((row[0], row[1], row[2]) for row in rows)
    faults = [f"{what} {count} times" for what, count in kept.items() if count != 1]
    for person in people:
        known = [("in", person.conversation, text) for text in person.acknowledged.values()]
        faults += [f"{what}: acknowledged and lost" for what in known if what not in kept]
        mine = Counter(text for text, talk in world.promised.items() if talk == person.conversation)
        shown = Counter(person.shown.values())
        if shown != mine:
            faults.append(f"{person.conversation}: {shown - mine} shown, {mine - shown} not shown")
    return faults
