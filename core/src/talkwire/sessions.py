"""What we do in a talk beside replying: end it, say that we type, say that we have read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from . import answers
from .channel import Channel
from .errors import PLUGIN_MAY_RAISE, Conflict, NotFound
from .inbound.admission import session_changed
from .model import ReadUpTo, SessionState, SignalKind, TypingSignal
from .store import Store, Tx

_log = structlog.get_logger("talkwire.sessions")

_STANDS = "SELECT account, session, session_at FROM conversation WHERE id = :id"
_PLACE = """
    SELECT c.account, a.value, c.last_inbound FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id = :id
"""
_LAST_INBOUND = """
    SELECT c.last_inbound FROM conversation c JOIN address a ON a.id = c.address_id
    WHERE c.account = :account AND a.value = :address ORDER BY c.last_inbound_at DESC
"""
_READ = """
    SELECT external_id FROM message
    WHERE conversation_id = :id AND n <= :n AND direction = 'in' ORDER BY n DESC LIMIT 1
"""


class Served(Protocol):
    """An account as hints see it."""

    channel: Channel | None


class Sessions:
    """Ends sessions, and passes hints on."""

    def __init__(self, store: Store, account: Callable[[str], Served | None]) -> None:
        self._store = store
        self._account = account

    async def end(self, conversation: str, reason: str) -> None:
        """End a live session, as its channel would; replies that wait for the customer fail.

        Errors: `NotFound`; `Conflict` where no session lives.
        """
        await self._store.write(_end, (conversation, reason))

    async def signal(self, conversation: str, signal: SignalKind) -> None:
        """Pass a hint on at once, through the channel of this daemon; nothing is stored. Errors: `NotFound`."""
        place = await self._store.read(lambda query: query.one(_PLACE, {"id": conversation}))
        if place is None:
            raise NotFound("there is no such conversation")
        account, address, last = place
        if isinstance(signal, TypingSignal):
            signal = replace(signal, last_inbound=last or "")
        await self.pass_on(account, address, signal)

    async def read(self, conversation: str, n: int) -> None:
        """Tell the customer that we have read up to their last message before or at this number. Errors: `NotFound`."""
        row = await self._store.read(lambda query: query.one(_READ, {"id": conversation, "n": n}))
        if row is not None:
            await self.signal(conversation, ReadUpTo(row[0]))
        elif await self._store.read(lambda query: query.one(_STANDS, {"id": conversation})) is None:
            raise NotFound("there is no such conversation")

    async def hint(self, account: str, address: str, signal: SignalKind) -> None:
        """Pass a hint on to an address, at once, as `signal` does."""
        if isinstance(signal, TypingSignal):
            found = await self._store.read(
                lambda query: query.execute(_LAST_INBOUND, {"account": account, "address": address})
            )
            signal = replace(signal, last_inbound=next((row[0] for row in found if row[0]), ""))
        await self.pass_on(account, address, signal)

    async def pass_on(self, account: str, address: str, signal: SignalKind) -> None:
        """Pass a hint on to an address: best effort, never repeated; what goes wrong is only logged."""
        served = self._account(account)
        if served is None or (channel := served.channel) is None:
            return
        try:
            async with asyncio.timeout(channel.features.send_timeout.total_seconds()):
                await channel.signal(address, signal)
        except PLUGIN_MAY_RAISE as error:  # best effort
            _log.debug("signal failed", account=account, kind=type(error).__name__)


def _end(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    tx.lock("conversation", {conversation for conversation, _ in items})
    for conversation, reason in sorted(items):
        row = tx.one(_STANDS, {"id": conversation})
        if row is None:
            raise NotFound("there is no such conversation")
        account, session, since = row
        if session not in answers.LIVE:
            raise Conflict("no session lives in this conversation", code="no_session")
        # Another daemon's clock may be ahead of ours.
        session_changed(tx, account, conversation, SessionState.ENDED, max(tx.now_us, since), reason)
    return [None] * len(items)
