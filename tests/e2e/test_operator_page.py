"""The operator's page, in a real browser: what it shows, what it keeps, who may use it."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from talkwire import Refused, Uncertain
from talkwire.api import operator as operator_module
from tests.e2e.conftest import Demo

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]


async def answer(page: Any, text: str) -> None:
    await page.get_by_label("Reply", exact=True).fill(text)
    await page.get_by_role("button", name="Send", exact=True).click()


async def test_a_message_appears_and_the_states_of_its_answer_change_by_themselves(operator: Any, demo: Demo) -> None:
    await demo.phone_writes("Where is my parcel?")
    await operator.locator(".entry", has_text="Where is my parcel?").click()
    await operator.get_by_role("log").get_by_text("Where is my parcel?").wait_for()

    await answer(operator, "It arrives **today**.")
    bubble = operator.locator(".bubble.ours")
    await bubble.locator(".state", has_text="delivered").wait_for()
    assert await operator.get_by_label("Reply", exact=True).input_value() == ""
    assert await bubble.count() == 1
    await operator.locator("#facts").get_by_text("message.received").first.wait_for()
    await operator.locator("#facts").get_by_text("delivery.changed").first.wait_for()


@pytest.mark.requirement("CARD-06")
async def test_the_warning_icon_appears_left_of_send_without_a_click(page: Any, operator: Any, demo: Demo) -> None:
    """`page` is named for the collector: this statement needs a browser."""
    await demo.customers.write("ann", "Are you there?", name="Ann")
    await operator.locator(".entry", has_text="Ann").click()
    await operator.get_by_label("Reply", exact=True).fill("Half a reply")
    assert await operator.get_by_role("img", name=re.compile("cannot be answered")).count() == 0

    await demo.customers.session("ann", "ended")
    icon = operator.locator("#reply").get_by_role("img", name=re.compile("cannot be answered now"))
    await icon.wait_for()
    send = operator.get_by_role("button", name="Send", exact=True)
    left, right = await icon.bounding_box(), await send.bounding_box()
    assert left["x"] + left["width"] <= right["x"]
    assert right["x"] - (left["x"] + left["width"]) < 30
    assert abs((left["y"] + left["height"] / 2) - (right["y"] + right["height"] / 2)) < 6
    notice = operator.locator("#notice")
    assert "session has ended" in await notice.inner_text()
    assert "Since" in await notice.inner_text()
    assert "Wait until the customer comes back" in await notice.inner_text()
    assert (
        await operator.locator(".entry", has_text="Ann")
        .get_by_role("img", name=re.compile("Cannot be answered"))
        .count()
        == 1
    )
    assert await operator.get_by_label("Reply", exact=True).input_value() == "Half a reply"

    await demo.customers.write("ann", "I am back", name="Ann")
    await demo.customers.session("ann", "connected")
    await icon.wait_for(state="detached")


async def test_a_refused_reply_keeps_its_draft_also_over_a_reload(strict: Any, demo: Demo) -> None:
    page = strict
    page.forgives += ["409", "net::ERR_FAILED"]
    await demo.customers.write("ben", "Hello", name="Ben")
    # The page hears nothing of the end: its stream is cut, as when a laptop wakes up.
    await page.route("**/api/v1/events?after=*", lambda route: route.abort())
    await page.goto(f"{demo.stage.operator}/")
    await page.locator(".entry", has_text="Ben").click()
    await page.get_by_role("log").get_by_text("Hello").wait_for()
    await demo.customers.session("ben", "ended")
    assert await page.locator("#warning img, #warning svg").count() == 0

    await answer(page, "My long considered answer")
    await page.get_by_role("alert").get_by_text("Not sent; your draft is kept").wait_for()
    await page.locator("#reply").get_by_role("img", name=re.compile("cannot be answered now")).wait_for()
    assert await page.get_by_label("Reply", exact=True).input_value() == "My long considered answer"
    assert demo.messenger.sent == []

    await page.reload()
    await page.locator("#reply").get_by_role("img", name=re.compile("cannot be answered now")).wait_for()
    assert await page.get_by_label("Reply", exact=True).input_value() == "My long considered answer"


async def test_a_closed_window_offers_to_keep_the_reply(operator: Any, demo: Demo) -> None:
    await demo.customers.write("cleo", "Yesterday's question", name="Cleo", ago=timedelta(hours=30))
    await operator.locator(".entry", has_text="Cleo").click()
    await operator.get_by_label("Reply", exact=True).fill("The answer")
    await operator.get_by_role("button", name="Keep the reply until the customer writes again").click()
    await operator.locator(".bubble.ours .state", has_text="kept until the customer writes again").wait_for()

    await demo.customers.write("cleo", "Anybody?", name="Cleo")
    await operator.locator(".bubble.ours .state", has_text="sent").wait_for()
    assert [part.part.text for part in demo.messenger.sent] == ["The answer"]


async def test_a_talk_that_has_ended_goes_on_from_another_account(operator: Any, demo: Demo) -> None:
    await demo.customers.write("dina", "Where is it?", name="Dina", phones=["+628111222333"])
    await demo.customers.session("dina", "ended")
    await operator.locator(".entry", has_text="Dina").click()
    await operator.get_by_label("Reply", exact=True).fill("On its way")
    await operator.get_by_role("button", name="Write from smsgate to +628111222333").click()
    await operator.get_by_text("Written from smsgate to +628111222333.").wait_for()
    new = operator.locator(".entry", has_text="On its way")
    await new.click()
    await operator.get_by_role("log").get_by_text("Earlier in our conversation:").wait_for()
    sql = "SELECT o.account FROM conversation c JOIN conversation o ON o.id = c.continues WHERE c.account = 'smsgate'"
    assert await demo.store.read(lambda query: query.execute(sql)) == [("messenger",)]


async def test_the_preview_shows_the_parts_and_names_what_is_lost(operator: Any, demo: Demo) -> None:
    await demo.phone_writes("What does it cost?")
    await operator.locator(".entry", has_text="What does it cost?").click()
    await operator.get_by_label("Reply", exact=True).fill(
        "| size | price |\n| - | - |\n| small | 5 |\n\n" + "word " * 120
    )
    await operator.get_by_text(re.compile(r"Preview: the customer gets \d+ parts?")).wait_for()
    parts = operator.locator("#preview-parts > ol > li")
    count = await parts.count()
    assert count >= 2
    assert await operator.get_by_label("Said less well").get_by_role("listitem").count() >= 1

    await operator.get_by_role("button", name="Send", exact=True).click()
    await operator.locator(".bubble.ours summary", has_text=f"{count} parts").wait_for()
    await operator.locator(".bubble.ours .losses li").first.wait_for()


async def test_a_failed_reply_says_why_and_can_be_sent_again(operator: Any, demo: Demo) -> None:
    demo.messenger.will.append(Refused("the number is not in use", code="131026"))
    await demo.customers.write("dora", "Call me", name="Dora")
    await operator.locator(".entry", has_text="Dora").click()
    await answer(operator, "We will")
    state = operator.locator(".bubble.ours .state")
    await state.get_by_text("the number is not in use").wait_for()

    await state.get_by_role("button", name="Send again").click()
    await operator.locator(".bubble.ours .state", has_text="sent").get_by_text("sent", exact=True).wait_for()
    assert len(demo.messenger.sent) == 2


async def test_an_uncertain_reply_offers_both_ways_and_says_the_risk(operator: Any, demo: Demo) -> None:
    demo.messenger.will.append(Uncertain("the connection broke after the body"))
    await demo.customers.write("eve", "Hello", name="Eve")
    await operator.locator(".entry", has_text="Eve").click()
    await answer(operator, "Hello Eve")
    state = operator.locator(".bubble.ours .state.uncertain")
    await state.get_by_text("not known whether it arrived").wait_for()
    await state.get_by_role("button", name="Send again (the customer may get it twice)").wait_for()

    await state.get_by_role("button", name="It arrived").click()
    await operator.locator(".bubble.ours .state.check").wait_for()
    assert len(demo.messenger.sent) == 1


async def test_a_return_after_delivery_is_shown_beside_the_state(operator: Any, demo: Demo) -> None:
    await demo.customers.write("finn", "Hello", name="Finn")
    await operator.locator(".entry", has_text="Finn").click()
    await answer(operator, "Hello Finn")
    await operator.locator(".bubble.ours .state.check").wait_for()
    await demo.customers.report(demo.messenger.sent[0], "DELIVERED")
    await operator.locator(".bubble.ours .state", has_text="delivered").wait_for()
    await demo.customers.report(demo.messenger.sent[0], "FAILED", "mailbox closed")
    await operator.locator(
        ".bubble.ours .state.warning", has_text="delivered, then returned: mailbox closed"
    ).wait_for()


async def test_pressing_send_twice_sends_once(operator: Any, demo: Demo) -> None:
    await demo.customers.write("gina", "Hello", name="Gina")
    await operator.locator(".entry", has_text="Gina").click()
    answers: list[int] = []

    async def lose_the_first_answer(route: Any) -> None:
        response = await route.fetch()
        answers.append(response.status)
        await (route.abort() if len(answers) == 1 else route.fulfill(response=response))

    await operator.route("**/replies", lose_the_first_answer)
    operator.forgives.append("net::ERR_FAILED")
    await answer(operator, "Once only")
    await operator.get_by_role("alert").get_by_text("The daemon does not answer").wait_for()
    async with operator.expect_response("**/replies"):  # the stream may show the bubble before the answer is back
        await operator.get_by_role("button", name="Send", exact=True).click()
    await operator.locator(".bubble.ours").first.wait_for()
    await operator.locator(".bubble.ours .state.check").wait_for()
    assert answers == [202, 202]
    assert len(demo.messenger.sent) == 1


async def test_everything_can_be_done_by_keyboard(operator: Any, demo: Demo) -> None:
    await demo.customers.write("hugo", "First", name="Hugo")
    await demo.customers.write("ida", "Second", name="Ida")
    await operator.locator(".entry", has_text="Ida").wait_for()
    await operator.locator("body").press("Tab")
    assert await operator.evaluate("document.activeElement.textContent") == "Skip to the reply"
    await operator.get_by_role("searchbox").focus()
    await operator.keyboard.press("Tab")
    await operator.keyboard.press("ArrowDown")
    assert "Hugo" in await operator.evaluate("document.activeElement.textContent")
    outline = await operator.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await operator.keyboard.press("Enter")
    await operator.get_by_role("heading", name="Hugo").wait_for()
    await operator.locator("#text:focus").wait_for()
    await operator.keyboard.type("Good day")
    await operator.keyboard.press("Shift+Enter")
    await operator.keyboard.type("Hugo")
    await operator.keyboard.press("Enter")
    await operator.locator(".bubble.ours .state.check").wait_for()
    assert [part.part.text for part in demo.messenger.sent] == ["Good day\nHugo"]


async def test_markup_of_a_customer_is_text(operator: Any, demo: Demo) -> None:
    await demo.customers.write("ivan", "<img src=x onerror=alert(1)><b>hi</b>", name="<i>Ivan</i>")
    await operator.locator(".entry", has_text="Ivan").click()
    await operator.get_by_role("log").get_by_text("<img src=x onerror=alert(1)><b>hi</b>").wait_for()
    assert await operator.locator("#log img, #log b:not(.state b), #list i").count() == 0


async def test_the_browser_refuses_markup_from_strings(operator: Any) -> None:
    operator.forgives.append("TrustedHTML")
    refused = await operator.evaluate(
        "() => { try { document.body.innerHTML = '<p>'; return ''; } catch (e) { return e.name; } }"
    )
    assert refused == "TypeError"


async def test_parts_of_the_page_have_names_and_roles(operator: Any, demo: Demo) -> None:
    await demo.customers.write("jane", "Hello", name="Jane")
    await operator.locator(".entry", has_text="Jane").click()
    await operator.get_by_role("log", name="Messages").wait_for()
    log = operator.get_by_role("log", name="Messages")
    await operator.locator("#log[aria-live=polite]").wait_for()
    assert await log.get_attribute("tabindex") == "0"
    nameless = await operator.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, a[href], [role=img]')]
            .filter((node) => node.checkVisibility())
            .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length))
            .map((node) => node.outerHTML)"""
    )
    assert nameless == []
    ids = await operator.evaluate("() => [...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))
    assert await operator.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [360, 768, 1280])
