"""What people see and reach: where things stand, what the keyboard does, what is harmless, and what axe says of it."""

from __future__ import annotations

import gzip

import pytest

from plugins.livechat.tests.widget.scenes import FORM, PHONE, SCENES, open_widget, say
from plugins.livechat.tests.widget.server import SETTINGS, Server, load_widget, rich, span
from tests.parts import axe
from tests.parts.chromium import becomes

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

SIZE = 20_000  # bytes, gzipped as a server would (level 6)
EVIL = "<img src=x onerror='document.title=`pwned`'><script>document.title='pwned'</script>"
BAD_LINKS = (
    "javascript:document.title='pwned'",
    "JAVASCRIPT:document.title='pwned'",
    "java\nscript:document.title='pwned'",
    " javascript:document.title='pwned'",
    "data:text/html,<script>document.title='pwned'</script>",
    "vbscript:x",
    "blob:null/x",
    "file:///etc/passwd",
    "//evil.example",
    "/relative",
    "http://[",
    "",
    7,
    None,
)
FOCUS = "document.querySelector('talkwire-chat').shadowRoot.activeElement?.getAttribute('aria-label') ?? document.querySelector('talkwire-chat').shadowRoot.activeElement?.className ?? document.activeElement.id"


def middle(box) -> float:
    return box["y"] + box["height"] / 2


async def test_the_script_is_small():
    served = load_widget().script(SETTINGS)
    assert len(gzip.compress(served, 6)) <= SIZE
    assert b"null;" not in served.split(b"STYLE")[0]  # the settings are in it


async def test_settings_cannot_end_the_script():
    served = load_widget().script({**SETTINGS, "label": "</script><script>alert(1)</script>\u2028"}).decode()
    assert "</script>" not in served
    assert "\u2028" not in served


async def test_the_sources_use_nothing_that_makes_markup():
    sources = "".join(path.read_text("utf-8") for path in load_widget().FOLDER.glob("*.js"))
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        '"style"',
        "DOMParser",
    ):
        assert word not in sources, word


async def test_script_in_every_field_is_only_text(server: Server, visit):
    server.settings |= {"label": EVIL, "title": EVIL, "colour": "red;}</style>" + EVIL}
    server.welcome |= {
        "notice": {"version": EVIL, "text": EVIL, "seen": False},
        "hours": {"open": True, "text": EVIL},
        "form": {
            "title": EVIL,
            "fields": [{"name": "name", "label": EVIL, "required": False}, {"name": EVIL, "label": EVIL}],
        },
    }
    page = await visit()
    page.forgives += ["404", "ERR_"]
    await page.locator("talkwire-chat .launcher").click()
    await page.locator("talkwire-chat form .main").click()
    await server.heard("form")
    tree = [
        {"type": kind, "text": EVIL, "spans": [span(EVIL)], "nodes": [span(EVIL)]}
        for kind in ("paragraph", "heading", "quote", "code_block", "bold", EVIL)
    ]
    options = [
        {"id": EVIL, "title": EVIL, "description": EVIL},
        *({"id": "x", "title": EVIL, "url": url} for url in BAD_LINKS),
    ]
    links = [{"type": "link", "url": url, "spans": [span(EVIL)]} for url in BAD_LINKS]
    media = {"attachment": EVIL, "name": EVIL + "\u202egnp.exe", "media_type": EVIL, "size": EVIL}
    image = {**media, "media_type": "image/svg+xml"}
    blocks = [
        {"type": "text", "nodes": tree},
        {
            "type": "text",
            "nodes": [
                {"type": "table", "rows": [[[span(EVIL)]], [links]]},
                {"type": "list", "items": [tree], "start": EVIL},
            ],
        },
        {"type": "media", **media, "url": "javascript:document.title='pwned'", "nodes": tree},
        {"type": "media", **image, "url": "data:image/svg+xml,<svg onload='document.title=`pwned`'/>", "nodes": []},
        {"type": "media", **media, "media_type": "image/png", "url": "/files/none\"onerror='x'.gif", "nodes": []},
        {"type": "buttons", "nodes": tree, "options": options},
        {"type": "list", "nodes": tree, "button": EVIL, "options": options},
        {"type": "card", "title": EVIL, "nodes": tree, "image": image, "options": options},
        {"type": "location", "latitude": EVIL, "longitude": EVIL, "name": EVIL, "address": EVIL},
        {"type": "form_link", "label": EVIL, "url": BAD_LINKS[0]},
        {"type": "contact", "name": EVIL, "phones": [EVIL], "emails": [EVIL]},
        {"type": EVIL},
    ]
    for number, block in enumerate(blocks):
        await server.write(block, key=f"{EVIL} {number}", author=EVIL, text=EVIL)
    await server.write(EVIL, key="notice", notice=EVIL)
    await server.say(server.theirs(EVIL, EVIL) | {"blocks": [{"type": "choice", "id": EVIL, "title": EVIL}]})
    await server.say({"t": "ended", "reason": EVIL})
    await page.get_by_role("button", name="Start again").wait_for()
    links = await page.evaluate(
        "[...document.querySelector('talkwire-chat').shadowRoot.querySelectorAll('[href], [src]')].map(one => one.href || one.src)"
    )
    assert {link.split(":")[0] for link in links} <= {"http", "https", "tel", "mailto"}
    assert all(link.startswith((server.base, "https://www.openstreetmap.org/", "tel:", "mailto:")) for link in links)
    made = await page.evaluate(
        "[...document.querySelector('talkwire-chat').shadowRoot.querySelectorAll('script, iframe, object, embed, [onerror], [onload]')].length"
    )
    assert made == 0
    assert await page.title() == "Kopi Kita, coffee from Toraja"
    assert "\u202e" not in await page.locator("talkwire-chat .log").inner_text()


