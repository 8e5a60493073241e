"""Hubs with a business number, on both databases."""

from __future__ import annotations

import os

import pytest
import pytest_asyncio

from tests.parts.databases import BOTH

DATABASES = BOTH if os.environ.get("TALKWIRE_TEST_DATABASES") == "both" else BOTH[:1]


@pytest.fixture(params=DATABASES)
def hub_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a fresh database; empty: SQLite in the test's own folder."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres_with_tables")


@pytest_asyncio.fixture
async def start_on_both(start_hub, hub_url):
    """Lend a starter of hubs, whose test runs on each database."""

    async def start(settings: str, **options):
        hub = await start_hub(settings, url=hub_url, **options)
        await hub.run_until_idle()
        return hub

    return start
