"""One account that is flooded keeps no other waiting."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from talkwire.clock import SystemClock
from talkwire.model import Rate
from talkwire.testing.hub import WholeHub, whole_hub
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin, full
from tests.mutants.acme import ACME

PROVIDER_TAKES = 0.06  # seconds for an answer, as one on the other side of a sea


def accounts(url: str, names: list[str]) -> str:
    """Write the settings of several shops."""
    return "".join(SETTINGS.replace("accounts.shop", f"accounts.{name}").format(url=url, more="") for name in names)


async def written(acme: AcmeHub, account: str, count: int, first: int) -> list[str]:
    """Let customers write to an account; give their conversations."""
    for start in range(first, first + count, 100):
        events = [
            {"kind": "message", "id": f"{account}-{n}", "time": acme.now, "from": f"62812{n:08}", "text": "Hello"}
            for n in range(start, min(start + 100, first + count))
        ]
        await acme.says(events, endpoint=account)
    rows = await acme.hub.rows("SELECT id FROM conversation WHERE account = :account ORDER BY id", account=account)
    return [row[0] for row in rows]


async def test_others_are_served_long_before_a_flood_is_over(start_acme: Any, fake_provider: Any) -> None:
    """Counted by what the provider has seen by then, not by the clock."""
    provider = await fake_provider(ACME.answers)
    others = [f"other-{n}" for n in range(5)]
    acme: AcmeHub = await start_acme(
        channel=full(), settings=accounts(provider.url, others), name="flooded", provider=provider
    )
    crowd = await written(acme, "flooded", 100, 0)
    talks = [(await written(acme, name, 1, 1000 + n))[0] for n, name in enumerate(others)]
    await asyncio.gather(*(acme.hub.reply(talk, f"flood {n}") for n, talk in enumerate(crowd)))
    await asyncio.gather(*(acme.hub.reply(talk, "other") for talk in talks))
    await acme.hub.run_until_idle()
    assert len(acme.texts) == 105
    assert "other" not in acme.texts[55:], "somebody waited for half of the flood"


class Gate:
    """A provider of many shops: it takes its time, and notes when each part was with it."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}  # text → when it came

    async def take(self, request: web.Request) -> web.Response:
        text = (await request.json())["text"]
        self.at[text] = time.monotonic()
        await asyncio.sleep(PROVIDER_TAKES)
        return web.json_response({"id": f"p-{text}"}, status=201)


@pytest.mark.prove
@pytest.mark.one_file
async def test_with_one_account_flooded_the_others_wait_hardly_longer(
    tmp_path: Path, empty_database: Path, proving: bool, proof: Callable[[str, Mapping[str, object]], None]
) -> None:
    flood, others, rounds = (10_000, 49, 20) if proving else (50, 3, 1)
    gate = Gate()
    app = web.Application()
    app.router.add_post("/v1/messages", gate.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    names = ["flooded", *(f"other-{n}" for n in range(others))]
    channel = full(rates=(Rate(count=80, per=timedelta(seconds=1)),))
    text = accounts(f"http://{host}:{port}", names)
    try:
        async with whole_hub(
            text,
            tmp_path,
            template=empty_database,
            plugins={"acme": AcmePlugin(channel)},
            clock=SystemClock(),  # type: ignore[arg-type]
        ) as hub:
            figures = await _measured(hub, gate, flood, names, rounds, 1 if proving else 0.05)
    finally:
        await runner.cleanup()
    proof("flood", figures)
    if proving:
        assert figures["left of them at the end"] > 0, "the flood was over too soon: nothing was measured"
        assert figures["grows by, %"] < 20


async def _measured(
    hub: WholeHub, gate: Gate, flood: int, names: list[str], rounds: int, pause: float
) -> dict[str, Any]:
    acme = AcmeHub(hub, None)  # type: ignore[arg-type]
    crowd = await written(acme, "flooded", min(flood, 500), 0)
    talks = [(await written(acme, name, 1, 1000 + n))[0] for n, name in enumerate(names[1:])]
    before = await _waits(hub, gate, talks, rounds, pause, "before")
    for n in range(flood):
        await hub.reply(crowd[n % len(crowd)], f"flood {n}")
    sent = sum(text.startswith("flood") for text in gate.at)
    during = await _waits(hub, gate, talks, rounds, pause, "during")
    left = flood - sum(text.startswith("flood") for text in gate.at)
    grown = 100 * (statistics.median(during) / statistics.median(before) - 1)
    return {
        "replies of the flooded account": flood,
        "left of them at the end": left,
        "sent of them meanwhile, a second": round((flood - left - sent) / (rounds * pause)),
        "other accounts": len(talks),
        "median wait before, ms": round(1000 * statistics.median(before), 1),
        "median wait meanwhile, ms": round(1000 * statistics.median(during), 1),
        "grows by, %": round(grown, 1),
    }


async def _waits(hub: WholeHub, gate: Gate, talks: list[str], rounds: int, pause: float, word: str) -> list[float]:
    """Reply in each talk again and again, `pause` seconds apart, spread over them; give the seconds until each was at the provider."""
    asked: dict[str, float] = {}

    async def talk(n: int, conversation: str) -> None:
        await asyncio.sleep(pause * n / len(talks))
        for turn in range(rounds):
            text = f"{word} {n} {turn}"
            asked[text] = time.monotonic()
            await hub.reply(conversation, text)
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        for n, conversation in enumerate(talks):
            group.create_task(talk(n, conversation))
    async with asyncio.timeout(30):
        while not all(text in gate.at for text in asked):
            await asyncio.sleep(0.05)
    return [gate.at[text] - at for text, at in asked.items()]
