"""What the kit lends to a notifier, and the people whom it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from structlog.typing import FilteringBoundLogger

from ..clock import Clock
from ..errors import Conflict, NotFound
from ..model import Recipient
from ..notifier import Focus, Notifier, NotifierServices
from .services import Logs, TurnedClock

if TYPE_CHECKING:
    from ..hub import Hub

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

RECIPIENTS = (
    "kit-ana",
    "kit-budi",
    "kit-chen",
    "kit-dewi",
    "kit-emil",
)  # whom the kit tells; each has an e-mail address
NOBODY = "kit-nobody"  # has none


class LentMedium:
    """`NotifierServices` for one notifier alone: everything it tells is kept in plain lists."""

    log: FilteringBoundLogger
    clock: Clock

    def __init__(
        self,
        medium: str = "kit",
        *,
        clock: Clock | None = None,
        logs: Logs | None = None,
        core: NotifierServices | None = None,  # on a whole hub: what the core lends is told as well
    ) -> None:
        self.clock = clock or TurnedClock()
        self.logs = logs or Logs()
        self.log = self.logs.logger(medium=medium)
        self.recipients: dict[str, Recipient] = {
            name: Recipient(name=name, email=f"{name}@example.org", media=(medium,), language="en")
            for name in RECIPIENTS
        }
        self.recipients[NOBODY] = Recipient(name=NOBODY, media=(medium,), language="en")
        self.are_shown: list[str] = []  # ids, as `shown` was called
        self.are_answered: list[tuple[str, str, str]] = []  # (id, action, surface); the first of an id has won
        self.are_seen: list[str] = []  # ids
        self.looks: list[tuple[str, str, Focus]] = []  # (recipient, surface, how)
        self._core = core
        self._told = asyncio.Event()

    @property
    def hub(self) -> Hub:
        """Lend the hub of a trial that has one."""
        if self._core is None:
            raise NotImplementedError(
                "a notifier alone has no hub; name the module with the plugin's hooks in NotifierCase.plugin, "
                "or test what needs one on a whole hub (`start_hub`)"
            )
        return self._core.hub

    def recipient(self, name: str) -> Recipient:
        """Give whom a notification is for. Errors: `NotFound`."""
        if name not in self.recipients:
            raise NotFound(f'there is no recipient "{name}"')
        return self.recipients[name]

    async def shown(self, notification: str) -> None:
        """Note that it can be seen."""
        self.are_shown.append(notification)
        self._told.set()
        if self._core is not None:
            await self._core.shown(notification)

    async def answered(self, notification: str, action: str, surface: str) -> None:
        """Note a pressed button. Errors: `Conflict`, where another was first."""
        before = next((by for id_, _, by in self.are_answered if id_ == notification), "")
        self.are_answered.append((notification, action, surface))
        self._told.set()
        if self._core is not None:
            await self._core.answered(notification, action, surface)
        elif before:
            raise Conflict(f"already answered on {before}", code="already_answered")

    async def seen(self, notification: str) -> None:
        """Note that it was read."""
        self.are_seen.append(notification)
        self._told.set()
        if self._core is not None:
            await self._core.seen(notification)

    async def focus(self, recipient: str, surface: str, state: Focus) -> None:
        """Note how somebody looks."""
        self.looks.append((recipient, surface, state))
        self._told.set()
        if self._core is not None:
            await self._core.focus(recipient, surface, state)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was told meets a condition."""
        while not condition():
            self._told.clear()
            await self._told.wait()


def lend_notifier(
    notifier: type[Notifier],
    settings: Mapping[str, Any],  # as in `[plugins.notify_…]`
    *,
    clock: Clock | None = None,
    logs: Logs | None = None,
) -> Notifier:
    """Make a notifier, not opened yet; its `services` are a `LentMedium`."""
    checked = notifier.Settings.model_validate(dict(settings))
    return notifier(checked, LentMedium(notifier.type, clock=clock, logs=logs))


__all__ = ["NOBODY", "RECIPIENTS", "LentMedium", "lend_notifier"]
