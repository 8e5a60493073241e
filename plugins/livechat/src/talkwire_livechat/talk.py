"""One socket's life: hello, what the widget lacks, then frames until it is gone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from aiohttp import WSMessage, WSMsgType, web

from talkwire import (
    Alias,
    Block,
    Choice,
    ContactCard,
    Conversation,
    Direction,
    Inbound,
    Item,
    Media,
    Message,
    NotFound,
    Rejected,
    Report,
    SessionChange,
    SessionState,
    State,
    StoreDown,
    Typing,
    Unreadable,
    phone,
)

from . import protocol, rows
from .frames import attachments_of, frame_of, moment
from .protocol import FILES, FRAME, PROTOCOL, TEXT
from .rows import Connection, Known
from .sockets import Presence, Socket
from .visitors import IdentityRequired, Visitor

if TYPE_CHECKING:
    from .channel import LiveChat

_HEARTBEAT = 25.0  # seconds between two pings of ours
_HELLO_WITHIN = 10  # seconds
_RESUMED = 200  # messages that a widget gets at its beginning, the last ones
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,190}\.[^@\s]{2,}")
_ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED})
_STATES = {"delivered": State.DELIVERED, "read": State.READ}
_OVER_FOR_GOOD = frozenset({"customer", "agent", "idle", "moved"})  # a connection that comes back changes nothing there


class Talk:
    """Serves one socket.

    What a socket's coroutines hold, each of thousands of visitors holds: they are few, and have let go of the frames
    that they read when they wait for the next one.
    """

    __slots__ = ("_channel", "_connection", "_here", "_remote", "_request", "_socket", "_ws")

    def __init__(self, channel: LiveChat, request: web.Request) -> None:
        self._channel = channel
        self._request = request
        self._remote = request.remote or ""
        self._ws = web.WebSocketResponse(compress=False, max_msg_size=FRAME, heartbeat=_HEARTBEAT)
        self._connection: Connection | None = None  # None: nothing is stored yet
        self._socket: Socket
        self._here: Presence

    async def run(self) -> web.WebSocketResponse:
        """Talk until the socket ends."""
        await self._ws.prepare(self._request)
        sockets = self._channel.sockets
        sockets.arrive(self._remote)
        try:
            if await self._begin():
                while await self._take(await self._ws.receive()):
                    pass
        finally:
            sockets.depart(self._remote)
            if self._connection is not None:
                at = self._channel.clock.now()  # before anything is waited for
                sockets.drop(self._socket)
                # The stop of a daemon cancels what waits here; whoever is cut off is found by the next start.
                await asyncio.shield(self._gone(self._connection, at))
        return self._ws

    async def _begin(self) -> bool:
        """Learn who is there, and say what they lack; false: nobody may be, and the socket is closed."""
        if self._channel.sockets.from_address(self._remote) > self._channel.settings.limits.sockets_per_address:
            await self._ws.close(code=protocol.TOO_MANY)
            return False
        try:
            async with asyncio.timeout(_HELLO_WITHIN):
                first = await self._ws.receive()
            hello = protocol.read(first.data) if first.type is WSMsgType.TEXT else None
        except (TimeoutError, Unreadable):
            hello = None
        if not isinstance(hello, protocol.Hello):
            await self._ws.close(code=protocol.BAD_FRAME)
            return False
        visitor, code = self._visitor(hello)
        if visitor is None:
            await self._ws.close(code=code)
            return False
        channel = self._channel
        connection = Connection(uuid4().hex, channel.hub.daemon, channel.account, visitor.id)
        self._socket = Socket(connection.id, self._ws, self._request.transport, visitor)
        known = await channel.hub.write(rows.connect, (connection, channel.clock.now()))
        self._connection = connection
        await self._welcome(hello, known)
        return True

    async def _gone(self, connection: Connection, at: Any) -> None:
        await self._socket.done()
        try:
            await self._channel.gone(connection, at)
        except StoreDown:
            self._channel.log.warning("a socket's end is not stored", connection=connection.id)

    def _visitor(self, hello: protocol.Hello) -> tuple[Visitor | None, int]:
        """Say who is there; None and the code to close with where nobody may be."""
        channel, now = self._channel, self._channel.clock.now()
        if hello.protocol != PROTOCOL:
            return None, protocol.TOO_OLD
        if not hello.token and not hello.identity and channel.newcomers.take(self._remote, now):
            return None, protocol.TOO_MANY
        try:
            visitor = channel.visitors.welcome(hello.token, hello.identity, now)
        except IdentityRequired:
            return None, protocol.IDENTITY_REQUIRED
        except Rejected:
            return None, protocol.TOKEN_REFUSED
        here = channel.sockets.of(visitor.id)
        if here is not None and len(here.sockets) >= channel.settings.limits.sockets_per_visitor:
            return None, protocol.TOO_MANY
        return visitor, 0

    # --- the beginning -------------------------------------------------------------------------------

    async def _welcome(self, hello: protocol.Hello, known: Known) -> None:
        channel, socket = self._channel, self._socket
        if known.name and not socket.visitor.name:
            socket.visitor = replace(socket.visitor, name=known.name)
        talk = await channel.talk(socket.visitor.id)
        stays_ended = talk is not None and _stays_ended(talk, hello)
        if not stays_ended:
            await channel.admit([self._session(SessionState.CONNECTED)])
            talk = await channel.talk(socket.visitor.id)
        assert talk is not None  # made by the session's beginning
        socket.conversation = talk.id
        self._here = channel.sockets.add(socket, channel.clock.now())
        self._here.ended = stays_ended
        if len(self._here.sockets) == 1:  # another tab may have learnt more since we looked
            self._here.known = known
        frames = [await self._frame(message) for message in await self._lacking(talk, hello.after)]
        socket.begin(self._greeting(talk, stays_ended), *frames, {"t": "ready"})
        if not stays_ended:
            channel.wake(socket.visitor.id)

    async def _lacking(self, talk: Conversation, after: int) -> Sequence[Message]:
        """Give what a widget has not got, or has in an older form; what is still queued comes when it is sent."""
        messages = await self._channel.hub.messages(talk.id, limit=_RESUMED)
        return [m for m in messages if _is_shown(m) and (m.n > after or _is_news(m))]

    def _greeting(self, talk: Conversation, ended: bool) -> dict[str, Any]:
        channel, visitor, known = self._channel, self._socket.visitor, self._here.known
        settings, now = channel.settings, channel.clock.now()
        return {
            "t": "welcome",
            "protocol": PROTOCOL,
            "token": channel.visitors.token(visitor, now),
            "visitor": {"name": visitor.name, "known": visitor.signed_in},
            "session": "ended" if ended else "connected",
            "reason": talk.session_reason if ended else "",
            "n": talk.last_n,
            "notice": _notice(channel, known),
            "consent": _consent(channel, known),
            "form": self._form(),
            "hours": {"open": settings.service_hours.open_at(now), "text": settings.hours_text}
            if settings.hours or settings.hours_text
            else None,
            "files": {"limit": settings.files.limit, "types": list(settings.files.types), "most": FILES}
            if settings.files.allowed
            else None,
            "typing": True,
        }

    def _form(self) -> dict[str, Any] | None:
        form = self._channel.settings.form
        if form is None or self._here.known.formed:
            return None
        fields = [
            {
                "name": name.removesuffix("!"),
                "label": form.labels.get(name.removesuffix("!"), ""),  # type: ignore[call-overload]
                "required": name.endswith("!"),
            }
            for name in self._asked()
        ]
        return {"title": form.title, "fields": fields} if fields else None

    def _asked(self) -> list[str]:
        """Name the fields that the website has not answered already."""
        form, visitor = self._channel.settings.form, self._socket.visitor
        vouched = {alias.kind for alias in visitor.aliases} | (
            {"name"} if visitor.signed_in and visitor.name else set()
        )
        return [field for field in (form.fields if form else ()) if field.removesuffix("!") not in vouched]

    async def _frame(self, message: Message) -> dict[str, Any]:
        if message.deliveries:
            self._socket.remember(message.id, message.deliveries[-1].id)
        return await frame_of(self._channel.hub, message, self._channel.settings.names)

    # --- frames --------------------------------------------------------------------------------------

    async def _take(self, message: WSMessage) -> bool:
        """Do what a frame says; false: it was the last one."""
        if message.type in _ENDS:
            return False
        channel, socket = self._channel, self._socket
        if channel.frames.take(socket.id, channel.clock.now()):
            socket.close(protocol.TOO_MANY)
            return False
        try:
            if message.type is not WSMsgType.TEXT:
                raise Unreadable("frame: not a text")
            frame = protocol.read(message.data)
        except Unreadable as error:
            channel.log.debug("bad frame", reason=str(error))
            socket.close(protocol.BAD_FRAME)
            return False
        if (take := self._ways.get(type(frame))) is None:
            return True
        try:
            await take(self, frame)
        except StoreDown:
            socket.put({"t": "nack", "id": getattr(frame, "id", ""), "code": "later"})
        return True

    async def _said(self, said: protocol.Said) -> None:
        channel, socket, now = self._channel, self._socket, self._channel.clock.now()
        refusal = await self._refusal(said)
        if refusal:
            socket.put({"t": "nack", "id": said.id, **refusal})
            return
        blocks: list[Block] = [Media(attachment=one) for one in said.files]
        if said.choice is not None:
            blocks.insert(0, Choice(id=said.choice.id, title=said.choice.title))
        address = socket.visitor.address
        items: list[Item] = [self._session(SessionState.CONNECTED)] if self._here.ended else []
        items.append(
            Inbound(
                external_id=f"{address.value}:{said.id}",
                address=address,
                at=now,
                text=said.text or (said.choice.title if said.choice else ""),
                blocks=tuple(blocks),
                reply_to=await self._answered(said.choice.key) if said.choice else "",
            )
        )
        try:
            await channel.admit(items)
        except Unreadable:
            socket.put({"t": "nack", "id": said.id, "code": "unreadable"})
            return
        self._here.active_at = now
        socket.put({"t": "ack", "id": said.id, "at": moment(now)})

    async def _refusal(self, said: protocol.Said) -> dict[str, Any]:
        """Say why a message is not kept; nothing where it is."""
        channel, visitor = self._channel, self._socket.visitor
        if self._lacks_consent():
            return {"code": "consent"}
        if self._form() is not None:
            return {"code": "form"}
        if len(said.text) > TEXT:
            return {"code": "too_long", "limit": TEXT}
        if len(said.files) > FILES:
            return {"code": "too_many", "limit": FILES}
        if not said.text.strip() and not said.files and said.choice is None:
            return {"code": "unreadable"}
        if said.files:
            theirs = await channel.hub.read(lambda query: rows.uploads(query, channel.account, visitor.id, said.files))
            if theirs < set(said.files):
                return {"code": "unreadable"}
        if wait := channel.messages.take(visitor.id, channel.clock.now()):
            return {"code": "too_fast", "retry_after": _seconds(wait)}
        return {}

    def _lacks_consent(self) -> bool:
        consent = self._channel.settings.consent
        return consent is not None and not (self._here.known.accepted and self._here.known.consent == consent.name)

    async def _consented(self, frame: protocol.ConsentGiven) -> None:
        channel, consent = self._channel, self._channel.settings.consent
        if consent is None or frame.version != consent.name:
            self._socket.put({"t": "settings", "consent": _consent(channel, self._here.known)})  # of another text
            return
        whose = (channel.account, self._socket.visitor.id, frame.version, frame.accepted)
        await channel.hub.write(rows.answered, (*whose, channel.clock.now(), self._remote))
        self._here.known = replace(self._here.known, consent=frame.version, accepted=frame.accepted)
        self._here.put({"t": "consented", "version": frame.version, "accepted": frame.accepted})

    async def _noticed(self, frame: protocol.Noticed) -> None:
        notice = self._channel.settings.notice
        if notice is not None and frame.version == notice.name:
            await self._channel.hub.write(rows.noticed, (self._channel.account, self._socket.visitor.id, frame.version))
            self._here.known = replace(self._here.known, notice=frame.version)

    async def _formed(self, frame: protocol.FormFilled) -> None:
        channel, socket = self._channel, self._socket
        if self._lacks_consent():
            socket.put({"t": "nack", "id": "form", "code": "consent"})
            return
        values, faults = _checked(self._asked(), frame.values)
        if faults:
            socket.put({"t": "nack", "id": "form", "code": "form", "fields": faults})
            return
        name = values.get("name", "")
        if name and not socket.visitor.signed_in:
            socket.visitor = replace(socket.visitor, name=name)
        card = ContactCard(
            name=name,
            phones=(values["phone"],) if values.get("phone") else (),
            emails=(values["email"],) if values.get("email") else (),
        )
        given = any((card.name, card.phones, card.emails))
        address = socket.visitor.address
        said = Inbound(
            external_id=f"{address.value}:form",
            address=replace(address, aliases=(*address.aliases, *_claims(card))),
            at=channel.clock.now(),
            text=values.get("question", ""),
            blocks=(card,) if given else (),
        )
        if given or said.text:
            try:
                await channel.admit([said])
            except Unreadable:
                socket.put({"t": "nack", "id": "form", "code": "unreadable"})
                return
        await channel.hub.write(rows.formed, (channel.account, socket.visitor.id, name))
        self._here.known = replace(self._here.known, formed=True, name=name)
        self._here.put({"t": "formed", "name": name})

    async def _seen(self, frame: protocol.Seen) -> None:
        """Report what has come or was read: of this visitor's own talk only."""
        channel, socket, state = self._channel, self._socket, _STATES[frame.state]
        now, reports = channel.clock.now(), []
        for key in dict.fromkeys(frame.keys):
            delivery = socket.keys.get(key) or await self._delivery(key)
            if delivery:
                reports.append(Report(key=delivery, state=state, at=now))
            if state is State.READ:
                socket.keys.pop(key, None)
        if reports:
            await channel.admit(reports)

    async def _answered(self, key: str) -> str:
        """Give our id of the message whose button was pressed; empty where it is none of this talk."""
        return (self._socket.keys.get(key) or await self._delivery(key)) if key else ""

    async def _delivery(self, key: str) -> str:
        """Find a message that came by an earlier socket."""
        message = await self._channel.hub.message(key)
        if message is None or message.conversation != self._socket.conversation or not message.deliveries:
            return ""
        return message.deliveries[-1].id

    async def _types(self, frame: protocol.Types) -> None:
        if not self._here.ended:
            await self._channel.admit([Typing(address=self._socket.visitor.address, on=frame.on)])

    async def _link(self, frame: protocol.LinkWanted) -> None:
        """Give a fresh link to a file, where it stands in a message of this talk."""
        channel, socket = self._channel, self._socket
        if frame.key:
            message = await channel.hub.message(frame.key)
        else:
            messages = await channel.hub.messages(socket.conversation, limit=_RESUMED)
            wanted = f"{socket.visitor.id}:{frame.id}"
            message = next((m for m in messages if m.external_id == wanted), None)
        if message is None or message.conversation != socket.conversation:
            return
        if frame.attachment not in attachments_of(message):
            return
        try:
            found = await channel.hub.attachment(frame.attachment)
        except NotFound:
            return
        socket.put({"t": "link", "attachment": frame.attachment, "url": channel.hub.media_link(found)})

    async def _bye(self, _: protocol.Bye) -> None:
        await self._channel.admit([self._session(SessionState.ENDED, "customer")])

    async def _ping(self, _: protocol.Ping) -> None:
        self._socket.put({"t": "pong"})

    def _session(self, state: SessionState, reason: str = "") -> SessionChange:
        address, at = self._socket.visitor.address, self._channel.clock.now()
        return SessionChange(address=address, state=state, at=at, reason=reason)

    _ways: ClassVar[dict[type, Callable[[Talk, Any], Awaitable[None]]]] = {
        protocol.Said: _said,
        protocol.Seen: _seen,
        protocol.Types: _types,
        protocol.ConsentGiven: _consented,
        protocol.Noticed: _noticed,
        protocol.FormFilled: _formed,
        protocol.LinkWanted: _link,
        protocol.Bye: _bye,
        protocol.Ping: _ping,
    }


