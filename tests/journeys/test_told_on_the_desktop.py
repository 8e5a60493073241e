"""No desk: a visitor's message and a broken account reach a real desktop and a real mailbox; one answer ends both.

dunst draws, Postfix carries, Dovecot keeps. Livechat, both notifiers and the core are all there is of ours.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import talkwire_livechat
import talkwire_notify_desktop
import talkwire_notify_email
from plugins.livechat.tests.visits import SETTINGS as CHAT
from plugins.livechat.tests.visits import Site
from plugins.notify_desktop.tests.agents import Agent, until
from talkwire import AccountState
from talkwire.api import make_app
from talkwire.api.principals import create_keys

pytestmark = pytest.mark.needs("dunst", "postfix", "dovecot")
SETTINGS = """
[server]
public_url = "https://talk.example"
[plugins.notify_email]
from = "{sender}"
server = {{ host = "localhost", port = {port}, password = "{password}", ca_file = "{chain}" }}
[recipients.ops]
email = "{ops}"
media = ["desktop", "email"]
[[notify]]
on = ["message.received"]
to = ["ops"]
template = "message"
[[notify]]
on = ["account.broken"]
to = ["ops"]
"""
TEMPLATE = """
title = "{contact} waits"
text = "{text}"
style = "alert"
details = [{label = "Account", value = "{account}"}]
buttons = [{id = "handled", label = "Mark handled", does = "handled"}]
"""
DECISIONS = "SELECT medium, decision FROM notification_medium ORDER BY medium"
_LINK = re.compile(r"https://talk\.example(/\S+)")


class Office:
    """The hub, a visitor's website, somebody's desktop and their mailbox."""

    def __init__(self, site: Site, desktop: Any, agent: Agent, look: Callable[[], list[bytes]], key: str) -> None:
        self.site, self.hub, self.client = site, site.hub, site.client
        self.desktop, self.agent = desktop, agent
        self._look = look
        self._key = key

    async def drawn(self, count: int = 1) -> Any:
        """Wait until so many were drawn, and give the last one."""
        return (await until(lambda: len(found := self.desktop.drawn) >= count and found))[-1]

    async def mails(self, count: int = 1) -> Any:
        """Wait until so many mails lie in the mailbox, and give the last one."""
        found = await until(lambda: len(found := self._look()) >= count and found)
        return message_from_bytes(found[-1], policy=policy.default)

    async def until(self, sql: str, expected: list[tuple[Any, ...]]) -> None:
        """Wait until rows are these."""
        async with asyncio.timeout(30):
            while await self.hub.rows(sql) != expected:
                await asyncio.sleep(0.01)

    async def answers(self, action: str) -> int:
        """Answer the newest over the API; gives the status."""
        [(id_,)] = await self.hub.rows("SELECT id FROM notification ORDER BY created_at DESC, id DESC LIMIT 1")
        asked = self.client.post(
            f"/api/v1/notifications/{id_}:answer",
            json={"action": action, "surface": "page"},
            headers={"Authorization": f"Bearer {self._key}"},
        )
        async with asked as answer:
            return int(answer.status)


@pytest_asyncio.fixture
async def office(
    start_hub: Any, postfix: Any, desktop: Any, aiohttp_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    """Give all of it: one rule for messages, one for broken accounts, and somebody at the desktop."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "notifications").mkdir()
    (tmp_path / "notifications" / "message.toml").write_text(TEMPLATE)
    dovecot = postfix.dovecot
    sender, ops = dovecot.user(), dovecot.user()
    dovecot.maildir(ops)
    text = SETTINGS.format(
        sender=sender,
        ops=ops,
        port=postfix.submission,
        password=dovecot.password,
        chain=dovecot.certificate.chain,
    )
    plugins = {
        "livechat": talkwire_livechat,
        "notify_desktop": talkwire_notify_desktop,
        "notify_email": talkwire_notify_email,
    }
    hub = await start_hub(text + CHAT, plugins=plugins)
    await hub.run_until_idle()
    client = await aiohttp_client(make_app(hub.daemon))
    key = await hub.daemon.store.write(create_keys, ("ops", "bot"))
    async with Agent(str(client.make_url("")).rstrip("/"), key) as agent:
        yield Office(Site(hub, client), desktop, agent, lambda: postfix.mails(ops), key)


@pytest.mark.requirement("CARD-07")
async def test_a_message_is_on_the_desktop_and_in_the_mailbox_and_one_press_marks_it_handled(office: Office) -> None:
    await office.agent.says("connected to")
    visitor = await office.site.visit()
    await visitor.says("Is the <blue> one still there?", "v1")
    await office.hub.run_until_idle()
    card = await office.drawn()
    assert card.title.endswith("waits")
    assert card.body == "Is the &lt;blue&gt; one still there?\nAccount: site"
    mail = await office.mails()
    await office.until(DECISIONS, [("desktop", "shown"), ("email", "handed")])

    office.desktop.press("#Mark handled")
    await office.until("SELECT answered_by, answer FROM notification", [("native:laptop", "handled")])
    await until(lambda: office.desktop.count == 0)
    await office.hub.run_until_idle()
    assert await office.hub.rows("SELECT handled FROM conversation") == [(1,)]
    link = _LINK.findall(mail.get_body(("plain",)).get_content())[0]
    late = await office.client.post(link, data={"press": "handled"})
    assert late.status == 409
    assert "the desktop of laptop" in await late.text()


async def test_a_broken_account_is_on_the_desktop_and_in_the_mailbox_and_an_answer_over_the_api_ends_it(
    office: Office,
) -> None:
    await office.agent.says("connected to")
    office.hub.daemon.account("site").change(AccountState.BROKEN, "its secret was taken back")
    await office.hub.run_until_idle()
    card = await office.drawn()
    assert (card.title, card.urgency) == ("Account site needs you", "CRITICAL")
    await office.mails()
    assert await office.answers("resume") == 204
    await until(lambda: office.desktop.count == 0)
    assert await office.answers("resume") == 409


async def test_without_a_session_bus_health_says_so_and_the_mail_arrives_all_the_same(office: Office) -> None:
    await office.agent.says("connected to")
    office.desktop.stop_bus()
    await until(
        lambda: "native:laptop of ops can show nothing (no_session_bus)" in office.hub.daemon.media()["desktop"]
    )
    visitor = await office.site.visit()
    await visitor.says("Hello?", "v1")
    await office.hub.run_until_idle()
    await office.mails()
    reasons = "SELECT medium, decision, reason FROM notification_medium WHERE medium = 'desktop'"
    assert await office.hub.rows(reasons) == [("desktop", "suppressed", "no_session_bus")]
