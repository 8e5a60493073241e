"""The table of an account in `talkwire.toml`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from talkwire import Settings


def _token(token: SecretStr) -> SecretStr:
    """Refuse what cannot stand in an address: a token is a part of one."""
    if not re.fullmatch(r"[A-Za-z0-9_:-]+", token.get_secret_value()):
        raise ValueError("a token has digits, a colon, and letters, digits, _ and -: 123456:ABC-DEF")
    return token


class TelegramSettings(Settings):
    """One bot."""

    token: Annotated[SecretStr, AfterValidator(_token)]
    """What @BotFather gave for the bot."""
    updates: Literal["auto", "webhook", "poll"] = "auto"
    """How messages come: Telegram calls us, or we ask. auto: called where `[server] public_url` is https, else we ask."""
    api_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")] = "https://api.telegram.org"
    """Where the Bot API is; another for a Bot API server of your own."""
    max_connections: Annotated[int, Field(ge=1, le=100)] = 40
    """How many calls Telegram may make to us at once."""
