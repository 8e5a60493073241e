"""Customers and their gateway as a process of their own: `python -m tests.faults.load DAEMON_URL`.

It prints the gateway's address, then does what each line on its standard input says, and answers with a line of JSON:

    {"do": "full", "seconds": 8}                       as fast as the answers come → cycles a second
    {"do": "steady", "seconds": 60, "rate": 40, "into": FILE}    at a fixed rate, whatever comes back

A cycle is a message, the reply that a hook gives, and the gateway's report of it. FILE gets three numbers a cycle: when
it was due (seconds since the epoch), milliseconds until we said 200, milliseconds until the reply was at the gateway.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.faults.town import TOKEN
from tests.parts.ports import free_port

SENDERS = 400  # customers
TOGETHER = 40  # of them at once, where all that counts is speed
REPORTERS = 16
ANSWERED_WITHIN = 60  # seconds, for the slowest cycle


class Load:
    """All of them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.written = 0
        self.acknowledged: set[str] = set()
        self.replies: Counter[str] = Counter()
        self.refused = 0
        self._arrived: dict[str, float] = {}  # message → when its reply was at the gateway
        self._reported: dict[str, asyncio.Event] = {}
        self._reports: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._session: aiohttp.ClientSession

    async def sendsms(self, request: web.Request) -> web.Response:
        """Take a reply as Kannel does, and report it delivered."""
        id_ = request.query["text"].rpartition(" ")[2]
        self.replies[id_] += 1
        self._arrived.setdefault(id_, time.time())
        url = request.query["dlr-url"].replace("%d", "1").replace("%T", str(int(time.time()))).replace("%A", "")
        self._reports.put_nowait((id_, url))
        return web.Response(status=202, text="0: Accepted for delivery")

    async def does(self, said: dict[str, Any]) -> dict[str, Any]:
        """Do what a line says, with connections of its own."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._session:
            reporting = [asyncio.create_task(self._report()) for _ in range(REPORTERS)]
            try:
                if said["do"] == "full":
                    found = {"rate": await self._full(said["seconds"])}
                else:
                    found = {"cycles": await self._steady(said["seconds"], said["rate"], Path(said["into"]))}
            finally:
                for task in reporting:
                    task.cancel()
        twice = sum(count > 1 for count in self.replies.values())
        return {**found, "acknowledged": len(self.acknowledged), "refused": self.refused, "twice": twice}

    async def _full(self, seconds: float) -> float:
        until, done = time.monotonic() + seconds, 0

        async def customer() -> None:
            nonlocal done
            while time.monotonic() < until:
                await self._cycle(time.time())
                done += 1

        async with asyncio.timeout(seconds + ANSWERED_WITHIN), asyncio.TaskGroup() as group:
            for _ in range(TOGETHER):
                group.create_task(customer())
        return done / seconds

    async def _steady(self, seconds: float, rate: float, into: Path) -> int:
        loop = asyncio.get_running_loop()
        began, first = loop.time() + 0.1, time.time() + 0.1
        figures = array("d")
        count = int(seconds * rate)

        async def one(due: float) -> None:
            figures.extend((due, *await self._cycle(due)))

        async with asyncio.timeout(seconds + ANSWERED_WITHIN), asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
                group.create_task(one(first + number / rate))
        into.write_bytes(figures.tobytes())
        return count

    async def _cycle(self, due: float) -> tuple[float, float]:
        self.written += 1
        id_ = f"s{self.written}"
        reported = self._reported[id_] = asyncio.Event()
        query = {
            "from": f"6281234{self.written % SENDERS:05}",
            "to": "13013",
            "text": f"question {id_}, with some words as people write them",
            "charset": "UTF-8",
            "id": id_,
            "ts": str(int(time.time())),
            "token": TOKEN,
        }
        while True:
            async with self._session.get(f"{self.url}/in/sms", params=query) as answer:
                if answer.status == 200:
                    break
                self.refused += 1
            await asyncio.sleep(1)  # as a gateway does
        taken = time.time()
        self.acknowledged.add(id_)
        await reported.wait()
        del self._reported[id_]
        return (taken - due) * 1000, (self._arrived.pop(id_) - due) * 1000

    async def _report(self) -> None:
        while True:
            id_, url = await self._reports.get()
            while True:
                async with self._session.get(URL(url, encoded=True)) as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(1)
            if (waiting := self._reported.get(id_)) is not None:
                waiting.set()


def read(file: Path) -> Iterator[tuple[float, float, float]]:
    """Give what was written into FILE."""
    figures = array("d")
    figures.frombytes(file.read_bytes())
    return zip(*[iter(figures)] * 3, strict=True)  # type: ignore[return-value]


async def _main(url: str) -> None:
    load = Load(url)
    app = web.Application()
    app.router.add_get("/cgi-bin/sendsms", load.sendsms)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    _say(f"127.0.0.1:{port}")
    while line := await asyncio.to_thread(sys.stdin.readline):
        _say(json.dumps(await load.does(json.loads(line))))
    await runner.cleanup()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
