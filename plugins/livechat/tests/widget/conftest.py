"""A context and a server for each test, and a console that must stay silent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from plugins.livechat.tests.widget.server import Server, serve
from tests.parts.chromium import PAGE_LIMIT


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with serve() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def visit(chromium: Any, server: Server) -> AsyncIterator[Callable[..., Any]]:
    """Open the shop in a browser of one visitor; `forgives` on a page holds words of complaints that a test expects."""
    async with contextlib.AsyncExitStack() as stack:
        said: list[str] = []
        forgives: list[str] = []

        async def visit(context: Any = None, **options: Any) -> Any:
            if context is None:
                given = {"viewport": {"width": 1100, "height": 760}, "locale": "en-GB", "timezone_id": "UTC"} | options
                context = await chromium.new_context(**given)
                stack.push_async_callback(context.close)
            page = await context.new_page()
            page.forgives = forgives
            page.set_default_timeout(PAGE_LIMIT)
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("console", lambda one: said.append(one.text) if one.type in {"error", "warning"} else None)
            await page.goto(server.shop)
            await page.locator("talkwire-chat .launcher").wait_for(state="attached")
            return page

        yield visit
    unforgiven = [line for line in said if not any(word in line for word in forgives)]
    assert unforgiven == [], "the browser complained"


@pytest_asyncio.fixture(loop_scope="module")
async def shop(visit: Callable[..., Any]) -> Any:
    """One page of one visitor on a desk."""
    return await visit()
