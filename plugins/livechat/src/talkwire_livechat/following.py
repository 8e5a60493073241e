"""What goes on beside the sockets of an account: the log is followed, hints are heard, the silent and the dead are ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from talkwire import Address, Fact, SessionChange, SessionState, StoreDown

from . import rows
from .frames import frame_of
from .visitors import KIND

if TYPE_CHECKING:
    from .channel import LiveChat
    from .sockets import Presence

_TYPES = (
    "message.received",
    "message.changed",
    "delivery.changed",
    "session.opened",
    "session.ended",
)
_LOOK_EVERY = timedelta(seconds=15)
_AGAIN_AFTER = timedelta(seconds=1)


class Following:
    """Runs from an account's opening to its closing."""

    def __init__(self, channel: LiveChat) -> None:
        self._channel = channel
        self._tasks: list[asyncio.Task[None]] = []
        self._seen = 0  # position in the log
        self._stopping = asyncio.Event()

    async def begin(self) -> None:
        """Begin, from here in the log on; a second time does nothing."""
        if self._tasks:
            return
        self._stopping.clear()
        self._seen = await self._channel.hub.head()
        await self._bury()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._again_and_again(work)) for work in (self._follow, self._hear, self._look_after)
        ]

    async def end(self) -> None:
        """End, and let all sockets go."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._channel.sockets.close()

    async def hint(self, visitor: str, frame: Mapping[str, Any]) -> None:
        """Say something to a visitor's sockets, at whichever daemon; it may be lost."""
        await self._channel.publish(self._topic, {"to": visitor, "frame": dict(frame)})

    @property
    def _topic(self) -> str:
        return f"livechat:{self._channel.account}"

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what must not end by a fault; it ends with the daemon."""
        while not self._stopping.is_set():
            try:
                await work()
                return
            except StoreDown:
                pass  # said by the store already
            except Exception as error:  # noqa: BLE001  one fault must not leave all visitors without answers
                # Its text and its frames may quote what a visitor said.
                self._channel.log.error("begins anew", work=work.__name__, kind=type(error).__name__)  # noqa: TRY400
            clock = self._channel.clock
            await clock.wait(self._stopping, clock.now() + _AGAIN_AFTER)

    # --- the log -----------------------------------------------------------------------------------

    async def _follow(self) -> None:
        account, sockets = self._channel.account, self._channel.sockets
        async for fact in self._channel.hub.tail(after=self._seen, types=_TYPES):
            if fact.account == account and (here := sockets.talk(fact.conversation)) is not None:
                try:
                    await self._told(fact, here)
                except StoreDown:
                    raise  # it is told again
                except Exception as error:  # noqa: BLE001  one message that cannot be drawn must not hide all others
                    # Its text and its frames may quote what was said.
                    self._channel.log.error("not brought", seq=fact.seq, kind=type(error).__name__)  # noqa: TRY400
            self._seen = fact.seq
        await sockets.close()  # the daemon stops

    async def _told(self, fact: Fact, here: Presence) -> None:
        if fact.type == "session.ended":
            here.ended = True
            here.put({"t": "ended", "reason": str(fact.small.get("reason", ""))})
        elif fact.type == "session.opened":
            if here.ended:
                here.ended = False
                here.put({"t": "reopened"})
        elif fact.type == "delivery.changed":
            # Delivered and read are what the widget has told us itself.
            if fact.small.get("state") == "sent":
                await self._bring(fact, here)
        else:
            await self._bring(fact, here)

    async def _bring(self, fact: Fact, here: Presence) -> None:
        channel = self._channel
        message = await channel.hub.message(fact.ids["message"]) if fact.ids.get("message") else None
        if message is None:
            return
        text = json.dumps(
            await frame_of(channel.hub, message, channel.settings.names), ensure_ascii=False, separators=(",", ":")
        )
        here.active_at = channel.clock.now()
        for socket in list(here.sockets.values()):
            if message.deliveries:
                socket.remember(message.id, message.deliveries[-1].id)
            socket.put_text(text)

    # --- hints -------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        async for hint in self._channel.hub.subscribe(self._topic):
            if (here := self._channel.sockets.of(hint["to"])) is not None:
                here.put(hint["frame"])

    # --- the silent and the dead ---------------------------------------------------------------------

    async def _look_after(self) -> None:
        clock = self._channel.clock
        while not self._stopping.is_set():
            await clock.wait(self._stopping, clock.now() + _LOOK_EVERY)
            await self._end_silent()
            await self._bury()

    async def _end_silent(self) -> None:
        channel = self._channel
        now = channel.clock.now()
        for visitor, here in channel.sockets:
            if here.ended or now - here.active_at < channel.settings.idle:
                continue
            address = Address(kind=KIND, value=visitor)
            await channel.admit([SessionChange(address=address, state=SessionState.ENDED, at=now, reason="idle")])

    async def _bury(self) -> None:
        """Take in the end of sockets whose daemon has died."""
        channel = self._channel
        others = await channel.hub.read(lambda query: rows.of_others(query, channel.account, channel.hub.daemon))
        if not others:
            return
        living = await channel.hub.daemons()
        for connection in others:
            if connection.daemon not in living:
                await channel.gone(connection, channel.clock.now())
