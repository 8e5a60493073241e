"""Notifications around the page: the worker, the socket, the permission; in a real browser.

A click on a notification is dispatched into the worker by hand: headless Chromium draws none that could be clicked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from plugins.notify_desktop.tests.pages.server import Server
from tests.parts.chromium import becomes

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]

BUTTONS = [{"id": "accept", "title": "Accept"}, {"id": "decline", "title": "Decline"}]
# waitUntil of an event that a script made throws: what it is given is collected, and waited for.
CLICK = """async ([kind, tag, action]) => {
  const [notification] = await self.registration.getNotifications({ tag });
  const event = new NotificationEvent(kind, { notification, action });
  const works = [];
  Object.defineProperty(event, "waitUntil", { value: (work) => works.push(work) });
  self.dispatchEvent(event);
  await Promise.all(works);
}"""
SHOWN = """async () => (await (await navigator.serviceWorker.getRegistration("/p/notify_desktop/")).getNotifications())
  .map(({ title, body, tag, actions, requireInteraction, data }) => ({ title, body, tag, requireInteraction,
    actions: actions.map(({ action, title }) => [action, title]), id: data.id }))"""


async def permit(page: Any, server: Server, setting: str) -> None:
    """Let the browser's user have said so; it holds while the session does. Source: DevTools protocol, Browser.setPermission."""
    session = await page.context.new_cdp_session(page)
    place = (await session.send("Target.getTargetInfo"))["targetInfo"]["browserContextId"]
    wanted = {"permission": {"name": "notifications"}, "origin": server.base, "browserContextId": place}
    await session.send("Browser.setPermission", wanted | {"setting": setting})


async def shown(page: Any) -> list[dict[str, Any]]:
    return await page.evaluate(SHOWN)


async def worker_of(page: Any) -> Any:
    found = page.context.service_workers
    return found[0] if found else await page.context.wait_for_event("serviceworker")


async def click(page: Any, one: dict[str, Any], action: str = "", kind: str = "notificationclick") -> None:
    await (await worker_of(page)).evaluate(CLICK, [kind, f"talkwire-{one['id']}", action])


async def out(page: Any, server: Server, **more: Any) -> dict[str, Any]:
    """Have a notification that shows on the desktop."""
    one = server.notify(**more)
    await server.show(one)
    await server.heard("shown", id=one["id"])
    return one


async def test_a_notification_is_said_to_be_shown_once_the_browser_has_it(
    visit: Callable[..., Any], server: Server
) -> None:
    page = await visit(allowed=True)
    hello = await server.heard("hello", able=True)
    assert (hello["kind"], hello["why_not"], hello["showing"]) == ("page", "", [])
    assert hello["device"] == "Chrome on Linux"
    details = [{"label": "Customer", "value": "Ben"}]
    one = await out(page, server, title="Chat", text="from Ben", details=details, style="alert", actions=BUTTONS)
    assert await shown(page) == [
        {
            "id": one["id"],
            "title": "Chat",
            "body": "from Ben\nCustomer: Ben",
            "tag": f"talkwire-{one['id']}",
            "requireInteraction": True,
            "actions": [["accept", "Accept"], ["decline", "Decline"]],
        }
    ]
    await server.say("withdraw", id=one["id"], why="answered", by="native:laptop")
    toast = await out(page, server, title="A toast")
    assert [(n["title"], n["requireInteraction"]) for n in await shown(page)] == [("A toast", False)]
    await page.reload()
    await server.heard("hello", showing=[toast["id"]])


async def test_two_tabs_show_one_notification(visit: Callable[..., Any], server: Server) -> None:
    first = await visit(allowed=True)
    second = await visit(first.context)
    await server.until(lambda: len(server.sockets) == 2)
    one = server.notify("Once")
    await server.show(one)
    await server.until(lambda: len(server.all("shown")) == 2)
    assert [n["title"] for n in await shown(first)] == ["Once"]
    assert [n["title"] for n in await shown(second)] == ["Once"]
    assert len({frame["surface"] for frame in server.all("hello")}) == 2


