"""What the kit must know of desktops: clients that hold a socket each and show what they are told."""

from __future__ import annotations

from typing import Any

import talkwire_notify_desktop
from talkwire import Focus
from talkwire.api.principals import create_keys
from talkwire.testing import RECIPIENTS, Counterpart, NotifierCase, Sight
from talkwire_notify_desktop.push import new_vapid_key

_SAID = {Focus.FOCUSED: "focused", Focus.VISIBLE: "visible", Focus.IDLE: "idle"}
_GONE = "SELECT count(*) FROM desktop_surface WHERE socket <> ''"


class Desk:
    """One recipient's client."""

    def __init__(self, ws: Any, recipient: str) -> None:
        self.ws, self.recipient = ws, recipient
        self.held: dict[str, Sight] = {}  # the same id replaces (PROTOCOL.md)

    async def said(self) -> None:
        """Take in all that is on its way: an answer to nothing is answered in its turn."""
        await self.ws.send_json({"type": "answered", "id": "nothing", "action": "none"})
        while not self._took(await self.ws.receive_json()):
            pass

    def _took(self, frame: dict[str, Any]) -> bool:
        match frame:
            case {"type": "show", "notification": told}:
                details = [f"{one['label']}: {one['value']}" for one in told["details"]]
                self.held[told["id"]] = Sight(
                    words="\n".join([told["title"], told["text"], *details]),
                    buttons=tuple(one["id"] for one in told["actions"]),
                    recipient=self.recipient,
                    visible=False,
                    raw=str(frame),
                )
            case {"type": "withdraw", "id": id_}:
                self.held.pop(id_, None)
        return frame["type"] == "lost" and frame["id"] == "nothing"


class Desks(Counterpart):
    """The kit's recipients at their desks."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._desks: list[Desk] = []

    async def __aexit__(self, *_: object) -> None:
        """Leave no socket open."""
        for desk in self._desks:
            await desk.ws.close()

    async def joins(self, client: Any, hub: Any) -> None:
        """Open a socket for each."""
        self._client, self._hub = client, hub
        for name in RECIPIENTS:
            self._keys[name] = await hub.daemon.store.write(create_keys, (name, "bot"))
        await self.recovers()

    async def recovers(self) -> None:
        """Be there, and able."""
        if self._desks:
            await self._say_all(type="able", able=True)
            return
        for name, key in self._keys.items():
            ws = await self._client.ws_connect("/p/notify_desktop/socket")
            hello = {"type": "hello", "protocol": 1, "surface": "kit", "kind": "native", "device": "kit", "able": True}
            await ws.send_json({**hello, "key": key})
            assert (await ws.receive_json())["type"] == "ready"
            self._desks.append(Desk(ws, name))

    async def sights(self) -> list[Sight]:
        """Give what stands on all desks."""
        for desk in self._desks:
            await desk.said()
        return [sight for desk in self._desks for sight in desk.held.values()]

    async def goes_down(self) -> None:
        """Close all sockets, and wait until the hub has stored it."""
        for desk in self._desks:
            await desk.ws.close()
        self._desks = []
        while await self._hub.rows(_GONE) != [(0,)]:
            await self._hub.run_until_idle()

    async def refuses(self) -> None:
        """Have no permission any more."""
        await self._say_all(type="able", able=False, why_not="permission")

    async def confirms(self, notification: str) -> None:
        """Show it."""
        await self._say(notification, type="shown", id=notification)

    async def presses(self, notification: str, action: str) -> None:
        """Press a button."""
        await self._say(notification, type="answered", id=notification, action=action)

    async def reads(self, notification: str) -> None:
        """Click its body."""
        await self._say(notification, type="seen", id=notification)

    async def looks(self, recipient: str, state: Focus) -> None:
        """Look at the machine, or away from it."""
        [desk] = [desk for desk in self._desks if desk.recipient == recipient]
        if state is Focus.GONE:
            await desk.ws.close()
            self._desks.remove(desk)
            return
        await desk.ws.send_json({"type": "focus", "state": _SAID[state]})
        await desk.said()

    async def _say(self, notification: str, **frame: Any) -> None:
        for desk in self._desks:
            await desk.said()
            if notification in desk.held:
                await desk.ws.send_json(frame)
                await desk.said()

    async def _say_all(self, **frame: Any) -> None:
        for desk in self._desks:
            await desk.ws.send_json(frame)
            await desk.said()


case = NotifierCase(
    notifier=talkwire_notify_desktop.DesktopNotifier,
    settings={"vapid_key": new_vapid_key(), "vapid_contact": "mailto:ops@example.org"},
    counterpart=Desks,
    plugin=talkwire_notify_desktop,
    when_down="no_surface",
)
