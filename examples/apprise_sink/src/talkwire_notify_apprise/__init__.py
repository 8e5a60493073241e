"""Notifications through Apprise, which knows more than a hundred places to say something.

Apprise says of each of its URLs whether it succeeded, and never why not, nor whether anybody has seen it.
Source: Apprise 2.3, `AppriseResult` and `NotifyResult`, read 2026-11-28.
"""

from __future__ import annotations

import logging

import apprise
from pydantic import Field, SecretStr, field_validator

from talkwire import Handed, Notification, Notifier, NotifierFeatures, Settings, TryLater, hookimpl

_MOST = 1000  # notifications that have reached some URLs and not all: which ones is known that long


class AppriseSettings(Settings):
    """The table `[plugins.notify_apprise]`."""

    urls: tuple[SecretStr, ...] = Field(min_length=1)
    """Where to; they hold passwords and tokens."""

    @field_validator("urls")
    @classmethod
    def _are_known(cls, urls: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        _silent()
        for number, url in enumerate(urls):
            if _target(url) is None:
                raise ValueError(f"Apprise does not understand URL {number + 1} of {len(urls)}")
        return urls


def _target(url: SecretStr) -> apprise.NotifyBase | None:
    return apprise.Apprise.instantiate(url.get_secret_value(), asset=apprise.AppriseAsset(async_mode=True))


def _silent() -> None:
    """Log nothing of Apprise and of its HTTP library: they name URLs and texts."""
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


class AppriseNotifier(Notifier):
    """Says `Handed` when all URLs took it; those that did not are tried again, and the others not."""

    type = "apprise"
    Settings = AppriseSettings
    features = NotifierFeatures()

    async def open(self) -> None:
        """Read the URLs."""
        _silent()
        self.targets = [target for url in self.settings.urls if (target := _target(url))]
        self.took: dict[str, set[int]] = {}

    async def deliver(self, notification: Notification) -> Handed:
        """Say it in one text: Apprise has no fields and no buttons."""
        took = self.took.setdefault(notification.id, set())
        lines = (notification.text, *(f"{one.label}: {one.value}" for one in notification.details))
        body = "\n".join(filter(None, lines)) or notification.title
        for number, target in enumerate(self.targets):
            if number not in took:
                one = apprise.Apprise(target)
                if await one.async_notify(body=body, title=notification.title, body_format=apprise.NotifyFormat.TEXT):
                    took.add(number)
        if len(took) < len(self.targets):
            while len(self.took) > _MOST:
                del self.took[next(iter(self.took))]
            raise TryLater(f"{len(self.targets) - len(took)} of {len(self.targets)} URLs did not take it")
        del self.took[notification.id]
        return Handed()


@hookimpl
def register_notifiers() -> list[type[Notifier]]:
    """Give the notifier."""
    return [AppriseNotifier]
