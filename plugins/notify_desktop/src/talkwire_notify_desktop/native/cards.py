"""What a notification says, as it is drawn by a machine's own notifications."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

TITLE_LIMIT = 120  # characters; desktops cut a title to one line
BODY_LIMIT = 600  # characters; desktops draw some lines and cut the rest
DETAILS_LIMIT = 4  # PROTOCOL.md


@dataclass(frozen=True, slots=True)
class Button:
    """Something that can be pressed."""

    id: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A notification that shall be on the screen."""

    id: str
    title: str
    text: str
    buttons: tuple[Button, ...] = ()
    is_alert: bool = False  # it stays until it is answered or taken away
    opens: frozenset[str] = frozenset()  # buttons that answer nothing, and open the page as a click does
    conversation: str = ""  # what a click opens; empty: it is about none
    details: tuple[tuple[str, str], ...] = ()  # label, value

    @classmethod
    def read(cls, told: Any) -> Card:
        """Read what the server told. Errors: `ValueError` where it is no notification of PROTOCOL.md."""
        if not isinstance(told, Mapping) or not isinstance(told.get("id"), str) or not told["id"]:
            raise ValueError("a notification without an id")
        return cls(
            id=told["id"],
            title=_clean(told.get("title"), TITLE_LIMIT) or "Talkwire",
            text=_clean(told.get("text"), BODY_LIMIT),
            buttons=tuple(
                Button(str(each["id"]), _clean(each.get("label"), TITLE_LIMIT) or str(each["id"]))
                for each in _tables(told.get("actions"))
                if each.get("id")
            ),
            is_alert=told.get("style") == "alert",
            opens=frozenset(each for each in told.get("opens") or () if isinstance(each, str)),
            conversation=told["conversation"] if isinstance(told.get("conversation"), str) else "",
            details=tuple(
                (_clean(each.get("label"), TITLE_LIMIT), _clean(each.get("value"), TITLE_LIMIT))
                for each in _tables(told.get("details"))[:DETAILS_LIMIT]
            ),
        )

    def body(self, *, as_markup: bool) -> str:
        """Give the text and the details below it; escaped for a desktop that reads markup.

        Quotes stay as they are: GNOME Shell shows any entity but the five of XML as it stands, and `html.escape` writes
        `&#x27;` (source: gnome-shell, js/ui/messageList.js, read 2026-11-28).
        """
        lines = [self.text, *(f"{label}: {value}" if label else value for label, value in self.details)]
        body = "\n".join(line for line in lines if line)
        return html.escape(body, quote=False) if as_markup else body


@dataclass(frozen=True, slots=True)
class Able:
    """Whether this machine can show notifications now."""

    able: bool
    why_not: str = ""  # PROTOCOL.md: `no_session_bus`, `no_daemon`, `permission`, `unsupported`
    text: str = ""  # a sentence for the person at the machine


class Hears(Protocol):
    """Is told what happens on the screen; never waits."""

    def able_changed(self) -> None: ...
    def begun_anew(self) -> None: ...  # what was on the screen is gone
    def pressed(self, card: str, action: str) -> None: ...
    def clicked(self, card: str) -> None: ...
    def dismissed(self, card: str) -> None: ...


class Desktop(Protocol):
    """The notifications of a machine."""

    able: Able
    known: asyncio.Event  # set when `able` was found out for the first time

    async def run(self) -> None: ...  # watches until it is cancelled
    async def show(self, card: Card) -> str: ...  # empty: it can be seen; else why not
    async def withdraw(self, card: str) -> None: ...  # one that is gone is no error
    async def is_idle(self) -> bool: ...  # nobody sits there


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long things are waited for."""

    answer: timedelta = timedelta(seconds=5)  # for the desktop's or the server's answer
    look_again: timedelta = timedelta(seconds=15)  # until a desktop that could not is asked again
    focus: timedelta = timedelta(seconds=30)  # between two words of where somebody looks (PROTOCOL.md)
    idle: timedelta = timedelta(minutes=2)  # without a key or a move: nobody sits there
    first: timedelta = timedelta(seconds=1)  # until the first new attempt to reach the server, at most
    longest: timedelta = timedelta(minutes=1)  # until any later one, at most


def _tables(told: Any) -> list[Mapping[str, Any]]:
    return [each for each in told if isinstance(each, Mapping)] if isinstance(told, list) else []


def _clean(told: Any, limit: int) -> str:
    """Take out what no desktop can take: NUL and other controls, half characters; cut what is long."""
    if not isinstance(told, str):
        return ""
    text = told.encode("utf-8", "replace").decode()
    text = "".join(mark for mark in text if mark >= " " or mark == "\n").strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
