"""Visitors with widgets that are programs: they speak protocol 1 over real sockets."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from dataclasses import dataclass, field
from typing import Any

SITE = "https://shop.example"
SECRET = "kit-secret-0123456789abcdef0123456789"
SETTINGS = f"""
[accounts.site]
channel = "livechat"
origins = ["{SITE}"]
secret = "{SECRET}"
"""
_PATIENCE = 20  # seconds


@dataclass
class Site:
    """A hub with a website's chat, and its public side."""

    hub: Any
    client: Any
    account: str = "site"
    tokens: dict[str, str] = field(default_factory=dict)  # name → token, as browsers keep them

    @property
    def channel(self) -> Any:
        return self.hub.daemon.account(self.account).channel

    async def connect(self, *, origin: str | None = SITE) -> Any:
        """Open a socket and say nothing."""
        headers = {} if origin is None else {"Origin": origin}
        return await self.client.ws_connect(f"/c/{self.account}/socket", headers=headers)

    async def visit(self, name: str = "ann", *, after: int = 0, fresh: bool = True, **hello: Any) -> Visitor:
        """Come as the visitor of this name, with the token of the last time."""
        ws = await self.connect()
        if token := self.tokens.get(name):
            hello.setdefault("token", token)
        await ws.send_json({"t": "hello", "protocol": 1, "after": after, "fresh": fresh, **hello})
        visitor = Visitor(self, ws)
        visitor.welcome = await visitor.gets("welcome")
        self.tokens[name] = visitor.welcome["token"]
        visitor.before = [frame async for frame in visitor.until("ready") if frame["t"] == "message"]
        return visitor

    async def refused(self, **hello: Any) -> int:
        """Say hello in vain; gives the code with which the socket is closed."""
        ws = await self.connect()
        await ws.send_json({"t": "hello", "protocol": 1, **hello})
        return await closed(ws)

    async def talk(self, name: str = "ann") -> Any:
        """Give the conversation of the visitor of this name, in which perhaps nothing was said yet."""
        encoded = self.tokens[name].partition(".")[0]
        return await self.channel.talk(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())

    async def until(self, state: str) -> Any:
        """Wait until Ann's session is in a state."""
        async with asyncio.timeout(_PATIENCE):
            while (talk := await self.talk()).session != state:
                await asyncio.sleep(0.005)
        await self.hub.run_until_idle()
        return talk

    async def upload(self, visitor: Visitor, body: bytes, name: str = "a.png", **more: Any) -> Any:
        """Send a file as the widget does."""
        headers = {"Origin": SITE, "Authorization": f"Bearer {visitor.welcome['token']}", "X-File-Name": name}
        return await self.client.post(f"/c/{self.account}/files", data=io.BytesIO(body), headers={**headers, **more})


class Visitor:
    """One open widget."""

    def __init__(self, site: Site, ws: Any) -> None:
        self.site = site
        self.ws = ws
        self.welcome: dict[str, Any] = {}
        self.before: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> None:
        await self.ws.send_str(json.dumps(frame))

    async def says(self, text: str, id_: str, **more: Any) -> dict[str, Any]:
        """Write; gives the ack or nack."""
        await self.send(t="message", id=id_, text=text, **more)
        async with asyncio.timeout(_PATIENCE):
            while (frame := await self.gets("ack", "nack"))["id"] != id_:
                pass
        return frame

    async def gets(self, *kinds: str) -> dict[str, Any]:
        """Give the next frame of these kinds; others are passed over."""
        async with asyncio.timeout(_PATIENCE):
            while (frame := await self.ws.receive_json())["t"] not in kinds:
                pass
        return frame

    async def until(self, *kinds: str) -> Any:
        """Give the frames before the next one of these kinds."""
        async with asyncio.timeout(_PATIENCE):
            while (frame := await self.ws.receive_json())["t"] not in kinds:
                yield frame

    async def ours(self, *keys: str) -> dict[str, Any]:
        """Give the next message of the business, another than these."""
        async with asyncio.timeout(_PATIENCE):
            while not (frame := await self.gets("message"))["out"] or frame["key"] in keys:
                pass
        return frame

    async def pong(self) -> None:
        """Wait until everything said before has been taken."""
        await self.send(t="ping")
        await self.gets("pong")

    async def leaves(self) -> None:
        """Let the line drop, and wait until the hub has noticed."""
        here = self.site.channel.sockets
        count = len(here)
        await self.ws.close()
        async with asyncio.timeout(_PATIENCE):
            while len(here) >= count or await self._is_stored():
                await asyncio.sleep(0.005)
        await self.site.hub.run_until_idle()

    async def _is_stored(self) -> bool:
        rows = await self.site.hub.rows("SELECT count(*) FROM livechat_connection")
        return rows[0][0] > len(self.site.channel.sockets)


async def closed(ws: Any) -> int:
    """Read to the end; gives the code."""
    async with asyncio.timeout(_PATIENCE):
        async for _ in ws:
            pass
    return ws.close_code
