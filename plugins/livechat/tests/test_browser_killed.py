"""A daemon that is killed in the middle of a talk: the visitor's page and the store keep every message, once."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio
from aiohttp import web

from talkwire.instance_keys import new_instance_key

from .processes import Process

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def talk(tmp_path):
    """A daemon as a process, and a website of another origin that carries its widget."""
    app = web.Application()
    runner = web.AppRunner(app, access_log=None)
    process = None

    async def page(_):
        script = f'<script src="{process.url}/c/site/widget.js" async></script>'
        return web.Response(text=f"<!doctype html><html lang=en><title>Shop</title>{script}", content_type="text/html")

    app.router.add_get("/", page)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site = f"http://127.0.0.1:{runner.addresses[0][1]}"
    (tmp_path / "instance.key").write_text(new_instance_key() + "\n")
    (tmp_path / "instance.key").chmod(0o600)
    process = Process(tmp_path, origin=site)
    await process.make()
    await process.start()
    yield process, site
    await process.end()
    await runner.cleanup()


async def test_both_sides_keep_every_message_over_a_kill(talk, browser):
    process, site = talk
    context = await browser.new_context(locale="en-GB")
    page = await context.new_page()
    page.set_default_timeout(15_000)
    await page.goto(f"{site}/")
    await page.locator("talkwire-chat .launcher").click()
    box = page.get_by_role("textbox", name="Message")
    log = page.get_by_role("log")
    await box.fill("before the kill")
    await box.press("Enter")
    await page.get_by_role("img", name="Sent", exact=True).wait_for()

    await process.kill()
    for text in ("while it is dead", "and one more"):
        await box.fill(text)
        await box.press("Enter")
    await page.get_by_role("img", name="Waiting to be sent").nth(1).wait_for()
    await process.start()
    await page.get_by_role("img", name="Sent", exact=True).nth(2).wait_for()
    async with asyncio.timeout(10):
        while len(process.rows("SELECT n FROM message")) < 3:
            await asyncio.sleep(0.05)  # another process works
    said = ["before the kill", "while it is dead", "and one more"]
    assert process.rows("SELECT n, text FROM message ORDER BY n") == list(enumerate(said, 1))
    shown = await log.inner_text()
    assert [shown.count(text) for text in said] == [1, 1, 1]

    await page.reload()
    await log.get_by_text("and one more").wait_for()
    shown = await log.inner_text()
    assert [shown.count(text) for text in said] == [1, 1, 1]
    assert process.rows("SELECT count(*) FROM message") == [(3,)]
