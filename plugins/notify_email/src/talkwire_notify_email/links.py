"""The links of mails: 256 bits that nobody can guess, of which only the hash is kept."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta

from .rows import ANSWER, OFF, Link, hashed

BELOW = "/p/notify_email"  # where the core serves the routes of this plugin
LIFE = timedelta(days=7)  # of a link that answers; its notification may be over before
OFF_LIFE = timedelta(days=90)  # of a link that switches mails off: people do so with old mails, too
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class Made:
    """The links of one mail."""

    def __init__(self, base: str, recipient: str, now: datetime) -> None:
        self.base = base
        self.links: list[Link] = []  # to be kept before the mail leaves
        self._recipient = recipient
        self._now = now

    def answer(self, notification: str) -> str:
        """Make a link that asks for an answer."""
        return f"{self.base}/answer/{self._token(ANSWER, LIFE, notification)}"

    def off(self) -> str:
        """Make a link that switches mails off."""
        return f"{self.base}/off/{self._token(OFF, OFF_LIFE)}"

    def _token(self, kind: str, life: timedelta, notification: str = "") -> str:
        token = secrets.token_urlsafe(32)
        self.links.append(
            Link(
                kind=kind,
                recipient=self._recipient,
                notification=notification,
                until=self._now + life,
                hash=hashed(token),
            )
        )
        return token


def is_token(value: str) -> bool:
    """Say whether something looks like what we made."""
    return bool(_TOKEN.fullmatch(value))
