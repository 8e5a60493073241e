"""Who stands behind one path, and whom of them an item is meant for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from ..channel import Channel
from ..model import Account, AccountNotice, Typing


class Served(Protocol):
    """An account as intake sees it."""

    name: str
    endpoint: str
    channel: Channel | None  # None: absent or broken at load
    view: Account

    def heard(self, at: datetime) -> None: ...
    def rejected(self, at: datetime) -> None: ...
    def typing(self, typing: Typing) -> None: ...
    async def noticed(self, notice: AccountNotice) -> None: ...


@dataclass(frozen=True, slots=True)
class Among:
    """Accounts that items may be meant for."""

    accounts: Mapping[str, Served]
    windows: Mapping[str, timedelta | None]
    meant: Mapping[str, str]  # what their provider calls accounts → the account


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who stands behind one path."""

    all: Among
    taking: Among  # those that take webhooks …
    behind: Sequence[tuple[Served, Channel]]  # … in the order in which they are asked
    body_limit: int  # bytes; the largest that one of them takes
    methods: frozenset[str]  # by which the provider of one of them calls


def _names(accounts: Iterable[Served]) -> Mapping[str, str]:
    """Give the accounts of an endpoint by what their provider calls them; the first that has a name is meant by it."""
    found: dict[str, str] = {}
    for one in accounts:
        for name in one.channel.meant_by(one.channel.settings) if one.channel is not None else ():
            found.setdefault(name, one.name)
    return found


def among(accounts: Sequence[Served]) -> Among:
    """Say whom items of these accounts may be meant for."""
    windows = {one.name: one.channel.features.window if one.channel else None for one in accounts}
    return Among({one.name: one for one in accounts}, windows, _names(accounts))


def endpoint(accounts: Sequence[Served]) -> Endpoint:
    """Put accounts behind one path."""
    behind = [(one, one.channel) for one in accounts if one.channel is not None and one.channel.features.webhook]
    limit = max((channel.features.body_limit for _, channel in behind), default=0)
    methods = frozenset(method for _, channel in behind for method in channel.features.methods)
    methods |= {"HEAD"} if "GET" in methods else set()
    return Endpoint(among(accounts), among([one for one, _ in behind]), behind, limit, methods)
