"""Notifications by e-mail."""

from __future__ import annotations

from talkwire import Notifier, hookimpl


@hookimpl
def register_notifiers() -> list[type[Notifier]]:
    """Give the notifiers."""
    return []
