"""Two people talk: what is written, what waits, what comes back."""

import asyncio

import pytest

from talkwire import (
    Buttons,
    Card,
    Choices,
    Draft,
    Media,
    Notice,
    Option,
    ReadUpTo,
    SessionEnded,
    Text,
    TypingSignal,
    draft,
)
from talkwire.api.principals import create_keys

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 1_200_000


async def act(hub, action):
    """Ask for something as a plugin does."""
    await hub.daemon.hub.of("queue").write(_act, action)
    await hub.run_until_idle()


def _act(tx, items):
    for action in items:
        tx.act(action)
    return [None] * len(items)


async def test_what_a_visitor_writes_is_kept_before_it_is_acknowledged(site):
    ann = await site.visit()
    said = await ann.says("Is the Ciwidey back?", "1")
    assert said["t"] == "ack"
    [message] = await site.hub.messages(await site.talk())
    assert (message.text, message.n) == ("Is the Ciwidey back?", 1)


async def test_a_resend_is_acknowledged_again_and_kept_once(site):
    ann = await site.visit()
    assert (await ann.says("hello", "1"))["t"] == "ack"
    await ann.leaves()
    again = await site.visit(fresh=False)
    assert (await again.says("hello", "1"))["t"] == "ack"
    assert [m.text for m in await site.hub.messages(await site.talk())] == ["hello"]


async def test_two_visitors_may_use_the_same_id(site):
    ann, bob = await site.visit("ann"), await site.visit("bob")
    await ann.says("from ann", "1")
    await bob.says("from bob", "1")
    talks = await site.hub.conversations()
    assert sorted([m.text for talk in talks for m in await site.hub.messages(talk)]) == ["from ann", "from bob"]


async def test_a_reply_is_sent_then_delivered_then_read(site):
    ann = await site.visit()
    await ann.says("hi", "1")
    talk = await site.talk()
    await site.hub.reply(talk, "**Hello** Ann")
    frame = await ann.ours()
    assert frame["blocks"] == [
        {
            "type": "text",
            "nodes": [
                {
                    "type": "paragraph",
                    "spans": [
                        {"type": "bold", "spans": [{"type": "text", "text": "Hello"}]},
                        {"type": "text", "text": " Ann"},
                    ],
                }
            ],
        }
    ]
    await site.hub.run_until_idle()
    assert await site.hub.states(talk) == ["sent"]
    for said, becomes in (("delivered", "delivered"), ("read", "read"), ("delivered", "read")):
        await ann.send(t="seen", keys=[frame["key"]], state=said)
        await ann.pong()
        assert await site.hub.states(talk) == [becomes]


async def test_every_tab_of_a_visitor_sees_everything(site):
    one = await site.visit()
    two = await site.visit()
    await one.says("from one tab", "1")
    seen = await two.gets("message")
    assert (seen["out"], seen["id"], seen["n"]) == (False, "1", 1)
    await site.hub.reply(await site.talk(), "to both")
    assert (await one.ours())["text"] == (await two.ours())["text"] == "to both"


async def test_one_tab_that_closes_is_no_disconnect(site):
    one = await site.visit()
    two = await site.visit()
    await one.leaves()
    assert (await site.talk()).session == "connected"
    await two.leaves()
    assert (await site.talk()).session == "disconnected"


async def test_a_widget_resumes_after_what_it_has(site):
    ann = await site.visit()
    for n in ("1", "2", "3"):
        await ann.says(f"text {n}", n)
    await ann.leaves()
    again = await site.visit(after=2)
    assert [(f["n"], f["text"]) for f in again.before] == [(3, "text 3")]
    anew = await site.visit(after=0)
    assert [f["n"] for f in anew.before] == [1, 2, 3]


async def test_what_was_sent_but_never_came_is_brought_again(site):
    """Its number may be lower than what the widget has."""
    ann = await site.visit()
    await ann.says("hi", "1")
    talk = await site.talk()
    await site.hub.reply(talk, "lost on the line")
    await ann.ours()
    await ann.says("anybody?", "2")
    await ann.leaves()
    again = await site.visit(after=3)
    assert [f["text"] for f in again.before] == ["lost on the line"]


@pytest.mark.requirement("3DR-14")
async def test_replies_to_somebody_away_are_pending_and_come_in_order_on_return(site):
    ann = await site.visit()
    await ann.says("hi", "1")
    await ann.leaves()
    talk = await site.talk()
    assert (talk.session, talk.answer.allowed) == ("disconnected", True)
    for text in ("a", "b", "c"):
        await site.hub.reply(talk, text)
    await site.hub.run_until_idle()
    messages = (await site.hub.messages(talk))[1:]
    assert [(m.state.word, m.reason) for m in messages] == [("queued", "recipient_offline")] * 3

    again = await site.visit(after=1, fresh=False)
    # What goes as soon as they are back may come before the widget is told that it is ready, and once more after that: the
    # widget folds by the key.
    shown = {frame["key"]: frame["text"] for frame in again.before}
    while len(shown) < 3:
        frame = await again.ours()
        shown.setdefault(frame["key"], frame["text"])
    assert list(shown.values()) == ["a", "b", "c"]
    await again.send(t="seen", keys=list(shown), state="read")
    await again.pong()
    assert await site.hub.states(talk) == ["read"] * 3


