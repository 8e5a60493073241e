"""The operator's page with a whole daemon: what somebody is shown, where, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

import talkwire_notify_desktop
from talkwire import Detail, Notify, Option, Style
from talkwire.api import make_admin
from talkwire.testing.hub import whole_hub
from talkwire.testing.services import TurnedClock
from tests.parts import axe
from tests.parts.chromium import PAGE_LIMIT

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

SETTINGS = """
[recipients.local]
media = ["desktop"]
"""
BUTTONS = (Option("accept", "Accept"), Option("decline", "Decline"))
ON_DESKTOP = """async () => {
  const found = await navigator.serviceWorker.getRegistration("/p/notify_desktop/");
  return (await found.getNotifications()).map((one) => `${one.title} ${one.body}`.trim());
}"""


class Desk:
    """A daemon, and the operator's page of a browser that may show notifications."""

    def __init__(self, hub: Any, page: Any, other: Any) -> None:
        self.hub = hub
        self.page = page
        self.other = other
        self.count = 0

    async def notify(self, **more: Any) -> str:
        self.count += 1
        asked = {"kind": "offer", "title": f"Chat {self.count}", "key": f"k{self.count}", **more}
        await self.hub.daemon.hub.notify(Notify(recipient="local", **asked))
        await self.hub.run_until_idle()
        [(id_,)] = await self.hub.rows("SELECT id FROM notification WHERE key = :key", key=asked["key"])
        return id_

    async def offer(self, **more: Any) -> str:
        return await self.notify(style=Style.ALERT, actions=BUTTONS, **more)

    async def decision(self, id_: str) -> tuple[str, str]:
        sql = "SELECT decision, reason FROM notification_medium WHERE notification_id = :id AND medium = 'desktop'"
        [row] = await self.hub.rows(sql, id=id_)
        return row

    async def look(self, *, is_here: bool) -> None:
        """Let somebody look at the page, or at another window; returns when the daemon knows."""
        wanted = "focused" if is_here else "visible"
        await (self.page if is_here else self.other).bring_to_front()
        await self.until("SELECT state FROM surface WHERE state <> 'gone'", [(wanted,)])

    async def until(self, sql: str, expected: list[tuple[Any, ...]], **params: Any) -> None:
        async with asyncio.timeout(15):
            while await self.hub.rows(sql, **params) != expected:
                await asyncio.sleep(0.01)

    async def on_desktop(self, *expected: str) -> None:
        """Wait until the browser shows these."""
        words = f"async (expected) => JSON.stringify(await ({ON_DESKTOP})()) === expected"
        await self.page.wait_for_function(words, arg=json.dumps(list(expected), separators=(",", ":")))


@pytest_asyncio.fixture(loop_scope="module")
async def desk(chromium: Any, tmp_path: Any, empty_database: Any) -> AsyncIterator[Desk]:
    clock = TurnedClock(datetime.now(UTC).replace(microsecond=0))  # the browser's, so that both count down alike
    plugins = {"notify_desktop": talkwire_notify_desktop}
    async with (
        whole_hub(SETTINGS, tmp_path, plugins=plugins, template=empty_database, clock=clock) as hub,
        TestServer(make_admin(hub.daemon), shutdown_timeout=1) as server,
    ):
        url = str(server.make_url("/"))
        context = await chromium.new_context(locale="en-GB", timezone_id="UTC", bypass_csp=True)
        try:
            await context.grant_permissions(["notifications"], origin=url.rstrip("/"))
            page, other = await context.new_page(), await context.new_page()
            page.set_default_timeout(PAGE_LIMIT)
            await page.goto(url)
            await page.locator("#line.live").wait_for()
            for one in (page, other):
                session = await context.new_cdp_session(one)
                await session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
            desk = Desk(hub, page, other)
            await desk.until("SELECT able FROM desktop_surface", [(1,)])
            yield desk
        finally:
            hub.daemon.tail.close()  # ends the page's stream
            await context.close()


