"""Everything we send validates against a description of the Bot API that is not ours.

It is found as tests/parts/contracts.py says; nothing of it is in this repository.
"""

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkwire import (
    Acknowledge,
    Buttons,
    Card,
    Choices,
    Draft,
    FormLink,
    Location,
    Media,
    Option,
    Part,
    Reaction,
    ReadUpTo,
    RenderContext,
    Text,
    TypingSignal,
    Unsupported,
)
from talkwire.testing import FakeProvider
from talkwire_telegram.rendering import FIELDS

from . import contract
from .chats import ANN, ANSWERS, GROUP, a_bot, called, outgoing, yes


@pytest.fixture(scope="module")
def described(contracts):
    """The description, which is there."""
    assert contracts.is_dir()
    return contract.description()


def checked(seen):
    method, values = called(seen)
    values = {name: {} if isinstance(value, tuple) else value for name, value in values.items()}
    assert contract.request_faults(method, values) == []
    for row in values.get("reply_markup", {}).get("inline_keyboard", ()):
        for button in row:
            assert len({"url", "callback_data"} & button.keys()) == 1, button
            assert 1 <= len(button.get("callback_data", "x").encode()) <= 64
    return method


WORDS = st.text(st.characters(codec="utf-8"), max_size=40)
MARKDOWN = st.lists(
    st.one_of(
        WORDS,
        st.sampled_from(
            ["**b**", "*i*", "`c`", "> q\n", "- l\n", "\n\n", "[a](https://e.f)", "```py\nx\n```", "~~s~~", "x" * 900]
        ),
    ),
    max_size=8,
).map(" ".join)
OPTIONS = st.lists(
    st.builds(
        Option,
        st.one_of(WORDS, st.just("o" * 64)),
        WORDS,
        description=st.sampled_from(["", "more"]),
        url=st.sampled_from(["", "", "https://shop.example/a", "mailto:me@a.b"]),
    ),
    min_size=1,
    max_size=6,
).map(tuple)
FILES = {
    "picture": "image/jpeg", "cat": "image/gif", "film": "video/mp4", "song": "audio/mpeg", "voice": "audio/ogg",
    "paper": "application/pdf",
}  # fmt: skip
BLOCKS = st.one_of(
    st.builds(Text, MARKDOWN),
    st.builds(Media, attachment=st.sampled_from(sorted(FILES)), caption=MARKDOWN),
    st.builds(Buttons, text=MARKDOWN, options=OPTIONS),
    st.builds(Choices, text=MARKDOWN, button=WORDS, options=OPTIONS),
    st.builds(Card, title=WORDS, text=MARKDOWN, image=st.sampled_from(["", "picture", "paper"]), options=OPTIONS),
    st.builds(Location, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), name=WORDS, address=WORDS),
    st.builds(FormLink, label=WORDS, url=st.just("https://forms.example/f1")),
)
THREADS = st.sampled_from(["", "42", "dm:7000000042", "business:bc-1"])
DRAFTS = st.builds(Draft, blocks=st.lists(BLOCKS, min_size=1, max_size=3).map(tuple), subject=WORDS)


@pytest.mark.prove
def test_every_request_over_made_up_drafts_keeps_the_contract(described, proving, proof):
    """The long form makes 5,000 drafts."""
    methods = Counter()
    with asyncio.Runner() as runner:
        provider = runner.run(opened(FakeProvider(ANSWERS)))
        lending = a_bot(provider)
        bot = runner.run(opened(lending))
        files = {
            id_: bot.services.store(b"content", name=f"{id_}.x", media_type=kind, attachment=id_)
            for id_, kind in FILES.items()
        }
        context = RenderContext(account="kit", address=ANN, attachments=files)

        async def send(draft, address, thread, reply_to):
            for part in bot.channel.render(draft, context).parts:
                plain = Part(text=part.plain or part.text or "-", attachment=part.attachment, options=part.options)
                for said in (part, plain):
                    await bot.channel.send(outgoing(said, address=address, thread=thread, reply_to=reply_to))

        @settings(max_examples=5000 if proving else 25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(DRAFTS, st.sampled_from([ANN, GROUP]), THREADS, st.sampled_from(["", "4711:8", "bc-1:4711:8", "cb:1"]))
        def every(draft, address, thread, reply_to):
            try:
                runner.run(send(draft, address, thread, reply_to))
            except Unsupported:
                return
            finally:
                methods.update(checked(seen) for seen in bot.provider.requests)
                bot.provider.requests.clear()

        try:
            every()
        finally:
            runner.run(closed(lending))
            runner.run(closed(provider))
    proof("telegram-contract", {"description": described["version"], "requests": methods.total(), **methods})
    assert not proving or methods.keys() >= {"sendMessage", *FIELDS, "sendVenue", "sendLocation"}


async def opened(manager):
    return await manager.__aenter__()


async def closed(manager):
    await manager.__aexit__(None, None, None)


async def test_edits_and_hints_keep_the_contract(described):
    async with a_bot() as bot:
        bot.will(*[yes()] * 10)
        marked = json.dumps({"method": "sendMessage", "entities": [{"type": "bold", "offset": 0, "length": 1}]})
        await bot.channel.edit(outgoing(Part(text="You are 2", payload=marked)), "4711:9")
        await bot.channel.edit(outgoing(Part()), "4711:9")
        await bot.channel.edit(outgoing("You are 2", thread="business:bc-1"), "bc-1:4711:9")
        await bot.channel.edit(outgoing(Part(), thread="business:bc-1"), "bc-1:4711:9")
        await bot.channel.signal("4711", TypingSignal())
        await bot.channel.signal("4711", TypingSignal(last_inbound="bc-1:4711:8"))
        await bot.channel.signal("4711", ReadUpTo("bc-1:4711:8"))
        await bot.channel.signal("4711", Reaction("4711:9", "👍"))
        await bot.channel.signal("4711", Reaction("4711:9", ""))
        await bot.channel.signal("4711", Acknowledge("cb:123", "t" * 300))
        assert [checked(seen) for seen in bot.provider.requests] == [
            "editMessageText", "deleteMessage", "editMessageText", "deleteBusinessMessages", "sendChatAction",
            "sendChatAction", "readBusinessMessage", "setMessageReaction", "setMessageReaction", "answerCallbackQuery",
        ]  # fmt: skip


async def test_what_breaks_the_contract_is_seen(described):
    """The check itself is checked."""
    async with a_bot() as bot:
        bot.will(yes({"message_id": 1, "chat": {"id": 1}}), yes({"message_id": 1, "chat": {"id": 1}}))
        wrong = json.dumps({"method": "sendMessage", "entities": [{"type": "bold", "offset": "0", "length": 1}]})
        await bot.send(Part(text="Hello", payload=wrong))
        with pytest.raises(AssertionError, match="offset"):
            checked(bot.provider.requests[0])
        await bot.send(Part(text="x" * 4097))
        with pytest.raises(AssertionError, match="4097"):
            checked(bot.provider.requests[1])