def _stays_ended(talk: Conversation, hello: protocol.Hello) -> bool:
    return not hello.fresh and talk.session is SessionState.ENDED and talk.session_reason in _OVER_FOR_GOOD


def _is_shown(message: Message) -> bool:
    return message.direction is Direction.IN or message.state not in (State.QUEUED, State.FAILED)


def _is_news(message: Message) -> bool:
    """Say whether a message of an earlier number may not be with the widget, or not as it is now."""
    came = message.state is not None and message.state >= State.DELIVERED
    return bool(message.changes) or (message.direction is Direction.OUT and not came)


def _notice(channel: LiveChat, known: Known) -> dict[str, Any] | None:
    notice = channel.settings.notice
    if notice is None:
        return None
    return {"version": notice.name, "text": notice.text, "seen": known.notice == notice.name}


def _consent(channel: LiveChat, known: Known) -> dict[str, Any] | None:
    consent = channel.settings.consent
    if consent is None:
        return None
    given = known.accepted if known.consent == consent.name else None
    text = {"version": consent.name, "text": consent.text, "given": given}
    return {**text, "refused": consent.refused, "email": consent.email}


def _claims(card: ContactCard) -> list[Alias]:
    """Give the ways to a visitor that the form names. Nobody vouches for them: they make nobody somebody else."""
    emails = [Alias(kind="email", value=email.lower(), claimed=True) for email in card.emails]
    return emails + [Alias(kind="phone", value=number, claimed=True) for number in card.phones]


def _checked(asked: Sequence[str], given: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Give what a visitor filled in, as it is kept, and what is wrong with it, by field."""
    values: dict[str, str] = {}
    faults: dict[str, str] = {}
    for field in asked:
        name = field.removesuffix("!")
        value = given.get(name, "").strip()
        if not value:
            if field.endswith("!"):
                faults[name] = "required"
        elif name == "email" and not _EMAIL.fullmatch(value):
            faults[name] = "email"
        elif name == "phone":
            try:
                values[name] = phone(value)
            except Unreadable:
                faults[name] = "phone"
        elif len(value) > (TEXT if name == "question" else 200):
            faults[name] = "too_long"
        else:
            values[name] = value
    return values, faults


def _seconds(wait: timedelta) -> float:
    return round(wait.total_seconds(), 1)