async def test_a_session_ends_after_the_grace_and_its_replies_are_refused(site):
    ann = await site.visit()
    await ann.says("hi", "1")
    await ann.leaves()
    await site.hub.reply(await site.talk(), "waits")
    await site.hub.pass_time(seconds=179)
    assert (await site.talk()).session == "disconnected"
    await site.hub.pass_time(seconds=2)
    talk = await site.talk()
    assert (talk.session, talk.session_reason) == ("ended", "timeout")
    assert (talk.answer.code, talk.answer.icon) == ("session_ended", "warning")
    assert [way.kind for way in talk.answer.ways] == ["wait"]
    [waiting] = (await site.hub.messages(talk))[1:]
    assert [d.problem.code for d in waiting.deliveries] == ["session_ended"]

    with pytest.raises(SessionEnded) as refused:
        await site.hub.reply(talk, "too late")
    assert refused.value.answer.code == "session_ended"
    assert [f.small["code"] for f in await site.hub.facts("reply.refused")] == ["session_ended"]
    assert len(await site.hub.messages(talk)) == 2

    again = await site.visit(after=1)
    assert (await site.talk()).answer.allowed
    await site.hub.reply(talk, "welcome back")
    assert (await again.ours())["text"] == "welcome back"


async def test_the_api_refuses_a_reply_to_an_ended_session_with_the_answer(site):
    ann = await site.visit()
    await ann.says("hi", "1")
    await ann.send(t="bye")
    assert (await ann.gets("ended"))["reason"] == "customer"
    talk = await site.talk()
    key = await site.hub.daemon.store.write(create_keys, ("host", "host"))
    answer = await site.client.post(
        f"/api/v1/conversations/{talk.id}/replies", json={"text": "x"}, headers={"Authorization": f"Bearer {key}"}
    )
    said = await answer.json()
    assert (answer.status, said["code"], said["answer"]["code"]) == (409, "session_ended", "session_ended")
    assert (said["answer"]["icon"], said["answer"]["ways"][0]["kind"]) == ("warning", "wait")


async def test_a_return_within_the_grace_goes_on_with_the_same_session(site):
    ann = await site.visit()
    await ann.says("hi", "1")
    since = (await site.talk()).session_since
    await ann.leaves()
    await site.hub.pass_time(seconds=170)
    await site.visit(fresh=False)
    await site.hub.pass_time(seconds=600)
    talk = await site.talk()
    assert (talk.session, talk.session_since) == ("connected", since)


async def test_a_line_that_comes_back_does_not_reopen_what_an_agent_has_ended(site):
    ann = await site.visit()
    await ann.says("hi", "1")
    talk = await site.talk()
    await site.hub.daemon.hub.end_session(talk.id)
    assert (await ann.gets("ended"))["reason"] == "agent"
    await ann.leaves()

    back = await site.visit(fresh=False)
    assert (back.welcome["session"], back.welcome["reason"]) == ("ended", "agent")
    assert (await site.talk()).session == "ended"
    assert (await back.says("one more thing", "2"))["t"] == "ack"
    await back.gets("reopened")
    assert (await site.talk()).session == "connected"


async def test_a_visitor_who_is_silent_for_long_is_let_go(site):
    ann = await site.visit()
    await ann.says("hi", "1")
    await site.hub.pass_time(minutes=19)
    assert (await site.talk()).session == "connected"
    async with asyncio.timeout(20):
        while (await site.talk()).session != "ended":  # who looks for the silent has a loop of its own
            await site.hub.pass_time(seconds=15)
    assert (await ann.gets("ended"))["reason"] == "idle"


async def test_typing_goes_both_ways_and_touches_no_table(site):
    ann = await site.visit()
    hints = site.hub.daemon.hub.subscribe("typing")
    hint = asyncio.ensure_future(anext(hints))
    await ann.pong()
    talk = await site.talk()
    await ann.send(t="typing", on=True)
    async with asyncio.timeout(20):
        said = await hint
    assert (said["address"], said["on"]) == (talk.address.value, True)
    await hints.aclose()

    tasks = await site.hub.rows("SELECT count(*) FROM task")
    await site.hub.daemon.hub.signal(talk.id, TypingSignal())
    assert (await ann.gets("typing"))["on"] is True
    assert await site.hub.rows("SELECT count(*) FROM task") == tasks


async def test_the_visitor_is_told_how_far_an_agent_has_read(site):
    ann = await site.visit()
    await ann.says("one", "1")
    await ann.says("two", "2")
    talk = await site.talk()
    last = (await site.hub.messages(talk))[-1]
    await site.hub.daemon.hub.signal(talk.id, ReadUpTo(last.external_id))
    assert (await ann.gets("read"))["n"] == 2


