"""kill -9 while a daemon sends as fast as it may: no window sees more than was declared, whoever counts it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import random
import re
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from talkwire.cli import app
from talkwire.cli.starting import init
from talkwire.model import Rate
from tests.crash.processes import ROOT

Proof = Callable[[str, Mapping[str, object]], None]
Arrival = tuple[float, str]  # seconds, whom it was for

SETTINGS = """
[store]
url = "sqlite:///{folder}/talkwire.db"
[server]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[accounts.shop]
"""
LATE = 0.2  # seconds that a message may come later than others, on a machine that has more to do
SECRET = "kit-app-secret-0123456789"
NUMBER = "550100000000001"
WHATSAPP = f"""
channel = "whatsapp"
phone_number_id = "{NUMBER}"
token = "kit-token-0123456789"
app_secret = "{SECRET}"
verify_token = "kit-verify-token-0123456789"
api_url = "{{url}}/v23.0"
"""
TELEGRAM = """
channel = "telegram"
token = "123456:kit-token-0123456789"
updates = "poll"
api_url = "{url}"
"""


class Machine:
    """A folder in which `talkwire` is typed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public = ""
        self._daemon: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[bytes] | None = None

    async def types(self, *words: str) -> str:
        """Type a command; in this process, which takes a tenth of the time."""
        words = ("--config", str(self.folder / "talkwire.toml"), *words)
        ran = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert ran.exit_code == 0, f"talkwire {' '.join(words)}\n{ran.output}"
        return ran.output

    async def run(self) -> None:
        """Start the daemon, and wait until it serves."""
        self._daemon = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from talkwire.cli import main; main()", "run"),
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._daemon.stdout is not None
        said = ""
        async with asyncio.timeout(30):
            while "accounts" not in said:
                line = (await self._daemon.stdout.readline()).decode()
                assert line, f"it ended:\n{said}"
                said += line
        self.public = re.findall(r"public +(http://\S+)", said)[0]
        self._reading = asyncio.create_task(self._daemon.stdout.read())  # or it would stand still once the pipe is full

    async def kill(self) -> None:
        """End it as the kernel does when memory runs out."""
        if self._daemon is not None and self._daemon.returncode is None:
            self._daemon.kill()
            await self._daemon.wait()
        if self._reading is not None:
            await self._reading


@asynccontextmanager
async def counting() -> AsyncIterator[str]:
    """Run the provider that counts; give where it is."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.counting"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    yield made
    await made.kill()


class Shop:
    """An account with customers who have written, and replies that wait for each of them."""

    def __init__(self, machine: Machine, provider: str, web: aiohttp.ClientSession) -> None:
        self._machine, self._provider, self._web = machine, provider, web

    @classmethod
    @asynccontextmanager
    async def open(cls, machine: Machine, settings: str) -> AsyncIterator[Shop]:
        async with counting() as provider:
            init(machine.folder)
            (machine.folder / "talkwire.toml").write_text(
                (SETTINGS + settings).format(folder=machine.folder, url=provider)
            )
            await machine.types("db", "upgrade")
            key = re.findall(r"tw_\S+", await machine.types("keys", "new", "crm"))[0]
            headers = {"Authorization": f"Bearer {key}"}
            async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as web:
                await machine.run()
                yield cls(machine, provider, web)

    async def whatsapp_customers_write(self, numbers: Sequence[str]) -> None:
        now = str(int(time.time()))
        messages = [
            {"from": number, "id": f"wamid.in{number}", "timestamp": now, "type": "text", "text": {"body": "Halo"}}
            for number in numbers
        ]
        metadata = {"display_phone_number": "15550001111", "phone_number_id": NUMBER}
        value = {"messaging_product": "whatsapp", "metadata": metadata, "contacts": [], "messages": messages}
        change = {"id": "660100000000001", "changes": [{"value": value, "field": "messages"}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [change]}).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
        async with self._web.post(f"{self._machine.public}/in/shop", data=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

    async def telegram_customers_write(self, chats: Sequence[int]) -> None:
        ann = {"id": 42, "is_bot": False, "first_name": "Ann"}
        updates = [
            {
                "update_id": 1000 + n,
                "message": {
                    "message_id": n + 1,
                    "date": int(time.time()),
                    "from": ann,
                    "chat": {"id": chat, "type": "private"}
                    if chat > 0
                    else {"id": chat, "type": "supergroup", "title": "G"},
                    "text": "Hello",
                },
            }
            for n, chat in enumerate(chats)
        ]
        async with self._web.post(f"{self._provider}/customers", json=updates) as answer:
            assert answer.status == 200

    async def replies_wait(self, kind: str, values: Sequence[str]) -> None:
        """Reply to each of these addresses, while the account is paused; then let it send."""
        await self._machine.types("accounts", "pause", "shop")
        url, busy = f"{self._machine.public}/api/v1/accounts/shop/replies", asyncio.Semaphore(8)

        async def reply(value: str) -> None:
            said = {"to": {"kind": kind, "value": value}, "text": "It is on its way."}
            async with busy, self._web.post(url, json=said) as answer:
                assert answer.status == 202, await answer.text()

        await asyncio.gather(*map(reply, values))
        await self._machine.types("accounts", "resume", "shop")

    async def arrivals(self, at_least: int) -> list[Arrival]:
        """Wait until so many messages have reached the provider; give them all."""
        async with self._web.get(f"{self._provider}/arrivals/{at_least}") as answer:
            return [(at, to) for at, to in await answer.json()]

    async def is_killed_at(self, numbers: Iterable[int]) -> None:
        """Kill the daemon each time when so many messages have reached the provider, and start it again."""
        for number in numbers:
            await self.arrivals(number)
            await self._machine.kill()
            await self._machine.run()


def busiest(times: Sequence[float], within: float) -> int:
    """Give the most messages that came within so many seconds."""
    return max(bisect_left(times, at + within) - n for n, at in enumerate(times))


def of_each(arrivals: Sequence[Arrival], rate: Rate) -> list[list[float]]:
    """Give for each address that a rate holds for when its messages came."""
    times: dict[str, list[float]] = defaultdict(list)
    for at, to in arrivals:
        if to.startswith(rate.begins):
            times[to].append(at)
    return list(times.values())


def is_kept(times: Sequence[float], rate: Rate) -> bool:
    """Say whether no time of any length saw more than a rate's burst and what became free meanwhile."""
    step = rate.per.total_seconds() / rate.count
    return all(
        number <= rate.burst + (last - first + LATE) // step
        for n, first in enumerate(times)
        for number, last in enumerate(times[n:], 1)
    )


