import pytest_asyncio

import talkwire_notify_desktop
from talkwire.api import make_app

from .surfaces import SETTINGS, Office


@pytest_asyncio.fixture
async def start_office(start_hub, aiohttp_client):
    """Lend a starter of hubs whose recipients sit at desktops."""

    async def start(more="", **options):
        plugins = {"notify_desktop": talkwire_notify_desktop}
        hub = await start_hub(SETTINGS + more, plugins=plugins, **options)
        await hub.run_until_idle()
        return Office(hub, await aiohttp_client(make_app(hub.daemon)))

    return start


@pytest_asyncio.fixture
async def office(start_office):
    """Desktops with nothing special."""
    return await start_office()
