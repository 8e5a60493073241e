"""A plugin offers a chat to somebody: on the desktop, in the page, for as long as its template says."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

import talkwire_notify_desktop
from plugins.notify_desktop.tests.surfaces import Office
from talkwire import Focus, Notification, Notify, hookimpl
from talkwire.testing.services import NOON, TurnedClock
from tests.journeys.acme_hub import AcmeHub, FullAcme

SETTINGS = """
[recipients.ann]
media = ["desktop"]
"""
OFFER = """
title = "{contact} asks for a chat"
text = "{text}"
style = "alert"
timeout = "90s"
show_timeout = %s
desktop = "%s"
details = [{label = "Customer", value = "{contact}"}, {label = "First words", value = "{text}"}]
buttons = [{id = "accept", label = "Accept"}, {id = "decline", label = "Decline"}]
"""
ASSIGNED = """
title = "{contact} is yours now"
style = "toast"
timeout = "10s"
"""


class Desk:
    """Offers every new message to Ann, by a template; hears what she says, and what becomes of all notifications."""

    def __init__(self, template: str = "offer") -> None:
        self.template = template
        self.answers: list[tuple[str, str]] = []
        self.seen: list[tuple[str, str]] = []
        self.became: list[str] = []

    @hookimpl
    def on_inbound_message(self, message: Any) -> Notify:
        return Notify(
            recipient="ann",
            kind="offer",
            template=self.template,
            values={"contact": "Budi", "text": "Where is my parcel?"},
            conversation=message.conversation,
        )

    @hookimpl
    def answer_notification(self, notification: Notification, answer: str) -> None:
        self.answers.append((answer, notification.answered_by))

    @hookimpl
    def on_notification(self, notification: Notification) -> None:
        self.seen.append((notification.recipient, notification.kind))

    @hookimpl
    def on_fact(self, fact: Any) -> None:
        if fact.type.startswith("notification."):
            self.became.append(fact.type.removeprefix("notification."))


class Hall:
    """The hub, who works there, and their desktops."""

    def __init__(self, acme: AcmeHub, desk: Desk, office: Office) -> None:
        self.acme, self.hub, self.desk, self.office = acme, acme.hub, desk, office

    async def offered(self) -> None:
        """Let a customer write, and the offer be made."""
        await self.acme.wrote("m1", "Where is my parcel?")
        await self.hub.run_until_idle()

    async def listed(self) -> list[dict[str, Any]]:
        """Give what Ann's page shows."""
        headers = {"Authorization": f"Bearer {await self.office.key('ann')}"}
        async with self.office.client.get("/api/v1/notifications", headers=headers) as answer:
            assert answer.status == 200
            return list((await answer.json())["items"])

    async def decision(self) -> tuple[str, str]:
        [row] = await self.hub.rows("SELECT decision, reason FROM notification_medium WHERE medium = 'desktop'")
        return row


@pytest.fixture
def start(start_acme, client_of, tmp_path):
    async def begin(show: str = "true", desktop: str = "always", *, template: str = "offer", more: str = "") -> Hall:
        folder = tmp_path / "notifications"
        folder.mkdir()
        (folder / "offer.toml").write_text(OFFER % (show, desktop))
        (folder / "assigned.toml").write_text(ASSIGNED)
        desk = Desk(template)
        plugins = {"desk": desk, "notify_desktop": talkwire_notify_desktop}
        acme = await start_acme(settings=SETTINGS + more, plugins=plugins, channel=FullAcme)
        return Hall(acme, desk, Office(acme.hub, await client_of(acme.hub)))

    return begin


# --- where it shows ------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-04")
@pytest.mark.parametrize(
    ("desktop", "focus", "decision"),
    [
        ("always", Focus.FOCUSED, ("shown", "")),
        ("always", Focus.IDLE, ("shown", "")),
        ("background", Focus.FOCUSED, ("suppressed", "focused")),
        ("background", Focus.VISIBLE, ("shown", "")),
        ("background", Focus.IDLE, ("shown", "")),
        ("never", Focus.FOCUSED, ("suppressed", "template")),
        ("never", Focus.IDLE, ("suppressed", "template")),
    ],
)
async def test_the_template_says_whether_a_desktop_shows_it_and_a_page_always_does(start, desktop, focus, decision):
    hall = await start(desktop=desktop)
    laptop = await hall.office.native()
    await laptop.say(type="focus", state=focus.value)
    await laptop.echo()
    await hall.offered()
    if decision[0] == "shown":
        shown = await laptop.shows()
        await laptop.say(type="shown", id=shown["id"])
        await laptop.echo()
        await hall.hub.run_until_idle()
    assert await hall.decision() == decision
    assert [one["title"] for one in await hall.listed()] == ["Budi asks for a chat"]


@pytest.mark.requirement("D-06")
@pytest.mark.parametrize(
    ("switch", "desktop", "decision"),
    [
        ("on", "always", ("handed", "")),
        ("off", "always", ("suppressed", "focused")),
        ("off", "background", ("suppressed", "focused")),
        ("off", "never", ("suppressed", "template")),
    ],
)
async def test_that_a_desktop_always_shows_something_may_be_switched_off(start, switch, desktop, decision):
    hall = await start(desktop=desktop, more=f'[general]\ndesktop_always = "{switch}"\n')
    laptop = await hall.office.native()
    await laptop.say(type="focus", state=Focus.FOCUSED.value)
    await laptop.echo()
    await hall.offered()
    assert await hall.decision() == decision


