"""What a desktop cannot show is suppressed with the reason, and what is out is never forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

from talkwire import Conflict, OnDesktop


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ([], "no_surface"),
        ([("page", "permission")], "permission"),
        ([("native", "no_session_bus")], "no_session_bus"),
        ([("native", "no_daemon"), ("page", "permission")], "permission"),
    ],
)
async def test_where_nobody_can_show_it_the_decision_says_why(office, there, why):
    for kind, why_not in there:
        await getattr(office, kind)(able=False, why_not=why_not)
    id_ = await office.notify()
    assert await office.decision(id_) == ("suppressed", why)
    assert await office.hub.rows("SELECT * FROM desktop_out") == []


async def test_what_was_suppressed_is_not_shown_to_whoever_comes_later(office):
    await office.notify()
    one = await office.native()
    await one.echo()


async def test_a_client_without_a_session_bus_is_named_in_health(office):
    assert office.notifier.trouble() == ""
    await office.native(able=False, why_not="no_session_bus")
    assert office.notifier.trouble() == "native:laptop of ann can show nothing (no_session_bus)"


async def test_a_toast_that_nobody_saw_in_time_is_told_no_more_and_an_alert_is(office):
    one = await office.native()
    await office.notify(title="toast"), await office.notify(title="alert", style="alert")
    await one.leaves()
    await office.hub.pass_time(minutes=11)
    again = await office.native()
    assert (await again.shows())["title"] == "alert"
    await again.echo()


async def test_an_alert_that_nobody_answers_in_time_is_withdrawn_and_no_desktop_is_told_the_time(office):
    one = await office.native()
    id_ = await office.notify(style="alert", timeout=timedelta(seconds=90), show_timeout=True)
    assert not {key for key in await one.shows() if "lapse" in key or "time" in key}
    await office.hub.pass_time(seconds=91)
    assert await one.gets("withdraw") == {"type": "withdraw", "id": id_, "why": "lapsed", "by": ""}
    assert (await one.answers(id_, "accept"))["code"] == "lapsed"
    with pytest.raises(Conflict):
        await office.hub.daemon.hub.answer(id_, "accept", "page")


async def test_what_is_for_the_background_waits_for_nobody_who_looks_at_a_page(office):
    one, page = await office.native(), await office.page()
    await page.say(type="focus", state="focused")
    await page.echo()
    assert await office.decision(await office.notify()) == ("suppressed", "focused")
    always = await office.notify(on_desktop=OnDesktop.ALWAYS)
    assert (await one.shows())["id"] == (await page.shows())["id"] == always
    for state in ("visible", "idle", "hidden"):
        await page.say(type="focus", state=state)
        await page.echo()
        id_ = await office.notify()
        assert (await one.shows())["id"] == (await page.shows())["id"] == id_
