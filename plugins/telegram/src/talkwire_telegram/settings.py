"""The table of an account in `talkwire.toml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from talkwire import Settings


class TelegramSettings(Settings):
    """One bot."""

    token: SecretStr
    """What @BotFather gave for the bot."""
    updates: Literal["auto", "webhook", "poll"] = "auto"
    """How messages come: Telegram calls us, or we ask. auto: called where `[server] public_url` is https, else we ask."""
    api_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] = "https://api.telegram.org"
    """Where the Bot API is; another for a Bot API server of your own."""
    max_connections: Annotated[int, Field(ge=1, le=100)] = 40
    """How many calls Telegram may make to us at once."""
