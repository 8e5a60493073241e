"""Mail goes to more than one: copies, threads of our own, what a channel is shown of the talk, and what is passed on."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from talkwire import (
    Draft,
    Forward,
    Media,
    NotFound,
    Policy,
    Refused,
    Report,
    State,
    Text,
    TryLater,
    Unreachable,
    Unsupported,
    draft,
)
from talkwire.formatting import blocks_to_json
from talkwire.lifecycle import restoring
from talkwire.lifecycle.forgetting import Forgetting
from talkwire.oversight import reasons
from tests.journeys.acme_hub import AcmeHub
from tests.journeys.parting_hub import ANN, Post, both, post_of

COPIED = Draft(blocks=(Text("Hi"),), subject="Parcel", cc=("Bob@Example.org ",), bcc=("carol@example.org",))


@pytest.fixture
async def acme(start_acme: Any) -> AcmeHub:
    found: AcmeHub = await start_acme(**both())
    return found


@pytest.fixture
def post(acme: AcmeHub) -> Post:
    return post_of(acme)


async def to_ann(acme: AcmeHub, said: Draft, **options: Any) -> Any:
    options.setdefault("author", "agent:test")
    return await acme.hub.daemon.replies.reply(("post", ANN), said, **options)


async def from_ann(acme: AcmeHub, id_: str, text: str, **more: Any) -> None:
    await acme.wrote(id_, text, sender=f"email:{ANN.value}", endpoint="post", **more)
    await acme.hub.run_until_idle()


def keys(post: Post) -> dict[str, str]:
    return {out.recipient: out.key for out in post.outs}


# --- copies ---------------------------------------------------------------------------------------------


async def test_each_copy_is_a_delivery_of_its_own_of_one_mail(acme, post):
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    assert sorted(out.recipient for out in post.outs) == ["", "bob@example.org", "carol@example.org"]
    main = keys(post)[""]
    assert {out.recipient: out.copy_of for out in post.outs} == {
        "": "", "bob@example.org": main, "carol@example.org": main
    }  # fmt: skip
    assert {out.address.value for out in post.outs} == {ANN.value}
    message = await acme.hub.daemon.hub.message(accepted.message)
    assert (message.cc, message.bcc) == (("bob@example.org",), ("carol@example.org",))
    assert {d.recipient: d.id for d in message.deliveries} == keys(post)
    assert message.state.word == "sent"


async def test_whom_a_copy_did_not_reach_is_not_whom_we_talk_to(acme, post):
    await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    for whose, is_allowed in (("bob@example.org", True), ("", False)):
        failed = Report(state=State.FAILED, at=acme.hub.clock.now(), key=keys(post)[whose], unreachable=True)
        await post.admit([failed])
        await acme.hub.run_until_idle()
        assert (await acme.hub.conversation).answer.allowed is is_allowed


async def test_nobody_gets_the_same_mail_twice(acme, post):
    said = Draft(
        blocks=(Text("Hi"),),
        cc=("bob@example.org", "ANN@example.org", "BOB@example.org"),
        bcc=("bob@example.org", "eve@example.org"),
    )
    accepted = await to_ann(acme, said)
    await acme.hub.run_until_idle()
    message = await acme.hub.daemon.hub.message(accepted.message)
    assert (message.cc, message.bcc) == (("bob@example.org",), ("eve@example.org",))
    assert len(post.outs) == 3


@pytest.mark.parametrize(
    "wrong", ["", "bob", "bob@", "bob@x.org\r\nBcc: eve@x.org", "a@b@c", "<bob@x.org>", "a,b@x.org"]
)
async def test_a_copy_that_is_no_address_is_refused_and_nothing_is_stored(acme, wrong):
    with pytest.raises(Unsupported) as refused:
        await to_ann(acme, Draft(blocks=(Text("Hi"),), cc=(wrong,)))
    assert refused.value.kind == "cc"
    assert await acme.hub.rows("SELECT id FROM message") == []


async def test_a_channel_without_copies_refuses_them(acme):
    conversation = await acme.talk()
    with pytest.raises(Unsupported) as refused:
        await acme.hub.reply(conversation, Draft(blocks=(Text("Hi"),), bcc=("bob@example.org",)))
    assert refused.value.kind == "bcc"


async def test_a_copy_that_has_to_wait_holds_up_nobody_else(acme, post):
    post.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(minutes=5))
    first = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    await acme.reply(first.conversation, "and more")
    assert sorted(out.recipient for out in post.outs) == ["", "", "carol@example.org"]
    [one, two] = await acme.hub.messages(first.conversation)
    assert (one.state.word, two.state.word) == ("queued", "sent")
    del post.faults["bob@example.org"]
    await acme.hub.pass_time(minutes=5)
    assert (await acme.hub.messages(first.conversation))[0].state.word == "sent"
    assert post.outs[-1].recipient == "bob@example.org"


async def test_two_mails_come_to_who_gets_copies_in_their_order(acme, post):
    post.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(minutes=5))
    first = await to_ann(acme, COPIED)
    await acme.hub.reply(first.conversation, COPIED)
    await acme.hub.run_until_idle()
    del post.faults["bob@example.org"]
    await acme.hub.pass_time(minutes=5)
    mains = [out.key for out in post.outs if not out.recipient]
    assert [out.copy_of for out in post.outs if out.recipient == "bob@example.org"] == mains


async def test_a_mail_of_which_a_copy_failed_has_failed_and_only_that_copy_is_sent_again(acme, post):
    post.faults["bob@example.org"] = Refused("no such mailbox")
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    assert (await acme.hub.daemon.hub.message(accepted.message)).state.word == "failed"
    main = keys(post)[""]
    del post.faults["bob@example.org"]
    assert await acme.hub.daemon.replies.resend(accepted.message, "agent:test") == 1
    await acme.hub.run_until_idle()
    assert len(post.outs) == 3
    assert (post.outs[-1].recipient, post.outs[-1].copy_of) == ("bob@example.org", main)
    assert (await acme.hub.daemon.hub.message(accepted.message)).state.word == "sent"


async def test_a_copy_stays_a_copy_of_the_same_mail_though_the_first_was_sent_anew(acme, post):
    """A Message-ID must not change between two tries: the same mail would be two."""
    post.faults[ANN.value] = Refused("not today")
    post.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(minutes=5))
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    [[main]] = await acme.hub.rows("SELECT id FROM delivery WHERE recipient = ''")
    post.faults.clear()
    await acme.hub.daemon.replies.resend(accepted.message, "agent:test")
    await acme.hub.pass_time(minutes=5)
    copies = {out.recipient: out.copy_of for out in post.outs if out.recipient}
    assert copies == {"bob@example.org": main, "carol@example.org": main}


async def test_an_address_that_cannot_be_reached_does_not_keep_others_from_their_copies(acme, post):
    post.faults[ANN.value] = Unreachable("no such user")
    post.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(minutes=5))
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    del post.faults["bob@example.org"]
    await acme.hub.pass_time(minutes=5)
    assert sorted(out.recipient for out in post.outs) == ["bob@example.org", "carol@example.org"]
    assert (await acme.hub.daemon.hub.conversation(accepted.conversation)).answer.code == "address_unreachable"


async def test_who_gets_a_copy_and_cannot_be_reached_shuts_no_conversation(acme, post):
    post.faults["bob@example.org"] = Unreachable("no such user")
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    assert (await acme.hub.daemon.hub.conversation(accepted.conversation)).answer.allowed


async def test_what_waits_is_taken_back_from_all_who_would_get_it(acme, post):
    for to in (ANN.value, "bob@example.org", "carol@example.org"):
        post.faults[to] = TryLater("greylisted", after=timedelta(minutes=5))
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    assert await acme.hub.daemon.replies.cancel(accepted.message) == 3
    assert await acme.hub.rows("SELECT id FROM task WHERE kind = 'send'") == []


async def test_held_copies_go_out_with_what_they_are_copies_of(acme, post):
    await from_ann(acme, "m1", "Hello")
    conversation = await acme.hub.conversation
    post.faults[ANN.value] = Unreachable("no such user")
    await acme.reply(conversation, "lost")
    post.faults.clear()
    held = await acme.hub.reply(conversation, COPIED, policy=Policy.HOLD)
    await acme.hub.run_until_idle()
    assert (held.policy, post.outs) == (Policy.HOLD, [])
    post.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(minutes=5))
    await from_ann(acme, "m2", "Here I am")
    await acme.reply(conversation, "and more")
    assert sorted(out.recipient for out in post.outs) == ["", "", "carol@example.org"]
    post.faults.clear()
    await acme.hub.pass_time(minutes=5)
    assert post.outs[-1].recipient == "bob@example.org"


async def test_a_part_that_failed_for_one_fails_the_later_parts_of_that_one_alone(acme, post):
    post.faults["bob@example.org"] = Refused("no such mailbox")
    long = Draft(blocks=(Text("a" * 9_000 + "\n\n" + "b" * 9_000),), cc=("bob@example.org",))
    accepted = await to_ann(acme, long)
    await acme.hub.run_until_idle()
    message = await acme.hub.daemon.hub.message(accepted.message)
    assert [(d.recipient, d.position, d.state.word) for d in message.deliveries] == [
        ("", 0, "sent"), ("bob@example.org", 0, "failed"), ("", 1, "sent"), ("bob@example.org", 1, "failed")
    ]  # fmt: skip


async def test_held_copies_wait_in_their_own_lanes_after_a_restore(acme, post):
    await from_ann(acme, "m1", "Hello")
    conversation = await acme.hub.conversation
    post.faults[ANN.value] = Unreachable("no such user")
    await acme.reply(conversation, "lost")
    await acme.hub.reply(conversation, COPIED, policy=Policy.HOLD)
    await acme.hub.daemon.store.write(restoring.hold_now, (acme.hub.clock.now(), {}))
    found = await acme.hub.rows(
        "SELECT d.recipient, l.subject, l.held FROM task t JOIN lane l ON l.id = t.lane_id JOIN delivery d ON d.id = t.ref"
    )
    assert {(recipient, held) for recipient, _, held in found} == {
        ("", "restored"), ("bob@example.org", "restored"), ("carol@example.org", "restored")
    }  # fmt: skip
    assert len({subject for _, subject, _ in found}) == 3
    messages = await acme.hub.messages(conversation)
    assert {d.reason for d in messages[-1].deliveries} == {"restored"}


async def test_what_waits_for_a_copy_alone_is_said_of_the_copy(acme, post):
    post.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(minutes=5))
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    [why] = await acme.hub.daemon.store.read(lambda query: reasons.of_talk(query, accepted.conversation))
    assert why.text == "1 copy waits: the provider takes no more for now; it is tried again by itself (greylisted)"
    assert why.hint.startswith("talkwire lanes release ")


async def test_nothing_of_a_copy_is_left_of_a_person_who_is_forgotten(acme, post):
    post.faults["bob@example.org"] = TryLater("greylisted", after=timedelta(minutes=5))
    accepted = await to_ann(acme, COPIED)
    await acme.hub.run_until_idle()
    assert not any("@" in subject for subject in await acme.column("SELECT subject FROM lane WHERE grp = 'send:post'"))
    found = await acme.hub.daemon.hub.conversation(accepted.conversation)
    daemon = acme.hub.daemon
    await Forgetting(daemon.store, daemon.files, daemon.clock, daemon.plugins.forget).forget(found.contact, "test")
    assert await acme.hub.rows("SELECT id FROM lane WHERE grp = 'send:post'") == []
    assert await acme.hub.rows("SELECT id FROM delivery") == []


# --- threads ----------------------------------------------------------------------------------------------


async def test_whoever_writes_first_opens_a_thread_of_its_own(acme, post):
    first, second = await to_ann(acme, draft("one")), await to_ann(acme, draft("two"))
    assert first.conversation != second.conversation
    assert {first.account, second.account} == {"post"}
    threads = await acme.column("SELECT thread FROM conversation")
    assert len(set(threads)) == 2
    assert "" not in threads
    assert len(await acme.column("SELECT id FROM address WHERE kind = 'email'")) == 1


async def test_the_same_key_gives_the_same_thread(acme, post):
    accepted = await asyncio.gather(*(to_ann(acme, draft("one"), key="k1") for _ in range(3)))
    accepted.append(await to_ann(acme, draft("one"), key="k1"))
    assert len({(one.conversation, one.account) for one in accepted}) == 1
    assert await acme.column("SELECT count(*) FROM conversation") == [1]


async def test_a_reply_says_where_it_is(acme, post):
    conversation = await acme.talk()
    for _ in range(2):
        accepted = await acme.hub.reply(conversation, "Hi", key="k1")
        assert (accepted.conversation, accepted.account) == (conversation.id, "shop")


# --- what a channel is shown --------------------------------------------------------------------------------


async def test_a_channel_with_subjects_is_shown_the_newest_one_and_what_is_answered(acme, post):
    await from_ann(acme, "m1", "Where is it?")
    conversation = await acme.hub.conversation
    await acme.reply(conversation, Draft(blocks=(Text("Here"),), subject="Parcel 7"))
    await acme.reply(conversation, "Really")
    assert [(c.subject, c.last_inbound.text) for c in post.contexts] == [
        ("", "Where is it?"),
        ("Parcel 7", "Where is it?"),
    ]


async def test_a_first_mail_has_nothing_to_answer(acme, post):
    await to_ann(acme, draft("one"))
    [context] = post.contexts
    assert (context.subject, context.last_inbound, context.forwarded) == ("", None, {})


async def test_what_is_passed_on_is_shown_with_its_files(acme, post):
    accepted = await to_ann(acme, draft("look"))

    def with_file(tx, items):
        tx.execute(
            "INSERT INTO attachment (id, account, message_id, name, media_type, size, cls, created_at)"
            " VALUES ('file', 'post', :id, 'a.txt', 'text/plain', 1, 'file', 0)",
            {"id": accepted.message},
        )
        blocks = blocks_to_json((Text("look"), Media(attachment="file")))
        tx.execute("UPDATE message SET blocks = :blocks WHERE id = :id", {"id": accepted.message, "blocks": blocks})
        return items

    await acme.hub.daemon.store.write(with_file, None)
    await to_ann(acme, Draft(blocks=(Text("See below"), Forward(message=accepted.message))))
    context = post.contexts[-1]
    assert [message.text for message in context.forwarded.values()] == ["look"]
    assert [one.name for one in context.attachments.values()] == ["a.txt"]
    with pytest.raises(NotFound):
        await to_ann(acme, Draft(blocks=(Text("See below"), Forward(message="nothing"))))


async def test_a_channel_that_passes_nothing_on_says_so(acme):
    conversation = await acme.talk()
    [message] = await acme.hub.messages(conversation)
    with pytest.raises(Unsupported) as refused:
        await acme.hub.reply(conversation, Draft(blocks=(Forward(message=message.id),)))
    assert refused.value.kind == "forward"


async def test_who_has_no_subjects_pays_for_none(acme):
    """Live chat and SMS read nothing of their talk before a reply is rendered."""
    conversation = await acme.talk()
    seen = []
    channel = acme.shop.channel
    render, channel.render = channel.render, lambda draft, context: (seen.append(context), render(draft, context))[1]
    await acme.reply(conversation, "Hi")
    assert [(c.subject, c.last_inbound) for c in seen] == [("", None)]
