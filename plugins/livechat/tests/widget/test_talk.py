"""What the widget and a server say to each other: nothing too early, nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import json

import pytest

from plugins.livechat.tests.widget.scenes import CONSENT, FORM, NOTICE, TALK, open_widget, say
from plugins.livechat.tests.widget.server import Server, paragraph
from tests.parts.chromium import becomes

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

STORED = "Object.fromEntries(Object.entries(localStorage).filter(([name]) => name.startsWith('talkwire:')))"
BUBBLES = (
    "[...document.querySelector('talkwire-chat').shadowRoot.querySelectorAll('.message p')].map(one => one.textContent)"
)


async def texts(page) -> list[str]:
    return await page.evaluate(BUBBLES)


async def frames(page) -> None:
    """Let the page be drawn, so that its observers have looked, whatever the turned clock says."""
    for _ in range(2):
        await page.screenshot()


async def until_texts(page, wanted: list[str]) -> None:
    await becomes(page, BUBBLES, wanted)


async def test_nothing_is_stored_and_nobody_called_before_the_visitor_opens_it(server: Server, shop):
    await shop.locator("talkwire-chat .launcher").focus()
    await shop.evaluate("dispatchEvent(new Event('online')); document.dispatchEvent(new Event('visibilitychange'))")
    assert await shop.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    assert server.hellos == []

    await open_widget(server, shop)
    assert server.hellos == [{"t": "hello", "protocol": 1, "after": 0, "fresh": True, "language": "en"}]
    assert set(await shop.evaluate(STORED)) == {f"talkwire:{server.base}:site:{name}" for name in ("open", "token")}


async def test_a_message_is_pending_then_kept_then_read(server: Server, shop):
    server.acks = False
    await open_widget(server, shop)
    await say(server, shop, "Hello")
    tick = shop.locator("talkwire-chat .tick")
    await shop.get_by_role("img", name="Waiting to be sent").wait_for()
    (sent,) = server.all("message")
    await server.say({"t": "ack", "id": sent["id"], "n": 7, "at": "2026-11-28T06:00:00Z"})
    await shop.get_by_role("img", name="Sent", exact=True).wait_for()
    await server.say({"t": "read", "n": 6})
    await server.say({"t": "read", "n": 7})
    await shop.get_by_role("img", name="Read", exact=True).wait_for()
    assert await tick.count() == 1


async def test_messages_are_folded_by_id_and_by_key_and_stand_in_the_order_of_their_numbers(server: Server, shop):
    await open_widget(server, shop)
    await server.say(
        {"t": "message", "out": True, "key": "a", "at": "2026-11-28T06:00:02Z", "blocks": [paragraph("second")]}
    )
    await server.say(
        {"t": "message", "out": True, "key": "b", "n": 2, "at": "2026-11-28T06:00:01Z", "blocks": [paragraph("first")]}
    )
    await server.say({"t": "message", "out": True, "key": "a", "n": 3})
    await server.say({"t": "message", "out": False, "id": "c", "n": 1, "blocks": [paragraph("zeroth")]})
    await server.say({"t": "message", "out": True, "key": "b", "blocks": [paragraph("first, edited")]})
    await server.say({"t": "message", "out": False, "id": "c", "n": 1, "blocks": [paragraph("zeroth")]})
    await until_texts(shop, ["zeroth", "first, edited", "second"])
    await server.say({"t": "message", "out": True, "key": "b", "gone": True})
    await until_texts(shop, ["zeroth", "second"])


async def test_after_an_outage_it_resumes_where_it_was_and_its_outbox_goes_out_in_order_once(server: Server, shop):
    shop.forgives += ["WebSocket"]
    await open_widget(server, shop)
    await server.write("one")
    await until_texts(shop, ["one"])
    server.is_down = True
    await server.drop()
    for text in ("two", "three", "four"):
        await shop.locator("talkwire-chat textarea").fill(text)
        await shop.keyboard.press("Enter")
    await shop.get_by_text("No connection; your messages are kept").wait_for()
    assert await shop.get_by_role("img", name="Waiting to be sent").count() == 3
    server.is_down = False
    await shop.evaluate("dispatchEvent(new Event('online'))")

    sent = await server.heard("message", 3)
    await shop.get_by_role("img", name="Sent", exact=True).nth(2).wait_for()
    assert [frame["text"] for frame in sent] == ["two", "three", "four"]
    assert [hello["after"] for hello in server.hellos] == [0, 1]
    assert server.hellos[1]["token"] == "token-1"
    assert server.hellos[1]["fresh"] is False
    assert await texts(shop) == ["one", "two", "three", "four"]
    assert [name for name in await shop.evaluate(STORED) if ":out:" in name] == []


async def test_the_outbox_survives_a_reload_and_the_close_of_the_page(server: Server, shop):
    server.acks = False
    await open_widget(server, shop)
    await say(server, shop, "one")
    await shop.locator("talkwire-chat textarea").fill("two")
    await shop.keyboard.press("Enter")
    await shop.locator("talkwire-chat textarea").fill("a draft")
    await shop.close()
    server.acks = True
    server.frames.clear()

    page = await shop.context.new_page()
    await page.goto(server.shop)
    await server.heard("message", 2)
    await page.get_by_role("img", name="Sent", exact=True).nth(1).wait_for()
    assert [frame["text"] for frame in server.all("message")] == ["one", "two"]
    assert await texts(page) == ["one", "two"]
    assert await page.locator("talkwire-chat textarea").input_value() == "a draft"
    assert await page.evaluate("document.activeElement.tagName") == "BODY"  # nobody's focus is taken at page load


async def test_a_message_whose_ack_was_lost_keeps_its_id_and_is_shown_once(server: Server, shop):
    server.acks = False
    await open_widget(server, shop)
    await say(server, shop, "Hello")
    (first,) = server.all("message")
    server.log.append(server.theirs("Hello", first["id"]))  # it had been kept
    server.acks = True
    await server.drop(1012)
    await shop.get_by_role("img", name="Sent", exact=True).wait_for()
    assert {frame["id"] for frame in server.all("message")} == {first["id"]}
    assert await texts(shop) == ["Hello"]


async def test_a_slow_server_is_asked_again_and_later_messages_wait(server: Server, shop):
    await open_widget(server, shop)
    codes = ["too_fast", "later"]

    def answer(frame):
        if codes:
            return {"t": "nack", "id": frame["id"], "code": codes.pop(0), "retry_after": 0.2}
        return {"t": "ack", "id": frame["id"], "n": len(server.frames), "at": "2026-11-28T06:00:00Z"}

    server.answers["message"] = answer
    await say(server, shop, "one")
    await shop.locator("talkwire-chat textarea").fill("two")
    await shop.keyboard.press("Enter")
    await shop.get_by_role("img", name="Sent", exact=True).nth(1).wait_for()
    assert [frame["text"] for frame in server.all("message")] == ["one", "one", "one", "two"]


@pytest.mark.parametrize(
    ("code", "reason"), [("too_long", "It is too long"), ("unreadable", "It was refused"), ("<b>", "It was refused")]
)
async def test_a_refused_message_says_why_and_can_be_edited_or_removed(server: Server, shop, code, reason):
    await open_widget(server, shop)
    server.answers["message"] = lambda frame: {"t": "nack", "id": frame["id"], "code": code}
    await say(server, shop, "One")
    await shop.get_by_text(f"Not sent. {reason}.").wait_for()
    await shop.reload()
    await shop.get_by_role("button", name="Edit").click()
    assert await shop.locator("talkwire-chat textarea").input_value() == "One"
    await until_texts(shop, [])
    await say(server, shop, "Two")
    await shop.get_by_role("button", name="Remove").click()
    await until_texts(shop, [])
    assert len(server.all("message")) == 2


async def test_two_tabs_agree_and_send_in_order_though_both_have_written(server: Server, shop, visit):
    shop.forgives += ["WebSocket"]
    await open_widget(server, shop)
    other = await visit(shop.context)
    await server.until(lambda: len(server.hellos) == 2)
    assert server.hellos[1]["token"] == "token-1"
    server.is_down = True
    await server.drop()
    for page, text in ((shop, "one"), (other, "two"), (shop, "three")):
        await page.locator("talkwire-chat textarea").fill(text)
        await page.locator("talkwire-chat textarea").press("Enter")
    server.is_down = False
    await asyncio.gather(*(page.evaluate("dispatchEvent(new Event('online'))") for page in (other, shop)))
    for page in (shop, other):
        await page.get_by_role("img", name="Sent", exact=True).nth(2).wait_for()
        assert await texts(page) == ["one", "two", "three"]
    firsts = list(dict.fromkeys(frame["text"] for frame in server.all("message")))
    assert firsts == ["one", "two", "three"]
    assert [one["text"] for one in server.log] == ["one", "two", "three"]


async def test_two_tabs_opened_at_once_become_one_visitor(server: Server, shop, visit):
    other = await visit(shop.context)
    await asyncio.gather(*(page.evaluate("talkwire.open()") for page in (shop, other)))
    await server.until(lambda: len(server.hellos) == 2)
    assert [hello.get("token") for hello in server.hellos] == [None, "token-1"]


async def test_delivered_is_said_at_once_and_read_only_after_a_second_in_view(server: Server, shop):
    await shop.clock.install()
    await open_widget(server, shop)
    await shop.keyboard.press("Escape")
    await server.write("Are you there?", key="a")
    await shop.clock.run_for(5000)
    assert await server.heard("seen") == [{"t": "seen", "keys": ["a"], "state": "delivered"}]
    badge = shop.get_by_role("button", name="Chat with us, 1 unread message")
    await badge.wait_for()
    await shop.clock.pause_at(await shop.evaluate("Date.now() / 1000 + 60"))  # it goes on only as we say
    await badge.click()
    await shop.locator("talkwire-chat .message").wait_for()
    await shop.clock.run_for(900)
    await frames(shop)
    assert len(server.all("seen")) == 1
    await shop.clock.run_for(1100)
    assert (await server.heard("seen", 2))[1] == {"t": "seen", "keys": ["a"], "state": "read"}
    await shop.keyboard.press("Escape")
    assert await shop.locator("talkwire-chat .badge").is_hidden()


async def test_what_is_out_of_view_or_on_a_hidden_page_is_not_read(server: Server, shop):
    for number in range(30):
        server.log.append(server.ours(f"Line {number}", key=f"key {number}", state="read" if number else "sent"))
    await shop.clock.install()
    await open_widget(server, shop)  # begins at the first unread line
    await frames(shop)
    await shop.clock.run_for(1500)
    await server.until(lambda: {"t": "seen", "keys": ["key 0"], "state": "read"} in server.frames)
    await shop.locator("talkwire-chat .log").evaluate("log => log.scrollTop = 0")
    await server.write("Below", key="below")
    await shop.get_by_role("button", name="Newest messages").wait_for()
    await shop.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
    )
    await shop.get_by_role("button", name="Newest messages").click()
    await frames(shop)
    await shop.clock.run_for(5000)
    assert not any(frame["state"] == "read" and "below" in frame["keys"] for frame in server.all("seen"))
    await shop.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))"
    )
    await shop.clock.run_for(1500)
    await server.until(lambda: {"t": "seen", "keys": ["below"], "state": "read"} in server.frames)


async def test_a_bubble_taller_than_the_log_can_be_read_too(server: Server, shop):
    await open_widget(server, shop)
    await server.write("word " * 3000, key="tall")
    await server.until(lambda: {"t": "seen", "keys": ["tall"], "state": "read"} in server.frames)


async def test_typing_is_told_once_and_falls_off_when_the_visitor_is_still(server: Server, shop):
    await shop.clock.install()
    await open_widget(server, shop)
    field = shop.locator("talkwire-chat textarea")
    await field.press_sequentially("Hello")
    assert await server.heard("typing") == [{"t": "typing", "on": True}]
    await shop.clock.run_for(4100)
    await field.press_sequentially("!")
    await server.heard("typing", 2)
    await shop.clock.run_for(5100)
    assert [frame["on"] for frame in await server.heard("typing", 3)] == [True, True, False]
    await server.say({"t": "typing", "on": True})
    await shop.get_by_text("Typing…").wait_for()
    await shop.clock.run_for(8100)
    await shop.get_by_text("Typing…").wait_for(state="hidden")


async def test_the_notice_is_shown_told_and_shown_again_on_top_when_its_version_changes(server: Server, shop):
    server.welcome["notice"] = dict(NOTICE)
    await open_widget(server, shop)
    assert await server.heard("noticed") == [{"t": "noticed", "version": "1"}]
    await say(server, shop, "Hello")
    await server.say({"t": "settings", "notice": {"version": "2", "text": "We record more now.", "seen": False}})
    assert (await server.heard("noticed", 2))[1] == {"t": "noticed", "version": "2"}
    notice = shop.get_by_text("We record more now.")
    head = await shop.locator("talkwire-chat header").bounding_box()
    box = await notice.bounding_box()
    assert 0 <= box["y"] - (head["y"] + head["height"]) < 30
    await shop.get_by_role("button", name="Got it").click()
    assert await shop.locator("talkwire-chat .log").get_by_text("We record more now.").count() == 1


async def test_nothing_is_sent_before_consent_and_a_refusal_offers_the_mail_address(server: Server, shop):
    server.welcome["consent"] = dict(CONSENT)
    await open_widget(server, shop)
    assert await shop.locator("talkwire-chat textarea").is_hidden()
    await shop.get_by_role("button", name="Refuse").click()
    assert await server.heard("consent") == [{"t": "consent", "version": "3", "accepted": False}]
    mail = shop.get_by_role("link", name="help@kopi.example")
    assert await mail.get_attribute("href") == "mailto:help@kopi.example"
    assert await shop.locator("talkwire-chat textarea").is_hidden()
    await shop.get_by_role("button", name="Read the text again").click()
    await shop.get_by_role("button", name="Accept").click()
    await shop.locator("talkwire-chat textarea").wait_for()
    assert server.all("message") == []


async def test_what_was_refused_for_want_of_consent_goes_out_once_it_is_given(server: Server, shop):
    await open_widget(server, shop)
    server.answers["message"] = lambda frame: {"t": "nack", "id": frame["id"], "code": "consent"}
    await say(server, shop, "Hello")
    await shop.get_by_text("Not sent").wait_for()
    server.answers.clear()
    await server.say({"t": "settings", "consent": dict(CONSENT)})
    await shop.get_by_role("button", name="Accept").click()
    await shop.get_by_role("img", name="Sent", exact=True).wait_for()


async def test_the_form_is_checked_sent_and_its_faults_are_shown_at_the_field(server: Server, shop):
    server.welcome["form"] = FORM
    await open_widget(server, shop)
    await shop.get_by_role("button", name="Start chat").click()
    assert await shop.get_by_text("Please fill this in.").count() == 2
    assert server.all("form") == []
    await shop.get_by_label("Your name").fill("Budi")
    await shop.get_by_label("E-mail").fill("budi@example.org")
    await shop.get_by_label("What is it about?").fill("My order")
    server.answers["form"] = lambda _frame: {"t": "nack", "id": "form", "fields": {"email": "email", "name": "<i>"}}
    await shop.get_by_role("button", name="Start chat").click()
    await shop.get_by_text("Please check the e-mail address.").wait_for()
    assert await shop.get_by_label("E-mail").get_attribute("aria-invalid") == "true"
    assert await shop.get_by_text("Please check this.").count() == 1
    server.answers.clear()
    await shop.get_by_role("button", name="Start chat").click()
    await shop.locator("talkwire-chat textarea").and_(shop.get_by_label("Write a message")).wait_for()
    assert server.all("form")[-1]["values"] == {"name": "Budi", "email": "budi@example.org", "question": "My order"}


async def test_an_ended_talk_is_begun_again_by_writing(server: Server, shop):
    await open_widget(server, shop)
    await say(server, shop, TALK[0])
    await shop.get_by_role("button", name="End chat").click()
    await shop.get_by_role("button", name="End chat").last.click()
    await server.heard("bye")
    await shop.get_by_text("This chat has ended.").wait_for()
    assert f"talkwire:{server.base}:site:live" not in await shop.evaluate(STORED)
    await shop.get_by_role("button", name="Start again").click()
    assert await shop.locator("talkwire-chat textarea").evaluate("one => one.getRootNode().activeElement === one")
    await say(server, shop, "One more thing")
    await server.say({"t": "reopened"})
    await shop.get_by_role("button", name="End chat").wait_for()


async def test_a_button_is_pressed_once_and_shows_what_was_chosen_after_a_reload_too(server: Server, shop):
    await open_widget(server, shop)
    options = [{"id": "y", "title": "Yes"}, {"id": "n", "title": "No"}]
    await server.write({"type": "buttons", "nodes": [], "options": options}, key="q1")
    await server.write({"type": "buttons", "nodes": [], "options": options}, key="q2")
    first, second = (shop.locator(f"talkwire-chat [data-slot='k:q{number}']") for number in (1, 2))
    await first.get_by_role("button", name="Yes").click()
    (sent,) = await server.heard("message")
    assert (sent["text"], sent["choice"]) == ("Yes", {"id": "y", "title": "Yes", "key": "q1"})
    await first.get_by_role("button", name="No").click(force=True)
    await first.get_by_role("button", name="Yes chosen").wait_for()
    await second.get_by_role("button", name="No").click()
    await server.heard("message", 2)
    assert [frame["text"] for frame in server.all("message")] == ["Yes", "No"]

    await shop.reload()
    await first.get_by_role("button", name="Yes chosen").wait_for()
    await second.get_by_role("button", name="No chosen").wait_for()
    assert await shop.locator("talkwire-chat [data-option][aria-disabled=true]").count() == 4


async def test_several_files_go_with_a_message_and_their_faults_are_named(server: Server, shop):
    await open_widget(server, shop)
    picker = shop.locator("talkwire-chat input[type=file]")
    await picker.set_input_files(
        [
            {"name": "Überblick \U0001f600.png", "mimeType": "image/png", "buffer": b"\x89PNG"},
            {"name": "huge.png", "mimeType": "image/png", "buffer": b"x" * 1_000_001},
            {"name": "bad.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ"},
        ]
    )
    await shop.get_by_text("bad.exe: files of this type are not accepted.").wait_for()
    await server.until(lambda: server.uploads)
    assert server.uploads == [("Bearer token-1", "Überblick \U0001f600.png", b"\x89PNG")]
    await shop.locator("talkwire-chat .send[aria-disabled=false]").click()
    (sent,) = await server.heard("message")
    assert (sent["files"], sent["text"]) == (["file-1"], "")


async def test_what_the_server_says_of_an_upload_is_shown(server: Server, shop):
    from aiohttp import web

    shop.forgives += ["status of 4", "status of 5"]
    await open_widget(server, shop)
    picker = shop.locator("talkwire-chat input[type=file]")
    one = {"name": "one.png", "mimeType": "image/png", "buffer": b"\x89PNG" * 9}
    for status, body, words in (
        (413, {"code": "too_large", "limit": 20}, "one.png is larger than"),
        (415, {"code": "type_refused"}, "one.png: files of this type"),
        (429, {"code": "too_many"}, "one.png could not be uploaded"),
        (500, [], "one.png could not be uploaded"),
    ):
        server.upload = lambda _body, _name, status=status, body=body: web.json_response(body, status=status)
        await picker.set_input_files([one])
        await shop.get_by_role("alert").get_by_text(words).wait_for()
    server.upload = None
    await shop.get_by_role("button", name="Try again").last.click()
    await shop.get_by_role("button", name="Remove: one.png").first.click()
    assert await shop.get_by_role("button", name="Try again").count() == 0


async def test_an_upload_shows_its_progress_and_can_be_cancelled(server: Server, shop):
    shop.forgives += ["ERR_FAILED", "ERR_ABORTED"]
    await open_widget(server, shop)
    server.slow_upload = asyncio.Event()
    one = {"name": "one.png", "mimeType": "image/png", "buffer": b"\x89PNG" * 9}
    await shop.locator("talkwire-chat input[type=file]").set_input_files([one])
    await shop.get_by_role("progressbar", name="Uploading one.png").wait_for()
    assert await shop.get_by_role("button", name="Send").get_attribute("aria-disabled") == "true"
    await shop.get_by_role("button", name="Remove: one.png").click()
    assert await shop.get_by_role("progressbar").count() == 0
    assert await shop.locator("talkwire-chat .fault").inner_text() == ""
    server.slow_upload.set()


async def test_files_are_taken_by_drag_and_by_paste(server: Server, shop):
    await open_widget(server, shop)
    made = "(() => { const data = new DataTransfer(); data.items.add(new File(['x'], name, {type: 'text/plain'})); return data; })()"
    await shop.locator("talkwire-chat .panel").evaluate(
        f"(panel, name) => {{ const dataTransfer = {made}; for (const kind of ['dragover', 'drop'])"
        " panel.dispatchEvent(new DragEvent(kind, {dataTransfer, bubbles: true, cancelable: true})); }",
        "dragged.txt",
    )
    await shop.locator("talkwire-chat textarea").evaluate(
        f"(field, name) => field.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {made}, bubbles: true, cancelable: true}}))",
        "pasted.txt",
    )
    await server.until(lambda: len(server.uploads) == 2)
    assert [name for _, name, _ in server.uploads] == ["dragged.txt", "pasted.txt"]


async def test_an_expired_picture_gets_a_fresh_link_once_and_then_a_name(server: Server, shop):
    shop.forgives += ["403"]
    await open_widget(server, shop)
    server.expired |= {"/files/a.png?sign=old", "/files/b.png?sign=old", "/files/b.png?sign=new"}
    server.answers["link"] = lambda frame: {
        "t": "link",
        "attachment": frame["attachment"],
        "url": f"/files/{frame['attachment']}.png?sign=new",
    }
    for name in "ab":
        media = {
            "type": "media",
            "attachment": name,
            "name": f"{name}.png",
            "media_type": "image/png",
            "size": 9,
            "nodes": [],
        }
        await server.write({**media, "url": f"/files/{name}.png?sign=old"}, key=name)
    await shop.get_by_role("link", name="b.png").locator(".name").wait_for()
    await server.until(lambda: "/files/a.png?sign=new" in server.served)
    assert [(frame["key"], frame["attachment"]) for frame in server.all("link")] == [("a", "a"), ("b", "b")]
    assert await shop.get_by_role("img", name="a.png").count() == 1


async def test_a_file_of_the_visitor_can_be_opened_once_it_is_kept(server: Server, shop):
    await open_widget(server, shop)
    server.answers["link"] = lambda frame: {
        "t": "link",
        "attachment": frame["attachment"],
        "url": "/files/mine.png?sign=1",
    }
    one = {"name": "mine.png", "mimeType": "image/png", "buffer": b"\x89PNG"}
    await shop.locator("talkwire-chat input[type=file]").set_input_files([one])
    await shop.locator("talkwire-chat .send[aria-disabled=false]").click()
    (sent,) = await server.heard("message")
    await shop.get_by_role("img", name="mine.png").wait_for()
    assert [(frame["id"], frame["attachment"]) for frame in server.all("link")] == [(sent["id"], "file-1")]


async def test_a_file_that_is_on_its_way_says_so(server: Server, shop):
    await open_widget(server, shop)
    media = {
        "type": "media",
        "attachment": "a",
        "name": "a.pdf",
        "media_type": "application/pdf",
        "size": 9,
        "url": "",
        "nodes": [],
    }
    await server.write(media, key="a")
    await shop.get_by_text("The file is on its way.").wait_for()
    await server.write({**media, "url": "/files/a.pdf?sign=1"}, key="a")
    assert await shop.get_by_role("link", name="a.pdf").get_attribute("href") == f"{server.base}/files/a.pdf?sign=1"


@pytest.mark.parametrize(("code", "words"), [(4003, "Please sign in"), (4009, "Reload it")])
async def test_a_closed_door_says_what_to_do_and_is_left_alone(server: Server, shop, code, words):
    await shop.clock.install()
    server.answers["hello"] = lambda _frame: code
    await shop.locator("talkwire-chat .launcher").click()
    await shop.get_by_text(words).wait_for()
    await shop.evaluate("dispatchEvent(new Event('online'))")
    await shop.clock.run_for(120_000)
    assert len(server.all("hello")) == 1


async def test_a_refused_token_is_forgotten_and_a_refused_identity_is_not_tried_again(server: Server, shop):
    await open_widget(server, shop)
    await server.drop(4001)
    await server.until(lambda: len(server.hellos) == 2)
    assert "token" not in server.hellos[1]
    server.answers["hello"] = lambda _frame: 4001
    await shop.evaluate("talkwire.identify('who.when.signature')")
    await shop.get_by_text("Please sign in again").wait_for()
    assert server.all("hello")[-1]["identity"] == "who.when.signature"
    server.answers.clear()
    await shop.evaluate("talkwire.identify('who.later.signature')")
    await server.until(lambda: len(server.hellos) == 3)
    assert (server.hellos[2]["identity"], server.hellos[2]["after"]) == ("who.later.signature", 0)


async def test_the_next_visitor_at_a_browser_sees_nothing_of_the_one_who_signed_out(server: Server, visit):
    server.data = ' data-identity="ann.1.signature"'
    page = await visit()
    await open_widget(server, page)
    assert server.hellos[0]["identity"] == "ann.1.signature"
    await say(server, page, "My secret")
    await page.locator("talkwire-chat textarea").fill("Another secret")
    server.log.clear()
    await page.evaluate("talkwire.identify(null)")
    await server.until(lambda: len(server.hellos) == 2)
    assert "token" not in server.hellos[1]
    assert "identity" not in server.hellos[1]
    assert await texts(page) == []
    assert "secret" not in json.dumps(await page.evaluate(STORED))
    assert await page.locator("talkwire-chat textarea").input_value() == ""


async def test_it_is_open_after_a_page_change_and_goes_on_in_the_background_if_it_was_closed(server: Server, shop):
    await open_widget(server, shop)
    await say(server, shop, "Hello")
    await shop.goto(f"{server.shop}/other")
    await until_texts(shop, ["Hello"])
    assert server.hellos[1]["fresh"] is False
    await shop.keyboard.press("Tab")
    await shop.locator("talkwire-chat textarea").press("Escape")
    await shop.goto(server.shop)
    await server.until(lambda: len(server.hellos) == 3)
    assert await shop.locator("talkwire-chat .panel").is_hidden()


FROM_NOWHERE = (
    "nonsense",
    "[]",
    "null",
    '"text"',
    "{}",
    '{"t": "constructor"}',
    '{"t": "__proto__"}',
    '{"t": {}}',
    '{"t": "message"}',
    '{"t": "message", "key": "a", "n": "x", "at": 7, "author": {}, "blocks": [7, null, {"type": "__proto__"}, {"type": "text", "nodes": 9}]}',
    '{"t": "message", "key": "b", "blocks": [{"type": "text", "nodes": [{"text": "Half"}]}, {"type": "hologram"}], "text": "What it says"}',
    '{"t": "settings", "notice": 7, "consent": "x", "form": [], "hours": [], "files": 1}',
    '{"t": "ack", "id": []}',
    '{"t": "nack"}',
    '{"t": "read", "n": "7"}',
    '{"t": "link", "attachment": 7, "url": {}}',
    '{"t": "hologram", "on": true}',
)


async def test_frames_from_the_future_or_from_nowhere_are_survived(server: Server, shop):
    await open_widget(server, shop)
    for number, frame in enumerate(FROM_NOWHERE):
        await server.say(frame)
        await server.say({"t": "settings", **dict.fromkeys(("notice", "consent", "form", "hours", "files"))})
        await server.write(f"Still here {number}")
        await shop.get_by_text(f"Still here {number}", exact=True).wait_for()
    assert "What it says" in await texts(shop)
