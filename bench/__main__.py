"""Run all measurements: `python -m bench [NAME …]`; `--cycles N` (10), `--quick` (2 cycles, for a look).

Throughputs are one-second bursts, ours and the bare handler's in turn; each ratio is of one cycle, the figure is
their median. Server and loader have a core each, but where it says so. A shared machine is noisy: quote ratios, not rates.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bench import cores, livechat, load, mailbox, mailing, notify, payload, sending, whatsapp

ROOT = Path(__file__).resolve().parent.parent
OUT = Path(__file__).parent / "out" / "results.json"
BURST = 1.0  # seconds
RATE = 500  # messages a second, for latencies
PATH = "/in/bench"


class Server:
    """A measured process."""

    def __init__(self, name: str, url: str = "", **env: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.server", name, url],
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # it is a pipe
        port, self.key = self._process.stdout.readline().split()
        self.port = int(port)

    @property
    def pid(self) -> int:
        """Give its process id."""
        return self._process.pid

    def cpu(self) -> float:
        """Give the microseconds of processor time it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it, and wait for it."""
        assert self._process.stdin is not None  # it is a pipe
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving(*names: str, url: str = "", **env: str) -> Iterator[list[Server]]:
    """Start servers, and stop them in the end."""
    servers = [Server(name, url if name.startswith("ours") else "", **env) for name in names]
    try:
        yield servers
    finally:
        for server in servers:
            server.stop()


class Results:
    """Rows as they are measured, written and printed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, values: list[float], unit: str, ratios: list[float] | None = None, note: str = "") -> None:
        """Add one figure: the medians, with the quartiles of its ratio."""
        row: dict[str, Any] = {
            "name": name,
            "value": round(statistics.median(values), 2),
            "unit": unit,
            "ratio": round(statistics.median(ratios), 3) if ratios else None,
            "n": len(values),
        }
        if ratios and len(ratios) > 1:
            low, _, high = statistics.quantiles(ratios, n=4)
            row["q1"], row["q3"] = round(low, 3), round(high, 3)
        if note:
            row["note"] = note
        self.rows.append(row)
        spread = f" ({row['q1']}–{row['q3']})" if "q1" in row else ""
        print(f"{name:34} {row['value']:>10} {unit:8} ratio {row['ratio']}{spread} n={row['n']} {note}", flush=True)

    def write(self) -> None:
        """Write everything to a file."""
        OUT.parent.mkdir(exist_ok=True)
        about = {"machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"}
        OUT.write_text(json.dumps({"about": about, "rows": self.rows}, indent=1) + "\n")


def _payloads(number: int, _: bool) -> list[bytes]:
    return payload.requests(PATH, "127.0.0.1", number)


async def throughput(
    results: Results, cycles: int, servers: list[Server], make: Callable[[int, bool], list[bytes]] = _payloads
) -> None:
    """Measure servers in turn, the first being bare; give rates and CPU as ratios of each cycle."""
    rates: dict[str, list[float]] = {server.name: [] for server in servers}
    costs: dict[str, list[float]] = {server.name: [] for server in servers}
    for cycle in range(-1, cycles):  # the first warms up
        for server in servers:
            is_ours = not server.name.startswith(("bare", "raw"))
            made = make(16_000, is_ours) * (1 if is_ours else 4)  # who knows no message again may get it again
            before = server.cpu()
            rate = await load.burst(server.port, made, BURST)
            if cycle >= 0:
                rates[server.name].append(rate)
                costs[server.name].append((server.cpu() - before) / (rate * BURST))
    bare = servers[0].name
    for server in servers:
        name = _NAMES.get(server.name, server.name)
        ratios = [mine / base for mine, base in zip(rates[server.name], rates[bare], strict=True)]
        cpu = statistics.median(base / mine for mine, base in zip(costs[server.name], costs[bare], strict=True))
        note = f"cpu {statistics.median(costs[server.name]):.0f} µs each, cpu ratio {cpu:.2f}"
        results.add(name, rates[server.name], "1/s", ratios, note)