async def test_rich_content_becomes_what_it_says(server: Server, shop):
    await open_widget(server, shop)
    await server.write(*rich())
    bubble = shop.locator("talkwire-chat .bubble")
    for tag, text in (
        ("strong", "bold"),
        ("em", "italic"),
        ("s", "struck out"),
        ("code", "code"),
        ("ul > li:nth-child(2) > p", "Minanga, honey"),
        ("ol > li:nth-child(3)", "Drink"),
        ("blockquote", "The best cup in years."),
        ("th:nth-child(2)", "Price"),
        ("tr:nth-child(3) > td:first-child", "1 kg"),
    ):
        assert await bubble.locator(tag).first.inner_text() == text
    assert await bubble.locator("pre").inner_text() == "grind = 18 g\nwater = 300 ml at 93 °C"
    link = bubble.get_by_role("link", name="our returns page")
    assert await link.evaluate("one => [one.href, one.rel, one.target]") == [
        "https://example.org/returns",
        "noopener noreferrer",
        "_blank",
    ]


async def test_what_is_copied_is_plain_text(server: Server, shop):
    await open_widget(server, shop)
    await server.write(*rich())
    await shop.locator("talkwire-chat strong").wait_for()
    kinds = await shop.evaluate(
        """() => { const root = document.querySelector('talkwire-chat').shadowRoot; const one = root.querySelector('.bubble p');
        getSelection().selectAllChildren(one); const clipboardData = new DataTransfer();
        one.dispatchEvent(new ClipboardEvent('copy', {clipboardData, bubbles: true, composed: true, cancelable: true}));
        return [[...clipboardData.types], clipboardData.getData('text/plain')]; }"""
    )
    assert kinds == [["text/plain"], "We have bold, italic, struck out and code. See our returns page."]