async def test_a_notice_is_replaced_in_place_taken_back_and_so_it_is_resumed(site):
    ann = await site.visit()
    talk = await site.talk()
    await act(site.hub, Notice(conversation=talk.id, slot="place", draft=draft("You are number 3")))
    first = await ann.ours()
    assert (first["notice"], first["text"]) == ("place", "You are number 3")
    await site.hub.pass_time(seconds=30)
    await act(site.hub, Notice(conversation=talk.id, slot="place", draft=draft("You are number **2**")))
    second = await ann.ours()
    assert (second["key"], second["text"]) == (first["key"], "You are number 2")
    assert second["blocks"][0]["nodes"][0]["spans"][1]["type"] == "bold"
    await ann.leaves()
    again = await site.visit(fresh=False)
    assert [(f["notice"], f["text"]) for f in again.before] == [("place", "You are number 2")]
    await act(site.hub, Notice(conversation=talk.id, slot="place", draft=None))
    assert (await again.ours())["gone"] is True


async def test_attachments_go_both_ways_and_rich_content_is_a_tree(site):
    ann = await site.visit()
    sent = await site.upload(ann, PNG, "photo%20of%20it.png")
    file = await sent.json()
    assert (sent.status, file["name"], file["media_type"], file["size"]) == (
        201, "photo of it.png", "image/png", len(PNG),
    )  # fmt: skip
    await ann.says("look", "1", files=[file["id"]])
    talk = await site.talk()
    [message] = await site.hub.messages(talk)
    assert message.blocks[0].attachment == file["id"]

    one = (Option(id="y", title="Yes"), Option(id="m", title="More", url="https://shop.example/more"))
    said = Draft(
        blocks=(
            Text("~~old~~ `code`\n\n- a\n- b\n\n> quote"),
            Media(attachment=file["id"], caption="*it*"),
            Buttons(text="Sure?", options=one),
            Choices(text="Which?", button="Sizes", options=(Option(id="s", title="Small", description="250 g"),)),
            Card(title="Ciwidey", text="Jasmine", image=file["id"], options=one),
        )
    )
    accepted = await site.hub.reply(talk, said)
    assert accepted.degradations == ()
    frame = await ann.ours()
    assert [b["type"] for b in frame["blocks"]] == ["text", "media", "buttons", "list", "card"]
    picture = await site.client.get(frame["blocks"][1]["url"])
    assert await picture.read() == PNG
    assert frame["blocks"][4]["image"]["url"]
    await ann.says("Yes", "2", choice={"id": "y", "title": "Yes", "key": frame["key"]})
    chosen = (await site.hub.messages(talk))[-1]
    assert (chosen.blocks[0].id, chosen.reply_to) == ("y", accepted.message)
    while (said := await ann.gets("message")).get("id") != "2":
        pass
    assert said["blocks"] == [{"type": "choice", "id": "y", "title": "Yes", "key": frame["key"]}]


async def test_a_link_that_has_run_out_is_made_anew_for_whom_it_is(site):
    ann, bob = await site.visit("ann"), await site.visit("bob")
    file = await (await site.upload(ann, PNG)).json()
    await ann.says("look", "1", files=[file["id"]])
    mine = await ann.gets("message")
    old = mine["blocks"][1]["url"]
    site.hub.clock.turn_to(site.hub.clock.now().replace(minute=30))
    assert (await site.client.get(old)).status == 404
    await ann.send(t="link", id="1", attachment=file["id"])
    fresh = await ann.gets("link")
    assert (await site.client.get(fresh["url"])).status == 200
    await bob.send(t="link", id="1", attachment=file["id"])
    await bob.send(t="ping")
    assert (await bob.gets("link", "pong"))["t"] == "pong"


async def test_only_named_agents_are_named(start_site):
    site = await start_site('[accounts.site.names]\nrina = "Rina"\n')
    ann = await site.visit()
    talk = await site.talk()
    await site.hub.reply(talk, "named", author="agent:rina")
    first = await ann.ours()
    await site.hub.reply(talk, "not named", author="agent:secret-name")
    second = await ann.ours(first["key"])
    assert (first["author"], second["author"]) == ("Rina", "")


async def test_a_text_that_no_line_can_carry_reaches_the_visitor_as_far_as_it_can(site):
    ann = await site.visit()
    talk = await site.talk()
    await site.hub.reply(talk, "half a pair: \ud83d, and the rest")
    first = await ann.ours()
    assert first["text"].endswith(", and the rest")
    await site.hub.reply(talk, "and the next")
    assert (await ann.ours(first["key"]))["text"] == "and the next"


async def test_a_message_that_cannot_be_drawn_hides_no_other(site):
    ann = await site.visit()
    await ann.says("first", "1")
    talk = await site.talk()
    [message] = await site.hub.messages(talk)
    await site.hub.daemon.store.write(_spoil, message)
    await site.hub.reply(talk, "still here")
    assert (await ann.ours())["text"] == "still here"


def _spoil(tx, items):
    for message in items:
        tx.execute("UPDATE message SET at = :at WHERE id = :id", {"at": 2**62, "id": message.id})  # after year 9999
        tx.tell("message.changed", account="site", conversation=message.conversation, ids={"message": message.id})
    return [None] * len(items)
