"""The notifier: every surface of a recipient shows a notification, on whichever daemon its socket is.

    deliver ──▶ it is out (a row) ──┬─▶ surfaces of this daemon, at once
                                    ├─▶ a hint to the others, which look what is out and tell theirs
                                    └─▶ nobody is there: Web Push, else suppressed with the reason

A hint may be lost, so each daemon looks for itself as well, now and then; a surface is told of each notification once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from aiohttp import web

from talkwire import (
    Focus,
    Handed,
    Notification,
    Notifier,
    NotifierFeatures,
    OnDesktop,
    Route,
    Shown,
    StoreDown,
    Style,
    Suppressed,
    Told,
    TryLater,
)

from . import rows
from .devices import Devices
from .life import Life
from .protocol import ACTIONS
from .push import Push
from .settings import DesktopSettings
from .sockets import POLICY, Sockets, Surface

_TOPIC = "notify_desktop"
_LOOK_EVERY = timedelta(seconds=15)
_TIDY_EVERY = timedelta(hours=1)
_AGAIN_AFTER = timedelta(seconds=1)
_FRESH = timedelta(minutes=10)  # a toast that nobody saw by then is told no more
_LATEST = 200  # notifications of a recipient that are looked at for what is out
_KNOWN = 2000  # notifications that are known to be shown
_CLOSE_WITHIN = 5.0  # seconds


class DesktopNotifier(Notifier):
    """Shows notifications on desktops: by pages and native clients that hold a socket, else by Web Push."""

    type = "desktop"
    Settings = DesktopSettings
    settings: DesktopSettings
    features = NotifierFeatures(actions=ACTIONS, withdraws=True, confirms=True, desktop=True)

    def __init__(self, settings: Any, services: Any) -> None:
        super().__init__(settings, services)
        self.sockets = Sockets()
        self.push = Push(self)
        self._routes = (Route("GET", "/socket", self._socket), *Devices(self).routes())
        self._tasks: list[asyncio.Task[None]] = []
        self._shown: dict[str, None] = {}  # notifications of which that is stored
        self._stopping = asyncio.Event()
        self._tidied_at = self.clock.now()

    # --- life ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to hear hints, and to look after what is out; a second time does nothing."""
        if self._tasks:
            return
        self._stopping.clear()
        await self.push.open()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._again_and_again(work)) for work in (self._hear, self._look_after)]

    async def close(self) -> None:
        """Let all sockets go."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.sockets.close(_CLOSE_WITHIN)
        await self.push.close()

    def trouble(self) -> str:
        """Say what keeps desktops dark."""
        unable = [
            f"{surface.word} of {surface.recipient} can show nothing ({surface.why_not or 'it does not say why'})"
            for surface in self.sockets
            if not surface.able and surface.kind == "native"
        ]
        return "; ".join(filter(None, [self.push.trouble(), *unable[:3]]))

    def routes(self) -> Sequence[Route]:
        """Serve the socket, and the recipient's own devices."""
        return self._routes

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        return await Life(self, request).run()

    # --- out -----------------------------------------------------------------------------------------

    async def deliver(self, notification: Notification) -> Told:
        """Hand it to every surface that can show it; `Shown` where one has said so before. Errors: `TryLater`."""
        recipient = notification.recipient
        # It is out before we look who is there: who comes in between looks as well, and nobody is missed.
        put = await self.hub.write(rows.put_out, (notification.id, recipient))
        if put.shown:
            return Shown()
        here = self.sockets.show(notification)
        elsewhere = await self._elsewhere(put.surfaces)
        if any(surface.able for surface in elsewhere):
            await self.hub.publish(_TOPIC, {"from": self.hub.daemon, "look": recipient})
        elif not here:
            why_not = await self.push.show(notification)
            if not why_not:
                await self.hub.write(rows.pushed, notification.id)
                return Handed()
            await self.hub.write(rows.take_in, notification.id)
            there = [surface.why_not for surface in self.sockets.of(recipient) if not surface.able]
            there += [surface.why_not for surface in elsewhere if not surface.able]
            return Suppressed(_why([*there, why_not]))
        return Handed()

    async def _elsewhere(self, known: Sequence[rows.SurfaceRow]) -> list[rows.SurfaceRow]:
        """Give those surfaces that have a socket at another daemon that lives."""
        elsewhere = [surface for surface in known if surface.daemon not in ("", self.hub.daemon)]
        if not elsewhere:
            return []
        living = await self.hub.daemons()
        return [surface for surface in elsewhere if surface.daemon in living]

    async def withdraw(self, notification: Notification) -> None:
        """Take it away from every surface, and from browsers that a push service woke."""
        was_pushed = await self.hub.write(rows.take_in, notification.id)
        gone = {
            "id": notification.id,
            "to": notification.recipient,
            "why": notification.ended.value or "withdrawn",
            "by": notification.answered_by,
        }
        self._withdraw(gone)
        await self.hub.publish(_TOPIC, {"from": self.hub.daemon, "withdraw": gone})
        if was_pushed:
            await self.push.withdraw(notification)

    def _withdraw(self, gone: dict[str, str]) -> None:
        for surface in self.sockets.of(gone["to"]):
            surface.withdraw(gone["id"], gone["why"], gone["by"])

    # --- what surfaces say -----------------------------------------------------------------------------

    async def welcome(self, surface: Surface, showing: Sequence[str]) -> None:
        """Tell a surface what it lacks, and what it shows in vain."""
        out = await self.hub.read(lambda query: rows.out(query, [surface.recipient]))
        for id_ in showing:
            if id_ in out:
                surface.told[id_] = None
            else:
                await self._take_away(surface, id_)
        await self._bring(surface.recipient, out, late=True)

    async def _take_away(self, surface: Surface, id_: str) -> None:
        """Tell a surface to take away what is out no more, and why that is."""
        found = await self.hub.notification(id_)
        if found is None or found.recipient != surface.recipient:
            surface.withdraw(id_, "withdrawn")
        else:
            surface.withdraw(id_, found.ended.value or "withdrawn", found.answered_by)

    async def is_able(self, surface: Surface, is_able: bool, why_not: str) -> None:
        """Note whether a surface can show notifications now."""
        surface.able, surface.why_not = is_able, why_not
        await self.hub.write(rows.able, (surface.socket, is_able, why_not))
        if is_able:
            await self.welcome(surface, ())

    async def shows(self, notification: str) -> None:
        """Note that somebody can see a notification."""
        if notification in self._shown:
            return  # another surface has said so
        await asyncio.gather(self.hub.write(rows.shown, notification), self.shown(notification))
        self._shown[notification] = None
        if len(self._shown) > _KNOWN:
            del self._shown[next(iter(self._shown))]

    async def gone(self, recipient: str, id_: str, socket: str) -> None:
        """Take in that a surface has lost a connection."""
        if await self.hub.write(rows.disconnect, (recipient, id_, socket, self.clock.now())):
            await self.focus(recipient, f"{recipient}/{id_}", Focus.GONE)

    async def fall_back(self, recipient: str, told: Collection[str], but: Surface | None = None) -> None:
        """Wake browsers with what a surface was told and nobody can see, where no other surface can show it.

        A laptop that was closed has an open socket until its pings are missed.
        """
        if self.push.key is None or self._stopping.is_set() or not told:
            return
        out = await self.hub.read(lambda query: rows.out(query, [recipient]))
        unseen = [id_ for id_ in told if not out.get(id_, True)]
        if not unseen or any(surface.able for surface in self.sockets.of(recipient) if surface is not but):
            return
        known = await self.hub.read(lambda query: rows.surfaces(query, recipient))
        if any(surface.able for surface in await self._elsewhere(known)):
            return
        for id_ in unseen:
            found = await self.hub.notification(id_)
            if found is not None:
                await self._wake(found)

    async def _wake(self, notification: Notification) -> None:
        try:
            why_not = await self.push.show(notification)
        except TryLater:
            why_not = "busy"
        if why_not:
            self.log.info("nobody was woken", notification=notification.id, why=why_not)
        else:
            await self.hub.write(rows.pushed, notification.id)

    def place(self, surface: Surface) -> str:
        """Name a surface among those of all recipients."""
        return f"{surface.recipient}/{surface.id}"

    # --- what goes on beside ---------------------------------------------------------------------------

    async def _bring(self, recipient: str, out: dict[str, bool], *, late: bool) -> None:
        """Tell the surfaces here of all that is out for a recipient and that nobody can see yet."""
        able = [surface for surface in self.sockets.of(recipient) if surface.able]
        if not able or all(out.values()):
            return
        latest = await self.hub.notifications(recipient, limit=_LATEST)
        focused = late and any(state == Focus.FOCUSED for *_, state in await self.hub.surfaces(recipient))
        for notification in reversed(latest.items):
            if out.get(notification.id, True) or notification.answered_by or notification.seen:
                continue
            if focused and notification.on_desktop is OnDesktop.BACKGROUND:
                continue  # they look at the page, which shows it
            if notification.style is Style.TOAST and _age(self, notification) > _FRESH:
                continue
            for surface in able:
                surface.show(notification)

    async def _hear(self) -> None:
        async for hint in self.hub.subscribe(_TOPIC):
            if hint["from"] == self.hub.daemon:
                continue
            if "withdraw" in hint:
                self._withdraw(hint["withdraw"])
            elif "forget" in hint:
                self.hang_up(*hint["forget"])
            elif self.sockets.of(hint["look"]):
                recipient = hint["look"]
                out = await self.hub.read(partial(rows.out, recipients=[recipient]))
                await self._bring(recipient, out, late=False)

    def hang_up(self, recipient: str, surface: str) -> None:
        """Close the connection of a device that its owner has forgotten."""
        for one in self.sockets.of(recipient):
            if one.id == surface:
                one.put({"type": "bye", "code": "forbidden", "text": "this device was removed: sign in again"})
                one.close(POLICY)

    async def forget(self, recipient: str, device: str) -> None:
        """Forget a device, wherever it is connected. Errors: `NotFound`."""
        await self.hub.write(rows.forget, (recipient, device))
        self.hang_up(recipient, device)
        await self.hub.publish(_TOPIC, {"from": self.hub.daemon, "forget": [recipient, device]})

    async def _look_after(self) -> None:
        while not self._stopping.is_set():
            await self._look()
            await self._bury()
            now = self.clock.now()
            if now - self._tidied_at >= _TIDY_EVERY:
                self._tidied_at = now
                await self.hub.write(rows.tidy, now)
            await self.clock.wait(self._stopping, now + _LOOK_EVERY)

    async def _look(self) -> None:
        """Look whether a hint was lost: what is out and not told, or told and out no more."""
        told = [(surface, list(surface.told)) for surface in self.sockets]  # before we look what is out
        recipients = self.sockets.recipients
        if not recipients:
            return
        out = await self.hub.read(lambda query: rows.out(query, recipients))
        for surface, ids in told:
            for id_ in ids:
                if id_ not in out and id_ in surface.told:
                    await self._take_away(surface, id_)
        for recipient in recipients:
            await self._bring(recipient, out, late=True)

    async def _bury(self) -> None:
        """Take in the end of sockets whose daemon has died."""
        others = await self.hub.read(lambda query: rows.of_others(query, self.hub.daemon))
        living = await self.hub.daemons() if others else frozenset()
        for recipient, id_, socket, daemon in others:
            if daemon not in living:
                await self.gone(recipient, id_, socket)

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what must not end by a fault; it ends with the daemon."""
        while not self._stopping.is_set():
            try:
                await work()
            except StoreDown:
                pass  # said by the store already
            except Exception as error:  # noqa: BLE001  one fault must not leave all desktops dark
                # Its text may quote what a customer wrote.
                self.log.error("begins anew", work=work.__name__, kind=type(error).__name__)  # noqa: TRY400
            await self.clock.wait(self._stopping, self.clock.now() + _AGAIN_AFTER)


def _why(codes: Sequence[str]) -> str:
    """Say why nobody shows it: what a person can mend goes first."""
    return next(code for code in ("permission", *codes) if code and code in codes)


def _age(notifier: DesktopNotifier, notification: Notification) -> timedelta:
    return notifier.clock.now() - notification.at if notification.at is not None else timedelta()
