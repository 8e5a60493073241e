"""Tells customers when nobody is there."""

from datetime import time
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, ValidationInfo, field_validator

from talkwire import Message, Reply, Settings, draft, hookimpl

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _known(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError("no time zone of this machine; Asia/Jakarta is one") from error
    return name


class OpeningHours(Settings):
    """The table `[plugins.opening_hours]`."""

    days: tuple[Day, ...] = DAYS[:5]
    """Days on which somebody is there."""
    opens: time = time(9)
    """First minute of those days at which somebody is there."""
    closes: time = time(17)
    """First minute at which nobody is there any more; later than `opens`."""
    time_zone: Annotated[str, AfterValidator(_known)] = "UTC"
    """Where the clock hangs, `Asia/Jakarta`."""
    text: str = "Thank you for your message. Nobody is here now; we will answer when we open again."
    """What the customer reads, Markdown."""

    @field_validator("closes")
    @classmethod
    def _is_later(cls, closes: time, info: ValidationInfo) -> time:
        if "opens" in info.data and closes <= info.data["opens"]:
            raise ValueError("must be later than opens")
        return closes


@hookimpl
def register_settings() -> type[OpeningHours]:
    """Give the table's model."""
    return OpeningHours


@hookimpl
def on_inbound_message(message: Message, settings: OpeningHours) -> Reply | None:
    """Answer once a conversation and day while it is closed."""
    now = message.stored_at.astimezone(ZoneInfo(settings.time_zone))
    is_open = DAYS[now.weekday()] in settings.days and settings.opens <= now.time() < settings.closes
    if is_open or message.replayed:  # a replay is no news, and the core refuses to answer it
        return None
    key = f"{message.conversation} {now.date()}"  # the same key again stores nothing new
    return Reply(conversation=message.conversation, draft=draft(settings.text), key=key)
