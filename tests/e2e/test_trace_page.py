"""The trace in a real browser: from a phone number to the reason, by hand and by keyboard, light and dark."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from talkwire import AccountBroken, draft
from tests.e2e.conftest import Demo
from tests.parts import axe

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]
PHONE = "0812 3456 7890"


async def trouble(page: Any, demo: Demo) -> None:
    """Let a customer write, and the token die before the answer."""
    await demo.customers.write("+6281234567890", "Where is my parcel?", name="Budi", address="phone")
    demo.messenger.will.append(AccountBroken("the provider refused our token (HTTP 401)"))
    hub = demo.stage.daemon.hub
    talk = (await hub.conversations()).items[0]
    await hub.reply(talk.id, draft("It arrives today."), author="agent:ann", key="k1")
    async with asyncio.timeout(20):
        async for _ in hub.tail(after=0, types=("account.broken",)):
            break
    await page.goto(f"{demo.stage.operator}/trace")


async def test_a_phone_number_leads_to_the_reason_and_to_what_to_type(strict: Any, demo: Demo) -> None:
    await trouble(strict, demo)
    await strict.get_by_role("searchbox").fill(PHONE)
    await strict.get_by_role("searchbox").press("Enter")
    why = strict.get_by_role("list", name="Why it stands still")
    await why.get_by_text("1 reply waits: account messenger is broken").wait_for()
    assert "talkwire accounts resume messenger" in await why.inner_text()
    lines = strict.locator("#lines")
    assert "working → broken" in await lines.inner_text()
    assert "parcel" not in await strict.locator("#story").inner_text()

    await strict.get_by_label("with texts").check()
    await lines.get_by_text("Where is my parcel?").wait_for()
    await strict.get_by_role("link", name="Open the talk").click()
    await strict.locator("#line.live").wait_for()
    await strict.get_by_role("link", name="Trace").click()
    await strict.get_by_role("heading", name="Budi").wait_for()


async def test_what_was_looked_for_before_does_not_come_over_what_is_looked_for_now(strict: Any, demo: Demo) -> None:
    await trouble(strict, demo)
    may_come = asyncio.Event()

    async def late(route: Any) -> None:
        if "parcel" in route.request.url:
            await may_come.wait()
        await route.continue_()

    await strict.route("**/api/v1/find?**", late)
    words, title = strict.get_by_role("searchbox"), strict.locator("#results-title")
    async with strict.expect_request(lambda one: "text=parcel" in one.url):
        await words.fill("parcel")
        await words.press("Enter")
    await words.fill("nothing has this name")
    await words.press("Enter")
    await title.get_by_text("Nothing is found").wait_for()
    async with strict.expect_response(lambda answer: "text=parcel" in answer.url) as came:
        may_come.set()
    await (await came.value).finished()
    await strict.evaluate("() => new Promise((done) => setTimeout(done))")  # after whatever waited for that answer
    assert await title.inner_text() == "Nothing is found"
    assert not await strict.locator("#story").is_visible()


async def test_texts_that_are_asked_for_while_the_story_comes_stay_when_it_has_come(strict: Any, demo: Demo) -> None:
    await trouble(strict, demo)
    may_come = asyncio.Event()

    async def late(route: Any) -> None:
        if "bodies" not in route.request.url:
            await may_come.wait()
        await route.continue_()

    await strict.route("**/api/v1/trace/**", late)
    await strict.goto(f"{demo.stage.operator}/trace#of=%2B6281234567890")
    await strict.get_by_label("with texts").check()
    text = strict.locator("#lines").get_by_text("Where is my parcel?")
    await text.wait_for()
    async with strict.expect_response(lambda answer: "/trace/" in answer.url and "bodies" not in answer.url) as came:
        may_come.set()
    await (await came.value).finished()
    await strict.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    assert await text.is_visible()


async def test_what_nobody_has_is_said_in_words(strict: Any, demo: Demo) -> None:
    strict.forgives += ["404"]
    await strict.goto(f"{demo.stage.operator}/trace#of=nothing-like-it")
    await strict.get_by_role("status").get_by_text("there is no such thing").wait_for()


async def test_axe_finds_nothing_in_a_story_with_trouble(browser: Any, demo: Demo) -> None:
    context = await browser.new_context(bypass_csp=True)
    page = await context.new_page()
    try:
        await trouble(page, demo)
        await page.goto(f"{demo.stage.operator}/trace#of=%2B6281234567890")
        await page.get_by_label("with texts").check()
        await page.locator("#lines pre").first.wait_for()
        assert await axe.findings(page) == []
    finally:
        await page.goto("about:blank")
        await context.close()