async def test_nothing_is_cut_off(strict: Any, demo: Demo, width: int) -> None:
    page = strict
    await demo.customers.write("kim", "A long word: " + "x" * 200, name="Kim " + "y" * 80)
    await page.set_viewport_size({"width": width, "height": 740})
    await page.goto(f"{demo.stage.operator}/")
    await page.locator(".entry", has_text="Kim").click()
    await page.get_by_role("log").get_by_text("A long word").wait_for()
    await page.get_by_label("Reply", exact=True).fill("z" * 400)
    await page.locator("#preview").wait_for()
    for view in ("Messages", "Facts", "Conversations"):
        button = page.get_by_role("button", name=view, exact=True)
        if await button.is_visible():
            await button.click()
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, view
    assert await page.evaluate("document.documentElement.scrollHeight") <= 740


LAST_IN_SIGHT = """() => {
    const log = document.getElementById("log").getBoundingClientRect();
    const last = [...document.querySelectorAll("#log .bubble")].at(-1).getBoundingClientRect();
    return last.bottom <= log.bottom + 1;
}"""


async def test_the_newest_message_stays_in_sight_when_the_preview_takes_its_room(operator: Any, demo: Demo) -> None:
    for number in range(12):
        await demo.customers.write("ivo", f"Line {number}", name="Ivo")
    await operator.locator(".entry", has_text="Ivo").click()
    await operator.get_by_role("log").get_by_text("Line 11", exact=True).wait_for()
    assert await operator.evaluate(LAST_IN_SIGHT)

    await operator.get_by_label("Reply", exact=True).fill("first\n\nsecond\n\nthird")
    await operator.locator("#preview-parts > ol > li").wait_for()
    await operator.wait_for_function(LAST_IN_SIGHT)


