"""Telegram: customers write to a bot, and are answered by it."""

from __future__ import annotations

from talkwire import Channel, Simulator, hookimpl

from .settings import TelegramSettings

__all__ = ["TelegramSettings"]


@hookimpl
def register_channels() -> list[type[Channel]]:
    """Give the channel."""
    from .channel import Telegram

    return [Telegram]


@hookimpl
def register_simulators() -> list[Simulator]:
    """Give the Telegram of the demo."""
    from .simulator import simulator

    return [simulator()]
