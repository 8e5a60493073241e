"""One rich draft to every chat, in a real browser: what one of them lacks is named before, and all else is drawn."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from talkwire.cli import demo
from talkwire_telegram.simulator import files

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

TEXT = """It is **back**, *fresh*, not ~~old~~: `GAYO-250`, [look](https://shop.example/gayo).

- whole beans
- ground

> Palm sugar, jasmine."""
FEW = [{"id": "yes", "title": "Yes, please"}, {"id": "no", "title": "No"}]
ROWS = [{"id": f"g{n}", "title": f"{n} g", "description": "in a bag"} for n in (250, 500, 1000)]
LACKS = {  # account → (block, what) of all that is said in another form; nothing is lost
    "livechat": [],
    "whatsapp": [(0, "links_as_text")],
    "telegram": [(4, "descriptions_in_text")],
}
STYLE = "node => { const s = getComputedStyle(node); return [+s.fontWeight, s.fontStyle, s.fontFamily, s.textDecorationLine] }"


class Host:
    """The little of the API that this needs."""

    def __init__(self, stage: demo.Stage, session: aiohttp.ClientSession) -> None:
        self._url = f"{stage.api}/api/v1"
        self._session = session

    async def ask(self, method: str, path: str, **given: Any) -> Any:
        async with self._session.request(method, self._url + path, **given) as answer:
            said = await answer.json()
            assert answer.ok, said
            return said

    async def upload(self, content: bytes, name: str) -> str:
        return str((await self.ask("POST", "/attachments", params={"name": name}, data=content))["id"])

    async def talk(self, account: str) -> str:
        """Give the conversation of the account, once there is one."""
        async with asyncio.timeout(10):
            while not (found := (await self.ask("GET", f"/conversations?account={account}"))["items"]):
                await asyncio.sleep(0.01)
        return str(found[0]["id"])


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path: Path) -> AsyncIterator[demo.Stage]:
    async with demo.stage(tmp_path, await demo.find(among=[*LACKS])) as running:
        yield running


async def asks(page: Any, player: demo.Player, text: str) -> None:
    """Let the customer of this page ask."""
    await page.goto(f"{player.base_url}/")
    if player.account == "livechat":
        await page.get_by_role("button", name="Ask us").click()
    box = page.get_by_role("textbox", name="Message")
    await box.fill(text)
    await box.press("Enter")


async def is_drawn(page: Any, account: str) -> None:
    """Look whether all of the draft is on the page, as what it is."""
    await page.get_by_text("Aceh").first.wait_for()

    async def style(text: str) -> list[Any]:
        async with asyncio.timeout(20):
            while not (found := await page.get_by_text(text, exact=True).first.evaluate(STYLE))[2]:
                pass  # it was just drawn anew, and what was found is on the page no more
        return list(found)

    assert (await style("back"))[0] >= 600
    assert (await style("fresh"))[1] == "italic"
    assert "line-through" in (await style("old"))[3]
    assert "mono" in (await style("GAYO-250"))[2]
    link = page.get_by_role("link", name=re.compile(r"^look$|shop\.example"))
    assert await link.get_attribute("href") == "https://shop.example/gayo"
    for words in ("whole beans", "Palm sugar, jasmine.", "The ", "prices.csv"):
        assert await page.get_by_text(words).first.is_visible(), words
    assert await page.get_by_role("button", name="Yes, please").count() == 2  # of the question, and of the card
    widths = await page.locator("img").evaluate_all("nodes => nodes.map((node) => node.naturalWidth)")
    assert widths.count(60) == 2
    if account != "telegram":  # whose rows stand below the text
        await page.get_by_text("Sizes").first.click()
    await page.get_by_text("in a bag").first.wait_for()
    assert await page.get_by_text("1000 g").last.is_visible()


@pytest.mark.requirement("CARD-05")
async def test_a_rich_draft_is_drawn_in_every_chat_and_what_one_lacks_is_named_before(
    page: Any, stage: demo.Stage
) -> None:
    headers = {"Authorization": f"Bearer {stage.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        host = Host(stage, session)
        picture = await host.upload(files.picture(1, 60, 40), "cup.png")
        prices = await host.upload(b"name;price\nGayo;95\n", "prices.csv")
        body = {
            "blocks": [
                {"type": "text", "markdown": TEXT},
                {"type": "media", "attachment": picture, "caption": "The **bag**"},
                {"type": "media", "attachment": prices},
                {"type": "buttons", "text": "Shall I?", "options": FEW},
                {"type": "list", "text": "How much?", "button": "Sizes", "options": ROWS},
                {"type": "card", "title": "Gayo", "text": "From *Aceh*", "image": picture, "options": FEW},
            ]
        }
        for player in stage.players:
            await asks(page, player, "What is new?")
            replies = f"/conversations/{await host.talk(player.account)}/replies"
            preview = await host.ask("POST", f"{replies}:preview", json=body)
            assert [(one["block"], one["what"]) for one in preview["degradations"]] == LACKS[player.account]
            assert not any(one["lost"] for one in preview["degradations"])
            accepted = await host.ask("POST", replies, json=body)
            assert accepted["degradations"] == preview["degradations"]
            await is_drawn(page, player.account)
