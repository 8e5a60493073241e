"""A channel whose customers come over its own connections: sockets below `/c/`, `admit`, waiting, waking."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from aiohttp import WSMsgType

from talkwire import Inbound, SessionState, Unreadable
from tests.journeys.door_hub import VISITOR, House

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


# --- finding the talk -------------------------------------------------------------------------------------


async def test_the_talk_of_an_address_is_found_before_anything_is_said(house: House) -> None:
    await house.comes()
    found = await house.door.hub.conversations(account="front", address=VISITOR)
    assert [one.session for one in found.items] == [SessionState.CONNECTED]
    assert (await house.door.hub.conversations(account="front", address=replace(VISITOR, value="v2"))).items == ()
