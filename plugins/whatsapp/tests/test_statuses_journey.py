"""What Meta says became of ours, through a whole hub: early, twice, in any order, and where our request got no answer."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import talkwire_whatsapp
from talkwire.testing.provider import FakeProvider, accept, reset_after_body, slow

from .case import case
from .samples import body, message, value
from .test_in_journey import Town, account
from .test_reading import delivery, of


class Talk(Town):
    """A customer who has written, and Meta, which takes what we say."""

    def __init__(self, hub: Any, meta: FakeProvider) -> None:
        super().__init__(hub)
        self.meta = meta
        self.conversation: Any = None

    async def begins(self) -> None:
        """Let the customer write."""
        await self.says(delivery(of({**message("text"), "timestamp": str(int(self.hub.clock.now().timestamp()))})))
        await self.hub.run_until_idle()
        self.conversation = await self.hub.conversation

    async def replies(self, text: str = "In blue.") -> None:
        """Reply, and let happen what can happen now."""
        await self.hub.reply(self.conversation, text)
        await self.hub.run_until_idle()

    @property
    def key(self) -> str:
        """Give the key that came with our last message."""
        return self.meta.shown[-1].json()["biz_opaque_callback_data"]

    async def reports(self, *words: str, id_: str = "wamid.ours1", key: str = "", code: int = 0) -> None:
        """Say what became of our message, each in a delivery of its own."""
        for word in words:
            now = str(int(self.hub.clock.now().timestamp()))
            status = {**value("status_read")["statuses"][0], "id": id_, "status": word, "timestamp": now}
            if key:
                status["biz_opaque_callback_data"] = key
            if word == "failed":
                status["errors"] = [{"code": code or 131026, "title": "Message undeliverable"}]
            await self.says(delivery({**value("status_read"), "statuses": [status]}))
        await self.hub.run_until_idle()

    async def part(self) -> Any:
        """Give our only part."""
        [_, ours] = await self.hub.messages(self.conversation)
        [part] = ours.deliveries
        return part


@pytest.fixture
async def meta():
    async with FakeProvider(case().answers) as meta:
        yield meta


@pytest.fixture
async def talk(start_on_both, meta):
    talk = Talk(await start_on_both(account(url=meta.url), plugins={"whatsapp": talkwire_whatsapp}), meta)
    await talk.begins()
    return talk


async def test_a_request_that_got_no_answer_is_uncertain_never_sent_again_and_settled_by_a_status_with_our_key(talk):
    talk.meta.will(reset_after_body())
    await talk.replies()
    assert (await talk.part()).state.word == "uncertain"
    await talk.hub.pass_time(minutes=30)
    assert len(talk.meta.shown) == 1
    await talk.reports("sent", id_="wamid.never-heard-of", key=talk.key)
    assert (await talk.part()).state.word == "sent"
    await talk.reports("read", id_="wamid.never-heard-of", key=talk.key)
    assert (await talk.part()).state.word == "read"
    assert len(talk.meta.shown) == 1


@pytest.mark.parametrize("with_key", [True, False], ids=["by our key", "by their id"])
async def test_a_status_may_come_before_the_answer_to_our_request(talk, with_key):
    answer = asyncio.Event()
    talk.meta.will(slow(answer, accept("wamid.ours1")))
    await talk.hub.reply(talk.conversation, "In blue.")
    async with asyncio.timeout(20):
        await talk.meta.arrived()
    for word in ("sent", "delivered"):
        status = {**value("status_read")["statuses"][0], "id": "wamid.ours1", "status": word}
        if with_key:
            status["biz_opaque_callback_data"] = talk.key
        await talk.says(delivery({**value("status_read"), "statuses": [status]}))
    answer.set()
    await talk.hub.run_until_idle()
    part = await talk.part()
    assert (part.state.word, part.external_id) == ("delivered", "wamid.ours1")


async def test_a_failure_after_it_was_delivered_is_a_problem_and_takes_nothing_back(talk):
    talk.meta.will(accept("wamid.ours1"))
    await talk.replies()
    await talk.reports("delivered", "failed")
    part = await talk.part()
    assert (part.state.word, part.problem.code, part.problem.text) == ("delivered", "131026", "Message undeliverable")
    [fact] = await talk.hub.facts("delivery.failed")
    assert fact.small["problem"] == "131026"
    assert (await talk.hub.conversation).answer.allowed  # they were reached


async def test_whom_meta_could_not_reach_is_marked_until_they_write(talk):
    talk.meta.will(accept("wamid.ours1"))
    await talk.hub.pass_time(minutes=1)
    await talk.replies()
    await talk.reports("failed", key=talk.key)
    assert (await talk.hub.conversation).answer.code == "address_unreachable"


async def test_skipped_repeated_and_in_any_order_the_end_is_the_same(talk):
    orders = list(itertools.permutations(("sent", "delivered", "read")))
    orders += [("read",), ("delivered", "read", "delivered"), ("played", "sent"), ("read", "read", "sent")]
    for number, words in enumerate(orders):
        talk.meta.will(accept(f"wamid.n{number}"))
        await talk.replies(str(number))
        await talk.reports(*words, id_=f"wamid.n{number}")
        await talk.hub.pass_time(minutes=2)  # Meta lets us send one person ten a minute
    assert set(await talk.hub.states(talk.conversation)) == {"read"}
    assert await talk.hub.facts("delivery.failed") == []


async def test_a_burst_of_three_for_one_message_is_one_body_or_three(talk):
    talk.meta.will(accept("wamid.ours1"))
    await talk.replies()
    burst = value("status_burst")
    burst["statuses"] = [
        {**one, "id": "wamid.ours1", "biz_opaque_callback_data": talk.key} for one in burst["statuses"]
    ]
    await talk.says(delivery(burst))
    assert (await talk.part()).state.word == "read"
    assert len(await talk.hub.facts("delivery.changed")) == 2  # accepted, read


async def test_a_failure_for_the_window_closes_it_and_the_caller_learns_it(talk):
    talk.meta.will(accept("wamid.ours1"))
    await talk.hub.pass_time(minutes=1)
    await talk.replies()
    await talk.reports("failed", code=131047, key=talk.key)
    conversation = await talk.hub.conversation
    assert (conversation.answer.allowed, conversation.answer.code) == (False, "window_closed")


async def test_a_failure_that_every_message_would_have_stops_the_account_at_once(talk):
    talk.meta.will(accept("wamid.ours1"))
    await talk.replies()
    await talk.reports("failed", code=131042)
    view = talk.hub.daemon.accounts.by_name["shop"].view
    assert view.state.value == "broken"
    assert view.reason.endswith(
        "set up a payment method in WhatsApp Manager; then: talkwire accounts resume shop (code 131042)"
    )
    assert (await talk.part()).problem.code == "131042"
    assert (await talk.hub.conversation).answer.code == "account_broken"
    [fact] = await talk.hub.facts("account.broken")
    assert (fact.account, fact.small["state"]) == ("shop", "broken")


async def test_a_status_of_somebody_elses_message_changes_nothing_and_is_kept(talk):
    talk.meta.will(accept("wamid.ours1"))
    await talk.replies()
    await talk.says(body("status_failed"))
    assert (await talk.part()).state.word == "accepted"
    assert await talk.hub.rows("SELECT state, delivery_id FROM report") == [(25, None)]
