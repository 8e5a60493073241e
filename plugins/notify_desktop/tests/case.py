"""What the kit must know of desktops: native clients and a page that speak PROTOCOL.md, one for each recipient."""

from __future__ import annotations

import asyncio
from typing import Any

import talkwire_notify_desktop
from talkwire import Focus
from talkwire.api.principals import create_keys
from talkwire.testing import RECIPIENTS, Counterpart, NotifierCase, Sight
from talkwire_notify_desktop import DesktopNotifier


class Desktops(Counterpart):
    """A native client for each recipient, whose desktop shows a notification when it is told to."""

    def __init__(self) -> None:
        self.sockets: dict[str, Any] = {}
        self.showing: dict[str, tuple[str, dict[str, Any]]] = {}  # id → whose, and what stands there
        self.seen: set[str] = set()  # ids that their display has taken

    async def joins(self, client: Any, hub: Any) -> None:
        self.client, self.hub = client, hub
        self.keys = {name: await hub.daemon.store.write(create_keys, (name, "bot")) for name in RECIPIENTS}
        await self.recovers()

    async def recovers(self) -> None:
        for name, key in self.keys.items():
            if name not in self.sockets:
                ws = self.sockets[name] = await self.client.ws_connect("/p/notify_desktop/socket")
                hello = {"type": "hello", "protocol": 1, "surface": "kit", "kind": "native", "device": "kit"}
                await ws.send_json({**hello, "able": True, "why_not": "", "key": key})
                while (await self._hears(name))["type"] != "ready":
                    pass
        await self._are_able(True, "")

    async def goes_down(self) -> None:
        for name in list(self.sockets):
            await self.sockets.pop(name).close()
        while (await self.hub.rows("SELECT count(*) FROM desktop_surface WHERE socket <> ''"))[0][0]:
            await asyncio.sleep(0.005)

    async def refuses(self) -> None:
        await self._are_able(False, "no_session_bus")

    async def _are_able(self, able: bool, why_not: str) -> None:
        for ws in self.sockets.values():
            await ws.send_json({"type": "able", "able": able, "why_not": why_not})
        await self._all_heard()

    async def sights(self) -> list[Sight]:
        await self._all_heard()
        return [self._sight(id_, whose, told) for id_, (whose, told) in self.showing.items()]

    def _sight(self, id_: str, whose: str, told: dict[str, Any]) -> Sight:
        details = (f"{one['label']}: {one['value']}" for one in told["details"])
        return Sight(
            words="\n".join((told["title"], told["text"], *details)),
            buttons=tuple(one["id"] for one in told["actions"]),
            recipient=whose,
            visible=id_ in self.seen,
            raw=repr(told),
        )

    async def confirms(self, notification: str) -> None:
        await self._all_heard()
        self.seen.add(notification)
        await self._says(notification, type="shown", id=notification)

    async def presses(self, notification: str, action: str) -> None:
        await self._all_heard()
        await self._says(notification, type="answered", id=notification, action=action)

    async def reads(self, notification: str) -> None:
        await self._all_heard()
        await self._says(notification, type="seen", id=notification)

    async def looks(self, recipient: str, state: Focus) -> None:
        await self.sockets[recipient].send_json({"type": "focus", "state": state.value})

    async def _says(self, notification: str, **frame: str) -> None:
        await self.sockets[self.showing[notification][0]].send_json(frame)

    async def _all_heard(self) -> None:
        """Wait until all that was said before has come: an answer to nothing is answered in its turn."""
        for name, ws in self.sockets.items():
            await ws.send_json({"type": "answered", "id": "nothing", "action": "none"})
            while (frame := await self._hears(name))["type"] != "lost" or frame["id"] != "nothing":
                pass

    async def _hears(self, name: str) -> dict[str, Any]:
        frame: dict[str, Any] = await self.sockets[name].receive_json()
        if frame["type"] == "show":
            told = frame["notification"]
            self.showing[told["id"]] = (name, told)
        elif frame["type"] in ("withdraw", "won"):
            self.showing.pop(frame["id"], None)
        return frame


case = NotifierCase(
    notifier=DesktopNotifier,
    settings={},
    counterpart=Desktops,
    plugin=talkwire_notify_desktop,
    when_down="no_surface",
)
