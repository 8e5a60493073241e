"""Everybody around the daemons: customers who write, a provider that sends, agents who reply, and what they know.

Customers and the provider's reports come again until they hear 200, as real providers do.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import random
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from tests.crash.processes import Process

SECRET = b"kit-secret-0123456789"
KINDS = ("inside", "outside", "plain")
SENDERS = [f"62812345670{n:02}" for n in range(24)]
AGAIN = 0.2  # seconds until somebody who was not answered comes again
NOW = 1795435200  # the provider's time of everything; what is tested here does not look at it


@dataclass
class Known:
    """What the world knows for certain."""

    acknowledged: dict[str, str] = field(default_factory=dict)  # external id → its kind, once we said 200
    accepted: dict[str, str] = field(default_factory=dict)  # an agent's key → message id, once we said 202
    contradictions: list[str] = field(default_factory=list)
    requests: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # part → the provider's answers
    order: list[str] = field(default_factory=list)  # parts as the provider took them
    reported: set[str] = field(default_factory=set)  # the provider's ids of which we took a report
    refused_connections: int = 0


class World:
    """Customers, agents and the provider, all at random from one seed."""

    def __init__(self, daemons: Sequence[Process], seed: int) -> None:
        self.daemons = daemons
        self.known = Known()
        self.url = ""  # of the provider
        self.token = ""  # of the agents
        self._chance = random.Random(seed)
        self._session: aiohttp.ClientSession
        self._written = 0
        self._given = 0
        self._reports: asyncio.Queue[str] = asyncio.Queue()
        self._reporting = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[World]:
        app = web.Application()
        app.router.add_post("/v1/messages", self._provider)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as self._session:
            reporting = [asyncio.create_task(self._report()) for _ in range(3)]
            try:
                yield self
            finally:
                for task in reporting:
                    task.cancel()
                await runner.cleanup()

    @contextlib.asynccontextmanager
    async def busy(self, *, customers: int = 4, agents: int = 2) -> AsyncIterator[None]:
        """Let customers write and agents reply until the block ends; then each of them finishes what it began."""
        ending = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(customers):
                group.create_task(self._customer(ending))
            for number in range(agents):
                group.create_task(self._agent(number, ending))
            try:
                yield
            finally:
                ending.set()

    @property
    def reports_wait(self) -> bool:
        return not self._reports.empty() or self._reporting > 0

    # --- customers ---------------------------------------------------------------------------------------

    async def _customer(self, ending: asyncio.Event) -> None:
        while not ending.is_set():
            self._written += 1
            kind = self._chance.choice(KINDS)
            ids = [(f"m{self._written}", kind)]
            if self.known.acknowledged and self._chance.random() < 0.2:  # a provider that did not hear our 200
                ids.append(self._chance.choice(list(self.known.acknowledged.items())))
            events = [
                {"kind": "message", "id": i, "time": NOW, "from": self._sender(i), "text": f"{k} {i}"} for i, k in ids
            ]
            await self.says(events)
            self.known.acknowledged.update(ids)
            await asyncio.sleep(self._chance.uniform(0.01, 0.06))

    def _sender(self, external_id: str) -> str:
        return SENDERS[int(external_id[1:]) % len(SENDERS)]

    async def says(self, events: list[dict[str, object]]) -> None:
        """Knock until some daemon says 200."""
        body = json.dumps({"events": events}).encode()
        headers = {"X-Acme-Signature": "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()}
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.post(f"{self._daemon()}/in/shop", data=body, headers=headers) as answer:
                    if answer.status == 200:
                        return
                    if answer.status != 503:
                        raise AssertionError(f"a genuine webhook got {answer.status}")
            self.known.refused_connections += 1
            await asyncio.sleep(AGAIN)

    def _daemon(self) -> str:
        alive = [daemon.url for daemon in self.daemons if daemon.url]
        return self._chance.choice(alive) if alive else "http://127.0.0.1:1"

    # --- agents ------------------------------------------------------------------------------------------

    async def _agent(self, number: int, ending: asyncio.Event) -> None:
        count = 0
        while not ending.is_set():
            count += 1
            key = f"{number}-{count}"
            await self._reply(key)
            if self._chance.random() < 0.2:
                await self._reply(key)  # an impatient one
            await asyncio.sleep(self._chance.uniform(0.03, 0.12))

    async def _reply(self, key: str) -> None:
        to = {"kind": "phone", "value": "+" + SENDERS[hash(key) % len(SENDERS)]}
        said = {"to": to, "text": f"reply {key}", "key": key}
        headers = {"Authorization": f"Bearer {self.token}"}
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                url = f"{self._daemon()}/api/v1/accounts/shop/replies"
                async with self._session.post(url, json=said, headers=headers) as answer:
                    if answer.status == 202:
                        message = (await answer.json())["message"]
                        if self.known.accepted.setdefault(key, message) != message:
                            self.known.contradictions.append(f"key {key} gave two messages")
                        return
                    if answer.status != 503:
                        raise AssertionError(f"a reply got {answer.status}: {await answer.text()}")
            await asyncio.sleep(AGAIN)

    # --- the provider --------------------------------------------------------------------------------------

    async def _provider(self, request: web.Request) -> web.StreamResponse:
        said = await request.json()
        part = said["ref"]
        chance = self._chance.random()
        answers = self.known.requests[part]
        if chance < 0.03:
            answers.append("busy")
            return web.json_response({}, status=429, headers={"Retry-After": "1"})
        self.known.order.append(part)
        if chance < 0.06:
            answers.append("refused")
            return web.json_response({"error": "text_forbidden"}, status=422)
        self._given += 1
        external = f"p{self._given}"
        answers.append(external)
        if self._chance.random() < 0.2:
            self._reports.put_nowait(external)  # it may overtake our answer
        await asyncio.sleep(self._chance.uniform(0, 0.04))
        if chance < 0.08 and request.transport is not None:
            answers[-1] = "reset"
            linger = struct.pack("ii", 1, 0)
            request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.transport.abort()
        elif self._chance.random() < 0.5:
            self._reports.put_nowait(external)
        return web.json_response({"id": external}, status=201)

    async def _report(self) -> None:
        while True:
            external = await self._reports.get()
            self._reporting += 1
            event = {"kind": "report", "id": f"r{external}", "time": NOW, "of": external, "state": "delivered"}
            await self.says([event])
            self.known.reported.add(external)
            self._reporting -= 1
