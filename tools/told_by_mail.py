"""Pictures of mails that notify, in both languages and both forms, and of the page behind a button.

make screenshots ARGS=notify-mail draws them; tools/screenshots.py calls this.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

import talkwire_notify_email
from plugins.email.tests.smtpd import Server
from plugins.notify_email.tests.mails import html_of, read, text_of
from plugins.notify_email.tests.office import SETTINGS, Office
from talkwire import Detail, Notification, Notify, Option, Style
from talkwire.api import make_app
from talkwire.testing.hub import WholeHub, whole_hub

PLAIN = "body { margin: 0; } pre { margin: 28px; font: 14px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }"
DARK = "@media (prefers-color-scheme: dark) { body { background: #14171c; color: #dde2e9; } }"
TALKS = ("0193a7f0-1111-7000-8000-000000000001", "0193a7f0-1111-7000-8000-000000000002")
SAID = {
    "en": {
        "title": "Dewi Lestari wrote on “site”",
        "text": "Hello, my parcel was to come on Monday and is not here.\nCould somebody look where it is?",
        "details": (Detail("Customer", "Dewi Lestari"), Detail("Account", "site"), Detail("Waiting for", "2 minutes")),
        "actions": (Option(id="handled", title="Mark handled"), Option(id="mine", title="I take it")),
        "alarm": "The account “support” needs you",
        "reason": "smtp.shop.example refused our sign-in: 535 5.7.8 wrong password",
        "resume": "Resume",
        "again": "It is a blue lamp, order 4711.",
        "budi": "Budi Santoso wrote on “site”",
        "budi_said": "Do you open on Sunday?",
    },
    "id": {
        "title": "Dewi Lestari menulis di “site”",
        "text": "Halo, paket saya seharusnya datang hari Senin dan belum sampai.\nBisa tolong dicek posisinya?",
        "details": (Detail("Pelanggan", "Dewi Lestari"), Detail("Akun", "site"), Detail("Menunggu", "2 menit")),
        "actions": (Option(id="handled", title="Tandai selesai"), Option(id="mine", title="Saya tangani")),
        "alarm": "Akun “support” memerlukan Anda",
        "reason": "smtp.shop.example menolak masuk: 535 5.7.8 kata sandi salah",
        "resume": "Lanjutkan",
        "again": "Lampu biru, pesanan 4711.",
        "budi": "Budi Santoso menulis di “site”",
        "budi_said": "Apakah hari Minggu buka?",
    },
}  # fmt: skip


async def draw(browser: Any, folder: Path, word: str) -> None:
    """Take the pictures whose names hold the word, light and dark."""
    for language, recipient in (("en", "ops"), ("id", "budi")):
        with tempfile.TemporaryDirectory(prefix="talkwire-mails-") as here:
            async with Server().running() as server:
                more = 'conversation_url = "https://desk.example/#c={{conversation}}"'
                text = SETTINGS.format(port=server.port, sign_in="", more=more.replace("{{", "{").replace("}}", "}"))
                plugins = {"notify_email": talkwire_notify_email}
                async with whole_hub(text, Path(here), plugins=plugins) as hub:
                    await _draw(browser, folder, word, hub, server, language, recipient)


async def _draw(
    browser: Any, folder: Path, word: str, hub: WholeHub, server: Server, language: str, recipient: str
) -> None:
    said = SAID[language]
    asked = Notify(
        recipient=recipient,
        kind="message.received",
        title=said["title"],
        text=said["text"],
        details=said["details"],
        actions=said["actions"],
        style=Style.ALERT,
        conversation=TALKS[0],
    )
    await hub.daemon.hub.of("asker").notify(asked)
    await hub.run_until_idle()
    [path] = [
        one for one in text_of(read(server.taken[-1].content)).split() if one.endswith("handled") and "/answer/" in one
    ]
    await _digest(hub, said, recipient)
    alert, digest = (read(one.content) for one in server.taken)
    runner = web.AppRunner(make_app(hub.daemon), access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    page = f"http://127.0.0.1:{runner.addresses[0][1]}{path.removeprefix('https://talk.example')}"
    plain = f"<!doctype html><style>{PLAIN}{DARK}</style><pre>{html.escape(text_of(alert))}</pre>"
    shown = {
        "mail": (html_of(alert), 720, 0),
        "phone": (html_of(alert), 390, 0),
        "text": (plain, 720, 0),
        "several": (html_of(digest), 720, 0),
        "page": (page, 390, 700),
    }
    try:
        await _shoot(browser, folder, word, language, shown)
        if word in f"notify-mail-answered-{language}":
            await hub.daemon.hub.answer((await _ids(hub))[0], "mine", "page")
            await _shoot(browser, folder, word, language, {"answered": (page, 390, 700)})
    finally:
        await runner.cleanup()


async def _ids(hub: WholeHub) -> Sequence[str]:
    return [row[0] for row in await hub.rows("SELECT id FROM notification ORDER BY id")]


async def _digest(hub: WholeHub, said: Any, recipient: str) -> None:
    at = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    first = Notification(
        id="0193a7f0-2222-7000-8000-000000000001",
        recipient=recipient,
        asker="rule:0",
        kind="message.received",
        title=said["title"],
        text=said["text"],
        conversation=TALKS[0],
        at=at,
    )
    second = replace(
        first, id=f"{first.id[:-1]}2", text=said["again"], at=at + timedelta(minutes=4), details=said["details"][:2]
    )
    third = replace(
        first,
        id=f"{first.id[:-1]}3",
        title=said["budi"],
        text=said["budi_said"],
        conversation=TALKS[1],
        at=at + timedelta(minutes=7),
    )
    alarm = replace(
        first,
        id=f"{first.id[:-1]}4",
        kind="account.broken",
        title=said["alarm"],
        text=said["reason"],
        conversation="",
        at=at + timedelta(minutes=9),
    )
    await Office(hub, None, None).notifier.digest([first, second, third, alarm])


async def _shoot(browser: Any, folder: Path, word: str, language: str, shown: dict[str, tuple[str, int, int]]) -> None:
    for scheme in ("light", "dark"):
        context = await browser.new_context(color_scheme=scheme, locale="en-GB", timezone_id="UTC")
        look = await context.new_page()
        for name, (what, width, height) in shown.items():
            file = f"notify-mail-{name}-{language}-{scheme}.png"
            if word not in file:
                continue
            await look.set_viewport_size({"width": width, "height": height or 400})
            if what.startswith("http"):
                await look.goto(what)
            else:
                await look.set_content(what)
            await look.screenshot(path=folder / file, full_page=not height)
            print(f"docs/screens/{file}")
        await context.close()