async def test_whoever_looks_at_older_messages_is_left_there(operator: Any, demo: Demo) -> None:
    for number in range(12):
        await demo.customers.write("uma", f"Line {number}", name="Uma")
    await operator.locator(".entry", has_text="Uma").click()
    await operator.get_by_role("log").get_by_text("Line 11", exact=True).wait_for()
    await operator.evaluate("document.getElementById('log').scrollTop = 0")
    await operator.wait_for_function(f"!({LAST_IN_SIGHT})()")

    await operator.get_by_label("Reply", exact=True).fill("first\n\nsecond\n\nthird")
    await operator.locator("#preview-parts > ol > li").wait_for()
    assert await operator.evaluate("document.getElementById('log').scrollTop") == 0


async def test_a_long_id_that_a_channel_made_up_is_shortened_to_its_end(operator: Any, demo: Demo) -> None:
    await demo.customers.write("v-7f3a90c2d1e84b55a1c0", "Hello, it is me")
    entry = operator.locator(".entry", has_text="Hello, it is me")
    await entry.click()
    name = operator.locator("#title", has_text="…5a1c0")
    await name.wait_for()
    assert await name.inner_text() == await entry.locator("b").inner_text()
    assert "v-7f3a90c2d1e84b55a1c0" in await operator.locator("#about").inner_text()


