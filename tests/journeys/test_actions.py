"""What hooks ask for is done once, in order, and what cannot be done is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from talkwire import (
    Address,
    DropTimer,
    Notice,
    Notify,
    Outgoing,
    Receipt,
    Refused,
    Reply,
    SetTimer,
    Signal,
    TypingSignal,
    doing,
    draft,
    hookimpl,
)
from talkwire.testing.provider import busy, refuse, slow
from talkwire.work import lanes
from talkwire.work.lanes import NewTask
from tests.journeys.acme_hub import AcmeHub
from tests.journeys.listening import listener
from tests.mutants.acme import AcmeChannel

CUSTOMER = "6281234567890"


class Asking:
    """Asks for what the test says when a message comes; notes what could not be done."""

    def __init__(self, *asked: Callable[[Any], Any]) -> None:
        self.asked = list(asked)
        self.failed: list[Any] = []

    @hookimpl
    def on_inbound_message(self, message: Any) -> Any:
        return self.asked.pop(0)(message) if self.asked else None

    @hookimpl
    def on_fact(self, fact: Any) -> None:
        if fact.type == "action.failed":
            self.failed.append(dict(fact.small))


class Lively(AcmeChannel):
    """Can edit, and shows what it is signalled."""

    features = replace(AcmeChannel.features, edits=True, reaches=frozenset({"phone"}))

    def prepare(self) -> None:
        super().prepare()
        self.signals: list[Any] = []
        self.edited: list[tuple[str, str]] = []
        self.fault: Exception | None = None

    async def signal(self, address: str, signal: Any) -> None:
        self.signals.append((address, signal))
        if self.fault:
            raise self.fault

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        if self.fault:
            raise self.fault
        self.edited.append((external_id, out.part.text))
        return Receipt(external_id=external_id)


async def said(acme: AcmeHub, *texts: str) -> None:
    for text in texts:
        acme._count += 1
        await acme.wrote(f"in{acme._count}", text)
        await acme.hub.run_until_idle()


# --- replies ---------------------------------------------------------------------------------------------


async def test_a_reply_goes_to_the_conversation_or_to_an_address(start_acme):
    other = Address(kind="phone", value="+6289999999999")
    asking = Asking(
        lambda m: [
            Reply(conversation=m.conversation, draft=draft("here")),
            Reply(account="shop", address=other, draft=draft("there")),
        ]
    )
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    await said(acme, "hello")
    assert sorted(acme.texts) == ["here", "there"]
    authors = await acme.hub.rows("SELECT DISTINCT author FROM message WHERE direction = 'out'")
    assert authors == [("plugin:asking",)]
    assert len(await acme.hub.conversations()) == 2


@pytest.mark.one_file
async def test_a_reply_is_stored_once_though_the_power_failed_before_its_task_ended(start_acme):
    """The task says by which key: (reader, seq, ordinal). Done again, it finds that it was done."""
    seen: list[Any] = []

    class Looking:
        @hookimpl
        async def format_reply(self, draft: Any, hub: Any) -> None:
            rows = "SELECT l.subject, t.ref, t.body FROM task t JOIN lane l ON l.id = t.lane_id WHERE l.grp = 'do'"
            seen.extend(await hub.read(lambda query: query.execute(rows)))

    asking = Asking(lambda m: Reply(conversation=m.conversation, draft=draft("one")))
    acme = await start_acme(plugins={"asking": asking, "looking": Looking()})
    await said(acme, "hello")
    [(subject, ref, body)] = seen

    again = NewTask("do", subject, "reply", ref, body)
    await acme.hub.daemon.store.write(lambda tx, items: [lanes.add(tx, items)], again)
    await acme.hub.run_until_idle()
    assert acme.texts == ["one"]
    assert asking.failed == []


async def test_one_key_of_a_plugin_replies_once(start_acme):
    def once(message: Any) -> Any:
        return Reply(conversation=message.conversation, draft=draft("closed"), key="today")

    acme = await start_acme(plugins={"asking": Asking(once, once)})
    await said(acme, "hello", "anybody?")
    assert acme.texts == ["closed"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (lambda m: Reply(conversation="nowhere", draft=draft("x")), "not_found"),
        (
            lambda m: Reply(account="nobody", address=Address(kind="phone", value="+62811"), draft=draft("x")),
            "not_found",
        ),
        (lambda m: Reply(account="shop", address=Address(kind="chat", value="7"), draft=draft("x")), "refused"),
        (lambda m: Reply(conversation=m.conversation, draft=draft("")), "unsupported"),
        (lambda m: Signal(account="nobody", address="+62811", signal=TypingSignal()), "not_found"),
        (lambda m: Notice(conversation="nowhere", slot="queue", draft=draft("x")), "not_found"),
        (lambda m: Notify(recipient="nobody", kind="x", title="x"), "unknown_recipient"),
    ],
)
async def test_what_cannot_be_done_comes_back_as_a_fact(start_acme, asked, code):
    asking = Asking(asked)
    acme = await start_acme(plugins={"asking": asking})
    await said(acme, "hello")
    assert [(failed["by"], failed["code"]) for failed in asking.failed] == [("plugin:asking", code)]
    assert acme.texts == []
    assert await acme.hub.rows("SELECT 1 FROM task") == []


async def test_what_cannot_be_done_holds_up_nothing_behind_it(start_acme):
    asking = Asking(
        lambda m: [
            Reply(conversation=m.conversation, draft=draft("")),
            Reply(conversation=m.conversation, draft=draft("after it")),
        ]
    )
    acme = await start_acme(plugins={"asking": asking})
    await said(acme, "hello")
    assert acme.texts == ["after it"]


async def test_what_two_daemons_could_not_do_is_said_once(start_acme):
    """The first stood still; the second did it and went on; then the first has the lease again and ends it too."""
    asking = Asking(lambda m: Reply(conversation="nowhere", draft=draft("x")))
    acme = await start_acme(plugins={"asking": asking})
    tasks: list[Any] = []
    daemon = acme.hub.daemon
    doer = daemon.lanes._groups["do"].work

    async def remembered(lane: Any) -> None:
        tasks.extend((await daemon.store.read(lambda query: lanes.heads(query, [lane.id]))).values())
        await doer(lane)

    daemon.lanes.serve("do", remembered)
    await said(acme, "hello")
    assert len(asking.failed) == 1
    await daemon.store.write(doing._ended, (daemon.leases, tasks[0], ("not_found", "there is none")))
    await acme.hub.run_until_idle()
    assert len(asking.failed) == 1


# --- signals ----------------------------------------------------------------------------------------------


async def test_typing_names_the_message_that_it_answers(start_acme):
    asking = Asking(lambda m: Signal(account="shop", address=f"+{CUSTOMER}", signal=TypingSignal()))
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    await said(acme, "hello")
    [(address, signal)] = acme.hub.daemon.account("shop").channel.signals
    assert (address, signal) == (f"+{CUSTOMER}", TypingSignal(last_inbound="in1"))


async def test_a_signal_is_passed_on_and_never_repeated(start_acme):
    asking = Asking(*[lambda m: Signal(account="shop", address="+62811", signal=TypingSignal())] * 2)
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    channel = acme.hub.daemon.account("shop").channel
    await said(acme, "hello")
    channel.fault = ValueError("a channel's own fault")
    await said(acme, "hello again")
    await acme.hub.pass_time(hours=1)
    assert channel.signals == [("+62811", TypingSignal())] * 2
    assert asking.failed == []  # best effort


# --- notices ----------------------------------------------------------------------------------------------


def notice(text: str | None) -> Callable[[Any], Any]:
    return lambda m: Notice(conversation=m.conversation, slot="queue", draft=None if text is None else draft(text))


async def test_a_secret_that_a_provider_quotes_does_not_come_back_with_a_failed_action(start_acme):
    asking = Asking(notice("you are number 3"), notice("you are number 2"))
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    channel = acme.hub.daemon.account("shop").channel
    channel.fault = Refused(f"{'x' * 190} {channel.settings.token.get_secret_value()} knows no such message")
    await said(acme, "hello", "still there?")
    [failed] = asking.failed
    assert failed["text"] == f"{'x' * 190} *** knows"[:200]


async def test_a_notice_is_replaced_in_place_until_it_is_taken_back(start_acme):
    asking = Asking(
        notice("you are number 3"), notice("you are number **2**"), notice(None), notice("you are number 9")
    )
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    channel = acme.hub.daemon.account("shop").channel
    acme.provider.will(acme.accept("p1"))
    await said(acme, "hello", "still there?")
    assert acme.texts == ["you are number 3"]
    assert channel.edited == [("p1", "you are number 2")]

    await said(acme, "never mind", "hello again")
    assert acme.texts == ["you are number 3", "you are number 9"]
    assert channel.edited[1:] == [("p1", "")]
    assert asking.failed == []


async def test_a_channel_that_cannot_edit_says_the_first_notice_only(start_acme):
    asking = Asking(notice("you are number 3"), notice("you are number 2"))
    acme = await start_acme(plugins={"asking": asking})
    await said(acme, "hello", "still there?")
    assert acme.texts == ["you are number 3"]
    assert asking.failed == []


async def test_a_notice_that_never_came_out_is_said_anew(start_acme):
    asking = Asking(notice("you are number 3"), notice("you are number 2"))
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    acme.provider.will(refuse())
    await said(acme, "hello", "still there?")
    assert acme.texts == ["you are number 3", "you are number 2"]  # the first was turned away
    assert asking.failed == []


async def test_a_notice_that_still_waits_is_taken_back_for_a_newer_one(start_acme):
    asking = Asking(notice("you are number 3"), notice("you are number 2"))
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    acme.provider.will(busy(60))
    await said(acme, "hello", "still there?")
    await acme.hub.pass_time(seconds=120)
    assert acme.texts == ["you are number 3", "you are number 2"]  # the first was turned away
    assert await acme.hub.states(await acme.hub.conversation) == ["failed", "accepted"]


async def test_a_notice_that_is_just_being_sent_is_replaced_when_it_came_out(start_acme):
    asking = Asking(notice("you are number 3"), notice("you are number 2"))
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    go_on = asyncio.Event()
    acme.provider.will(slow(go_on, then=acme.accept("p1")))
    await acme.wrote("m1", "hello")
    await acme.under_way()
    await acme.wrote("m2", "still there?")
    async with asyncio.timeout(20):
        while not await acme.hub.rows("SELECT 1 FROM lane WHERE grp = 'do' AND last_error <> ''"):
            await asyncio.sleep(0)
    go_on.set()
    await acme.hub.run_until_idle()
    await acme.hub.pass_time(seconds=2)
    assert acme.texts == ["you are number 3"]
    assert acme.hub.daemon.account("shop").channel.edited == [("p1", "you are number 2")]
    assert asking.failed == []


@pytest.mark.parametrize("fault", [Refused("too old to edit", code="too_old"), ValueError("a channel's own fault")])
async def test_a_notice_that_cannot_be_replaced_is_said_and_not_tried_for_ever(start_acme, fault):
    asking = Asking(notice("you are number 3"), notice("you are number 2"))
    acme = await start_acme(plugins={"asking": asking}, channel=Lively)
    await said(acme, "hello")
    acme.hub.daemon.account("shop").channel.fault = fault
    await said(acme, "still there?")
    assert [(one["action"], one["code"]) for one in asking.failed] == [("notice", getattr(fault, "code", "failed"))]
    assert await acme.hub.rows("SELECT 1 FROM task") == []


class Confused(Lively):
    """Falls over a word of ours, in a method that is plain."""

    def render(self, draft: Any, context: Any) -> Any:
        if self.fault:
            raise self.fault
        return super().render(draft, context)


def over(conversation: str) -> Any:
    return lambda m: Reply(conversation=m.conversation, draft=draft(conversation))


async def test_an_action_at_which_the_core_or_a_channel_falls_over_is_given_up_after_the_schedule(start_acme):
    """It held up whatever the plugin asked for next in that conversation, for ever."""
    asking = Asking(over("one"), over("two"))
    acme = await start_acme(plugins={"asking": asking}, channel=Confused)
    acme.shop.channel.fault = KeyError("secret body")
    await said(acme, "hello")
    for delay in doing.SCHEDULE:
        assert asking.failed == []
        acme.hub.clock.turn_to(acme.hub.clock.now() + delay)
        await acme.hub.run_until_idle()
    assert asking.failed == [
        {"action": "reply", "by": "plugin:asking", "code": "failed", "text": "KeyError, which nobody expected"}
    ]
    assert await acme.hub.rows("SELECT 1 FROM task WHERE kind <> 'send'") == []
    acme.shop.channel.fault = None
    await said(acme, "still there?")
    assert acme.texts == ["two"]


# --- who speaks --------------------------------------------------------------------------------------------


async def test_an_action_of_a_write_speaks_for_the_plugin_whose_hub_it_is(start_acme):
    heard: list[str] = []

    class Writing:
        @hookimpl
        async def on_inbound_message(self, message: Any, hub: Any) -> None:
            await hub.write(_asks, message)

        @hookimpl
        def on_timer(self, key: str) -> None:
            heard.append(key)

    acme = await start_acme(plugins={"writing": Writing(), "other": Asking()})
    await said(acme, "hello")
    assert await acme.hub.rows("SELECT DISTINCT author FROM message WHERE direction = 'out'") == [("plugin:writing",)]
    assert heard == ["soon"]


def _asks(tx: Any, messages: Any) -> Any:
    for message in messages:
        tx.act(Reply(conversation=message.conversation, draft=draft("written")))
        tx.act(SetTimer(key="soon", due=tx.now))
        tx.act(DropTimer("never set"))
    return [None] * len(messages)


async def test_what_is_no_action_reaches_whoever_wrote_it(start_acme):
    acme = await start_acme()
    hub = acme.hub.daemon.hub.of("odd")
    with pytest.raises(TypeError, match=r"given a str; give an action"):
        await hub.write(lambda tx, items: [tx.act("Reply")], None)


async def test_an_action_of_a_tx_hook_is_one_of_the_fact(start_acme):
    def hear(message: Any, fact: Any, tx: Any) -> Any:
        tx.act(Reply(conversation=message.conversation, draft=draft("by act")))
        return Reply(conversation=message.conversation, draft=draft("by return"))

    acme = await start_acme(plugins={"both": listener("tx", hear)})
    await said(acme, "hello")
    assert sorted(acme.texts) == ["by act", "by return"]
    keys = await acme.hub.rows("SELECT key FROM idempotency ORDER BY key")
    seq = (await acme.hub.facts("message.received"))[0].seq
    assert keys == [(f"{seq}:0",), (f"{seq}:1",)]
