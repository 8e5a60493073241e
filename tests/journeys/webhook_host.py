"""A host that is told facts: a real server on this machine, which takes, refuses, hangs or is away as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + "b3VyIGtleSBvZiB0aGlydHkgdHdvIGJ5dGVzLCBub3c="
OTHER = "whsec_" + "YW5vdGhlciBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="


@dataclass(frozen=True)
class Told:
    """One POST."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def fact(self) -> dict[str, Any]:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """Ask the library of the host's side; its `verify` goes by the machine's clock, and ours may be turned."""
        at = datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), UTC)
        signed = Webhook(secret).sign(self.id, at, self.body.decode())
        return signed in self.headers["webhook-signature"].split(" ")


Answer = Callable[[dict[str, Any]], int | web.Response | None]  # None: it hangs


class Host:
    """Notes what it is told; `answer` says with which status."""

    def __init__(self) -> None:
        self.tried: list[Told] = []
        self.taken: list[Told] = []
        self.answer: Answer = lambda _: 200
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._at_last = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/planted-path-0123456789"

    def table(self, name: str, more: str = "", secrets: str = f'["{SECRET}"]') -> str:
        """Write the settings."""
        return f'\n[[webhooks]]\nname = "{name}"\nurl = "{self.url}"\nsecrets = {secrets}\n{more}\n'

    @property
    def texts(self) -> list[str]:
        """Give what was taken, in the order in which it was: conversation's last figures and number in it."""
        return [f"{one.fact['type']} {one.fact['small'].get('n', '')}".strip() for one in self.taken]

    def of(self, conversation: str) -> list[int]:
        """Give the numbers of the facts that were taken of one conversation, in their order; of repeats the first."""
        seqs = [one.fact["seq"] for one in self.taken if one.fact["conversation"] == conversation]
        return list(dict.fromkeys(seqs))

    async def _take(self, request: web.Request) -> web.Response:
        told = Told({name.lower(): value for name, value in request.headers.items()}, await request.read())
        self.tried.append(told)
        said = self.answer(told.fact)
        if said is None:
            await self._at_last.wait()
            said = 200
        status = said if isinstance(said, int) else said.status
        if status < 300:
            self.taken.append(told)
        return web.Response(status=said) if isinstance(said, int) else said

    def answers_at_last(self) -> None:
        """Take what hangs."""
        self._at_last.set()
        self._at_last = asyncio.Event()

    async def comes(self) -> None:
        """Listen; after the first time at the same port."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def goes(self) -> None:
        """Refuse every connection."""
        if self._runner is not None:
            self.answers_at_last()
            await self._runner.cleanup()
            self._runner = None
