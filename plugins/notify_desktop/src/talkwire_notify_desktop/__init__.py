"""Notifications on the desktop: in the browser, by Web Push, and by a client of their own."""

from __future__ import annotations

from talkwire import Notifier, hookimpl


@hookimpl
def register_notifiers() -> list[type[Notifier]]:
    """Give the notifiers."""
    return []
