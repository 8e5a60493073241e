"""The page of the simulator, in a real browser: the customer reads, answers, presses and changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from talkwire_whatsapp.simulator import BUDI, OURS, SARI, Cloud
from tests.parts import axe

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

WORDS = {"token": "sim-token-0123456789", "app_secret": "sim-secret-0123456789", "verify_token": "sim-word-0123456789"}
BUTTONS = {
    "type": "button",
    "header": {"type": "text", "text": "Courier"},
    "body": {"text": "Shall it *ring*?"},
    "footer": {"text": "Kopi Kita"},
    "action": {
        "buttons": [
            {"type": "reply", "reply": {"id": "y", "title": "Yes, please"}},
            {"type": "reply", "reply": {"id": "n", "title": "No, thank you"}},
        ]
    },
}
ROWS = [{"id": "c", "title": "Ciwidey", "description": "jasmine"}, {"id": "k", "title": "Kintamani"}]
LIST = {"type": "list", "body": {"text": "Which beans?"}, "action": {"button": "Choose", "sections": [{"rows": ROWS}]}}
TEMPLATE = {"name": "hello_world", "language": {"code": "en_US"}}


@pytest_asyncio.fixture(loop_scope="module")
async def meta() -> AsyncIterator[Any]:
    """A cloud whose endpoint takes everything."""
    cloud = Cloud("http://127.0.0.1:1/in/whatsapp", **WORDS, pause=0)
    told: list[bytes] = []

    async def post(raw: bytes) -> int:
        told.append(raw)
        return 200

    async def verify() -> None:
        cloud.webhook = "verified"

    cloud._post, cloud._verify, cloud.told = post, verify, told
    server = TestServer(cloud.app())
    await server.start_server()
    cloud.url = str(server.make_url("/"))
    yield cloud
    await cloud._hang_up(None)
    await server.close()


@pytest_asyncio.fixture(loop_scope="module")
async def phone(page: Any, meta: Any) -> Any:
    """The customer's phone, on which he has written."""
    await meta.says(text="Where is my order?")
    await page.goto(meta.url)
    await page.get_by_text("Where is my order?").wait_for()
    return page


async def send(meta: Any, kind: str, value: Any) -> None:
    message = {"messaging_product": "whatsapp", "to": BUDI.wa_id, "type": kind, kind: value}
    answer = await meta.session.post(
        f"{meta.url}v23.0/{OURS.id}/messages", json=message, headers={"Authorization": f"Bearer {WORDS['token']}"}
    )
    assert answer.status == 200, await answer.text()


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def last(meta: Any) -> dict[str, Any]:
    return list(meta.messages.values())[-1]


async def test_what_is_written_on_either_side_is_drawn_as_on_a_phone(phone: Any, meta: Any) -> None:
    box = phone.get_by_role("textbox", name="Message")
    await box.fill("It is *4711*")
    await box.press("Enter")
    await phone.locator(".bubble.mine b", has_text="4711").wait_for()
    await phone.locator(".bubble.mine").last.get_by_role("img", name="delivered").wait_for()
    await send(meta, "text", {"body": "It comes _today_:\n- by noon\n> ~later~\nSee https://shop.example/4711."})
    bubble = phone.locator(".bubble:not(.mine)")
    await bubble.wait_for()
    assert await bubble.locator("i").inner_text() == "today"
    assert await bubble.locator(".item").inner_text() == "•  by noon"
    assert await bubble.locator(".quote s").inner_text() == "later"
    assert await bubble.locator("a").get_attribute("href") == "https://shop.example/4711"


async def test_a_button_is_pressed_and_a_row_is_chosen_by_keyboard(phone: Any, meta: Any) -> None:
    await send(meta, "interactive", BUTTONS)
    await phone.get_by_role("button", name="Yes, please").press("Enter")
    await phone.locator(".bubble.mine", has_text="Yes, please").wait_for()
    assert b'"button_reply":{"id":"y"' in meta.told[-1]
    await send(meta, "interactive", LIST)
    await phone.get_by_role("button", name="☰ Choose").press("Enter")
    await phone.get_by_role("dialog", name="Choose").get_by_role("radio", name="Ciwidey jasmine").check()
    await phone.keyboard.press("Enter")
    await phone.locator(".bubble.mine", has_text="Ciwidey").wait_for()
    assert b'"list_reply":{"id":"c"' in meta.told[-1]


