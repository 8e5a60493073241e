"""Pages and native clients that are programs: they speak PROTOCOL.md over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType

from talkwire import Notify, Option, Style
from talkwire.api.principals import create_keys

SETTINGS = """
[recipients.ann]
media = ["desktop"]
[recipients.bob]
media = ["desktop"]
"""
BUTTONS = (Option(id="accept", title="Accept"), Option(id="decline", title="Decline"))
_PATIENCE = 15  # seconds


class Office:
    """A hub whose recipients sit at desktops, and its public side."""

    def __init__(self, hub: Any, client: Any) -> None:
        self.hub = hub
        self.client = client
        self.keys: dict[str, str] = {}
        self.cookies: dict[str, str] = {}
        self.count = 0

    @property
    def notifier(self) -> Any:
        return self.hub.daemon._media["desktop"].notifier

    async def key(self, name: str, scopes: str = "bot") -> str:
        """Give a key of this name."""
        if (name, scopes) not in self.keys:
            self.keys[name, scopes] = await self.hub.daemon.store.write(create_keys, (name, scopes))
        return self.keys[name, scopes]

    async def session(self, name: str) -> dict[str, str]:
        """Sign a page in; gives the headers that its browser sends from now on."""
        if name not in self.cookies:
            async with self.client.post("/api/v1/session", json={"key": await self.key(name)}) as answer:
                assert answer.status == 200, await answer.text()
                self.cookies[name] = answer.cookies["talkwire"].value
            self.client.session.cookie_jar.clear()
        return {"Cookie": f"talkwire={self.cookies[name]}", "Origin": str(self.client.make_url("")).rstrip("/")}

    async def connect(self, headers: dict[str, str] | None = None) -> Surface:
        """Open a socket and say nothing."""
        return Surface(self, await self.client.ws_connect("/p/notify_desktop/socket", headers=headers or {}))

    async def native(self, name: str = "ann", *, surface: str = "laptop-1", **hello: Any) -> Surface:
        """Come as a native client."""
        one = await self.connect()
        key = hello.pop("key", None) or await self.key(name)
        await one.hello(kind="native", surface=surface, device="laptop", key=key, **hello)
        return one

    async def page(self, name: str = "ann", *, surface: str = "tab-1", **hello: Any) -> Surface:
        """Come as a page."""
        one = await self.connect(await self.session(name))
        await one.hello(kind="page", surface=surface, device="Chromium", **hello)
        return one

    async def notify(self, recipient: str = "ann", **more: Any) -> str:
        """Ask a recipient something, and let the hub do what it does; gives the notification's id."""
        self.count += 1
        if "style" in more:
            more["style"] = Style(more["style"])
        asked = {"kind": "question", "title": "Refund?", "actions": BUTTONS, "key": f"k{self.count}", **more}
        await self.hub.daemon.hub.notify(Notify(recipient=recipient, **asked))
        await self.hub.run_until_idle()
        [(id_,)] = await self.hub.rows("SELECT id FROM notification WHERE key = :key", key=asked["key"])
        return id_

    async def decision(self, id_: str) -> tuple[str, str]:
        """Give what became of a notification on desktops."""
        sql = "SELECT decision, reason FROM notification_medium WHERE notification_id = :id AND medium = 'desktop'"
        [row] = await self.hub.rows(sql, id=id_)
        return row

    async def until(self, sql: str, expected: list[tuple[Any, ...]], **params: Any) -> None:
        """Wait until rows are these."""
        async with asyncio.timeout(_PATIENCE):
            while await self.hub.rows(sql, **params) != expected:
                await asyncio.sleep(0.005)


class Surface:
    """One open socket."""

    def __init__(self, office: Office, ws: Any) -> None:
        self.office = office
        self.ws = ws
        self.withdrawn: dict[str, str] = {}  # notification → by whom, of those that `answers` has passed over

    async def hello(self, *, ready: bool = True, **said: Any) -> None:
        """Say who is there; waits until that is known, and nothing is on its way any more."""
        await self.say(**{"type": "hello", "protocol": 1, "able": True, "why_not": "", **said})
        if ready:
            self.ready = await self.gets("ready")

    async def say(self, **frame: Any) -> None:
        await self.ws.send_json(frame)

    async def gets(self, *kinds: str) -> dict[str, Any]:
        """Give the next frame, which is of these kinds."""
        async with asyncio.timeout(_PATIENCE):
            frame = await self.ws.receive_json()
        assert frame["type"] in kinds, frame
        return frame

    async def closing(self) -> int:
        """Give the code of the frame with which the server closes; it is the next one."""
        async with asyncio.timeout(_PATIENCE):
            frame = await self.ws.receive()
        assert frame.type is WSMsgType.CLOSE, frame.type
        return frame.data

    async def shows(self) -> dict[str, Any]:
        """Give the notification that it is told to show next."""
        return (await self.gets("show"))["notification"]

    async def answers(self, id_: str, action: str) -> dict[str, Any]:
        """Press a button; gives `won` or `lost`, whatever is withdrawn before."""
        await self.say(type="answered", id=id_, action=action)
        while (frame := await self.gets("won", "lost", "withdraw"))["type"] == "withdraw":
            self.withdrawn[frame["id"]] = frame["by"]
        return frame

    async def until_withdrawn(self, id_: str, by: str) -> None:
        """Wait until a notification is withdrawn, as it was answered there."""
        while id_ not in self.withdrawn:
            frame = await self.gets("withdraw")
            self.withdrawn[frame["id"]] = frame["by"]
        assert self.withdrawn[id_] == by

    async def echo(self) -> None:
        """Wait until all that was said before has been taken: an answer to nothing is answered in its turn."""
        await self.say(type="answered", id="nothing", action="none")
        assert (await self.gets("lost"))["code"] == "not_found"

    async def leaves(self) -> None:
        """Go, and wait until the hub has stored it."""
        here = self.office.notifier.sockets
        count = len(list(here))
        await self.ws.close()
        stored = "SELECT count(*) FROM desktop_surface WHERE socket <> ''"
        async with asyncio.timeout(_PATIENCE):
            while len(list(here)) >= count or (await self.office.hub.rows(stored))[0][0] > len(list(here)):
                await asyncio.sleep(0.005)
