"""Everybody around one daemon: customers whose gateway comes again, the gateway that sends, and the operator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from tests.parts.ports import free_port

SETTINGS = """
[store]
url = "{url}"

[server]
listen = "127.0.0.1:{port}"

[admin]
listen = "127.0.0.1:0"

[plugins]
enabled = ["echo"]

[accounts.sms]
channel = "smsgate"
url = "http://{gateway}/cgi-bin/sendsms"
username = "tester"
password = "gateway-password-0123456789"
callback_url = "http://127.0.0.1:{port}/in/sms"
token = "gateway-token-0123456789"
"""
TOKEN = "gateway-token-0123456789"
ROOT = Path(__file__).resolve().parents[2]
TALKWIRE = Path(sys.executable).parent / "talkwire"
START_LIMIT = 30  # seconds
HEALS_WITHIN = 20  # seconds; nobody restarts anything
LOOK_EVERY = 0.05  # seconds between two looks at something that tells nobody


class Gateway:
    """A Kannel: takes what is sent, reports it delivered, keeps count."""

    def __init__(self) -> None:
        self.texts: Counter[str] = Counter()
        self.delay = 0.0  # seconds until it answers
        self.first: list[int] = []  # statuses that it answers first
        self.reports: list[str] = []
        self.host = ""

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Gateway]:
        app = web.Application()
        app.router.add_get("/cgi-bin/sendsms", self._sendsms)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.host = f"127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _sendsms(self, request: web.Request) -> web.Response:
        if self.first:
            return web.Response(status=self.first.pop(0), text="Temporal failure, try again later.")
        self.texts[request.query["text"]] += 1
        self.reports.append(request.query["dlr-url"].replace("%d", "1").replace("%T", "1795435200").replace("%A", ""))
        await asyncio.sleep(self.delay)
        return web.Response(status=202, text="0: Accepted for delivery")


class Town:
    """One daemon in a folder, and those who deal with it."""

    def __init__(
        self, folder: Path, gateway: Gateway, *, log: Path, url: str = "", host: str = "", port: int = 0
    ) -> None:
        self.folder = folder
        self.gateway = gateway
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin = ""
        self.key = ""  # of the API
        self.acknowledged: dict[str, str] = {}  # external id → text, once we said 200
        self.log_file = log
        settings = SETTINGS.format(
            url=url or f"sqlite:///{folder}/talkwire.db", port=self.port, gateway=host or gateway.host
        )
        (folder / "talkwire.toml").write_text(settings)
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession
        self._written = 0

    @property
    def database(self) -> Path:
        return self.folder / "talkwire.db"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @contextlib.asynccontextmanager
    async def open(self, *, wrapper: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> AsyncIterator[Town]:
        """Run the daemon until the block ends."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as self._session:
            await self.start(wrapper=wrapper, env=env)
            try:
                yield self
            finally:
                await self.kill()

    async def start(self, *, wrapper: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> None:
        """Start it and wait until it answers."""
        await self.begins(wrapper=wrapper, env=env)
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(START_LIMIT):
            line = await self._process.stdout.readline()
        assert line, f"the daemon did not start:\n{self.log[-3000:]}"
        self.url, self.admin = line.decode().split()

    async def begins(self, *, wrapper: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> None:
        """Begin to start it."""
        words = (*wrapper, sys.executable, "-m", "tests.faults.shop", str(self.folder))
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *words, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=asyncio.subprocess.PIPE, stderr=log
            )

    async def kill(self) -> None:
        """Kill it as the kernel does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> int:
        """Ask it to stop, and give its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(START_LIMIT):
            return await self._process.wait()

    # --- customers ---------------------------------------------------------------------------------------

    async def writes(self, text: str = "", *, id_: str = "", pad: int = 0, sender: int = 0, token: str = TOKEN) -> int:
        """Let a customer write; gives our status, 0 for no answer. `pad` bytes make the envelope large."""
        if not id_:
            self._written += 1
            id_ = f"m{self._written}"
        text = text or f"hello {id_}"
        query = {
            "from": f"62812345{sender or hash(id_) % 40:04}",
            "to": "13013",
            "text": text,
            "charset": "UTF-8",
            "id": id_,
            "ts": str(int(time.time())),
            "token": token,
        }
        try:
            if pad:
                asked = self._session.post(f"{self.url}/in/sms", params=query, data=os.urandom(pad))
            else:
                asked = self._session.get(f"{self.url}/in/sms", params=query)
            async with asked as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return 0
        if status == 200:
            assert body == b""  # a gateway would send it to the customer
            self.acknowledged[id_] = text
        return status

    async def writes_until_taken(self, **more: Any) -> str:
        """Let a customer write whose gateway comes again; gives the message's id."""
        self._written += 1
        id_ = f"m{self._written}"
        async with asyncio.timeout(HEALS_WITHIN):
            while await self.writes(id_=id_, **more) != 200:
                await asyncio.sleep(LOOK_EVERY)
        return id_

    async def report(self) -> None:
        """Report all that the gateway took as delivered, until we have taken it."""
        while self.gateway.reports:
            async with self._session.get(URL(self.gateway.reports.pop(), encoded=True)) as answer:
                assert answer.status == 200

    async def gets_a_key(self) -> None:
        """Make a key of the API."""
        code, said = await self.types("keys", "new", "town", "--scope", "host")
        assert code == 0, said
        self.key = said.split()[0]

    async def uploads(self, body: bytes) -> tuple[int, Any]:
        """Upload a file by the API."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/octet-stream"}
        url = f"{self.url}/api/v1/attachments"
        async with self._session.post(url, params={"name": "a.bin"}, data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    # --- the operator ------------------------------------------------------------------------------------

    async def readyz(self) -> tuple[int, str]:
        """Give the status and the reasons that /readyz tells."""
        return await self._health("readyz")

    async def livez(self) -> tuple[int, str]:
        return await self._health("livez")

    async def _health(self, what: str) -> tuple[int, str]:
        async with self._session.get(f"{self.admin}/{what}") as answer:
            return answer.status, "\n".join((await answer.json())["reasons"])

    async def is_ready(self) -> None:
        """Wait until /readyz is content."""
        async with asyncio.timeout(HEALS_WITHIN):
            while (await self.readyz())[0] != 200:
                await asyncio.sleep(LOOK_EVERY)

    async def types(self, *words: str) -> tuple[int, str]:
        """Type a command; gives its exit code and what it printed."""
        process = await asyncio.create_subprocess_exec(
            str(TALKWIRE),
            *words,
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(START_LIMIT):
            out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    async def status(self) -> str:
        return (await self.types("status"))[1]

    async def lost(self) -> list[str]:
        """Name what was acknowledged and is not there, or not once."""
        there = Counter(row[0] for row in self.rows("SELECT external_id FROM message WHERE direction = 'in'"))
        return [id_ for id_ in self.acknowledged if there[id_] != 1]

    async def all_answered(self) -> None:
        """Wait until each acknowledged message has its echo at the gateway; none has two."""
        wanted = {f"echo of {id_}" for id_, text in self.acknowledged.items() if not text.startswith("quiet")}
        async with asyncio.timeout(HEALS_WITHIN):
            while wanted - self.gateway.texts.keys():
                await asyncio.sleep(LOOK_EVERY)
        assert not [text for text in wanted if self.gateway.texts[text] > 1]

    async def comes_to_rest(self) -> None:
        """Wait until nothing is left to do."""
        async with asyncio.timeout(HEALS_WITHIN):
            while self.rows("SELECT count(*) FROM task")[0][0] or self._behind():
                await asyncio.sleep(LOOK_EVERY)

    def _behind(self) -> bool:
        sql = "SELECT count(*) FROM reader r, log_head h WHERE r.state = 'active' AND r.cursor < h.seq"
        return bool(self.rows(sql)[0][0])

    def rows(self, sql: str) -> list[Any]:
        """Look into the SQLite file."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def logged(self, since: int = 0) -> str:
        """Give what was logged since that many characters."""
        return self.log[since:]


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Take all the room that a small disk has left, and give it back."""
    ballast = folder / "ballast"
    assert shutil.disk_usage(folder).total <= 64 * 2**20, "never the real disk"
    try:
        with ballast.open("ab", buffering=0) as file:
            for block in (2**20, 4096):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * block) == block:
                        pass
        yield
    finally:
        ballast.unlink()
