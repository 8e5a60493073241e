"""No desk: a visitor's message and a broken account reach a real mailbox, and what is pressed there counts.

Postfix carries, Dovecot keeps, and nothing between them is ours.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import talkwire_email
import talkwire_livechat
import talkwire_notify_email
from plugins.email.tests.smtpd import Server
from plugins.livechat.tests.visits import SETTINGS as CHAT
from plugins.livechat.tests.visits import Site
from talkwire import AccountState, Notify, Option
from talkwire.api import make_app

pytestmark = pytest.mark.needs("postfix", "dovecot")
LIMIT = 20.0  # real seconds, in which servers do what they do
SETTINGS = """
[server]
public_url = "https://talk.example"
[plugins.notify_email]
from = "{sender}"
bounces_to = "{sender}"
server = {{ host = "localhost", port = {port}, password = "{password}", ca_file = "{chain}" }}
[recipients.ops]
email = "{ops}"
media = ["email"]
[recipients.gone]
email = "gone@example.test"
media = ["email"]
[recipients.abroad]
email = "ann@elsewhere.example"
media = ["email"]
[[notify]]
on = ["message.received"]
to = ["ops"]
template = "waits"
[[notify]]
on = ["account.broken"]
to = ["ops"]
[accounts.support]
channel = "email"
address = "{sender}"
imap = {{ host = "localhost", port = {imap}, password = "{password}", ca_file = "{chain}" }}
smtp = {{ host = "localhost", port = {port}, tls = "starttls", password = "{password}", ca_file = "{chain}" }}
"""
WAITS = """
title = "{contact} wrote on {account}"
text = "{text}"
style = "alert"
details = [{ label = "Account", value = "{account}" }]
buttons = [{ id = "handled", label = "Mark handled", does = "handled" }]
"""
_LINK = re.compile(r"https://talk\.example(/\S+)")


class Told:
    """The hub, a visitor's website, and a mailbox of somebody who is told."""

    def __init__(self, site: Site, postfix: Any, ops: str) -> None:
        self.site, self.hub, self.client = site, site.hub, site.client
        self._postfix = postfix
        self._ops = ops

    async def mail(self, count: int) -> EmailMessage:
        """Wait until so many mails lie in the mailbox, and give the last one."""

        async def look() -> list[bytes]:
            found: list[bytes] = self._postfix.mails(self._ops)
            return found if len(found) >= count else []

        read = message_from_bytes((await until(look))[-1], policy=policy.default)
        assert isinstance(read, EmailMessage)
        return read

    async def asks(self, recipient: str = "ops") -> None:
        """Let a plugin ask something of somebody."""
        options = (Option(id="yes", title="Yes"), Option(id="no", title="No"))
        asked = Notify(recipient=recipient, kind="question", title="Refund?", actions=options)
        await self.hub.daemon.hub.of("asker").notify(asked)
        await self.hub.run_until_idle()


def link_of(mail: EmailMessage) -> str:
    """Give the path of the first link of a mail."""
    body = mail.get_body(("plain",))
    assert body is not None
    found: str = _LINK.findall(body.get_content())[0]
    return found


async def until(what: Callable[[], Awaitable[Any]]) -> Any:
    """Wait for what real servers do beside the turned clock."""
    async with asyncio.timeout(LIMIT):
        while not (found := await what()):
            await asyncio.sleep(0.01)
        return found


@pytest_asyncio.fixture
async def told(start_hub: Any, postfix: Any, aiohttp_client: Any, tmp_path: Path) -> Told:
    """Give a hub with a chat on a website and two rules; its mail goes by Postfix."""
    (tmp_path / "notifications").mkdir()
    (tmp_path / "notifications" / "waits.toml").write_text(WAITS)
    dovecot = postfix.dovecot
    sender, ops = dovecot.user(), dovecot.user()
    dovecot.maildir(ops)
    text = SETTINGS.format(
        sender=sender,
        ops=ops,
        port=postfix.submission,
        imap=dovecot.tls_port,
        password=dovecot.password,
        chain=dovecot.certificate.chain,
    )
    plugins = {"livechat": talkwire_livechat, "email": talkwire_email, "notify_email": talkwire_notify_email}
    hub = await start_hub(text + CHAT, plugins=plugins)
    await until(lambda: hub.rows("SELECT 1 FROM account_state WHERE account = 'support' AND cursor <> ''"))
    return Told(Site(hub, await aiohttp_client(make_app(hub.daemon))), postfix, ops)


