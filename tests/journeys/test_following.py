"""Letters that follow others: by the names they give they find their thread, and never a stranger's talk."""

from __future__ import annotations

import pytest

from talkwire.model import Address, Alias, Draft, Text
from talkwire.oversight import evidence
from tests.journeys.post_hub import ANN, BOB, Letters


async def test_a_letter_that_follows_one_of_theirs_is_in_its_talk_and_answers_it(letters: Letters) -> None:
    await letters.wrote("a")
    await letters.wrote("b", "<a>")
    await letters.wrote("c", "<nowhere>", "<b>")
    assert await letters.talks() == {f"{ANN} <a>": ["a", "b", "c"]}
    first, second, third = await letters.messages()
    assert (first.reply_to, second.reply_to, third.reply_to) == ("", first.id, second.id)


async def test_a_letter_that_follows_a_reply_of_ours_is_in_its_talk_by_the_key_or_by_the_name_it_went_under(
    letters: Letters,
) -> None:
    await letters.wrote("a")
    out = await letters.answers("We look into it.")
    await letters.wrote("b", out.key)
    await letters.wrote("c", f"<{out.key}@example.org>")
    assert await letters.talks() == {f"{ANN} <a>": ["a", "We look into it.", "b", "c"]}
    _, reply, *theirs = await letters.messages()
    assert [one.reply_to for one in theirs] == [reply.id, reply.id]


async def test_a_letter_that_follows_nothing_known_begins_a_talk_of_its_own(letters: Letters) -> None:
    await letters.wrote("a")
    await letters.wrote("b", "<nowhere>")
    assert await letters.talks() == {f"{ANN} <a>": ["a"], f"{ANN} <b>": ["b"]}


async def test_whoever_else_follows_a_letter_gets_a_talk_of_their_own_with_that_thread(letters: Letters) -> None:
    await letters.wrote("a")
    await letters.wrote("b", "<a>", sender=BOB)
    await letters.wrote("c", "<b>", sender=BOB)
    await letters.wrote("d", "<c>")
    assert await letters.talks() == {f"{ANN} <a>": ["a", "d"], f"{BOB} <a>": ["b", "c"]}


async def test_an_alias_of_the_address_is_in_the_same_talk(letters: Letters) -> None:
    await letters.wrote("a")
    named = Address(kind="email", value="ann@new.example", aliases=(Alias("email", ANN),))
    await letters.wrote("b", "<a>", address=named)
    assert await letters.talks() == {f"{ANN} <a>": ["a", "b"]}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_letters_of_one_delivery_follow_each_other_wherever_they_stand_in_it(
    letters: Letters, order: tuple[int, ...]
) -> None:
    chain = [letters.letter("a"), letters.letter("b", "<a>"), letters.letter("c", "<b>", "<a>")]
    await letters.comes(*(chain[place] for place in order))
    [(place, texts)] = (await letters.talks()).items()
    assert (place, sorted(texts)) == (f"{ANN} <a>", ["a", "b", "c"])


async def test_letters_that_follow_each_other_in_a_ring_are_one_talk(letters: Letters) -> None:
    await letters.comes(letters.letter("a", "<a>", "<b>"), letters.letter("b", "<c>"), letters.letter("c", "<a>"))
    assert await letters.talks() == {f"{ANN} <a>": ["a", "b", "c"]}


async def test_two_letters_with_one_name_are_both_kept_and_whoever_follows_it_answers_neither(letters: Letters) -> None:
    await letters.wrote("a")
    await letters.wrote("a", external_id="<a>#2", text="another")
    await letters.wrote("b", "<a>")
    assert await letters.talks() == {f"{ANN} <a>": ["a", "another", "b"]}
    assert [one.reply_to for one in await letters.messages()] == ["", "", ""]


async def test_a_name_that_a_stranger_used_before_leads_to_the_talk_of_whoever_writes(letters: Letters) -> None:
    await letters.wrote("a", sender=BOB, thread="<else>")
    await letters.wrote("a", external_id="<a>#2")
    await letters.wrote("b", "<a>")
    assert await letters.talks() == {f"{BOB} <else>": ["a"], f"{ANN} <a>": ["a", "b"]}


async def test_the_same_letter_on_another_way_is_no_second_one(letters: Letters) -> None:
    await letters.wrote("a")
    await letters.wrote("b", "<a>")
    await letters.comes(letters.letter("b", "<a>"), letters.letter("a"))
    assert await letters.talks() == {f"{ANN} <a>": ["a", "b"]}
    assert len(await letters.hub.facts("message.repeated")) == 2


async def test_a_name_longer_than_any_is_no_name_and_loses_no_letter(letters: Letters) -> None:
    long = "<" + "x" * 5000 + ">"
    await letters.wrote("a", known_as=long)
    await letters.wrote("b", long, "<a>#1")
    assert await letters.talks() == {f"{ANN} <a>": ["a", "b"]}
    assert (await letters.messages())[1].reply_to


async def test_what_goes_out_names_each_letter_as_its_writer_does(letters: Letters) -> None:
    await letters.wrote("a")
    first = await letters.answers("One")
    await letters.wrote("b", first.key, known_as="", external_id="<b>")
    [*_, last] = await letters.messages()
    out = await letters.answers("Two")
    assert (out.last_inbound, out.references) == ("<b>", ("<a>", f"<{first.key}@example.org>", "<b>"))
    assert last.external_id == "<b>"


async def test_who_else_got_it_and_where_answers_go_are_kept(letters: Letters) -> None:
    await letters.wrote("a", cc=(BOB, "cat@example.org"), answer_at="desk@example.org", automatic=True)
    [message] = await letters.messages()
    assert (message.cc, message.answer_at, message.automatic) == ((BOB, "cat@example.org"), "desk@example.org", True)
    [fact] = await letters.hub.facts("message.received")
    assert fact.small == {"n": 1, "automatic": True}


async def test_of_a_thousand_that_got_it_a_hundred_are_kept(letters: Letters) -> None:
    await letters.wrote("a", cc=tuple(f"{n}@example.org" for n in range(1000)))
    [message] = await letters.messages()
    assert len(message.cc) == 100


async def test_whoever_looks_for_a_letter_by_its_name_finds_it(letters: Letters) -> None:
    await letters.wrote("a")
    out = await letters.answers("One")
    [theirs, reply] = await letters.messages()
    find = letters.hub.daemon.store.read
    assert [one.id for one in await find(lambda query: evidence.find(query, "<a>"))] == [theirs.id]
    [part] = await find(lambda query: evidence.find(query, f"<{out.key}@example.org>"))
    assert (part.kind, part.id) == ("delivery", reply.deliveries[0].id)


async def test_a_talk_shows_the_newest_subject_and_is_found_by_it(letters: Letters) -> None:
    await letters.wrote("a", subject="Where is my order 4711?")
    await letters.wrote("b", "<a>")
    assert (await letters.talk()).subject == "Where is my order 4711?"
    found = await letters.hub.daemon.hub.conversations(text="order 4711")
    assert [one.id for one in found.items] == [(await letters.talk()).id]
    await letters.hub.daemon.replies.reply(
        (await letters.talk()).id, Draft(blocks=(Text("It left."),), subject="On its way"), author="agent:ann"
    )
    assert (await letters.talk()).subject == "On its way"
