"""Meta's WhatsApp with customers on it, for `talkwire demo` and for tests: the Graph API, its webhooks, a page.

It shares no code with the channel, so that a mistake in one is not hidden by the same mistake in the other. Everything
is kept in memory and listens on this machine; no message leaves it.
"""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from talkwire import Simulator

from .cloud import BUSINESS, KINDS, OTHER, OURS, Cloud
from .people import ANA, BUDI, SARI, Person
from .saying import Number

__all__ = [
    "ANA",
    "BUDI",
    "BUSINESS",
    "FAULTS",
    "KINDS",
    "OTHER",
    "OURS",
    "SARI",
    "Cloud",
    "Number",
    "Person",
    "simulator",
]

FAULTS = Cloud.fault_names()


def simulator() -> Simulator:
    """Give the simulator to Talkwire, with secrets of its own that live as long as the process."""
    token, app_secret, verify_token = (secrets.token_urlsafe(24) for _ in range(3))

    def cloud(inbound_url: str) -> Cloud:
        return Cloud(inbound_url, token=token, app_secret=app_secret, verify_token=verify_token)

    def app(inbound_url: str) -> web.Application:
        return cloud(inbound_url).app()

    def settings(base_url: str, inbound_url: str) -> dict[str, Any]:
        return cloud(inbound_url).settings(base_url)

    return Simulator(
        channel="whatsapp",
        title="Phone (WhatsApp)",
        app=app,
        settings=settings,
        play=_play,
        received=_received,
        fault=Cloud.set_fault,
        faults=FAULTS,
    )


async def _play(base_url: str, text: str) -> str:
    answer = await Cloud.ask("POST", f"{base_url}/sim/messages", {"text": text})
    if answer["status"] != 200:
        raise RuntimeError(
            f"message {answer['id']} from +{BUDI.wa_id}: the endpoint answered {answer['status'] or 'nothing'}"
        )
    return f"message {answer['id'][:24]}… from +{BUDI.wa_id}: the endpoint answered 200"


async def _received(base_url: str) -> list[str]:
    """Give texts with what stands above and below them, as the phone shows them."""
    messages = (await Cloud.ask("GET", f"{base_url}/sim/messages"))["messages"]
    return [
        "\n".join(filter(None, [one["header"], one["text"], one["footer"], *(o["title"] for o in one["options"])]))
        for one in messages
        if one["to_phone"] and one["reached"]
    ]
