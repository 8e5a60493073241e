"""Telegram with its customers, for `talkwire demo` and for tests: the Bot API on a port, and a page.

It shares no code with the channel, and does not use python-telegram-bot, so that a mistake in one is not hidden by the
same mistake in the other. Everything is kept in memory; nothing leaves this machine.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from aiohttp import web

from talkwire import Simulator

from .messenger import KNOBS, Messenger
from .rates import Limits
from .world import BOT, BUDI, CONNECTION, DEWI, DIRECT, FORUM, GROUP, OWNER, SITI, name_of

__all__ = [
    "BOT",
    "BUDI",
    "CONNECTION",
    "DEWI",
    "DIRECT",
    "FORUM",
    "GROUP",
    "KNOBS",
    "OWNER",
    "SITI",
    "Limits",
    "Messenger",
    "simulator",
]

_YEAR = 1_767_225_600  # 2026; a demo that goes on in its folder must not give the numbers of before again


def simulator() -> Simulator:
    """Give the simulator to Talkwire, with a token of its own that lives as long as the process."""
    token = f"{BOT['id']}:{secrets.token_urlsafe(26)}"

    def app(_: str) -> web.Application:
        return Messenger(token=token, since=int(time.time()) - _YEAR).app()

    def settings(base_url: str, _: str) -> dict[str, Any]:
        return {"token": token, "api_url": base_url}

    return Simulator(
        channel="telegram",
        title="Phone (Telegram)",
        app=app,
        settings=settings,
        play=_play,
        received=_received,
        fault=Messenger.set_fault,
        faults=Messenger.fault_names(),
    )


async def _play(base_url: str, text: str) -> str:
    answer = await Messenger.ask("POST", f"{base_url}/sim/deeds", {"deed": "write", "text": text})
    return f"message {answer['message']} from {name_of(BUDI)} is update {answer['update']}"


async def _received(base_url: str) -> list[str]:
    """Give what the bot wrote to Budi, as he reads it: the text, or what stands below a picture."""
    messages = (await Messenger.ask("GET", f"{base_url}/sim/chats"))["messages"]
    return [
        one["message"].get("text") or one["message"].get("caption", "")
        for one in messages
        if one["chat"] == BUDI["id"] and not one["mine"] and not one["gone"]
    ]
