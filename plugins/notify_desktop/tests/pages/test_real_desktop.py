"""A browser with windows on a real Linux desktop: dunst draws what Chromium shows, and its buttons are pressed there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from plugins.notify_desktop.tests.pages.server import Server
from tests.parts.chromium import PAGE_LIMIT, becomes, launch_options

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.needs("dunst"),
    pytest.mark.asyncio(loop_scope="module"),
]
BUTTONS = [{"id": "accept", "title": "Accept"}, {"id": "decline", "title": "Decline"}]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def windows(one_desktop: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """A Chromium with windows. A click finds the way back only to its first profile, so there is no context of a test's own."""
    from playwright.async_api import async_playwright

    options = launch_options() | {"headless": False, "env": one_desktop.environment}
    async with async_playwright() as playwright:
        folder: Path = tmp_path_factory.mktemp("profile")
        context = await playwright.chromium.launch_persistent_context(folder, viewport=None, **options)
        yield context
        await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(windows: Any, desktop: Any, server: Server) -> AsyncIterator[Any]:
    """Our page behind another tab, where no emulation says that each page has the focus."""
    await windows.grant_permissions(["notifications"], origin=server.base)
    ours, other = await windows.new_page(), await windows.new_page()
    ours.set_default_timeout(PAGE_LIMIT)
    await ours.goto(server.base)
    await ours.locator("body[data-joined]").wait_for()
    for one in (ours, other):  # it holds for the document that is there
        session = await windows.new_cdp_session(one)
        await session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    await ours.bring_to_front()
    await other.bring_to_front()
    await server.heard("focus", state="visible")  # without the focus; playwright lets no tab be hidden
    yield ours
    await ours.close()
    await other.close()


async def out(server: Server, **more: Any) -> dict[str, Any]:
    one = server.notify(**{"style": "alert", "actions": BUTTONS, **more})
    await server.show(one)
    await server.heard("shown", id=one["id"])
    return one


@pytest.mark.requirement("D-08")
async def test_accept_on_the_desktop_brings_the_page_to_the_front_on_the_conversation(
    page: Any, desktop: Any, server: Server
) -> None:
    one = await out(server, title="Chat from Dewi", text="Is <b>this</b> bold?", conversation="c1")
    await asyncio.to_thread(desktop.press, "Accept")
    await page.locator("#opened", has_text="c1").wait_for()
    await becomes(page, "document.hasFocus()", True)
    assert server.answers == [(one["id"], {"action": "accept", "surface": "browser"})]
    [drawn] = desktop.drawn
    assert drawn.title == "Chat from Dewi"
    assert "&lt;b&gt;this&lt;/b&gt;" in drawn.body  # the server reads markup, the browser lets none through


async def test_decline_on_the_desktop_leaves_people_where_they_are(page: Any, desktop: Any, server: Server) -> None:
    one = await out(server, title="Chat from Ben", conversation="c2")
    await asyncio.to_thread(desktop.press, "Decline")
    await server.until(lambda: server.answers)
    assert server.answers == [(one["id"], {"action": "decline", "surface": "browser"})]
    assert not await page.evaluate("document.hasFocus()")
    assert await page.locator("#opened").inner_text() == ""


@pytest.mark.requirement("D-09")
async def test_a_click_on_the_desktop_brings_the_page_to_the_front_where_the_choice_is_made(
    page: Any, desktop: Any, server: Server
) -> None:
    one = await out(server, title="Chat from Cleo", conversation="c3")
    await asyncio.to_thread(desktop.press, "Activate")  # the browser's word for a click on the body
    await page.locator("#opened", has_text="c3").wait_for()
    await becomes(page, "document.hasFocus()", True)
    await server.heard("seen", id=one["id"])
    await page.evaluate("lookAfresh()")
    await page.get_by_role("button", name="Accept").click()
    await server.until(lambda: server.answers)
    assert server.answers == [(one["id"], {"action": "accept", "surface": "page"})]


async def test_what_is_withdrawn_leaves_the_desktop(page: Any, desktop: Any, server: Server) -> None:
    one = await out(server, title="Chat from Dina")
    await until(lambda: desktop.count == 1, desktop)
    await server.say("withdraw", id=one["id"], why="answered", by="email")
    await until(lambda: one["title"] in desktop.closed, desktop)


async def until(holds: Any, desktop: Any) -> None:
    try:
        async with asyncio.timeout(15):
            while not await asyncio.to_thread(holds):
                await asyncio.sleep(0.02)
    except TimeoutError:
        seen = f"drawn {[one.title for one in desktop.drawn]}, {desktop.count} on the screen, closed {desktop.closed}"
        raise AssertionError(f"it never came to that: {seen}") from None
