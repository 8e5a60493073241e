"""Hubs that tell by mail, on both databases."""

import contextlib
import os

import pytest
import pytest_asyncio

from plugins.email.tests.smtpd import Server
from talkwire.api import make_app
from talkwire.testing.hub import whole_hub
from tests.parts.databases import BOTH

from .office import PLUGINS, SETTINGS, Office

DATABASES = BOTH if os.environ.get("TALKWIRE_TEST_DATABASES") == "both" else BOTH[:1]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "start_hub" in metafunc.fixturenames:
        one_file = metafunc.definition.get_closest_marker("one_file") is not None
        metafunc.parametrize("start_hub", BOTH[:1] if one_file else DATABASES, indirect=True)


@pytest_asyncio.fixture
async def start_hub(request, tmp_path, empty_database):
    """Give what starts whole hubs, on SQLite or on PostgreSQL; they stop with the test."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres_with_tables")
    async with contextlib.AsyncExitStack() as started:

        async def start(settings, **options):
            options = {"template": empty_database, "url": url, **options}
            return await started.enter_async_context(whole_hub(settings, tmp_path, **options))

        yield start


@pytest_asyncio.fixture
async def server():
    """A mail server that does what a test says."""
    async with Server().running() as running:
        yield running


@pytest_asyncio.fixture
async def start_office(start_hub, server, aiohttp_client):
    """Give what starts a hub whose notifications go to that server."""

    async def start(more="", *, sign_in="", plugins=None):
        text = SETTINGS.format(port=server.port, sign_in=sign_in, more=more)
        hub = await start_hub(text, plugins={**PLUGINS, **(plugins or {})})
        await hub.run_until_idle()
        return Office(hub, server, await aiohttp_client(make_app(hub.daemon)))

    return start


@pytest_asyncio.fixture
async def office(start_office):
    """A hub that tells `ops` by mail."""
    return await start_office()
