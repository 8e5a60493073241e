"""A hub with a channel whose visitors come over its own connections, and the visitor of one account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from aiohttp import web

from talkwire import (
    Address,
    Channel,
    Draft,
    Features,
    Hub,
    Inbound,
    Notice,
    Outgoing,
    Part,
    Receipt,
    Route,
    SessionChange,
    SessionState,
    SignalKind,
    State,
    Tx,
    Wait,
    draft,
    hookimpl,
)
from talkwire.testing.hub import WholeHub

SETTINGS = """
[server]
trusted_proxies = ["127.0.0.1"]
[accounts.front]
channel = "door"
"""
VISITOR = Address(kind="visitor", value="v1")


class Door(Channel):
    """Visitors come through a socket; who is not there is waited for. Parts are known by our own key."""

    type = "door"
    features = Features(webhook=False, sessions=True, edits=True, reports=State.READ)

    def prepare(self) -> None:
        self.here: set[str] = set()
        self.shown: dict[str, str] = {}  # key → text
        self.notices: dict[str, str] = {}  # key → slot
        self.accounts: list[str] = []
        self.signals: list[tuple[str, SignalKind]] = []
        self.fault: Exception | None = None  # raised by a signal

    async def open(self) -> None:
        self.accounts = [account.name for account in self.hub.accounts]

    async def send(self, out: Outgoing) -> Receipt:
        if out.address.value not in self.here:
            raise Wait("recipient_offline")
        self.shown[out.key], self.notices[out.key] = out.part.text, out.notice
        return Receipt()

    async def signal(self, address: str, signal: SignalKind) -> None:
        self.signals.append((address, signal))
        if self.fault:
            raise self.fault

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        if out.part == Part():
            del self.shown[out.key]
        else:
            self.shown[out.key], self.notices[out.key] = out.part.text, out.notice
        return Receipt()

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "/messages/{conversation}", self.messages),
            Route("GET", "/remote", self.remote),
            Route("GET", "/socket", self.socket),
        ]

    async def messages(self, request: web.Request, hub: Hub) -> web.Response:
        found = await hub.messages(request.match_info["conversation"])
        return web.json_response({"asker": hub.asker, "texts": [message.text for message in found]})

    async def remote(self, request: web.Request) -> web.Response:
        return web.Response(text=request.remote or "")

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for frame in socket:
            await socket.send_str(frame.data)
            raise RuntimeError("a fault of the channel")
        return socket


class Doors:
    """The plugin that gives the channel."""

    def __init__(self, channel: type[Channel] = Door) -> None:
        self.channel = channel

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        return [self.channel]


class House:
    """A hub with the channel, and its visitor."""

    def __init__(self, hub: WholeHub, client: Any = None) -> None:
        self.hub, self.client = hub, client
        self.door: Any = hub.daemon.account("front").channel  # type: ignore[union-attr]
        self._count = 0

    @property
    def now(self) -> datetime:
        return self.hub.clock.now()

    async def session_is(self, state: SessionState, reason: str = "") -> None:
        await self.door.admit([SessionChange(address=VISITOR, state=state, at=self.now, reason=reason)])
        await self.hub.run_until_idle()

    async def comes(self) -> None:
        self.door.here.add("v1")
        await self.session_is(SessionState.CONNECTED)

    async def leaves(self) -> None:
        self.door.here.discard("v1")
        await self.session_is(SessionState.DISCONNECTED)

    async def writes(self, text: str) -> Any:
        self._count += 1
        await self.door.admit([Inbound(external_id=f"v1:{self._count}", address=VISITOR, at=self.now, text=text)])
        await self.hub.run_until_idle()
        return await self.hub.conversation

    async def notice(self, conversation: Any, text: str | None) -> None:
        """Let a plugin set the notice of a slot."""
        await self.ask_notice(conversation, text)
        await self.hub.run_until_idle()

    async def ask_notice(self, conversation: Any, said: str | Draft | None) -> None:
        """Let a plugin ask for the notice of a slot, and do not wait for what becomes of it."""
        what = draft(said) if isinstance(said, str) else said
        notice = Notice(conversation=conversation.id, slot="place", draft=what)
        await self.hub.daemon.hub.of("queue").write(_ask, notice)


def _ask(tx: Tx, notices: Sequence[Notice]) -> Sequence[None]:
    for notice in notices:
        tx.act(notice)
    return [None] * len(notices)
