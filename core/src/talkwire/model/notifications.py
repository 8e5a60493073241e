"""What somebody is to be told, and who wants to be told what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .content import Option


class Style(StrEnum):
    """How a notification asks for attention."""

    TOAST = "toast"  # tells, and vanishes by itself
    ALERT = "alert"  # has actions, and wants one of them in time


class OnDesktop(StrEnum):
    """When a notification is shown outside of our pages."""

    ALWAYS = "always"
    BACKGROUND = "background"  # unless the recipient looks at a page or client of ours: focused and not idle
    NEVER = "never"


class Ended(StrEnum):
    """Why a notification is no longer open."""

    OPEN = ""
    ANSWERED = "answered"  # by this recipient, or by another one who was asked the same
    WITHDRAWN = "withdrawn"  # whoever asked took it back
    LAPSED = "lapsed"  # nobody answered in time


@dataclass(frozen=True, slots=True)
class Detail:
    """One line of a notification: `Customer: Dewi`."""

    label: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Something a recipient ought to see."""

    id: str
    recipient: str
    asker: str  # `plugin:desk`, `rule:0`
    kind: str
    title: str
    text: str
    actions: tuple[Option, ...] = ()
    conversation: str = ""
    at: datetime | None = None  # None before it is stored
    answered_by: str = ""  # surface; empty: nobody yet
    answer: str = ""  # id of the action
    style: Style = Style.TOAST
    details: tuple[Detail, ...] = ()  # four at most
    on_desktop: OnDesktop = OnDesktop.BACKGROUND
    lapses_at: datetime | None = None  # when it is taken back unanswered; None: never, or not to be shown here
    account: str = ""  # empty where none is concerned
    seen: bool = False  # the recipient has read it on some surface
    ended: Ended = Ended.OPEN  # why it is no longer open
    opens: tuple[str, ...] = ()  # ids of actions that answer nothing, and bring the conversation to the front


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """Whose answer to a notification was the first, of all who were asked the same."""

    recipient: str
    surface: str  # where: `page`, `native:laptop`, `email`
    action: str  # id of what they chose
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Who can be notified."""

    name: str
    email: str = ""
    media: tuple[str, ...] = ()
    language: str = ""  # `en`, `id`; empty: that of the instance
    time_zone: str = ""  # `Asia/Jakarta`; empty: that of the instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a recipient wants, beside what the settings say; theirs go before."""

    recipient: str
    off: tuple[str, ...] = ()  # media by which they want nothing
    quiet: str | None = None  # 22:00-07:00; empty: no quiet hours; None: as the settings say
    time_zone: str | None = None  # of `quiet`; None: as the settings say
    language: str | None = None  # None: as the settings say