async def test_two_tabs_share_one_stream(operator: Any, demo: Demo) -> None:
    second = await operator.context.new_page()
    streams: list[str] = []
    second.on(
        "request",
        lambda request: (
            streams.append(request.url) if "events?after" in request.url and "limit" not in request.url else None
        ),
    )
    await second.goto(f"{demo.stage.operator}/")
    await second.locator("#line.live").wait_for()
    await demo.customers.write("lea", "Seen in both", name="Lea")
    await second.locator(".entry", has_text="Seen in both").wait_for()
    await operator.locator(".entry", has_text="Seen in both").wait_for()
    assert streams == []

    await operator.goto("about:blank")  # the tab that had the stream goes
    await demo.customers.write("lea", "And now", name="Lea")
    await second.locator(".entry", has_text="And now").wait_for()
    assert len(streams) == 1


async def test_a_broken_account_is_named_with_its_reason(operator: Any, demo: Demo) -> None:
    await demo.goes_wrong("wrong_password")
    await demo.phone_writes("Hello")
    await operator.locator(".entry", has_text="Hello").click()
    await answer(operator, "Hello")
    await operator.locator("#accounts .broken", has_text="smsgate").get_by_text("is broken").wait_for()
    await operator.locator("#health").get_by_text("smsgate: broken").first.wait_for()
    await operator.locator("#reply").get_by_role("img", name=re.compile("cannot be answered now")).wait_for()


