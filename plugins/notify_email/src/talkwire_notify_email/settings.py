"""The table `[plugins.notify_email]`: the server that sends, and how mails look."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from talkwire import Settings

Mailbox = Annotated[str, Field(pattern=r"^[^\s@<>\"(),:;\\\[\]]{1,64}@[^\s@<>\"(),:;\\\[\]]{1,255}$")]
_PORTS = {"tls": 465, "starttls": 587, "none": 25}


def _is_here(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Server(Settings):
    """The server that takes our mail."""

    host: str
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Left out: 465 for `tls`, 587 for `starttls`, 25 for `none`."""
    security: Literal["tls", "starttls", "none"] = "starttls"
    """`tls` from the first byte, `starttls` after a greeting, `none` only on this machine."""
    user: str = ""
    """Empty: the address that mails come from, where there is a password."""
    password: SecretStr | None = None
    """Left out: we do not sign in."""
    ca_file: Path | None = None
    """Certificates to believe instead of the system's, PEM."""

    @property
    def at(self) -> int:
        """Give the port."""
        return self.port or _PORTS[self.security]

    @property
    def place(self) -> str:
        """Say where it is, for a person."""
        return f"{self.host}:{self.at}"

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.security == "none" and not _is_here(self.host):
            raise ValueError('security = "none" is only for a server on this machine')
        if self.user and self.password is None:
            raise ValueError("a user needs a password")
        return self


class NotifyEmailSettings(Settings):
    """Notifications by e-mail."""

    sender: Mailbox = Field(alias="from")
    """The address that mails come from; nobody reads what is sent to it."""
    name: Annotated[str, Field(max_length=100)] = "Talkwire"
    """The name beside it."""
    server: Server
    bounces_to: Mailbox | Literal[""] = ""
    """Where mails that cannot be delivered come back to; the mailbox of an e-mail account of ours tells us of them.
    Empty: `from`."""
    base_url: str = ""
    """Where the links of mails lead; empty: `server.public_url`."""
    conversation_url: str = ""
    """A page that shows a conversation, with `{conversation}` for its id; empty: mails have no such link."""
    language: Literal["", "en", "id"] = ""
    """Of recipients that have none; empty: the instance's."""

    @field_validator("base_url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        if not re.fullmatch(r"(https?://[^\s/?#@]+(/[^\s?#]*)?)?", value):
            raise ValueError("write https://host, without ? and #")
        return value.rstrip("/")

    @field_validator("conversation_url")
    @classmethod
    def _is_link(cls, value: str) -> str:
        if value and not (re.fullmatch(r"https?://[^\s<>\"]+", value) and "{conversation}" in value):
            raise ValueError("write a URL with {conversation} in it")
        return value

    @property
    def domain(self) -> str:
        """Give the domain of our Message-IDs: the one that reads our bounces knows them by it."""
        return (self.bounces_to or self.sender).rpartition("@")[2].lower()
