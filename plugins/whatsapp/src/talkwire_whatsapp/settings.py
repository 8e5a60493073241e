"""The table of an account in `talkwire.toml`."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from talkwire import Settings

_DIGITS = r"^[0-9]{5,30}$"


def _word(secret: SecretStr) -> SecretStr:
    """Refuse what no header takes, and what would let nothing in: a file of a secret may be empty, or have two lines."""
    if not re.fullmatch(r"[!-~]+", secret.get_secret_value()):
        raise ValueError("must be one word: not empty, without spaces and line breaks")
    return secret


def _given(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("is empty; take a word of yours: openssl rand -hex 24")
    return secret


class WhatsAppSettings(Settings):
    """One business number. Accounts of one app may share an `endpoint`: `phone_number_id` chooses among them."""

    phone_number_id: Annotated[str, Field(pattern=_DIGITS)]
    """Meta's id of the number, not the number itself (WhatsApp Manager, API setup)."""
    business_account_id: Annotated[str, Field(pattern=r"^([0-9]{5,30})?$")] = ""
    """Meta's id of the WhatsApp Business Account; its templates are listed there. Empty: no templates."""
    token: Annotated[SecretStr, AfterValidator(_word)]
    """Access token of a system user with whatsapp_business_messaging (and _management for templates)."""
    app_secret: Annotated[SecretStr, AfterValidator(_word)]
    """Secret of the Meta app; it signs what arrives."""
    verify_token: Annotated[SecretStr, AfterValidator(_given)]
    """A word of yours, typed again where the webhook is set up at Meta."""
    token_ends: date | None = None
    """Day on which the token ends, where it was made with an end: you are told two weeks, one week and a day before."""
    api_url: Annotated[
        str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(lambda url: url.rstrip("/"))
    ] = "https://graph.facebook.com/v23.0"
    """Meta's Graph API with its version."""
    media_hosts: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")], ...] = ("lookaside.fbsbx.com",)
    """Hosts that files are fetched from with the token, beside that of `api_url`; `host` or `host:port`."""
    rate: Annotated[int, Field(ge=1, le=1000)] = 80
    """Messages a second that Meta allows this number (20 for numbers that the Business app uses too)."""
    mark_read: bool = False
    """Whether customers see that we read them as soon as a reply goes out, and that somebody types: Meta shows no typing
    without it."""
