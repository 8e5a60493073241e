"""Mails to and fro, with a whole hub between a customer's mail program and an agent: one thread is one conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from talkwire_email.simulator import Office

from .talks import PLUGIN, Robot, Talks, table

ADDRESS = "budi@correspondent.example"


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    one = Office(password="sim-password-0123456789", pause=0)
    one.fault("no_dsn")
    await one.start()
    yield one
    async with asyncio.timeout(20):
        await one.stop()


@pytest.fixture
async def start(office: Office, start_hub: Any) -> Any:
    async def begin(*, robot: bool = False, **more: Any) -> Talks:
        plugins = {**PLUGIN, **({"robot": Robot()} if robot else {})}
        return Talks(await start_hub(table(office.settings() | more), plugins=plugins))

    return begin


def ours(office: Office) -> list[dict[str, Any]]:
    """Give what reached the customer."""
    return [mail for mail in office.mails if not mail["mine"]]


async def test_ten_mails_to_and_fro_stay_one_conversation_and_a_second_thread_is_a_second_one(
    office: Office, start: Any
) -> None:
    talks = await start()
    office.written("mail number 0", subject="Where is my parcel?")
    talk = (await talks.heard("mail number 0")).conversation
    for number in range(5):
        await talks.answers(talk, f"reply number {number}")
        if number < 4:
            office.written(f"mail number {number + 1}", answers=ours(office)[-1]["id"])
            assert (await talks.heard(f"mail number {number + 1}")).conversation == talk
    office.written("quite another thing", subject="Where is my parcel?")  # the subject alone joins nothing
    second = await talks.heard("quite another thing")
    assert second.conversation != talk
    assert len(await talks.hub.messages(talk)) == 10
    assert len(await talks.hub.conversations()) == 2
    first = ours(office)[0]
    assert first["subject"] == "Re: Where is my parcel?"
    assert "References: " in ours(office)[-1]["headers"]


@pytest.mark.parametrize("plus", [True, False])
async def test_an_answer_whose_program_drops_the_references_is_known_by_its_address(
    office: Office, start: Any, plus: bool
) -> None:
    talks = await start(plus=plus)
    office.written("first words", subject="A lamp")
    talk = (await talks.heard("first words")).conversation
    await talks.answers(talk, "It is blue.")
    _, uid, _ = office.written("is it really", answers=ours(office)[-1]["id"])
    await talks.heard("is it really")
    raw = office.boxes.folder("INBOX").mails[uid].raw
    head, _, body = raw.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.startswith((b"In-Reply-To", b"References", b"Message-ID"))]
    office.boxes.put(
        b"\r\n".join([*kept, b"Message-ID: <bare@correspondent.example>"])
        + b"\r\n\r\n"
        + body.replace(b"is it", b"was it")
    )
    again = await talks.heard("was it really")
    assert (again.conversation == talk) is plus


async def test_the_customer_sees_plain_text_with_what_he_wrote_quoted(office: Office, start: Any) -> None:
    talks = await start()
    office.fault("no_dsn", "html")
    office.written("Is the <blue> lamp there?", subject="A lamp")
    talk = (await talks.heard("blue")).conversation
    await talks.answers(talk, "It is **there**, see [the shop](https://shop.example/lamp).")
    [mail] = ours(office)
    assert mail["plain"]
    assert "https://shop.example/lamp" in mail["text"]
    assert "**" not in mail["text"]
    assert "> Is the <blue> lamp there?" in mail["text"]


async def test_two_robots_stop_after_the_cap(office: Office, start: Any) -> None:
    """The other one says nothing of what it is, and answers each mail as a person would."""
    talks = await start(robot=True)
    office.written("I want an answer", subject="Hello")
    answered = 0
    while answered < 20:
        async with asyncio.timeout(20):
            while len(ours(office)) <= answered and not await talks.hub.facts("action.failed"):
                await asyncio.sleep(0.01)
        if len(ours(office)) == answered:
            break
        answered += 1
        office.written(f"answer {answered} of a machine", answers=ours(office)[-1]["id"])
    assert answered == 5
    assert [fact.small["code"] for fact in await talks.hub.facts("action.failed")] == ["automatic_cap"]
    assert all("Auto-Submitted: auto-replied" in mail["headers"] for mail in ours(office))


async def test_a_robot_that_says_what_it_is_gets_no_second_word(office: Office, start: Any) -> None:
    talks = await start(robot=True)
    office.fault("no_dsn", "robot")
    office.written("I want an answer", subject="Hello")
    away = await talks.heard("I am away until Monday")
    assert away.automatic
    [failed] = await talks.until(lambda: talks.hub.facts("action.failed"))
    assert failed.small["code"] == "automatic"
    assert len(ours(office)) == 1


async def test_a_report_of_delivery_makes_a_reply_delivered_and_a_bounce_makes_it_failed(
    office: Office, start: Any
) -> None:
    talks = await start()
    office.fault()
    office.written("Where is it?", subject="A parcel")
    talk = (await talks.heard("Where is it?")).conversation
    accepted = await talks.hub.reply(talk, "It comes.")
    await talks.stands(accepted.message, "delivered")
    office.fault("bounce")
    accepted = await talks.hub.reply(talk, "It is there.")
    await talks.stands(accepted.message, "failed")
    assert len(await talks.hub.messages(talk)) == 3  # no report became a message


async def test_a_mail_that_comes_twice_is_kept_once_and_a_rebuilt_mailbox_doubles_nothing(
    office: Office, start: Any
) -> None:
    talks = await start()
    office.fault("no_dsn", "twice")
    office.written("only once", subject="Hello")
    await talks.heard("only once")
    office.fault("no_dsn", "rebuilt")
    await talks.hub.pass_time(seconds=30)
    office.fault("no_dsn")
    office.written("after it", subject="Hello again")
    await talks.heard("after it")
    every = [m.text for talk in await talks.hub.conversations() for m in await talks.hub.messages(talk)]
    assert sorted(every) == ["after it", "only once"]
