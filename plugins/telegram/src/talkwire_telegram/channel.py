"""The channel: what a bot is told and what it says, each in the modules that it is put together from."""

from __future__ import annotations

from typing import ClassVar

from talkwire import Channel, Features

from .settings import TelegramSettings


class Telegram(Channel):
    """A bot on Telegram."""

    type = "telegram"
    Settings = TelegramSettings
    settings: TelegramSettings
    features: ClassVar[Features] = Features()
