"""Notices: told from replies, replaced in place, taken back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from talkwire import Buttons, ChangeKind, Draft, Notice, Option, Refused
from tests.journeys.door_hub import Door, Doors, House


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


# --- told from replies --------------------------------------------------------------------------------------


async def test_a_notice_names_its_slot_to_the_channel_and_to_readers(house: House) -> None:
    await house.comes()
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 3")
    await house.hub.reply(conversation, "Good morning")
    await house.hub.run_until_idle()
    await house.notice(conversation, "You are number 2")
    assert list(house.door.notices.values()) == ["place", ""]  # also after the edit
    assert [message.notice for message in await house.hub.messages(conversation)] == ["", "place", ""]
    assert [fact.small["notice"] for fact in await house.hub.facts("reply.queued")] == ["place", None]


async def test_a_notice_is_not_the_last_thing_that_was_said(house: House) -> None:
    await house.comes()
    said = await house.writes("hello")
    await house.hub.pass_time(seconds=30)
    await house.notice(said, "You are number 3")
    now = await house.hub.conversation
    assert (now.last_text, now.last_at, now.last_n) == ("hello", said.last_at, 2)


# --- taken back ---------------------------------------------------------------------------------------------


async def test_a_notice_that_is_over_is_taken_away_and_a_later_one_is_new(house: House) -> None:
    await house.comes()
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 1")
    await house.notice(conversation, None)
    assert house.door.shown == {}
    [_, notice] = await house.hub.messages(conversation)
    assert [(change.kind, change.text, change.blocks) for change in notice.changes] == [("revoke", "", ())]
    assert [fact.small for fact in await house.hub.facts("message.changed")] == [{"kind": "revoke"}]

    await house.notice(conversation, None)  # nothing stands any more
    assert len(await house.hub.facts("message.changed")) == 1
    await house.notice(conversation, "We are closing")
    assert list(house.door.shown.values()) == ["We are closing"]
    assert len(await house.hub.messages(conversation)) == 3


async def test_a_notice_that_still_waits_for_its_reader_is_cancelled(house: House) -> None:
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 1")
    await house.notice(conversation, None)
    assert await house.hub.states(conversation) == ["failed"]
    assert (await house.hub.messages(conversation))[1].deliveries[0].problem.code == "cancelled"
    await house.comes()
    assert house.door.shown == {}


async def test_a_notice_that_is_just_being_sent_is_taken_away_when_it_came_out(start_hub: Any) -> None:
    class Slow(Door):
        async def send(self, out: Any) -> Any:
            self.sending.set()
            await self.go_on.wait()
            return await super().send(out)

    house = await _house(start_hub, Slow)
    house.door.sending, house.door.go_on = asyncio.Event(), asyncio.Event()
    await house.comes()
    conversation = await house.writes("hello")
    await house.ask_notice(conversation, "You are number 1")
    async with asyncio.timeout(20):
        await house.door.sending.wait()
    await house.ask_notice(conversation, None)
    async with asyncio.timeout(20):
        while not await house.hub.rows("SELECT 1 FROM lane WHERE grp = 'do' AND last_error <> ''"):
            await asyncio.sleep(0)
    house.door.go_on.set()
    await house.hub.pass_time(seconds=2)
    assert house.door.shown == {}
    assert [c.kind for c in (await house.hub.messages(conversation))[1].changes] == ["revoke"]


async def test_a_channel_that_cannot_edit_leaves_what_it_said(start_hub: Any) -> None:
    class Fixed(Door):
        features = replace(Door.features, edits=False)

    house = await _house(start_hub, Fixed)
    await house.comes()
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 1")
    await house.notice(conversation, None)
    await house.notice(conversation, "We are closing")
    assert list(house.door.shown.values()) == ["You are number 1", "We are closing"]
    assert (await house.hub.messages(conversation))[1].changes == ()


async def test_a_notice_that_cannot_be_taken_back_still_stands(start_hub: Any) -> None:
    class Stubborn(Door):
        refuses = True

        async def edit(self, out: Any, external_id: str) -> Any:
            if self.refuses:
                raise Refused("too old", code="too_old")
            return await super().edit(out, external_id)

    house = await _house(start_hub, Stubborn)
    await house.comes()
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 1")
    await house.notice(conversation, None)
    assert [fact.small["code"] for fact in await house.hub.facts("action.failed")] == ["too_old"]
    house.door.refuses = False
    await house.notice(conversation, "You are number 0")
    assert list(house.door.shown.values()) == ["You are number 0"]


# --- rich ---------------------------------------------------------------------------------------------------


async def test_an_edited_notice_keeps_its_blocks(house: House) -> None:
    await house.comes()
    conversation = await house.writes("hello")
    await house.notice(conversation, "You are number 2")
    rich = Buttons(text="You are **next**", options=(Option(id="call", title="Call me back"),))
    await house.ask_notice(conversation, Draft(blocks=(rich,)))
    await house.hub.run_until_idle()
    [_, notice] = await house.hub.messages(conversation)
    [change] = notice.changes
    assert change.blocks == (rich,)
    assert change.text.startswith("You are next")


async def test_changes_of_one_moment_are_read_in_their_order(house: House) -> None:
    await house.comes()
    conversation = await house.writes("hello")
    for number in range(9, 0, -1):
        await house.notice(conversation, f"You are number {number}")
    await house.notice(conversation, None)
    [_, notice] = await house.hub.messages(conversation)
    assert [change.text[-1:] for change in notice.changes] == [*"87654321", ""]
    assert len({change.at for change in notice.changes}) == 1
    assert notice.changes[-1].kind is ChangeKind.REVOKE


async def _house(start_hub: Any, channel: type[Door]) -> House:
    hub = await start_hub('[accounts.front]\nchannel = "door"\n', plugins={"door": Doors(channel)})
    await hub.run_until_idle()
    return House(hub)


@pytest.mark.parametrize("slot", ["", " "])
def test_a_notice_without_a_slot_is_none(slot: str) -> None:
    with pytest.raises(ValueError, match="slot"):
        Notice(conversation="c", slot=slot, draft=None)
