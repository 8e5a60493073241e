"""A real browser: Debian's Chromium, driven by playwright's async interface (the sync one breaks every async test after it).

A module shares one, so its tests and their fixtures share a loop: `pytestmark = pytest.mark.asyncio(loop_scope="module")`,
and `@pytest_asyncio.fixture(loop_scope="module")` for each fixture that opens a page or what a page looks at.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.parts.wants import chromium_binary

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

PAGE_LIMIT = 10_000  # milliseconds for one step on a page


def launch_options() -> dict:
    """Give what `playwright.chromium.launch` needs here."""
    words = [
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # no page leaves the machine
        "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB
        "--disable-gpu",
    ]
    if os.geteuid() == 0:
        words.append("--no-sandbox")  # Chromium refuses its sandbox to root
    return {"executable_path": chromium_binary(), "headless": True, "args": words}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> "AsyncIterator[Browser]":
    """A Chromium of one module's own: it and its driver take a second to start, which most tests are shorter than."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(**launch_options())
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: "Browser") -> "AsyncIterator[Browser]":
    """A Chromium that knows nobody; what a test opens in it is closed after it."""
    yield chromium
    for context in list(chromium.contexts):
        await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: "Browser") -> "AsyncIterator[Page]":
    """An empty page; an error in its scripts fails the test."""
    context = await browser.new_context(locale="en-GB", timezone_id="UTC")
    page = await context.new_page()
    page.set_default_timeout(PAGE_LIMIT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    await context.close()
    assert errors == [], "scripts on the page raised"


async def becomes(page: "Page", expression: str, wanted: object) -> None:
    """Wait until a page gives this; `wait_for_function` evaluates inside the page, which a strict policy forbids."""
    async with asyncio.timeout(20):
        while await page.evaluate(expression) != wanted:
            await asyncio.sleep(0.02)
