"""How an account stands, and whether a conversation can be answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class AccountState(StrEnum):
    """How an account does."""

    STARTING = "starting"
    WORKING = "working"
    WAITING = "waiting"  # the provider cannot be reached; tried again by itself
    BROKEN = "broken"  # a person must act
    PAUSED = "paused"  # a person said so
    ABSENT = "absent"  # its plugin or its table in the settings is gone

    @property
    def sends(self) -> bool:
        """Say whether replies go out in this state."""
        return self in (AccountState.STARTING, AccountState.WORKING, AccountState.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A configured instance of a channel, as plugins see it."""

    name: str
    channel: str  # type of the channel
    state: AccountState = AccountState.STARTING
    reason: str = ""  # for a person, empty while it works
    since: datetime | None = None  # of the state; None before the first


class AnswerCode(StrEnum):
    """Why a conversation cannot be answered now."""

    SESSION_ENDED = "session_ended"
    WINDOW_CLOSED = "window_closed"
    ACCOUNT_BROKEN = "account_broken"
    ACCOUNT_ABSENT = "account_absent"
    ADDRESS_UNREACHABLE = "address_unreachable"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What can be done instead."""

    kind: str  # account | template | hold | wait
    account: str = ""  # kind `account`: which
    address: str = ""  # kind `account`: the address it would go to …
    address_kind: str = ""  # … and its kind: `email`
    template: str = ""  # kind `template`: the one that the account names; empty: whoever sends it chooses
    text: str = ""  # for a person


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether a conversation may be answered now."""

    allowed: bool
    code: AnswerCode | None = None  # None while allowed
    since: datetime | None = None  # None while allowed
    until: datetime | None = None  # when a window closes or closed; None: no window
    text: str = ""  # in the reader's language
    ways: tuple[Way, ...] = ()

    @property
    def icon(self) -> str | None:
        """Name the icon that every page draws left of the reply button; None draws nothing."""
        return None if self.allowed else "warning"


class Policy(StrEnum):
    """What becomes of a reply that cannot go out now."""

    REJECT = "reject"
    HOLD = "hold"
    TEMPLATE = "template"
    FALLBACK = "fallback"