async def test_a_dialog_that_is_closed_chooses_nothing(phone: Any, meta: Any) -> None:
    await send(meta, "interactive", LIST)
    await phone.get_by_role("button", name="☰ Choose").click()
    await phone.get_by_role("radio", name="Kintamani").check()
    before = len(meta.told)
    await phone.get_by_role("button", name="Close").click()
    await phone.get_by_role("dialog").wait_for(state="hidden")
    assert len(meta.told) <= before + 3  # statuses of the list may still come
    assert last(meta)["to_phone"]


async def test_a_template_is_drawn_as_one(phone: Any, meta: Any) -> None:
    await send(meta, "template", TEMPLATE)
    bubble = phone.locator(".bubble", has_text="Template hello_world · en_US")
    await bubble.wait_for()
    assert await bubble.locator(".head").inner_text() == "Hello World"


async def test_what_was_written_is_answered_changed_and_taken_back_by_keyboard(phone: Any, meta: Any) -> None:
    async def choose(what: str) -> None:
        await phone.locator(".more").first.press("Enter")
        await phone.get_by_role("button", name=what).press("Enter")

    box = phone.get_by_role("textbox", name="Message")
    await choose("Answer")
    await box.fill("Well?")
    await box.press("Enter")
    await phone.locator(".answered", has_text="Where is my order?").wait_for()
    await choose("Edit")
    assert await box.input_value() == "Where is my order?"
    await box.fill("Where is order 4711?")
    await box.press("Enter")
    await phone.locator(".bubble", has_text="edited").wait_for()
    await choose("React with ❤️")
    await phone.locator(".chip").wait_for()
    await choose("As it was on the line")
    await phone.locator("#json", has_text='"from_user_id"').wait_for()
    await phone.keyboard.press("Escape")
    await choose("Delete for everyone")
    await phone.get_by_text("This message was deleted").wait_for()
    kinds = [kind for raw in meta.told for kind in (b"edit", b"reaction", b"revoke") if b'"type":"%s"' % kind in raw]
    assert kinds == [b"edit", b"reaction", b"revoke"]


async def test_pictures_voices_and_places_are_sent_and_shown(phone: Any, meta: Any) -> None:
    for name, there in (("Photo", "img.picture"), ("Voice note", "audio"), ("Location", ".map"), ("Document", ".file")):
        await phone.get_by_role("button", name="Send something else").click()
        await phone.get_by_role("button", name=name, exact=True).click()
        await phone.locator(f".bubble.mine {there}").wait_for()
    assert await phone.locator("img.picture").evaluate("node => node.decode().then(() => node.naturalWidth)") == 320
    loaded = "node => new Promise((yes) => node.duration ? yes(node.duration) : node.addEventListener('loadedmetadata', () => yes(node.duration)))"
    assert 2.5 < await phone.locator("audio").evaluate(loaded) < 3.5


async def test_a_picture_is_swapped_for_another(phone: Any, meta: Any) -> None:
    await phone.get_by_role("button", name="Send something else").click()
    await phone.get_by_role("button", name="Photo", exact=True).click()
    await phone.locator(".bubble.mine img.picture").wait_for()
    await phone.locator(".bubble:has(img.picture) .more").press("Enter")
    await phone.get_by_role("button", name="Swap the picture").press("Enter")
    await phone.locator(".bubble:has(img.picture)", has_text="edited").wait_for()
    width = "node => node.decode().then(() => node.naturalWidth)"
    assert await phone.locator("img.picture").evaluate(width) == 300


