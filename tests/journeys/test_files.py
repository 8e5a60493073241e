"""Files of plugins: kept through the hub, lent by links, and belonging to the message that brings them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from talkwire import Attachment, Inbound, Media, TooLarge, Unreadable
from tests.journeys.door_hub import VISITOR, House

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def keep(house: House, *parts: bytes, name: str = "a.png", limit: int = 1000) -> Attachment:
    kept: Attachment = await house.door.hub.keep_file(chunks(*parts), name=name, limit=limit)
    return kept


def brings(house: House, message: str, *files: str) -> Inbound:
    return Inbound(
        external_id=message,
        address=VISITOR,
        at=house.now,
        text="look",
        blocks=tuple(Media(attachment=file) for file in files),
    )


async def owners(house: House) -> list[Any]:
    return await house.hub.rows(
        "SELECT a.account, m.external_id FROM attachment a LEFT JOIN message m ON m.id = a.message_id ORDER BY a.id"
    )


# --- keeping ------------------------------------------------------------------------------------------------


async def test_a_plugin_keeps_a_file_and_gives_a_link_to_it(house: House) -> None:
    kept = await keep(house, PNG[:50], PNG[50:], name="../../etc/p.html")
    assert (kept.name, kept.media_type, kept.size) == ("p.html", "image/png", len(PNG))
    assert await house.door.hub.attachment(kept.id) == kept
    for link in (house.door.hub.media_link(kept), house.door.hub.media_link(kept.id)):
        assert link.startswith(f"/media/{kept.id}?")
        async with house.client.get(link) as answer:
            assert await answer.read() == PNG
    await house.hub.pass_time(minutes=6)
    async with house.client.get(link) as answer:
        assert answer.status == 404


async def test_a_link_is_absolute_where_our_public_address_is_known(start_hub: Any) -> None:
    hub = await start_hub('[server]\npublic_url = "https://talk.example.org"\n')
    link = hub.daemon.hub.media_link("0190")
    assert link.startswith("https://talk.example.org/media/0190?")


@pytest.mark.parametrize(
    ("parts", "error"), [((PNG, PNG), TooLarge), ((), Unreadable), ((b"",), Unreadable)], ids=["big", "none", "empty"]
)
async def test_a_file_that_is_too_large_or_empty_is_not_kept(house: House, parts: Any, error: Any) -> None:
    with pytest.raises(error):
        await keep(house, *parts, limit=150)
    assert await owners(house) == []


# --- belonging ----------------------------------------------------------------------------------------------


async def test_a_file_belongs_to_the_message_that_brings_it(house: House) -> None:
    first, second = await keep(house, PNG), await keep(house, PNG)
    await house.door.admit([brings(house, "v1:1", first.id, second.id)])
    assert await owners(house) == [("front", "v1:1")] * 2
    await house.door.admit([brings(house, "v1:1", first.id, second.id)])  # a resend is no second claim
    [message] = await house.hub.messages(await house.hub.conversation)
    assert message.blocks == (Media(attachment=first.id), Media(attachment=second.id))


async def test_a_file_that_is_not_there_or_is_another_message_s_is_not_shown(house: House) -> None:
    kept = await keep(house, PNG)
    await house.door.admit([brings(house, "v1:1", kept.id)])
    for unknown in (kept.id, "nobody's"):
        with pytest.raises(Unreadable, match="no such file"):
            await house.door.admit([brings(house, "v1:2", unknown), brings(house, "v1:3")])
    said = await house.hub.messages(await house.hub.conversation)
    assert [message.external_id for message in said] == ["v1:1", "v1:3"]  # what came with it is not held up
    assert await owners(house) == [("front", "v1:1")]


async def test_one_of_two_that_bring_the_same_file_has_it(house: House) -> None:
    kept = await keep(house, PNG)
    results = await asyncio.gather(
        *(house.door.admit([brings(house, f"v1:{number}", kept.id)]) for number in range(5)), return_exceptions=True
    )
    assert [type(result) for result in results if result] == [Unreadable] * 4
    assert len(await house.hub.messages(await house.hub.conversation)) == 1


async def test_a_file_that_a_message_names_twice_is_its_own(house: House) -> None:
    kept = await keep(house, PNG)
    await house.door.admit([brings(house, "v1:1", kept.id, kept.id)])
    assert await owners(house) == [("front", "v1:1")]
