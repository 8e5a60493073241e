"""Two people talk, in a real browser: a visitor in a shop, and an operator, with a whole daemon between them."""

from __future__ import annotations

import asyncio
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from talkwire import Buttons as ButtonsBlock
from talkwire import Draft, Media, Notice, Option, Text, draft
from talkwire.cli import demo
from tests.parts import axe
from tests.parts.chromium import becomes

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

SECOND = 1000  # milliseconds


def png(width: int = 48, height: int = 32) -> bytes:
    """Draw a brown picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x7a\x4a\x21" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@dataclass
class Shop:
    """A demo that runs, and the browser that looks at it."""

    stage: demo.Stage
    browser: Any

    @property
    def hub(self) -> Any:
        return self.stage.daemon.hub

    async def opened(self, context: Any = None, **options: Any) -> Any:
        """Open the shop in a browser of its own, or in another tab, and the chat in it."""
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = context or await self.browser.new_context(locale="en-GB", timezone_id="UTC", **options)
        page = await context.new_page()
        page.set_default_timeout(10 * SECOND)
        await page.goto(f"{self.stage.players[0].base_url}/")
        launcher, box = page.locator("talkwire-chat .launcher"), page.get_by_role("textbox", name="Message")
        await launcher.or_(box).locator("visible=true").first.wait_for()
        if await launcher.is_visible():  # else it was open in the other tab
            await launcher.click()
        await box.wait_for()
        return page

    async def operator(self, **options: Any) -> Any:
        """Open the operator's page, on the only conversation."""
        context = await self.browser.new_context(
            locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 800}, **options
        )
        page = await context.new_page()
        page.set_default_timeout(10 * SECOND)
        await page.goto(f"{self.stage.operator}/")
        await page.locator(".entry").first.click()
        await page.get_by_label("Reply", exact=True).wait_for()
        return page

    async def talk(self) -> Any:
        [found] = (await self.hub.conversations(account="livechat")).items
        return found

    async def until(self, **wanted: Any) -> Any:
        """Wait until the talk is as wanted."""
        async with asyncio.timeout(10):
            while True:
                talk = await self.talk()
                if all(getattr(talk, name) == value for name, value in wanted.items()):
                    return talk
                await asyncio.sleep(0.02)  # the browser tells the daemon, nobody tells us


@pytest_asyncio.fixture(loop_scope="module")
async def shop(tmp_path, browser):
    simulators = await demo.find(among=["livechat"])
    async with demo.stage(tmp_path, simulators) as stage:
        yield Shop(stage, browser)


async def write(page, text):
    await page.get_by_role("textbox", name="Message").fill(text)
    await page.get_by_role("textbox", name="Message").press("Enter")
    await page.get_by_role("log").get_by_text(text, exact=True).wait_for()
    await page.get_by_role("img", name="Sent", exact=True).last.wait_for()


async def answer(page, text):
    await page.get_by_label("Reply", exact=True).fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()


async def act(shop, action):
    await shop.hub.of("queue").write(_act, action)


def _act(tx, items):
    for action in items:
        tx.act(action)
    return [None] * len(items)


@pytest.mark.requirement("3DR-13")
@pytest.mark.requirement("CARD-05")
async def test_a_visitor_writes_and_a_rich_answer_is_sent_delivered_and_read(shop, browser):
    page = await shop.opened()
    await write(page, "Is the Ciwidey back?")
    operator = await shop.operator()
    await operator.get_by_role("log").get_by_text("Is the Ciwidey back?").wait_for()

    file = await shop.hub.keep_file(_one(png()), name="bag.png", limit=10**6)
    said = Draft(
        blocks=(
            Text(
                "It is **back**, *really*, not ~~gone~~: `CW-250`\n\n- whole\n- ground\n\n> fresh\n\n[more](https://shop.example)"
            ),
            Media(attachment=file.id, caption="The bag"),
            ButtonsBlock(
                text="Put one aside?", options=(Option(id="y", title="Yes, please"), Option(id="n", title="No"))
            ),
        )
    )
    talk = await shop.talk()
    await shop.hub.reply(talk.id, said, author="agent:demo")
    log = page.get_by_role("log")
    await log.get_by_role("button", name="Yes, please").wait_for()
    for selector, text in (
        ("strong, b", "back"), ("em, i", "really"), ("s, del", "gone"), ("code", "CW-250"), ("li", "whole"),
        ("blockquote", "fresh"),
    ):  # fmt: skip
        assert await log.locator(selector).first.inner_text() == text
    assert await log.get_by_role("link", name="more").get_attribute("href") == "https://shop.example/"
    images = "[...document.querySelector('talkwire-chat').shadowRoot.querySelectorAll('img')]"
    await becomes(page, f"{images}.some(i => i.naturalWidth === 48)", True)
    await operator.locator(".bubble.ours .state", has_text="read").wait_for()

    facts = [one async for one in _facts(shop)]
    assert [f.small["state"] for f in facts if f.type == "delivery.changed"] == ["sent", "delivered", "read"]

    await log.get_by_role("button", name="Yes, please").click()
    await operator.locator(".bubble.theirs", has_text="Yes, please").wait_for()
    [choice] = (await shop.hub.messages(talk.id))[-1].blocks
    assert (choice.id, choice.title) == ("y", "Yes, please")


