"""Notifications on the desktop: in the browser, by Web Push, and by a client of their own."""

from __future__ import annotations

from pathlib import Path

from talkwire import Notifier, Pages, hookimpl

from .notifier import DesktopNotifier
from .settings import DesktopSettings

__all__ = ["DesktopNotifier", "DesktopSettings"]


@hookimpl
def register_notifiers() -> list[type[Notifier]]:
    """Give the notifiers."""
    return [DesktopNotifier]


@hookimpl
def register_pages() -> Pages:
    """Give what runs in the browser: the service worker, and the module that joins our pages."""
    return Pages(folder=Path(__file__).parent / "pages", worker="sw.js", joins="notifications.js")


@hookimpl
def register_schema() -> Path:
    """Give the folder of the tables' revisions."""
    return Path(__file__).parent / "versions"
