"""Whether a conversation may be answered now, and what becomes of a reply where it may not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from talkwire.errors import AccountAbsent, SessionEnded, WindowClosed
from talkwire.model import Draft, Level, Policy, Template
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin, full, no
from tests.journeys.listening import cut_power

DAY = timedelta(hours=24)


@pytest.fixture
async def windowed(start_acme: Any) -> AcmeHub:
    """Give an Acme that lets us answer for a day."""
    acme: AcmeHub = await start_acme(channel=full(window=DAY, reaches=frozenset({"phone"})))
    return acme


# --- windows -----------------------------------------------------------------------------------------


async def test_a_window_tells_that_it_is_closing_and_that_it_has_closed_once_each(windowed: AcmeHub) -> None:
    conversation = await windowed.talk()
    assert conversation.answer.until == windowed.hub.clock.now() + DAY
    await windowed.hub.pass_time(hours=23, minutes=-1)
    assert await windowed.hub.facts("window.closing", "window.closed") == []
    await windowed.hub.pass_time(minutes=1)
    assert [fact.type for fact in await windowed.hub.facts("window.closing", "window.closed")] == ["window.closing"]
    await windowed.hub.pass_time(hours=5)
    told = await windowed.hub.facts("window.closing", "window.closed", "conversation.answer_changed")
    assert [fact.type for fact in told] == ["window.closing", "window.closed", "conversation.answer_changed"]
    assert told[-1].small == {"allowed": False, "code": "window_closed"}
    assert told[1].at == conversation.answer.until

    await windowed.wrote("m2", "Still there?")
    [changed] = (await windowed.hub.facts("conversation.answer_changed"))[1:]
    assert changed.small == {"allowed": True, "code": None}
    await windowed.hub.pass_time(hours=30)
    assert len(await windowed.hub.facts("window.closed")) == 2


async def test_a_window_runs_from_the_providers_time_and_never_from_the_future(windowed: AcmeHub) -> None:
    await windowed.wrote("m1", "Hello", time=windowed.now - 3600)
    until = (await windowed.hub.conversation).answer.until
    assert until == windowed.hub.clock.now() + DAY - timedelta(hours=1)
    await windowed.wrote("m2", "Hello", time=windowed.now + 3600)
    assert (await windowed.hub.conversation).answer.until == windowed.hub.clock.now() + DAY
    await windowed.wrote("m3", "late", time=windowed.now - 7200)
    assert (await windowed.hub.conversation).answer.until == windowed.hub.clock.now() + DAY


async def test_a_message_that_comes_after_its_window_tells_nothing_twice(windowed: AcmeHub) -> None:
    await windowed.talk()
    await windowed.hub.pass_time(hours=60)
    await windowed.wrote("m2", "late", time=windowed.now - 30 * 3600)
    await windowed.hub.pass_time(hours=1)
    assert len(await windowed.hub.facts("window.closed")) == 1
    assert len(await windowed.hub.facts("conversation.answer_changed")) == 1


async def test_many_windows_that_are_closing_do_not_hide_the_next(windowed: AcmeHub) -> None:
    for n in range(250):
        await windowed.wrote(f"m{n}", "Hello", sender=f"62812{n:07}")
    await windowed.hub.pass_time(minutes=10)
    await windowed.wrote("last", "Hello", sender="62899999999")
    await windowed.hub.pass_time(hours=23)
    assert len(await windowed.hub.facts("window.closing")) == 251
    await windowed.hub.pass_time(hours=2)
    assert len(await windowed.hub.facts("window.closed")) == 251


# --- refused -------------------------------------------------------------------------------------------


async def test_a_reply_that_cannot_go_is_refused_with_the_reason_and_the_ways_and_is_not_stored(
    start_acme: Any,
) -> None:
    second = SETTINGS.replace("accounts.shop", "accounts.second").format(url="http://127.0.0.1:9", more="")
    acme = await start_acme(channel=full(window=DAY, reaches=frozenset({"phone"})), settings=second)
    conversation = await acme.talk()
    closed_at = conversation.answer.until
    await acme.hub.pass_time(hours=25)
    with pytest.raises(WindowClosed) as refused:
        await acme.hub.reply(conversation, "Hi")
    answer = refused.value.answer
    assert (answer.allowed, answer.icon, answer.code, answer.since) == (False, "warning", "window_closed", closed_at)
    assert [(way.kind, way.account, way.address) for way in answer.ways] == [
        ("account", "second", conversation.address.value),
        ("hold", "", ""),
    ]
    assert (await acme.hub.conversation).answer == answer
    [fact] = await acme.hub.facts("reply.refused")
    assert (fact.account, fact.conversation) == ("shop", conversation.id)
    assert fact.small == {"code": "window_closed", "author": "agent:test"}
    assert await acme.hub.rows("SELECT id FROM message WHERE direction = 'out'") == []


async def test_a_window_that_closes_while_the_reply_waits_fails_it(windowed: AcmeHub) -> None:
    conversation = await windowed.talk()
    await windowed.hub.pass_time(hours=24, seconds=-10)
    windowed.provider.will(no("slow_down"))
    await windowed.reply(conversation, "a" * 200 + "b")
    await windowed.hub.pass_time(minutes=5)
    assert windowed.texts == ["a" * 200]
    [_, reply] = await windowed.hub.messages(conversation)
    assert [d.problem.code for d in reply.deliveries if d.problem] == ["window_closed", "earlier_part"]


async def test_a_template_passes_a_closed_window(start_acme: Any) -> None:
    acme = await start_acme(channel=full(window=DAY, template=Level.FULL))
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=25)
    accepted = await acme.hub.reply(conversation, Draft(blocks=(Template(name="again", language="en", text="Hi!"),)))
    assert accepted.policy is Policy.TEMPLATE
    await acme.hub.run_until_idle()
    assert len(acme.texts) == 1


# --- held -------------------------------------------------------------------------------------------------


async def test_held_replies_go_out_in_order_when_the_customer_writes(windowed: AcmeHub) -> None:
    conversation = await windowed.talk()
    await windowed.hub.pass_time(hours=25)
    for text in ("a" * 200 + "b", "c"):
        accepted = await windowed.hub.reply(conversation, text, policy=Policy.HOLD)
        assert accepted.policy is Policy.HOLD
    await windowed.hub.pass_time(hours=1)
    assert windowed.texts == []
    assert [m.reason for m in await windowed.hub.messages(conversation)][1:] == ["window_closed"] * 2
    assert await windowed.hub.rows("SELECT id FROM task WHERE kind = 'send'") == []
    await windowed.wrote("m2", "Here I am")
    await windowed.hub.run_until_idle()
    assert windowed.texts == ["a" * 200, "b", "c"]


async def test_held_replies_go_out_in_the_order_of_their_messages_whichever_daemon_named_them(
    windowed: AcmeHub,
) -> None:
    conversation = await windowed.talk()
    await windowed.hub.pass_time(hours=25)
    first = await windowed.hub.reply(conversation, "first", policy=Policy.HOLD)
    await windowed.hub.reply(conversation, "second", policy=Policy.HOLD)

    def later_clock(tx: Any, items: Any) -> list[None]:
        tx.execute("UPDATE delivery SET id = 'ffffffff' || substr(id, 9) WHERE message_id = :id", {"id": first.message})
        return [None] * len(items)

    await windowed.hub.daemon.store.write(later_clock, None)
    await windowed.wrote("m2", "Here I am")
    await windowed.hub.run_until_idle()
    assert windowed.texts == ["first", "second"]


async def test_a_reply_held_before_the_sweep_told_that_the_window_closed_is_released_too(windowed: AcmeHub) -> None:
    conversation = await windowed.talk()
    windowed.hub.clock._now += DAY  # nobody is woken: the sweep has not come yet
    await windowed.hub.reply(conversation, "held", policy=Policy.HOLD)
    await windowed.wrote("m2", "Here I am")
    windowed.hub.clock.turn_to(windowed.hub.clock.now())
    await windowed.hub.run_until_idle()
    assert windowed.texts == ["held"]


async def test_an_account_may_hold_by_its_settings_and_what_waits_when_the_window_closes_is_held(
    start_acme: Any,
) -> None:
    acme = await start_acme('when_closed = "hold"', channel=full(window=DAY))
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=25)
    assert (await acme.hub.reply(conversation, "one")).policy is Policy.HOLD
    acme.provider.will(no("slow_down"))
    await acme.wrote("m2", "Hello", time=acme.now - 24 * 3600 + 10)
    await acme.hub.run_until_idle()
    await acme.hub.pass_time(minutes=5)
    assert acme.texts == ["one"]
    assert await acme.hub.states(conversation) == ["queued"]
    await acme.wrote("m3", "Hello")
    await acme.hub.run_until_idle()
    assert acme.texts == ["one", "one"]


async def test_a_reply_that_may_be_held_is_held_when_the_window_closes_before_it_went(windowed: AcmeHub) -> None:
    conversation = await windowed.talk()
    await windowed.hub.pass_time(hours=24, seconds=-10)
    windowed.provider.will(no("slow_down"))
    assert (await windowed.hub.reply(conversation, "one", policy=Policy.HOLD)).policy is None
    await windowed.reply(conversation, "two")
    await windowed.hub.pass_time(minutes=5)
    assert await windowed.hub.states(conversation) == ["queued", "failed"]
    await windowed.wrote("m2", "Here I am")
    await windowed.hub.run_until_idle()
    assert windowed.texts == ["one", "one"]


async def test_a_template_passes_a_window_that_closes_before_it_went(start_acme: Any) -> None:
    acme = await start_acme(channel=full(window=DAY, template=Level.FULL))
    conversation = await acme.talk()
    await acme.hub.pass_time(hours=24, seconds=-10)
    acme.provider.will(no("slow_down"))
    await acme.hub.reply(conversation, Draft(blocks=(Template(name="again", language="en", text="Hi!"),)))
    await acme.hub.pass_time(minutes=5)
    assert await acme.hub.states(conversation) == ["accepted"]


# --- sessions ------------------------------------------------------------------------------------------------


async def test_an_ended_session_takes_no_reply_and_fails_what_waits(start_acme: Any) -> None:
    acme = await start_acme(channel=full(sessions=True))
    await acme.told("session", state="connected")
    conversation = await acme.talk()
    acme.provider.will(no("offline"))
    await acme.reply(conversation, "waits", "too")
    await acme.told("session", state="ended", reason="timeout")
    await acme.hub.run_until_idle()
    messages = await acme.hub.messages(conversation)
    assert [d.problem.code for m in messages for d in m.deliveries if d.problem] == ["session_ended"] * 2
    with pytest.raises(SessionEnded) as refused:
        await acme.hub.reply(conversation, "Hi")
    assert [way.kind for way in refused.value.answer.ways] == ["wait"]
    assert [fact.type for fact in await acme.hub.facts("session.opened", "session.ended")] == [
        "session.opened",
        "session.ended",
    ]
    [changed] = await acme.hub.facts("conversation.answer_changed")
    assert changed.small == {"allowed": False, "code": "session_ended"}

    await acme.told("session", state="connected")  # at the same moment by the provider's clock
    assert (await acme.hub.conversation).answer.allowed
    await acme.reply(conversation, "Hi")
    assert acme.texts == ["waits", "Hi"]


async def test_sessions_told_late_or_twice_change_nothing(start_acme: Any) -> None:
    acme = await start_acme(channel=full(sessions=True))
    at = acme.now
    await acme.says([{"kind": "session", "state": "ended", "time": at}] * 2)
    await acme.says([{"kind": "session", "state": "connected", "time": at - 60}])
    assert not await acme.hub.conversations()  # nobody has written
    assert await acme.column("SELECT session FROM conversation") == ["ended"]
    assert len(await acme.hub.facts("session.ended", "session.opened")) == 1


async def test_a_session_change_that_comes_late_is_older_than_a_repeat_of_the_state(start_acme: Any) -> None:
    acme = await start_acme(channel=full(sessions=True))
    at = acme.now
    for state, time in (("connected", at - 60), ("connected", at), ("ended", at - 30)):
        await acme.says([{"kind": "session", "state": state, "time": time}])
    assert await acme.column("SELECT session FROM conversation") == ["connected"]
    assert await acme.hub.facts("session.ended") == []


async def test_a_clock_ahead_does_not_shut_a_session_for_ever(start_acme: Any) -> None:
    acme = await start_acme(channel=full(sessions=True))
    await acme.says([{"kind": "session", "state": "ended", "time": acme.now + 9999}])
    await acme.hub.pass_time(seconds=1)
    await acme.told("session", state="connected")
    assert await acme.column("SELECT session FROM conversation") == ["connected"]


# --- gone ----------------------------------------------------------------------------------------------------


@pytest.mark.one_file
async def test_an_account_that_is_gone_can_be_read_and_refuses_replies(
    start_acme: Any, start_hub: Any, tmp_path: Any
) -> None:
    acme = await start_acme(folder=tmp_path)
    conversation = await acme.talk()
    settings = SETTINGS.replace("accounts.shop", "accounts.other").format(url=acme.provider.url, more="")
    hub = await start_hub(settings, plugins={"acme": AcmePlugin()}, folder=cut_power(tmp_path, tmp_path / "cut"))
    [found] = await hub.conversations()
    assert [m.text for m in await hub.messages(found)] == ["Hello"]
    assert (found.answer.code, found.answer.icon) == ("account_absent", "warning")
    with pytest.raises(AccountAbsent) as refused:
        await hub.reply(conversation, "Hi")
    assert refused.value.answer == found.answer
    [fact] = await hub.facts("reply.refused")
    assert (fact.account, fact.conversation, fact.small["code"]) == ("shop", conversation.id, "account_absent")
