"""What the kit must know of mails: how a person finds them, and how their server fails."""

import asyncio
import contextlib
import re

import talkwire_notify_email
from plugins.email.tests.smtpd import CUT, SILENT, Server
from talkwire.testing import Counterpart, NotifierCase, Sight
from talkwire_notify_email import EmailNotifier

from .mails import html_of, read, text_of

BASE = "https://talk.example"
_LINK = re.compile(rf"{BASE}(/p/notify_email/answer/[^?\s]+)\?press=(\S+)")


class MailServer(Counterpart):
    """A mail server with everybody's mailbox, and a person who opens links."""

    def __init__(self):
        self.server = Server()
        self._running = contextlib.AsyncExitStack()
        self._client = None

    async def __aenter__(self):
        await self._running.enter_async_context(self.server.running())
        return self

    async def __aexit__(self, *_):
        await self._running.aclose()

    async def joins(self, client, hub):
        """Lend the person a browser."""
        self._client = client

    @property
    def mails(self):
        """Give the mails, one a Message-ID, as mailboxes keep them."""
        return {mail["Message-ID"]: (mail, one) for one in self.server.taken if (mail := read(one.content))}

    async def sights(self):
        """Read every mail: subject, text; where a mail tells of several, its text says all of them."""
        return [
            Sight(
                words=f"{mail['Subject']}\n{text_of(mail)}",
                buttons=tuple(action for _, action in _LINK.findall(text_of(mail))),
                recipient=mail["To"].addresses[0].addr_spec,
                visible=False,
                raw=f"{one.content.decode()}\n{text_of(mail)}\n{html_of(mail)}",
            )
            for mail, one in self.mails.values()
        ]

    async def goes_down(self):
        """Close every line before a word."""
        self.server.answers["CONNECT"] = CUT

    async def refuses(self):
        """Take no mail, whoever it is for."""
        self.server.answers["."] = "554 5.7.1 not here"

    async def hangs(self):
        """Take a mail, and say nothing of it."""
        self.server.said.clear()
        self.server.answers["."] = SILENT

    async def reached(self):
        """Wait until a mail has begun."""
        while "DATA" not in self.server.said:
            await asyncio.sleep(0.005)

    async def recovers(self):
        """Take everything again."""
        self.server.answers.clear()

    async def presses(self, notification, action):
        """Open the link of the mail, and press the page's button."""
        [(path, _)] = {
            (path, pressed)
            for mail, _ in self.mails.values()
            if mail["Message-ID"].startswith(f"<{notification}@")
            for path, pressed in _LINK.findall(text_of(mail))
            if pressed == action
        }
        async with self._client.post(path, data={"press": action}) as answer:
            await answer.read()


case = NotifierCase(
    notifier=EmailNotifier,
    settings={
        "from": "alerts@shop.example",
        "server": {"host": "localhost", "security": "none", "user": "alerts", "password": "kit-secret-of-the-server"},
        "base_url": BASE,
    },
    counterpart=MailServer,
    point_at=lambda settings, there: {
        **settings,
        "server": {"host": "127.0.0.1", "security": "none", "port": there.server.port},
    },
    plugin=talkwire_notify_email,
)
