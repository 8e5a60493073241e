"""A picture of notifications on a real Linux desktop: dunst draws what the native client was told by a hub.

make screenshots ARGS=notify-native draws it; tools/screenshots.py calls this.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from aiohttp.test_utils import TestClient, TestServer

import talkwire_notify_desktop
from plugins.notify_desktop.tests.agents import Agent, until
from plugins.notify_desktop.tests.surfaces import SETTINGS, Office
from talkwire import Detail, Notify, Option, Style
from talkwire.api import make_app
from talkwire.testing.hub import whole_hub
from tests.parts.dunst import Desktop

GROUND = {"light": "#e8edf5-#cfd9e8", "dark": "#10141b-#1a2230"}
CROP = "520x400+504+0"
ASKED = (
    Notify(
        recipient="ann",
        kind="message.received",
        title="Dewi Lestari wrote on “site”",
        text="Hello, my parcel was to come on Monday and is not here. Could somebody look where it is?",
        details=(Detail("Waiting for", "2 minutes"),),
        actions=(Option(id="handled", title="Mark handled"), Option(id="mine", title="I take it")),
        style=Style.ALERT,
        key="one",
    ),
    Notify(
        recipient="ann",
        kind="account.broken",
        title="The account “support” needs you",
        text="smtp.shop.example refused our sign-in: 535 5.7.8 wrong password",
        actions=(Option(id="resume", title="Resume"),),
        style=Style.ALERT,
        key="two",
    ),
    Notify(
        recipient="ann",
        kind="assigned",
        title="Budi gave you a talk",
        text="Order 4711: a blue lamp & its <cable>",
        key="three",
    ),
)


async def draw(folder: Path) -> None:
    """Take the picture, light and dark."""
    for scheme in ("light", "dark"):
        desktop = Desktop(is_dark=scheme == "dark")
        with tempfile.TemporaryDirectory(prefix="talkwire-desktop-") as here:
            try:
                await asyncio.to_thread(desktop.start)
                await asyncio.to_thread(desktop.paint, GROUND[scheme])
                os.environ["DBUS_SESSION_BUS_ADDRESS"] = desktop.address
                os.environ["XDG_STATE_HOME"] = here
                await _show(Path(here), desktop, folder / f"notify-native-{scheme}.png")
            finally:
                await asyncio.to_thread(desktop.stop)


async def _show(here: Path, desktop: Desktop, file: Path) -> None:
    plugins = {"notify_desktop": talkwire_notify_desktop}
    async with whole_hub(SETTINGS, here, plugins=plugins) as hub, TestClient(TestServer(make_app(hub.daemon))) as http:
        await hub.run_until_idle()
        office = Office(hub, http)
        async with Agent(str(http.make_url("")).rstrip("/"), await office.key("ann")) as agent:
            await agent.says("connected to")
            for asked in ASKED:
                await hub.daemon.hub.notify(asked)
            await hub.run_until_idle()
            await until(lambda: desktop.count == len(desktop.drawn) == len(ASKED))
            desktop.screenshot(file, CROP)  # now: what the client shows goes with the client
