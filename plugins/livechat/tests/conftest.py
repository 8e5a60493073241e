import pytest_asyncio

import talkwire_livechat
from talkwire.api import make_app

from .visits import SETTINGS, Site


@pytest_asyncio.fixture
async def start_site(start_hub, aiohttp_client):
    """Lend a starter of hubs with a website's chat."""

    async def start(more="", **options):
        hub = await start_hub(SETTINGS + more, plugins={"livechat": talkwire_livechat}, **options)
        await hub.run_until_idle()
        return Site(hub, await aiohttp_client(make_app(hub.daemon)))

    return start


@pytest_asyncio.fixture
async def site(start_site):
    """A website's chat with nothing special."""
    return await start_site()
