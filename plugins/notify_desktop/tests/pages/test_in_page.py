"""Notifications inside the page, in a real browser: they need no permission and no medium."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plugins.notify_desktop.tests.pages.server import Server

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

BUTTONS = [{"id": "accept", "title": "Accept"}, {"id": "decline", "title": "Decline"}]


def fact(one: dict[str, Any], what: str, **small: Any) -> dict[str, Any]:
    small = {"recipient": "ops", "kind": one["kind"]} if what == "created" else small
    return {"seq": 1, "type": f"notification.{what}", "ids": {"notification": one["id"]}, "small": small}


async def tell(page: Any, one: dict[str, Any], what: str, **small: Any) -> None:
    await page.evaluate("fact => tell(fact)", fact(one, what, **small))


async def stop_time(page: Any) -> None:
    """Let the page's time stand still at 12:00:31, until it is turned by hand; timers that run already go on."""
    await page.clock.install(time="2026-11-28T12:00:30Z")
    await page.clock.pause_at("2026-11-28T12:00:31Z")


async def test_what_is_open_is_shown_when_the_page_opens_and_what_comes_when_it_comes(
    visit: Callable[..., Any], server: Server
) -> None:
    first = server.notify("Ann wrote", text="Where is my parcel?", conversation="c1")
    page = await visit()
    await page.get_by_role("status").get_by_text("Where is my parcel?").wait_for()
    second = server.notify(
        "Chat from Ben", style="alert", actions=BUTTONS, details=[{"label": "Customer", "value": "Ben"}]
    )
    await tell(page, second, "created")
    await page.get_by_role("alert").get_by_role("heading", name="Chat from Ben").wait_for()
    assert await page.get_by_role("definition").inner_text() == "Ben"
    await page.get_by_role("button", name="Ann wrote").click()
    await page.locator("#opened", has_text="c1").wait_for()
    await server.until(lambda: server.seen == [first["id"]])
    await page.get_by_text("Where is my parcel?").wait_for(state="detached")


@pytest.mark.requirement("D-14")
async def test_a_toast_vanishes_by_itself_but_not_under_the_pointer_or_the_focus(
    page: Any, visit: Callable[..., Any], server: Server
) -> None:
    """`page` is named for the collector: this statement needs a browser."""
    told = server.notify("Assigned to you", conversation="c1")
    page = await visit()
    await stop_time(page)
    await page.evaluate("lookAfresh()")
    toast = page.locator(".tw-note", has_text="Assigned to you")
    await toast.wait_for()
    await toast.hover()
    await page.clock.run_for(60_000)
    assert await toast.count() == 1
    await toast.get_by_role("button", name="Assigned to you").focus()
    await page.mouse.move(5, 700)
    await page.clock.run_for(60_000)
    assert await toast.count() == 1

    await page.get_by_label("Text").focus()
    await page.clock.run_for(7000)
    assert await toast.count() == 1
    await page.clock.run_for(9000)
    await toast.wait_for(state="detached")
    await server.until(lambda: server.seen == [told["id"]])


async def test_esc_dismisses_the_toast_that_came_last(visit: Callable[..., Any], server: Server) -> None:
    first, second = server.notify("First"), server.notify("Second")
    page = await visit()
    await page.get_by_role("heading", name="Second").wait_for()
    await page.keyboard.press("Escape")
    await page.get_by_role("heading", name="Second").wait_for(state="detached")
    assert await page.get_by_role("heading", name="First").count() == 1
    await page.keyboard.press("Escape")
    await page.get_by_role("heading", name="First").wait_for(state="detached")
    await server.until(lambda: server.seen == [second["id"], first["id"]])


async def test_a_flood_of_toasts_covers_no_page(visit: Callable[..., Any], server: Server) -> None:
    for n in range(9):
        server.notify(f"Number {n}")
    page = await visit()
    await page.get_by_role("heading", name="Number 8").wait_for()
    assert await page.locator(".tw-note").count() == 3
    await page.get_by_role("button", name="6 more — dismiss all").click()
    await server.until(lambda: len(server.seen) == 9)
    await page.locator(".tw-note").first.wait_for(state="detached")


async def test_an_alert_is_answered_by_keyboard_and_shows_what_it_is_about(
    visit: Callable[..., Any], server: Server
) -> None:
    alert = server.notify("Chat from Ben", style="alert", actions=BUTTONS, conversation="c7")
    page = await visit()
    accept = page.get_by_role("button", name="Accept")
    await accept.wait_for()
    assert await page.evaluate("document.activeElement === document.body")  # what comes takes no focus
    await accept.focus()
    await page.keyboard.press("Enter")
    await page.locator("#opened", has_text="c7").wait_for()
    assert server.answers == [(alert["id"], {"action": "accept", "surface": "page"})]
    await page.get_by_role("heading", name="Chat from Ben").wait_for(state="detached")
    await page.locator("#said", has_text="Chat from Ben: Accept.").wait_for()


async def test_who_is_second_is_told_by_whom(visit: Callable[..., Any], server: Server) -> None:
    alert = server.notify("Chat from Ben", style="alert", actions=BUTTONS)
    words = "already answered on native:laptop"
    server.refuses = lambda _id: (409, {"code": "already_answered", "detail": words, "answered_by": "native:laptop"})
    page = await visit()
    page.forgives.append("409")
    await page.get_by_role("button", name="Decline").click()
    card = page.locator(".tw-note", has_text=words)
    await card.wait_for()
    assert await card.get_by_role("button", name="Accept").count() == 0
    assert server.answers == [(alert["id"], {"action": "decline", "surface": "page"})]


