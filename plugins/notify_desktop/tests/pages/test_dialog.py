"""The dialog behind the bell, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plugins.notify_desktop.tests.pages.server import Server
from tests.parts.chromium import becomes

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.asyncio(loop_scope="module")]


async def test_what_somebody_wants_is_kept_as_it_is_chosen(visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await page.get_by_role("button", name="Notifications").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_text("Notifications are on.").wait_for()
    await dialog.get_by_text("the server does not answer").wait_for()
    await dialog.get_by_label("By e-mail").uncheck()
    await server.until(lambda: server.preferences["off"] == ["email"])
    await dialog.get_by_label("Quiet hours").select_option("From … until …")
    await dialog.get_by_label("Quiet from").fill("21:30")
    await dialog.get_by_label("Quiet from").press("Tab")
    await server.until(lambda: server.preferences["quiet"] == "21:30-07:00")
    await dialog.get_by_label("Time zone").select_option("Asia/Jakarta")
    await dialog.get_by_label("Language").select_option("Bahasa Indonesia")
    await server.until(lambda: server.preferences["language"] == "id")
    await dialog.get_by_role("status").get_by_text("Saved.").wait_for()
    assert (server.preferences["off"], server.preferences["time_zone"]) == (["email"], "Asia/Jakarta")
    await dialog.get_by_label("Quiet hours").select_option("As your operator set them")
    await server.until(lambda: server.preferences["quiet"] is None)


async def test_what_is_chosen_while_the_daemon_is_slow_takes_nothing_back(
    visit: Callable[..., Any], server: Server
) -> None:
    def asked() -> list[Any]:
        return [body for method, path, body in server.calls if (method, path) == ("PUT", "/preferences")]

    page = await visit(allowed=True)
    await page.get_by_role("button", name="Notifications").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    server.changes.clear()
    await dialog.get_by_label("By e-mail").uncheck()
    await server.until(lambda: len(asked()) == 1)
    await dialog.get_by_label("Language").select_option("Bahasa Indonesia")
    await dialog.get_by_label("Quiet hours").select_option("None")
    server.changes.set()
    await server.until(lambda: len(asked()) == 2)
    await dialog.get_by_role("status").get_by_text("Saved.").wait_for()
    assert asked()[1] == {"off": ["email"], "quiet": "", "time_zone": None, "language": "id"}
    assert not await dialog.get_by_label("By e-mail").is_checked()


async def test_half_of_the_quiet_hours_is_not_asked_for(visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await page.get_by_role("button", name="Notifications").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_label("Quiet hours").select_option("From … until …")
    await dialog.get_by_label("Quiet until").fill("")
    await dialog.get_by_label("Quiet until").press("Tab")
    await dialog.get_by_label("Language").select_option("Bahasa Indonesia")
    await server.until(lambda: server.preferences["language"] == "id")
    asked = [body["quiet"] for method, path, body in server.calls if (method, path) == ("PUT", "/preferences")]
    assert set(asked) == {"22:00-07:00"}


async def test_the_quiet_hours_stand_inside_the_dialog_on_a_narrow_phone(
    visit: Callable[..., Any], server: Server
) -> None:
    page = await visit(allowed=True)
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.get_by_role("button", name="Notifications").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_label("Quiet hours").select_option("From … until …")
    part, end = await dialog.locator(".tw-part").nth(1).bounding_box(), dialog.get_by_label("Quiet until")
    box = await end.bounding_box()
    margin = await dialog.locator(".tw-part").nth(1).evaluate("one => parseFloat(getComputedStyle(one).paddingRight)")
    assert box["x"] + box["width"] <= part["x"] + part["width"] - margin


async def test_a_choice_that_is_refused_is_said_and_taken_back(visit: Callable[..., Any], server: Server) -> None:
    async def refused(route: Any) -> None:
        if route.request.method != "PUT":
            await route.continue_()
            return
        await route.fulfill(status=422, json={"title": "Not now", "detail": "try later", "code": "invalid"})

    page = await visit(allowed=True)
    page.forgives += ["422"]
    await page.route("**/api/v1/preferences", refused)
    await page.get_by_role("button", name="Notifications").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_label("By e-mail").uncheck()
    await dialog.get_by_role("checkbox", name="By e-mail", checked=True).wait_for()
    assert await dialog.get_by_role("status").inner_text() not in {"", "Saved."}


async def test_devices_are_listed_and_removed_and_a_test_can_be_sent(visit: Callable[..., Any], server: Server) -> None:
    at = {"seen_at": "2026-11-28T11:00:00+00:00"}
    laptop = {
        "id": "d1",
        "kind": "native",
        "name": "laptop",
        "connected": False,
        "able": False,
        "why_not": "not_connected",
    }
    server.devices = [laptop | at]
    page = await visit(allowed=True)
    await page.get_by_role("button", name="Notifications").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_text("not connected · last seen").wait_for()
    server.devices = []
    await dialog.get_by_role("button", name="Remove laptop").click()
    await server.until(lambda: ("DELETE", "/devices/d1", None) in server.calls)
    await dialog.get_by_role("status").get_by_text("Removed.").wait_for()
    await dialog.get_by_role("button", name="Send me a test").click()
    await server.until(lambda: ("POST", "/notifications:test", {}) in server.calls)


async def test_this_device_is_switched_off_and_on_again(visit: Callable[..., Any], server: Server) -> None:
    page = await visit(allowed=True)
    await server.heard("hello", able=True)
    one = server.notify("Chat")
    await server.show(one)
    await server.heard("shown", id=one["id"])
    await page.get_by_role("button", name="Notifications").click()
    dialog = page.get_by_role("dialog", name="Notifications")
    await dialog.get_by_role("button", name="Switch off here").click()
    await server.heard("able", able=False, why_not="permission")
    await dialog.get_by_text("You switched them off.").wait_for()
    shown = """async () => (await (await navigator.serviceWorker.getRegistration("/p/notify_desktop/"))
        .getNotifications()).length"""
    await becomes(page, shown, 0)
    await page.reload()
    await server.until(lambda: [hello["able"] for hello in server.all("hello")] == [True, False])
    await page.get_by_role("button", name="Notifications").click()
    await dialog.get_by_role("button", name="Switch on").click()
    await server.heard("able", able=True)
