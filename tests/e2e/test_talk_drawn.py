"""What the operator's page draws of a talk beside its text: blocks, albums, changes, and the time that is left."""

from __future__ import annotations

import base64
import io
import re
import wave
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e.conftest import Demo
from tests.parts.pictures import png

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]


def sound() -> str:
    """Make a second of silence, in base64."""
    made = io.BytesIO()
    with wave.open(made, "wb") as voice:
        voice.setnchannels(1)
        voice.setsampwidth(1)
        voice.setframerate(8000)
        voice.writeframes(b"\x80" * 8000)
    return base64.b64encode(made.getvalue()).decode()


def picture(*colour: int) -> str:
    return base64.b64encode(png(60, 40, colour)).decode()


async def opened(operator: Any, who: str) -> Any:
    await operator.locator(".entry", has_text=who).click()
    return operator.get_by_role("log")


async def test_each_kind_of_block_is_drawn(operator: Any, demo: Demo) -> None:
    write = demo.customers.write
    await write("ann", "Yes please", name="Ann", blocks=[{"type": "choice", "id": "yes", "title": "Yes please"}])
    await write("ann", "", blocks=[{"type": "contact", "name": "Bob", "phones": ["+62811"], "emails": ["b@x.example"]}])
    await write(
        "ann", "", blocks=[{"type": "location", "latitude": -6.2, "longitude": 106.8, "name": "Monas", "address": ""}]
    )
    raw = '{"product_items": [{"quantity": 2}]}'
    await write("ann", "", blocks=[{"type": "other", "kind": "order", "text": "2 things for 10.00 EUR", "raw": raw}])
    await write("ann", "", files=[["voice.wav", sound()]])
    log = await opened(operator, "Ann")
    await log.get_by_text("chose “Yes please”").wait_for()
    assert await log.get_by_text("+62811").count() == 1
    assert await log.get_by_text("b@x.example").count() == 1
    point = log.get_by_role("link", name="-6.200000, 106.800000")
    assert "openstreetmap.org" in await point.get_attribute("href")
    assert "noopener" in await point.get_attribute("rel")
    await log.get_by_text("order: 2 things for 10.00 EUR").wait_for()
    await log.get_by_text("As it came").click()
    assert '"quantity": 2' in await log.locator("pre").inner_text()
    await log.locator("audio.shown").wait_for()
    await log.get_by_role("button", name="voice.wav").wait_for()


async def test_an_album_is_drawn_as_one_with_its_pictures(operator: Any, demo: Demo) -> None:
    for number in range(3):
        files = [[f"{number}.png", picture(200, 60 * number, 90)]]
        await demo.customers.write("ben", "From the beach" if number == 0 else "", name="Ben", group="g1", files=files)
    await demo.customers.write("ben", "And a text", name="Ben")
    log = await opened(operator, "Ben")
    await log.get_by_text("And a text").wait_for()
    await log.locator("img.shown").nth(2).wait_for()
    bubbles = log.locator(".bubble")
    looks = [await bubbles.nth(n).get_attribute("class") for n in range(4)]
    assert ["goes-on" in look for look in looks] == [True, True, False, False]
    assert ["went-on" in look for look in looks] == [False, True, True, False]
    times = [await bubbles.nth(n).locator("time").is_visible() for n in range(4)]
    assert times == [False, False, True, True]


async def test_changes_are_seen_with_what_stood_there_before(operator: Any, demo: Demo) -> None:
    edited = await demo.customers.write("cleo", "At nine", name="Cleo")
    taken = await demo.customers.write("cleo", "Never mind", files=[["secret.png", picture(1, 2, 3)]])
    liked = await demo.customers.write("cleo", "Thanks")
    log = await opened(operator, "Cleo")
    await log.get_by_text("Thanks").wait_for()
    await demo.customers.change("cleo", "edit", edited, "At ten")
    await demo.customers.change("cleo", "revoke", taken)
    await demo.customers.change("cleo", "reaction", liked, "❤")
    await demo.customers.change("cleo", "reaction", liked, "👍")
    await log.get_by_text("reactions: 👍").wait_for()
    assert await log.get_by_text("❤").count() == 0
    await log.locator(".said", has_text="At ten").wait_for()
    await log.get_by_text("Before it was edited").click()
    await log.locator("li", has_text="At nine").wait_for()
    await log.get_by_text("The customer took this message back.").wait_for()
    assert await log.get_by_text("Never mind").count() == 0
    assert await log.locator(".file").count() == 0


async def test_a_file_that_was_swapped_and_a_place_that_moves_are_drawn_as_they_are_now(
    operator: Any, demo: Demo
) -> None:
    here = {"type": "location", "latitude": -6.2, "longitude": 106.8, "name": "Live location", "address": ""}
    swapped = await demo.customers.write("gus", "", name="Gus", files=[["first.png", picture(1, 2, 3)]])
    place = await demo.customers.write("gus", "", blocks=[here])
    log = await opened(operator, "Gus")
    await log.get_by_role("link", name="-6.200000, 106.800000").wait_for()
    await demo.customers.change("gus", "edit", swapped, "The right one", files=[["second.png", picture(9, 9, 9)]])
    await log.locator(".said", has_text="The right one").wait_for()
    await log.get_by_role("button", name="second.png").wait_for()
    assert await log.get_by_role("button", name="first.png").is_visible() is False
    await log.locator(".bubble", has_text="second.png").get_by_text("Before it was edited").click()
    await log.get_by_role("button", name="first.png").wait_for()
    for latitude in (-6.3, -6.4):
        await demo.customers.change("gus", "edit", place, blocks=[{**here, "latitude": latitude}])
        await log.get_by_role("link", name=f"{latitude}00000, 106.800000").wait_for()
    assert await log.get_by_role("link", name="-6.300000").count() == 0


@pytest.mark.requirement("CARD-06")
async def test_a_window_that_closes_soon_is_counted_down_left_of_send(page: Any, operator: Any, demo: Demo) -> None:
    """`page` is named for the collector: this statement needs a browser."""
    await demo.customers.write("dina", "Hello", name="Dina", ago=timedelta(hours=20))
    await demo.customers.write("emma", "Hello", name="Emma", ago=timedelta(hours=23, minutes=30))
    await opened(operator, "Dina")
    await operator.get_by_text("Answer until").wait_for()
    await operator.locator("#closing").wait_for(state="hidden")

    await opened(operator, "Emma")
    left = operator.get_by_role("timer", name="Time left to answer")
    await left.wait_for()
    first = await left.inner_text()
    assert re.fullmatch(r"(29|30):\d\d", first)
    assert await operator.locator("#reply").get_by_role("img", name="This window closes soon").is_visible()
    timer, send = await operator.locator("#closing").bounding_box(), await operator.locator("#send").bounding_box()
    assert timer["x"] + timer["width"] <= send["x"]
    assert abs((timer["y"] + timer["height"] / 2) - (send["y"] + send["height"] / 2)) < 6
    await operator.locator("#left").filter(has_not_text=first).wait_for()

    await opened(operator, "Dina")
    await operator.locator("#closing").wait_for(state="hidden")


async def test_the_countdown_ends_in_the_warning(operator: Any, demo: Demo) -> None:
    await demo.customers.write("fay", "Hello", name="Fay", ago=timedelta(hours=24, seconds=-3))
    await opened(operator, "Fay")
    await operator.locator("#reply").get_by_role("img", name=re.compile("cannot be answered now")).wait_for()
    await operator.locator("#closing").wait_for(state="hidden")