@pytest.mark.requirement("CARD-07")
async def test_a_visitors_message_and_a_broken_account_reach_a_real_mailbox(told: Told) -> None:
    visitor = await told.site.visit()
    await visitor.says("Is the blue one still there?", "v1")
    await told.hub.run_until_idle()
    mail = await told.mail(1)
    assert "site" in mail["Subject"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Return-Path"] == f"<{mail['From'].addresses[0].addr_spec}>"
    assert mail.defects == []
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Is the blue one still there?" in body.get_content()
    told.hub.daemon.account("site").change(AccountState.BROKEN, "its secret was taken back")
    await told.hub.run_until_idle()
    alarm = await told.mail(2)
    assert "site" in alarm["Subject"]
    assert {row[0] for row in await told.hub.rows("SELECT decision FROM notification_medium")} == {"handed"}


async def test_what_is_pressed_in_a_real_mail_counts_once(told: Told) -> None:
    await told.asks()
    mail = await told.mail(1)
    link = link_of(mail)
    for _ in range(2):  # a scanner looks
        assert (await told.client.get(link)).status == 200
    assert await told.hub.rows("SELECT answered_by FROM notification") == [("",)]
    assert "Done" in await (await told.client.post(link, data={"press": "yes"})).text()
    assert await told.hub.rows("SELECT answered_by, answer FROM notification") == [("email", "yes")]
    second = await told.client.post(link, data={"press": "no"})
    assert second.status == 409
    assert "“Yes” on e-mail" in await second.text()


async def test_a_conversation_is_marked_handled_from_a_real_mail_and_the_mail_is_told_who_was_first(told: Told) -> None:
    visitor = await told.site.visit()
    await visitor.says("Is the blue one still there?", "v1")
    await told.hub.run_until_idle()
    link = link_of(await told.mail(1))
    await told.client.get(link)
    await told.hub.run_until_idle()
    assert await told.hub.rows("SELECT handled FROM conversation") == [(0,)]
    assert (await told.client.post(link, data={"press": "handled"})).status == 200
    await told.hub.run_until_idle()
    assert (await told.hub.rows("SELECT handled FROM conversation"))[0][0]
    assert len(await told.hub.facts("session.handled")) == 1
    await visitor.says("And the red one?", "v2")
    await told.hub.run_until_idle()
    second = link_of(await told.mail(2))
    [(other,)] = await told.hub.rows("SELECT id FROM notification WHERE answered_by = ''")
    await told.hub.daemon.hub.answer(other, "handled", "native:ann-laptop")
    late = await told.client.post(second, data={"press": "handled"})
    assert late.status == 409
    assert "“Mark handled” on the desktop of ann-laptop" in await late.text()


async def test_an_address_that_a_real_server_refuses_is_marked(told: Told) -> None:
    await told.asks("gone")
    await told.asks("gone")
    found = await told.hub.rows("SELECT decision, reason FROM notification_medium ORDER BY at, notification_id")
    assert [decision for decision, _ in found] == ["refused", "suppressed"]
    assert "550 5.1.1" in found[0][1]
    assert found[1][1] == "address_bounced"


async def test_a_mail_that_comes_back_into_a_mailbox_of_ours_marks_its_address(told: Told, postfix: Any) -> None:
    server = Server(offers=["8BITMIME", "ENHANCEDSTATUSCODES"])
    server.answers["RCPT"] = "550 5.1.1 nobody of that name"
    async with server.running(postfix.relay):
        await told.asks("abroad")
        assert await told.hub.rows("SELECT decision FROM notification_medium") == [("handed",)]
        marked = await until(lambda: told.hub.rows("SELECT address, reason FROM notify_email_address"))
    assert marked == [("ann@elsewhere.example", "mail came back 5.1.1")]
    await told.asks("abroad")
    found = await told.hub.rows("SELECT decision, reason FROM notification_medium ORDER BY at, notification_id")
    assert ("suppressed", "address_bounced") in found
    # it was a report, and no message: nobody is told of it
    assert await told.hub.conversations() == ()
