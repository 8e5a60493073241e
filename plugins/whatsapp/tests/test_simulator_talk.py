"""The channel and the simulated Meta, through a whole daemon: each understands what the other says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from talkwire import (
    Buttons,
    Choice,
    Choices,
    ContactCard,
    Draft,
    Location,
    Media,
    Option,
    Other,
    Reaction,
    ReadUpTo,
    Template,
    Text,
    draft,
)
from talkwire.cli import demo
from talkwire_whatsapp.simulator import ANA, BUDI, OTHER, OURS, SARI, Cloud, simulator
from talkwire_whatsapp.simulator import files as made

WORDS = {"token": "sim-token-0123456789", "app_secret": "sim-secret-0123456789", "verify_token": "sim-word-0123456789"}
SECOND = f"""
[accounts.second]
channel = "whatsapp"
endpoint = "whatsapp"
phone_number_id = "{OTHER.id}"
api_url = "http://127.0.0.1:9/v23.0"
""" + "".join(f'{name} = "{word}"\n' for name, word in WORDS.items())


class Stage:
    """A daemon with an account on WhatsApp, and the cloud behind it."""

    def __init__(self, running: demo.Stage, cloud: Cloud) -> None:
        self.cloud = cloud
        self.hub = running.daemon.hub

    async def until(self, what: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until something is so; a server stands between, so there is nothing to be told by."""
        async with asyncio.timeout(20):
            while not (found := await what()):
                await asyncio.sleep(0.01)
            return found

    async def talk_of(self, who: str, account: str = "whatsapp") -> str:
        """Give the conversation of somebody."""

        async def found() -> list[str]:
            talks = (await self.hub.conversations(account=account)).items
            return [talk.id for talk in talks if talk.address.value == who]

        return str((await self.until(found))[0])

    async def replies(self, talk: str, said: Draft, state: str = "read") -> dict[str, Any]:
        """Reply, wait until it has come so far, and give its last part as the phone shows it."""
        accepted = await self.hub.reply(talk, said, author="agent:test")

        async def there() -> bool:
            message = await self.hub.message(accepted.message)
            return message is not None and message.state is not None and message.state.word == state

        await self.until(there)
        return [one for one in self.cloud.messages.values() if one["to_phone"]][-1]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A daemon with two numbers of one app, the second of which only hears."""
    clouds: list[Cloud] = []

    def app(inbound_url: str) -> Any:
        clouds.append(Cloud(inbound_url, **WORDS, numbers=(OURS, OTHER), pause=0, retry_every=0.1))
        return clouds[0].app()

    one = replace(simulator(), app=app, settings=lambda base_url, _: clouds[0].settings(base_url))
    async with contextlib.AsyncExitStack() as opened:
        running = await opened.enter_async_context(demo.stage(tmp_path, [one], extra=SECOND))
        yield Stage(running, clouds[0])


async def test_whatever_a_customer_does_arrives_as_what_it_is(stage: Stage) -> None:
    cloud = stage.cloud
    first, _ = await cloud.says(text="Where is *it*? 🙏")
    for kind in ("image", "voice", "document", "location", "contact", "order", "poll"):
        assert (await cloud.says(kind=kind, text="look" if kind == "image" else ""))[1] == 200
    await cloud.says(text="this one", answers=first)
    await cloud.says(kind="reaction", text="👍", answers=first)
    await cloud.says(kind="edit", text="Where is it?", answers=first)
    last, _ = await cloud.says(text="never mind")
    await cloud.says(kind="revoke", answers=last)
    talk = await stage.talk_of("+" + BUDI.wa_id)

    async def all_fetched() -> Any:
        said = await stage.hub.messages(talk)
        held = [block.attachment for one in said for block in one.blocks if isinstance(block, Media)]
        return said if len(held) == 3 and all([(await stage.hub.attachment(one)).size for one in held]) else None

    text, image, voice, document, place, contact, order, poll, answer, last_one = await stage.until(all_fetched)
    assert text.text == "Where is *it*? 🙏"
    kept = [await stage.hub.attachment(one.blocks[0].attachment) for one in (image, voice, document)]
    assert [one.size for one in kept] == [len(made.picture()), len(made.voice()), len(made.DOCUMENT)]
    assert [one.media_type for one in kept] == ["image/png", "audio/ogg", "application/pdf"]
    assert (image.blocks[0].caption, kept[2].name) == ("look", "receipt.pdf")
    assert isinstance(place.blocks[0], Location)
    assert isinstance(contact.blocks[0], ContactCard)
    assert [one.blocks[0].kind for one in (order, poll) if isinstance(one.blocks[0], Other)] == ["order", "poll"]
    assert answer.reply_to == text.id
    assert [(one.kind.value, one.text) for one in text.changes] == [("reaction", "👍"), ("edit", "Where is it?")]
    assert [one.kind.value for one in last_one.changes] == ["revoke"]


async def test_a_picture_that_a_customer_swaps_is_a_file_of_its_message(stage: Stage) -> None:
    picture, _ = await stage.cloud.says(kind="image", text="look")
    talk = await stage.talk_of("+" + BUDI.wa_id)
    await stage.cloud.says(kind="edit", text="look", answers=picture)

    async def fetched() -> Any:
        [said] = await stage.hub.messages(talk)
        held = [one.attachment for change in said.changes for one in change.blocks if isinstance(one, Media)]
        files = [await stage.hub.attachment(one) for one in held]
        return (said, files[0]) if files and files[0].sha256 else None

    said, file = await stage.until(fetched)
    assert [(one.kind.value, one.text) for one in said.changes] == [("edit", "look")]
    assert (file.media_type, file.size) == ("image/png", len(made.picture(300, 240)))


async def test_whatever_we_say_arrives_on_the_phone_and_its_choices_come_back(
    stage: Stage, aiohttp_client: Any
) -> None:
    cloud, hub = stage.cloud, stage.hub
    first, _ = await cloud.says(text="hello")
    talk = await stage.talk_of("+" + BUDI.wa_id)
    assert (await stage.replies(talk, draft("It is **here**, _now_")))["text"] == "It is *here*, _now_"
    options = (Option("y", "Yes, please"), Option("n", "No, thank you"))
    asked = await stage.replies(talk, Draft(blocks=(Buttons(text="Shall I?", options=options),)))
    await cloud.says(kind="choice", answers=asked["id"], choice="y")
    rows = (Option("c", "Ciwidey", "jasmine"), Option("k", "Kintamani"))
    listed = await stage.replies(talk, Draft(blocks=(Choices(text="Which?", button="Choose", options=rows),)))
    assert (listed["button"], [one["description"] for one in listed["options"]]) == ("Choose", ["jasmine", ""])
    await cloud.says(kind="choice", answers=listed["id"], choice="c")
    values = ("4711", "Budi", "today", "4711")
    sent = await stage.replies(talk, Draft(blocks=(Template(name="order_sent", language="en", values=values),)))
    assert (sent["template"], sent["header"]) == ("order_sent · en", "Order 4711")
    assert sent["options"][0]["url"] == "https://shop.example/4711"
    await cloud.says(kind="choice", answers=sent["id"], choice="Call me first")

    async def pictures() -> AsyncIterator[bytes]:
        yield made.picture()

    file = await hub.keep_file(pictures(), name="cup.png", limit=10**6)
    shown = await stage.replies(talk, Draft(blocks=(Media(attachment=file.id, caption="the *cup*"), Text("Nice?"))))
    assert shown["text"] == "Nice?"
    [picture] = [one for one in cloud.messages.values() if one["to_phone"] and one.get("file")]
    assert (picture["text"], picture["file"]["size"]) == ("the _cup_", len(made.picture()))

    chosen = [b for one in await hub.messages(talk) for b in one.blocks if isinstance(b, Choice)]
    assert [(one.id, one.title) for one in chosen if one.id != "Call me first"] == [
        ("y", "Yes, please"),
        ("c", "Ciwidey"),
    ]
    assert [one.title for one in chosen][-1] == "Call me first"
    await hub.signal(talk, Reaction(first, "❤️"))
    await hub.signal(talk, ReadUpTo(first))

    async def seen() -> bool:
        return (cloud.messages[first]["state"], cloud.messages[first]["reactions"]) == ("read", {"ours": "❤️"})

    await stage.until(seen)


async def test_who_shows_no_number_is_answered_by_the_id_and_each_number_has_its_own(stage: Stage) -> None:
    cloud = stage.cloud
    await cloud.says(SARI, text="hi")
    shown = await stage.replies(await stage.talk_of(SARI.user_id), draft("Good day"))
    assert (shown["number"], shown["text"]) == (SARI.key, "Good day")
    cloud.fault("batch")
    await cloud.says(BUDI, text="for the first")
    talks = [await stage.talk_of("+" + ANA.wa_id, "second"), await stage.talk_of("+" + BUDI.wa_id)]
    texts = [(await stage.hub.messages(talk))[0].text for talk in talks]
    assert texts == ["This is for the other number", "for the first"]


async def test_a_message_whose_answer_was_lost_is_on_the_phone_once_and_uncertain_until_a_status_says_more(
    stage: Stage,
) -> None:
    cloud = stage.cloud
    await cloud.says(text="hello")
    talk = await stage.talk_of("+" + BUDI.wa_id)
    told: list[bytes] = []
    really = cloud._post

    async def later(raw: bytes) -> int:
        told.append(raw)
        return 200

    cloud._post = later  # type: ignore[method-assign]  # Meta's statuses wait until we let them come
    cloud.fault("reset")
    shown = await stage.replies(talk, draft("It arrives today"), state="uncertain")
    assert (shown["text"], cloud.requests) == ("It arrives today", 1)
    for raw in told:
        await really(raw)

    async def settled() -> bool:
        [_, ours] = await stage.hub.messages(talk)
        return ours.state is not None and ours.state.word == "read"

    await stage.until(settled)
    assert cloud.requests == 1
