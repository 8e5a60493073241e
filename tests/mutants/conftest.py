"""What the kit leaves to whoever runs it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest_asyncio


@pytest_asyncio.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fail where the collector finds what nobody took: asyncio logs it in the midst of another test, and may break that."""
    left: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: left.append(f"{context}"))
    yield
    gc.collect()
    assert left == []
