"""What an edit leaves of a message: its text, its files, its place."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest_asyncio

from talkwire.lifecycle import persons
from talkwire.lifecycle.exporting import export
from talkwire.lifecycle.forgetting import Forgetting
from talkwire.model import Change, Enclosed, Item, Location, Media, StoredChange
from tests.journeys.acme_hub import CUSTOMER, AcmeHub, FullAcme

HERE = {"latitude": -6.2, "longitude": 106.8, "name": "Live location"}
THERE = {**HERE, "latitude": -6.3}
FARTHER = {**HERE, "latitude": -6.4}


class Pictures(FullAcme):
    """Acme with pictures."""

    async def fetch(self, attachment: Any) -> AsyncIterator[bytes]:
        yield f"the picture {attachment.handle}".encode()


@pytest_asyncio.fixture
async def acme(start_acme: Callable[..., Awaitable[AcmeHub]]) -> AcmeHub:
    return await start_acme(channel=Pictures)


async def edited(acme: AcmeHub, of: str = "m1", *, after: float = 1, **more: Any) -> None:
    """Let a customer edit a message, some seconds later."""
    await acme.hub.pass_time(seconds=after)
    await acme.told("edit", of=of, **more)
    await acme.hub.run_until_idle()


async def changes(acme: AcmeHub) -> tuple[StoredChange, ...]:
    [message] = await acme.hub.messages(await acme.hub.conversation)
    return message.changes


async def shown(acme: AcmeHub) -> list[str]:
    """Give the names of the files that the message had, the first one first, each as its edits hold it."""
    [message] = await acme.hub.messages(await acme.hub.conversation)
    held = [message.blocks, *(change.blocks for change in message.changes)]
    ids = [[block.attachment for block in blocks if isinstance(block, Media)] for blocks in held]
    names = dict(await acme.hub.rows("SELECT id, name FROM attachment"))
    return [",".join(names[id_] for id_ in one) for one in ids]


async def test_a_photo_that_was_swapped_is_a_file_of_its_message_and_is_fetched(acme: AcmeHub) -> None:
    await acme.wrote("m1", "", media=["a.png"], caption="Look")
    await edited(acme, text="Look", media=["b.png"])
    [change] = await changes(acme)
    assert change.text == "Look"
    [message] = await acme.hub.messages(await acme.hub.conversation)
    [file] = change.blocks
    assert isinstance(file, Media)
    rows = await acme.hub.rows("SELECT message_id, name, sha256 <> '' FROM attachment ORDER BY name")
    assert [tuple(row) for row in rows] == [(message.id, "a.png", 1), (message.id, "b.png", 1)]
    assert file.attachment != message.blocks[0].attachment  # type: ignore[union-attr]
    assert [fact.small for fact in await acme.hub.facts("message.changed")] == [{"kind": "edit"}]
    assert len(await acme.hub.facts("attachment.stored")) == 2


async def test_an_edit_that_comes_twice_stores_nothing_twice(acme: AcmeHub) -> None:
    await acme.wrote("m1", "", media=["a.png"])
    edit = {"kind": "edit", "time": acme.now + 1, "of": "m1", "media": ["b.png"]}
    for _ in range(2):
        await acme.says([edit])
        await acme.hub.run_until_idle()
    await edited(acme, media=["c.png"], after=5)
    await acme.says([edit])
    await acme.hub.run_until_idle()
    assert await shown(acme) == ["a.png", "b.png", "c.png"]
    assert await acme.column("SELECT count(*) FROM attachment") == [3]
    assert len(await acme.hub.facts("message.changed")) == 2


async def test_a_photo_that_was_swapped_back_is_the_one_that_is_here(acme: AcmeHub) -> None:
    await acme.wrote("m1", "", media=["a.png"])
    await edited(acme, media=["b.png"])
    await edited(acme, media=["a.png"])
    assert await shown(acme) == ["a.png", "b.png", "a.png"]
    assert len(await acme.hub.facts("attachment.stored")) == 2


async def test_a_new_caption_of_the_same_file_is_no_new_file_though_it_has_another_handle(acme: AcmeHub) -> None:
    await acme.wrote("m1", "", media=["a1=a"], caption="Look")
    await edited(acme, text="Look", media=["a2=a"])
    assert await changes(acme) == ()
    await edited(acme, text="Look here", media=["a3=a"])
    [change] = await changes(acme)
    assert (change.text, change.blocks) == ("Look here", ())
    assert await acme.column("SELECT handle FROM attachment WHERE sha256 = ''") == []
    assert await acme.column("SELECT count(*) FROM attachment") == [1]


async def test_a_text_that_got_a_photo_has_it(acme: AcmeHub) -> None:
    await acme.wrote("m1", "See below")
    await edited(acme, text="See below", media=["a.png"])
    assert await shown(acme) == ["", "a.png"]


async def test_of_a_place_that_moves_on_the_last_point_is_kept_and_each_move_is_told(acme: AcmeHub) -> None:
    await acme.wrote("m1", "", places=[HERE])
    for place in (HERE, THERE, FARTHER):
        await edited(acme, places=[place])
    [change] = await changes(acme)
    assert change.blocks == (Location(**FARTHER),)  # type: ignore[arg-type]
    assert int(change.at.timestamp()) == acme.now
    assert [f.small for f in await acme.hub.facts("message.changed")] == [{"kind": "edit", "moved": True}] * 2


async def test_a_place_that_was_told_before_changes_nothing_when_it_is_told_again(acme: AcmeHub) -> None:
    await acme.wrote("m1", "", places=[HERE])
    start = acme.now
    moves = [
        {"kind": "edit", "time": start + n, "of": "m1", "places": [place]}
        for n, place in enumerate([THERE, FARTHER, {**FARTHER, "name": ""}], 1)
    ]
    for n in (0, 1, 0, 1, 2, 0, 1, 2):
        await acme.says([moves[n]])
    kept = await changes(acme)
    assert [change.blocks for change in kept] == [(Location(**FARTHER),), (Location(**{**FARTHER, "name": ""}),)]  # type: ignore[arg-type]
    assert len(await acme.hub.facts("message.changed")) == 3


async def test_an_edit_that_comes_before_its_message_brings_its_files_with_it(acme: AcmeHub) -> None:
    edit = {"kind": "edit", "time": acme.now + 1, "of": "m1", "text": "New", "media": ["b.png"]}
    await acme.says([edit])
    await acme.hub.run_until_idle()
    assert await acme.column("SELECT id FROM attachment") == []
    await acme.wrote("m1", "Old", media=["a.png"])
    await acme.hub.run_until_idle()
    await acme.says([edit])
    assert await shown(acme) == ["a.png", "b.png"]
    assert len(await acme.hub.facts("attachment.stored")) == 2
    await edited(acme, text="Old", media=["a.png"], after=9)
    assert await shown(acme) == ["a.png", "b.png", "a.png"]


class Enclosing(Pictures):
    """Acme whose edits hold the bytes of a file, which nothing stores."""

    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            yield replace(item, blocks=(Enclosed(content=b"x"),)) if isinstance(item, Change) else item


async def test_an_edit_that_holds_the_bytes_of_a_file_is_unread_and_loses_no_other(start_acme: Any) -> None:
    acme = await start_acme(channel=Enclosing)
    await acme.says(
        [
            {"kind": "edit", "time": acme.now, "of": "m1", "text": "New"},
            {"kind": "message", "id": "m1", "time": acme.now, "text": "Old", "from": CUSTOMER},
        ]
    )
    assert await changes(acme) == ()
    [unread] = await acme.column("SELECT unread FROM envelope")
    assert "a Change that cannot be stored" in unread


async def test_what_an_edit_brought_goes_with_the_person_and_is_given_to_them(acme: AcmeHub) -> None:
    await acme.wrote("m1", "", media=["a.png"], places=[HERE])
    await edited(acme, text="Now", media=["b.png"], places=[THERE])
    daemon = acme.hub.daemon
    contact = (await acme.hub.conversation).contact
    person = await daemon.store.read(lambda query: persons.by_contact(query, contact))
    archive = io.BytesIO()
    done = await export(daemon.store, daemon.files, daemon.plugins, person, archive)
    assert (done.files, done.missing) == (2, 0)
    with zipfile.ZipFile(archive) as held:
        talk = held.read("talk.txt").decode()
        [place] = json.loads(held.read("messages.json"))
    assert "[edit] Now\n" in talk
    assert talk.count("[media]") == talk.count("[location]") == 2
    assert place["messages"][0]["changes"][0]["blocks"][1]["latitude"] == THERE["latitude"]

    await Forgetting(daemon.store, daemon.files, daemon.clock, daemon.plugins.forget, alone=True).forget(
        contact, "test"
    )
    for table in ("change", "attachment", "message", "task"):
        assert await acme.hub.rows(f"SELECT * FROM {table}") == []
    assert [name async for name in named(daemon.files)] == []


async def named(files: Any) -> AsyncIterator[str]:
    """Name the contents that are kept."""
    after, first = "", True
    while after or first:
        first = False
        names, after = await files.walk(after)
        for name in names:
            yield name
