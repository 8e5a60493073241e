"""Pictures of notifications in the operator's page, of what somebody can choose there, and of a browser's own notification.

make screenshots ARGS=notify-page draws the first, ARGS=notify-browser the last; tools/screenshots.py calls this.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from talkwire import Detail, Notify, Option, Style
from talkwire.api.principals import create_keys
from talkwire.cli import demo
from tests.parts.chromium import launch_options
from tests.parts.dunst import Desktop

SIZES = {"wide": (1280, 800), "narrow": (360, 740)}
SETTINGS = """
[recipients.local]
email = "rina@shop.example"
media = ["desktop", "email"]
[plugins.notify_email]
from = "alerts@shop.example"
server = { host = "127.0.0.1", security = "none" }
"""
BUTTONS = (Option("accept", "Accept"), Option("decline", "Decline"))
OFFER = Notify(
    recipient="local",
    kind="offer",
    title="Chat from Dewi Lestari",
    text="I would like to change the address of my order.",
    style=Style.ALERT,
    actions=BUTTONS,
    details=(Detail("Customer", "Dewi Lestari"), Detail("Order", "4711"), Detail("Language", "Bahasa Indonesia")),
    timeout=timedelta(seconds=90),
)
TALK = ("Good morning, is the blue lamp back in stock?", "I would take two.")


async def draw(playwright: Any, folder: Path, word: str) -> None:
    """Take the pictures whose names hold the word."""
    names = [f"notify-{what}-{size}" for what in ("page", "preferences") for size in SIZES]
    if any(word in name for name in names):
        browser = await playwright.chromium.launch(**launch_options())
        for scheme in ("light", "dark"):
            await _pages(browser, folder, word, scheme)
        await browser.close()
    if word in "notify-browser":
        if shutil.which("dunst") is None:
            print("notify-browser is left out: dunst is not installed")
        else:
            await _around(playwright, folder)


@asynccontextmanager
async def _staged() -> AsyncIterator[tuple[demo.Stage, str]]:
    """Run a demo with one talk; gives also the talk's id."""
    with tempfile.TemporaryDirectory(prefix="talkwire-told-") as place:
        async with demo.stage(Path(place), await demo.find(among=["smsgate"]), extra=SETTINGS) as stage:
            [player] = stage.players
            for text in TALK:
                await player.simulator.play(player.base_url, text)
            [talk] = (await stage.daemon.hub.conversations()).items  # the simulator was answered after it was stored
            yield stage, talk.id


async def _pages(browser: Any, folder: Path, word: str, scheme: str) -> None:
    async with _staged() as (stage, _talk):
        context = await browser.new_context(color_scheme=scheme, locale="en-GB", timezone_id="UTC")
        await context.grant_permissions(["notifications"], origin=stage.operator)
        page = await context.new_page()

        async def take(name: str) -> None:
            if word in name:
                await page.screenshot(path=folder / f"{name}-{scheme}.png")
                print(f"docs/screens/{name}-{scheme}.png")

        await page.set_viewport_size(dict(zip(("width", "height"), SIZES["wide"], strict=True)))
        await page.goto(f"{stage.operator}/")
        await page.locator("#line.live").wait_for()
        await page.locator(".tw-bell").wait_for()
        hub = stage.daemon.hub
        await hub.prefer("local", mute="email")  # no server takes our mail here
        await hub.notify(OFFER)
        toast = {"kind": "assigned", "style": Style.TOAST, "text": "Budi Santoso: Do you open on Sunday?"}
        await hub.notify(Notify(recipient="local", title="Rina handed you a talk", **toast))
        await page.get_by_role("button", name="Accept").wait_for()
        await page.get_by_text("Rina handed you a talk").hover()  # its time stops
        for size, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            await page.get_by_text("Rina handed you a talk").hover()
            await asyncio.sleep(0.4)  # what moves has come to rest
            await take(f"notify-page-{size}")
        await page.get_by_role("button", name="Decline").click()
        await _laptop(stage)
        await page.locator(".tw-bell").click()
        await page.get_by_label("Quiet hours").select_option("From … until …")
        await page.get_by_label("Time zone").wait_for()
        await page.get_by_text("here now").first.wait_for()
        await page.get_by_text("Rina's laptop").wait_for()
        for size, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            await asyncio.sleep(0.2)
            await take(f"notify-preferences-{size}")
        await context.close()


async def _laptop(stage: demo.Stage) -> None:
    """Have been here with a native client of the same recipient."""
    key = await stage.daemon.store.write(create_keys, ("local", "bot"))
    hello = {"type": "hello", "protocol": 1, "surface": "laptop", "kind": "native", "device": "Rina's laptop"}
    url = f"{stage.api}/p/notify_desktop/socket"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json(hello | {"key": key, "able": True, "why_not": ""})
        await socket.receive_json()


async def _around(playwright: Any, folder: Path) -> None:
    """Take a picture of the screen: Chromium with another tab in front, and its notification as dunst draws it."""
    desktop = Desktop()
    await asyncio.to_thread(desktop.start)
    try:
        with tempfile.TemporaryDirectory(prefix="talkwire-profile-") as profile:
            async with _staged() as (stage, talk):
                options = launch_options() | {"headless": False, "env": desktop.environment}
                options["args"] = [*options["args"], "--window-size=1024,600", "--window-position=0,0"]
                context = await playwright.chromium.launch_persistent_context(profile, viewport=None, **options)
                await context.grant_permissions(["notifications"], origin=stage.operator)
                page, other = context.pages[0], await context.new_page()
                await page.goto(f"{stage.operator}/")
                await page.locator(".tw-bell[title=Notifications]").wait_for()
                await other.goto(f"{stage.players[0].base_url}/")
                for one in (page, other):
                    session = await context.new_cdp_session(one)
                    await session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
                await page.bring_to_front()
                await other.bring_to_front()
                await _until(lambda: _nobody_looks(stage))
                await stage.daemon.hub.prefer("local", mute="email")
                await stage.daemon.hub.notify(replace(OFFER, conversation=talk))
                await _until(lambda: asyncio.to_thread(lambda: desktop.drawn))
                await asyncio.sleep(1)  # dunst has drawn it, the screen follows
                await asyncio.to_thread(desktop.screenshot, folder / "notify-browser-light.png")
                print("docs/screens/notify-browser-light.png")
                await context.close()
    finally:
        await asyncio.to_thread(desktop.stop)


async def _nobody_looks(stage: demo.Stage) -> bool:
    sql = "SELECT 1 FROM surface WHERE state = 'focused'"
    return not await stage.daemon.store.read(lambda query: query.execute(sql))


async def _until(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(15):
        while not await holds():  # noqa: ASYNC110  the database and dunst tell nobody
            await asyncio.sleep(0.05)