async def test_a_notice_stays_lowest_whatever_comes_after_it(server: Server, shop):
    await open_widget(server, shop)
    await server.write("You are number 3.", key="n1", notice="queue", author="")
    await server.write("Office closes at six.", key="n2", notice="hours", author="")
    await server.write("Hello")
    await say(server, shop, "Hi")
    await server.write("You are number 2.", key="n1", notice="queue", author="")
    await shop.get_by_text("You are number 2.").wait_for()
    log = shop.locator("talkwire-chat .log")
    below = [
        await log.get_by_text(text).bounding_box()
        for text in ("Hello", "Hi", "You are number 2.", "Office closes at six.")
    ]
    assert [box["y"] for box in below] == sorted(box["y"] for box in below)
    assert await log.get_by_text("You are number 3.").count() == 0
    assert await log.locator(".notice .tick, .notice time, .notice .who").count() == 0
    await server.say({"t": "message", "out": True, "key": "n1", "gone": True})
    await shop.get_by_text("You are number 2.").wait_for(state="detached")


async def test_the_tick_is_at_the_lower_right_of_the_bubble_and_covers_no_text(server: Server, shop):
    await open_widget(server, shop)
    for text in ("Hi", "A text that takes exactly so much room", "word " * 60, "W" * 200):
        await say(server, shop, text.strip())
    await shop.get_by_role("img", name="Sent", exact=True).nth(3).wait_for()
    places = await shop.evaluate(
        """[...document.querySelector('talkwire-chat').shadowRoot.querySelectorAll('.mine .bubble')].map(bubble => {
        const range = document.createRange(); const text = bubble.querySelector('p').firstChild; range.selectNodeContents(text);
        const meta = bubble.querySelector('.meta').getBoundingClientRect(); const tick = bubble.querySelector('.tick').getBoundingClientRect();
        const hits = [...range.getClientRects()].some(one => one.right > meta.left + 1 && one.bottom > meta.top + 4 && one.top < meta.bottom - 4);
        const box = bubble.getBoundingClientRect(); return [box.right - tick.right, box.bottom - tick.bottom, hits]; })"""
    )
    assert len(places) == 4
    for right, bottom, hits in places:
        assert 0 < right < 20
        assert 0 < bottom < 14
        assert not hits


async def test_on_a_phone_it_fills_the_screen_and_the_keyboard_does_not_cover_the_composer(server: Server, visit):
    page = await visit(**PHONE, reduced_motion="reduce")
    await open_widget(server, page)
    panel = await page.locator("talkwire-chat .panel").bounding_box()
    assert (panel["x"], panel["y"], panel["width"], panel["height"]) == (0, 0, 360, 640)
    for number in range(20):
        await server.write(f"Line {number}")
    await page.get_by_text("Line 19").wait_for()
    # What a keyboard does to the visual viewport; Chromium shows none to a test.
    await page.evaluate(
        """() => { for (const [name, value] of [['height', 320], ['offsetTop', 40]])
        Object.defineProperty(visualViewport, name, {value, configurable: true}); visualViewport.dispatchEvent(new Event('resize'));
        // The last line was scrolled to just now, which is told only when the panel has become smaller.
        document.querySelector('talkwire-chat').shadowRoot.querySelector('.log').dispatchEvent(new Event('scroll')); }"""
    )
    await becomes(
        page,
        """(({ scrollHeight, scrollTop, clientHeight }) => clientHeight < 320 && scrollHeight - scrollTop - clientHeight < 2)(
        document.querySelector('talkwire-chat').shadowRoot.querySelector('.log'))""",
        True,
    )
    panel = await page.locator("talkwire-chat .panel").bounding_box()
    assert panel["height"] == 320
    for target in (
        page.get_by_label("Write a message"),
        page.get_by_role("button", name="Send"),
        page.get_by_role("button", name="Minimise chat"),
        page.get_by_text("Line 19"),
    ):
        box = await target.bounding_box()
        assert box["y"] >= 40
        assert box["y"] + box["height"] <= 360
    for button in await page.locator("talkwire-chat .panel button:visible").all():
        box = await button.bounding_box()
        assert box["height"] >= 44
        assert box["width"] >= 44
    assert await page.evaluate("document.scrollingElement.scrollWidth") <= 360


async def test_on_a_phone_the_page_behind_cannot_be_reached(server: Server, visit):
    page = await visit(**PHONE)
    await open_widget(server, page)
    for _ in range(12):
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.id") != "own"
    await page.keyboard.press("Escape")
    assert await page.evaluate(FOCUS) == "Chat with us"