async def test_another_customer_has_another_talk(phone: Any, meta: Any) -> None:
    await phone.get_by_label("Whose it is").select_option(label="Sari")
    await phone.get_by_text("You are the customer.").wait_for()
    await phone.get_by_text("@sari.w, who shows no number").wait_for()
    await phone.get_by_role("textbox", name="Message").fill("hello")
    await phone.get_by_role("button", name="Send", exact=True).click()
    await phone.locator(".bubble.mine", has_text="hello").wait_for()
    assert last(meta)["number"] == SARI.key
    await phone.get_by_label("Whose it is").select_option(label="Budi Santoso")
    await phone.get_by_text("Where is my order?").wait_for()


async def test_what_goes_wrong_and_metas_clock_are_turned_on_the_page(phone: Any, meta: Any) -> None:
    await phone.get_by_label("come twice each").check()
    await until(lambda: meta.faults == {"twice"})
    await phone.get_by_role("button", name="All is well").click()
    await until(lambda: not meta.faults)
    await phone.get_by_role("button", name="+23 h").click()
    await phone.get_by_role("button", name="+1 h").click()
    await phone.locator("#window", has_text="The 24 hours are over").wait_for()
    await phone.get_by_role("button", name="Now").click()
    await until(lambda: meta.ahead == 0)


async def test_nothing_typed_is_lost_and_we_are_seen_typing(phone: Any, meta: Any) -> None:
    box = phone.get_by_role("textbox", name="Message")
    await phone.get_by_label("Whose it is").evaluate("node => node.append(new Option('nobody', 'nobody', true, true))")
    await box.fill("Hello?")
    await box.press("Enter")
    await phone.get_by_text("from is a number").wait_for()
    assert await box.input_value() == "Hello?"
    await phone.get_by_label("Whose it is").select_option(label="Budi Santoso")
    meta.tell({"typing": BUDI.key, "seconds": 25})
    await phone.locator("#typing").wait_for()
    await send(meta, "text", {"body": "Here I am"})
    await phone.locator("#typing").wait_for(state="hidden")


MARKS = (
    ("*bold* _it_ ~gone~ `code`", "<p><b>bold</b> <i>it</i> <s>gone</s> <code>code</code></p>"),
    ("*_both_*", "<p><b><i>both</i></b></p>"),
    ("snake_case_name 2*3*4", "<p>snake_case_name 2*3*4</p>"),
    ("so * not bold * and *open", "<p>so * not bold * and *open</p>"),
    ("*one\ntwo*", "<p>*one</p><p>two*</p>"),
    ("`*raw*`", "<p><code>*raw*</code></p>"),
    ("a\n```\nx *y*\n```\nb", "<p>a</p><pre>x *y*</pre><p>b</p>"),
    ("```open", "<p>```open</p>"),
    ("<b>&amp;", "<p>&lt;b&gt;&amp;amp;</p>"),
)


async def test_whatsapps_marks_are_drawn_as_its_phones_draw_them(phone: Any) -> None:
    draw = "async (texts) => { const { drawn } = await import('./marks.js'); return texts.map((text) => drawn(text).innerHTML); }"
    got = await phone.evaluate(draw, [text for text, _ in MARKS])
    assert [one.replace(' class=""', "") for one in got] == [html for _, html in MARKS]


async def test_nothing_stands_in_peoples_way(chromium: Any, meta: Any) -> None:
    await meta.says(text="Where is *it*?")
    await meta.says(kind="image", text="this")
    await meta.says(kind="location")
    await send(meta, "text", {"body": "Here: `it`, https://shop.example"})
    await send(meta, "interactive", BUTTONS)
    await send(meta, "interactive", LIST)
    meta.fault("undeliverable")
    await send(meta, "text", {"body": "lost"})
    meta.fault()
    context = await chromium.new_context(bypass_csp=True, viewport={"width": 1280, "height": 740}, locale="en-GB")
    page = await context.new_page()
    await page.goto(meta.url)
    await page.get_by_text("never reached this phone").wait_for()
    found = await axe.findings(page)
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_role("button", name="☰ Choose").click()
    found += await axe.findings(page, "#sheet")
    await context.close()
    assert found == []
