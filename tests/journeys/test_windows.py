"""What becomes of replies when a provider's window has closed: held, gone elsewhere, a template first, or refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from talkwire import (
    Address,
    Draft,
    Level,
    NoAnswer,
    Policy,
    Refuse,
    RenderContext,
    Rendered,
    Reply,
    SessionStep,
    Template,
    Unsupported,
    WindowClosed,
    draft,
    hookimpl,
)
from talkwire.api import make_app
from talkwire.api.principals import create_keys
from talkwire.testing.provider import refuse, slow
from tests.journeys.acme_hub import AcmeHub, FullAcme, full, no
from tests.journeys.listening import cut_power, listener
from tests.journeys.parting_hub import Post, both, post_of

DAY = timedelta(hours=24)
AGAIN = 'when_closed = "template:again"'
TOLD = ("window.closing", "window.closed")


class Templated(FullAcme):
    """Acme with two approved templates, each in one language."""

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        for block in draft.blocks:
            if isinstance(block, Template) and block.name not in ("again", "other"):
                raise Unsupported(f"there is no template {block.name}", kind="template")
        return super().render(draft, context)


def windowed(**features: Any) -> type[FullAcme]:
    """Make an Acme that lets us answer for a day, and later by template."""
    return full(Templated, window=DAY, template=Level.FULL, reaches=frozenset({"phone"}), **features)


@pytest.fixture
async def acme(start_acme: Any) -> AcmeHub:
    """Give a shop that sends a template when its window is closed."""
    found: AcmeHub = await start_acme(AGAIN, channel=windowed())
    return found


async def closed(acme: AcmeHub) -> Any:
    """Give a talk whose window has closed."""
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=25)
    return conversation


async def out(acme: AcmeHub, conversation: Any) -> list[tuple[str, str]]:
    """Give our messages, each with its state."""
    return [(m.text, m.state.word) for m in await acme.hub.messages(conversation) if m.state is not None]


# --- a template at once, and the reply when the customer writes -----------------------------------------


async def test_a_template_goes_at_once_and_the_reply_when_the_customer_writes(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    accepted = await acme.hub.reply(conversation, "Your parcel is here")
    await acme.hub.run_until_idle()
    assert (accepted.policy, accepted.conversation) == (Policy.TEMPLATE, conversation.id)
    assert acme.texts == ["again"]
    assert await out(acme, conversation) == [("again", "accepted"), ("Your parcel is here", "queued")]
    [_, template, reply] = await acme.hub.messages(conversation)
    assert (template.author, reply.id, reply.reason) == ("agent:test", accepted.message, "window_closed")
    assert (await acme.hub.conversation).answer.code == "window_closed"
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts == ["again", "Your parcel is here"]
    assert await out(acme, conversation) == [("again", "accepted"), ("Your parcel is here", "accepted")]


async def test_one_template_goes_in_a_closed_window_and_one_in_the_next(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    for text in ("one", "two"):
        assert (await acme.hub.reply(conversation, text)).policy is Policy.TEMPLATE
    await acme.hub.run_until_idle()
    assert acme.texts == ["again"]
    await acme.wrote("m2", "Here I am")
    await acme.hub.pass_time(hours=25)
    await acme.reply(conversation, "three")
    assert acme.texts == ["again", "one", "two", "again"]


async def test_replies_that_come_at_the_same_time_send_one_template(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    await asyncio.gather(*(acme.hub.reply(conversation, f"reply {n}") for n in range(5)))
    await acme.hub.run_until_idle()
    assert acme.texts == ["again"]


async def test_a_template_that_a_person_sent_in_the_closed_window_counts(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    await acme.hub.reply(conversation, Draft(blocks=(Template(name="other", language="en"),)))
    await acme.reply(conversation, "one")
    assert acme.texts == ["other"]
    assert (await out(acme, conversation))[-1] == ("one", "queued")


async def test_a_template_that_failed_is_sent_again_with_the_next_reply(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    acme.provider.will(refuse())
    await acme.reply(conversation, "one")
    await acme.reply(conversation, "two")
    assert [state for _, state in await out(acme, conversation)] == ["failed", "queued", "accepted", "queued"]


async def test_a_reply_in_an_open_window_goes_alone(acme: AcmeHub) -> None:
    conversation = await acme.talk()
    assert (await acme.hub.reply(conversation, "Hi")).policy is None
    await acme.hub.run_until_idle()
    assert acme.texts == ["Hi"]


async def test_what_waits_for_the_customer_can_be_taken_back(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    accepted = await acme.hub.reply(conversation, "one")
    assert await acme.hub.daemon.replies.cancel(accepted.message) == 1
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts == ["again"]
    assert (await out(acme, conversation))[-1] == ("one", "failed")


async def test_the_same_key_is_one_reply_and_one_template(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    accepted = [await acme.hub.reply(conversation, "one", key="k1") for _ in range(2)]
    assert [one.repeated for one in accepted] == [False, True]
    assert {one.message for one in accepted} == {accepted[0].message}
    assert [one.policy for one in accepted] == [Policy.TEMPLATE] * 2
    assert len(await out(acme, conversation)) == 2


async def test_a_template_that_cannot_go_is_said_and_nothing_is_stored(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "template:gone"', channel=windowed())
    conversation = await closed(acme)
    with pytest.raises(Unsupported, match='the template "gone" cannot go: there is no template gone'):
        await acme.hub.reply(conversation, "one", key="k1")
    assert await out(acme, conversation) == []
    assert (await acme.hub.reply(conversation, "one", key="k1", policy=Policy.TEMPLATE, template="again")).n == 3


async def test_a_request_names_the_template_itself(start_acme: Any) -> None:
    acme = await start_acme(channel=windowed())
    conversation = await closed(acme)
    with pytest.raises(WindowClosed) as refused:
        await acme.hub.reply(conversation, "Hi")
    ways = refused.value.answer.ways
    assert [(way.kind, way.template) for way in ways] == [("template", ""), ("hold", "")]
    with pytest.raises(Refuse, match="when_closed"):
        await acme.hub.reply(conversation, "Hi", policy=Policy.TEMPLATE)
    with pytest.raises(Refuse, match="only"):
        await acme.hub.reply(conversation, "Hi", policy=Policy.HOLD, template="again")
    accepted = await acme.hub.reply(conversation, "Hi", policy=Policy.TEMPLATE, template="other")
    await acme.hub.run_until_idle()
    assert (accepted.policy, acme.texts) == (Policy.TEMPLATE, ["other"])


async def test_the_api_says_that_a_template_went(acme: AcmeHub, aiohttp_client: Any) -> None:
    conversation = await closed(acme)
    [key] = [await acme.hub.daemon.store.write(create_keys, ("crm", "bot"))]
    client = await aiohttp_client(make_app(acme.hub.daemon), headers={"Authorization": f"Bearer {key}"})
    body = {"text": "Hi", "policy": "template", "template": "other"}
    sent = await client.post(f"/api/v1/conversations/{conversation.id}/replies", json=body)
    assert (sent.status, (await sent.json())["policy"]) == (202, "template")
    await acme.hub.run_until_idle()
    assert acme.texts == ["other"]


async def test_the_ways_name_the_template_of_the_account(acme: AcmeHub) -> None:
    await closed(acme)
    [way, _] = (await acme.hub.conversation).answer.ways
    assert (way.kind, way.template) == ("template", "again")
    assert way.text == "Send the template again and keep the reply until the customer writes again"


async def test_a_reply_that_waited_its_turn_when_the_window_closed_sends_the_template_then(acme: AcmeHub) -> None:
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=24, seconds=-10)
    acme.provider.will(no("slow_down"))
    await acme.reply(conversation, "a" * 200 + "b", "c")
    await acme.hub.pass_time(minutes=5)
    assert acme.texts == ["a" * 200, "again"]
    assert [state for _, state in await out(acme, conversation)] == ["queued", "queued", "accepted"]
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts == ["a" * 200, "again", "a" * 200, "b", "c"]


async def test_a_plugin_asks_for_a_template_too(start_acme: Any) -> None:
    def answer(message: Any, fact: Any, tx: Any) -> Any:
        return Reply(
            conversation=message.conversation, draft=draft("We read it"), policy=Policy.TEMPLATE, template="again"
        )

    acme = await start_acme(channel=windowed(), plugins={"hours": listener("tx", answer)})
    await acme.wrote("m1", "Hello", time=acme.now - 25 * 3600)
    await acme.hub.run_until_idle()
    assert acme.texts == ["again"]


async def test_whoever_never_wrote_gets_templates_only(acme: AcmeHub) -> None:
    to = ("shop", Address(kind="phone", value="+6289999999999"))
    replies = acme.hub.daemon.replies
    with pytest.raises(WindowClosed):
        await replies.reply(to, draft("Hi"), author="agent:ann", policy=Policy.REJECT)
    accepted = await replies.reply(to, draft("Hi"), author="agent:ann")
    await acme.hub.run_until_idle()
    assert (accepted.policy, acme.texts) == (Policy.TEMPLATE, ["again"])
    await acme.wrote("m1", "Who is this?", sender="6289999999999")
    await acme.hub.run_until_idle()
    assert acme.texts == ["again", "Hi"]
    assert await acme.hub.facts("window.closed") == []


# --- the provider says so ---------------------------------------------------------------------------------


async def shut_at_send(acme: AcmeHub, text: str = "one", **options: Any) -> Any:
    """Give a talk whose window the provider closes earlier than we do."""
    conversation = await acme.talk()
    acme.provider.will(no("shut"))
    await acme.reply(conversation, text, **options)
    return conversation


async def test_a_provider_that_says_closed_closes_the_window_once(start_acme: Any) -> None:
    heard: list[str] = []

    class Signs:
        @hookimpl
        def on_session(self, conversation: Any, change: Any, tx: Any) -> None:
            heard.append(change)

    acme = await start_acme(channel=windowed(), plugins={"signs": Signs()})
    conversation = await shut_at_send(acme)
    now = acme.hub.clock.now()
    answer = (await acme.hub.conversation).answer
    assert (answer.allowed, answer.code, answer.since, answer.icon) == (False, "window_closed", now, "warning")
    [_, reply] = await acme.hub.messages(conversation)
    assert [(d.state.word, d.problem.code) for d in reply.deliveries if d.problem] == [("failed", "shut")]
    with pytest.raises(WindowClosed):
        await acme.hub.reply(conversation, "two")
    await acme.hub.pass_time(hours=30)
    told = await acme.hub.facts(*TOLD, "conversation.answer_changed")
    assert [fact.type for fact in told] == ["window.closed", "conversation.answer_changed"]
    assert heard == [SessionStep.WINDOW_CLOSED]
    await acme.wrote("m2", "Here I am")
    assert (await acme.hub.conversation).answer.allowed


async def test_what_the_provider_refused_for_its_window_is_held_and_goes_in_order(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "hold"', channel=windowed())
    conversation = await shut_at_send(acme, "a" * 200 + "b")
    assert (await acme.hub.reply(conversation, "two")).policy is Policy.HOLD
    assert [state for _, state in await out(acme, conversation)] == ["queued", "queued"]
    assert await acme.hub.facts("delivery.failed") == []
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts[1:] == ["a" * 200, "b", "two"]


async def test_what_the_provider_refused_for_its_window_sends_the_template(acme: AcmeHub) -> None:
    conversation = await shut_at_send(acme, "a" * 200 + "b")
    assert acme.texts == ["a" * 200, "again"]
    assert [state for _, state in await out(acme, conversation)] == ["queued", "accepted"]
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts == ["a" * 200, "again", "a" * 200, "b"]


async def test_what_the_provider_refused_for_its_window_falls_back(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "fallback:post"', **both(window=DAY))
    conversation = await acme.talk(aliases=["email:ann@example.org"])
    acme.provider.will(no("shut"))
    await acme.reply(conversation, "one")
    post: Post = post_of(acme)
    assert [one.part.text.splitlines()[0] for one in post.outs] == ["one"]
    assert (await acme.hub.daemon.hub.conversation(conversation.id)).answer.code == "window_closed"  # type: ignore[union-attr]


async def test_a_template_that_is_refused_for_the_window_fails(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    acme.provider.will(no("shut"))
    await acme.hub.reply(conversation, Draft(blocks=(Template(name="again", language="en"),)))
    await acme.hub.run_until_idle()
    assert await out(acme, conversation) == [("again", "failed")]


async def test_a_channel_without_windows_is_refused_as_ever(start_acme: Any) -> None:
    """Nothing that the customer does would open what nobody counts."""
    acme = await start_acme('when_closed = "hold"', channel=full())
    conversation = await shut_at_send(acme)
    assert await out(acme, conversation) == [("one", "failed")]
    assert (await acme.hub.conversation).answer.allowed


async def test_a_customer_who_wrote_while_the_provider_refused_is_answered(start_acme: Any) -> None:
    acme = await start_acme(channel=windowed())
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=2)

    go_on = asyncio.Event()
    acme.provider.will(slow(go_on, no("shut")))
    await acme.hub.reply(conversation, "one")
    await acme.under_way()
    await acme.wrote("m2", "Here I am")
    go_on.set()
    await acme.hub.run_until_idle()
    assert (await acme.hub.conversation).answer.allowed
    await acme.hub.pass_time(minutes=1)
    assert acme.texts == ["one", "one"]
    assert await out(acme, conversation) == [("one", "accepted")]


# --- … by a report, after it said yes ---------------------------------------------------------------------


async def reported(acme: AcmeHub, n: int = 1) -> None:
    await acme.reported(f"p{n}", "failed", code="shut")
    await acme.hub.run_until_idle()


@pytest.mark.parametrize(
    ("when_closed", "states", "texts"),
    [
        ("reject", ["failed"], ["one"]),
        ("hold", ["queued"], ["one"]),
        ("template:again", ["queued", "accepted"], ["one", "again"]),
    ],
)
async def test_a_report_that_the_window_was_closed_ends_in_the_same_place(
    start_acme: Any, when_closed: str, states: list[str], texts: list[str]
) -> None:
    acme = await start_acme(f'when_closed = "{when_closed}"', channel=windowed())
    conversation = await acme.talk()
    await acme.reply(conversation, "one")
    for _ in range(2):  # providers repeat themselves
        await reported(acme)
    assert acme.texts == texts
    assert [state for _, state in await out(acme, conversation)] == states
    assert (await acme.hub.conversation).answer.code == "window_closed"
    assert [fact.type for fact in await acme.hub.facts(*TOLD)] == ["window.closed"]
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts == (texts if when_closed == "reject" else [*texts, "one"])


async def overtaken(acme: AcmeHub, conversation: Any, code: str, by: str) -> None:
    """Let Acme report of a part before it says yes to us, or before we have stored that it did."""
    go_on = asyncio.Event()
    acme.provider.will(slow(go_on, acme.accept("p1")))
    await acme.hub.reply(conversation, "one")
    await acme.under_way()
    await acme.reported("p1", "failed", code=code)
    if by == "two open transactions":  # neither saw what the other stored
        store = acme.hub.daemon.store
        await store.write(renamed, ("p1", "p9"))
        go_on.set()
        await acme.hub.run_until_idle()
        await store.write(renamed, ("p9", "p1"))
        await acme.hub.pass_time(seconds=5)
    go_on.set()
    await acme.hub.run_until_idle()


def renamed(tx: Any, items: Any) -> list[None]:
    for old, new in items:
        tx.execute("UPDATE report SET external_id = :new WHERE external_id = :old", {"old": old, "new": new})
    return [None] * len(items)


@pytest.mark.parametrize("by", ["the report", "two open transactions"])
@pytest.mark.parametrize(("code", "waits"), [("shut", "window_closed"), ("unknown_number", "address_unreachable")])
async def test_a_report_that_overtakes_our_receipt_ends_in_the_same_place(
    start_acme: Any, code: str, waits: str, by: str
) -> None:
    acme = await start_acme('when_closed = "fallback:post"', **both(window=DAY))
    conversation = await acme.talk(aliases=["email:ann@example.org"])
    await overtaken(acme, conversation, code, by)
    assert (await acme.hub.conversations())[-1].answer.code == waits
    assert [one.part.text.splitlines()[0] for one in post_of(acme).outs] == ["one"]


async def test_a_report_that_overtakes_our_receipt_and_is_taken_back_is_not_sent_once_more(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "hold"', channel=windowed())
    conversation = await acme.talk()
    go_on = asyncio.Event()
    acme.provider.will(slow(go_on, acme.accept("p1")))
    await acme.hub.reply(conversation, "one")
    await acme.under_way()
    await acme.reported("p1", "failed", code="shut")
    await acme.reported("p1", "delivered")
    go_on.set()
    await acme.hub.run_until_idle()
    assert await out(acme, conversation) == [("one", "delivered")]
    assert (await acme.hub.conversation).answer.allowed
    assert acme.texts == ["one"]


async def test_a_report_falls_back_too(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "fallback:post"', **both(window=DAY))
    conversation = await acme.talk(aliases=["email:ann@example.org"])
    await acme.reply(conversation, "one")
    await reported(acme)
    assert [one.part.text.splitlines()[0] for one in post_of(acme).outs] == ["one"]


async def test_a_report_that_nobody_is_reached_marks_the_address_until_it_writes(start_acme: Any) -> None:
    acme = await start_acme(channel=windowed())
    conversation = await acme.talk()
    await acme.reply(conversation, "one")
    for _ in range(2):  # providers repeat themselves
        await acme.reported("p1", "failed", code="unknown_number")
        await acme.hub.run_until_idle()
    assert await out(acme, conversation) == [("one", "failed")]
    assert (await acme.hub.conversation).answer.code == "address_unreachable"
    with pytest.raises(NoAnswer):
        await acme.hub.reply(conversation, "two")
    await acme.hub.pass_time(seconds=5)
    await acme.wrote("m2", "Here I am")
    assert (await acme.hub.conversation).answer.allowed


async def test_a_report_that_nobody_is_reached_is_of_all_threads_that_they_have_not_written_in_since(
    start_acme: Any,
) -> None:
    acme = await start_acme(channel=windowed(threads=True))
    conversation = await acme.talk()
    await acme.wrote("m0", "About the first", thread="t1")
    await acme.reply(conversation, "one")
    at = acme.now
    await acme.hub.pass_time(seconds=5)
    await acme.wrote("m9", "About the third", thread="t3")
    await acme.reported("p1", "failed", code="unknown_number", time=at)
    await acme.hub.run_until_idle()
    codes = {one.thread: one.answer.code for one in await acme.hub.conversations()}
    assert codes == {"t1": "address_unreachable", "": "address_unreachable", "t3": None}


async def test_a_report_that_nobody_is_reached_lets_the_message_go_on_from_elsewhere_once(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "fallback:post"', **both(window=DAY))
    conversation = await acme.talk(aliases=["email:ann@example.org"])
    await acme.reply(conversation, "one")
    for _ in range(2):
        await acme.reported("p1", "failed", code="unknown_number")
        await acme.hub.run_until_idle()
    assert [one.part.text.splitlines()[0] for one in post_of(acme).outs] == ["one"]
    assert (await acme.hub.reply(conversation, "two")).account == "post"


async def test_of_what_arrived_a_report_that_nobody_is_reached_marks_nobody(start_acme: Any) -> None:
    acme = await start_acme(channel=windowed())
    conversation = await acme.talk()
    await acme.reply(conversation, "one")
    await acme.reported("p1", "delivered")
    await acme.reported("p1", "failed", code="unknown_number")
    await acme.hub.run_until_idle()
    assert (await acme.hub.conversation).answer.allowed


async def test_a_report_that_nobody_is_reached_is_of_before_they_wrote_again(start_acme: Any) -> None:
    acme = await start_acme(channel=windowed())
    conversation = await acme.talk()
    await acme.reply(conversation, "one")
    before = acme.now
    await acme.hub.pass_time(seconds=5)
    await acme.wrote("m2", "Here I am")
    await acme.reported("p1", "failed", code="unknown_number", time=before)
    await acme.hub.run_until_idle()
    assert (await acme.hub.conversation).answer.allowed


async def test_a_report_that_is_older_than_the_customers_last_message_closes_nothing(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "hold"', channel=windowed())
    conversation = await acme.talk()
    await acme.reply(conversation, "one")
    before = acme.now
    await acme.hub.pass_time(seconds=5)
    await acme.wrote("m2", "Here I am")
    await acme.reported("p1", "failed", code="shut", time=before)
    await acme.hub.run_until_idle()
    assert (await acme.hub.conversation).answer.allowed
    assert await out(acme, conversation) == [("one", "failed")]


async def test_what_arrived_after_all_is_not_said_twice(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "hold"', channel=windowed())
    conversation = await acme.talk()
    await acme.reply(conversation, "one")
    await acme.reported("p1", "delivered")
    await reported(acme)
    assert await out(acme, conversation) == [("one", "delivered")]
    assert (await acme.hub.conversation).answer.allowed


async def test_what_arrived_although_it_was_said_to_have_failed_is_not_sent_once_more(start_acme: Any) -> None:
    acme = await start_acme('when_closed = "hold"', channel=windowed())
    conversation = await acme.talk()
    await acme.reply(conversation, "one")
    await acme.reported("p1", "failed", code="shut")
    await acme.reported("p1", "delivered")
    await acme.hub.run_until_idle()
    assert [fact.small["problem"] for fact in await acme.hub.facts("delivery.failed")] == ["shut"]
    await acme.hub.pass_time(seconds=5)
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts == ["one"]
    assert await out(acme, conversation) == [("one", "delivered")]


# --- once, whatever happens -----------------------------------------------------------------------------------


@pytest.mark.one_file
async def test_closing_and_closed_are_told_once_each_across_restarts(start_acme: Any, tmp_path: Any) -> None:
    channel = windowed()
    acme = await start_acme(AGAIN, channel=channel, folder=tmp_path)
    await acme.talk()
    folder = tmp_path
    for number, hours in enumerate((23.5, 0.25, 0.5, 5)):
        await acme.hub.pass_time(hours=hours)
        folder = cut_power(folder, tmp_path / f"cut{number}")
        acme = await start_acme(AGAIN, channel=channel, folder=folder, clock=acme.hub.clock, provider=acme.provider)
    told = await acme.hub.facts(*TOLD, "conversation.answer_changed")
    assert [fact.type for fact in told] == [*TOLD, "conversation.answer_changed"]


@pytest.mark.one_file
async def test_what_waits_and_that_a_template_went_outlives_a_restart(start_acme: Any, tmp_path: Any) -> None:
    channel = windowed()
    before = await start_acme(AGAIN, channel=channel, folder=tmp_path)
    conversation = await closed(before)
    await before.reply(conversation, "one")
    folder = cut_power(tmp_path, tmp_path / "cut")
    acme = await start_acme(AGAIN, channel=channel, folder=folder, clock=before.hub.clock, provider=before.provider)
    await acme.reply(conversation, "two")
    await acme.wrote("m2", "Here I am")
    await acme.hub.run_until_idle()
    assert acme.texts == ["again", "one", "two"]


async def test_a_webhook_that_comes_a_day_late_opens_nothing(acme: AcmeHub) -> None:
    conversation = await closed(acme)
    await acme.reply(conversation, "one")
    await acme.wrote("m2", "I wrote this yesterday", time=acme.now - 24 * 3600 - 60)
    await acme.hub.run_until_idle()
    assert acme.texts == ["again"]
    assert [state for _, state in await out(acme, conversation)] == ["accepted", "queued"]
    assert not (await acme.hub.conversation).answer.allowed
    assert len(await acme.hub.facts("conversation.answer_changed")) == 1