# --- its time ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-10")
async def test_the_time_that_the_template_gives_holds_on_the_desktop_and_is_never_shown_there(start):
    hall = await start()
    laptop = await hall.office.native()
    await hall.offered()
    shown = await laptop.shows()
    assert [name for name in shown if "lapse" in name or "time" in name or "until" in name] == []
    assert lapse(await hall.listed()) is not None  # in the page it may be counted down
    await hall.hub.pass_time(seconds=89)
    await laptop.echo()  # nothing was said meanwhile
    await hall.hub.pass_time(seconds=1)
    gone = await laptop.gets("withdraw")
    assert (gone["id"], gone["why"]) == (shown["id"], "lapsed")
    late = await laptop.answers(shown["id"], "accept")
    assert (late["type"], late["code"]) == ("lost", "lapsed")
    assert hall.desk.answers == []


@pytest.mark.requirement("D-11")
async def test_where_the_template_hides_its_time_no_payload_has_it_and_it_lapses_all_the_same(start):
    hall = await start(show="false")
    laptop, page = await hall.office.native(), await hall.office.page()
    await hall.offered()
    for surface in (laptop, page):
        assert not says_when(await surface.shows(), hall)
    assert lapse(await hall.listed()) is None
    assert not says_when(await hall.listed(), hall)
    assert not any(says_when(dict(fact.small), hall) for fact in await hall.hub.facts())
    await hall.hub.pass_time(seconds=89)
    assert len(await hall.listed()) == 1
    await hall.hub.pass_time(seconds=1)
    for surface in (laptop, page):
        assert (await surface.gets("withdraw"))["why"] == "lapsed"
    assert await hall.listed() == []


def lapse(listed: list[dict[str, Any]]) -> str | None:
    [one] = listed
    return one.get("lapses_at")


def says_when(value: Any, hall: Hall) -> bool:
    """Say whether a payload tells, by whatever name, when the offer ends or how long it stays."""
    if isinstance(value, dict):
        return any(says_when(inner, hall) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(says_when(inner, hall) for inner in value)
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value) > hall.hub.clock.now()
        except ValueError:
            return False
    return value in (90, 90_000) if isinstance(value, int | float) else False


def test_a_payload_that_says_when_would_be_noticed():
    hall = Hall(SimpleNamespace(hub=SimpleNamespace(clock=TurnedClock())), None, None)
    assert says_when([{"a": [{"ends": (NOON + timedelta(seconds=90)).isoformat()}]}], hall)
    assert says_when({"seconds": 90}, hall)
    assert not says_when({"at": NOON.isoformat(), "lapses_at": None, "id": "90"}, hall)


# --- what it asks for ----------------------------------------------------------------------------------------


@pytest.mark.requirement("D-15")
@pytest.mark.parametrize("pressed", ["accept", "decline"])
async def test_an_alert_has_buttons_takes_one_answer_in_its_time_and_is_gone_everywhere(start, pressed):
    hall = await start()
    laptop, page = await hall.office.native(), await hall.office.page()
    await hall.offered()
    shown = await laptop.shows()
    assert (shown["style"], [one["id"] for one in shown["actions"]]) == ("alert", ["accept", "decline"])
    assert [one["label"] for one in shown["details"]] == ["Customer", "First words"]
    assert (await page.shows())["id"] == shown["id"]
    await hall.hub.pass_time(seconds=89)
    assert (await laptop.answers(shown["id"], pressed))["type"] == "won"
    await hall.hub.run_until_idle()
    assert hall.desk.answers == [(pressed, "native:laptop")]
    assert (await page.gets("withdraw"))["why"] == "answered"
    assert await hall.listed() == []
    await hall.hub.pass_time(minutes=5)
    assert await hall.hub.facts("notification.lapsed") == []


@pytest.mark.requirement("D-15")
async def test_an_alert_that_nobody_answers_disappears_when_its_time_is_up(start):
    hall = await start()
    page = await hall.office.page()
    await hall.offered()
    shown = await page.shows()
    await hall.hub.pass_time(seconds=90)
    assert (await page.gets("withdraw"))["id"] == shown["id"]
    assert await hall.listed() == []
    assert "lapsed" in hall.desk.became


@pytest.mark.requirement("D-14")
async def test_a_toast_tells_offers_no_button_and_disappears_after_its_time(start):
    hall = await start(template="assigned")
    page = await hall.office.page()
    await hall.offered()
    shown = await page.shows()
    assert (shown["style"], shown["actions"], shown["title"]) == ("toast", [], "Budi is yours now")
    assert (await page.answers(shown["id"], "accept"))["type"] == "lost"  # there is nothing to answer
    await hall.hub.pass_time(seconds=10)
    assert (await page.gets("withdraw"))["why"] == "lapsed"
    assert await hall.listed() == []


# --- who else hears of it ------------------------------------------------------------------------------------


@pytest.mark.requirement("CARD-01")
async def test_a_plugin_is_a_sink_of_notifications_and_hears_what_became_of_each(start):
    hall = await start()
    laptop = await hall.office.native()
    await hall.offered()
    shown = await laptop.shows()
    await laptop.say(type="shown", id=shown["id"])
    await laptop.answers(shown["id"], "accept")
    await hall.hub.run_until_idle()
    assert hall.desk.seen == [("ann", "offer")]
    assert sorted(set(hall.desk.became) - {"handed", "seen"}) == ["answered", "shown", "withdrawn"]
