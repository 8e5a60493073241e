"""One socket's life: hello, what is still to be shown, then frames until it is gone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from aiohttp import WSMessage, WSMsgType, web

from talkwire import Conflict, Focus, NotFound, Notification, Principal, Scope, StoreDown, TalkwireError, Unreadable

from . import protocol, rows
from .sockets import POLICY, RESTART, SILENT, Surface

if TYPE_CHECKING:
    from .notifier import DesktopNotifier

_HEARTBEAT = 25.0  # seconds between two pings of ours
_HELLO_WITHIN = 10  # seconds
_CLOSE_WITHIN = 2.0  # seconds that a peer has to take its closing
_SILENCE = 180  # seconds without a frame; a surface says every 30 how it is looked at, a hidden page every 60
_SAME = timedelta(seconds=20)  # in which the same look is not written again; it counts for 90 seconds
_MOST = 50  # connections of one recipient to one daemon
_FOCUS = {"focused": Focus.FOCUSED, "visible": Focus.VISIBLE, "idle": Focus.IDLE, "hidden": Focus.IDLE}
_NO_RECIPIENT = (
    'you are signed in as "{0}", and notifications go to recipients: write a table [recipients.{0}] into talkwire.toml,'
    " or sign in with a key that has the name of a recipient"
)


class Life:
    """Serves one socket."""

    def __init__(self, notifier: DesktopNotifier, request: web.Request) -> None:
        self._notifier = notifier
        self._request = request
        self._ws = web.WebSocketResponse(
            compress=False, max_msg_size=protocol.FRAME, heartbeat=_HEARTBEAT, timeout=_CLOSE_WITHIN
        )
        self._key = ""  # of a client; empty: the session of a page says who it is
        self._focus = ("", notifier.clock.now())  # as it was written last, and when
        self._principal: Principal
        self._surface: Surface

    async def run(self) -> web.WebSocketResponse:
        """Serve until the socket ends."""
        await self._ws.prepare(self._request)
        sockets = self._notifier.sockets
        sockets.arrive()
        try:
            hello = await self._hello()
            if hello is not None:
                await self._live(hello)
        finally:
            sockets.depart()
        return self._ws

    # --- the beginning -------------------------------------------------------------------------------

    async def _hello(self) -> protocol.Hello | None:
        """Learn who is there; None: nobody may be, and the socket is closed."""
        try:
            async with asyncio.timeout(_HELLO_WITHIN):
                first = await self._ws.receive()
            hello = protocol.read(first.data) if first.type is WSMsgType.TEXT else None
        except (TimeoutError, Unreadable) as error:
            await self._bye("bad_frame", str(error) or "the first frame is hello, within ten seconds")
            return None
        if not isinstance(hello, protocol.Hello):
            await self._bye("bad_frame", "the first frame is hello")
            return None
        if hello.protocol != protocol.PROTOCOL:
            await self._bye("protocol", f"this server speaks protocol {protocol.PROTOCOL}: update the client")
            return None
        self._key = hello.key
        try:
            self._principal = await self._who()
            self._notifier.services.recipient(self._principal.recipient)
        except NotFound:
            await self._bye("forbidden", _NO_RECIPIENT.format(self._principal.recipient))
        except StoreDown:
            await self._ws.close(code=RESTART)
        except TalkwireError as error:
            await self._bye("unauthenticated", str(error))
        else:
            if len(self._notifier.sockets.of(self._principal.recipient)) < _MOST:
                return hello
            await self._bye("forbidden", f"there are {_MOST} connections of yours already")
        return None

    async def _who(self) -> Principal:
        hub = self._notifier.hub
        found = await (hub.holder(self._key, self._request.remote or "") if self._key else hub.principal(self._request))
        assert isinstance(found, Principal)
        return found

    async def _bye(self, code: str, text: str) -> None:
        try:
            await self._ws.send_json({"type": "bye", "code": code, "text": text})
            await self._ws.close(code=POLICY)
        except ConnectionError:
            pass  # it did not wait for an answer

    # --- the middle ----------------------------------------------------------------------------------

    async def _live(self, hello: protocol.Hello) -> None:
        notifier, recipient = self._notifier, self._principal.recipient
        self._surface = surface = Surface(
            self._ws,
            self._request.transport,
            recipient=recipient,
            id_=hello.surface,
            socket=uuid4().hex,
            kind=hello.kind,
            name=hello.device,
        )
        surface.able, surface.why_not = hello.able, "" if hello.able else hello.why_not
        row = rows.SurfaceRow(
            recipient=recipient,
            id=surface.id,
            socket=surface.socket,
            daemon=notifier.hub.daemon,
            kind=surface.kind,
            name=surface.name,
            able=surface.able,
            why_not=surface.why_not,
            seen_at=notifier.clock.now(),
        )
        try:
            await notifier.hub.write(rows.connect, row)
            notifier.sockets.add(surface)
            surface.put({"type": "ready", "recipient": recipient, "push_key": notifier.push.key})
            await notifier.welcome(surface, hello.showing)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work) for work in (self._read(), surface.write())]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
            # Nobody reads any more: beside a reader aiohttp (3.14) does not wait until the peer has taken the code.
            if surface.code:
                await self._ws.close(code=surface.code)
        except StoreDown:
            await self._ws.close(code=RESTART)
        finally:
            notifier.sockets.drop(surface)
            # The stop of a daemon cancels what waits here; whoever is cut off is found by the others.
            await asyncio.shield(self._gone())

    async def _read(self) -> None:
        while await self._take(await self._next()):
            pass

    async def _next(self) -> WSMessage | None:
        try:
            async with asyncio.timeout(_SILENCE):
                return await self._ws.receive()
        except TimeoutError:
            return None

    async def _gone(self) -> None:
        surface = self._surface
        try:
            await self._notifier.gone(surface.recipient, surface.id, surface.socket)
            await self._notifier.fall_back(surface.recipient, surface.told)
        except StoreDown:
            self._notifier.log.warning("a surface's end is not stored", surface=surface.id)

    async def _take(self, message: WSMessage | None) -> bool:
        """Do what a frame says; false: it was the last one."""
        if message is None:
            self._surface.close(SILENT)
            return False
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return False
        surface = self._surface
        try:
            if message.type is not WSMsgType.TEXT:
                raise Unreadable("frame: not a text")
            await self._do(protocol.read(message.data))
        except Unreadable as error:
            surface.put({"type": "bye", "code": "bad_frame", "text": str(error)})
            surface.close(POLICY)
        except StoreDown:
            surface.close(RESTART)  # it comes again, and is told what it lacks
        return True  # what closes it ends the reading, once all was written

    async def _do(self, frame: protocol.Frame) -> None:
        notifier, surface = self._notifier, self._surface
        match frame:
            case protocol.Focused():
                if await self._may_stay() and self._is_news(frame.state):
                    await notifier.focus(surface.recipient, notifier.place(surface), _FOCUS[frame.state])
            case protocol.Able():
                await notifier.is_able(surface, frame.able, "" if frame.able else frame.why_not)
            case protocol.Answered():
                await self._answered(frame)
            case protocol.Showed() | protocol.Dismissed():
                if await self._is_mine(frame.id):
                    await notifier.shows(frame.id)
            case protocol.Seen():
                if await self._is_mine(frame.id):
                    await notifier.shows(frame.id)
                    await notifier.seen(frame.id)
            case protocol.Refused():
                if await self._is_mine(frame.id):
                    notifier.log.info("not shown", notification=frame.id, why=frame.why)
                    await notifier.fall_back(surface.recipient, (frame.id,), but=surface)

    async def _may_stay(self) -> bool:
        """Look whether the key or session still holds; a surface says every 30 seconds that it is there."""
        try:
            self._principal = await self._who()
        except StoreDown:
            return True
        except TalkwireError as error:
            self._surface.put({"type": "bye", "code": "unauthenticated", "text": str(error)})
            self._surface.close(POLICY)
            return False
        return True

    def _is_news(self, state: str) -> bool:
        """Say whether how somebody looks is worth a row: it has changed, or was written a while ago."""
        now = self._notifier.clock.now()
        if state == self._focus[0] and now - self._focus[1] < _SAME:
            return False
        self._focus = (state, now)
        return True

    async def _is_mine(self, id_: str) -> bool:
        """Say whether a notification is the recipient's own."""
        return id_ in self._surface.told or await self._mine(id_) is not None

    async def _mine(self, id_: str) -> Notification | None:
        found = await self._notifier.hub.notification(id_)
        return found if found is not None and found.recipient == self._surface.recipient else None

    async def _answered(self, frame: protocol.Answered) -> None:
        notifier, surface = self._notifier, self._surface
        code, text = "", ""
        if self._principal.scope < Scope.BOT:
            code, text = "forbidden", "this needs a key of the scope bot"
        elif await self._mine(frame.id) is None:
            code, text = "not_found", "there is no such notification"
        else:
            try:
                await notifier.answered(frame.id, frame.action, surface.word)
            except Conflict as error:
                code, text = error.code, str(error)
            except StoreDown:
                code, text = "failed", "the server's database does not answer: try again"
            except Exception as error:  # noqa: BLE001  the asker's hook raised: the answer is not taken
                # Its text may quote what a customer wrote.
                notifier.log.warning("answer not taken", notification=frame.id, kind=type(error).__name__)
                code, text = "failed", "your answer could not be taken: try again"
        if not code:
            surface.put({"type": "won", "id": frame.id, "action": frame.action})
            return
        found = await self._mine(frame.id)
        by = found.answered_by if found is not None else ""
        surface.put({"type": "lost", "id": frame.id, "code": code, "text": text, "by": by})
