"""Plays the made-up provider and its customer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web

from talkwire import Simulator

TOKEN = "simulated-0123456789"  # of nobody outside this machine


def app(inbound_url: str) -> web.Application:
    """Serve the provider: `/send` and the like for us, `/play` for the customer."""
    received: list[str] = []
    fault: list[str] = []

    async def take(request: web.Request) -> web.Response:
        if fault:
            return web.json_response({}, status=503)
        body = await request.json()
        id_ = f"p{time.time_ns()}"
        if request.path == "/send":
            received.append(body["text"])
            await tell({"kind": "report", "at": int(time.time()), "id": id_, "state": "delivered"})
        return web.json_response({"id": id_})

    async def tell(event: Mapping[str, Any]) -> int:
        """Report before the answer is given: a join must not mind."""
        headers = {"X-Token": TOKEN}
        async with (
            aiohttp.ClientSession() as session,
            session.post(inbound_url, json=[event], headers=headers) as answer,
        ):
            return answer.status

    async def play(request: web.Request) -> web.Response:
        event = {"kind": "message", "at": int(time.time()), "id": str(time.time_ns()), "sender": "6281234567890"}
        return web.Response(text=f"our webhook answered {await tell({**event, 'text': await request.text()})}")

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Everything</title>For tests.", content_type="text/html")

    async def texts(request: web.Request) -> web.Response:
        return web.json_response(received)

    async def set_fault(request: web.Request) -> web.Response:
        fault[:] = [name] if (name := await request.text()) else []
        return web.Response()

    served = web.Application()
    served.router.add_get("/", page)
    for path in ("/send", "/edit", "/typing"):
        served.router.add_post(path, take)
    served.router.add_post("/play", play)
    served.router.add_post("/fault", set_fault)
    served.router.add_get("/received", texts)
    return served


def settings(base_url: str, inbound_url: str) -> Mapping[str, Any]:
    """Give the account's table."""
    return {"url": base_url, "token": TOKEN}


async def _ask(method: str, url: str, text: str = "") -> Any:
    async with aiohttp.ClientSession() as session, session.request(method, url, data=text) as answer:
        return await answer.json() if answer.content_type == "application/json" else await answer.text()


async def play(base_url: str, text: str) -> str:
    """Let the customer write."""
    return str(await _ask("POST", f"{base_url}/play", text))


async def received(base_url: str) -> list[str]:
    """Give what reached the customer."""
    return list(await _ask("GET", f"{base_url}/received"))


async def fault(base_url: str, name: str) -> None:
    """Let it go wrong."""
    await _ask("POST", f"{base_url}/fault", name)


SIMULATOR = Simulator(
    channel="everything",
    title="Everything",
    app=app,
    settings=settings,
    play=play,
    received=received,
    fault=fault,
    faults=("down",),
)
