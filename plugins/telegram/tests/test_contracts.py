"""Everything we send validates against a description of the Bot API that is not ours.

It is found as tests/parts/contracts.py says; nothing of it is in this repository.
"""

import asyncio
import json
import re
from collections import Counter
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

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
    RenderContext,
    Text,
    TypingSignal,
    Unsupported,
)
from talkwire.testing import FakeProvider
from talkwire_telegram.rendering import FIELDS

from .chats import ANN, ANSWERS, GROUP, a_bot, called, outgoing, yes

PLAIN = {"Integer": "integer", "String": "string", "Boolean": "boolean", "Float": "number"}
LIMIT = re.compile(r"(\d+)-(\d+) (characters|bytes)")


class Contract:
    """The description as JSON Schema, with the limits that stand in its words."""

    def __init__(self, file):
        said = json.loads(file.read_text())
        self.version = said["version"]
        self.methods = said["methods"]
        self._types = {name: self._type(kind) for name, kind in said["types"].items()}

    @cache  # noqa: B019  one contract a run
    def validator(self, method):
        return Draft202012Validator({**self._fields(self.methods[method]), "$defs": self._types})

    def check(self, method, values):
        assert method in self.methods
        errors = [
            f"{'.'.join(map(str, one.path))}: {one.message[:200]}" for one in self.validator(method).iter_errors(values)
        ]
        assert not errors, (method, values, errors)

    def _type(self, kind):
        if subtypes := kind.get("subtypes"):
            return {"anyOf": [self._of(name) for name in subtypes]}
        return self._fields(kind)

    def _fields(self, kind):
        fields = kind.get("fields", ())
        return {
            "type": "object",
            "properties": {field["name"]: self._field(field) for field in fields},
            "required": [field["name"] for field in fields if field["required"]],
            "additionalProperties": False,
        }

    def _field(self, field):
        return {"anyOf": [self._of(name) for name in field["types"]], "description": field["description"]}

    def _of(self, name):
        if name.startswith("Array of "):
            return {"type": "array", "items": self._of(name.removeprefix("Array of "))}
        if name == "InputFile":
            return {"type": "string", "const": FILE}
        return {"type": PLAIN[name]} if name in PLAIN else {"$ref": f"#/$defs/{name}"}

    def check_limits(self, method, values):
        """Compare texts with the numbers in the words of their fields; texts are counted in UTF-16 code units."""
        self._limits(self.methods[method], values)

    def _limits(self, kind, values):
        for field in kind.get("fields", ()):
            said, limit = values.get(field["name"]), LIMIT.search(field["description"])
            if isinstance(said, str) and limit:
                size = len(said.encode()) if limit[3] == "bytes" else len(said.encode("utf-16-le")) // 2
                assert int(limit[1]) <= size <= int(limit[2]), (field["name"], size)


FILE = "(a file)"


@pytest.fixture(scope="module")
def contract(contracts):
    return Contract(contracts / "telegram-bot-api.json")


def checked(contract, seen):
    method, values = called(seen)
    values = {name: FILE if isinstance(value, tuple) else value for name, value in values.items()}
    contract.check(method, values)
    contract.check_limits(method, values)
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
DRAFTS = st.builds(Draft, blocks=st.lists(BLOCKS, min_size=1, max_size=3).map(tuple), subject=WORDS)


@pytest.mark.prove
def test_every_request_over_made_up_drafts_keeps_the_contract(contract, proving, proof):
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

        @settings(max_examples=5000 if proving else 40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            DRAFTS, st.sampled_from([ANN, GROUP]), st.sampled_from(["", "42"]), st.sampled_from(["", "4711:8", "cb:1"])
        )
        def every(draft, address, thread, reply_to):
            try:
                runner.run(send(draft, address, thread, reply_to))
            except Unsupported:
                return
            finally:
                methods.update(checked(contract, seen) for seen in bot.provider.requests)
                bot.provider.requests.clear()

        try:
            every()
        finally:
            runner.run(closed(lending))
            runner.run(closed(provider))
    proof("telegram-contract", {"description": contract.version, "requests": methods.total(), **methods})
    assert not proving or methods.keys() >= {"sendMessage", *FIELDS, "sendVenue", "sendLocation"}


async def opened(manager):
    return await manager.__aenter__()


async def closed(manager):
    await manager.__aexit__(None, None, None)


async def test_edits_and_hints_keep_the_contract(contract):
    async with a_bot() as bot:
        bot.will(*[yes()] * 6)
        marked = json.dumps({"method": "sendMessage", "entities": [{"type": "bold", "offset": 0, "length": 1}]})
        await bot.channel.edit(outgoing(Part(text="You are 2", payload=marked)), "4711:9")
        await bot.channel.edit(outgoing(Part()), "4711:9")
        await bot.channel.signal("4711", TypingSignal())
        await bot.channel.signal("4711", Reaction("4711:9", "👍"))
        await bot.channel.signal("4711", Reaction("4711:9", ""))
        await bot.channel.signal("4711", Acknowledge("cb:123", "t" * 300))
        assert [checked(contract, seen) for seen in bot.provider.requests] == [
            "editMessageText", "deleteMessage", "sendChatAction", "setMessageReaction", "setMessageReaction",
            "answerCallbackQuery",
        ]  # fmt: skip


async def test_what_breaks_the_contract_is_seen(contract):
    """The check itself is checked."""
    async with a_bot() as bot:
        bot.will(yes({"message_id": 1, "chat": {"id": 1}}), yes({"message_id": 1, "chat": {"id": 1}}))
        wrong = json.dumps({"method": "sendMessage", "entities": [{"type": "bold", "offset": "0", "length": 1}]})
        await bot.send(Part(text="Hello", payload=wrong))
        with pytest.raises(AssertionError, match="offset"):
            checked(contract, bot.provider.requests[0])
        await bot.send(Part(text="x" * 4097))
        with pytest.raises(AssertionError, match="4097"):
            checked(contract, bot.provider.requests[1])
