"""A real browser: Debian's Chromium, driven by playwright's async interface (the sync one breaks every async test after it)."""

import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

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


@pytest.fixture
async def browser() -> "AsyncIterator[Browser]":
    """A Chromium of one test's own."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(**launch_options())
        yield chromium
        await chromium.close()


@pytest.fixture
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