_NAMES = {"ours-uvloop": "inbound_durable_sqlite", "bare": "bare_asyncio", "bare-uvloop": "bare_uvloop"}


async def sqlite(results: Results, cycles: int) -> None:
    """The whole inbound transaction on SQLite FULL, beside one raw insert with group commit; then with all cores."""
    with serving("bare", "ours-uvloop", "bare-uvloop", "raw_insert-uvloop") as servers:
        await throughput(results, cycles, servers)
    with serving("bare", "ours-uvloop", **cores.for_all()) as servers:
        servers[0].name, servers[1].name = "bare_all_cores", "inbound_durable_sqlite_all_cores"
        await throughput(results, cycles, servers)


async def whatsapp_in(results: Results, cycles: int) -> None:
    """WhatsApp's signed texts, the whole path on SQLite FULL; then statuses, three for each message of ours."""
    with serving("bare", "ours_whatsapp-uvloop") as servers:
        servers[1].name = "inbound_durable_whatsapp"
        await throughput(results, cycles, servers, whatsapp.texts)
    with serving("bare", "ours_whatsapp-uvloop", BENCH_SENT="1") as servers:
        servers[0].name, servers[1].name = "bare_statuses", "inbound_statuses_whatsapp"
        await throughput(results, cycles, servers, whatsapp.statuses)


async def told(results: Results, cycles: int) -> None:
    """The same with one `tx` hook and one client of the stream; and which share is told within a second."""
    with serving("bare", "ours_told-uvloop") as (bare, ours):
        base, rates, shares = [], [], []
        for cycle in range(-1, cycles):
            base.append(await load.burst(bare.port, _payloads(16_000, False) * 4, BURST))
            async with _streaming(ours) as stream:
                made = payload.requests(PATH, "127.0.0.1", 16_000)
                rates.append(await load.burst(ours.port, made, BURST))
                await asyncio.sleep(1)
                # What is under way at the end of a burst is told, and not counted as answered.
                shares.append(min(1.0, stream.count / (rates[-1] * BURST)))
                await stream.until(int(rates[-1] * BURST))
            if cycle < 0:
                base, rates, shares = [], [], []
        ratios = [mine / one for mine, one in zip(rates, base, strict=True)]
        share = statistics.median(shares)
        note = f"{share:.0%} of a burst told to the stream a second after its end"
        results.add("inbound_durable_sqlite_told", rates, "1/s", ratios, note)


