"""One alert on page, browser, desktop and in a mail: whoever answers first wins, the others learn who it was."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

import talkwire_notify_desktop
import talkwire_notify_email
from plugins.email.tests.smtpd import Server
from plugins.notify_desktop.tests.surfaces import Office as Desktops
from plugins.notify_email.tests.mails import text_of
from plugins.notify_email.tests.office import Office as Mails
from talkwire import Notification, Notify, Option, Style, hookimpl

SETTINGS = """
[server]
public_url = "http://localhost"
[recipients.ann]
email = "ann@example.test"
media = ["desktop", "email"]
[plugins.notify_email]
from = "alerts@shop.example"
server = {{ host = "127.0.0.1", port = {port}, security = "none" }}
"""
BUTTONS = (Option(id="accept", title="Accept"), Option(id="decline", title="Decline"))
WORDS = {
    "page": "page",
    "browser": "browser",
    "native": "native:laptop",
    "mail": "email",
}  # surfaces, as they are named
LASTS = timedelta(seconds=90)


class Desk:
    def __init__(self) -> None:
        self.answers: list[tuple[str, str]] = []

    @hookimpl
    def answer_notification(self, notification: Notification, answer: str) -> None:
        self.answers.append((notification.id, notification.answered_by))


@dataclass
class Said:
    """What a surface was told after it had answered."""

    won: bool
    code: str = ""
    by: str = ""


@dataclass
class Hall:
    """Ann, with all that she can answer by."""

    hub: Any
    desk: Desk
    desktops: Desktops
    mails: Mails
    native: Any
    browser: Any
    count: int = field(default=0)

    async def ask(self) -> tuple[str, str]:
        """Ask Ann something, wait until all surfaces show it; gives its id and the link in the mail."""
        self.count += 1
        asked = {"kind": "offer", "title": f"Offer {self.count}", "style": Style.ALERT, "actions": BUTTONS}
        await self.hub.daemon.hub.of("desk").notify(Notify(recipient="ann", timeout=LASTS, **asked))
        await self.hub.run_until_idle()
        shown = {(await surface.shows())["id"] for surface in (self.native, self.browser)}
        [id_] = shown
        assert id_ == (await self.listed())[0]
        return id_, re.findall(r"http://localhost(/p/notify_email/\S+)", text_of(self.mails.mails[-1]))[0]

    async def listed(self) -> list[str]:
        async with self.desktops.client.get("/api/v1/notifications", headers=await self.headers()) as answer:
            return [one["id"] for one in (await answer.json())["items"]]

    async def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {await self.desktops.key('ann')}"}

    async def page(self, id_: str, _link: str) -> Said:
        body = {"action": "accept", "surface": "page"}
        path, headers = f"/api/v1/notifications/{id_}:answer", await self.headers()
        async with self.desktops.client.post(path, json=body, headers=headers) as answer:
            if answer.status == 204:
                return Said(True)
            said = await answer.json()
            assert answer.status == 409, said
            return Said(False, said["code"], said.get("answered_by", ""))

    async def mail(self, id_: str, link: str) -> Said:
        status, words = await self.mails.presses(link, "accept")
        [(by,)] = await self.hub.rows("SELECT answered_by FROM notification WHERE id = :id", id=id_)
        was_answered, is_over = "already" in words.lower(), "over" in words.lower()
        if by == WORDS["mail"]:
            assert (status, was_answered, is_over) == (200, False, False), words
            return Said(True)
        assert was_answered is not is_over, words
        return Said(False, "already_answered" if was_answered else "lapsed", by)

    async def _pressed(self, surface: Any, id_: str) -> Said:
        frame = await surface.answers(id_, "accept")
        return Said(frame["type"] == "won", frame.get("code", ""), frame.get("by", ""))

    async def by_native(self, id_: str, _link: str) -> Said:
        return await self._pressed(self.native, id_)

    async def by_browser(self, id_: str, _link: str) -> Said:
        return await self._pressed(self.browser, id_)

    @property
    def ways(self) -> dict[str, Callable[[str, str], Awaitable[Said]]]:
        return {"page": self.page, "browser": self.by_browser, "native": self.by_native, "mail": self.mail}

    async def settled(self, id_: str) -> None:
        """Let everything be told that is to be told, and take it from both sockets."""
        await self.hub.run_until_idle()
        for surface in (self.native, self.browser):
            await surface.say(type="answered", id="nothing", action="none")
            while (frame := await surface.gets("lost", "withdraw")).get("code") != "not_found":
                assert frame["type"] != "withdraw" or frame["id"] == id_


@pytest.fixture
async def hall(start_hub, client_of):
    """Ann at her desk."""
    desk = Desk()
    plugins = {"desk": desk, "notify_desktop": talkwire_notify_desktop, "notify_email": talkwire_notify_email}
    async with Server().running() as server:
        hub = await start_hub(SETTINGS.format(port=server.port), plugins=plugins)
        await hub.run_until_idle()
        client = await client_of(hub)
        desktops = Desktops(hub, client)
        native, browser = await desktops.native(), await desktops.page()
        yield Hall(hub, desk, desktops, Mails(hub, server, client), native, browser)


ORDERS = list(itertools.permutations(WORDS))
SOME = [tuple(WORDS)[n:] + tuple(WORDS)[:n] for n in range(4)]  # each way is first once, and last once


@pytest.mark.parametrize("orders", [SOME, pytest.param(ORDERS, marks=pytest.mark.prove)], ids=["some", "every"])
async def test_in_every_order_the_first_answer_wins_and_the_others_are_told_who_it_was(hall, orders):
    for order in orders:
        id_, link = await hall.ask()
        said = {name: await hall.ways[name](id_, link) for name in order}
        first = order[0]
        assert said[first].won, order
        assert [(one.won, one.code, one.by) for name, one in said.items() if name != first] == [
            (False, "already_answered", WORDS[first])
        ] * 3, order
        await hall.settled(id_)
        assert hall.desk.answers[-1] == (id_, WORDS[first])
        assert await hall.listed() == []
    assert len(hall.desk.answers) == len(orders)


async def test_of_four_answers_at_once_one_wins_and_the_others_name_it(hall):
    for n in range(8):
        id_, link = await hall.ask()
        ways = list(hall.ways.items())
        ways = ways[n % 4 :] + ways[: n % 4]  # who begins
        said = dict(zip(dict(ways), await asyncio.gather(*(way(id_, link) for _, way in ways)), strict=True))
        [winner] = [name for name, one in said.items() if one.won]
        losers = [one for one in said.values() if not one.won]
        assert {(one.code, one.by) for one in losers} == {("already_answered", WORDS[winner])}
        await hall.settled(id_)
        assert hall.desk.answers[n:] == [(id_, WORDS[winner])]
        assert await hall.listed() == []


async def test_an_answer_and_the_end_of_the_time_at_once_have_one_outcome_and_all_agree(hall):
    """Whichever is first: the clock is turned while the answers are under way."""
    for _ in range(4):
        id_, link = await hall.ask()
        answers = [asyncio.create_task(way(id_, link)) for way in hall.ways.values()]
        for _ in range(4):
            await asyncio.sleep(0)  # some have begun, others have not; nothing depends on how many
        hall.hub.clock.advance(LASTS)
        said = await asyncio.gather(*answers)
        await hall.settled(id_)
        won = [one for one in said if one.won]
        lapsed = [fact for fact in await hall.hub.facts("notification.lapsed") if fact.ids["notification"] == id_]
        taken = [one for one in hall.desk.answers if one[0] == id_]
        assert (len(won), len(taken), len(lapsed)) in {(1, 1, 0), (0, 0, 1)}
        expected = "already_answered" if won else "lapsed"
        assert {one.code for one in said if not one.won} == {expected}


async def test_an_answer_after_the_time_is_told_so_everywhere(hall):
    id_, link = await hall.ask()
    await hall.hub.pass_time(LASTS)
    said = [await way(id_, link) for way in hall.ways.values()]
    assert [(one.won, one.code, one.by) for one in said] == [(False, "lapsed", "")] * 4
    assert hall.desk.answers == []
