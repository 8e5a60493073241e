"""Hubs that the journeys run on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio
from talkwire.testing.provider import FakeProvider

from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin
from tests.mutants.acme import ACME


@pytest_asyncio.fixture
async def start_acme(
    start_hub: Callable[..., Awaitable[Any]], fake_provider: Callable[..., Awaitable[FakeProvider]]
) -> AsyncIterator[Callable[..., Awaitable[AcmeHub]]]:
    """Give what starts a hub with an Acme account; keywords go to `start_hub`."""

    async def start(
        more: str = "", *, settings: str = "", channel: Any = None, plugins: Any = None, **options: Any
    ) -> AcmeHub:
        provider = options.pop("provider", None) or await fake_provider(ACME.answers)
        plugin = AcmePlugin(channel) if channel else AcmePlugin()
        text = SETTINGS.format(url=provider.url, more=more) + settings
        hub = await start_hub(text, plugins={"acme": plugin, **(plugins or {})}, **options)
        await hub.run_until_idle()
        return AcmeHub(hub, provider)

    yield start


@pytest_asyncio.fixture
async def acme(start_acme: Callable[..., Awaitable[AcmeHub]]) -> AcmeHub:
    """Give a hub with one Acme account, `shop`."""
    return await start_acme()


@pytest_asyncio.fixture
async def fake_acme_settings(fake_provider: Callable[..., Awaitable[FakeProvider]]) -> tuple[str, dict[str, Any]]:
    """Give settings and plugins of an Acme account, for hubs that a test starts and stops by itself."""
    provider = await fake_provider(ACME.answers)
    return SETTINGS.format(url=provider.url, more=""), {"acme": AcmePlugin()}
