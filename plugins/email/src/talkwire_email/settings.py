"""An account's table: the mailbox that is read, the server that sends, and how replies look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from talkwire import Settings

MAILBOX = re.compile(r"[^\s@<>\"(),:;\\\[\]]{1,64}@[^\s@<>\"(),:;\\\[\]]{1,255}")
Mailbox = Annotated[str, Field(pattern=rf"^{MAILBOX.pattern}$")]


def _is_here(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Server(Settings):
    """A server of the mailbox's provider."""

    host: str
    user: str = ""
    """Empty: the account's address."""
    password: SecretStr | None = None
    """Left out: `oauth` of the account gives tokens."""
    ca_file: Path | None = None
    """Certificates to believe instead of the system's, PEM."""


class Imap(Server):
    """Where mail is read."""

    port: Annotated[int, Field(ge=1, le=65535)] = 993
    tls: Literal["tls", "none"] = "tls"
    """`none` only on this machine."""
    folders: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ("INBOX",)
    check_every: Annotated[int, Field(ge=5, le=1500)] = 240
    """Seconds between two looks, also where the server pushes."""
    since_days: Annotated[int, Field(ge=0, le=365)] = 0
    """How far back the first look takes mail that is there already; 0: only what comes from then on."""
    taken: Literal["leave", "seen", "move"] = "leave"
    """What becomes of a mail that is kept here."""
    move_to: str = ""
    """The folder that `taken = "move"` moves to."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.tls == "none" and not _is_here(self.host):
            raise ValueError('tls = "none" is only for a server on this machine')
        if not self.folders or len(set(self.folders)) < len(self.folders):
            raise ValueError("name at least one folder, and each once")
        if (self.taken == "move") != bool(self.move_to):
            raise ValueError('move_to names the folder for taken = "move", and only for that')
        if self.move_to in self.folders:
            raise ValueError("move_to is a folder that is read: each mail would come again")
        return self


class Smtp(Server):
    """Where mail is sent."""

    port: Annotated[int, Field(ge=1, le=65535)] = 465
    tls: Literal["tls", "starttls", "none"] = "tls"
    """`tls` from the first byte (465), `starttls` (587), `none` only on this machine."""
    connections: Annotated[int, Field(ge=1, le=8)] = 3
    """Lines that are kept at most, each with one mail at a time; Microsoft 365 lets no more than three in."""

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        if self.tls == "none" and not _is_here(self.host):
            raise ValueError('tls = "none" is only for a server on this machine')
        return self


class OAuth(Settings):
    """Tokens instead of passwords (XOAUTH2)."""

    token_url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    client_id: str
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    """Left out: the client asks in its own name (client credentials)."""
    scope: str = ""

    @field_validator("token_url")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        host = re.sub(r"^https?://|[:/].*$", "", value)
        if value.startswith("http://") and not _is_here(host):
            raise ValueError("token_url needs https")
        return value


class MailTemplate(Settings):
    """A text that is sent by its name; `{1}`, `{2}`, … stand for the values."""

    subject: Annotated[str, Field(max_length=300)] = ""
    """Empty: the conversation's."""
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    """Markdown; it goes out as plain text, as every reply does."""


class EmailSettings(Settings):
    """An e-mail account."""

    address: Mailbox
    """From where replies come."""
    name: Annotated[str, Field(max_length=100)] = ""
    """The name beside it."""
    aliases: tuple[Mailbox, ...] = ()
    """Other addresses whose mail lies in the same mailbox; they are ours, not the customer's."""
    imap: Imap
    smtp: Smtp
    oauth: OAuth | None = None
    plus: bool = True
    """Answers come to `support+TOKEN@…`, so that they are known even where a client drops every reference."""
    signature: Annotated[str, Field(max_length=2000)] = ""
    """Plain text below each reply."""
    quote: Literal["none", "last"] = "last"
    """Whether a reply quotes what it answers."""
    templates: Mapping[Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z]{2})?$")], MailTemplate] = Field({})
    """By name; `NAME.id` is the same in Indonesian."""
    delivery_reports: bool = True
    """Ask for reports of delivery where the server offers them."""
    read_receipts: bool = False
    """Ask for receipts when a reply is read; most people's programs ask them first."""

    @model_validator(mode="after")
    def _can_sign_in(self) -> Self:
        for name, server in (("imap", self.imap), ("smtp", self.smtp)):
            if server.password is None and self.oauth is None and not (name == "smtp" and self.smtp.tls == "none"):
                raise ValueError(f"{name} needs a password, or the account an oauth table")
        return self
