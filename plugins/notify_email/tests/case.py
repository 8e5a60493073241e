"""What the kit must know of notifications by mail: a server that takes them, and people who read and press."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any, Self

import talkwire_notify_email
from plugins.email.tests.smtpd import SILENT, Server
from talkwire.testing import Counterpart, NotifierCase, Sight
from talkwire_notify_email import EmailNotifier

from .mails import read, text_of

_LINK = re.compile(r"https://talk\.example(/p/notify_email/answer/\S+)\?press=(\S+)")


class Mailboxes(Counterpart):
    """Mailboxes that keep one of two mails with the same Message-ID, as many do."""

    async def __aenter__(self) -> Self:
        self._running = AsyncExitStack()
        self.server = await self._running.enter_async_context(
            Server(offers=("8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN")).running()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    async def joins(self, client: Any, hub: Any) -> None:
        self.client, self.hub = client, hub

    @property
    def mails(self) -> dict[str, Any]:
        return {mail["Message-ID"]: mail for mail in (read(one.content) for one in self.server.taken)}

    async def sights(self) -> list[Sight]:
        return [
            Sight(
                words=f"{mail['Subject']}\n{text_of(mail)}",
                buttons=tuple(press for _, press in _LINK.findall(text_of(mail))),
                recipient=str(mail["To"]),
                visible=False,
                raw=str(mail),
            )
            for mail in self.mails.values()
        ]

    async def goes_down(self) -> None:
        self.server.answers["CONNECT"] = "421 4.3.2 not now"
        self.server.hang_up()

    async def refuses(self) -> None:
        self.server.answers["."] = "554 5.6.0 not this"

    async def hangs(self) -> None:
        self._before = self.server.said.count("DATA")
        self.server.answers["."] = SILENT

    async def reached(self) -> None:
        while self.server.said.count("DATA") == self._before:
            await asyncio.sleep(0.005)

    async def recovers(self) -> None:
        self.server.answers.clear()

    async def presses(self, notification: str, action: str) -> None:
        found = [
            pair for mail in self.mails.values() if notification in str(mail["Message-ID"]) for pair in _links(mail)
        ]
        link = next(link for link, press in found if press == action)
        async with self.client.post(link, data={"press": action}) as answer:
            assert answer.status in (200, 409), await answer.text()


def _links(mail: Any) -> list[tuple[str, str]]:
    return [(found[0], found[1]) for found in _LINK.findall(text_of(mail))]


def at_server(settings: Any, mailboxes: Any) -> dict[str, Any]:
    """Give settings for a server."""
    return {**settings, "server": {**settings["server"], "port": mailboxes.server.port}}


case = NotifierCase(
    notifier=EmailNotifier,
    settings={
        "from": "alerts@shop.example",
        "base_url": "https://talk.example",
        "server": {"host": "127.0.0.1", "security": "none", "user": "alerts", "password": "kit-password-0815"},
    },
    counterpart=Mailboxes,
    point_at=at_server,
    plugin=talkwire_notify_email,
)