@pytest.mark.requirement("D-07")
async def test_a_button_of_the_desktop_answers(page: Any, visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await server.until(lambda: server.sockets)
    yes = await out(page, server, title="Chat", style="alert", actions=BUTTONS, conversation="c1")
    no = await out(page, server, title="Chat", style="alert", actions=BUTTONS, conversation="c2")
    await click(page, no, "decline")
    await page.locator(f'[data-id="{no["id"]}"]').wait_for(state="detached")
    assert await page.locator("#opened").inner_text() == ""
    await click(page, yes, "accept")
    assert server.answers == [
        (no["id"], {"action": "decline", "surface": "browser"}),
        (yes["id"], {"action": "accept", "surface": "browser"}),
    ]
    await page.locator("#opened", has_text="c1").wait_for()  # who accepts sees what
    assert await shown(page) == []


async def test_a_click_opens_the_conversation_in_the_page(visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await server.until(lambda: server.sockets)
    one = await out(page, server, title="Chat", style="alert", actions=BUTTONS, conversation="c1")
    await page.evaluate("lookAfresh()")
    await page.get_by_role("button", name="Put aside").click()
    await click(page, one)
    await page.locator("#opened", has_text="c1").wait_for()
    await server.heard("seen", id=one["id"])
    await page.get_by_role("button", name="Accept").wait_for()  # the choice is made here
    assert server.answers == []


async def test_whose_button_was_second_is_told_by_whom(visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await server.until(lambda: server.sockets)
    one = await out(page, server, title="Chat", style="alert", actions=BUTTONS)
    await page.evaluate("lookAfresh()")
    await page.get_by_role("button", name="Accept").wait_for()
    server.refuses = lambda _id: (409, {"code": "already_answered", "detail": "already answered on email"})
    await click(page, one, "accept")
    await page.locator(".tw-note", has_text="already answered on email").wait_for()


async def test_what_was_closed_is_not_shown_again(visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await server.until(lambda: server.sockets)
    one = await out(page, server, title="Chat", style="alert", actions=BUTTONS)
    await click(page, one, kind="notificationclose")
    await server.heard("dismissed", id=one["id"])
    await page.evaluate(
        """async () => (await (await navigator.serviceWorker.getRegistration("/p/notify_desktop/"))
            .getNotifications()).forEach((one) => one.close())"""
    )
    await server.show(one)  # as after a reconnect
    await server.until(lambda: len(server.all("dismissed")) == 2)
    assert await shown(page) == []


async def test_the_page_says_how_somebody_looks_at_it(visit: Callable[..., Any], server: Server) -> None:
    page = await visit()
    session = await page.context.new_cdp_session(page)
    await session.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    await page.bring_to_front()
    await server.heard("focus", state="focused")
    other = await page.context.new_page()
    await other.bring_to_front()
    # Headless Chromium shows each page in a window of its own: one in the back is visible, yet not focused.
    away = ("visible", "hidden")
    await server.until(lambda: any(frame["state"] in away for frame in server.all("focus")))
    server.frames.clear()
    await page.bring_to_front()
    await server.heard("focus", state="focused")


async def test_two_minutes_without_input_are_idle(visit: Callable[..., Any], server: Server) -> None:
    page = await visit()
    await server.heard("focus", state="focused")
    await page.clock.install()
    server.frames.clear()
    await page.reload()
    # What is run before the new page's socket is open passes before it begins to count.
    await server.heard("hello")
    await server.until(lambda: server.frames[-1]["type"] == "focus")
    await page.clock.run_for(125_000)
    await server.heard("focus", state="idle")
    server.frames.clear()
    await page.mouse.move(300, 300)
    await server.heard("focus", state="focused")


@pytest.mark.requirement("D-13")
async def test_without_the_permission_it_is_in_the_page_and_the_reason_is_said(
    page: Any, visit: Callable[..., Any], server: Server
) -> None:
    page = await visit()
    await permit(page, server, "denied")
    await server.until(lambda: server.sockets)
    one = server.notify("Chat", text="from Ben")
    await server.show(one)
    await server.heard("refused", id=one["id"], why="permission")
    await page.evaluate("lookAfresh()")
    await page.get_by_role("status").get_by_text("from Ben").wait_for()
    await page.get_by_role("button", name="off on this device").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_text("has been told to block them").wait_for()
    assert await dialog.get_by_role("button", name="Switch on").count() == 0


async def test_the_permission_is_asked_for_on_a_click_only(visit: Callable[..., Any], server: Server) -> None:
    page = await visit()
    await page.evaluate(
        """() => { globalThis.asked = 0;
            Notification.requestPermission = async () => { globalThis.asked += 1; return "granted"; }; }"""
    )
    await permit(page, server, "prompt")
    await page.get_by_text("Notifications are off on this device").wait_for()
    assert await page.evaluate("asked") == 0
    await page.get_by_role("button", name="Switch on").click()
    assert await page.evaluate("asked") == 1
    await permit(page, server, "granted")
    await server.heard("able", able=True)
    await page.get_by_text("Notifications are off on this device").wait_for(state="hidden")


async def test_who_is_no_recipient_learns_what_to_do(visit: Callable[..., Any], server: Server) -> None:
    server.bye = {"code": "forbidden", "text": "ops is no recipient: add [recipients.ops]"}
    page = await visit()
    await server.until(lambda: server.all("hello"))
    await page.get_by_role("button", name="Notifications").click()
    await page.get_by_role("dialog").get_by_text("add [recipients.ops]").wait_for()


async def test_a_push_shows_what_comes_while_no_socket_is_open(visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await server.until(lambda: server.sockets)
    one = server.notify("Pushed", style="alert", actions=BUTTONS)
    await push(page, server.base, server.frame(one))
    await becomes(page, f"async () => (await ({SHOWN})()).map((one) => one.title)", ["Pushed"])
    await server.until(lambda: ("POST", "/shown", {"id": one["id"]}) in server.calls)
    await push(page, server.base, {"withdraw": one["id"]})
    await becomes(page, f"async () => (await ({SHOWN})()).length", 0)


async def push(page: Any, origin: str, said: dict[str, Any]) -> None:
    """Deliver a push message as the vendor's service would. Source: DevTools protocol, ServiceWorker domain."""
    session = await page.context.new_cdp_session(page)
    found: list[str] = []
    session.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda e: found.extend(r["registrationId"] for r in e["registrations"]),
    )
    await session.send("ServiceWorker.enable")
    while not found:
        await page.wait_for_timeout(20)
    given = {"origin": origin, "registrationId": found[0], "data": json.dumps(said)}
    await session.send("ServiceWorker.deliverPushMessage", given)
    await session.detach()
