"""A good channel with a connection of its own: visitors stand in a lobby while their WebSocket is open.

Frames are JSON objects. A page says `{"token"}` first, then `{"say", "id"}`, `{"seen": key, "state"}`, `{"bye"}`; it
hears `{"welcome"}`, `{"ack": id}` and `{"key", "text"}`, and shows a key once. What the lobby must remember over a
restart is one kept value: who is here (null), and who left when.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from aiohttp import WSMsgType, web
from pydantic import SecretStr

from talkwire import (
    Address,
    Channel,
    Features,
    Inbound,
    Message,
    Outgoing,
    Receipt,
    Report,
    Route,
    SessionChange,
    SessionState,
    Settings,
    State,
    Unreadable,
    Wait,
)
from talkwire.testing import Case, Sessions

GRACE = timedelta(seconds=90)
WITHIN = 5  # seconds in which a page says who it is, and takes a frame
STATES = {"delivered": State.DELIVERED, "read": State.READ}
SECRET = "kit-secret-0123456789"


class LobbySettings(Settings):
    secret: SecretStr


def token(secret: str, visitor: str) -> str:
    return f"{visitor}.{hmac.new(secret.encode(), visitor.encode(), hashlib.sha256).hexdigest()}"


class LobbyChannel(Channel):
    type = "lobby"
    Settings = LobbySettings
    grace = GRACE
    features = Features(webhook=False, sessions=True, idempotent=True, reports=State.READ)

    def prepare(self) -> None:
        self.lines: dict[str, list[web.WebSocketResponse]] = {}  # of who is here
        self.keys: dict[str, set[str]] = {}  # of what a visitor was shown: nothing else is reported on
        self.left: dict[str, str | None] = {}  # visitor → when they left; None: here
        self.moved = asyncio.Event()
        self.tidying: asyncio.Task[None] | None = None

    # --- life ---

    async def open(self) -> None:
        if self.tidying is not None:
            return
        self.left = json.loads(await self.kept("left") or "{}")
        for visitor in [one for one, at in self.left.items() if at is None]:
            await self.is_gone(visitor)  # here when the last daemon was killed
        self.tidying = asyncio.create_task(self.tidy())

    async def close(self) -> None:
        if self.tidying is not None:
            self.tidying.cancel()
        for line in [line for lines in self.lines.values() for line in lines]:
            await line.close(code=1012)

    async def tidy(self) -> None:
        """End the sessions of those who did not come back within the grace."""
        while True:
            self.moved.clear()
            for visitor, at in self.away().items():
                if at + self.grace <= self.clock.now() and visitor not in self.lines:
                    await self.session(visitor, SessionState.ENDED, at, "timeout")  # at `at`: any return is later
                    await self.note(visitor, over=True)
            first = min(self.away().values(), default=None)
            await self.clock.wait(self.moved, first + self.grace if first is not None else None)

    def away(self) -> dict[str, datetime]:
        return {visitor: datetime.fromisoformat(at) for visitor, at in self.left.items() if at is not None}

    # --- in ---

    def routes(self) -> Sequence[Route]:
        return [Route("GET", "/socket", self.socket)]

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        line = web.WebSocketResponse(compress=False, heartbeat=25, max_msg_size=65536)
        await line.prepare(request)
        async with asyncio.timeout(WITHIN):
            visitor = self.visitor_of(read((await line.receive()).data))
        if visitor is None:
            await line.close(code=4001)
            return line
        try:
            await self.comes(visitor, line)
            async for frame in line:
                if frame.type is WSMsgType.TEXT:
                    await self.take(visitor, line, read(frame.data))
        finally:
            await asyncio.shield(self.goes(visitor, line))
        return line

    def visitor_of(self, said: Mapping[str, Any]) -> str | None:
        given = str(said.get("token", ""))
        visitor = given.partition(".")[0]
        genuine = token(self.settings.secret.get_secret_value(), visitor)
        return visitor if visitor and hmac.compare_digest(genuine.encode(), given.encode()) else None

    async def comes(self, visitor: str, line: web.WebSocketResponse) -> None:
        await self.note(visitor)
        await self.session(visitor, SessionState.CONNECTED, self.clock.now())
        await self.say(line, {"welcome": visitor})
        await self.resume(visitor, line)
        self.lines.setdefault(visitor, []).append(line)
        self.wake(visitor)

    async def resume(self, visitor: str, line: web.WebSocketResponse) -> None:
        """Show again what was sent and not seen; what is still queued comes through `send`, in its order."""
        for message in await self.talk(visitor):
            for part in message.deliveries:
                if part.state is State.SENT:
                    await self.show(visitor, line, part.id, part.text)

    async def talk(self, visitor: str) -> Sequence[Message]:
        talks = (await self.hub.conversations(account=self.account, address=self.address(visitor))).items
        return await self.hub.messages(talks[0].id) if talks else ()

    async def take(self, visitor: str, line: web.WebSocketResponse, said: Mapping[str, Any]) -> None:
        if "say" in said:
            if visitor not in self.left:  # the talk had ended, and goes on
                await self.note(visitor)
                await self.session(visitor, SessionState.CONNECTED, self.clock.now())
            with suppress(Unreadable):  # then there is no ack
                await self.admit([self.inbound(visitor, said)])
                await self.say(line, {"ack": said.get("id")})
        elif said.get("seen") in self.keys.get(visitor, ()) and said.get("state") in STATES:
            await self.admit([Report(key=said["seen"], state=STATES[said["state"]], at=self.clock.now())])
        elif "bye" in said:
            await self.note(visitor, over=True)
            await self.session(visitor, SessionState.ENDED, self.clock.now(), "customer")

    def inbound(self, visitor: str, said: Mapping[str, Any]) -> Inbound:
        return Inbound(
            external_id=f"{visitor}:{said.get('id')}",
            address=self.address(visitor),
            at=self.clock.now(),
            text=str(said["say"]),
        )

    async def goes(self, visitor: str, line: web.WebSocketResponse) -> None:
        if line in self.lines.get(visitor, ()):
            self.lines[visitor].remove(line)
        if not self.lines.get(visitor):
            self.lines.pop(visitor, None)
            if visitor in self.left:  # a session that ended is not disconnected any more
                await self.is_gone(visitor)

    async def is_gone(self, visitor: str) -> None:
        """First the session, then the note: a kill in between leaves the note, which the next start finds."""
        at = self.clock.now()
        await self.session(visitor, SessionState.DISCONNECTED, at)
        if visitor not in self.lines:  # nobody came meanwhile
            await self.note(visitor, at)

    def address(self, visitor: str) -> Address:
        return Address(kind="visitor", value=visitor)

    async def session(self, visitor: str, state: SessionState, at: datetime, reason: str = "") -> None:
        await self.admit([SessionChange(address=self.address(visitor), state=state, at=at, reason=reason)])

    async def note(self, visitor: str, left: datetime | None = None, *, over: bool = False) -> None:
        self.left[visitor] = left.isoformat() if left is not None else None
        if over:
            del self.left[visitor]
        await self.keep("left", json.dumps(self.left))
        self.moved.set()

    # --- out ---

    async def send(self, out: Outgoing) -> Receipt:
        shown = [await self.show(out.address.value, line, out.key, out.part.text) for line in self.here(out)]
        if not any(shown):
            raise Wait("recipient_offline")
        return Receipt()

    def here(self, out: Outgoing) -> list[web.WebSocketResponse]:
        return list(self.lines.get(out.address.value, ()))

    async def show(self, visitor: str, line: web.WebSocketResponse, key: str, text: str) -> bool:
        self.keys.setdefault(visitor, set()).add(key)
        return await self.say(line, {"key": key, "text": text})

    async def say(self, line: web.WebSocketResponse, frame: Mapping[str, Any]) -> bool:
        try:
            async with asyncio.timeout(WITHIN):
                await line.send_json(frame)
        except (OSError, TimeoutError):  # it is gone, or so slow that it had better come again
            return False
        return True


def read(text: Any) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


# --- what the kit has to know -------------------------------------------------------------------------


class Page:
    """A visitor's page, which shows a key once."""

    def __init__(self, client: Any, account: str, visitor: str) -> None:
        self.client, self.account, self.visitor = client, account, visitor
        self.got: list[str] = []
        self.keys: set[str] = set()

    async def returns(self) -> None:
        self.line = await self.client.ws_connect(f"/c/{self.account}/socket")
        await self.line.send_json({"token": token(SECRET, self.visitor)})
        await self.until("welcome")

    async def hears(self) -> dict[str, Any]:
        frame = await self.line.receive_json()
        if "key" in frame and frame["key"] not in self.keys:
            self.keys.add(frame["key"])
            self.got.append(frame["text"])
        return frame

    async def until(self, kind: str) -> None:
        while kind not in await self.hears():
            pass

    async def says(self, text: str, id_: str) -> None:
        await self.line.send_json({"say": text, "id": id_})
        await self.until("ack")

    async def sees(self, part: Any, state: State) -> None:
        await self.line.send_json({"seen": part.id, "state": state.word})

    async def ends(self) -> None:
        await self.line.send_json({"bye": True})

    async def leaves(self) -> None:
        await self.line.close()


async def visit(client: Any, account: str, visitor: str) -> Page:
    page = Page(client, account, visitor)
    await page.returns()
    return page


LOBBY = Case(channel=LobbyChannel, settings={"secret": SECRET}, sessions=Sessions(visit=visit, grace=GRACE))
