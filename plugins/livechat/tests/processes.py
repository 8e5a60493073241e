"""A daemon as a process, to be killed, stopped and started again on the same port."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

from tests.parts.ports import free_ports

from .visits import SETTINGS, SITE

_START_LIMIT = 30  # seconds
_TALKWIRE = Path(sys.executable).parent / "talkwire"


class Process:
    """`talkwire run` in a folder."""

    def __init__(self, folder: Path, *, origin: str = SITE) -> None:
        self.folder = folder
        self.port, admin = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        store = f'[store]\nurl = "sqlite:///{folder}/talkwire.db"\n'
        servers = f'[server]\nlisten = "127.0.0.1:{self.port}"\n[admin]\nlisten = "127.0.0.1:{admin}"\n'
        (folder / "talkwire.toml").write_text(store + servers + SETTINGS.replace(SITE, origin))
        self._process: asyncio.subprocess.Process | None = None

    async def make(self) -> None:
        """Make the instance key and the tables."""
        await self._do("db", "upgrade")

    async def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log.txt").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(_TALKWIRE), "run", cwd=self.folder, stdout=log, stderr=log, env=self._env
            )
        async with asyncio.timeout(_START_LIMIT), aiohttp.ClientSession() as session:
            while True:
                assert self._process.returncode is None, self.log
                try:
                    async with session.get(f"{self.url}/c/site/widget.js") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)  # it tells nobody when it is there

    async def kill(self) -> None:
        """Kill it as the kernel does."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """Ask it to stop, and give its exit code."""
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(_START_LIMIT):
            return await self._process.wait()

    async def end(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self._process.returncode is None:
            await self.kill()

    def rows(self, sql: str) -> list[Any]:
        """Look into its SQLite file."""
        with closing(sqlite3.connect(self.folder / "talkwire.db")) as connection:
            return connection.execute(sql).fetchall()

    async def connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        """Open a socket and say nothing."""
        return await session.ws_connect(f"{self.url}/c/site/socket", headers={"Origin": SITE})

    @property
    def log(self) -> str:
        """Give what it has logged."""
        return (self.folder / "log.txt").read_text(errors="replace")

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONFAULTHANDLER": "1"}

    async def _do(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            str(_TALKWIRE), *words, cwd=self.folder, env=self._env, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out