async def test_the_keyboard_reaches_everything_and_the_focus_comes_back(server: Server, shop):
    await shop.locator("#own").focus()
    await shop.keyboard.press("Tab")
    assert await shop.evaluate(FOCUS) == "Chat with us"
    await shop.keyboard.press("Enter")
    await becomes(shop, FOCUS, "Write a message")
    await shop.keyboard.type("Hello")
    await shop.keyboard.press("Shift+Enter")
    await shop.keyboard.type("you")
    await shop.keyboard.press("Enter")
    (sent,) = await server.heard("message")
    assert sent["text"] == "Hello\nyou"
    await server.write({"type": "buttons", "nodes": [], "options": [{"id": "y", "title": "Yes"}]})
    await shop.get_by_role("button", name="Yes").wait_for()
    await shop.keyboard.type("x")
    stops = []
    for _ in range(4):
        await shop.keyboard.press("Shift+Tab")
        stops.append(await shop.evaluate(FOCUS))
    assert stops == ["Attach files", "option", "Conversation", "Minimise chat"]
    await shop.keyboard.press("Shift+Tab")
    await shop.keyboard.press("Space")
    assert await shop.get_by_role("button", name="Mute sounds").get_attribute("aria-pressed") == "true"
    await shop.keyboard.press("Escape")
    assert await shop.locator("talkwire-chat .panel").is_hidden()
    assert (await shop.evaluate(FOCUS)).startswith("Chat with us")


async def test_a_page_that_opens_it_gets_its_focus_back(server: Server, shop):
    await shop.locator("#own").focus()
    await shop.evaluate("talkwire.open()")
    await becomes(shop, FOCUS, "Write a message")
    await shop.evaluate("talkwire.close()")
    assert await shop.evaluate("document.activeElement.id") == "own"


async def test_the_form_and_the_end_are_reached_by_keyboard(server: Server, shop):
    server.welcome["form"] = FORM
    await shop.locator("talkwire-chat .launcher").press("Enter")
    await becomes(shop, "document.querySelector('talkwire-chat').shadowRoot.activeElement?.id", "name")
    await shop.keyboard.type("Budi")
    await shop.keyboard.press("Tab")
    await shop.keyboard.press("Tab")
    await shop.keyboard.type("My order")
    await shop.keyboard.press("Tab")
    await shop.keyboard.press("Enter")
    assert (await server.heard("form"))[0]["values"] == {"name": "Budi", "email": "", "question": "My order"}
    await becomes(shop, FOCUS, "Write a message")
    await server.say({"t": "ended", "reason": "agent"})
    await shop.get_by_role("button", name="Start again").wait_for()
    await shop.keyboard.press("Enter")
    await becomes(shop, FOCUS, "Write a message")


@pytest.mark.parametrize(
    ("settings", "locale", "words"),
    [
        ({}, "id-ID", "Tulis pesan"),
        ({"language": "id"}, "en-GB", "Tulis pesan"),
        ({"language": "en"}, "id-ID", "Write a message"),
        ({}, "fr-FR", "Write a message"),
    ],
)
async def test_it_speaks_the_language_of_the_settings_or_of_the_browser(server: Server, visit, settings, locale, words):
    server.settings |= settings
    page = await visit(locale=locale)
    await page.locator("talkwire-chat .launcher").click()
    await page.get_by_label(words).wait_for()
    assert (await server.heard("hello"))[0]["language"] == ("id" if words == "Tulis pesan" else "en")
    assert await page.locator("talkwire-chat .all").get_attribute("lang") == ("id" if words == "Tulis pesan" else "en")


async def test_every_word_is_there_in_both_languages(server: Server, shop):
    source = (load_widget().FOLDER / "words.js").read_text("utf-8")
    table = source[source.index("const WORDS = {") : source.index("};")]
    lines = [line for line in table.splitlines()[1:] if line.strip()]
    assert len(lines) > 50
    assert [line for line in lines if line.count('", "') != 1] == []


