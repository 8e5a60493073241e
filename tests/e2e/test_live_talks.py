"""Live talks on the operator's page: who is there, what the two sides see of each other, and the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from talkwire import Notice, ReadUpTo, Tx, TypingSignal, Wait, draft
from tests.e2e.conftest import Demo

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]


async def comes(demo: Demo, who: str, text: str = "", *, ago: timedelta = timedelta()) -> None:
    """Let a customer open a session, and perhaps write."""
    await demo.customers.session(who.lower(), "connected", ago=ago, name=who)
    if text:
        await demo.customers.write(who.lower(), text, name=who, ago=ago)


async def eventually(true: Callable[[], bool]) -> None:
    """Wait for what reaches the channel: nobody here is told."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def names(page: Any) -> list[str]:
    found: list[str] = await page.locator("#live-talks b").all_inner_texts()
    return found


# --- the bar ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("3DN-10")
async def test_who_is_there_comes_and_goes_in_the_bar_without_a_click(page: Any, operator: Any, demo: Demo) -> None:
    """`page` is named for the collector: this statement needs a browser."""
    bar = operator.locator("#live")
    assert await bar.is_hidden()
    await comes(demo, "Ann", "Hello", ago=timedelta(minutes=1))
    await comes(demo, "Ben", "Hi", ago=timedelta(minutes=9))
    await comes(demo, "visitor-0123456789abcdef")  # said nothing yet
    await bar.locator("button").nth(2).wait_for()
    assert await names(operator) == ["Ben", "Ann", "visitor-0123456789abcdef"]
    assert "waits since" in await bar.locator("button", has_text="Ben").inner_text()

    await bar.locator("button", has_text="Ben").click()
    await operator.get_by_role("log").get_by_text("Hi").wait_for()
    await operator.get_by_label("Reply", exact=True).fill("Good morning")
    await operator.get_by_role("button", name="Send", exact=True).click()
    await bar.locator("button.handled", has_text="Ben").wait_for()
    assert (await names(operator))[-1] == "Ben"  # who waits comes before who was answered

    await demo.customers.session("ann", "disconnected")
    await bar.locator("button.disconnected", has_text="Ann").get_by_role("img", name="away").wait_for()
    for who in ("ann", "ben", "visitor-0123456789abcdef"):
        await demo.customers.session(who, "ended")
    await bar.wait_for(state="hidden")


async def test_the_bar_is_used_by_keyboard_and_keeps_its_place(operator: Any, demo: Demo) -> None:
    await comes(demo, "Ann", "Hello")
    ann = operator.locator("#live button", has_text="Ann")
    await ann.focus()
    await comes(demo, "Ben", "Hi", ago=timedelta(minutes=3))
    await operator.locator("#live button", has_text="Ben").wait_for()
    assert await ann.evaluate("node => node === document.activeElement")
    await operator.keyboard.press("Enter")
    await operator.get_by_role("log").get_by_text("Hello").wait_for()
    assert await operator.locator("#live [aria-current]").inner_text() == await ann.inner_text()


@pytest.mark.parametrize("width", [320, 360, 900])
async def test_a_full_bar_is_not_cut_off(strict: Any, demo: Demo, width: int) -> None:
    for number in range(6):
        await comes(demo, f"Customer number {number}", "Hello")
    await strict.set_viewport_size({"width": width, "height": 740})
    await strict.goto(f"{demo.stage.operator}/")
    await strict.locator("#live button").nth(5).wait_for()
    wide = await strict.evaluate("document.documentElement.scrollWidth")
    assert wide <= width
    last = strict.locator("#live button").nth(5)
    await last.click()
    box = await last.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    await strict.get_by_role("log").get_by_text("Hello").wait_for()
    assert await strict.get_by_role("button", name="End chat").is_visible()


# --- what the two sides see of each other -------------------------------------------------------------------


async def test_both_see_that_the_other_types(operator: Any, demo: Demo) -> None:
    await comes(demo, "Ann", "Hello")
    await operator.locator("#live button", has_text="Ann").click()
    await operator.get_by_role("log").get_by_text("Hello").wait_for()
    await operator.get_by_role("button", name="End chat").wait_for()  # the talk is open
    typing = operator.locator("#typing")
    await demo.customers.type("ann")
    await typing.get_by_text("Ann is typing…").wait_for()
    await demo.customers.type("ann", on=False)
    await typing.get_by_text("Ann is typing…").wait_for(state="detached")
    await demo.customers.type("ann")
    await typing.get_by_text("Ann is typing…").wait_for()
    await demo.customers.write("ann", "Here I am", name="Ann")
    await typing.get_by_text("Ann is typing…").wait_for(state="detached")
    await demo.customers.type("ben")
    assert await typing.inner_text() == ""

    await operator.get_by_label("Reply", exact=True).press_sequentially("Good morning", delay=10)
    await operator.get_by_role("button", name="Send", exact=True).click()
    await eventually(lambda: [s.on for _, s in demo.messenger.signals if isinstance(s, TypingSignal)] == [True, False])


