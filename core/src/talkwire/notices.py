"""Notices: one text a conversation and slot (`you are number 3`), kept up to date in place where the channel can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .actions import Notice
from .admission import store_change
from .channel import Channel
from .errors import SendError, Uncertain, Unsupported
from .formatting import plain_text
from .model import Address, Change, ChangeKind, Outgoing, State
from .outgoing import Replies
from .store import Store, Tx

_NOTICE = """
    SELECT k.value FROM conversation c JOIN keep k ON k.account = c.account AND k.name = :name
    WHERE c.id = :conversation
"""
_KEEP = """
    INSERT INTO keep (account, name, value) SELECT account, :name, :value FROM conversation WHERE id = :conversation
    ON CONFLICT (account, name) DO UPDATE SET value = excluded.value
"""
_FORGET = """
    DELETE FROM keep WHERE name = :name AND account = (SELECT account FROM conversation WHERE id = :conversation)
"""
_FIRST_PART = """
    SELECT d.id, d.external_id, d.state, c.thread FROM delivery d JOIN conversation c ON c.id = d.conversation_id
    WHERE d.message_id = :message ORDER BY d.generation DESC, d.position LIMIT 1
"""


class OnItsWay(Exception):
    """What a slot said before is just being sent: it cannot be taken back, nor be replaced yet."""


class Notices:
    """Says, replaces and forgets notices."""

    def __init__(self, store: Store, replies: Replies, channel: Callable[[str], Channel | None]) -> None:
        self._store = store
        self._replies = replies
        self._channel = channel

    async def show(self, action: Notice, asker: str, key: str) -> None:
        """Say a notice, or replace what its slot said before; a draft of None forgets it, and takes nothing back.

        A channel that cannot edit says the first one only. `key` makes it repeatable.
        Errors: `OnItsWay`: again, soon; as `Replies.reply`; `Unsupported` where a notice is more than one part; what
        `Channel.edit` raises.
        """
        row = {"name": f"notice:{action.conversation}:{action.slot}", "conversation": action.conversation}
        if action.draft is None:
            return await self._store.write(_forget, row)
        said = await self._store.read(lambda query: query.one(_NOTICE, row))
        if said is not None and await self._stands(action, said[0], key):
            return None
        accepted = await self._replies.reply(action.conversation, action.draft, author=asker, key=key)
        return await self._store.write(_keep, {**row, "value": accepted.message})

    async def _stands(self, action: Notice, message: str, key: str) -> bool:
        """Bring up to date what was said; False: it never came out, say it anew."""
        assert action.draft is not None  # whoever calls has looked
        sent = await self._store.read(lambda query: query.one(_FIRST_PART, {"message": message}))
        if sent is None or sent[2] == State.FAILED:
            return False
        delivery, external_id, state, thread = sent
        if state == State.QUEUED:
            if not await self._replies.cancel(message):
                raise OnItsWay
            return False
        rendition = await self._replies.render(action.conversation, action.draft)
        channel = self._channel(rendition.account)
        if channel is None or not channel.features.edits or (state == State.UNCERTAIN and not external_id):
            return True
        if len(rendition.rendered.parts) > 1:
            raise Unsupported("a notice has to fit into one part")
        part, address = rendition.rendered.parts[0], rendition.address
        out = Outgoing(key=delivery, account=rendition.account, address=address, thread=thread, part=part)
        try:
            async with asyncio.timeout(channel.features.send_timeout.total_seconds()):
                await channel.edit(out, external_id)
        except SendError:
            raise
        except Exception as error:
            raise Uncertain(f"{type(error).__name__} while a notice was replaced") from error
        said = plain_text(rendition.draft)
        await self._store.write(_replaced, (rendition.account, action.conversation, key, message, address, said))
        return True


def _replaced(tx: Tx, items: Sequence[tuple[str, str, str, str, Address, str]]) -> Sequence[None]:
    tx.lock("conversation", {item[1] for item in items})
    for account, conversation, key, message, address, text in sorted(items, key=lambda item: item[:3]):
        change = Change(kind=ChangeKind.EDIT, external_id="", address=address, at=tx.now, text=text)
        store_change(tx, account, conversation, f"notice:{key}", message, change)
    return [None] * len(items)


def _keep(tx: Tx, items: Sequence[dict[str, str]]) -> Sequence[None]:
    for row in sorted(items, key=lambda item: item["name"]):
        tx.execute(_KEEP, row)
    return [None] * len(items)


def _forget(tx: Tx, items: Sequence[dict[str, str]]) -> Sequence[None]:
    for row in sorted(items, key=lambda item: item["name"]):
        tx.execute(_FORGET, row)
    return [None] * len(items)
