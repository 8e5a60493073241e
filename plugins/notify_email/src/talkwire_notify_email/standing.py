"""How a notification stands: open, answered by whom, over, or taken back."""

from __future__ import annotations

from dataclasses import dataclass

from talkwire import Ended, First, Hub, Notification, Option


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One notification, as a page needs it."""

    notification: Notification
    first: First | None  # None: nobody has answered

    @property
    def options(self) -> tuple[Option, ...]:
        """Give the buttons that answer."""
        return tuple(one for one in self.notification.actions if one.id not in self.notification.opens)

    @property
    def is_closed(self) -> bool:
        """Say whether no answer is taken any more."""
        return self.first is not None or self.notification.ended is not Ended.OPEN

    def label(self, action: str) -> str:
        """Give what stands on a button."""
        return next((option.title for option in self.notification.actions if option.id == action), action)


async def standing(hub: Hub, notification: str) -> Standing | None:
    """Say how a notification stands; None: there is none."""
    found = await hub.notification(notification)
    return None if found is None else Standing(notification=found, first=await hub.first_answer(notification))
