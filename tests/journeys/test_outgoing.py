"""Replies: stored once, taken back, sent again, settled."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from talkwire import hookimpl
from talkwire.errors import Conflict, KeyReused, NotFound, Refuse, Unsupported
from talkwire.model import Address, Draft, Location, Media, Text, draft
from talkwire.testing.provider import down, refuse, slow
from tests.journeys.acme_hub import CUSTOMER, AcmeHub, FullAcme, full, no

STORED = "SELECT (SELECT count(*) FROM message WHERE direction = 'out'), (SELECT count(*) FROM delivery)"


# --- once -------------------------------------------------------------------------------------------


async def test_the_same_key_gives_the_same_reply_and_another_body_is_refused(acme: AcmeHub) -> None:
    conversation = await acme.talk()
    first = await acme.hub.reply(conversation, "Hi", key="k1")
    again = await acme.hub.reply(conversation, "Hi", key="k1")
    assert (again.message, again.n, again.repeated) == (first.message, first.n, True)
    with pytest.raises(KeyReused):
        await acme.hub.reply(conversation, "Hi!", key="k1")
    other = await acme.hub.reply(conversation, "Hi", key="k1", author="agent:other")
    assert other.message != first.message
    await acme.hub.run_until_idle()
    assert acme.texts == ["Hi", "Hi"]


async def test_the_same_key_from_two_callers_at_once_is_one_reply(acme: AcmeHub) -> None:
    conversation = await acme.talk()
    accepted = await asyncio.gather(*(acme.hub.reply(conversation, "Hi", key="k1") for _ in range(5)))
    assert len({one.message for one in accepted}) == 1
    assert sorted(one.repeated for one in accepted) == [False, True, True, True, True]
    results = await asyncio.gather(
        *(acme.hub.reply(conversation, text, key="k2") for text in ("one", "two")), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["Accepted", "KeyReused"]
    await acme.hub.run_until_idle()
    assert len(acme.texts) == 2


async def test_a_key_of_a_refused_reply_can_be_used_again(start_acme: Any) -> None:
    acme = await start_acme(channel=full(sessions=True))
    await acme.told("session", state="ended")
    conversation = await acme.talk()
    results = await asyncio.gather(
        *(acme.hub.reply(conversation, "Hi", key="k1") for _ in range(3)), return_exceptions=True
    )
    assert [type(result).__name__ for result in results] == ["SessionEnded"] * 3
    assert await acme.hub.rows("SELECT key FROM idempotency") == []
    await acme.hub.pass_time(seconds=1)
    await acme.told("session", state="connected")
    assert not (await acme.hub.reply(conversation, "Hi", key="k1")).repeated


async def test_a_first_message_makes_the_conversation_and_a_second_one_finds_it(start_acme: Any) -> None:
    acme = await start_acme(channel=full(reaches=frozenset({"phone"})))
    replies, to = acme.hub.daemon.replies, ("shop", Address(kind="phone", value=f"+{CUSTOMER}"))
    await asyncio.gather(*(replies.reply(to, draft(f"Hi {n}"), author="agent:test") for n in range(3)))
    await acme.hub.run_until_idle()
    assert sorted(acme.texts) == ["Hi 0", "Hi 1", "Hi 2"]
    assert len(await acme.hub.facts("conversation.opened")) == 1
    await acme.wrote("m1", "Hello")
    assert len(await acme.hub.conversations()) == 1


async def test_nobody_is_written_to_first_where_the_channel_cannot_but_who_wrote_is_answered(acme: AcmeHub) -> None:
    to = ("shop", Address(kind="phone", value=f"+{CUSTOMER}"))
    with pytest.raises(Refuse):
        await acme.hub.daemon.replies.reply(to, draft("Hi"), author="agent:test")
    await acme.talk()
    await acme.hub.daemon.replies.reply(to, draft("Hi"), author="agent:test")
    await acme.hub.run_until_idle()
    assert acme.texts == ["Hi"]


# --- nothing stored -----------------------------------------------------------------------------------


class Formatter:
    @hookimpl
    def format_reply(self, draft: Draft) -> Draft:
        if "bad word" in str(draft):
            raise Refuse("Mind your words.")
        return Draft(blocks=(Text("Dear customer\0"), *draft.blocks))


async def test_what_cannot_be_carried_or_is_refused_stores_nothing(start_acme: Any) -> None:
    acme = await start_acme(settings='[plugins]\nenabled = ["formatter"]\n', plugins={"formatter": Formatter()})
    conversation = await acme.talk()
    for wrong, error in (
        (draft("bad word"), Refuse),
        (draft("x" * 9999), Unsupported),
        (Draft(blocks=(Media(attachment="nothing"),)), NotFound),
    ):
        with pytest.raises(error):
            await acme.hub.reply(conversation, wrong)
    with pytest.raises(NotFound):
        await acme.hub.reply("nowhere", "Hi")
    with pytest.raises(Unsupported):
        await acme.hub.daemon.replies.reply(
            conversation.id, Draft(blocks=(Location(latitude=1, longitude=2),)), author="agent:test", strict=True
        )
    assert await acme.hub.rows(STORED) == [(0, 0)]
    await acme.reply(conversation, "hi")
    assert acme.texts == ["Dear customer\ufffd\n\nhi"]


async def test_an_answer_to_their_message_names_it_to_the_provider(start_acme: Any) -> None:
    seen: list[Any] = []

    class Noting(FullAcme):
        async def send(self, out: Any) -> Any:
            seen.append((out.reply_to, out.last_inbound, out.references, out.attempt))
            return await super().send(out)

    acme = await start_acme(channel=full(Noting, references=True))
    conversation = await acme.talk()
    [first] = await acme.hub.messages(conversation)
    acme.provider.will(acme.accept("p1"))
    await acme.reply(conversation, Draft(blocks=(Text("Hi"),), reply_to=first.id))
    await acme.wrote("m2", "Hello?")
    await acme.reply(conversation, "again")
    assert seen == [("m1", "m1", ("m1",), 1), ("", "m2", ("m1", "p1", "m2"), 1)]


# --- taken back, again, settled ---------------------------------------------------------------------------


async def test_what_is_queued_can_be_taken_back_and_frees_what_waits_behind_it(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(no("slow_down"))
    await full_acme.reply(conversation, "wrong", "right")
    [_, wrong, _] = await full_acme.hub.messages(conversation)
    assert await full_acme.hub.daemon.replies.cancel(wrong.id) == 1
    assert await full_acme.hub.daemon.replies.cancel(wrong.id) == 0
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["wrong", "right"]
    [_, wrong, _] = await full_acme.hub.messages(conversation)
    assert (wrong.state and wrong.state.word, wrong.deliveries[0].problem.code) == ("failed", "cancelled")
    with pytest.raises(NotFound):
        await full_acme.hub.daemon.replies.cancel("nothing")


async def test_taking_back_a_later_message_does_not_hurry_the_one_before_it(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(no("slow_down"))
    await full_acme.reply(conversation, "first", "second")
    [*_, second] = await full_acme.hub.messages(conversation)
    await full_acme.hub.daemon.replies.cancel(second.id)
    await full_acme.hub.pass_time(seconds=49)
    assert full_acme.texts == ["first"]
    await full_acme.hub.pass_time(seconds=1)
    assert full_acme.texts == ["first", "first"]


async def test_what_is_under_way_cannot_be_taken_back(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    go_on = asyncio.Event()
    full_acme.provider.will(slow(go_on))
    accepted = await full_acme.hub.reply(conversation, "one")
    await full_acme.under_way()
    assert await full_acme.hub.daemon.replies.cancel(accepted.message) == 0
    go_on.set()
    await full_acme.hub.run_until_idle()
    assert await full_acme.hub.states(conversation) == ["accepted"]


async def test_what_failed_is_sent_again_as_another_generation_and_counts_by_it(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(full_acme.accept("p1"), refuse(), full_acme.accept("p2"), full_acme.accept("p3"))
    await full_acme.reply(conversation, "a" * 200 + "b" * 200 + "c")
    assert await full_acme.hub.states(conversation) == ["failed"]
    [_, reply] = await full_acme.hub.messages(conversation)
    assert await full_acme.hub.daemon.replies.resend(reply.id, "agent:test") == 2
    await full_acme.hub.run_until_idle()
    assert [text[0] for text in full_acme.texts] == ["a", "b", "b", "c"]
    assert await full_acme.hub.states(conversation) == ["accepted"]
    with pytest.raises(Conflict):
        await full_acme.hub.daemon.replies.resend(reply.id, "agent:test")


async def test_a_position_whose_older_generation_was_delivered_is_not_sent_a_third_time(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(down(), refuse())
    await full_acme.reply(conversation, "one")
    [_, reply] = await full_acme.hub.messages(conversation)
    await full_acme.hub.daemon.replies.resend(reply.id, "agent:test")
    await full_acme.hub.run_until_idle()
    assert await full_acme.hub.states(conversation) == ["failed"]
    await full_acme.reported("", "delivered", key=reply.deliveries[0].id)
    assert await full_acme.hub.states(conversation) == ["delivered"]
    with pytest.raises(Conflict):
        await full_acme.hub.daemon.replies.resend(reply.id, "agent:test")


@pytest.mark.parametrize(("verdict", "state"), [("sent", "sent"), ("failed", "failed"), ("again", "accepted")])
async def test_a_person_settles_what_is_uncertain(full_acme: AcmeHub, verdict: str, state: str) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(down())
    await full_acme.reply(conversation, "perhaps")
    [delivery] = await full_acme.column("SELECT id FROM delivery")
    await full_acme.hub.daemon.replies.settle(delivery, verdict, "agent:test")
    await full_acme.hub.run_until_idle()
    assert await full_acme.hub.states(conversation) == [state]
    assert full_acme.texts == ["perhaps"] * (2 if verdict == "again" else 1)
    [fact] = await full_acme.hub.facts("delivery.settled")
    assert fact.small == {"verdict": verdict, "author": "agent:test"}
    if verdict != "again":
        with pytest.raises(Conflict):
            await full_acme.hub.daemon.replies.settle(delivery, verdict, "agent:test")


async def test_a_part_that_was_sent_again_is_not_sent_a_third_time_by_who_settles_it_late(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(down())
    await full_acme.reply(conversation, "perhaps")
    [delivery] = await full_acme.column("SELECT id FROM delivery")
    replies = full_acme.hub.daemon.replies
    await replies.settle(delivery, "again", "agent:ann")
    with pytest.raises(Conflict):
        await replies.settle(delivery, "again", "agent:bob")
    await full_acme.hub.run_until_idle()
    assert full_acme.texts == ["perhaps"] * 2
    await replies.settle(delivery, "failed", "agent:bob")  # what became of the first one may still be said


async def test_facts_hold_no_words_of_people(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk(name="Ann Private")
    await full_acme.reply(conversation, "very private words")
    for fact in await full_acme.hub.facts():
        assert "rivate" not in json.dumps([dict(fact.ids), dict(fact.small)])
