"""A medium and a plugin that do what a test says, for journeys about notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from talkwire import (
    Notification,
    Notifier,
    NotifierFeatures,
    Notify,
    Option,
    Reply,
    Shown,
    draft,
    hookimpl,
)
from tests.journeys.acme_hub import AcmeHub

RULE = """
[recipients.ops]
email = "ops@example.org"
media = ["bell"]
[[notify]]
on = ["message.received", "reply.refused", "delivery.failed", "account.broken"]
to = ["ops"]
"""
PEOPLE = RULE.split("[[notify]]", maxsplit=1)[0]
YES_NO = (Option(id="yes", title="Yes"), Option(id="no", title="No"))


class Bell(Notifier):
    """Does what the test says; notes what it was given."""

    type = "bell"
    features = NotifierFeatures(actions=2, withdraws=True, timeout=timedelta(milliseconds=50))
    one: ClassVar[Bell]

    def __init__(self, settings: Any, services: Any) -> None:
        super().__init__(settings, services)
        Bell.one = self
        self.says: list[Any] = []
        self.given: list[Notification] = []
        self.digests: list[list[Notification]] = []
        self.taken_back: list[str] = []
        self.opened = self.closed = 0

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    async def deliver(self, notification: Notification) -> Any:
        self.given.append(notification)
        said = self.says.pop(0) if self.says else Shown()
        if said == "hang":
            await asyncio.Event().wait()
        if isinstance(said, Exception):
            raise said
        return said

    async def digest(self, notifications: Sequence[Notification]) -> Any:
        self.digests.append(list(notifications))
        said = self.says.pop(0) if self.says else Shown()
        if isinstance(said, Exception):
            raise said
        return said

    async def withdraw(self, notification: Notification) -> None:
        self.taken_back.append(notification.id)

    @property
    def titles(self) -> list[str]:
        return [notification.title for notification in self.given]


class BellPlugin:
    def __init__(self, kind: type[Notifier] = Bell) -> None:
        self.kind = kind

    @hookimpl
    def register_notifiers(self) -> list[type[Notifier]]:
        return [self.kind]


class Asker:
    """Asks what the test says when a message comes, takes answers, sees every notification."""

    def __init__(self) -> None:
        self.asks: list[Any] = []
        self.answers: list[tuple[str, str, str]] = []
        self.seen: list[str] = []
        self.refuse = False

    @hookimpl
    def on_inbound_message(self, message: Any) -> Any:
        return [
            replace(one, conversation=message.conversation) if isinstance(one, Notify) else one for one in self.asks
        ]

    @hookimpl
    def answer_notification(self, notification: Notification, answer: str, tx: Any) -> Any:
        if self.refuse:
            raise ValueError
        self.answers.append((notification.title, answer, notification.answered_by))
        return Reply(conversation=notification.conversation, draft=draft(answer))

    @hookimpl
    def on_notification(self, notification: Notification) -> None:
        self.seen.append(notification.title)


async def decisions(acme: AcmeHub) -> list[tuple[str, str, str]]:
    return await acme.hub.rows("SELECT medium, decision, reason FROM notification_medium ORDER BY at, medium")