async def test_who_is_not_known_signs_in_with_a_key(strict: Any, demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    page = strict
    page.forgives.append("401")
    monkeypatch.setattr(operator_module, "_owner", lambda *_: 4_000_000)  # of the connection: somebody else
    await page.goto(f"{demo.stage.operator}/")
    dialog = page.get_by_role("dialog", name="Sign in")
    await dialog.get_by_label("API key").fill("tw_000000000000_" + "x" * 43)
    await dialog.get_by_role("button", name="Sign in").click()
    await dialog.get_by_role("alert").get_by_text("This key is not known").wait_for()

    await dialog.get_by_label("API key").fill(demo.stage.key)
    await page.keyboard.press("Enter")
    await page.locator("#line.live").wait_for()
    assert await page.get_by_role("dialog").count() == 0
    assert demo.stage.key not in await page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )


async def test_what_came_while_the_connection_was_lost_is_shown_after_it(operator: Any, demo: Demo) -> None:
    operator.forgives.append("net::ERR_FAILED")
    await operator.route("**/api/v1/events?after=*", lambda route: route.abort())
    await operator.reload()
    await operator.locator("#line.bad", has_text="connection lost").wait_for()
    await demo.customers.write("max", "Did you hear me?", name="Max")
    await operator.unroute("**/api/v1/events?after=*")
    await operator.locator("#line.live").wait_for()
    await operator.locator(".entry", has_text="Did you hear me?").wait_for()
    await operator.locator("#facts").get_by_text("message.received").wait_for()


PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HOSTILE = """<p id="said">Hello</p><img id="logo" src="cid:logo@1"><img src="{elsewhere}/pixel.png">
<script>document.getElementById("said").textContent = "ran"</script>
<form action="{elsewhere}/form"><input name="q" autofocus></form><meta http-equiv="refresh" content="0;url={elsewhere}/away">"""


async def test_the_whole_of_a_mail_is_shown_in_a_frame_that_runs_nothing_and_fetches_nothing_elsewhere(
    page: Any, operator: Any, demo: Demo, aiohttp_server: Any
) -> None:
    """Also where the channel did not make it safe."""
    asked: list[str] = []

    async def hear(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hear)
    elsewhere = str((await aiohttp_server(app)).make_url("")).rstrip("/")
    operator.forgives += ["Content Security Policy", "sandboxed", "Content-Security-Policy"]
    html = HOSTILE.format(elsewhere=elsewhere)
    await demo.customers.write("ann", "Hello", name="Ann", html=html, picture=PICTURE)
    await operator.locator(".entry", has_text="Ann").click()
    await operator.get_by_role("button", name="Show the whole message").click()
    frame = operator.frame_locator("iframe.whole")
    await frame.locator("#logo").wait_for()
    assert await operator.locator("iframe.whole").get_attribute("sandbox") == ""
    assert await frame.locator("#said").inner_text() == "Hello"
    async with asyncio.timeout(20):
        assert await frame.locator("#logo").evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    assert asked == []


async def test_the_whole_of_a_mail_that_is_only_text_is_shown_as_text(page: Any, operator: Any, demo: Demo) -> None:
    await demo.customers.write("ann", "New", name="Ann", whole="New\n> <b>old</b>")
    await operator.locator(".entry", has_text="Ann").click()
    await operator.get_by_role("button", name="Show the whole message").click()
    assert await operator.locator("div.whole").inner_text() == "New\n> <b>old</b>"
