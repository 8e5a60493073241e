"""Daemons as processes, to be killed, stopped and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

SETTINGS = """
[store]
url = "{url}"
synchronous = "{synchronous}"

[server]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[plugins]
enabled = ["echo_inside", "echo_outside"]

[accounts.shop]
channel = "acme"
url = "{provider}"
token = "kit-token-0123456789"
secret = "kit-secret-0123456789"
"""
ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 30  # seconds


class Process:
    """One daemon."""

    def __init__(
        self, folder: Path, url: str, provider: str, *, wrapper: tuple[str, ...] = (), synchronous: str = "full"
    ) -> None:
        folder.mkdir(exist_ok=True)
        text = SETTINGS.format(url=url, provider=provider, synchronous=synchronous)
        (folder / "talkwire.toml").write_text(text)
        self.folder = folder
        self.url = ""  # of its public server; empty: it does not answer
        self._wrapper = wrapper
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log.txt").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._wrapper,
                sys.executable,
                "-m",
                "tests.crash.shop",
                str(self.folder),
                cwd=ROOT,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_LIMIT):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the daemon did not start:\n{self.log[-3000:]}")
        self.url = line.decode().strip()

    async def kill(self) -> None:
        """Kill it as the kernel does when memory runs out: it does nothing more."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Ask it to stop, and give its exit code."""
        return await self._end(signal.SIGTERM)

    async def stall(self, seconds: float) -> None:
        """Let it stand still, as a machine does that is moved or swaps; then it goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)  # its lease goes by real time
        finally:
            self._process.send_signal(signal.SIGCONT)

    async def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        self.url = ""
        if process is None or process.returncode is not None:
            return 0
        process.send_signal(how)
        return await process.wait()

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")
