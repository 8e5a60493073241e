"""The session bus of a Linux desktop, as far as this client needs it.

It talks to the bus itself, not through desktop-notifier, which brings the library for it: that one answers with an id
where nothing was shown, asks for the capabilities once and never again, and forgets a notification's number when a button
is pressed, while dunst leaves it on the screen (desktop-notifier 6.2, dunst 1.9, seen 2026-11-28).

Sources: Desktop Notifications Specification 1.2; D-Bus Specification 0.42; org.freedesktop.login1(5).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus

_DBUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


class BusError(Exception):
    """The bus, or who was asked on it, did not answer as it should."""


class BusSilent(BusError):
    """Who was asked is there, and says nothing: asking again at once would change nothing."""


def session_bus_address() -> str:
    """Give the address of the session bus; empty where there is none.

    systemd's user units have it in the environment; a shell that came by ssh has not, while the socket is there.
    Source: systemd's pam_systemd(8), "$XDG_RUNTIME_DIR"; the bus's socket is `bus` in it.
    """
    if told := os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return told
    folder = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    socket = Path(folder) / "bus"
    return f"unix:path={socket}" if socket.is_socket() else ""


class Bus:
    """One connection to a bus."""

    def __init__(self, bus: MessageBus, answer: float) -> None:
        self._bus = bus
        self._answer = answer  # seconds

    @classmethod
    async def session(cls, answer: float) -> Bus:
        """Connect to the session bus. Errors: `BusError`."""
        address = session_bus_address()
        if not address:
            raise BusError("no session bus")
        return await cls._connect(MessageBus, {"bus_address": address}, answer)

    @classmethod
    async def system(cls, answer: float) -> Bus:
        """Connect to the system bus. Errors: `BusError`."""
        return await cls._connect(MessageBus, {"bus_type": BusType.SYSTEM}, answer)

    @classmethod
    async def _connect(cls, make: Callable[..., MessageBus], how: dict[str, Any], answer: float) -> Bus:
        made = None
        try:
            made = make(**how)
            async with asyncio.timeout(answer):
                return cls(await made.connect(), answer)
        except Exception as error:  # its errors have no common ancestor: no file, refused, a wrong address, no answer
            if made is not None:
                made.disconnect()
            raise BusError(f"{type(error).__name__}: {error}") from error

    async def call(
        self, to: tuple[str, str, str], member: str, signature: str = "", *body: Any, may_start: bool = True
    ) -> list[Any]:
        """Call a method of (name, path, interface). Errors: `BusError`, also where no answer comes in time."""
        name, path, interface = to
        message = Message(
            destination=name,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            flags=MessageFlag.NONE if may_start else MessageFlag.NO_AUTOSTART,
        )
        try:
            async with asyncio.timeout(self._answer):
                answer = await self._bus.call(message)
        except TimeoutError as error:
            raise BusSilent(f"{name} did not answer within {self._answer:g} s") from error
        except Exception as error:  # as above: the connection went
            raise BusError(type(error).__name__) from error
        if answer.message_type is MessageType.ERROR:
            raise BusError(str(answer.error_name))
        return list(answer.body)

    async def hear(self, rule: str, handle: Callable[[Message], None]) -> None:
        """Be told of the signals that a match rule names, and of those that are sent to us alone."""

        def on_message(message: Message) -> bool:
            if message.message_type is MessageType.SIGNAL:
                handle(message)
            return False

        self._bus.add_message_handler(on_message)
        await self.call(_DBUS, "AddMatch", "s", rule)

    async def owner(self, name: str) -> str:
        """Say who has a name on the bus now; empty: nobody."""
        try:
            return str((await self.call(_DBUS, "GetNameOwner", "s", name))[0])
        except BusError:
            return ""

    async def gone(self) -> None:
        """Wait until the connection is no more."""
        try:
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except Exception as error:
            raise BusError(type(error).__name__) from error

    def close(self) -> None:
        self._bus.disconnect()
