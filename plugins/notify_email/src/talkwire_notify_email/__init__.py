"""Notifications by e-mail, with links that answer."""

from __future__ import annotations

from pathlib import Path

from talkwire import Fact, Notifier, Tx, hookimpl

from . import rows
from .notifier import EmailNotifier
from .settings import NotifyEmailSettings

__all__ = ["EmailNotifier", "NotifyEmailSettings"]
_NOT_THE_ADDRESS = ("5.7.", "5.2.2", "4.")  # policy, a full mailbox, a server that could not be reached


@hookimpl
def register_notifiers() -> list[type[Notifier]]:
    """Give the notifier."""
    return [EmailNotifier]


@hookimpl
def register_schema() -> Path:
    """Give the folder of the tables' revisions."""
    return Path(__file__).parent / "versions"


@hookimpl
def on_fact(fact: Fact, tx: Tx) -> None:
    """Mark an address whose mail came back, days later, into a mailbox that is read here."""
    if fact.type == "report.unmatched" and fact.small.get("state") == "failed":
        code = str(fact.small.get("code") or "")
        if not code.startswith(_NOT_THE_ADDRESS):
            rows.came_back(tx, fact.ids.get("key", ""), f"mail came back {code}".rstrip())
