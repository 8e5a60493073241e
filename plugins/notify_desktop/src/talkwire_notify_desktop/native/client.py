"""The client: what the server tells goes to the screen, what people do there goes to the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import webbrowser
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from . import places
from .cards import Able, Card, Desktop, Hears, Times
from .line import PROTOCOL, SHOWING_LIMIT, Line
from .places import Known, SignIn

_DECIDED = {"already_answered", "lapsed", "withdrawn", "not_found"}  # it is open no more (PROTOCOL.md)
_PLATFORM: str = sys.platform
_LOST = "talkwire-lost"  # id of the note that an answer came too late; the next takes its place


def this_desktop(hears: Hears, say: Callable[[str], None], times: Times) -> Desktop:
    """Give the notifications of this machine. Errors: `SignInError` where the extra is not installed."""
    try:
        if _PLATFORM == "linux":
            from .linux import LinuxDesktop

            return LinuxDesktop(hears, say, times)
        from .elsewhere import OtherDesktop

        return OtherDesktop(hears, say, times)
    except ImportError as error:
        raise places.SignInError(
            f"{error.name} is not installed; type: pip install 'talkwire-notify-desktop[native]'"
        ) from error


@dataclass(slots=True)
class _Open:
    """A notification that the server wants on the screen."""

    card: Card
    is_drawn: bool = False
    is_closed: bool = False  # by the person: it is not drawn again
    answer: str = ""  # pressed, and not yet decided by the server


class Client:
    """One sign-in on one machine."""

    def __init__(
        self,
        signed: SignIn,
        *,
        say: Callable[[str], None],
        open_page: Callable[[str], object] = webbrowser.open,
        times: Times | None = None,
    ) -> None:
        self._signed = signed
        self._say = say
        self._open_page = open_page
        self._times = times or Times()
        self._desktop = this_desktop(self, say, self._times)
        self._line = Line(signed, self, self._times)
        self._open: dict[str, _Open] = {}
        self._later: list[dict[str, Any]] = []  # to be said when the line is there again
        self._redraw = asyncio.Event()
        self._drawing = asyncio.Lock()  # one thing at a time on the screen
        self._begun: set[asyncio.Future[None]] = set()
        self._trouble = "not yet connected"
        self._looked = asyncio.Event()  # it shall be said where somebody looks

    async def run(self) -> None:
        """Run until cancelled; what it has shown is taken off the screen at the end. Errors: `Bye`."""
        desktop = asyncio.ensure_future(self._desktop.run())
        try:
            await _first(self._desktop, desktop)  # so that the first frame says the truth
            self._say(self._desktop.able.text)
            tasks = [asyncio.ensure_future(each) for each in (self._line.hold(), self._look(), self._redraws())]
            try:
                done, _ = await asyncio.wait({desktop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
            finally:
                await _end(tasks)
                for card in list(self._open):
                    await self._take_away(card)
                await self._desktop.withdraw(_LOST)
        finally:
            await _end([desktop, *self._begun])

    # the server's side

    def hello(self) -> dict[str, Any]:
        """Say who this is, and what it can do now."""
        showing = [card for card, opened in self._open.items() if opened.is_drawn or opened.is_closed or opened.answer]
        return {**hello(self._signed, self._desktop.able), "showing": showing[:SHOWING_LIMIT]}

    def connected(self, ready: Mapping[str, Any]) -> None:
        """Go on where the line broke: what people did meanwhile is said first."""
        self._trouble = ""
        self._looked.set()
        host = urlsplit(self._signed.url).netloc
        self._say(f"connected to {host} as {ready.get('recipient', '')}")
        for frame in self._later:
            self._line.send(frame)
        self._later.clear()
        for card, opened in self._open.items():
            if opened.answer:
                self._line.send({"type": "answered", "id": card, "action": opened.answer})
        self._note()

    def lost(self, why: str) -> None:
        """Say once that the line is down."""
        if why != self._trouble:
            self._trouble = why
            self._say(f"not connected: {why}; trying again")
        self._note()

    async def told(self, frame: Mapping[str, Any]) -> None:
        """Do what the server says."""
        match frame.get("type"):
            case "show":
                try:
                    card = Card.read(frame.get("notification"))
                except ValueError as error:
                    self._say(f"the server told of {error}")
                    return
                await self._show(card)
            case "withdraw":
                card_id = str(frame.get("id", ""))
                self._open.pop(card_id, None)
                await self._take_away(card_id)
            case "won":
                self._open.pop(str(frame.get("id", "")), None)
            case "lost":
                await self._lost(frame)

    async def _lost(self, frame: Mapping[str, Any]) -> None:
        """Tell whoever pressed that it did not count, and by whom it was answered."""
        is_decided = frame.get("code") in _DECIDED
        opened = self._open.get(str(frame.get("id", "")))
        if opened is not None and is_decided:
            del self._open[opened.card.id]
        elif opened is not None:
            opened.answer, opened.is_drawn = "", False
        told = Card.read(
            {
                "id": _LOST,
                "title": "Your answer came too late" if is_decided else "Your answer was not taken",
                "text": frame.get("text"),
            }
        )
        async with self._drawing:
            await self._desktop.show(told)
        self._redraw.set()

    async def _show(self, card: Card) -> None:
        """Draw it once; told again, it says again what became of it."""
        opened = self._open.get(card.id)
        if opened is not None and opened.answer:
            return  # the server will say who was first
        if opened is not None and opened.card == card and opened.is_closed:
            self._tell({"type": "dismissed", "id": card.id})
            return
        if opened is not None and opened.card == card and opened.is_drawn:
            self._tell({"type": "shown", "id": card.id})
            return
        if opened is None:
            opened = self._open[card.id] = _Open(card)
        opened.card, opened.is_closed = card, False
        await self._draw(opened)

    async def _draw(self, opened: _Open) -> None:
        async with self._drawing:
            if self._open.get(opened.card.id) is not opened:
                return  # taken away meanwhile
            why = await self._desktop.show(opened.card)
        opened.is_drawn = not why
        if why:
            self._tell({"type": "refused", "id": opened.card.id, "why": why})
        else:
            self._tell({"type": "shown", "id": opened.card.id})

    async def _take_away(self, card: str) -> None:
        async with self._drawing:
            await self._desktop.withdraw(card)

    # the screen's side

    def able_changed(self) -> None:
        """Say that notifications can be shown now, or no longer."""
        able = self._desktop.able
        self._note()
        if self._line.is_connected:
            self._say(able.text)
            self._line.send({"type": "able", "able": able.able, "why_not": able.why_not})
        self._redraw.set()

    def begun_anew(self) -> None:
        """Draw again what is still open: who showed it is gone, and with it all that was on the screen."""
        for opened in self._open.values():
            opened.is_drawn = False
        self._redraw.set()

    async def _redraws(self) -> None:
        while True:
            await self._redraw.wait()
            self._redraw.clear()
            for opened in list(self._open.values()):
                if self._desktop.able.able and not (opened.is_drawn or opened.is_closed or opened.answer):
                    await self._draw(opened)

    def pressed(self, card: str, action: str) -> None:
        """Pass an answer on; it is kept until the server has decided it."""
        opened = self._open.get(card)
        if opened is None or opened.answer:
            return
        if action in opened.card.opens:
            self.clicked(card)
            return
        opened.answer = action
        self._line.send({"type": "answered", "id": card, "action": action})  # else when it is connected
        self._soon(self._take_away(card))  # dunst leaves on the screen what was pressed

    def clicked(self, card: str) -> None:
        """Bring the conversation's page to the front; what is to be answered is answered there."""
        opened = self._open.get(card)
        if opened is None or opened.answer:
            return
        opened.is_closed = True
        self._tell({"type": "seen", "id": card})
        self._soon(self._take_away(card))
        if page := self._page(opened.card):
            self._soon(self._bring(page))

    def dismissed(self, card: str) -> None:
        """Say that somebody closed it."""
        opened = self._open.get(card)
        if opened is None or opened.answer or opened.is_closed:
            return
        opened.is_closed = True
        self._tell({"type": "dismissed", "id": card})

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin what a signal of the screen asks for, and end it with the client."""
        begun = asyncio.ensure_future(work)
        self._begun.add(begun)
        begun.add_done_callback(self._begun.discard)

    async def _bring(self, page: str) -> None:
        try:
            await asyncio.to_thread(self._open_page, page)
        except (OSError, webbrowser.Error) as error:
            self._say(f"no browser could be opened: {error}")

    def _page(self, card: Card) -> str:
        """Give the page to open, which the sign-in names and nobody else; empty: none."""
        if not card.conversation:
            return self._signed.page.partition("#")[0].partition("{")[0]
        return self._signed.page.replace("{conversation}", quote(card.conversation, safe=""))

    # where somebody looks

    async def _look(self) -> None:
        """Say whether somebody sits there, at once and every 30 seconds.

        Never `focused`: a client has no window, and no desktop tells whether somebody looks at its notifications.
        """
        while True:
            self._looked.clear()
            state = "idle" if await self._desktop.is_idle() else "visible"
            self._line.send({"type": "focus", "state": state})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._times.focus.total_seconds()):
                    await self._looked.wait()

    def _tell(self, frame: dict[str, Any]) -> None:
        if not self._line.send(frame) and frame["type"] in {"seen", "dismissed"}:
            self._later.append(frame)

    def _note(self) -> None:
        places.note(Known(os.getpid(), self._trouble, self._desktop.able))


class _Deaf:
    """Hears nothing of what happens on a screen that is only asked what it can do."""

    def able_changed(self) -> None: ...
    def begun_anew(self) -> None: ...
    def pressed(self, card: str, action: str) -> None: ...
    def clicked(self, card: str) -> None: ...
    def dismissed(self, card: str) -> None: ...


async def ask() -> Able:
    """Ask this machine once whether it can show notifications. Errors: `SignInError`, as `this_desktop`."""
    desktop = this_desktop(_Deaf(), lambda _: None, Times())
    running = asyncio.ensure_future(desktop.run())
    try:
        await _first(desktop, running)
        return desktop.able
    finally:
        await _end([running])


async def _first(desktop: Desktop, running: asyncio.Future[None]) -> None:
    """Wait until the machine was asked once."""
    known = asyncio.ensure_future(desktop.known.wait())
    both: set[asyncio.Future[Any]] = {running, known}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        known.cancel()


def hello(signed: SignIn, able: Able) -> dict[str, Any]:
    """Give the first frame (PROTOCOL.md)."""
    return {
        "type": "hello",
        "protocol": PROTOCOL,
        "surface": signed.surface,
        "kind": "native",
        "device": signed.device,
        "key": signed.key,
        "able": able.able,
        "why_not": able.why_not,
    }


async def _end(tasks: Any) -> None:
    ending = list(tasks)
    for each in ending:
        each.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
