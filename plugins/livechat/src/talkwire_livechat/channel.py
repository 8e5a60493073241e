"""The channel: websites' visitors on own sockets, several to one visitor, on any daemon.

A reply is in the store already. `send` says whether somebody is there to take it; the daemon that has the visitor's
socket reads in the log that it went, and brings it. So there is one way to a widget, whatever happened, and a socket
that broke in between gets by its resume what it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from weakref import WeakKeyDictionary

from aiohttp import web

from talkwire import (
    AccountBroken,
    Address,
    Channel,
    Conversation,
    Dialect,
    Draft,
    Features,
    Hub,
    Level,
    MediaFeature,
    OptionFeature,
    Outgoing,
    Part,
    ReadUpTo,
    Receipt,
    RenderContext,
    Rendered,
    Route,
    SessionChange,
    SessionState,
    SignalKind,
    State,
    TypingSignal,
    Wait,
    plain_text,
    render,
)

from . import rows
from .files import Uploads
from .following import Following
from .frames import own_id
from .origins import Origins
from .protocol import TOKEN_REFUSED
from .quotas import Quota
from .rows import Connection
from .script import Widget
from .settings import LiveChatSettings
from .sockets import Sockets
from .talk import Talk
from .visitors import KIND, Visitors

# What a widget draws from the tree loses nothing; the marks only say so to the formatter.
_RICH = Dialect(
    name="livechat",
    bold=("**", "**"),
    italic=("*", "*"),
    strike=("~~", "~~"),
    code=("`", "`"),
    pre=("```\n", "\n```"),
    heading=("# ", ""),
    quote="> ",
    link=lambda text, url: f"[{text}]({url})",
)
_MANY = 100_000  # no limit of ours

# The accounts of each daemon in this process: hooks find their channels here.
CHANNELS: WeakKeyDictionary[Hub, dict[str, LiveChat]] = WeakKeyDictionary()


class LiveChat(Channel):
    """One website's live chat."""

    type = "livechat"
    Settings = LiveChatSettings
    settings: LiveChatSettings
    features = Features(
        webhook=False,
        sessions=True,
        edits=True,
        idempotent=True,  # the widget folds by the message: what is brought twice is shown once
        movable=True,
        reports=State.READ,
        dialect=_RICH,
        parts=_MANY,
        card=Level.FULL,
        location=Level.FULL,
        form_link=Level.FULL,
        buttons=OptionFeature(level=Level.FULL, most=20, title_limit=1000),
        lists=OptionFeature(level=Level.FULL, most=100, title_limit=1000, description_limit=1000),
        media=(MediaFeature(types=("*/*",), limit=100 * 1024**2, caption_limit=_MANY),),
    )

    def prepare(self) -> None:
        """Make what an account has once."""
        settings = self.settings
        self.visitors = Visitors(settings.secret.get_secret_value(), settings.identity)
        self.origins = Origins(settings.origins)
        self.sockets = Sockets()
        limits = settings.limits
        self.newcomers = Quota(limits.visitors_per_address, timedelta(hours=1))
        self.messages = Quota(limits.messages, timedelta(minutes=1))
        self.frames = Quota(600, timedelta(minutes=1))
        self.uploads = Uploads(self, Quota(limits.uploads, timedelta(minutes=10)))
        self.widget = Widget(self.account, settings)
        self._following = Following(self)

    # --- life ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Follow the log, and end what a dead daemon left open. Errors: `AccountBroken`."""
        for kind, text in (("notice", self.settings.notice), ("consent", self.settings.consent)):
            if text is None:
                continue
            kept = (self.account, kind, text.name, text.text, self.clock.now())
            if not await self.hub.write(rows.keep_text, kept):
                raise AccountBroken(
                    f"the text of accounts.{self.account}.{kind} is another than the one kept as version"
                    f" {text.name!r}; give the new text a version of its own"
                )
        CHANNELS.setdefault(self.hub, {})[self.account] = self
        await self._following.begin()

    async def close(self) -> None:
        """Let all sockets go."""
        await self._following.end()

    # --- out -------------------------------------------------------------------------------------

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        """Make one part, whatever stands in the draft: the widget draws the message's own blocks, in one bubble.

        The part says the same in words, with the first picture or file and the first options, for a preview.
        """
        checked = render(draft, self.features, context)
        file = next((part.attachment for part in checked.parts if part.attachment), "")
        options = next((part.options for part in checked.parts if part.options), ())
        whole = Part(text=plain_text(draft), attachment=file, options=options)
        return Rendered((whole,), checked.degradations)

    async def send(self, out: Outgoing) -> Receipt:
        """Say whether the visitor is there; their daemon brings what the log says has gone."""
        if not await self.is_here(out.address.value):
            raise Wait("recipient_offline")
        return Receipt(external_id=out.key)  # by which a pressed button says which message it answers

    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        """Let a message be replaced: the visitor's daemon reads of the change in the log."""
        return Receipt()

    async def signal(self, address: str, signal: SignalKind) -> None:
        """Show that an agent types, or has read."""
        if isinstance(signal, TypingSignal):
            await self._following.hint(address, {"t": "typing", "on": signal.on})
        elif isinstance(signal, ReadUpTo) and (talk := await self.talk(address)) is not None:
            messages = await self.hub.messages(talk.id, limit=100)
            read = [m.n for m in messages if m.external_id and own_id(m) == signal.external_id.rpartition(":")[2]]
            if read:
                await self._following.hint(address, {"t": "read", "n": read[-1]})

    # --- who is there ------------------------------------------------------------------------------

    async def is_here(self, visitor: str, but: str = "") -> bool:
        """Say whether a visitor has a socket at a living daemon, one left out."""
        here = self.sockets.of(visitor)
        if here is not None and any(id_ != but for id_ in here.sockets):
            return True
        daemons = await self.hub.read(lambda query: rows.connected(query, self.account, visitor, but))
        elsewhere = daemons - {self.hub.daemon}
        return bool(elsewhere and elsewhere & await self.hub.daemons())

    async def talk(self, visitor: str) -> Conversation | None:
        """Give a visitor's conversation; None: there is none yet."""
        address = Address(kind=KIND, value=visitor)
        found = await self.hub.conversations(account=self.account, address=address)
        return found.items[0] if found.items else None

    async def gone(self, connection: Connection, at: datetime) -> None:
        """Take a socket's end in.

        First the session, then the row with the timer: a power cut in between leaves a row, which the next start
        finds. The other way round it would leave a session that is connected for ever.
        """
        is_here = await self.is_here(connection.visitor, but=connection.id)
        if not is_here and await self.talk(connection.visitor) is None:
            return  # they were forgotten meanwhile
        if not is_here:
            address = Address(kind=KIND, value=connection.visitor)
            await self.admit([SessionChange(address=address, state=SessionState.DISCONNECTED, at=at)])
        await self.hub.write(rows.disconnect, (connection, at, self.settings.grace))

    def forgotten(self, visitor: str) -> None:
        """Let the widgets of somebody who was forgotten begin anew, with a token that names nobody."""
        if (here := self.sockets.of(visitor)) is not None:
            for socket in list(here.sockets.values()):
                socket.close(TOKEN_REFUSED)

    async def over(self, visitor: str, since: datetime) -> None:
        """End a session whose grace is over, unless the visitor came back."""
        if await self.is_here(visitor):
            return
        # At the moment of the disconnect: any return is later, and wins whatever comes first.
        address = Address(kind=KIND, value=visitor)
        ended = SessionChange(address=address, state=SessionState.ENDED, at=since, reason="timeout")
        await self.admit([ended])

    # --- pages and sockets -------------------------------------------------------------------------

    def routes(self) -> Sequence[Route]:
        """Serve the widget, its socket and its uploads."""
        return self._routes

    @cached_property
    def _routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/socket", self._socket),
            Route("GET", "/widget.js", self.widget.script),
            Route("OPTIONS", "/files", self.uploads.preflight),
            Route("POST", "/files", self.uploads.take),
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if not self.origins.allow(request.headers.get("Origin", "")):
            return web.Response(status=403, text="this website may not use this chat; see origins in its settings\n")
        return await Talk(self, request).run()
