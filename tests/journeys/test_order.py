"""Receipts and reports in any order, through all layers, end the same."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from talkwire.testing.provider import slow
from tests.journeys.acme_hub import AcmeHub


@pytest.mark.parametrize("seed", range(6))
async def test_reports_that_overtake_the_receipt_repeat_and_come_in_any_order_end_the_same(
    full_acme: AcmeHub, seed: int
) -> None:
    chance = random.Random(seed)
    conversation = await full_acme.talk()
    answered = asyncio.Event()
    full_acme.provider.will(slow(answered, full_acme.accept("p1")))
    await full_acme.hub.reply(conversation, "Hi")
    await full_acme.under_way()
    [key] = await full_acme.column("SELECT id FROM delivery")
    noon = full_acme.now
    reports: list[dict[str, Any]] = [
        {"part": "p1", "state": "sent", "time": noon},
        {"part": "p1", "state": "delivered", "time": noon + 2},
        {"part": "p1", "state": "failed", "time": noon + 3, "code": "late_bounce"},
        {"part": "", "key": key, "state": "failed", "time": noon + 1, "code": "first"},
        {"part": "", "key": key, "state": "read", "time": noon + 4},
    ] * 2
    chance.shuffle(reports)
    before = chance.randrange(len(reports) + 1)
    for report in reports[:before]:
        await full_acme.reported(**report)
    answered.set()
    await full_acme.hub.run_until_idle()
    for report in reports[before:]:
        await full_acme.reported(**report)
    await full_acme.hub.pass_time(minutes=1)

    [_, message] = await full_acme.hub.messages(conversation)
    [delivery] = message.deliveries
    assert (delivery.state.word, delivery.problem and delivery.problem.code) == ("read", "first")
    assert full_acme.texts == ["Hi"]
    assert await full_acme.hub.rows("SELECT id FROM report WHERE delivery_id IS NULL") == []
    states = [fact.small["state"] for fact in await full_acme.hub.facts("delivery.changed")]
    assert states[-1] == "read"
    assert len(await full_acme.hub.facts("delivery.failed")) == 1


async def test_a_bounce_after_delivered_is_shown_as_a_problem_and_leaves_the_state(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(full_acme.accept("p1"))
    await full_acme.reply(conversation, "Hi")
    await full_acme.reported("p1", "delivered")
    await full_acme.reported("p1", "failed", code="mailbox_full")
    [_, message] = await full_acme.hub.messages(conversation)
    assert message.deliveries[0].problem.code == "mailbox_full"
    assert await full_acme.hub.states(conversation) == ["delivered"]
    [fact] = await full_acme.hub.facts("delivery.failed")
    assert fact.small["problem"] == "mailbox_full"


async def test_a_report_of_another_account_or_of_nothing_is_kept_and_changes_nothing(full_acme: AcmeHub) -> None:
    conversation = await full_acme.talk()
    full_acme.provider.will(full_acme.accept("p1"))
    await full_acme.reply(conversation, "Hi")
    await full_acme.reported("p9", "failed")
    await full_acme.reported("", "failed", key="nothing")
    assert await full_acme.hub.states(conversation) == ["accepted"]
    assert await full_acme.column("SELECT count(*) FROM report WHERE delivery_id IS NULL") == [2]


async def test_a_report_of_something_of_ours_that_is_no_reply_is_told(full_acme: AcmeHub) -> None:
    key = "0193a7f0-0000-7000-8000-000000000001"
    await full_acme.reported("", "failed", key=key, code="5.1.1")
    await full_acme.reported("nothing-of-ours", "failed")
    await full_acme.hub.run_until_idle()
    [told] = await full_acme.hub.facts("report.unmatched")
    assert (told.account, told.ids, dict(told.small)) == ("shop", {"key": key}, {"state": "failed", "code": "5.1.1"})
