"""Notifications on macOS and Windows, by desktop-notifier's word: nobody has tried them with us.

Source: desktop-notifier 6.2, `DesktopNotifier`, read 2026-11-28.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from .cards import Able, Card, Hears, Times

_UNSUPPORTED = Able(False, "unsupported", "notifications of this system are not supported by desktop-notifier")
_REFUSED = Able(False, "permission", "this system does not allow notifications: allow them in its settings")


class OtherDesktop:
    """What desktop-notifier finds on this system."""

    def __init__(self, hears: Hears, say: Callable[[str], None], times: Times) -> None:
        from desktop_notifier import DesktopNotifier

        # Its debug lines have the text of each notification, its warnings a traceback; what failed, we say.
        logging.getLogger("desktop_notifier").setLevel(logging.CRITICAL)
        self.able = _UNSUPPORTED
        self.known = asyncio.Event()
        self._hears = hears
        self._say = say
        self._times = times
        self._notifier = DesktopNotifier(app_name="Talkwire", app_icon=None)
        self._raised: set[str] = set()

    async def run(self) -> None:
        """Ask again and again whether notifications are allowed, until cancelled."""
        while True:
            able = await self._ask()
            changed, self.able = able != self.able, able
            self.known.set()
            if changed:
                self._hears.able_changed()
            await asyncio.sleep(self._times.look_again.total_seconds())

    async def show(self, card: Card) -> str:
        """Show a notification; the library cannot replace one, so the old one is taken away first."""
        from desktop_notifier import Button, Notification, Urgency

        if not self.able.able:
            return self.able.why_not
        await self.withdraw(card.id)
        taken: list[bool] = []
        notification = Notification(
            card.title,
            card.body(as_markup=False),
            urgency=Urgency.Critical if card.is_alert else Urgency.Normal,
            buttons=tuple(
                Button(each.label, on_pressed=self._press(card.id, each.id), identifier=each.id)
                for each in card.buttons
            ),
            on_dispatched=lambda: taken.append(True),  # `send` itself gives an id where nothing was shown
            on_clicked=lambda: self._hears.clicked(card.id),
            on_dismissed=lambda: self._hears.dismissed(card.id),
            identifier=card.id,
        )
        try:
            async with asyncio.timeout(self._times.answer.total_seconds()):
                await self._notifier.send_notification(notification)
        except TimeoutError:
            return "unsupported"
        if not taken:
            return "permission"
        self._raised.add(card.id)
        return ""

    async def withdraw(self, card: str) -> None:
        if card in self._raised:
            self._raised.discard(card)
            try:
                await self._notifier.clear(card)
            except Exception as error:  # noqa: BLE001  the library has no tree of errors; one that is gone is a KeyError
                if not isinstance(error, KeyError):
                    self._say(f"a notification could not be taken away: {type(error).__name__}")

    async def is_idle(self) -> bool:
        """Nobody tells us here."""
        return False

    async def _ask(self) -> Able:
        try:
            allowed = await self._notifier.request_authorisation()
            can = await self._notifier.get_capabilities()
        except Exception as error:  # noqa: BLE001  as above
            self._say(f"notifications cannot be asked for: {type(error).__name__}")
            return _UNSUPPORTED
        if not can:
            return _UNSUPPORTED
        return Able(True, "", "notifications are shown by this system") if allowed else _REFUSED

    def _press(self, card: str, action: str) -> Callable[[], Any]:
        return lambda: self._hears.pressed(card, action)
