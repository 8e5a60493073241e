"""What the author of a notifier subclasses: one medium by which recipients are told.

deliver ──┬─ Shown        somebody can see it now
          ├─ Handed       taken over; `shown` comes later, or never
          ├─ Suppressed   not shown on purpose, and why
          ├─ raises TryLater   not now: again after a while
          └─ raises Refused    never: the reason is kept with the notification
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .channel import Route, Settings
from .model import Notification, Recipient

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from .clock import Clock
    from .hub import Hub


@dataclass(frozen=True, slots=True)
class Shown:
    """It can be seen now."""


@dataclass(frozen=True, slots=True)
class Handed:
    """Somebody else shows it; `Notifier.shown` says when."""


@dataclass(frozen=True, slots=True)
class Suppressed:
    """It is not shown, on purpose."""

    reason: str  # stable code, kept with the notification: `focused`, `no_address`, …


Told = Shown | Handed | Suppressed
_Model = type[Settings]  # inside the class, `type` and `Settings` are its own


class Focus(StrEnum):
    """How a recipient looks at a surface (a page, a native client)."""

    FOCUSED = "focused"
    VISIBLE = "visible"
    IDLE = "idle"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierFeatures:
    """What a medium can do."""

    actions: int = 0  # how many buttons; 0: it only tells
    withdraws: bool = False  # what was shown can be taken back
    confirms: bool = False  # after `Handed` it calls `shown`
    needs_email: bool = False  # recipients without an e-mail address are suppressed: `no_address`
    countdown: bool = False  # it may show when a notification lapses; a desktop never does
    desktop: bool = False  # it shows outside of our pages, so that `on_desktop` decides
    keeps: bool = False  # what it shows is read later: quiet hours make it wait, they do not drop it
    digests: bool = False  # several that are due together go as one: `digest`
    title_limit: int | None = None  # characters; None: no limit
    text_limit: int | None = None  # characters; None: no limit
    timeout: timedelta = timedelta(seconds=30)  # of one `deliver` or `withdraw`


class NotifierServices(Protocol):
    """What the core lends to a notifier; the test kit lends its own."""

    log: FilteringBoundLogger
    clock: Clock

    @property
    def hub(self) -> Hub: ...
    def recipient(self, name: str) -> Recipient: ...
    async def shown(self, notification: str) -> None: ...
    async def answered(self, notification: str, action: str, surface: str) -> None: ...
    async def seen(self, notification: str) -> None: ...
    async def focus(self, recipient: str, surface: str, state: Focus) -> None: ...


class Notifier:
    """One medium; one instance a daemon.

    Subclasses set `type`, `Settings` (the table `[plugins.<plugin>]`), `features` and write `deliver`.
    """

    type: ClassVar[str] = ""  # the medium's name in `media`: `email`; its plugin is `notify_email`
    Settings: ClassVar[_Model] = Settings
    features: ClassVar[NotifierFeatures] = NotifierFeatures()

    def __init__(self, settings: Any, services: NotifierServices) -> None:
        self.settings = settings
        self.services = services
        self.log = services.log
        self.clock = services.clock

    async def open(self) -> None:
        """Begin to work; called again after faults."""

    async def close(self) -> None:
        """Stop to work."""

    async def deliver(self, notification: Notification) -> Told:
        """Show a notification; called again with the same id after `TryLater` or a crash.

        Errors: `TryLater`, `Refused`; anything else is tried again as `TryLater`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no deliver")

    async def digest(self, notifications: Sequence[Notification]) -> Told:
        """Show several of one recipient as one; called only with `features.digests`, errors as `deliver`."""
        raise NotImplementedError(f"{type(self).__name__} has no digest")

    async def withdraw(self, notification: Notification) -> None:
        """Take it back: somebody answered, or it is no longer true; one that is gone is no error."""

    def trouble(self) -> str:
        """Say in a sentence what keeps this medium from showing anything now; empty: nothing. It asks nobody."""
        return ""

    async def expires(self) -> Mapping[str, datetime]:
        """Say when what this medium signs in with ends, by what people call it; as `Channel.expires`."""
        return {}

    def routes(self) -> Sequence[Route]:
        """Name own pages and sockets, served under `/p/<plugin>/`."""
        return ()

    @property
    def hub(self) -> Hub:
        """Give the hub, in the name of the notifier's plugin: for own sockets, pages and tables."""
        return self.services.hub

    def recipient(self, notification: Notification) -> Recipient:
        """Give whom a notification is for."""
        return self.services.recipient(notification.recipient)

    async def shown(self, notification: str) -> None:
        """Say that a notification which was handed over can be seen now."""
        await self.services.shown(notification)

    async def answered(self, notification: str, action: str, surface: str = "") -> None:
        """Pass on a pressed button. Errors: `Conflict` where another surface was first; it says which."""
        await self.services.answered(notification, action, surface or self.type)

    async def seen(self, notification: str) -> None:
        """Say that the recipient has read a notification, on whatever surface; twice is no error."""
        await self.services.seen(notification)

    async def focus(self, recipient: str, surface: str, state: Focus) -> None:
        """Say how somebody looks at a surface of this medium."""
        await self.services.focus(recipient, surface, state)
