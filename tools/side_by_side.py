"""One rich message in every chat: the same reply to the customers of four demo accounts, and one picture of all of them.

make screenshots ARGS=side-by-side draws it; tools/screenshots.py calls this.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from talkwire.cli import demo
from talkwire_telegram.simulator import files

ACCOUNTS = {"livechat": "Live chat", "whatsapp": "WhatsApp", "telegram": "Telegram", "email": "E-mail"}
ASKED = "Is the Ciwidey back?"
WIDE, HIGH = 360, 840  # pixels of one phone
LONGER = f".phone, .program {{ width: {WIDE}px !important; height: {HIGH}px !important; max-height: none !important; }}"
AT_THE_END = """
for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
document.querySelector(".program #files")?.scrollIntoView({ block: "end" });
"""
ROUND = 24  # pixels that a page of ours has around its phone, both sides together
CUP = (640, 480)  # pixels of the picture in the message
PATIENCE = 20.0  # seconds for a reply to arrive
LOOK_EVERY = 0.05  # seconds


def message(picture: str) -> dict[str, Any]:
    """Give the reply's body: bold, a link, a list, a picture, buttons."""
    text = (
        "It is **back** since *Tuesday*, [with two others](https://shop.example/new):\n\n- whole beans\n- ground for"
        " a `moka`"
    )
    options = [{"id": "yes", "title": "Yes, please"}, {"id": "no", "title": "No, thank you"}]
    return {
        "blocks": [
            {"type": "text", "markdown": text},
            {"type": "media", "attachment": picture, "caption": "Served on **Braga**"},
            {"type": "buttons", "text": "Shall I put one aside?", "options": options},
        ]
    }


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    """Look until there is something to see, and give it."""
    for _ in range(int(PATIENCE / LOOK_EVERY)):
        if found := await look():
            return found
        await asyncio.sleep(LOOK_EVERY)
    raise RuntimeError(f"nothing came within {PATIENCE:.0f} s")


class Host:
    """The little of the API that this needs."""

    def __init__(self, stage: demo.Stage, session: aiohttp.ClientSession) -> None:
        self._url = f"{stage.api}/api/v1"
        self._session = session

    async def ask(self, method: str, path: str, **given: Any) -> Any:
        async with self._session.request(method, self._url + path, **given) as answer:
            said = await answer.json()
            if not answer.ok:
                raise RuntimeError(f"{method} {path}: {answer.status} {said}")
            return said

    async def upload(self, content: bytes, name: str) -> str:
        """Upload a picture; gives its id."""
        return str((await self.ask("POST", "/attachments", params={"name": name}, data=content))["id"])

    async def talk(self, account: str) -> str:
        """Wait for the customer's message; gives its conversation."""

        async def found() -> Any:
            return (await self.ask("GET", f"/conversations?account={account}"))["items"]

        return str((await until(found))[0]["id"])

    async def reply(self, conversation: str, body: Mapping[str, Any]) -> list[str]:
        """Reply, wait until all of it is there, and give what the channel said less well, in its words."""
        accepted = await self.ask("POST", f"/conversations/{conversation}/replies", json=body)

        async def has_left() -> bool:
            state = (await self.ask("GET", f"/messages/{accepted['message']}"))["state"]
            return bool(state != "queued")

        await until(has_left)
        return [one["text"] for one in accepted["degradations"]]


async def shop(page: Any, player: demo.Player, answer: Callable[[], Awaitable[None]]) -> None:
    """Ask in the shop's chat, on a phone."""
    await page.goto(f"{player.base_url}/")
    await page.get_by_role("button", name="Ask us").click()
    box = page.get_by_role("textbox", name="Message")
    await box.fill(ASKED)
    await box.press("Enter")
    await page.get_by_role("img", name="Sent", exact=True).wait_for()
    await answer()
    await page.get_by_role("button", name="Yes, please").wait_for()


async def phone(page: Any, player: demo.Player, answer: Callable[[], Awaitable[None]]) -> None:
    """Ask by a messenger."""
    await page.goto(f"{player.base_url}/")
    await player.simulator.play(player.base_url, ASKED)
    await answer()
    await page.get_by_role("button", name="Yes, please").wait_for()


