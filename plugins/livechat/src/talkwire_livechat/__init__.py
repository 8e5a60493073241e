"""Live chat on a website: a channel with own sockets, and the widget that speaks through them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from talkwire import Channel, DropTimer, Hub, Person, Query, Simulator, Tx, hookimpl

from . import rows
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


@hookimpl
def forget_person(person: Person, tx: Tx, hub: Hub) -> list[DropTimer]:
    """Forget what a visitor was asked and told; open widgets of theirs begin anew, as somebody else's."""
    visits = rows.visits_of(person)
    for account, visitor in visits:
        rows.forget(tx, account, visitor)
    channels = CHANNELS.get(hub, {})

    def begin_anew() -> None:
        for account, visitor in visits:
            if account in channels:
                channels[account].forgotten(visitor)

    tx.after_commit(begin_anew)
    return [DropTimer(rows.timer_key(*visit)) for visit in visits]


@hookimpl
def export_person(person: Person, query: Query) -> Mapping[str, str] | None:
    """Give what a visitor agreed to, and what they were told."""
    return rows.export(query, rows.visits_of(person))
