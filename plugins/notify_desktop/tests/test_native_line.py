"""The native client when things go wrong: lines that break, answers that come too late, desktops that come and go."""

from __future__ import annotations

import pytest
import pytest_asyncio

from talkwire_notify_desktop.native import places

from .agents import ALERT, Agent, switchboard, until

pytestmark = pytest.mark.needs("dunst")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test: what the client keeps lies there."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest_asyncio.fixture
async def board():
    async with switchboard() as one:
        yield one


@pytest_asyncio.fixture
async def agent(board, desktop):
    """A client at that server."""
    async with Agent(board.url, "secret-key") as one:
        yield one


async def drawn(desktop, count=1):
    """Wait until dunst has drawn so many."""
    return await until(lambda: len(found := desktop.drawn) >= count and found)


async def shown(line, desktop, **more):
    """Let an alert be drawn."""
    await line.show(**more)
    assert (await line.gets("shown"))["id"] == more.get("id", "n-1")
    return (await drawn(desktop))[-1]


# --- what is said -------------------------------------------------------------------------------------------


async def test_the_first_frame_says_who_and_whether_this_desktop_can(agent, board):
    line = await board.line()
    assert line.hello == {
        "type": "hello",
        "protocol": 1,
        "surface": "native-1",
        "kind": "native",
        "device": "laptop",
        "key": "secret-key",
        "able": True,
        "why_not": "",
        "showing": [],
    }
    assert (await line.gets("focus"))["state"] == "visible"
    assert any("shown by dunst" in said for said in agent.said)
    assert not [said for said in agent.said if "secret-key" in said]


async def test_details_stand_below_the_text(agent, board, desktop):
    card = await shown(await board.line(), desktop)
    assert card.body == "Where is my order?\nCustomer: Ann"


@pytest.mark.requirement("D-10")
async def test_a_time_limit_in_a_frame_is_not_drawn(agent, board, desktop):
    card = await shown(await board.line(), desktop, lapses_at="2026-11-23T12:01:30Z", timeout=90)
    assert (card.title, card.body) == ("Ann wrote", "Where is my order?\nCustomer: Ann")


async def test_the_same_notification_again_takes_the_place_of_the_first(agent, board, desktop):
    line = await board.line()
    first = await shown(line, desktop)
    await line.show()
    await line.gets("shown")
    await line.show(text="And now?")
    await line.gets("shown")
    second = (await drawn(desktop, 2))[-1]
    assert (second.id, second.body) == (first.id, "And now?\nCustomer: Ann")
    assert desktop.count == 1
    assert len(desktop.drawn) == 2


async def test_a_notification_that_is_none_is_passed_over(agent, board, desktop):
    line = await board.line()
    await line.say(type="show", notification={"title": "x"})
    await line.say(type="show", notification=[])
    await line.say(type="dance")
    await shown(
        line, desktop, title=None, text="half \ud83d\x00 character", details="none", actions=[{"label": "x"}, 3]
    )
    [card] = desktop.drawn
    assert (card.title, card.body) == ("Talkwire", "half ? character")


async def test_a_long_text_is_cut(agent, board, desktop):
    card = await shown(await board.line(), desktop, text="x" * 5000, details=[])
    assert card.body == "x" * 599 + "…"


