"""The thin journey: one message in, one reply out, one report back, through all layers."""

from __future__ import annotations

from tests.journeys.acme_hub import AcmeHub


async def test_a_message_comes_in_a_reply_goes_out_and_its_report_comes_back(acme: AcmeHub) -> None:
    await acme.wrote("m1", "Where is my parcel?")
    await acme.hub.run_until_idle()
    conversation = await acme.hub.conversation
    assert [m.text for m in await acme.hub.messages(conversation)] == ["Where is my parcel?"]

    acme.provider.will(acme.accept("p1"))
    await acme.hub.reply(conversation, "It arrives **today**.")
    await acme.hub.run_until_idle()
    assert acme.texts == ["It arrives today."]
    assert await acme.hub.states(conversation) == ["accepted"]

    await acme.reported("p1", "delivered")
    await acme.hub.run_until_idle()
    assert await acme.hub.states(conversation) == ["delivered"]
    assert [fact.type for fact in await acme.hub.facts()][-1] == "delivery.changed"