def figures(arrivals: Sequence[Arrival], a_second: int, rates: Iterable[Rate], *, proving: bool) -> dict[str, Any]:
    """Say what the busiest times saw; fails where that is more than the provider takes.

    `a_second` is the most that it takes of the account, `rates` say what of one address.
    """
    seen = busiest([at for at, _ in arrivals], 1 if proving else 1 - LATE)
    said = {"messages": len(arrivals), "most in a second": f"{seen} of {a_second}"}
    assert seen <= a_second
    for rate in rates:
        each, per = of_each(arrivals, rate), rate.per.total_seconds()
        most = max(busiest(times, per) for times in each)
        said[f"most in {per:g} s to one of {len(each)}"] = f"{most} of {rate.count + rate.burst}"
        assert all(is_kept(times, rate) for times in each), said
    return said


@pytest.mark.timeout(90)
async def test_a_number_on_whatsapp_keeps_to_its_rates_across_kills(
    machine: Machine, proving: bool, proof: Proof
) -> None:
    """Each customer's whole burst goes out; the last kill comes when nothing is free any more."""
    abilities = pytest.importorskip("talkwire_whatsapp.abilities")
    customers = [f"62811000{n:04}" for n in range(7)]
    bursts = len(customers) * abilities.PAIR_RATE.burst
    kills = sorted(random.sample(range(20, bursts - 20), 12 if proving else 2))
    async with Shop.open(machine, WHATSAPP) as shop:
        await shop.whatsapp_customers_write(customers)
        await shop.replies_wait("phone", [f"+{number}" for number in customers] * 55)
        await shop.is_killed_at([*kills, bursts])
        arrivals = await shop.arrivals(bursts + 3)
    said = figures(arrivals, 80, [abilities.PAIR_RATE], proving=proving)
    proof("rates-whatsapp", {"kills": len(kills) + 1, **said})


@pytest.mark.timeout(90)
async def test_a_bot_on_telegram_keeps_to_its_rates_across_kills(machine: Machine, proving: bool, proof: Proof) -> None:
    """People get a message a second, groups their burst and then one every four seconds."""
    rates = pytest.importorskip("talkwire_telegram.features").FEATURES.rates
    people, groups = list(range(101, 111)), [-1001, -1002, -1003]
    enough = 320 if proving else 110
    kills = sorted(random.sample(range(20, enough - 10), 12 if proving else 3))
    async with Shop.open(machine, TELEGRAM) as shop:
        await shop.telegram_customers_write([*people, *groups])
        await shop.replies_wait("telegram", [str(chat) for chat in groups * 25 + people * (enough // 8)])
        await shop.is_killed_at(kills)
        arrivals = await shop.arrivals(enough)
    said = figures(arrivals, 30, [rate for rate in rates if rate.key == "address"], proving=proving)
    proof("rates-telegram", {"kills": len(kills), **said})
