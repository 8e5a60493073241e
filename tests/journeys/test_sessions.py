"""Sessions as people see them: who is there now, since when, whether somebody replied, and how they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from talkwire import (
    Conversation,
    Inbound,
    NotFound,
    Reaction,
    ReadUpTo,
    SessionChange,
    SessionState,
    TypingSignal,
    draft,
)
from talkwire.answers import AccountView
from talkwire.api.principals import create_keys
from talkwire.model import AccountState
from talkwire.oversight import evidence, story
from talkwire.readmodels import conversations
from tests.journeys.door_hub import VISITOR, House

CONNECTED, DISCONNECTED, ENDED = SessionState.CONNECTED, SessionState.DISCONNECTED, SessionState.ENDED


async def now(house: House) -> Conversation:
    """Give the talk of the visitor, whatever was said in it."""
    [found] = (await house.door.hub.conversations(account="front", address=VISITOR)).items
    return found  # type: ignore[no-any-return]


async def changes(house: House, visitor: str, state: SessionState, at: datetime | None = None) -> None:
    address = replace(VISITOR, value=visitor)
    await house.door.admit([SessionChange(address=address, state=state, at=at or house.now)])


async def live(house: House, session: str = "live", **more: Any) -> list[str]:
    page = await house.door.hub.conversations(session=session, **more)
    return [one.address.value for one in page.items]


# --- since when ---------------------------------------------------------------------------------------------


async def test_a_session_begins_when_it_opens_and_not_at_each_reconnect(house: House) -> None:
    began = house.now
    await house.comes()
    await house.hub.pass_time(seconds=30)
    await house.leaves()
    await house.comes()
    assert ((await now(house)).session_since, (await now(house)).session_reason) == (began, "")

    await house.session_is(ENDED, "customer")
    assert ((await now(house)).session_since, (await now(house)).session_reason) == (began, "customer")
    await house.hub.pass_time(seconds=30)
    await house.comes()
    assert ((await now(house)).session_since, (await now(house)).session_reason) == (house.now, "")


async def test_a_channel_without_sessions_has_none(acme: Any) -> None:
    talk = await acme.talk()
    await acme.reply(talk, "Hi")
    talk = await acme.hub.conversation
    assert (talk.session, talk.session_since, talk.session_reason, talk.handled) == ("none", None, "", False)


async def test_a_connection_that_closes_after_the_end_opens_nothing(house: House) -> None:
    await house.comes()
    await house.session_is(ENDED, "agent")
    await house.hub.pass_time(seconds=1)
    await house.leaves()
    assert (await now(house)).session is ENDED
    assert len(await house.hub.facts("session.disconnected")) == 0
    await house.comes()
    assert (await now(house)).session is CONNECTED


# --- handled ------------------------------------------------------------------------------------------------


async def test_a_talk_is_handled_when_somebody_replied(house: House) -> None:
    await house.comes()
    talk = await house.writes("hello")
    assert not talk.handled
    await house.notice(talk, "You are number 3")
    await house.door.hub.reply(talk.id, draft("We are closed today"), author="plugin:hours")
    assert not (await now(house)).handled  # nobody was there
    for text in ("Good morning", "How can I help?"):
        await house.hub.reply(talk, text, author="agent:ann")
    assert (await now(house)).handled
    [fact] = await house.hub.facts("session.handled")
    assert (fact.conversation, fact.account, fact.small) == (talk.id, "front", {"author": "agent:ann"})

    await house.leaves()
    await house.comes()
    assert (await now(house)).handled  # it is the same session
    await house.session_is(ENDED)
    await house.comes()
    assert not (await now(house)).handled


async def test_a_reply_to_somebody_away_handles_the_session_and_one_after_its_end_does_not(house: House) -> None:
    await house.comes()
    talk = await house.writes("hello")
    await house.leaves()
    await house.hub.reply(talk, "Are you there?")
    assert (await now(house)).handled
    await house.session_is(ENDED)
    await house.comes()
    await house.session_is(ENDED)
    with pytest.raises(Exception, match="ended"):
        await house.hub.reply(talk, "Too late")
    assert not (await now(house)).handled
    assert len(await house.hub.facts("session.handled")) == 1


# --- who is there -------------------------------------------------------------------------------------------


async def test_who_waits_longest_comes_first_and_who_is_handled_last(house: House) -> None:
    for visitor in ("first", "second", "third", "gone", "quiet"):
        await changes(house, visitor, CONNECTED)
        if visitor != "quiet":
            address = replace(VISITOR, value=visitor)
            await house.door.admit([Inbound(external_id=visitor, address=address, at=house.now, text="hello")])
        await house.hub.pass_time(seconds=10)
    await changes(house, "first", DISCONNECTED)
    await changes(house, "gone", ENDED)
    by_name = {one.address.value: one for one in (await house.door.hub.conversations(session="live")).items}
    await house.hub.reply(by_name["second"], "Good morning")

    assert await live(house) == ["first", "third", "quiet", "second"]
    assert await live(house, "connected") == ["third", "quiet", "second"]
    assert await live(house, "disconnected") == ["first"]
    assert await live(house, "ended") == ["gone"]
    assert await live(house, account="front") == ["first", "third", "quiet", "second"]
    assert await live(house, account="back") == []
    assert await live(house, contact=by_name["third"].contact) == ["third"]


@pytest.mark.parametrize("session", ["live", "connected", "ended"])
async def test_sessions_come_in_pages(house: House, session: str) -> None:
    state = ENDED if session == "ended" else CONNECTED
    for number in range(5):
        address = replace(VISITOR, value=f"v{number}")
        await house.door.admit(
            [
                Inbound(external_id=f"m{number}", address=address, at=house.now, text="hello"),
                SessionChange(address=address, state=state, at=house.now),
            ]
        )
    found, cursor = list[str](), ""
    for _ in range(3):
        page = await house.door.hub.conversations(session=session, limit=2, cursor=cursor)
        found += [one.address.value for one in page.items]
        cursor = page.next
    assert (sorted(found), cursor) == ([f"v{number}" for number in range(5)], "")


async def test_the_api_gives_sessions(house: House) -> None:
    await house.comes()
    [token] = [await house.hub.daemon.store.write(create_keys, ("crm", "read"))]
    headers = {"Authorization": f"Bearer {token}"}
    async with house.client.get("/api/v1/conversations?session=live", headers=headers) as answer:
        [one] = (await answer.json())["items"]
    assert (one["session"], one["handled"], one["session_reason"]) == ("connected", False, "")
    assert datetime.fromisoformat(one["session_since"]) == house.now
    async with house.client.get("/api/v1/conversations?session=asleep", headers=headers) as answer:
        assert answer.status == 422


SOME = "01940000-0000-7000-8000-00000000c0de"  # a conversation's id


@pytest.mark.parametrize("filters", [{}, {"account": "front"}, {"account": "front", "cursor": f"0.5.{SOME}"}])
@pytest.mark.parametrize(("session", "index"), [("live", "live"), ("disconnected", "live"), ("ended", "ended")])
async def test_sessions_are_found_by_their_index(house: House, session: str, index: str, filters: Any) -> None:
    class Explained:
        plan: Sequence[Any] = ()

        def __init__(self, query: Any) -> None:
            self.query = query

        def execute(self, sql: str, params: Any = {}) -> Any:  # noqa: B006  as `Query.execute` has it
            explain = "EXPLAIN QUERY PLAN" if house.hub.daemon.store.is_sqlite else "EXPLAIN"
            if not house.hub.daemon.store.is_sqlite:  # on a table of nobody it takes what costs least to begin
                self.query.execute("SET LOCAL enable_seqscan = off")
                self.query.execute("SET LOCAL enable_sort = off")
            self.plan = self.query.execute(f"{explain} {sql}", params)
            return []

    def plan(query: Any) -> str:
        explained = Explained(query)
        view = AccountView(name="front", features=None, state=AccountState.WORKING, since=None)
        conversations(explained, lambda name: view, session=session, **filters)  # type: ignore[arg-type]
        return "\n".join(str(row) for row in explained.plan)

    if session == "ended" and "cursor" in filters:
        filters = {**filters, "cursor": f"5.{SOME}"}
    found = await house.hub.daemon.store.read(plan)
    assert f"ix_conversation_{index}" in found
    assert "B-TREE" not in found
    assert "Sort" not in found


# --- what we do in it ---------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def ask(house: House) -> Any:
    """Give what asks the API for something, as a bot."""
    [token] = [await house.hub.daemon.store.write(create_keys, ("bot", "bot"))]

    async def ask(path: str, body: Any, status: int = 204) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        async with house.client.post(f"/api/v1/conversations/{path}", json=body, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json() if status != 204 else None

    return ask


@pytest.mark.parametrize("by", ["hub", "api"])
async def test_a_talk_is_ended_from_our_side(house: House, ask: Any, by: str) -> None:
    await house.comes()
    talk = await house.writes("hello")
    await house.leaves()
    await house.hub.reply(talk, "Are you there?")
    await house.hub.run_until_idle()
    if by == "hub":
        await house.door.hub.end_session(talk.id)
    else:
        await ask(f"{talk.id}:end", {"reason": "agent"})
    await house.hub.run_until_idle()

    talk = await now(house)
    assert (talk.session, talk.session_reason, talk.answer.code) == ("ended", "agent", "session_ended")
    [_, reply] = await house.hub.messages(talk)
    assert reply.deliveries[0].problem.code == "session_ended"
    assert [fact.small for fact in await house.hub.facts("session.ended")] == [
        {"was": "disconnected", "reason": "agent"}
    ]
    assert (await ask(f"{talk.id}:end", {}, 409))["code"] == "no_session"


async def test_what_is_no_talk_cannot_be_ended(house: House, ask: Any) -> None:
    await ask("nobody's:end", {}, 404)
    await house.comes()
    for reason in ("", "Because I say so", "x" * 51):
        await ask(f"{(await now(house)).id}:end", {"reason": reason}, 422)
    with pytest.raises(NotFound):
        await house.door.hub.end_session("nobody's")


async def test_typing_and_reading_reach_the_channel_and_no_table(house: House, ask: Any) -> None:
    await house.comes()
    talk = await house.writes("hello")
    await house.writes("are you there?")
    await house.hub.reply(talk, "Yes")
    await house.hub.run_until_idle()
    before = await house.hub.rows("SELECT seq FROM log_head")
    await ask(f"{talk.id}/typing", {"on": True})
    await ask(f"{talk.id}/typing", {"on": False})
    for n in (1, 3):
        await ask(f"{talk.id}/read", {"n": n})
    await house.door.hub.signal(talk.id, Reaction("v1:1", "+1"))
    assert house.door.signals == [
        ("v1", signal)
        for signal in (
            TypingSignal(last_inbound="v1:2"),
            TypingSignal(on=False, last_inbound="v1:2"),
            ReadUpTo("v1:1"),
            ReadUpTo("v1:2"),
            Reaction("v1:1", "+1"),
        )
    ]
    assert await house.hub.rows("SELECT seq FROM log_head") == before
    assert await house.hub.rows("SELECT 1 FROM task") == []


async def test_a_hint_that_goes_wrong_hurts_nobody(house: House, ask: Any) -> None:
    await house.comes()
    talk = await house.writes("hello")
    house.door.fault = ValueError("a channel's own fault")
    await ask(f"{talk.id}/typing", {"on": True})
    await ask(f"{talk.id}/read", {"n": 1})
    assert len(house.door.signals) == 2


async def test_a_hint_goes_nowhere_where_nothing_was_said(house: House, ask: Any) -> None:
    await house.comes()
    await ask(f"{(await now(house)).id}/read", {"n": 5})
    assert house.door.signals == []
    for path, body in (("typing", {}), ("read", {"n": 1})):
        await ask(f"nobody's/{path}", body, 404)
    with pytest.raises(NotFound):
        await house.door.hub.signal("nobody's", TypingSignal())


# --- what the operator finds --------------------------------------------------------------------------------


async def test_the_story_of_a_live_talk_tells_its_notices_and_who_answered(house: House) -> None:
    await house.comes()
    talk = await house.writes("hello")
    await house.notice(talk, "You are number 3")
    await house.notice(talk, None)
    await house.hub.reply(talk, "Good morning", author="agent:ann")
    await house.door.hub.end_session(talk.id)
    await house.hub.run_until_idle()

    found = await house.hub.daemon.store.read(lambda query: evidence.find(query, "number 3"))
    assert [one.kind for one in found] == ["message"]
    told_story = await house.hub.daemon.store.read(lambda query: story.tell(query, talk.id))
    lines = [line.text for line in told_story.lines]
    for told in (
        "(place)",
        "message changed kind=revoke",
        "session handled",
        "session ended was=connected reason=agent",
    ):
        assert any(told in line for line in lines), told
