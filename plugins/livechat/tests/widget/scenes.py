"""The states in which people see the widget, each set up by one function: looked at by eye, and by axe.

`python plugins/livechat/tests/widget/scenes.py FOLDER [NAME…]` draws them.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[4]))  # the repository, as pytest has it

from plugins.livechat.tests.widget.server import Server, nodes, paragraph, rich, serve, span
from tests.parts.chromium import becomes

TALK = (
    "Hello! Do you ship to Makassar?",
    "Yes, every Tuesday and Thursday. It takes three days.",
    "And what does it cost for a kilo?",
)
NOTICE = {
    "version": "1",
    "text": "This conversation may be recorded. How we use it: https://kopi.example/privacy.",
    "seen": False,
}
CONSENT = {
    "version": "3",
    "text": "We keep this chat for 90 days to answer you and to train our team.\n\nYou find all about it at https://kopi.example/privacy. You can ask us to delete it at any time.",
    "given": None,
    "refused": "email",
    "email": "help@kopi.example",
}
FORM = {
    "title": "Tell us who you are",
    "fields": [
        {"name": "name", "label": "Your name", "required": True},
        {"name": "email", "label": "E-mail", "required": False},
        {"name": "question", "label": "What is it about?", "required": True},
    ],
}
SIZES = [
    {"id": "s", "title": "250 g", "description": "Rp 95.000"},
    {"id": "l", "title": "1 kg", "description": "Rp 340.000, for those who drink a lot of it"},
]


@dataclass
class Scene:
    play: Callable[[Server, Any], Awaitable[None]]
    context: dict[str, Any] = field(default_factory=dict)  # of the browser
    settings: dict[str, Any] = field(default_factory=dict)


SCENES: dict[str, Scene] = {}
PHONE = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def scene(**more: Any) -> Callable[[Any], Any]:
    def keep(play: Any) -> Any:
        SCENES[play.__name__] = Scene(play, **more)
        return play

    return keep


async def open_widget(server: Server, page: Any) -> None:
    await page.locator("talkwire-chat .launcher").click()
    await server.heard("hello")
    await page.locator("talkwire-chat .line").wait_for(state="hidden")


async def say(server: Server, page: Any, text: str) -> None:
    count = len(server.all("message"))
    await page.locator("talkwire-chat textarea").fill(text)
    await page.keyboard.press("Enter")
    await server.heard("message", count + 1)


async def talk(server: Server, page: Any) -> None:
    await open_widget(server, page)
    await say(server, page, TALK[0])
    await server.write(TALK[1])
    await say(server, page, TALK[2])
    await server.say({"t": "read", "n": 1})
    await page.locator("talkwire-chat .tick[aria-label]").nth(1).wait_for()


@scene()
async def launcher(server: Server, page: Any) -> None:
    await page.locator("talkwire-chat .launcher").wait_for()


@scene()
async def empty(server: Server, page: Any) -> None:
    server.welcome["notice"] = dict(NOTICE)
    server.welcome["hours"] = {"open": True, "text": "Open today until 18:00"}
    await open_widget(server, page)


@scene()
async def talking(server: Server, page: Any) -> None:
    server.welcome["hours"] = {"open": True, "text": "Open today until 18:00"}
    await talk(server, page)
    await server.say({"t": "typing", "on": True})
    await page.locator("talkwire-chat .typing").wait_for()


@scene()
async def rich_text(server: Server, page: Any) -> None:
    await open_widget(server, page)
    await server.write(*rich())
    await page.get_by_text("Anything else?").wait_for()


@scene(context={"viewport": {"width": 1100, "height": 1100}}, settings={"offset": {"x": 20, "y": 20}})
async def choices(server: Server, page: Any) -> None:
    await open_widget(server, page)
    options = [{"id": "yes", "title": "Yes, please"}, {"id": "no", "title": "No, thank you"}]
    await server.write(
        {"type": "buttons", "nodes": paragraph("Shall I reserve a bag for you?")["nodes"], "options": options}
    )
    await page.get_by_role("button", name="Yes, please").click()
    await server.heard("message")
    await server.write(
        {"type": "list", "nodes": paragraph("Which size?")["nodes"], "button": "Choose a size", "options": SIZES}
    )
    await page.get_by_role("button", name="Choose a size").click()


@scene(context={"viewport": {"width": 1100, "height": 1100}})
async def media(server: Server, page: Any) -> None:
    await open_widget(server, page)
    image = {
        "attachment": "a1",
        "name": "beans.png",
        "media_type": "image/png",
        "size": 48_213,
        "url": "/files/beans.png?sign=1",
    }
    pdf = {
        "attachment": "a2",
        "name": "Price list 2026.pdf",
        "media_type": "application/pdf",
        "size": 1_482_130,
        "url": "/files/prices.pdf?sign=1",
    }
    options = [
        {"id": "buy", "title": "Order"},
        {"id": "more", "title": "Read more", "url": "https://example.org/toraja"},
    ]
    await server.write({"type": "media", "nodes": [], **image})
    await server.write({"type": "media", "nodes": [], **pdf})
    await server.write(
        {
            "type": "card",
            "title": "Toraja Sapan",
            "nodes": paragraph("Washed, with notes of cane sugar.")["nodes"],
            "image": image,
            "options": options,
        }
    )
    await server.write(
        {
            "type": "location",
            "latitude": -6.2,
            "longitude": 106.8,
            "name": "Kopi Kita",
            "address": "Jalan Sabang 14, Jakarta",
        }
    )
    await page.get_by_text("Open map").wait_for()
    await becomes(
        page,
        "[...document.querySelector('talkwire-chat').shadowRoot.querySelectorAll('img')].every(one => one.complete)",
        True,
    )


@scene()
async def form(server: Server, page: Any) -> None:
    server.welcome["form"] = FORM
    await open_widget(server, page)
    await page.get_by_role("button", name="Start chat").click()


@scene()
async def consent(server: Server, page: Any) -> None:
    server.welcome["consent"] = dict(CONSENT)
    await open_widget(server, page)


@scene()
async def refused(server: Server, page: Any) -> None:
    server.welcome["consent"] = {**CONSENT, "given": False}
    await open_widget(server, page)


@scene()
async def ended(server: Server, page: Any) -> None:
    await talk(server, page)
    await server.say({"t": "ended", "reason": "idle"})
    await page.get_by_role("button", name="Start again").wait_for()


@scene()
async def ending(server: Server, page: Any) -> None:
    await talk(server, page)
    await page.get_by_role("button", name="End chat").click()


@scene()
async def offline(server: Server, page: Any) -> None:
    await talk(server, page)
    server.is_down = True
    await server.drop()
    await page.get_by_text("No connection").wait_for()
    await page.locator("talkwire-chat textarea").fill("Hello? Are you there?")
    await page.keyboard.press("Enter")


@scene()
async def notice_at_bottom(server: Server, page: Any) -> None:
    await open_widget(server, page)
    await server.write("You are number 3 in the queue.", key="queue", notice="queue", author="")
    await say(server, page, TALK[0])


@scene()
async def new_notice(server: Server, page: Any) -> None:
    server.welcome["notice"] = dict(NOTICE)
    server.log += [server.ours(TALK[1]), server.theirs(TALK[2])]
    await open_widget(server, page)
    await page.get_by_role("button", name="Got it").wait_for()


@scene()
async def refused_message(server: Server, page: Any) -> None:
    await open_widget(server, page)
    server.answers["message"] = lambda frame: {"t": "nack", "id": frame["id"], "code": "too_many"}
    await say(server, page, "One message too many")
    await page.get_by_role("button", name="Remove").wait_for()


@scene()
async def files(server: Server, page: Any) -> None:
    await open_widget(server, page)
    server.slow_upload = asyncio.Event()
    await page.locator("talkwire-chat input[type=file]").set_input_files(
        [{"name": "holiday on the beach.png", "mimeType": "image/png", "buffer": b"\x89PNG" + b"x" * 80_000}]
    )
    await page.locator("talkwire-chat input[type=file]").set_input_files(
        [{"name": "huge.png", "mimeType": "image/png", "buffer": b"x" * 1_200_000}]
    )


@scene(context={"locale": "id-ID"})
async def indonesian(server: Server, page: Any) -> None:
    server.settings |= {"label": "Tanya kami"}
    await page.reload()
    await talk(server, page)


@scene()
async def long_word(server: Server, page: Any) -> None:
    await open_widget(server, page)
    await say(server, page, "W" * 300)
    await server.write("https://example.org/" + "a" * 400)


@scene()
async def long_text(server: Server, page: Any) -> None:
    await open_widget(server, page)
    text = " ".join(f"word{number}" for number in range(600))[:4000]
    await page.locator("talkwire-chat textarea").fill(text)
    await page.keyboard.press("Enter")
    await server.heard("message")
    await page.locator("talkwire-chat textarea").fill(text + "and more")


@scene()
async def many(server: Server, page: Any) -> None:
    for number in range(100):
        server.log += [server.ours(f"Answer {number}"), server.theirs(f"Question {number}")]
    await open_widget(server, page)
    await page.get_by_text("Question 99").wait_for()


@scene()
async def unread(server: Server, page: Any) -> None:
    await talk(server, page)
    await server.until(lambda: any(frame["state"] == "read" for frame in server.all("seen")))
    await page.keyboard.press("Escape")
    await server.write("It is Rp 340.000.")
    await server.write("Shall I reserve a bag?")
    await page.get_by_role("button", name="2 unread messages").wait_for()


@scene()
async def signed_out(server: Server, page: Any) -> None:
    server.answers["hello"] = lambda _frame: 4003
    await page.locator("talkwire-chat .launcher").click()
    await page.get_by_text("Please sign in").wait_for()


@scene(context=PHONE)
async def phone_talk(server: Server, page: Any) -> None:
    server.welcome["hours"] = {"open": False, "text": "Closed. We answer tomorrow from 08:00."}
    await talk(server, page)


@scene(context=PHONE)
async def phone_form(server: Server, page: Any) -> None:
    server.welcome["form"] = FORM
    await open_widget(server, page)


@scene(context=PHONE)
async def phone_launcher(server: Server, page: Any) -> None:
    await page.locator("talkwire-chat .launcher").wait_for()


@scene(context={"forced_colors": "active"})
async def forced_colours(server: Server, page: Any) -> None:
    await talk(server, page)
    await server.write(
        {
            "type": "buttons",
            "nodes": nodes({"type": "paragraph", "spans": [span("Reserve one?")]})["nodes"],
            "options": [{"id": "yes", "title": "Yes"}],
        }
    )
    await page.get_by_role("button", name="Yes").wait_for()


async def draw(folder: Path, names: list[str]) -> None:
    """Make a picture of each scene, light and dark."""
    from playwright.async_api import async_playwright

    from tests.parts.chromium import launch_options

    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(**launch_options())
        for name in names or SCENES:
            for scheme in ("light", "dark"):
                one = SCENES[name]
                more = {
                    "viewport": {"width": 1100, "height": 760},
                    "locale": "en-GB",
                    "timezone_id": "UTC",
                } | one.context
                context = await chromium.new_context(color_scheme=scheme, reduced_motion="reduce", **more)
                page = await context.new_page()
                page.set_default_timeout(5000)
                page.on(
                    "console", lambda message, name=name: sys.stderr.write(f"{name}: {message.type} {message.text}\n")
                )
                page.on("pageerror", lambda error, name=name: sys.stderr.write(f"{name}: {error}\n"))
                try:
                    async with serve() as server:
                        server.settings |= one.settings
                        await page.goto(server.shop)
                        await one.play(server, page)
                        await page.screenshot(path=folder / f"{name}-{scheme}.png")
                        await page.goto("about:blank")
                except Exception as error:
                    sys.stderr.write(f"{name}: {error}\n")
                    await page.screenshot(path=folder / f"{name}-{scheme}-broken.png")
                await context.close()
        await chromium.close()


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]), sys.argv[2:]))
