"""Notices: one text a conversation and slot (`you are number 3`), kept up to date in place where the channel can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..actions import Notice
from ..channel import Channel
from ..errors import SendError, Uncertain, Unsupported
from ..formatting import plain_text
from ..messages.changing import store_change
from ..model import Address, Block, Change, ChangeKind, Outgoing, Part, State
from ..store import Store, Tx
from .outgoing import Replies
from .queueing import use_files

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
    SELECT d.id, d.external_id, d.state, d.account, c.thread, a.kind, a.value, a.name
    FROM delivery d JOIN conversation c ON c.id = d.conversation_id JOIN address a ON a.id = c.address_id
    WHERE d.message_id = :message ORDER BY d.generation DESC, d.position LIMIT 1
"""


class OnItsWay(Exception):
    """What a slot said before is just being sent: it cannot be taken back, nor be replaced yet."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What stands in a slot."""

    message: str
    delivery: str  # of its only part; also its key
    external_id: str
    state: State
    account: str
    thread: str
    address: Address

    def out(self, notice: str, part: Part) -> Outgoing:
        return Outgoing(
            key=self.delivery, account=self.account, address=self.address, thread=self.thread, part=part, notice=notice
        )


@dataclass(frozen=True, slots=True)
class _Done:
    """What was done to it, on its way into the store."""

    said: _Said
    conversation: str
    key: str
    kind: ChangeKind
    text: str = ""
    blocks: tuple[Block, ...] = ()
    forget: str = ""  # name of a slot that holds nothing now


class Notices:
    """Says, replaces and takes back notices."""

    def __init__(self, store: Store, replies: Replies, channel: Callable[[str], Channel | None]) -> None:
        self._store = store
        self._replies = replies
        self._channel = channel

    async def show(self, action: Notice, asker: str, key: str) -> None:
        """Say a notice, or replace what its slot said before; a draft of None takes it away, and forgets it.

        A channel that cannot edit says the first one only, and leaves it where it is. `key` makes it repeatable.
        Errors: `OnItsWay`: again, soon; as `Replies.reply`; `Unsupported` where a notice is more than one part; what
        `Channel.edit` raises: then what was said stands.
        """
        row = {"name": f"notice:{action.conversation}:{action.slot}", "conversation": action.conversation}
        said = await self._said(row)
        if said is not None and said.state == State.QUEUED:
            if not await self._replies.cancel(said.message):
                raise OnItsWay
            said = None
        if said is not None and said.state == State.FAILED:
            said = None  # it never came out
        if action.draft is None:
            return await self._take_back(action, said, key, row)
        if said is not None:
            return await self._replace(action, said, key)
        accepted = await self._replies.reply(
            action.conversation, action.draft, author=asker, key=key, notice=action.slot, automatic=True
        )
        return await self._store.write(_keep, {**row, "value": accepted.message})

    async def _said(self, row: dict[str, str]) -> _Said | None:
        kept = await self._store.read(lambda query: query.one(_NOTICE, row))
        if kept is None:
            return None
        part = await self._store.read(lambda query: query.one(_FIRST_PART, {"message": kept[0]}))
        if part is None:
            return None
        delivery, external_id, state, account, thread, kind, value, name = part
        address = Address(kind=kind, value=value, name=name)
        return _Said(kept[0], delivery, external_id or "", State(state), account, thread, address)

    async def _take_back(self, action: Notice, said: _Said | None, key: str, row: dict[str, str]) -> None:
        channel = self._editing(said)
        if said is None or channel is None:
            return await self._store.write(_forget, row)
        await self._edit(channel, said, said.out(action.slot, Part()))
        done = _Done(said, action.conversation, key, ChangeKind.REVOKE, forget=row["name"])
        return await self._store.write(_changed, done)

    async def _replace(self, action: Notice, said: _Said, key: str) -> None:
        assert action.draft is not None  # whoever calls has looked
        rendition = await self._replies.render(action.conversation, action.draft, notice=action.slot, automatic=True)
        if (channel := self._editing(said)) is None:
            return None
        if len(rendition.rendered.parts) > 1:
            raise Unsupported("a notice has to fit into one part")
        await self._edit(channel, said, said.out(action.slot, rendition.rendered.parts[0]))
        draft = rendition.draft
        done = _Done(said, action.conversation, key, ChangeKind.EDIT, plain_text(draft), draft.blocks)
        return await self._store.write(_changed, done)

    def _editing(self, said: _Said | None) -> Channel | None:
        """Give the channel that can edit what was said; None: nobody can."""
        if said is None or (said.state == State.UNCERTAIN and not said.external_id):
            return None
        channel = self._channel(said.account)
        return channel if channel is not None and channel.features.edits else None

    async def _edit(self, channel: Channel, said: _Said, out: Outgoing) -> None:
        try:
            async with asyncio.timeout(channel.features.send_timeout.total_seconds()):
                await channel.edit(out, said.external_id)
        except SendError:
            raise
        except Exception as error:
            raise Uncertain(f"{type(error).__name__} while a notice was replaced") from error


def _changed(tx: Tx, items: Sequence[_Done]) -> Sequence[None]:
    _forget(tx, [{"name": i.forget, "conversation": i.conversation} for i in items if i.forget])
    tx.lock("conversation", {item.conversation for item in items})
    for item in sorted(items, key=lambda item: (item.said.account, item.conversation, item.key)):
        said = item.said
        change = Change(kind=item.kind, external_id="", address=said.address, at=tx.now, text=item.text)
        store_change(tx, said.account, item.conversation, f"notice:{item.key}", said.message, change, item.blocks)
        use_files(tx, [(said.message, item.blocks)])
    return [None] * len(items)


def _keep(tx: Tx, items: Sequence[dict[str, str]]) -> Sequence[None]:
    for row in sorted(items, key=lambda item: item["name"]):
        tx.execute(_KEEP, row)
    return [None] * len(items)


def _forget(tx: Tx, items: Sequence[dict[str, str]]) -> Sequence[None]:
    for row in sorted(items, key=lambda item: item["name"]):
        tx.execute(_FORGET, row)
    return [None] * len(items)
