"""E-mail: a mailbox that is read by IMAP, and replies that stay plain text."""

from __future__ import annotations

from talkwire import Channel, Simulator, hookimpl

from .settings import EmailSettings

__all__ = ["EmailSettings"]


@hookimpl
def register_channels() -> list[type[Channel]]:
    """Give the channel."""
    from .channel import Email

    return [Email]


@hookimpl
def register_simulators() -> list[Simulator]:
    """Give a mail server with a correspondent."""
    from .simulator import MAIL

    return [MAIL]
