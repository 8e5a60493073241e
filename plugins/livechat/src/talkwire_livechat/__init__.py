"""Live chat on a website: a channel with own sockets, and the widget that speaks through them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from talkwire import Channel, Hub, Simulator, hookimpl

from .channel import CHANNELS, LiveChat
from .settings import LiveChatSettings

__all__ = ["LiveChat", "LiveChatSettings"]


@hookimpl
def register_channels() -> list[type[Channel]]:
    """Give the channel."""
    return [LiveChat]


@hookimpl
def register_schema() -> Path:
    """Give the folder of the tables' revisions."""
    return Path(__file__).parent / "versions"


@hookimpl
def register_simulators() -> list[Simulator]:
    """Give a shop that carries the widget."""
    from .simulator import SHOP

    return [SHOP]


@hookimpl
async def on_timer(key: str, subject: str, hub: Hub) -> None:
    """End a session whose grace is over."""
    account, _, visitor = key.partition(" ")
    channel = CHANNELS.get(hub, {}).get(account)
    if channel is not None:
        await channel.over(visitor, datetime.fromisoformat(subject))