async def _one(body):
    yield body


async def _facts(shop):
    head = await shop.hub.head()
    async for fact in shop.hub.tail(after=0):
        yield fact
        if fact.seq >= head:
            return


@pytest.mark.requirement("3DR-13")
async def test_each_ones_tick_stands_at_the_lower_right_of_its_bubble(shop, browser):
    page = await shop.opened()
    await write(page, "Hello, is anybody there who knows about coffee from the mountains south of Bandung?")
    for text in ("Hi", "A longer question, which goes over more than one line in a bubble of this width"):
        await write(page, text)
    operator = await shop.operator()
    await answer(operator, "Yes!")
    await operator.locator(".bubble.ours .state", has_text="read").wait_for()
    for where, bubble, tick in ((page, "talkwire-chat .mine .bubble", ".tick"), (operator, ".bubble.ours", ".state")):
        for n in range(await where.locator(bubble).count()):
            box = await where.locator(bubble).nth(n).bounding_box()
            mark = await where.locator(bubble).nth(n).locator(tick).bounding_box()
            assert box["x"] + box["width"] - (mark["x"] + mark["width"]) < 24
            assert abs(box["y"] + box["height"] - (mark["y"] + mark["height"])) < 24


@pytest.mark.requirement("3DR-14")
@pytest.mark.requirement("3DR-13")
async def test_while_the_visitors_line_is_down_replies_are_pending_and_come_in_order_once(shop, browser):
    page = await shop.opened()
    await write(page, "hi")
    operator = await shop.operator()
    await page.context.set_offline(True)
    await shop.until(session="disconnected")
    for text in ("first", "second", "third"):
        await answer(operator, text)
        await operator.locator(".bubble.ours", has_text=text).locator(".state", has_text="pending").wait_for()
    await page.get_by_role("textbox", name="Message").fill("written without a line")
    await page.get_by_role("textbox", name="Message").press("Enter")
    await page.get_by_role("img", name="Waiting to be sent").wait_for()

    await page.context.set_offline(False)
    await page.get_by_role("log").get_by_text("third").wait_for()
    await operator.get_by_role("log").get_by_text("written without a line").wait_for()
    shown = await page.get_by_role("log").inner_text()
    assert [shown.count(text) for text in ("first", "second", "third", "written without a line")] == [1] * 4
    assert shown.index("first") < shown.index("second") < shown.index("third")
    for text in ("first", "second", "third"):
        await operator.locator(".bubble.ours", has_text=text).locator(".state", has_text="read").wait_for()


@pytest.mark.requirement("3DN-19")
@pytest.mark.requirement("CARD-06")
async def test_when_the_session_ends_the_icon_comes_left_of_send_and_goes_when_the_visitor_returns(shop, browser):
    page = await shop.opened()
    await write(page, "hi")
    operator = await shop.operator()
    await operator.get_by_label("Reply", exact=True).fill("A long considered answer")
    assert await operator.get_by_role("img", name="cannot be answered").count() == 0

    await page.get_by_role("button", name="End chat").first.click()
    await page.get_by_role("button", name="End chat").last.click()
    talk = await shop.until(session="ended")
    icon = operator.locator("#reply").get_by_role("img", name="cannot be answered now")
    await icon.wait_for()
    left, send = await icon.bounding_box(), await operator.get_by_role("button", name="Send", exact=True).bounding_box()
    assert left["x"] + left["width"] <= send["x"]
    assert send["x"] - (left["x"] + left["width"]) < 30
    assert "session has ended" in await operator.locator("#notice").inner_text()

    before = len(await shop.hub.messages(talk.id))
    await operator.get_by_role("button", name="Send", exact=True).click()
    assert await operator.get_by_label("Reply", exact=True).input_value() == "A long considered answer"
    assert len(await shop.hub.messages(talk.id)) == before

    await page.get_by_role("button", name="Start again").click()
    await write(page, "one more thing")
    await icon.wait_for(state="detached")
    await operator.get_by_role("button", name="Send", exact=True).click()
    await page.get_by_role("log").get_by_text("A long considered answer").wait_for()


