"""The native client on a real Linux desktop: dunst draws what the hub tells, and what people press reaches the hub."""

from __future__ import annotations

import re
import subprocess

import pytest
import pytest_asyncio

from talkwire import Style
from tests.parts.dunst import Desktop

from .agents import Agent, until

WHITE, NIGHT = "#ffffff", "#1d2430"  # what tests/parts/dunst.py draws on, by its two themes

pytestmark = pytest.mark.needs("dunst")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test: what the client keeps lies there."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest_asyncio.fixture
async def agent(office, desktop):
    """Ann's client, connected."""
    url = str(office.client.make_url("")).rstrip("/")
    async with Agent(url, await office.key("ann")) as one:
        await one.says("connected to")
        yield one


async def drawn(desktop, count=1):
    """Wait until dunst has drawn so many."""
    return await until(lambda: len(found := desktop.drawn) >= count and found)


async def test_what_the_hub_tells_is_on_the_screen_and_only_then_it_is_shown(agent, office, desktop):
    id_ = await office.notify(style=Style.ALERT, text="for order 7")
    [card] = await drawn(desktop)
    assert (card.title, card.body, card.urgency) == ("Refund?", "for order 7", "CRITICAL")
    await office.until(
        "SELECT decision, reason FROM notification_medium WHERE notification_id = :id AND medium = 'desktop'",
        [("shown", "")],
        id=id_,
    )
    assert desktop.count == 1


async def test_a_pressed_button_answers_and_leaves_the_screen(agent, office, desktop):
    id_ = await office.notify(style=Style.ALERT)
    await drawn(desktop)
    desktop.press("#Accept")
    await office.until(
        "SELECT answer, answered_by FROM notification WHERE id = :id", [("accept", "native:laptop")], id=id_
    )
    await until(lambda: desktop.count == 0)


async def test_what_is_answered_over_the_api_leaves_the_screen(agent, office, desktop):
    id_ = await office.notify(style=Style.ALERT)
    await drawn(desktop)
    await office.hub.daemon.hub.answer(id_, "accept", "page")
    await office.hub.run_until_idle()
    await until(lambda: desktop.count == 0)


async def test_a_click_is_seen_and_opens_the_page(agent, office, desktop):
    id_ = await office.notify()
    await drawn(desktop)
    desktop.click()
    await office.until("SELECT seen_at IS NOT NULL FROM notification WHERE id = :id", [(True,)], id=id_)
    await until(lambda: agent.pages)
    assert agent.pages == [str(office.client.make_url("/"))]
    await until(lambda: desktop.count == 0)


async def test_a_customers_markup_is_drawn_as_the_text_that_it_is(agent, office, desktop):
    await office.notify(style=Style.ALERT, text='<b>bold</b> <a href="http://evil.example">Click</a> & "so" on')
    [card] = await drawn(desktop)
    assert card.body == '&lt;b&gt;bold&lt;/b&gt; &lt;a href="http://evil.example"&gt;Click&lt;/a&gt; &amp; "so" on'
    desktop.press("#Decline")
    await until(lambda: desktop.count == 0)
    assert not [line for line in desktop.menu if line.startswith("[Click]")]


@pytest.fixture
def dark_desktop(monkeypatch):
    """A desktop of its own, with a dark theme."""
    made = Desktop(is_dark=True)
    try:
        made.start()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", made.address)
        monkeypatch.setenv("DISPLAY", made.display)
        yield made
    finally:
        made.stop()


def colours(desktop, file):
    """Count the pixels of each colour on a screen."""
    desktop.screenshot(file)
    words = ["convert", str(file), "-format", "%c", "histogram:info:"]
    told = subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout
    return {colour.lower(): int(count) for count, colour in re.findall(r"(\d+):.*?(#[0-9A-F]{6})", told)}


@pytest.mark.requirement("D-12")
@pytest.mark.parametrize(("scheme", "ground", "not_ground"), [("light", WHITE, NIGHT), ("dark", NIGHT, WHITE)])
async def test_the_desktops_own_theme_draws_it(office, desktop, tmp_path, request, scheme, ground, not_ground):
    desktop = request.getfixturevalue("dark_desktop") if scheme == "dark" else desktop
    url = str(office.client.make_url("")).rstrip("/")
    async with Agent(url, await office.key("ann")) as agent:
        await agent.says("connected to")
        await office.notify(text="for order 7")
        await drawn(desktop)
        seen = await until(lambda: (now := colours(desktop, tmp_path / "screen.png")).get(ground, 0) > 5_000 and now)
    assert seen.get(not_ground, 0) < 2_000, "letters at most"