async def test_an_alert_that_is_answered_elsewhere_says_where_and_goes(
    visit: Callable[..., Any], server: Server
) -> None:
    alert = server.notify("Chat from Ben", style="alert", actions=BUTTONS)
    page = await visit()
    await page.get_by_role("button", name="Accept").wait_for()
    await stop_time(page)
    server.open.clear()
    await tell(page, alert, "answered", answer="accept", surface="native:laptop")
    card = page.locator(".tw-note", has_text="Answered on laptop: Accept.")
    await card.wait_for()
    await page.clock.run_for(7000)
    await card.wait_for(state="detached")


@pytest.mark.requirement("D-15")
async def test_an_alert_stays_and_disappears_when_its_time_is_up(
    page: Any, visit: Callable[..., Any], server: Server
) -> None:
    alert = server.notify("Chat from Ben", style="alert", actions=BUTTONS)
    page = await visit()
    await page.get_by_role("button", name="Accept").wait_for()
    await stop_time(page)
    await page.clock.run_for(600_000)
    assert await page.get_by_role("button", name="Accept").is_enabled()
    server.open.clear()
    await tell(page, alert, "lapsed")
    await page.clock.run_for(1000)
    await page.get_by_role("heading", name="Chat from Ben").wait_for(state="detached")


@pytest.mark.requirement("D-11")
async def test_a_countdown_shows_only_where_the_moment_is_known(
    page: Any, visit: Callable[..., Any], server: Server
) -> None:
    page = await visit()
    await stop_time(page)
    server.notify("Counts", style="alert", actions=BUTTONS, lapses_at="2026-11-28T12:01:31Z")
    server.notify("Does not", style="alert", actions=BUTTONS)
    await page.evaluate("lookAfresh()")
    await page.clock.run_for(100)
    counts = page.locator(".tw-note", has_text="Counts")
    await counts.get_by_role("timer").get_by_text("1:00").wait_for()
    assert await page.locator(".tw-note", has_text="Does not").get_by_role("timer").count() == 0
    await page.clock.run_for(50_000)
    await counts.get_by_role("timer").get_by_text("0:10").wait_for()
    assert "soon" in await counts.get_attribute("class")
    await page.clock.run_for(12_000)
    await counts.get_by_role("timer").get_by_text("0:00").wait_for()
    assert await counts.get_by_role("button", name="Accept").is_disabled()


async def test_an_alert_can_be_put_aside_and_fetched_again(visit: Callable[..., Any], server: Server) -> None:
    server.notify("Chat from Ben", style="alert", actions=BUTTONS)
    page = await visit()
    await page.get_by_role("button", name="Put aside").click()
    await page.get_by_role("button", name="1 put aside — show").click()
    await page.get_by_role("button", name="Accept").wait_for()
    assert server.seen == []
    await page.get_by_role("button", name="Notifications: 1 to answer").wait_for()


async def test_a_button_that_only_opens_answers_nothing(visit: Callable[..., Any], server: Server) -> None:
    buttons = [{"id": "handled", "title": "Mark handled"}, {"id": "open", "title": "Open"}]
    server.notify("Ann wrote", style="alert", actions=buttons, conversation="c3", opens=["open"])
    page = await visit()
    await page.get_by_role("button", name="Open", exact=True).click()
    await page.locator("#opened", has_text="c3").wait_for()
    assert server.answers == []
    assert await page.get_by_role("button", name="Mark handled").count() == 1


async def test_what_is_told_of_an_opened_conversation_is_read_what_is_asked_stays(
    visit: Callable[..., Any], server: Server
) -> None:
    told = server.notify("Ann wrote", conversation="c3")
    server.notify("Chat from Ann", style="alert", actions=BUTTONS, conversation="c3")
    page = await visit()
    await page.get_by_role("button", name="Chat from Ann").click()
    await page.get_by_role("heading", name="Ann wrote").wait_for(state="detached")
    later = server.notify("Ann wrote again", conversation="c3")
    await tell(page, later, "created")
    await server.until(lambda: server.seen == [told["id"], later["id"]])
    await page.locator(".tw-note").nth(1).wait_for(state="detached")
    assert await page.locator(".tw-note").count() == 1
    assert await page.get_by_role("button", name="Accept").count() == 1


async def test_markup_in_a_notification_is_text(visit: Callable[..., Any], server: Server) -> None:
    evil = "<img src=x onerror=alert(1)><b>hi</b>"
    server.notify(evil, text=evil, details=[{"label": evil, "value": evil}])
    page = await visit()
    await page.get_by_role("heading", name=evil).wait_for()
    assert await page.locator(".tw-notes img, .tw-notes b").count() == 0


@pytest.mark.parametrize("width", [360, 768])
async def test_nothing_is_cut_off(visit: Callable[..., Any], server: Server, width: int) -> None:
    word = "x" * 300
    server.notify(word, text=word, style="alert", actions=BUTTONS, details=[{"label": word, "value": word}])
    page = await visit(viewport={"width": width, "height": 740})
    await page.get_by_role("button", name="Accept").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    box = await page.locator(".tw-note").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
