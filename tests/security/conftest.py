"""Hubs that are attacked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from talkwire.testing.hub import WholeHub, whole_hub
from talkwire.testing.provider import FakeProvider
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin, FullAcme
from tests.mutants.acme import ACME


@pytest_asyncio.fixture
async def start_hub(tmp_path: Path, empty_database: Path) -> AsyncIterator[Callable[..., Awaitable[WholeHub]]]:
    """Give what starts whole hubs; they stop with the test."""
    async with contextlib.AsyncExitStack() as started:

        async def start(settings: str, **options: Any) -> WholeHub:
            return await started.enter_async_context(
                whole_hub(settings, options.pop("folder", tmp_path), template=empty_database, **options)
            )

        yield start


@pytest_asyncio.fixture
async def start_acme(
    start_hub: Callable[..., Awaitable[WholeHub]], fake_provider: Callable[..., Awaitable[FakeProvider]]
) -> Callable[..., Awaitable[AcmeHub]]:
    """Give what starts a hub with one account, `shop`, of a channel that can say everything."""

    async def start(settings: str = "", *, more: str = "") -> AcmeHub:
        provider = await fake_provider(ACME.answers)
        text = settings + SETTINGS.format(url=provider.url, more=more)
        hub = await start_hub(text, plugins={"acme": AcmePlugin(FullAcme)})
        await hub.run_until_idle()
        return AcmeHub(hub, provider)

    return start
