"""What a desktop cannot show is suppressed with the reason, and what is out is never forgotten."""

from __future__ import annotations

import pytest


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
