"""Hubs that the journeys run on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from talkwire.api import make_app
from talkwire.testing.hub import WholeHub, whole_hub
from talkwire.testing.provider import FakeProvider
from tests.journeys.acme_hub import SETTINGS, AcmeHub, AcmePlugin, FullAcme
from tests.journeys.door_hub import SETTINGS as DOOR
from tests.journeys.door_hub import Doors, House
from tests.journeys.post_hub import SETTINGS as POST
from tests.journeys.post_hub import Letters, Post, Posts
from tests.mutants.acme import ACME
from tests.parts.databases import BOTH

# `make test` runs every journey on both; who works on one of them has SQLite's speed.
DATABASES = BOTH if os.environ.get("TALKWIRE_TEST_DATABASES") == "both" else BOTH[:1]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "start_hub" in metafunc.fixturenames:
        one_file = metafunc.definition.get_closest_marker("one_file") is not None
        metafunc.parametrize("start_hub", BOTH[:1] if one_file else DATABASES, indirect=True)


@pytest_asyncio.fixture
async def start_hub(
    request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path
) -> AsyncIterator[Callable[..., Awaitable[WholeHub]]]:
    """Give what starts whole hubs, on SQLite or on PostgreSQL; they stop with the test."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_with_tables")
    async with contextlib.AsyncExitStack() as started:

        async def start(settings: str, **options: Any) -> WholeHub:
            options = {"template": empty_database, "url": url, **options}
            folder = options.pop("folder", tmp_path)
            return await started.enter_async_context(whole_hub(settings, folder, **options))

        yield start


@pytest_asyncio.fixture
async def start_acme(
    start_hub: Callable[..., Awaitable[Any]], fake_provider: Callable[..., Awaitable[FakeProvider]]
) -> AsyncIterator[Callable[..., Awaitable[AcmeHub]]]:
    """Give what starts a hub with an Acme account; keywords go to `start_hub`."""

    async def start(
        more: str = "", *, settings: str = "", channel: Any = None, plugins: Any = None, **options: Any
    ) -> AcmeHub:
        provider = options.pop("provider", None) or await fake_provider(ACME.answers)
        name = options.pop("name", "shop")
        plugin = AcmePlugin(channel) if channel else AcmePlugin()
        text = SETTINGS.replace("accounts.shop", f"accounts.{name}").format(url=provider.url, more=more) + settings
        hub = await start_hub(text, plugins={"acme": plugin, **(plugins or {})}, **options)
        await hub.run_until_idle()
        return AcmeHub(hub, provider)

    yield start


@pytest_asyncio.fixture
async def acme(start_acme: Callable[..., Awaitable[AcmeHub]]) -> AcmeHub:
    """Give a hub with one Acme account, `shop`."""
    return await start_acme()


@pytest_asyncio.fixture
async def full_acme(start_acme: Callable[..., Awaitable[AcmeHub]]) -> AcmeHub:
    """Give a hub whose Acme can say all that a channel can say."""
    return await start_acme(channel=FullAcme)


@pytest_asyncio.fixture
async def fake_acme_settings(fake_provider: Callable[..., Awaitable[FakeProvider]]) -> tuple[str, dict[str, Any]]:
    """Give settings and plugins of an Acme account, for hubs that a test starts and stops by itself."""
    provider = await fake_provider(ACME.answers)
    return SETTINGS.format(url=provider.url, more=""), {"acme": AcmePlugin()}


@pytest_asyncio.fixture
async def house(start_hub: Callable[..., Awaitable[WholeHub]], aiohttp_client: Any) -> House:
    """Give a hub with one account of visitors, `front`."""
    hub = await start_hub(DOOR, plugins={"door": Doors()})
    await hub.run_until_idle()
    return House(hub, await aiohttp_client(make_app(hub.daemon)))


@pytest_asyncio.fixture
async def letters(start_hub: Callable[..., Awaitable[WholeHub]]) -> AsyncIterator[Letters]:
    """Give a hub with one account of letters, `post`."""
    hub = await start_hub(POST, plugins={"post": Posts()})
    await hub.run_until_idle()
    yield Letters(hub)
    Post.letters.clear()