@pytest.mark.requirement("3DN-22")
async def test_a_notice_stands_lowest_in_the_log_whatever_comes_after_it(shop, browser):
    page = await shop.opened()
    await write(page, "hi")
    talk = await shop.talk()
    await act(shop, Notice(conversation=talk.id, slot="place", draft=draft("You are number 3 in line")))
    notice = page.get_by_role("log").get_by_text("You are number", exact=False)
    await notice.wait_for()
    await write(page, "and another question")
    await shop.hub.reply(talk.id, draft("A reply meanwhile"), author="agent:demo")
    await page.get_by_role("log").get_by_text("A reply meanwhile").wait_for()
    await act(shop, Notice(conversation=talk.id, slot="place", draft=draft("You are number 2 in line")))
    await page.get_by_role("log").get_by_text("You are number 2 in line").wait_for()
    assert await notice.count() == 1
    lowest = await notice.bounding_box()
    for text in ("hi", "and another question", "A reply meanwhile"):
        box = await page.get_by_role("log").get_by_text(text, exact=True).bounding_box()
        assert box["y"] + box["height"] <= lowest["y"]
    await act(shop, Notice(conversation=talk.id, slot="place", draft=None))
    await notice.wait_for(state="detached")


@pytest.mark.requirement("D-31a")
async def test_the_notice_is_shown_at_the_start_and_kept_as_seen(shop, browser):
    page = await shop.opened()
    await page.get_by_text("This talk may be monitored and kept").wait_for()
    async with asyncio.timeout(10):
        while await shop.hub.read(lambda q: q.one("SELECT count(*) FROM livechat_visitor WHERE notice <> ''")) != (1,):
            await asyncio.sleep(0.02)


async def test_two_tabs_of_one_visitor_show_the_same(shop, browser):
    one = await shop.opened()
    await write(one, "from the first tab")
    two = await shop.opened(one.context)
    await two.get_by_role("log").get_by_text("from the first tab").wait_for()
    await write(two, "from the second tab")
    await one.get_by_role("log").get_by_text("from the second tab").wait_for()
    await shop.hub.reply((await shop.talk()).id, draft("to both"), author="agent:demo")
    for page in (one, two):
        await page.get_by_role("log").get_by_text("to both").wait_for()
        assert (await page.get_by_role("log").inner_text()).count("to both") == 1


async def test_on_a_phone_the_chat_fills_the_screen_and_carries_a_photo(shop, browser, tmp_path):
    page = await shop.opened(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    (tmp_path / "photo.png").write_bytes(png(600, 400))
    box = await page.get_by_role("textbox", name="Message").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert box["y"] + box["height"] <= 640
    await page.locator("talkwire-chat input[type=file]").set_input_files(str(tmp_path / "photo.png"))
    await page.locator("talkwire-chat button.send[aria-disabled=false]").wait_for()  # it is there
    await write(page, "like this one")
    async with asyncio.timeout(10):
        while not (messages := await shop.hub.messages((await shop.talk()).id)) or not messages[0].blocks:
            await asyncio.sleep(0.02)
    file = await shop.hub.attachment(messages[0].blocks[0].attachment)
    assert (file.name, file.media_type) == ("photo.png", "image/png")


@pytest.mark.requirement("3DN-10")
async def test_the_bar_shows_who_is_there_handled_or_not_and_forgets_who_has_gone(shop, browser):
    page = await shop.opened()
    operator_context = await browser.new_context(
        locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 800}
    )
    operator = await operator_context.new_page()
    operator.set_default_timeout(10 * SECOND)
    await operator.goto(f"{shop.stage.operator}/")
    bar = operator.get_by_role("region", name="Live now")
    entry = bar.get_by_role("button").first
    await entry.wait_for()
    assert "waits since" in await entry.inner_text()

    await write(page, "hi")
    await entry.click()
    await answer(operator, "Good day")
    await page.get_by_role("log").get_by_text("Good day").wait_for()
    await bar.get_by_text("answered").wait_for()

    await page.context.set_offline(True)
    await bar.get_by_text("away").wait_for()
    await page.context.set_offline(False)
    await bar.get_by_text("away").wait_for(state="detached")

    await page.get_by_role("button", name="End chat").first.click()
    await page.get_by_role("button", name="End chat").last.click()
    await entry.wait_for(state="detached")


async def test_axe_finds_nothing_on_either_side_of_a_talk(shop, browser):
    page = await shop.opened(bypass_csp=True, reduced_motion="reduce")
    await write(page, "hi")
    operator = await shop.operator(bypass_csp=True, reduced_motion="reduce")
    await answer(operator, "Good day")
    await operator.locator(".bubble.ours .state", has_text="read").wait_for()
    assert await axe.findings(page) == []
    assert await axe.findings(operator) == []
    await page.get_by_role("button", name="End chat").first.click()
    await page.get_by_role("button", name="End chat").last.click()
    await operator.locator("#reply").get_by_role("img", name="cannot be answered now").wait_for()
    assert await axe.findings(page) == []
    assert await axe.findings(operator) == []
