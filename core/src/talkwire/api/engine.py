"""What the API needs of the daemon it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from aiohttp import web
from pydantic import SecretBytes

from ..answers import AccountView
from ..channel import Channel, Route
from ..clock import Clock
from ..counting import AccountCounts, Requests
from ..hub import Hub
from ..inbound.intake import Intake
from ..media.files import Chunks
from ..messages.filing import Filing
from ..model import Account, Fact
from ..notifier import NotifierFeatures
from ..outbound.outgoing import Replies
from ..plugins import Plugins
from ..sessions import Sessions
from ..settings import Config
from ..store import Store
from .limits import Limits
from .principals import Principals


class Runtime(Protocol):
    """One account."""

    name: str
    channel: Channel | None  # None: absent, or broken at load
    view: Account
    last_in: datetime | None  # None: nothing since we started
    last_out: datetime | None
    counts: AccountCounts

    @property
    def endpoint(self) -> str: ...
    @property
    def standing(self) -> AccountView: ...


class Tail(Protocol):
    """Says when the log may have grown."""

    closed: bool  # the daemon stops: streams end

    @property
    def more(self) -> asyncio.Event:
        """Give the event of the next news; take it before looking at the log, so that nothing is missed."""
        ...


class Watch(Protocol):
    """Looks after the disks."""

    def rooms(self) -> Mapping[str, tuple[int, int]]: ...  # disk → (free, size) in bytes; it waits for the disk


class Readers(Protocol):
    """Who is told the log."""

    async def replay(self, reader: str, seq: int, *, wanted: Callable[[Fact], bool] | None = None) -> None: ...


class Accounts(Protocol):
    """All accounts, also those that are gone."""

    @property
    def by_name(self) -> Mapping[str, Runtime]: ...


class Engine(Protocol):
    """The daemon."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def config(self) -> Config: ...
    @property
    def intake(self) -> Intake: ...
    @property
    def replies(self) -> Replies: ...
    @property
    def plugins(self) -> Plugins: ...
    @property
    def files(self) -> Chunks: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def filing(self) -> Filing: ...
    @property
    def keys(self) -> Sequence[SecretBytes]: ...  # of the instance; the first one signs
    @property
    def tail(self) -> Tail: ...
    @property
    def hub(self) -> Hub: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def readers(self) -> Readers: ...
    @property
    def principals(self) -> Principals: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def watch(self) -> Watch: ...

    def account(self, name: str) -> Runtime | None: ...
    def view(self, name: str) -> AccountView: ...  # of any name, also of accounts that are gone
    def media_features(self) -> Mapping[str, NotifierFeatures | None]: ...  # None: nobody gives this medium
    def notifier_routes(self) -> Iterable[tuple[str, Route]]: ...  # (plugin, route), below /p/<plugin>/
    def media(self) -> Mapping[str, str]: ...  # medium → what keeps it from showing anything; empty: nothing
    def stuck(self) -> Sequence[str]: ...  # why it should be started anew; empty: alive
    def not_ready(self) -> Sequence[str]: ...  # why it should get no requests; empty: ready


ENGINE: web.AppKey[Engine] = web.AppKey("engine", Engine)
