"""From a customer's message to the desktop: milliseconds until a page and a client are told to show its notification.

At 50 a second; then the same with a second notifier beside it whose `deliver` hangs until it is cancelled.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from bench import payload
from talkwire import Message, Notification, Notifier, NotifierFeatures, Notify, Tx, hookimpl

if TYPE_CHECKING:
    from bench.__main__ import Results, Server

RATE = 50  # notifications a second
COUNT = 500  # of one cycle
PATH = "/in/bench"
_CONNECTIONS = 10
_PATIENCE = 60  # seconds
_NUMBER = re.compile(rb"RgA(\d{12})")
RECIPIENT = """
[recipients.bench]
media = ["desktop"%s]
[accounts.bench]
channel = "bench"
secret = "%s"
"""


def settings(*, hangs: bool) -> str:
    """Give the tables of a server, with or without a notifier that hangs."""
    return RECIPIENT % (', "hang"' if hangs else "", payload.SECRET)


class Telling:
    """Notifies of each message, in the transaction that moves its cursor; gives a notifier that hangs."""

    @hookimpl
    def on_inbound_message(self, message: Message, tx: Tx) -> Notify:
        """Tell of a message."""
        return Notify(recipient="bench", kind="bench", title=message.external_id, conversation=message.conversation)

    @hookimpl
    def register_notifiers(self) -> list[type[Notifier]]:
        """Give the notifier."""
        return [Hanging]


class Hanging(Notifier):
    """Never comes to an end."""

    type = "hang"
    features = NotifierFeatures(timeout=timedelta(seconds=5))

    async def deliver(self, notification: Notification) -> Any:
        """Hang."""
        await asyncio.Event().wait()


async def latency(results: Results, cycles: int, serving: Callable[..., AbstractContextManager[list[Server]]]) -> None:
    """Measure alone and beside, in turn; each server is a new one, whose hanging tasks disturb nobody else."""
    found: dict[str, list[tuple[float, float]]] = {"ours_notify-uvloop": [], "ours_notify_hang-uvloop": []}
    costs: dict[str, list[float]] = {name: [] for name in found}  # microseconds of the server's processor, each
    for _ in range(cycles):
        for name, figures in found.items():
            with serving(name) as (server,):
                await _told(server, RATE)  # warms up
                before = server.cpu()
                cuts = statistics.quantiles(await _told(server, COUNT), n=100)
                costs[name].append((server.cpu() - before) / COUNT)
            figures.append((cuts[49], cuts[98]))
    for at, cut in enumerate(("p50", "p99")):
        alone, beside = ([one[at] for one in figures] for figures in found.values())
        cpu, cpu_beside = (statistics.median(one) for one in costs.values())
        note = f"{RATE} a second, page and client; cpu {cpu:.0f} µs each, {cpu_beside:.0f} beside one that hangs"
        results.add(f"notify_{cut}", alone, "ms", None, note)
        ratios = [mine / base for mine, base in zip(beside, alone, strict=True)]
        results.add(f"notify_{cut}_beside_one_that_hangs", beside, "ms", ratios, "ratio to without")


async def _told(server: Server, count: int) -> list[float]:
    """Send messages at a fixed rate, open loop; gives how long after each was due it was told to the last surface."""
    loop = asyncio.get_running_loop()
    due: dict[int, float] = {}
    took: list[float] = []
    left: dict[int, int] = {}
    all_told = asyncio.Event()
    made = payload.requests(PATH, "127.0.0.1", count)

    def told(title: str) -> None:
        number = int(title[-12:])
        if number not in left:
            return  # what the surface was told before, and has not said that it shows
        left[number] -= 1
        if not left[number]:
            took.append((loop.time() - due[number]) * 1000)
        if len(took) == count:
            all_told.set()

    async with _surface(server, "page", told), _surface(server, "native", told), asyncio.TaskGroup() as group:
        idle: asyncio.Queue[Any] = asyncio.Queue()
        for _ in range(_CONNECTIONS):
            idle.put_nowait(await asyncio.open_connection("127.0.0.1", server.port))
        began = loop.time() + 0.05
        for at, request in enumerate(made):
            number = int(_NUMBER.findall(request)[0])
            due[number], left[number] = began + at / RATE, 2
            if (delay := due[number] - loop.time()) > 0:
                await asyncio.sleep(delay)
            group.create_task(_post(idle, request))
        async with asyncio.timeout(_PATIENCE):
            await all_told.wait()
    while not idle.empty():
        idle.get_nowait()[1].close()
    return took


async def _post(idle: asyncio.Queue[Any], request: bytes) -> None:
    reader, writer = await idle.get()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError("an answer was not 200")
    at = head.find(b"content-length:")
    await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
    idle.put_nowait((reader, writer))


@asynccontextmanager
async def _surface(server: Server, kind: str, told: Callable[[str], None]) -> AsyncIterator[None]:
    """Hold a socket that says of each notification that it is shown."""
    url = f"http://127.0.0.1:{server.port}/p/notify_desktop/socket"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
        hello = {"type": "hello", "protocol": 1, "surface": kind, "kind": kind, "device": "bench", "able": True}
        await ws.send_json({**hello, "key": server.key})
        if (await ws.receive_json())["type"] != "ready":
            raise RuntimeError("the server knows no such recipient")

        async def follow() -> None:
            async for message in ws:
                frame = json.loads(message.data)
                if frame["type"] == "show":
                    told(frame["notification"]["title"])
                    await ws.send_json({"type": "shown", "id": frame["notification"]["id"]})

        task = asyncio.get_running_loop().create_task(follow())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def plugins() -> dict[str, Any]:
    """Give what runs in a server."""
    import talkwire_notify_desktop

    return {"bench": payload.BenchPlugin(), "notify_desktop": talkwire_notify_desktop, "notify_hang": Telling()}
