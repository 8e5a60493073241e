"""Notifications on a Linux desktop, by org.freedesktop.Notifications.

    no bus ──▶ bus, nobody who shows ──▶ able ──▶ shows
      ▲                 ▲                  │
      └── the bus went ─┴── dunst went ────┘      each change is told

`show` says yes only when the desktop's own program has answered with a number, after it has said what it can do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

from dbus_fast import Message, Variant

from .bus import Bus, BusError, BusSilent
from .cards import Able, Card, Hears, Times

_NAME = "org.freedesktop.Notifications"
_SHOWS = (_NAME, "/org/freedesktop/Notifications", _NAME)
_NO_BUS = Able(
    False,
    "no_session_bus",
    "there is no session bus, so no notification can be shown: start this in your desktop's session,"
    " as the user unit of `talkwire desktop install` does, not as a system service",
)
_NO_DAEMON = Able(
    False,
    "no_daemon",
    "no program on this desktop shows notifications: install and start one, dunst for example"
    " (GNOME, KDE, Xfce and others bring their own)",
)
_DISMISSED = 2  # reason of NotificationClosed: closed by the person (specification 1.2, "NotificationClosed")
_ALERT, _TOAST = 2, 1  # urgency: critical stays until it is closed, normal goes by itself
# Who draws fewer buttons than it is given, without a word. Source: gnome-shell, js/ui/messageList.js,
# MAX_NOTIFICATION_BUTTONS, read 2026-11-28.
_MOST_BUTTONS = {"gnome-shell": 3}

# Who knows whether somebody sits there; the first two count from the last key or move, the last two are switched by the
# desktop. None of them is started for our question. org.freedesktop.ScreenSaver's GetSessionIdleTime is not asked: no
# specification has it, and its unit differs.
_MUTTER = ("org.gnome.Mutter.IdleMonitor", "/org/gnome/Mutter/IdleMonitor/Core", "org.gnome.Mutter.IdleMonitor")
_SCREENSAVERS = (
    ("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver"),
    ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver"),
)
_SESSION = ("org.freedesktop.login1", "/org/freedesktop/login1/session/auto", "org.freedesktop.DBus.Properties")


class LinuxDesktop:
    """The desktop of the session in which this process runs."""

    def __init__(self, hears: Hears, say: Callable[[str], None], times: Times) -> None:
        self.able = _NO_BUS
        self.known = asyncio.Event()
        self._hears = hears
        self._say = say
        self._times = times
        self._answer = times.answer.total_seconds()
        self._bus: Bus | None = None
        self._owner = ""  # of the notifications' name: another owner knows none of our numbers
        self._can: frozenset[str] = frozenset()
        self._buttons: int | None = None  # how many it draws; None: all
        self._numbers: dict[str, int] = {}  # id → the desktop's number of what is on the screen
        self._failed = False  # it said that it can, and did not: it is not asked again at once
        self._changed = asyncio.Event()  # somebody came to show notifications, or went
        self._raising = asyncio.Lock()  # a signal about a number waits until that number is known
        self._signals: asyncio.Queue[Message] = asyncio.Queue()
        self._icon = str(files(__package__).joinpath("icon.png"))

    async def run(self) -> None:
        """Look after the bus and who shows notifications on it, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_on())
            while True:
                with contextlib.suppress(BusError):
                    await self._watch()
                self._bus = None
                self._forget()
                self._become(_NO_BUS)
                await asyncio.sleep(self._times.look_again.total_seconds())

    async def show(self, card: Card) -> str:
        """Show a notification, in the place of what was shown by the same id."""
        bus = self._bus
        if bus is None or not self.able.able:
            return self.able.why_not
        async with self._raising:
            try:
                (number,) = await bus.call(
                    _SHOWS,
                    "Notify",
                    "susssasa{sv}i",
                    "Talkwire",
                    self._numbers.get(card.id, 0),
                    self._icon,
                    card.title,
                    card.body(as_markup="body-markup" in self._can) if "body" in self._can else "",
                    self._actions(card),
                    {"urgency": Variant("y", _ALERT if card.is_alert else _TOAST), "category": Variant("s", "im")},
                    0 if card.is_alert else -1,  # milliseconds until it goes; 0: never, -1: as the desktop does
                )
            except BusError as error:
                self._say(f"the desktop did not take a notification: {error}")
                self._become(_NO_DAEMON)
                self._failed = isinstance(error, BusSilent)
                self._changed.set()
                return "no_daemon"
            self._numbers[card.id] = number
        return ""

    async def withdraw(self, card: str) -> None:
        """Take a notification off the screen."""
        number = self._numbers.pop(card, None)
        if number is not None and self._bus is not None:
            with contextlib.suppress(BusError):  # it was closed already, or the desktop is gone with all it showed
                await self._bus.call(_SHOWS, "CloseNotification", "u", number, may_start=False)

    async def is_idle(self) -> bool:
        """Say whether nobody sits there, as far as this desktop tells; one that tells nothing is not idle."""
        if (bus := self._bus) is not None:
            spent = await self._asked(bus, _MUTTER, "GetIdletime")  # milliseconds
            if isinstance(spent, int) and spent >= self._times.idle.total_seconds() * 1000:
                return True
            for saver in _SCREENSAVERS:
                if await self._asked(bus, saver, "GetActive") is True:
                    return True
        return await self._session_idles()

    async def _session_idles(self) -> bool:
        try:
            system = await Bus.system(self._answer)
        except BusError:
            return False
        try:
            for name in ("IdleHint", "LockedHint"):
                found = await self._asked(system, _SESSION, "Get", "ss", "org.freedesktop.login1.Session", name)
                if isinstance(found, Variant) and found.value is True:
                    return True
            return False
        finally:
            system.close()

    async def _asked(self, bus: Bus, whom: tuple[str, str, str], member: str, signature: str = "", *body: Any) -> Any:
        try:
            return (await bus.call(whom, member, signature, *body, may_start=False))[0]
        except (BusError, IndexError):
            return None

    async def _watch(self) -> None:
        """Hold one connection to the bus; ends with it. Errors: `BusError`."""
        bus = await Bus.session(self._answer)
        try:
            await bus.hear(f"type='signal',sender='{_NAME}',interface='{_NAME}'", self._signals.put_nowait)
            await bus.hear(
                f"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{_NAME}'", _nothing
            )
            self._bus = bus
            gone = asyncio.ensure_future(bus.gone())
            try:
                while not gone.done():
                    self._changed.clear()
                    if self._failed:
                        self._failed = False
                        await asyncio.wait({gone}, timeout=self._times.look_again.total_seconds())
                        continue
                    await self._ask(bus)
                    changed = asyncio.ensure_future(self._changed.wait())
                    again = None if self.able.able else self._times.look_again.total_seconds()
                    try:
                        await asyncio.wait({gone, changed}, timeout=again, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        changed.cancel()
                await gone
            finally:
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
        finally:
            bus.close()

    async def _ask(self, bus: Bus) -> None:
        """Learn who shows notifications here, and what it can do; a bus may start it for this."""
        try:
            name, _vendor, version, _spec = await bus.call(_SHOWS, "GetServerInformation")
            (can,) = await bus.call(_SHOWS, "GetCapabilities")
        except (BusError, ValueError):
            self._forget()
            self._become(_NO_DAEMON)
            return
        owner = await bus.owner(_NAME)
        self._can = frozenset(can)
        self._buttons = _MOST_BUTTONS.get(name) if "actions" in self._can else 0
        if owner != self._owner:
            self._forget()
            self._owner = owner
        self._become(Able(True, "", f"notifications are shown by {name} {version}"))

    def _forget(self) -> None:
        """Know of nothing on the screen: who showed it is gone."""
        self._owner = ""
        if self._numbers:
            self._numbers.clear()
            self._hears.begun_anew()

    def _become(self, able: Able) -> None:
        self.known.set()
        if able != self.able:
            self.able = able
            self._hears.able_changed()

    def _actions(self, card: Card) -> list[str]:
        """Give what can be pressed, as id, label, id, label; `default` is the body."""
        if self._buttons == 0 and card.buttons:
            self._say(f"this desktop draws no buttons: {_labels(card.buttons)} is not on the notification")
        if self._buttons == 0:
            return []
        if self._buttons is not None and len(card.buttons) > self._buttons:
            self._say(
                f"this desktop draws {self._buttons} buttons: {_labels(card.buttons[self._buttons :])} is left out"
            )
        drawn = card.buttons[: self._buttons]
        return ["default", "Open", *(word for button in drawn for word in (f"answer:{button.id}", button.label))]

    async def _pass_on(self) -> None:
        """Tell what people did on the screen, in the order in which they did it."""
        while True:
            message = await self._signals.get()
            if message.member == "NameOwnerChanged" and message.body[:1] == [_NAME]:
                self._changed.set()
                continue
            async with self._raising:
                pass
            card = self._card(message)
            if not card:
                continue
            if message.member == "ActionInvoked":
                action = str(message.body[1])
                if action == "default":
                    self._hears.clicked(card)
                else:
                    self._hears.pressed(card, action.removeprefix("answer:"))
            elif message.member == "NotificationClosed":
                self._numbers.pop(card)
                if message.body[1] == _DISMISSED:
                    self._hears.dismissed(card)

    def _card(self, message: Message) -> str:
        """Name the notification that a signal is about; empty: it is another program's."""
        if message.sender != self._owner or not message.body:
            return ""
        return next((card for card, number in self._numbers.items() if number == message.body[0]), "")


def _labels(buttons: Any) -> str:
    return ", ".join(f'"{button.label}"' for button in buttons)


def _nothing(_message: Message) -> None:
    """Both rules' signals come to the first handler."""
