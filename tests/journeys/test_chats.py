"""What chats have that other ways to talk have not: several who write, buttons that wait, people who stop us."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from talkwire.errors import AddressUnreachable
from talkwire.model import Acknowledge, ChangeKind, Policy
from tests.journeys.acme_hub import CUSTOMER, AcmeHub, FullAcme, no


class Waiting(FullAcme):
    """Acme whose buttons wait until they are acknowledged."""

    acknowledged: list[tuple[str, Any]]

    def prepare(self) -> None:
        super().prepare()
        self.acknowledged = []

    async def signal(self, address: str, signal: Any) -> None:
        self.acknowledged.append((address, signal))


async def test_a_message_keeps_the_name_of_who_of_several_wrote_it(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "Hello", author="Ben\0Ten")
    await full_acme.wrote("m2", "Hello")
    stored = await full_acme.hub.messages(await full_acme.hub.conversation)
    assert [message.author for message in stored] == ["Ben\N{REPLACEMENT CHARACTER}Ten", ""]


async def test_who_waits_to_hear_of_a_message_hears_once_it_is_kept_and_not_again(start_acme: Any) -> None:
    acme = await start_acme(channel=Waiting)
    for _ in range(2):  # a delivery that comes twice
        await acme.wrote("m1", "Yes", waits=True)
    await acme.wrote("m2", "No")
    await acme.hub.run_until_idle()
    [envelope, *_] = await acme.column("SELECT id FROM envelope ORDER BY received_at")
    await acme.hub.daemon.intake.replay(envelope)
    await acme.hub.run_until_idle()

    assert acme.shop.channel.acknowledged == [(f"+{CUSTOMER}", Acknowledge("m1"))]
    assert await acme.column("SELECT count(*) FROM task") == [0]


async def test_an_edit_that_changes_nothing_is_no_change(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "Hello")
    for text in ("Hello", "Hello!", "Hello!", "Hello"):
        await full_acme.hub.pass_time(seconds=5)
        await full_acme.told("edit", of="m1", text=text)
    [message] = await full_acme.hub.messages(await full_acme.hub.conversation)
    edits = [change.text for change in message.changes if change.kind is ChangeKind.EDIT]
    assert edits == ["Hello!", "Hello"]
    assert len(await full_acme.hub.facts("message.changed")) == 2


async def test_an_edit_that_leaves_a_caption_as_it_was_is_no_change(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "", media=["a.png"], caption="Look")
    for text in ("Look", "Look here"):
        await full_acme.told("edit", of="m1", text=text)
    [message] = await full_acme.hub.messages(await full_acme.hub.conversation)
    assert [change.text for change in message.changes] == ["Look here"]


async def test_a_conversation_whose_last_message_has_no_text_says_what_came(full_acme: AcmeHub) -> None:
    await full_acme.wrote("m1", "Hello")
    await full_acme.wrote("m2", "", media=["a.png", "b.png"], caption="Both\nsides")
    assert (await full_acme.hub.conversation).last_text == "[a.png] Both sides [b.png] Both sides"


async def test_who_stops_us_cannot_be_answered_until_they_let_us(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    await full_acme.hub.pass_time(minutes=1)
    await full_acme.told("reachable", on=False)
    with pytest.raises(AddressUnreachable):
        await full_acme.reply(conversation, "Are you there?")
    assert (await full_acme.hub.conversation).answer.icon == "warning"

    await full_acme.hub.pass_time(minutes=1)
    await full_acme.told("reachable", on=True)
    await full_acme.reply(conversation, "Welcome back")
    assert full_acme.texts == ["Welcome back"]
    told = [fact.small["allowed"] for fact in await full_acme.hub.facts("conversation.answer_changed")]
    assert told == [False, True]


async def test_who_is_said_to_have_stopped_us_and_wrote_since_can_be_answered(full_acme: AcmeHub) -> None:
    before = full_acme.now
    await full_acme.hub.pass_time(minutes=1)
    conversation = await full_acme.talk()
    await full_acme.says([{"kind": "reachable", "time": before, "on": False}])  # it was late
    await full_acme.reply(conversation, "Hello")
    assert full_acme.texts == ["Hello"]


async def test_whoever_lets_us_write_again_gets_what_was_held(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(no("unknown_number"))
    await full_acme.reply(conversation, "Hello?")
    assert await full_acme.hub.states(conversation) == ["failed"]
    await full_acme.hub.reply(conversation, "held", policy=Policy.HOLD)
    await full_acme.hub.pass_time(timedelta(seconds=2))
    await full_acme.told("reachable", on=True)
    await full_acme.hub.run_until_idle()
    assert full_acme.texts[-1] == "held"


async def test_a_stranger_who_stops_us_is_not_made_a_contact(full_acme: AcmeHub) -> None:
    await full_acme.told("reachable", on=False)
    assert await full_acme.column("SELECT count(*) FROM address") == [0]


async def test_a_replayed_envelope_stops_nobody(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    await full_acme.hub.pass_time(minutes=1)
    await full_acme.told("reachable", on=False)
    envelopes = await full_acme.column("SELECT id FROM envelope ORDER BY received_at")
    await full_acme.hub.pass_time(minutes=1)
    await full_acme.told("reachable", on=True)
    await full_acme.hub.daemon.intake.replay(envelopes[-1])
    await full_acme.reply(conversation, "Hello")
    assert full_acme.texts == ["Hello"]