@pytest.mark.requirement("D-04")
@pytest.mark.requirement("D-05")
async def test_it_is_on_the_desktop_only_while_nobody_looks_at_the_page(page: Any, desk: Desk) -> None:
    """`page` is named for the collector: this statement needs a browser."""
    await desk.look(is_here=True)
    first = await desk.offer()
    await desk.page.get_by_role("heading", name="Chat 1").wait_for()
    assert await desk.decision(first) == ("suppressed", "focused")
    await desk.on_desktop()

    await desk.look(is_here=False)
    second = await desk.offer(text="from Dewi", details=(Detail("Language", "Indonesian"),))
    await desk.on_desktop("Chat 2 from Dewi\nLanguage: Indonesian")
    await desk.until("SELECT decision FROM notification_medium WHERE notification_id = :id", [("shown",)], id=second)


@pytest.mark.requirement("D-10")
@pytest.mark.requirement("D-11")
@pytest.mark.requirement("D-15")
async def test_an_alert_lapses_everywhere_and_counts_down_only_where_it_may(page: Any, desk: Desk) -> None:
    await desk.look(is_here=False)
    hidden = await desk.offer(timeout=timedelta(seconds=90), show_timeout=False)
    shown = await desk.offer(timeout=timedelta(seconds=180))
    card = desk.page.locator(".tw-note", has_text="Chat 2")
    await card.get_by_role("timer").wait_for()
    await desk.on_desktop("Chat 1", "Chat 2")
    assert await desk.page.locator(".tw-note", has_text="Chat 1").get_by_role("timer").count() == 0
    await desk.hub.pass_time(seconds=90)
    await desk.page.get_by_role("heading", name="Chat 1").wait_for(state="detached")
    await desk.on_desktop("Chat 2")
    await desk.hub.pass_time(seconds=90)
    await card.wait_for(state="detached")
    await desk.on_desktop()
    ended = "SELECT ended FROM notification WHERE id IN (:a, :b)"
    assert await desk.hub.rows(ended, a=hidden, b=shown) == [("lapsed",), ("lapsed",)]


async def test_an_answer_over_the_api_takes_it_from_page_and_desktop(desk: Desk) -> None:
    await desk.look(is_here=False)
    id_ = await desk.offer()
    await desk.on_desktop("Chat 1")
    await desk.page.get_by_role("button", name="Accept").wait_for()
    await desk.hub.daemon.hub.answer(id_, "accept", "native:laptop")
    await desk.page.get_by_text("Answered on laptop: Accept.").wait_for()
    await desk.on_desktop()


async def test_an_answer_in_the_page_wins_once(desk: Desk) -> None:
    id_ = await desk.offer()
    await desk.page.get_by_role("button", name="Decline").click()
    await desk.page.get_by_role("heading", name="Chat 1").wait_for(state="detached")
    sql = "SELECT answer, answered_by FROM notification WHERE id = :id"
    await desk.until(sql, [("decline", "page")], id=id_)


async def test_what_somebody_wants_is_kept(desk: Desk) -> None:
    await desk.page.get_by_role("button", name="Notifications").click()
    dialog = desk.page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_label("On the desktop").uncheck()
    await dialog.get_by_text("Saved.").wait_for()
    await dialog.get_by_label("Quiet hours").select_option("None")
    await dialog.get_by_text("Chrome on Linux").wait_for()
    id_ = await desk.notify()
    assert await desk.decision(id_) == ("suppressed", "not_wanted")


async def test_nothing_of_it_breaks_a_rule_of_accessibility(desk: Desk) -> None:
    await desk.offer(text="Hello", details=(Detail("Language", "Indonesian"),), timeout=timedelta(seconds=90))
    await desk.notify(text="A toast")
    await desk.page.get_by_role("button", name="Accept").wait_for()
    assert await axe.findings(desk.page, ".tw-notes") == []
    await desk.page.get_by_role("button", name="Notifications").click()
    await desk.page.get_by_label("On the desktop").wait_for()
    assert await axe.findings(desk.page, ".tw-dialog") == []