async def test_the_customer_hears_what_was_read_where_the_talk_is_in_view(operator: Any, demo: Demo) -> None:
    def read() -> list[tuple[str, Any]]:
        return [(who, signal) for who, signal in demo.messenger.signals if isinstance(signal, ReadUpTo)]

    await comes(demo, "Ann", "Hello")
    await operator.locator("#live button", has_text="Ann").click()
    await eventually(lambda: read() == [("ann", ReadUpTo("m1"))])
    await demo.customers.write("ann", "Anybody?", name="Ann")
    await eventually(lambda: read()[1:] == [("ann", ReadUpTo("m2"))])

    other = await operator.context.new_page()  # what lies under it is out of view
    await other.bring_to_front()
    await operator.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    await demo.customers.write("ann", "Hello?", name="Ann")
    await operator.get_by_role("log").get_by_text("Hello?").wait_for()
    assert len(read()) == 2
    await operator.evaluate("delete document.visibilityState; document.dispatchEvent(new Event('visibilitychange'))")
    await operator.bring_to_front()
    await eventually(lambda: read()[2:] == [("ann", ReadUpTo("m3"))])


async def test_a_reply_to_somebody_away_says_so(operator: Any, demo: Demo) -> None:
    await comes(demo, "Ann", "Hello")
    await demo.customers.session("ann", "disconnected")
    await operator.locator("#live button", has_text="Ann").click()
    demo.messenger.will.append(Wait("recipient_offline"))
    await operator.get_by_label("Reply", exact=True).fill("Are you there?")
    await operator.get_by_role("button", name="Send", exact=True).click()
    state = operator.locator(".bubble.ours .state")
    await state.get_by_text("pending: the customer's connection is down").wait_for()
    await operator.locator("#about").get_by_text("away: the connection is down").wait_for()
    await demo.customers.session("ann", "connected")
    await operator.locator(".bubble.ours .state", has_text="sent").wait_for()


async def test_a_notice_is_drawn_as_one(operator: Any, demo: Demo) -> None:
    await comes(demo, "Ann", "Hello")
    await operator.locator("#live button", has_text="Ann").click()
    [conversation] = (await demo.stage.daemon.hub.conversations(session="live")).items

    async def notice(text: str | None) -> None:
        said = Notice(conversation=conversation.id, slot="place", draft=draft(text) if text else None)
        await demo.stage.daemon.hub.of("queue").write(_ask, said)

    await notice("You are number 3")
    await operator.locator(".bubble.a-notice.sent").get_by_text("You are number 3").wait_for()
    await notice("You are number 2")
    await operator.locator(".bubble.a-notice").get_by_text("You are number 2").wait_for()
    assert await operator.locator(".entry", has_text="Ann").locator(".entry-text").inner_text() == "Hello"
    assert await operator.locator("#live button.waits", has_text="Ann").count() == 1  # nobody has replied
    await notice(None)
    await operator.locator(".bubble.a-notice").get_by_text("This was taken back.").wait_for()
    assert await operator.locator(".bubble.ours").count() == 0


def _ask(tx: Tx, notices: Sequence[Notice]) -> Sequence[None]:
    for one in notices:
        tx.act(one)
    return [None] * len(notices)


# --- the end ------------------------------------------------------------------------------------------------


async def test_a_chat_is_ended_after_one_more_question(operator: Any, demo: Demo) -> None:
    await comes(demo, "Ann", "Hello")
    await operator.locator("#live button", has_text="Ann").click()
    end = operator.locator("#end")
    await end.click()
    question = operator.get_by_role("dialog", name="End this chat?")
    await question.get_by_text("The session of Ann ends").wait_for()
    await question.get_by_role("button", name="Keep it open").click()
    await question.wait_for(state="hidden")
    assert await operator.locator("#live button", has_text="Ann").count() == 1

    await end.click()
    await question.get_by_role("button", name="End chat").click()
    await operator.locator("#reply").get_by_role("img", name=re.compile("cannot be answered now")).wait_for()
    await end.wait_for(state="hidden")
    await operator.locator("#live").wait_for(state="hidden")
    await operator.locator("#about").get_by_text("session ended (agent)").wait_for()


async def test_where_no_session_lives_there_is_nothing_to_end(operator: Any, demo: Demo) -> None:
    await demo.phone_writes("Where is my parcel?")
    await operator.locator(".entry", has_text="Where is my parcel?").click()
    await operator.get_by_role("log").get_by_text("Where is my parcel?").wait_for()
    assert await operator.locator("#end").is_hidden()
