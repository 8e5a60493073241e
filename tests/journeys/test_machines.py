"""A machine of ours answers no machine, and writes to nobody again and again: two robots come to an end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from talkwire import Address, Reply, draft, hookimpl
from talkwire.errors import Loop
from talkwire.oversight import story
from talkwire.testing.hub import WholeHub, whole_hub
from talkwire.testing.services import TurnedClock
from tests.journeys.post_hub import ANN, BOB, SETTINGS, Letters, Posts

ROBOT = '[plugins]\nenabled = ["robot"]\n' + SETTINGS


class Robot:
    """Answers whatever comes."""

    @hookimpl
    def on_inbound_message(self, message: Any, tx: Any) -> None:
        tx.act(Reply(conversation=message.conversation, draft=draft("Thank you for your letter.")))


@pytest.fixture
async def robot(start_hub: Any) -> Letters:
    hub: WholeHub = await start_hub(ROBOT, plugins={"post": Posts(), "robot": Robot()})
    await hub.run_until_idle()
    return Letters(hub)


async def failures(letters: Letters) -> list[Any]:
    return [fact.small["code"] for fact in await letters.hub.facts("action.failed")]


async def test_a_machine_of_ours_answers_a_person_and_says_that_it_is_one(robot: Letters) -> None:
    await robot.wrote("a")
    [out] = robot.post.sent
    assert out.automatic
    assert [context.automatic for context in robot.post.drawn] == [True]
    assert [message.automatic for message in await robot.messages()] == [False, True]
    assert await failures(robot) == []


async def test_a_machine_of_ours_answers_no_machine(robot: Letters) -> None:
    await robot.wrote("a", automatic=True)
    assert robot.post.sent == []
    assert await failures(robot) == ["automatic"]
    talk = (await robot.talk()).id
    told = [line.text for line in (await robot.hub.daemon.store.read(lambda query: story.tell(query, talk))).lines]
    assert "message 1, automatic" in told
    assert any("action failed" in line and "code=automatic" in line for line in told)


async def test_it_answers_again_once_a_person_writes(robot: Letters) -> None:
    await robot.wrote("a", automatic=True)
    await robot.wrote("b", "<a>")
    assert len(robot.post.sent) == 1


async def test_a_person_may_answer_a_machine_as_often_as_they_like(letters: Letters) -> None:
    await letters.wrote("a", automatic=True)
    for number in range(5):
        assert not (await letters.answers(f"{number}")).automatic


async def test_two_robots_stop_after_the_cap(robot: Letters) -> None:
    """The other one does not say what it is, and begins a thread each time."""
    answered = 0
    for number in range(20):
        await robot.wrote(f"r{number}")
        if len(robot.post.sent) == answered:
            break
        answered = len(robot.post.sent)
    assert (answered, await failures(robot)) == (3, ["automatic_cap"])
    await robot.wrote("another", sender=BOB)
    assert len(robot.post.sent) == 4


async def test_the_cap_is_lifted_with_time(robot: Letters) -> None:
    for number in range(4):
        await robot.wrote(f"r{number}")
    assert len(robot.post.sent) == 3
    await robot.hub.pass_time(minutes=10)
    await robot.wrote("late")
    assert len(robot.post.sent) == 4


async def test_the_cap_outlives_a_restart(tmp_path: Path, empty_database: Path) -> None:
    clock = TurnedClock()
    for start in range(2):
        async with whole_hub(
            SETTINGS, tmp_path, template=empty_database, plugins={"post": Posts()}, clock=clock
        ) as hub:
            await hub.run_until_idle()
            letters = Letters(hub)
            if not start:
                await letters.wrote("a")
            talk = (await letters.talk()).id
            for number in range(0 if start else 3):
                await hub.daemon.hub.reply(talk, draft(f"{number}"), author="bot", automatic=True)
            with pytest.raises(Loop, match="3 automatic messages went to this address within 10 minutes"):
                await hub.daemon.hub.reply(talk, draft("one more"), author="bot", automatic=True)


async def test_what_was_refused_may_be_said_later_with_the_same_key(letters: Letters) -> None:
    await letters.wrote("a", automatic=True)
    talk, reply = (await letters.talk()).id, letters.hub.daemon.hub.reply
    with pytest.raises(Loop):
        await reply(talk, draft("1"), author="bot", key="k", automatic=True)
    await letters.wrote("b", "<a>")
    assert not (await reply(talk, draft("1"), author="bot", key="k", automatic=True)).repeated


async def test_many_at_once_to_two_threads_of_one_address_are_no_more_than_the_cap(letters: Letters) -> None:
    await letters.comes(letters.letter("a"), letters.letter("b"))
    talks = [one.id for one in await letters.hub.conversations()]
    reply = letters.hub.daemon.hub.reply
    said = await asyncio.gather(
        *(reply(talks[n % 2], draft(f"{n}"), author="bot", automatic=True) for n in range(10)), return_exceptions=True
    )
    assert sum(not isinstance(one, Exception) for one in said) == 3
    assert {one.code for one in said if isinstance(one, Loop)} == {"automatic_cap"}


async def test_a_first_letter_to_somebody_counts_as_well(letters: Letters) -> None:
    to = "post", Address(kind="email", value=ANN)
    for number in range(3):
        await letters.hub.daemon.hub.reply(to, draft(f"{number}"), author="bot", automatic=True)
    with pytest.raises(Loop):
        await letters.hub.daemon.hub.reply(to, draft("4"), author="bot", automatic=True)