async def mailbox(page: Any, player: demo.Player, answer: Callable[[], Awaitable[None]]) -> None:
    """Ask by mail, and open the answer."""
    await page.goto(f"{player.base_url}/")
    await player.simulator.play(player.base_url, ASKED)
    await answer()
    await page.locator(".entry", has_text="Kopi Kita").first.click()
    await page.get_by_text("Shall I put one aside?").wait_for()


ASK: Mapping[str, Callable[[Any, demo.Player, Callable[[], Awaitable[None]]], Awaitable[None]]] = {
    "livechat": shop,
    "whatsapp": phone,
    "telegram": phone,
    "email": mailbox,
}


async def draw(browser: Any, folder: Path) -> None:
    """Play it, and draw one picture for each colour scheme: `side-by-side-light.png` and `-dark.png`."""
    for scheme in ("light", "dark"):
        simulators = await demo.find(among=[*ACCOUNTS])
        with tempfile.TemporaryDirectory(prefix="talkwire-demo-") as place:
            async with demo.stage(Path(place), simulators, port=0) as stage:
                headers = {"Authorization": f"Bearer {stage.key}"}
                async with aiohttp.ClientSession(headers=headers) as session:
                    shown = await _take(browser, stage, Host(stage, session), scheme)
        await _compose(browser, shown, scheme, folder / f"side-by-side-{scheme}.png")
        print(f"docs/screens/side-by-side-{scheme}.png")


async def _take(browser: Any, stage: demo.Stage, host: Host, scheme: str) -> dict[str, tuple[bytes, list[str]]]:
    """Give (picture, losses) of each account."""
    player_by_account = {player.account: player for player in stage.players}
    picture = await host.upload(files.picture(0, *CUP), "braga.png")
    context = await browser.new_context(
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="UTC",
        viewport={"width": WIDE, "height": HIGH},
        bypass_csp=True,  # for `LONGER`
    )
    shown = {}
    for account in ACCOUNTS:
        page = await context.new_page()
        page.set_default_timeout(10_000)  # milliseconds
        if account != "livechat":
            await page.set_viewport_size({"width": WIDE + ROUND, "height": HIGH + ROUND})
        losses: list[str] = []

        async def answer(account: str = account, losses: list[str] = losses) -> None:
            losses += await host.reply(await host.talk(account), message(picture))

        await ASK[account](page, player_by_account[account], answer)
        await page.evaluate("document.activeElement && document.activeElement.blur()")
        await page.wait_for_timeout(600)  # until what moves has come to rest
        await page.add_style_tag(content=LONGER)
        await page.evaluate(AT_THE_END)
        drawn = page if account == "livechat" else page.locator(".phone, .program")
        shown[account] = (await drawn.screenshot(), losses)
    await context.close()
    return shown


async def _compose(browser: Any, shown: Mapping[str, tuple[bytes, list[str]]], scheme: str, file: Path) -> None:
    back, front, line = ("#f3f4f7", "#14171f", "#d5d9e2") if scheme == "light" else ("#0b0d11", "#eceef3", "#343946")
    figures = "".join(
        f"<figure><figcaption>{ACCOUNTS[account]}</figcaption>"
        f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}"></figure>'
        for account, (picture, _) in shown.items()
    )
    page = await browser.new_page(viewport={"width": 4 * WIDE + 5 * 24, "height": 100})
    await page.set_content(
        f"<!doctype html><style>body {{ margin: 0; padding: 20px 24px 24px; display: flex; gap: 24px; background: {back}; color: {front};"
        " font: 600 20px system-ui, sans-serif; width: max-content }"
        " figure { margin: 0 } figcaption { padding: 0 0 12px 6px }"
        f" img {{ display: block; width: {WIDE}px; height: {HIGH}px; object-fit: cover; border-radius: 26px; border: 1px solid {line} }}</style>{figures}"
    )
    await page.locator("body").screenshot(path=file)
    await page.close()
