"""A live chat is backed up while a visitor is there, and brought back: the session ends, what was kept is kept."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
import pytest_asyncio

import talkwire_livechat
from talkwire import control
from talkwire.api import make_app
from talkwire.lifecycle import backups, recovery
from talkwire.lifecycle.backups import Instance
from talkwire.lifecycle.copying import Place
from talkwire.store.revisions import CORE, Chain
from talkwire.testing.hub import whole_hub

from .visits import SETTINGS, Site

CHAINS = [CORE, Chain("livechat", Path(talkwire_livechat.__file__).parent / "versions")]


@pytest_asyncio.fixture
async def start(tmp_path, empty_database, aiohttp_client):
    """Lend a starter of a website's chat in a folder; each can be ended by itself."""
    async with contextlib.AsyncExitStack() as started:

        async def start_one(folder, url="", **options):
            stack = await started.enter_async_context(contextlib.AsyncExitStack())
            options = {"plugins": {"livechat": talkwire_livechat}, "template": empty_database, "url": url, **options}
            hub = await stack.enter_async_context(whole_hub(SETTINGS, folder, **options))
            await hub.run_until_idle()
            return Site(hub, await aiohttp_client(make_app(hub.daemon))), stack

        yield start_one


def instance(folder: Path, url: str = "") -> Instance:
    folder.mkdir(exist_ok=True)
    (folder / "talkwire.toml").write_text(SETTINGS)
    (folder / "instance.key").write_text("a2l0IGtleSBvZiB0aGUgdGVzdCBodWIgMzIgYnl0ZXM=\n")
    store = Place(url or f"sqlite:///{folder / 'talkwire.db'}", folder / "files")
    return Instance(folder / "talkwire.toml", folder / "instance.key", store)


@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
async def test_a_visitor_of_before_the_backup_comes_back_after_the_restore(start, tmp_path, where, request):
    before = instance(tmp_path / "before")
    site, stack = await start(before.settings.parent)
    ann = await site.visit("ann")
    await ann.says("hello", "1")
    talk = await site.talk()
    await ann.leaves()
    await site.hub.reply(talk, "waits for you")
    await site.hub.run_until_idle()
    ann = await site.visit("bob")  # a second one is there at that moment
    await site.hub.run_until_idle()  # the plugin has read of them: only the reply is open
    await asyncio.to_thread(backups.back_up, before, tmp_path / "backup", CHAINS)
    tokens, clock = site.tokens, site.hub.clock
    await stack.aclose()

    after = instance(tmp_path / "after", request.getfixturevalue("postgres_url") if where == "postgres" else "")
    restored = await asyncio.to_thread(recovery.restore, tmp_path / "backup", after, CHAINS, {})
    assert [(one.group, one.tasks) for one in restored.held] == [("send:site", 1)]
    site, stack = await start(after.settings.parent, url="" if after.store.is_file else after.store.url, clock=clock)
    site.tokens = tokens
    assert await site.hub.rows("SELECT id FROM livechat_connection") == []
    sessions = await site.hub.rows("SELECT session FROM conversation ORDER BY id")
    assert sessions == [("disconnected",), ("disconnected",)]

    ann = await site.visit("ann")
    assert [frame["text"] for frame in ann.before] == ["hello"]
    await ann.pong()
    await site.hub.run_until_idle()
    assert await site.hub.states(talk) == ["queued"]
    await control.do(site.hub.daemon, "release-restored", {"account": "site"})
    assert (await ann.ours())["text"] == "waits for you"
