"""The core, channels and notifiers, no desk: rules tell people of new conversations, of replies, of broken accounts."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

import talkwire_livechat
import talkwire_notify_desktop
import talkwire_notify_email
from plugins.email.tests.smtpd import Server
from plugins.livechat.tests.visits import SETTINGS as CHAT
from plugins.livechat.tests.visits import Site
from plugins.notify_desktop.tests.surfaces import Office as Desktops
from plugins.notify_email.tests.mails import read
from talkwire import AccountState
from talkwire.testing.hub import WholeHub
from tests.journeys.acme_hub import AcmeHub

PEOPLE = """
[recipients.ann]
email = "ann@example.test"
media = ["desktop", "email"]
[recipients.bob]
media = ["desktop"]
[plugins.notify_email]
from = "alerts@shop.example"
server = {{ host = "127.0.0.1", port = {port}, security = "none" }}
"""
RULES = """
[[notify]]
on = ["conversation.opened", "message.received", "account.broken"]
to = ["ann"]
[[notify]]
on = ["conversation.opened", "message.received"]
accounts = ["shop"]
to = ["bob"]
"""
PLUGINS = {
    "livechat": talkwire_livechat,
    "notify_desktop": talkwire_notify_desktop,
    "notify_email": talkwire_notify_email,
}


class Shop:
    """A website's chat, a second channel, and two people who are told."""

    def __init__(self, acme: AcmeHub, client: Any, server: Server) -> None:
        self.acme, self.server = acme, server
        self.hub: WholeHub = acme.hub
        self.site, self.desktops = Site(acme.hub, client), Desktops(acme.hub, client)

    async def kinds(self, recipient: str) -> list[tuple[str, str]]:
        """Give kind and account of what somebody was told, in its order."""
        sql = "SELECT kind, account FROM notification WHERE recipient = :name ORDER BY created_at, id"
        return await self.hub.rows(sql, name=recipient)

    @property
    def subjects(self) -> list[str]:
        return [str(read(one.content)["Subject"]) for one in self.server.taken]


@pytest.fixture
async def shop(start_acme, client_of):
    async with Server().running() as server:
        acme = await start_acme(settings=CHAT + PEOPLE.format(port=server.port) + RULES, plugins=PLUGINS)
        yield Shop(acme, await client_of(acme.hub), server)


@pytest.mark.requirement("CARD-07")
async def test_notifiers_tell_of_a_visitor_and_of_a_broken_account_without_a_desk(shop):
    assert find_spec("talkwire_desk") is None
    laptop = await shop.desktops.native("ann")
    visitor = await shop.site.visit()
    await visitor.says("Where is my parcel?", "v1")
    await shop.hub.run_until_idle()
    shown = [await laptop.shows(), await laptop.shows()]
    assert sorted(one["kind"] for one in shown) == ["conversation.opened", "message.received"]  # each has its own lane
    assert {one["account"] for one in shown} == {"site"}
    for one in shown:
        await laptop.say(type="shown", id=one["id"])
    await laptop.echo()

    shop.hub.daemon.account("shop").change(AccountState.BROKEN, "the token was taken back")
    await shop.hub.run_until_idle()
    broken = await laptop.shows()
    assert (broken["kind"], broken["account"]) == ("account.broken", "shop")
    assert len(shop.subjects) >= 1
    assert any("shop" in subject for subject in shop.subjects)
    became = await shop.hub.rows("SELECT DISTINCT medium, decision FROM notification_medium ORDER BY medium, decision")
    assert ("desktop", "shown") in became
    assert ("email", "handed") in became or ("email", "shown") in became


@pytest.mark.requirement("3DN-02")
async def test_a_first_message_on_any_channel_tells_those_who_its_rule_names(shop):
    visitor = await shop.site.visit()
    await visitor.says("Where is my parcel?", "v1")
    await shop.acme.wrote("m1", "Do you sell shoes?")
    await shop.hub.run_until_idle()
    opened = [(kind, account) for kind, account in await shop.kinds("ann") if kind == "conversation.opened"]
    assert sorted(opened) == [("conversation.opened", "shop"), ("conversation.opened", "site")]
    assert {account for _, account in await shop.kinds("bob")} == {"shop"}  # no rule names him for the chat

    await visitor.says("Hello?", "v2")
    await shop.hub.run_until_idle()
    again = [kind for kind, account in await shop.kinds("ann") if account == "site"]
    assert again.count("conversation.opened") == 1


@pytest.mark.requirement("3DN-08")
async def test_a_customers_reply_in_an_open_conversation_tells_those_who_its_rule_names(shop):
    talk = await shop.acme.talk()
    await shop.acme.reply(talk, "Which size?")
    before = len(await shop.kinds("bob"))
    await shop.acme.wrote("m2", "Forty-two")
    await shop.hub.run_until_idle()
    assert (await shop.kinds("bob"))[before:] == [("message.received", "shop")]
    assert (await shop.kinds("ann"))[-1] == ("message.received", "shop")
    [talk_of] = set(await shop.acme.column("SELECT conversation FROM notification WHERE recipient = 'bob'"))
    assert talk_of == talk.id
