"""The native client on a real Linux desktop: dunst draws what the hub tells, and what people press reaches the hub."""

from __future__ import annotations

import pytest
import pytest_asyncio

from talkwire import Style

from .agents import Agent, until

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
