"""A good notifier: the board, which hangs in the hall of an office, and its sister that says later what somebody saw.

The board is made up, and lives in this process: nothing here waits for a network, so a check that waits for what never
comes may be given little time. `post` takes a note under a name, which replaces; `take_down` takes it away; whoever
walks by presses its buttons.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar, Self

from pydantic import SecretStr

from talkwire.channel import Settings
from talkwire.errors import Conflict, Refused, TryLater
from talkwire.model import Notification
from talkwire.notifier import Focus, Handed, Notifier, NotifierFeatures, Shown, Told
from talkwire.testing import Counterpart, NotifierCase, Sight

BOARDS: dict[str, Board] = {}
_NUMBERS = itertools.count(1)


class BoardDown(Exception):
    """The board does not answer."""


class ReadOnly(Exception):
    """The board takes nothing."""


@dataclass(frozen=True)
class Note:
    """One note on the board."""

    recipient: str
    lines: tuple[str, ...]
    buttons: tuple[str, ...] = ()


class Board(Counterpart):
    """The board and the people who walk by."""

    def __init__(self) -> None:
        self.notes: dict[str, Note] = {}
        self.way = "works"
        self.walkers: dict[str, Callable[..., Awaitable[None]]] = {}  # whom the board tells what people do
        self.lit = True  # somebody can read what hangs there
        self._reached = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.url = f"board://{next(_NUMBERS)}.example"
        BOARDS[self.url] = self
        return self

    async def __aexit__(self, *_: object) -> None:
        del BOARDS[self.url]

    # what the notifier calls

    async def post(self, name: str, note: Note) -> None:
        """Take a note."""
        self._may()
        self.notes[name] = note
        self._reached.set()
        if self.way == "hangs":
            await asyncio.Event().wait()

    async def take_down(self, name: str) -> None:
        """Take a note away."""
        self._may()
        self.notes.pop(name, None)

    def _may(self) -> None:
        if self.way == "down":
            raise BoardDown
        if self.way == "refuses":
            raise ReadOnly

    # what the kit calls

    async def sights(self) -> Sequence[Sight]:
        return [
            Sight(words="\n".join(note.lines), buttons=note.buttons, recipient=note.recipient, visible=self.lit)
            for note in self.notes.values()
        ]

    async def goes_down(self) -> None:
        self.way = "down"

    async def refuses(self) -> None:
        self.way = "refuses"

    async def hangs(self) -> None:
        self._reached.clear()
        self.way = "hangs"

    async def reached(self) -> None:
        await self._reached.wait()

    async def recovers(self) -> None:
        self.way = "works"

    async def presses(self, notification: str, action: str) -> None:
        await self.walkers["pressed"](notification, action)

    async def reads(self, notification: str) -> None:
        await self.walkers["read"](notification)

    async def looks(self, recipient: str, state: Focus) -> None:
        await self.walkers["looked"](recipient, state)


class DarkBoard(Board):
    """A board that nobody can read until the light is on."""

    def __init__(self) -> None:
        super().__init__()
        self.lit = False

    async def confirms(self, notification: str) -> None:
        self.lit = True
        await self.walkers["lit"](notification)


class BoardSettings(Settings):
    url: str
    token: SecretStr


class WatchedNotifier(Notifier):
    """Passes on what people do at the board."""

    async def pressed(self, notification: str, action: str) -> None:
        with contextlib.suppress(Conflict):  # somebody else was first: the core takes the note down
            await self.answered(notification, action)

    async def read(self, notification: str) -> None:
        await self.seen(notification)

    async def looked(self, recipient: str, state: Focus) -> None:
        await self.focus(recipient, f"board:{recipient}", state)


class BoardNotifier(WatchedNotifier):
    type = "board"
    Settings: ClassVar[type[Settings]] = BoardSettings
    features = NotifierFeatures(actions=2, withdraws=True, digests=True, title_limit=120, text_limit=2000)

    async def open(self) -> None:
        self.board.walkers = {"pressed": self.pressed, "read": self.read, "looked": self.looked}

    async def close(self) -> None:
        self.board.walkers = {}

    @property
    def board(self) -> Board:
        return BOARDS[self.settings.url]

    async def deliver(self, notification: Notification) -> Told:
        await self.post(self.name(notification), self.note(notification))
        return Shown()

    async def digest(self, notifications: Sequence[Notification]) -> Told:
        lines = tuple(line for one in notifications for line in self.note(one).lines)
        await self.post(self.name(notifications[0]), Note(notifications[0].recipient, lines))
        return Shown()

    async def withdraw(self, notification: Notification) -> None:
        await self.to_the_board(self.board.take_down(self.name(notification)))

    async def post(self, name: str, note: Note) -> None:
        await self.to_the_board(self.board.post(name, note))

    async def to_the_board(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except BoardDown:
            raise TryLater("the board does not answer") from None
        except ReadOnly:
            raise Refused("the board is read-only") from None

    def name(self, notification: Notification) -> str:
        return notification.id

    def note(self, notification: Notification) -> Note:
        details = (f"{detail.label}: {detail.value}" for detail in notification.details)
        lines = (notification.title, notification.text, *details)
        return Note(notification.recipient, lines, tuple(action.id for action in notification.actions))


class DarkBoardNotifier(BoardNotifier):
    """Its board says later what somebody could read."""

    features = replace(BoardNotifier.features, confirms=True)

    async def open(self) -> None:
        await super().open()
        self.board.walkers["lit"] = self.lit

    async def deliver(self, notification: Notification) -> Told:
        await super().deliver(notification)
        return Handed()

    async def lit(self, notification: str) -> None:
        await self.shown(notification)


def at_board(settings: Any, counterpart: Counterpart) -> dict[str, Any]:
    """Give settings for a board."""
    return {**settings, "url": counterpart.url}


BOARD = NotifierCase(
    notifier=BoardNotifier,
    settings={"url": "board://hall.example", "token": "kit-token-0123456789"},
    counterpart=Board,
    point_at=at_board,
)
DARK = replace(BOARD, notifier=DarkBoardNotifier, counterpart=DarkBoard)
SHORT = timedelta(seconds=0.05)  # nothing waits for a network here, so only what never comes takes so long