async def test_what_was_closed_is_dismissed_and_not_drawn_again(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    desktop.close()
    assert (await line.gets("dismissed"))["id"] == "n-1"
    await line.show()
    assert (await line.gets("dismissed"))["id"] == "n-1"
    assert desktop.count == 0


async def test_what_is_taken_back_leaves_the_screen(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    await line.say(type="withdraw", id="n-1", why="lapsed", by="")
    await line.say(type="withdraw", id="never seen", why="lapsed", by="")
    await until(lambda: desktop.count == 0)


async def test_whoever_was_second_is_told_by_whom(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    desktop.press("#Mark handled")
    assert (await line.gets("answered"))["action"] == "handled"
    await line.say(type="lost", id="n-1", code="already_answered", text="already answered on email", by="email")
    card = (await drawn(desktop, 2))[-1]
    assert (card.title, card.body) == ("Your answer came too late", "already answered on email")


async def test_an_answer_that_the_server_could_not_take_may_be_given_again(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    for _ in range(2):
        desktop.press("#Mark handled")
        assert (await line.gets("answered"))["action"] == "handled"
        await line.say(type="lost", id="n-1", code="failed", text="try again", by="")
        await line.gets("shown")
    await until(lambda: "Your answer was not taken" in [card.title for card in desktop.drawn])


async def test_a_click_opens_the_conversations_page(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    desktop.click()
    assert (await line.gets("seen"))["id"] == "n-1"
    await until(lambda: agent.pages)
    assert agent.pages == [f"{board.url}/#c=c%201"]


async def test_a_button_that_only_opens_does_what_a_click_does(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop, actions=[{"id": "open", "label": "Open it"}], opens=["open"])
    desktop.press("#Open it")
    assert (await line.gets("seen"))["id"] == "n-1"
    await until(lambda: agent.pages)
    await until(lambda: desktop.count == 0)


# --- lines that break ---------------------------------------------------------------------------------------


async def test_after_a_broken_line_it_comes_again_and_says_what_happened_meanwhile(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    await shown(line, desktop, id="n-2", title="Bob wrote")
    board.bye = {"code": "forbidden", "text": "not now"}
    await line.cut()
    await agent.says("not now")
    desktop.press("#Mark handled (Ann wrote)")
    await until(lambda: desktop.count == 1)
    board.bye = None
    again = await board.line()
    assert (again.hello["surface"], again.hello["showing"]) == ("native-1", ["n-1", "n-2"])
    assert await again.gets("answered") == {"type": "answered", "id": "n-1", "action": "handled"}
    await again.say(type="won", id="n-1", action="handled")
    await again.say(type="withdraw", id="n-2", why="withdrawn", by="")
    await until(lambda: desktop.count == 0)


async def test_what_was_closed_while_the_line_was_down_is_said_afterwards(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    board.bye = {"code": "forbidden", "text": "not now"}
    await line.cut()
    await agent.says("not now")
    desktop.close()
    await until(lambda: agent.client._later)
    board.bye = None
    assert (await (await board.line()).gets("dismissed"))["id"] == "n-1"


@pytest.mark.parametrize(
    ("code", "words"),
    [("unauthenticated", "Sign in with a new one"), ("protocol", "Install the same version of Talkwire here")],
)
async def test_a_server_that_will_never_want_it_ends_it_with_what_to_type(board, desktop, code, words):
    board.bye = {"code": code, "text": "no"}
    async with Agent(board.url, "secret-key") as agent:
        error = await agent.ends()
    assert words in str(error)
    assert "secret-key" not in str(error)


async def test_a_second_client_with_the_same_sign_in_ends_the_first(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    await line.cut(4001)
    assert "another client has the same sign-in" in str(await agent.ends())
    assert desktop.count == 0  # nothing is left whose buttons do nothing


async def test_a_server_without_desktop_notifications_is_named(board, desktop):
    async with Agent(board.url + "/elsewhere", "secret-key") as agent:
        assert "has no desktop notifications" in await agent.says("not connected")


# --- desktops that come and go ------------------------------------------------------------------------------


async def test_a_desktop_that_starts_anew_draws_again_what_is_open(agent, board, desktop):
    line = await board.line()
    await shown(line, desktop)
    desktop.stop_dunst()
    able = await line.gets("able")
    assert (able["able"], able["why_not"]) == (False, "no_daemon")
    assert "no program on this desktop shows notifications" in await agent.says("no program")
    await line.show(id="n-2", title="Bob wrote")
    assert await line.gets("refused") == {"type": "refused", "id": "n-2", "why": "no_daemon"}
    desktop.start_dunst()
    assert (await line.gets("able"))["able"] is True
    assert {(await line.gets("shown"))["id"], (await line.gets("shown"))["id"]} == {"n-1", "n-2"}
    assert sorted(card.title for card in await drawn(desktop, 2)) == ["Ann wrote", "Bob wrote"]
    desktop.press("#Mark handled (Bob wrote)")
    assert (await line.gets("answered"))["id"] == "n-2"


async def test_without_a_session_bus_it_says_so_and_goes_on_and_shows_when_one_comes(board, desktop):
    desktop.stop_bus()
    async with Agent(board.url, "secret-key") as agent:
        line = await board.line()
        assert (line.hello["able"], line.hello["why_not"]) == (False, "no_session_bus")
        assert "start this in your desktop's session" in await agent.says("no session bus")
        await line.show()
        assert (await line.gets("refused"))["why"] == "no_session_bus"
        desktop.start_bus()
        assert (await line.gets("able"))["why_not"] == "no_daemon"
        desktop.start_dunst()
        assert (await line.gets("able"))["able"] is True
        await line.gets("shown")
        assert [card.title for card in await drawn(desktop)] == [ALERT["title"]]


async def test_what_it_knows_of_itself_is_written_for_status(agent, board, desktop):
    with places.alone():
        line = await board.line()
        await until(lambda: (known := places.noted()) and known.connected and known.able.able)
        board.bye = {"code": "forbidden", "text": "no such recipient"}
        await line.cut()
        await until(lambda: (known := places.noted()) and known.trouble == "no such recipient")
