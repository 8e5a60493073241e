"""A reply that its own account cannot carry now goes on from another one, in a conversation that continues the talk."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from talkwire import (
    AccountState,
    AnswerCode,
    Draft,
    Forward,
    KeyReused,
    NotFound,
    Policy,
    Refuse,
    Reply,
    SessionEnded,
    State,
    Text,
    TryLater,
    Unreachable,
    Unsupported,
    control,
    draft,
    hookimpl,
)
from talkwire.api import make_app
from talkwire.api.principals import create_keys
from talkwire.outbound import elsewhere
from talkwire.outbound.attempts import Opening, Outcome, close_attempt, open_attempt
from talkwire.oversight import evidence, health, reasons
from talkwire.testing.provider import down, refuse
from talkwire.work import lanes
from talkwire.work.lanes import NewTask
from tests.journeys.acme_hub import AcmeHub, full, no
from tests.journeys.listening import cut_power, listener
from tests.journeys.parting_hub import ANN, SETTINGS, Plugins, Post, both, post_of

ALIASES = ["email:ann@example.org"]
FALLBACK = 'when_closed = "fallback:post"'


@pytest.fixture
async def acme(start_acme: Any) -> AcmeHub:
    """Give a shop with sessions that falls back on the post."""
    found: AcmeHub = await start_acme(FALLBACK, **both(sessions=True))
    return found


@pytest.fixture
def post(acme: AcmeHub) -> Post:
    return post_of(acme)


async def talk(acme: AcmeHub, *, aliases: Any = ALIASES, **more: Any) -> Any:
    """Let a customer come, and write."""
    await acme.told("session", state="connected")
    return await acme.talk(aliases=aliases, name="Ann", **more)


async def ended(acme: AcmeHub, **more: Any) -> Any:
    """Give a talk whose session has ended."""
    conversation = await talk(acme, **more)
    await acme.told("session", state="ended", reason="timeout")
    await acme.hub.run_until_idle()
    return conversation


async def found(acme: AcmeHub, conversation: str) -> Any:
    return await acme.hub.daemon.hub.conversation(conversation)


# --- what becomes of it -----------------------------------------------------------------------------------


async def test_a_reply_to_an_ended_session_goes_on_by_mail_in_a_conversation_that_is_linked(acme, post):
    old = await ended(acme)
    accepted = await acme.hub.reply(old, "Your parcel is here")
    await acme.hub.run_until_idle()
    assert (accepted.policy, accepted.account) == (Policy.FALLBACK, "post")
    new = await found(acme, accepted.conversation)
    assert (new.account, new.address.value, new.continues) == ("post", "ann@example.org", old.id)
    assert (await found(acme, old.id)).continued_in == (new.id,)
    [out] = post.outs
    assert out.part.text.startswith("Your parcel is here\n\nEarlier in our conversation:\n\n> You, ")
    assert "> Hello" in out.part.text
    assert out.subject.startswith("Our conversation of ")
    assert acme.texts == []
    assert await acme.hub.states(old) == []


async def test_a_reply_that_says_what_it_answers_goes_on_without_saying_so_elsewhere(acme, post):
    old = await ended(acme)
    [asked] = await acme.hub.messages(old)
    accepted = await acme.hub.reply(old, replace(draft("It is here"), reply_to=asked.id))
    await acme.hub.run_until_idle()
    assert accepted.account == "post"
    [out] = post.outs
    assert (out.part.text.split("\n")[0], out.reply_to) == ("It is here", "")


async def test_the_log_says_where_it_went_and_nobody_hears_of_a_refusal(acme, post):
    old = await ended(acme)
    accepted = await acme.hub.reply(old, "Hi")
    [fact] = await acme.hub.facts("reply.fell_back")
    assert (fact.account, fact.conversation) == ("shop", old.id)
    assert dict(fact.ids) == {
        "message": accepted.message, "conversation": accepted.conversation, "instead_of": ""
    }  # fmt: skip
    assert dict(fact.small) == {"code": "session_ended", "account": "post", "author": "agent:test"}
    assert await acme.hub.facts("reply.refused") == []


async def test_what_follows_goes_into_the_same_conversation_and_tells_the_talk_once(acme, post):
    old = await ended(acme)
    first, second = await acme.hub.reply(old, "one"), await acme.hub.reply(old, "two")
    await acme.hub.run_until_idle()
    assert first.conversation == second.conversation
    assert [out.part.text for out in post.outs][1] == "two"
    assert post.contexts[-1].subject.startswith("Our conversation")


async def test_two_at_once_are_one_conversation(acme, post):
    old = await ended(acme)
    accepted = await asyncio.gather(*(acme.hub.reply(old, f"reply {n}") for n in range(4)))
    assert len({one.conversation for one in accepted}) == 1
    assert (await found(acme, old.id)).continued_in == (accepted[0].conversation,)


async def test_the_same_key_is_one_reply_elsewhere_too(acme, post):
    old = await ended(acme)
    accepted = await asyncio.gather(*(acme.hub.reply(old, "Hi", key="k1") for _ in range(3)))
    accepted.append(await acme.hub.reply(old, "Hi", key="k1"))
    assert len({(one.message, one.conversation, one.account, one.policy) for one in accepted}) == 1
    with pytest.raises(KeyReused):
        await acme.hub.reply(old, "Hi!", key="k1")
    await acme.hub.run_until_idle()
    assert len(post.outs) == 1


async def test_a_live_session_is_answered_where_it_is(acme, post):
    conversation = await talk(acme)
    accepted = await acme.hub.reply(conversation, "Hi")
    await acme.hub.run_until_idle()
    assert (accepted.policy, accepted.account, acme.texts, post.outs) == (None, "shop", ["Hi"], [])


async def test_whoever_comes_back_is_answered_where_they_are(acme, post):
    old = await ended(acme)
    await acme.hub.reply(old, "by mail")
    await acme.hub.pass_time(seconds=1)
    await acme.told("session", state="connected")
    await acme.reply(old, "here")
    assert acme.texts == ["here"]


async def test_a_closed_window_an_unreachable_address_and_a_broken_account_fall_back_too(start_acme):
    acme = await start_acme(FALLBACK, **both(window=timedelta(hours=24)))
    post = post_of(acme)
    conversation = await acme.talk(aliases=ALIASES)
    await acme.hub.pass_time(hours=25)
    assert (await acme.hub.reply(conversation, "closed")).account == "post"
    await acme.wrote("m2", "again")
    acme.provider.will(no("unknown_number"))
    await acme.reply(conversation, "lost")
    assert (await acme.hub.reply(conversation, "unreachable")).account == "post"
    await acme.wrote("m3", "again")
    acme.shop.broke("no token")
    await acme.hub.run_until_idle()
    assert acme.shop.view.state is AccountState.BROKEN
    assert (await acme.hub.reply(conversation, "broken")).account == "post"
    await acme.hub.run_until_idle()
    assert [out.part.text.splitlines()[0] for out in post.outs] == ["closed", "lost", "unreachable", "broken"]
    codes = [fact.small["code"] for fact in await acme.hub.facts("reply.fell_back")]
    assert codes == ["window_closed", "address_unreachable", "address_unreachable", "account_broken"]


async def test_who_was_blocked_gets_nothing_from_elsewhere(acme, post):
    old = await ended(acme)

    def block(tx, items):
        tx.execute("UPDATE conversation SET blocked_at = 1")
        return items

    await acme.hub.daemon.store.write(block, None)
    with pytest.raises(Exception, match="blocked"):
        await acme.hub.reply(old, "Hi")
    assert await acme.hub.rows("SELECT id FROM message WHERE direction = 'out'") == []


# --- where to -----------------------------------------------------------------------------------------------


async def test_without_a_known_address_it_is_refused_as_before(acme, post):
    old = await ended(acme, aliases=())
    with pytest.raises(SessionEnded) as refused:
        await acme.hub.reply(old, "Hi")
    assert [way.kind for way in refused.value.answer.ways] == ["wait"]
    [fact] = await acme.hub.facts("reply.refused")
    assert (fact.conversation, fact.small["code"]) == (old.id, "session_ended")
    assert await acme.hub.facts("reply.fell_back") == []


async def test_of_several_addresses_the_newest_is_taken(acme, post):
    old = await ended(acme)
    for newest in ("zoe@example.org", "abe@example.org"):
        await acme.hub.pass_time(seconds=5)
        await acme.wrote(newest, "Hello", aliases=[f"email:{newest}"])
        accepted = await acme.hub.reply(old, "Hi")
        assert (await found(acme, accepted.conversation)).address.value == newest
        ways = (await found(acme, old.id)).answer.ways
        assert ways[0].address == newest


async def test_the_ways_out_name_the_account_that_would_be_taken(acme, post):
    old = await ended(acme)
    ways = (await found(acme, old.id)).answer.ways
    assert [(way.kind, way.account, way.address_kind, way.address) for way in ways] == [
        ("account", "post", "email", "ann@example.org"),
        ("wait", "", "", ""),
    ]
    with pytest.raises(SessionEnded) as refused:
        await acme.hub.reply(old, "Hi", policy=Policy.REJECT)
    assert refused.value.answer.ways == ways


async def test_an_account_that_cannot_send_now_takes_nobodys_place(acme, post):
    old = await ended(acme)
    acme.hub.daemon.account("post").broke("no password")
    with pytest.raises(SessionEnded):
        await acme.hub.reply(old, "Hi")
    assert await acme.column("SELECT count(*) FROM conversation") == [1]


async def test_an_address_that_could_not_be_reached_by_mail_either_is_refused_for_the_first_reason(acme, post):
    old = await ended(acme)
    post.faults["ann@example.org"] = Unreachable("no such user")
    await acme.reply(old, "Hi")
    with pytest.raises(SessionEnded):
        await acme.hub.reply(old, "Hi again")
    [fact] = await acme.hub.facts("reply.refused")
    assert (fact.account, fact.small["code"]) == ("shop", "session_ended")


async def test_what_the_other_account_cannot_carry_is_said(acme, post):
    old = await ended(acme)
    with pytest.raises(Unsupported):
        await acme.hub.reply(old, Draft(blocks=(Text("x" * 200_000),)))
    with pytest.raises(NotFound):
        await acme.hub.reply(old, Draft(blocks=(Text("See"), Forward(message="nothing"))))


# --- asked for ------------------------------------------------------------------------------------------------


async def test_a_request_names_the_account_itself(start_acme):
    acme = await start_acme(**both(sessions=True))
    old = await ended(acme)
    with pytest.raises(SessionEnded):
        await acme.hub.reply(old, "Hi")
    with pytest.raises(Refuse, match="when_closed"):
        await acme.hub.reply(old, "Hi", policy=Policy.FALLBACK)
    with pytest.raises(NotFound, match="nowhere"):
        await acme.hub.reply(old, "Hi", policy=Policy.FALLBACK, fallback="nowhere")
    with pytest.raises(Refuse):
        await acme.hub.reply(old, "Hi", policy=Policy.HOLD, fallback="post")
    accepted = await acme.hub.reply(old, "Hi", policy=Policy.FALLBACK, fallback="post")
    assert (accepted.policy, accepted.account) == (Policy.FALLBACK, "post")


async def test_a_request_may_refuse_what_the_account_would_do(acme, post):
    old = await ended(acme)
    with pytest.raises(SessionEnded):
        await acme.hub.reply(old, "Hi", policy=Policy.REJECT)
    assert (await acme.hub.reply(old, "Hi", policy=Policy.HOLD)).policy is Policy.HOLD


async def test_the_preview_shows_what_would_go_out(acme, post):
    old = await ended(acme)
    rendition = await acme.hub.daemon.replies.render(old.id, draft("Hi"))
    assert rendition.account == "post"
    assert rendition.rendered.parts[0].text.startswith("Hi\n\nEarlier in our conversation:")
    assert await acme.hub.rows("SELECT id FROM message WHERE direction = 'out'") == []


async def test_an_automatic_answer_of_a_plugin_falls_back_as_well(start_acme):
    def answer(message, fact, tx):
        return Reply(
            conversation=message.conversation, draft=draft("We are closed"), policy=Policy.FALLBACK, fallback="post"
        )

    acme = await start_acme(
        **{**both(sessions=True), "plugins": {"acme": Plugins(full(sessions=True)), "hours": listener("tx", answer)}}
    )
    await acme.told("session", state="ended")
    await acme.wrote("m1", "Hello", aliases=ALIASES)
    await acme.hub.run_until_idle()
    assert [out.part.text.splitlines()[0] for out in post_of(acme).outs] == ["We are closed"]


async def test_a_notice_stays_where_it_belongs(acme, post):
    old = await ended(acme)
    with pytest.raises(SessionEnded):
        await acme.hub.daemon.replies.reply(old.id, draft("You are number 3"), author="plugin:queue", notice="queue")
    assert post.outs == []


async def test_the_api_says_where_it_went(acme, post, aiohttp_client):
    old = await ended(acme)
    [key] = [await acme.hub.daemon.store.write(create_keys, ("crm", "bot"))]
    client = await aiohttp_client(make_app(acme.hub.daemon), headers={"Authorization": f"Bearer {key}"})
    for repeated in (False, True):
        sent = await client.post(f"/api/v1/conversations/{old.id}/replies", json={"text": "Hi", "key": "k1"})
        said = await sent.json()
        assert (sent.status, said["policy"], said["account"], said["repeated"]) == (202, "fallback", "post", repeated)
    new = await (await client.get(f"/api/v1/conversations/{said['conversation']}")).json()
    was = await (await client.get(f"/api/v1/conversations/{old.id}")).json()
    assert (new["continues"], was["continued_in"]) == (old.id, [new["id"]])
    copies = {"text": "And you", "cc": ["Bob@example.org"]}
    sent = await client.post(f"/api/v1/conversations/{new['id']}/replies", json=copies)
    message = await (await client.get(f"/api/v1/messages/{(await sent.json())['message']}")).json()
    assert (message["cc"], [one["recipient"] for one in message["deliveries"]]) == (
        ["bob@example.org"], ["", "bob@example.org"]
    )  # fmt: skip


# --- what is told of the talk -----------------------------------------------------------------------------------


async def test_the_end_of_the_talk_is_told_as_the_customer_saw_it(acme, post):
    conversation = await talk(acme)
    replies = acme.hub.daemon.replies
    await acme.reply(conversation, "**Which** order?")
    await replies.reply(conversation.id, draft("You are number 3"), author="plugin:queue", notice="queue")
    await acme.hub.run_until_idle()
    acme.provider.will(refuse())
    await acme.reply(conversation, "never arrived")
    await acme.wrote("m2", "# 7 *urgent*\n\n1. now")
    await acme.told("session", state="ended")
    await acme.reply(conversation, "Here it is")
    told = post.outs[-1].part.text
    day = acme.hub.clock.now()
    at = f"{day.day} {day:%B} {day.year} {day:%H:%M} UTC:"
    assert told == "\n".join([
        "Here it is", "", "Earlier in our conversation:", "",
        f"> You, {at}", "> Hello", "> ",
        f"> We, {at}", "> Which order?", "> ",
        f"> You, {at}", "> # 7 *urgent*", "> ", "> 1. now",
    ]).replace("> \n", ">\n")  # fmt: skip


async def test_only_the_last_ten_messages_are_told_and_no_endless_ones(acme, post):
    conversation = await talk(acme)
    for n in range(15):
        await acme.wrote(f"n{n}", f"message {n}")
    await acme.wrote("long", "x" * 50_000)
    await acme.told("session", state="ended")
    await acme.reply(conversation, "Hi")
    told = post.outs[-1].part.text
    assert "message 5\n" not in told
    assert "message 6\n" in told
    assert len(told) < 4000


async def test_it_is_told_in_the_language_and_the_time_of_the_settings(start_acme):
    options = both(sessions=True)
    options["settings"] += '\n[general]\nlanguage = "id"\ntime_zone = "Asia/Jakarta"\n'
    acme = await start_acme(FALLBACK, **options)
    old = await ended(acme)
    await acme.reply(old, "Halo")
    [out] = post_of(acme).outs
    assert out.subject.startswith("Percakapan kita ")
    assert "Sebelumnya dalam percakapan kita:" in out.part.text
    assert " WIB:" in out.part.text


# --- what waits when a session ends ------------------------------------------------------------------------------


async def test_what_waited_for_a_customer_who_does_not_come_back_goes_on_by_mail(acme, post):
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one", "two")
    await acme.told("session", state="ended", reason="timeout")
    await acme.hub.run_until_idle()
    assert [out.part.text.splitlines()[0] for out in post.outs] == ["one", "two"]
    assert "one" not in post.outs[0].part.text.partition("Earlier")[2]
    old = await acme.hub.messages(conversation)
    problems = [d.problem for m in old for d in m.deliveries]
    assert [(p.code, p.text) for p in problems] == [("fell_back", "session_ended: it went on from post")] * 2
    facts = await acme.hub.facts("reply.fell_back")
    assert [fact.ids["instead_of"] for fact in facts] == [m.id for m in old if m.author]
    new = await found(acme, facts[0].ids["conversation"])
    assert new.continues == conversation.id
    assert [m.author for m in await acme.hub.messages(new)] == ["agent:test"] * 2
    assert await acme.hub.rows("SELECT id FROM task") == []


async def test_what_went_on_is_nobodys_trouble(acme, post):
    """Whoever is woken for what fails has nothing to do here."""
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    assert await acme.hub.facts("delivery.failed") == []
    store = acme.hub.daemon.store
    assert (await store.read(evidence.status)).failed == 0
    assert (await store.read(health.of_accounts)).get("shop") is None
    why = await store.read(lambda query: reasons.of_talk(query, conversation.id))
    assert [(one.text, one.is_open) for one in why if "could not go" in one.text] == [
        ("reply 2 could not go here: session ended: it went on from post", False)
    ]


async def test_whoever_cannot_be_reached_at_the_first_try_gets_it_by_mail(acme, post):
    conversation = await talk(acme)
    acme.provider.will(no("unknown_number"))
    await acme.reply(conversation, "one", "two")
    assert [out.part.text.splitlines()[0] for out in post.outs] == ["one", "two"]
    # The second was there before the first came back, or not: then it went elsewhere at once.
    assert {d.problem.code for m in await acme.hub.messages(conversation) for d in m.deliveries} == {"fell_back"}
    assert (await found(acme, conversation.id)).answer.code == "address_unreachable"


async def test_what_the_provider_said_of_the_address_stands_where_it_could_not_go_on(acme, post):
    conversation = await talk(acme, aliases=())
    acme.provider.will(no("unknown_number"))
    await acme.reply(conversation, "one")
    [delivery] = (await acme.hub.messages(conversation))[1].deliveries
    assert delivery.problem.code == "address_unreachable"
    assert delivery.problem.text.endswith("no address is known that post reaches, or it cannot send now")
    assert "unknown_number" in delivery.problem.text


async def test_a_new_reply_does_not_overtake_what_waits(acme, post):
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one", "two")
    acme.hub.daemon.lanes.drop("do")
    await acme.told("session", state="ended")
    await acme.reply(conversation, "three")
    assert [out.part.text.splitlines()[0] for out in post.outs] == ["one", "two", "three"]
    assert await acme.hub.states(conversation) == ["failed"] * 2


async def test_a_part_that_may_have_come_out_is_not_told_beside_itself(acme, post):
    conversation = await talk(acme)
    acme.provider.will(down(), no("offline"))
    await acme.reply(conversation, "a" * 200 + "b" * 200)
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    [out] = post.outs
    assert out.part.text.count("a" * 200) == 1


async def test_what_waited_and_cannot_go_on_has_failed_and_says_why(acme, post):
    conversation = await talk(acme, aliases=())
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    [_, message] = await acme.hub.messages(conversation)
    [delivery] = message.deliveries
    assert delivery.problem.code == "session_ended"
    assert "no address is known" in delivery.problem.text
    assert post.outs == []


async def test_a_reply_in_parts_goes_on_whole(acme, post):
    conversation = await talk(acme)
    acme.provider.will(acme.accept("p1"), no("offline"))
    await acme.reply(conversation, "a" * 200 + "b" * 200 + "c")
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    [out] = post.outs
    assert out.part.text.startswith("a" * 200)
    [_, message] = await acme.hub.messages(conversation)
    assert [(d.state.word, d.problem and d.problem.code) for d in message.deliveries] == [
        ("accepted", None), ("failed", "fell_back"), ("failed", "fell_back")
    ]  # fmt: skip


@pytest.mark.parametrize("waits", ["", "bob@example.org"])
async def test_who_got_a_copy_already_gets_no_second_one_from_elsewhere(start_acme, waits):
    settings = SETTINGS.replace("[accounts.post]", '[accounts.post]\nwhen_closed = "fallback:post2"')
    again = SETTINGS.replace("[accounts.post]", "[accounts.post2]")
    acme = await start_acme(settings=settings + again, plugins={"acme": Plugins()})
    first, second = post_of(acme), acme.hub.daemon.account("post2").channel
    first.faults[ANN.value] = Unreachable("no such user")
    if waits:
        first.faults[waits] = TryLater("greylisted", after=timedelta(hours=1))
    reply = Draft(blocks=(Text("Hi"),), cc=("bob@example.org",), bcc=("carol@example.org",))
    acme.hub.daemon.lanes.drop("do")
    accepted = await acme.hub.daemon.replies.reply(("post", ANN), reply, author="agent:a")
    await acme.hub.run_until_idle()
    await acme.hub.daemon.replies.fall_back(accepted.message, "post2", AnswerCode.ADDRESS_UNREACHABLE)
    await acme.hub.pass_time(hours=2)
    assert {out.recipient for out in first.outs} == {"bob@example.org", "carol@example.org"} - {waits}
    assert sorted(out.recipient for out in second.outs) == sorted({"", waits})


async def test_whom_a_reply_has_reached_gets_it_no_second_time_because_a_copy_of_it_still_waits(start_acme):
    settings = SETTINGS.replace("[accounts.post]", '[accounts.post]\nwhen_closed = "fallback:post2"')
    again = SETTINGS.replace("[accounts.post]", "[accounts.post2]")
    acme = await start_acme(settings=settings + again, plugins={"acme": Plugins()})
    first, second = post_of(acme), acme.hub.daemon.account("post2").channel
    first.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(hours=1))
    reply = Draft(blocks=(Text("one"),), cc=("bob@example.org",))
    talk = (await acme.hub.daemon.replies.reply(("post", ANN), reply, author="agent:a")).conversation
    await acme.hub.run_until_idle()
    first.faults = {ANN.value: Unreachable("no such user")}
    await acme.reply(talk, "two")
    await acme.reply(talk, "three")
    await acme.hub.pass_time(hours=2)
    assert [(out.recipient, out.part.text) for out in first.outs] == [("", "one"), ("bob@example.org", "one")]
    assert [out.part.text.splitlines()[0] for out in second.outs] == ["two", "three"]


async def test_a_copy_that_waits_goes_out_where_it_is_when_its_reply_cannot_go_on(start_acme):
    settings = SETTINGS.replace("[accounts.post]", '[accounts.post]\nwhen_closed = "fallback:post2"')
    again = SETTINGS.replace("[accounts.post]", "[accounts.post2]")
    acme = await start_acme(settings=settings + again, plugins={"acme": Plugins()})
    first = post_of(acme)
    first.faults[ANN.value] = Unreachable("no such user")
    first.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(hours=1))
    acme.hub.daemon.account("post2").broke("no token")
    reply = Draft(blocks=(Text("Hi"),), cc=("bob@example.org",))
    talk = (await acme.hub.daemon.replies.reply(("post", ANN), reply, author="agent:a")).conversation
    await acme.hub.run_until_idle()
    del first.faults["bob@example.org"]
    await acme.hub.pass_time(hours=2)
    assert [out.recipient for out in first.outs] == ["bob@example.org"]
    [message] = await acme.hub.messages(talk)
    states = {d.recipient: (d.state.word, d.problem and d.problem.code) for d in message.deliveries}
    assert states == {"": ("failed", "address_unreachable"), "bob@example.org": ("sent", None)}


@pytest.mark.one_file
@pytest.mark.parametrize(("meanwhile", "elsewhere"), [("begins", [""]), ("ends", ["", "bob@example.org"])])
async def test_a_copy_whose_attempt_begins_or_ends_while_its_reply_goes_on_is_sent_by_one_account(
    start_acme, meanwhile, elsewhere
):
    settings = SETTINGS.replace("[accounts.post]", '[accounts.post]\nwhen_closed = "fallback:post2"')
    again = SETTINGS.replace("[accounts.post]", "[accounts.post2]")
    acme = await start_acme(settings=settings + again, plugins={"acme": Plugins()})
    daemon, later = acme.hub.daemon, timedelta(hours=1)
    store, first, second = daemon.store, post_of(acme), daemon.account("post2").channel
    first.faults = {ANN.value: Unreachable("no such user"), "bob@example.org": TryLater("greylisted", after=later)}
    released = first.holds["bob@example.org"] = asyncio.Event()
    daemon.lanes.drop("do")
    reply = Draft(blocks=(Text("Hi"),), cc=("bob@example.org",))
    accepted = await daemon.replies.reply(("post", ANN), reply, author="agent:a")
    async with asyncio.timeout(20):
        while not await acme.column("SELECT 1 FROM task WHERE kind = 'fallback'"):
            pass
    released.set()
    await acme.hub.run_until_idle()
    daemon.lanes.drop("send:post")  # its lanes are served by this test
    await acme.hub.pass_time(hours=1)
    [lane] = await acme.column("SELECT lane_id FROM task WHERE kind = 'send'")
    opening = Opening(lane, daemon.account("post").standing, daemon.leases)
    if meanwhile == "begins":
        step = open_attempt, opening
    else:
        attempt = await store.write(open_attempt, opening)
        step = close_attempt, Outcome(attempt, opening.group, daemon.leases, later=acme.hub.clock.now() + later)
    took: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    second.before = lambda word: took.done() or store.put(*step, took)
    await daemon.replies.fall_back(accepted.message, "post2", AnswerCode.ADDRESS_UNREACHABLE)
    await acme.hub.run_until_idle()
    assert sorted(out.recipient for out in second.outs) == elsewhere
    [state] = await acme.column("SELECT state FROM delivery WHERE recipient <> '' AND account = 'post'")
    assert State(state).word == ("queued" if meanwhile == "begins" else "failed")


async def test_the_hook_that_formats_replies_sees_what_waited_once(start_acme):
    class Formatter:
        @hookimpl
        def format_reply(self, draft: Draft) -> Draft:
            return Draft(blocks=(Text("Dear customer"), *draft.blocks))

    options = both(sessions=True)
    options["settings"] += '[plugins]\nenabled = ["formatter"]\n'
    options["plugins"]["formatter"] = Formatter()
    acme = await start_acme(FALLBACK, **options)
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    assert post_of(acme).outs[0].part.text.count("Dear customer") == 1


async def test_what_was_taken_back_does_not_go_on(acme, post):
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "wrong")
    [_, message] = await acme.hub.messages(conversation)
    await acme.hub.daemon.replies.cancel(message.id)
    await acme.hub.daemon.store.write(add, task_of(message.id, conversation.id))
    await acme.hub.run_until_idle()
    assert post.outs == []
    assert await acme.hub.rows("SELECT id FROM task") == []


async def test_what_went_on_and_is_sent_again_where_it_was_is_no_second_mail(acme, post):
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    [_, message] = await acme.hub.messages(conversation)
    await acme.hub.daemon.replies.resend(message.id, "agent:test")
    await acme.hub.run_until_idle()
    assert len(post.outs) == 1
    assert await acme.hub.states(conversation) == ["failed"]


async def test_what_is_given_up_while_it_goes_on_has_failed(acme, post):
    """An operator drops the lane: nothing is left that waits for nobody."""
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    acme.hub.daemon.lanes.drop("do")
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    [_, message] = await acme.hub.messages(conversation)
    assert (message.state.word, message.reason) == ("queued", "falls_back")
    [lane] = await acme.column("SELECT lane_id FROM task")
    await control.do(acme.hub.daemon, "drop-lane", {"lane": lane})
    assert await acme.hub.states(conversation) == ["failed"]


def add(tx: Any, items: Any) -> list[None]:
    return [lanes.add(tx, list(items))]


def task_of(message: str, conversation: str) -> NewTask:
    return NewTask("do", conversation, elsewhere.KIND, message, '{"account": "post", "code": "session_ended"}')


# --- the power fails ------------------------------------------------------------------------------------------------


@pytest.mark.one_file
@pytest.mark.parametrize(("at", "mails", "state"), [("render", 1, "sent"), ("send", 0, "uncertain")])
async def test_what_waited_goes_on_once_though_the_power_fails(start_acme, tmp_path: Path, at, mails, state):
    """Before the mail is stored it is written again; once it is, it is what any part is that was on its way."""
    acme = await start_acme(FALLBACK, folder=tmp_path, **both(sessions=True))
    conversation, post = await talk(acme), post_of(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    cuts: list[Path] = []
    post.before = lambda word: cuts.append(cut_power(tmp_path, tmp_path / "cut")) if word == at else None
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    [cut] = cuts
    again = await start_acme(FALLBACK, folder=cut, provider=acme.provider, **both(sessions=True))
    await again.hub.pass_time(minutes=1)
    assert len(post_of(again).outs) == mails
    assert await again.hub.states(conversation) == ["failed"]
    [fact] = await again.hub.facts("reply.fell_back")
    assert await again.hub.states(fact.ids["conversation"]) == [state]
    assert await again.hub.rows("SELECT id FROM task") == []


async def test_what_went_on_does_not_go_on_again_though_the_power_failed_before_its_task_ended(acme, post):
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    [_, message] = await acme.hub.messages(conversation)
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    await acme.hub.daemon.store.write(add, task_of(message.id, conversation.id))
    await acme.hub.run_until_idle()
    assert len(post.outs) == 1
    assert await acme.hub.states(conversation) == ["failed"]


async def test_two_daemons_that_do_it_at_once_store_one(acme, post):
    """A lease that has lapsed: both have read what waits before either has stored anything."""
    conversation = await talk(acme)
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "one")
    [_, message] = await acme.hub.messages(conversation)
    acme.hub.daemon.lanes.drop("do")
    await acme.told("session", state="ended")
    await acme.hub.run_until_idle()
    fall_back = acme.hub.daemon.replies.fall_back
    await asyncio.gather(*(fall_back(message.id, "post", AnswerCode.SESSION_ENDED) for _ in range(3)))
    await acme.hub.run_until_idle()
    assert len(post.outs) == 1
    assert await acme.hub.states(conversation) == ["failed"]
