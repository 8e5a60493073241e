"""A channel whose customers come over its own connections: sockets below `/c/`, `admit`, waiting, waking, notices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import WSMsgType, web

from talkwire import (
    Address,
    Channel,
    Features,
    Hub,
    Inbound,
    Notice,
    Outgoing,
    Receipt,
    Route,
    SessionChange,
    SessionState,
    SignalKind,
    State,
    Tx,
    Unreadable,
    Wait,
    draft,
    hookimpl,
)
from talkwire.api import make_app
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
        self.accounts: list[str] = []
        self.signals: list[SignalKind] = []

    async def open(self) -> None:
        self.accounts = [account.name for account in self.hub.accounts]

    async def send(self, out: Outgoing) -> Receipt:
        if out.address.value not in self.here:
            raise Wait("recipient_offline")
        self.shown[out.key] = out.part.text
        return Receipt()

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        self.shown[out.key] = out.part.text
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

    @hookimpl
    def register_channels(self) -> list[type[Channel]]:
        return [Door]


class House:
    """A hub with the channel, and its visitor."""

    def __init__(self, hub: WholeHub, client: Any) -> None:
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
        said = draft(text) if text is not None else None
        await self.hub.daemon.hub.of("queue").write(
            _ask, Notice(conversation=conversation.id, slot="place", draft=said)
        )
        await self.hub.run_until_idle()


def _ask(tx: Tx, notices: Sequence[Notice]) -> Sequence[None]:
    for notice in notices:
        tx.act(notice)
    return [None] * len(notices)


@pytest_asyncio.fixture
async def house(start_hub: Callable[..., Awaitable[WholeHub]], aiohttp_client: Any) -> House:
    hub = await start_hub(SETTINGS, plugins={"door": Doors()})
    await hub.run_until_idle()
    return House(hub, await aiohttp_client(make_app(hub.daemon)))


# --- what it is lent ------------------------------------------------------------------------------------


async def test_a_handler_of_a_channel_is_given_the_hub_of_its_plugin(house: House) -> None:
    conversation = await house.writes("hello")
    async with house.client.get(f"/c/front/messages/{conversation.id}") as answer:
        assert await answer.json() == {"asker": "plugin:door", "texts": ["hello"]}


async def test_a_channel_has_the_hub_from_its_start(house: House) -> None:
    assert house.door.accounts == ["front"]
    assert house.door.hub.asker == "plugin:door"


async def test_a_handler_sees_the_client_behind_a_trusted_proxy(house: House) -> None:
    async with house.client.get("/c/front/remote", headers={"X-Forwarded-For": "192.0.2.7"}) as answer:
        assert await answer.text() == "192.0.2.7"


async def test_a_fault_in_a_socket_cuts_it_and_writes_no_answer_into_it(house: House) -> None:
    async with house.client.ws_connect("/c/front/socket") as socket:
        await socket.send_str("hello")
        assert (await socket.receive()).data == "hello"
        closing = await socket.receive()
        assert closing.type is WSMsgType.CLOSED


# --- what it admits ---------------------------------------------------------------------------------------


async def test_what_cannot_be_stored_is_not_taken_for_stored(house: House) -> None:
    good = Inbound(external_id="v1:1", address=VISITOR, at=house.now, text="hello")
    naive = Inbound(external_id="v1:2", address=VISITOR, at=datetime(2026, 11, 23), text="when?")  # noqa: DTZ001
    with pytest.raises(Unreadable, match="ValueError"):
        await house.door.admit([good, naive])
    assert [message.text for message in await house.hub.messages(await house.hub.conversation)] == ["hello"]


# --- who is not there -------------------------------------------------------------------------------------


async def test_every_reply_to_somebody_away_says_so(house: House) -> None:
    await house.comes()
    conversation = await house.writes("hello")
    await house.leaves()
    for text in ("one", "two"):
        await house.hub.reply(conversation, text)
        await house.hub.run_until_idle()
    replies = (await house.hub.messages(conversation))[1:]
    assert [(message.text, message.reason) for message in replies] == [
        ("one", "recipient_offline"),
        ("two", "recipient_offline"),
    ]
    await house.comes()
    assert list(house.door.shown.values()) == ["one", "two"]
    assert [message.reason for message in (await house.hub.messages(conversation))[1:]] == ["", ""]


async def test_replies_stored_together_for_somebody_away_say_so(house: House) -> None:
    conversation = await house.writes("hello")
    await asyncio.gather(*(house.hub.reply(conversation, text) for text in ("one", "two", "three")))
    await house.hub.run_until_idle()
    reasons = [message.reason for message in (await house.hub.messages(conversation))[1:]]
    assert reasons == ["recipient_offline"] * 3


# --- notices ----------------------------------------------------------------------------------------------


async def test_a_notice_known_by_our_own_key_is_replaced(house: House) -> None:
    await house.comes()
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 3")
    await house.notice(conversation, "You are number 2")
    assert list(house.door.shown.values()) == ["You are number 2"]


async def test_a_replaced_notice_is_what_is_read_afterwards(house: House) -> None:
    await house.comes()
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 3")
    await house.hub.pass_time(seconds=30)
    await house.notice(conversation, "You are number 2")
    await house.hub.pass_time(seconds=30)
    await house.notice(conversation, "You are number 1")
    [_, notice] = await house.hub.messages(conversation)
    assert [(change.kind, change.text) for change in notice.changes] == [
        ("edit", "You are number 2"),
        ("edit", "You are number 1"),
    ]
    changed = await house.hub.facts("message.changed")
    assert [fact.ids["message"] for fact in changed] == [notice.id, notice.id]


# --- finding the talk -------------------------------------------------------------------------------------


async def test_the_talk_of_an_address_is_found_before_anything_is_said(house: House) -> None:
    await house.comes()
    found = await house.door.hub.conversations(account="front", address=VISITOR)
    assert [one.session for one in found.items] == [SessionState.CONNECTED]
    assert (await house.door.hub.conversations(account="front", address=replace(VISITOR, value="v2"))).items == ()