async def test_the_log_is_read_out_politely_and_only_what_is_new(server: Server, shop):
    server.log.append(server.ours("Long ago"))
    await shop.locator("talkwire-chat .launcher").click()
    log = shop.get_by_role("log", name="Conversation")
    assert await log.get_attribute("aria-live") in {"off", "polite"}
    await shop.get_by_text("Long ago").wait_for()
    await shop.locator("talkwire-chat .log[aria-live=polite]").wait_for()


async def test_sound_is_heard_only_where_nobody_looks_and_not_when_muted(server: Server, shop):
    await shop.evaluate(
        """() => { window.sounds = 0; const start = OscillatorNode.prototype.start;
        OscillatorNode.prototype.start = function (...when) { window.sounds += 1; return start.apply(this, when); }; }"""
    )
    await open_widget(server, shop)
    await server.write("Seen at once")
    await shop.get_by_text("Seen at once").wait_for()
    assert await shop.evaluate("sounds") == 0
    mute = shop.get_by_role("button", name="Mute sounds")
    await mute.click()
    await shop.keyboard.press("Escape")
    await server.write("Unseen and unheard")
    await shop.get_by_text("Unseen and unheard").wait_for(state="attached")
    assert await shop.evaluate("sounds") == 0
    await shop.locator("talkwire-chat .launcher").click()
    await mute.click()
    await shop.keyboard.press("Escape")
    await server.write("Unseen")
    await becomes(shop, "sounds", 2)


async def test_days_are_told_apart(server: Server, shop):
    for day in ("2026-01-05", "2026-01-05", "2026-01-06"):
        server.log.append(server.ours(day, at=f"{day}T12:00:00Z"))
    await open_widget(server, shop)
    await shop.locator("talkwire-chat .day").nth(1).wait_for()
    assert await shop.locator("talkwire-chat .day").all_inner_texts() == [
        "Monday, 5 January 2026",
        "Tuesday, 6 January 2026",
    ]


async def test_nothing_moves_for_those_who_asked_for_it(server: Server, visit):
    page = await visit(reduced_motion="reduce")
    await open_widget(server, page)
    await server.say({"t": "typing", "on": True})
    await page.locator("talkwire-chat .typing").wait_for()
    moving = await page.evaluate("document.querySelector('talkwire-chat').shadowRoot.getAnimations().length")
    assert moving == 0


async def test_a_loud_host_page_changes_nothing_inside(server: Server, shop):
    await shop.evaluate(
        "const sheet = new CSSStyleSheet(); sheet.replaceSync('* { font-size: 40px !important; letter-spacing: 1em; text-transform: uppercase; line-height: 3; color: red }');"
        "document.adoptedStyleSheets = [sheet]"
    )
    await open_widget(server, shop)
    await server.write("Quiet")
    style = await shop.get_by_text("Quiet").evaluate(
        "one => { const is = getComputedStyle(one); return [is.fontSize, is.letterSpacing, is.textTransform, is.color]; }"
    )
    assert style == ["15px", "normal", "none", "rgb(21, 24, 28)"]


@pytest.mark.parametrize("name", [name for name in SCENES if name not in {"many", "long_text", "long_word"}])
async def test_axe_finds_nothing(server: Server, visit, name):
    scene = SCENES[name]
    server.settings |= scene.settings
    page = await visit(color_scheme="light", reduced_motion="reduce", bypass_csp=True, **scene.context)
    page.forgives += ["WebSocket"]
    await scene.play(server, page)
    assert await axe.findings(page, "talkwire-chat") == []


async def test_axe_looks_into_the_widget(server: Server, visit):
    page = await visit(bypass_csp=True, reduced_motion="reduce")
    await open_widget(server, page)
    await page.locator("talkwire-chat textarea").evaluate(
        "one => { one.removeAttribute('aria-label'); one.placeholder = ''; one.title = ''; }"
    )
    await page.locator("talkwire-chat .hello p").evaluate("one => { one.style.color = '#ccc'; }")
    found = [line.split(":")[0] for line in await axe.findings(page, "talkwire-chat")]
    assert found[:2] == ["color-contrast", "label"]
