"""The open sockets of this daemon: whose they are, what they can show, and what they were told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from talkwire import Notification

from .protocol import show

SILENT, POLICY, RESTART, TOO_SLOW, REPLACED = 1001, 1008, 1012, 1013, 4001
_BEHIND = 500  # frames that a slow reader may be behind before it is dropped; it gets by its return what it lacks
_TOLD = 2000  # notifications that a surface is known to have been told


class Surface:
    """One connection of a page or a native client."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        *,
        recipient: str,
        id_: str,
        socket: str,
        kind: str,
        name: str,
    ) -> None:
        self.recipient = recipient
        self.id = id_
        self.socket = socket
        self.kind = kind
        self.name = name
        self.able = False
        self.why_not = ""
        self.told: dict[str, None] = {}
        self._ws = ws
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(_BEHIND)
        self._transport = transport
        self.code = 0  # with which we close it; 0: it stays open

    @property
    def place(self) -> tuple[str, str]:
        """Say which surface it is, whatever its connection."""
        return self.recipient, self.id

    @property
    def word(self) -> str:
        """Name it for whoever is second."""
        return "browser" if self.kind == "page" else f"native:{self.name}" if self.name else "native"

    def put(self, frame: Mapping[str, Any]) -> None:
        """Send a frame, after those that were put before."""
        if self.code:
            return
        try:
            self._frames.put_nowait(json.dumps(frame, ensure_ascii=False, separators=(",", ":")))
        except asyncio.QueueFull:
            self.close(TOO_SLOW)

    def show(self, notification: Notification) -> None:
        """Tell it of a notification, once."""
        if notification.id not in self.told:
            self.told[notification.id] = None
            if len(self.told) > _TOLD:
                del self.told[next(iter(self.told))]
            self.put({"type": "show", "notification": show(notification)})

    def withdraw(self, id_: str, why: str, by: str = "") -> None:
        """Tell it to take a notification away; also where an earlier connection of it was told."""
        self.told.pop(id_, None)
        self.put({"type": "withdraw", "id": id_, "why": why, "by": by})

    def close(self, code: int) -> None:
        """Close after what was put before, waiting for nothing."""
        if self.code:
            return
        self.code = code
        try:
            self._frames.put_nowait(None)
        except asyncio.QueueFull:
            self.abort()  # the peer does not read

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    async def write(self) -> None:
        """Write what was put, until it is to be closed; a peer that answers no ping is let go by aiohttp's heartbeat."""
        try:
            while (frame := await self._frames.get()) is not None:
                await self._ws.send_str(frame)
        except ConnectionError:
            pass  # the peer is gone


class Sockets:
    """Who is here."""

    def __init__(self) -> None:
        self._here: dict[str, dict[str, Surface]] = {}  # recipient → surface → its connection
        self._none = asyncio.Event()
        self._none.set()
        self._open = 0

    def __iter__(self) -> Iterator[Surface]:
        return iter([surface for surfaces in self._here.values() for surface in surfaces.values()])

    @property
    def recipients(self) -> list[str]:
        """Name whose surfaces are here."""
        return list(self._here)

    def of(self, recipient: str) -> list[Surface]:
        """Give the surfaces of a recipient."""
        return list(self._here.get(recipient, {}).values())

    def add(self, surface: Surface) -> None:
        """Let a surface be found; the connection that it had before is closed."""
        surfaces = self._here.setdefault(surface.recipient, {})
        if (before := surfaces.get(surface.id)) is not None:
            before.close(REPLACED)
        surfaces[surface.id] = surface

    def drop(self, surface: Surface) -> None:
        """Forget a connection."""
        surfaces = self._here.get(surface.recipient, {})
        if surfaces.get(surface.id) is surface:
            del surfaces[surface.id]
            if not surfaces:
                del self._here[surface.recipient]

    def show(self, notification: Notification) -> int:
        """Tell every surface of its recipient that can show it; says how many those are."""
        able = [surface for surface in self.of(notification.recipient) if surface.able]
        for surface in able:
            surface.show(notification)
        return len(able)

    # Whoever stops waits until the end of each socket is stored.

    def arrive(self) -> None:
        """Count a socket."""
        self._open += 1
        self._none.clear()

    def depart(self) -> None:
        """Count it no more."""
        self._open -= 1
        if not self._open:
            self._none.set()

    async def close(self, within: float) -> None:
        """Tell all that the server starts anew, and wait until they are gone."""
        for surface in self:
            surface.close(RESTART)
        try:
            async with asyncio.timeout(within):
                await self._none.wait()
        except TimeoutError:
            for surface in self:
                surface.abort()
