"""An account's table: what the widget looks like, what visitors are asked and told, who may talk, and how much."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator

from talkwire import Settings

from .hours import Hours

Seconds = Annotated[int, Field(ge=1)]
_ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_COLOUR = re.compile("#[0-9a-fA-F]{6}")


class Versioned(Settings):
    """A text that people are shown, and by which name it is kept who saw it."""

    text: Annotated[str, Field(min_length=1, max_length=4000)]
    version: Annotated[str, Field(max_length=64)] = ""
    """Empty: made from the text, so that another text is another version."""

    @property
    def name(self) -> str:
        """Give the version under which it is kept."""
        return self.version or hashlib.sha256(self.text.encode()).hexdigest()[:12]


class Consent(Versioned):
    """What visitors must agree to before their first message is kept."""

    refused: Literal["none", "email"] = "none"
    """What whoever refuses is offered: nothing, or `email`."""
    email: str = ""

    @model_validator(mode="after")
    def _has_an_address(self) -> Consent:
        if self.refused == "email" and "@" not in self.email:
            raise ValueError("refused = 'email' needs email, the address that is offered")
        return self


class Form(Settings):
    """What visitors are asked before they write."""

    title: Annotated[str, Field(max_length=200)] = ""
    fields: tuple[str, ...] = ("name", "email!")
    """Of name, email, phone, question; with `!` it must be filled in."""
    labels: dict[Literal["name", "email", "phone", "question"], Annotated[str, Field(max_length=80)]] = Field({})
    """Other labels than the widget's own."""

    @field_validator("fields")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [field.removesuffix("!") for field in value]
        if wrong := [name for name in names if name not in ("name", "email", "phone", "question")]:
            raise ValueError(f"{wrong[0]!r} is no field; there are name, email, phone and question")
        if not value or len(set(names)) < len(names):
            raise ValueError("name at least one field, and each once")
        return value


class Files(Settings):
    """What visitors may send."""

    allowed: bool = True
    limit: Annotated[int, Field(ge=1, le=100 * 1024**2)] = 10 * 1024**2
    """Bytes of one file."""
    types: tuple[str, ...] = ("image/*", "audio/*", "video/*", "application/pdf", "text/plain")
    """Media types as they are found in the file, not as it claims."""


class Limits(Settings):
    """How much one visitor, and one network address, may do; what is more is refused for a while."""

    sockets_per_address: Annotated[int, Field(ge=1)] = 50
    sockets_per_visitor: Annotated[int, Field(ge=1)] = 10
    visitors_per_address: Annotated[int, Field(ge=1)] = 60
    """New visitors in one hour."""
    messages: Annotated[int, Field(ge=1)] = 30
    """Of one visitor in one minute."""
    uploads: Annotated[int, Field(ge=1)] = 30
    """Of one visitor in ten minutes."""


class LiveChatSettings(Settings):
    """One website's live chat."""

    origins: Annotated[tuple[str, ...], Field(min_length=1)]
    """The websites that may carry the widget: `https://shop.example`, `https://*.shop.example`."""
    secret: SecretStr
    """Signs visitors' tokens, and checks the identities that the website signs; 32 characters or more."""
    identity: Literal["off", "optional", "required"] = "optional"
    """Whether a visitor may, or must, be somebody whom the website has signed in."""

    language: Literal["auto", "en", "id"] = "auto"
    label: Annotated[str, Field(max_length=40)] = ""
    """On the button; empty: the widget's own words."""
    title: Annotated[str, Field(max_length=60)] = ""
    colour: str = "#1f5f4a"
    position: Literal["right", "left"] = "right"
    names: dict[str, Annotated[str, Field(max_length=60)]] = Field({})
    """What visitors read as the name of an agent (`ann = "Ann"` for `agent:ann`); nobody else is named."""

    notice: Versioned | None = None
    """Told at the start of each talk: that it may be monitored and kept."""
    consent: Consent | None = None
    form: Form | None = None
    hours: tuple[str, ...] = ()
    """When somebody is there: `mon-fri 08:00-17:00`; empty: always."""
    hours_text: Annotated[str, Field(max_length=300)] = ""
    time_zone: str = "UTC"
    files: Files = Files()

    grace_seconds: Seconds = 180
    """How long a visitor whose connection dropped may come back to the same session."""
    idle_seconds: Seconds = 20 * 60
    """After this long without a word from either side the session ends."""
    limits: Limits = Limits()

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not _ORIGIN.fullmatch(one):
                raise ValueError(f"{one!r} is no origin; write https://shop.example, in lower case and without a path")
        return value

    @field_validator("secret")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 32:
            raise ValueError("32 characters or more; make one with: openssl rand -hex 32")
        return value

    @field_validator("colour")
    @classmethod
    def _is_a_colour(cls, value: str) -> str:
        if not _COLOUR.fullmatch(value):
            raise ValueError("write it as #1f5f4a")
        return value.lower()

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value!r} is no time zone; write one as Asia/Jakarta") from None
        return value

    @field_validator("hours")
    @classmethod
    def _are_hours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Hours.read(value, "UTC")
        return value

    @property
    def grace(self) -> timedelta:
        """Give `grace_seconds`."""
        return timedelta(seconds=self.grace_seconds)

    @property
    def idle(self) -> timedelta:
        """Give `idle_seconds`."""
        return timedelta(seconds=self.idle_seconds)

    @cached_property
    def service_hours(self) -> Hours:
        """Give `hours` as something that can be asked."""
        return Hours.read(self.hours, self.time_zone)
