"""What a notifier calls reaches the core."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from talkwire.model import Notification, Recipient
from talkwire.notifier import Focus, Notifier


class Services:
    def __init__(self):
        self.log = SimpleNamespace()
        self.clock = SimpleNamespace()
        self.calls = []

    def recipient(self, name):
        return Recipient(name=name, email=f"{name}@example.org")

    async def shown(self, *given):
        self.calls.append(("shown", *given))

    async def answered(self, *given):
        self.calls.append(("answered", *given))

    async def focus(self, *given):
        self.calls.append(("focus", *given))


class Bell(Notifier):
    type = "bell"


NOTIFICATION = Notification(
    id="n1", recipient="ops", asker="rule:0", kind="k", title="t", text="", at=datetime(2026, 11, 22, tzinfo=UTC)
)


async def test_a_notifier_tells_what_was_shown_answered_and_looked_at():
    services = Services()
    bell = Bell(Bell.Settings(), services)

    await bell.shown("n1")
    await bell.answered("n1", "take")
    await bell.focus("ops", "page-1", Focus.VISIBLE)

    assert services.calls == [
        ("shown", "n1"),
        ("answered", "n1", "take", "bell"),
        ("focus", "ops", "page-1", Focus.VISIBLE),
    ]
    assert bell.recipient(NOTIFICATION).email == "ops@example.org"


async def test_a_notifier_without_deliver_says_whose_it_is():
    with pytest.raises(NotImplementedError, match="Bell"):
        await Bell(None, Services()).deliver(NOTIFICATION)