class _Stream:
    def __init__(self) -> None:
        self.count = 0
        self._more = asyncio.Event()

    def came(self, events: int) -> None:
        self.count += events
        self._more.set()

    async def until(self, count: int, seconds: float = 30) -> None:
        """Wait until that many were told, so that one burst does not weigh on the next."""
        async with asyncio.timeout(seconds):
            while self.count < count:
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def _streaming(
    server: Server, kind: str = "message.received", *, after: int | None = None
) -> AsyncIterator[_Stream]:
    stream = _Stream()
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {server.key}"}
    since = "" if after is None else f"&after={after}"
    url = f"http://127.0.0.1:{server.port}/api/v1/events?types={kind}{since}"
    patient = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, timeout=patient) as answer:
        answer.raise_for_status()

        async def follow() -> None:
            async for chunk in answer.content.iter_any():
                stream.came(chunk.count(b"\ndata:"))

        task = asyncio.get_running_loop().create_task(follow())
        try:
            yield stream
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextmanager
def _postgres() -> Iterator[Callable[[], str]]:
    sys.path.insert(0, str(ROOT))
    import psycopg

    from tests.parts.postgres import Cluster

    cluster = Cluster()
    cluster.start()
    try:

        def fresh() -> str:
            name = f"bench_{time.time_ns()}"
            with psycopg.connect(cluster.url(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return cluster.url(name)

        yield fresh
    finally:
        cluster.stop()
        cluster.remove()


async def postgres(results: Results, cycles: int) -> None:
    """The whole inbound transaction on PostgreSQL, whose work is on the loader's core."""
    with _postgres() as fresh, serving("bare", "ours-uvloop", url=fresh()) as servers:
        servers[1].name = "inbound_durable_postgres"
        await throughput(results, cycles, servers)


async def journey(results: Results, cycles: int) -> None:
    """In → hook → reply → send → receipt → fact: conversations answered a second, with a bare stub as provider."""
    with serving("bare") as (stub,), _answering(stub) as ours:
        base, rates = [], []
        for cycle in range(-1, cycles):
            base.append(await load.burst(stub.port, _payloads(16_000, False) * 4, BURST))
            number = 400
            async with _streaming(ours, "delivery.changed") as stream:
                began = time.perf_counter()
                await load.all_of(ours.port, payload.requests(PATH, "127.0.0.1", number))
                await stream.until(number, 120)
                rates.append(number / (time.perf_counter() - began))
            if cycle < 0:
                base, rates = [], []
        ratios = [mine / one for mine, one in zip(rates, base, strict=True)]
        results.add("journey", rates, "1/s", ratios, "400 messages each, answered and reported as sent")


@contextmanager
def _answering(stub: Server) -> Iterator[Server]:
    with serving("ours_answers-uvloop", BENCH_STUB=f"http://127.0.0.1:{stub.port}") as (ours,):
        yield ours


async def latency(results: Results, cycles: int) -> None:
    """Milliseconds from the moment a message was due until its answer, at 500 a second."""
    with serving("bare", "ours-uvloop", "raw_insert-uvloop") as servers:
        p50: dict[str, list[float]] = {server.name: [] for server in servers}
        p99: dict[str, list[float]] = {server.name: [] for server in servers}
        for cycle in range(-1, cycles):
            for server in servers:
                found = await load.at_rate(server.port, payload.requests(PATH, "127.0.0.1", 2 * RATE), RATE)
                if cycle >= 0:
                    cuts = statistics.quantiles(found, n=100)
                    p50[server.name].append(cuts[49])
                    p99[server.name].append(cuts[98])
        bare, ours, raw = (server.name for server in servers)
        for server in servers:
            results.add(f"latency_{RATE}_p50_{server.name}", p50[server.name], "ms")
            results.add(f"latency_{RATE}_p99_{server.name}", p99[server.name], "ms")
        base = statistics.median(p50[bare])
        results.add(f"latency_{RATE}_p50", p50[ours], "ms", [one / base for one in p50[ours]], "ratio to bare's p50")
        base = statistics.median(p99[raw])
        results.add(
            f"latency_{RATE}_p99", p99[ours], "ms", [one / base for one in p99[ours]], "ratio to raw_insert's p99"
        )


async def live_chat(results: Results, cycles: int) -> None:
    """Visitors on sockets, beside a bare echo: memory of each, coming, a message's way in, a reply's way out."""
    for count in (1000, 5000):
        with serving("echo", "ours_livechat-uvloop") as servers:
            await livechat.memory(results, servers, count)
    with serving("echo", "ours_livechat-uvloop") as servers:
        await livechat.connects(results, cycles, servers)
    with serving("echo", "ours_livechat-uvloop") as servers:
        await livechat.latency(results, cycles, servers)


async def mail_in(results: Results, cycles: int) -> None:
    """5,000 mails that wait in a mailbox: mails a second, and the memory that it takes."""
    await mailbox.catch_up(results, cycles, serving, lambda server: _streaming(server, after=0))


async def mail_out(results: Results, cycles: int) -> None:
    """Replies by SMTP, durable, beside aiosmtplib's `send_message` on one kept connection."""
    rates: dict[str, list[float]] = {"peer": [], "peer-uvloop": [], "ours": [], "ours-uvloop": []}
    async with mailing.sink() as to:
        for _ in range(cycles):
            for mode, found in rates.items():
                found.append(await mailing.rate(mode, to, 1500))
    for mode, found in rates.items():
        ratios = [mine / one for mine, one in zip(found, rates["peer"], strict=True)]
        results.add(f"mail_out_{mode}", found, "1/s", ratios, "1,500 mails; ratio to aiosmtplib send_message, kept")


async def send_telegram(results: Results, cycles: int) -> None:
    """Replies to Telegram, durable, beside aiohttp's client alone on the same stub."""
    await _sent(results, cycles, "telegram")


async def send_whatsapp(results: Results, cycles: int) -> None:
    """Replies to WhatsApp, durable, beside aiohttp's client alone on the same stub."""
    await _sent(results, cycles, "whatsapp")


async def _sent(results: Results, cycles: int, channel: str) -> None:
    rates: dict[str, list[float]] = {"bare": [], "bare-uvloop": [], "ours": [], "ours-uvloop": []}
    async with sending.stub() as to:
        for _ in range(cycles):
            for mode, found in rates.items():
                found.append(await sending.rate(mode, channel, to, 1500 if mode.startswith("ours") else 4000))
    for mode, found in rates.items():
        ratios = [mine / one for mine, one in zip(found, rates["bare"], strict=True)]
        note = f"{sending.AT_ONCE} at once; ratio to aiohttp's client, json="
        results.add(f"send_{channel}_{mode}", found, "1/s", ratios, note)


async def notify_desktop(results: Results, cycles: int) -> None:
    """A message's way to the desktop, alone and beside a notifier that hangs."""
    await notify.latency(results, cycles, serving)


async def starting(results: Results, cycles: int) -> None:
    """Whole processes: until the daemon is ready, and `--help`, as ratios to importing aiohttp and pydantic."""
    base, ready, helps = await asyncio.to_thread(_processes, cycles)
    results.add("start_ready", ready, "ms", [mine / one for mine, one in zip(ready, base, strict=True)])
    results.add("cli_help", helps, "ms", [mine / one for mine, one in zip(helps, base, strict=True)])


def _processes(cycles: int) -> tuple[list[float], list[float], list[float]]:
    talkwire = str(Path(sys.executable).parent / "talkwire")
    base, ready, helps = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([talkwire, "init", folder], check=True, capture_output=True)
        config = Path(folder) / "talkwire.toml"
        config.write_text(
            config.read_text().replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9464", "127.0.0.1:0")
        )
        ours = [talkwire, "--config", str(config)]
        subprocess.run([*ours, "db", "upgrade"], check=True, capture_output=True)
        for _ in range(cycles):
            base.append(_timed([sys.executable, "-c", "import aiohttp, pydantic"]))
            helps.append(_timed([talkwire, "--help"]))
            ready.append(_until_ready([*ours, "run"]))
    return base, ready, helps


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return (time.perf_counter() - began) * 1000


def _until_ready(command: list[str]) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None  # it is a pipe
    for line in process.stdout:
        if "ready" in line:
            break
    took = (time.perf_counter() - began) * 1000
    process.terminate()
    process.communicate(timeout=30)
    return took


ALL: dict[str, Callable[[Results, int], Awaitable[None]]] = {
    "sqlite": sqlite,
    "whatsapp_in": whatsapp_in,
    "told": told,
    "postgres": postgres,
    "journey": journey,
    "latency": latency,
    "livechat": live_chat,
    "mail_in": mail_in,
    "mail_out": mail_out,
    "send_telegram": send_telegram,
    "send_whatsapp": send_whatsapp,
    "notify": notify_desktop,
    "starting": starting,
}


async def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ALL)}; none: all")
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(ALL):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    cores.take_last()
    results = Results()
    for name in asked.names or ALL:
        print(f"-- {name}: {(ALL[name].__doc__ or '').strip()}", flush=True)
        await ALL[name](results, 2 if asked.quick else asked.cycles)
        results.write()


if __name__ == "__main__":
    asyncio.run(main())
