"""A server for each test, and pages whose console must stay silent."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from plugins.notify_desktop.tests.pages.server import Server, serve
from tests.parts.chromium import PAGE_LIMIT


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with serve() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def visit(chromium: Any, server: Server) -> AsyncIterator[Callable[..., Any]]:
    """Open our page; `context=` the same browser again, `allowed=True` where it may show notifications."""
    async with contextlib.AsyncExitStack() as stack:
        said: list[str] = []
        forgives: list[str] = []

        async def visit(context: Any = None, *, allowed: bool = False, **options: Any) -> Any:
            if context is None:
                given = {"viewport": {"width": 1100, "height": 760}, "locale": "en-GB", "timezone_id": "UTC"} | options
                context = await chromium.new_context(**given)
                stack.push_async_callback(context.close)
                await context.grant_permissions(["notifications"] if allowed else [], origin=server.base)
            page = await context.new_page()
            page.forgives = forgives
            page.set_default_timeout(PAGE_LIMIT)
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("console", lambda one: said.append(one.text) if one.type in {"error", "warning"} else None)
            await page.goto(server.base)
            await page.locator("body[data-joined]").wait_for()
            return page

        yield visit
    unforgiven = [line for line in said if not any(word in line for word in forgives)]
    assert unforgiven == [], "the browser complained"
