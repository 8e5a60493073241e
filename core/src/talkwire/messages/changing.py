"""What is done to a message that is there already: edits, revocations, reactions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..clock import micros
from ..errors import Unreadable
from ..formatting import blocks_from_json, blocks_to_json
from ..model import Block, Change, ChangeKind, Location, Media, Original, Text
from ..store import Row, Tx
from ..store.writer import RunAgain
from .attaching import attached
from .pointing import conversation_of, messages_of_parts, messages_there

_INSERT_CHANGE = """
    INSERT INTO change (account, change_id, external_id, message_id, kind, text, blocks, by_address, at,
                        stored_at, envelope_id)
    VALUES (:account, :change, :external, :message, :kind, :text, :blocks, :by, :at, :stored, :envelope)
    ON CONFLICT (account, change_id) DO NOTHING
"""
_MESSAGE = "SELECT conversation_id, text, blocks FROM message WHERE id = :id"
_LAST_EDIT = """
    SELECT id, text, at FROM change WHERE message_id = :id AND kind = 'edit'
    ORDER BY at DESC, id DESC LIMIT 1
"""
_LAST_BLOCKS = """
    SELECT id, blocks FROM change WHERE message_id = :id AND kind = 'edit' AND blocks <> '[]'
    ORDER BY at DESC, id DESC LIMIT 1
"""
_CHANGE_THERE = "SELECT 1 FROM change WHERE account = :account AND change_id = :change"
_MOVE_ON = """
    UPDATE change SET change_id = :change, blocks = :blocks, at = :at, stored_at = :stored, envelope_id = :envelope
    WHERE id = :id
"""
_EARLY = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT c.id, c.account, c.external_id, c.blocks, c.message_id FROM v JOIN change c
      ON c.account = v.account AND c.external_id = v.external_id ORDER BY c.id
"""
_ADOPT = "UPDATE change SET message_id = :message, blocks = :blocks WHERE id = :id"


@dataclass(frozen=True, slots=True)
class _Edit:
    """The last edit of a message."""

    row: int
    at: int  # microseconds
    holds: bool  # it says what the message holds beside its text


@dataclass(frozen=True, slots=True)
class _Reading:
    """A message as it reads now."""

    text: str  # or the caption of its file
    blocks: tuple[Block, ...]  # beside the text, without captions
    last: _Edit | None  # None: it was never edited


def changed(tx: Tx, account: str, channel: str, item: Change, envelope: str) -> None:
    """Store what somebody did to a message, wherever that is, if it is anything.

    What is done to a message that is not here yet waits for it. Errors: as `attached`.
    """
    message, conversation = _message_of(tx, account, item), ""
    if not message:
        conversation, _ = conversation_of(tx, account, channel, item.address, item.thread)
        message = _message_of(tx, account, item)  # it may have come while this waited for the conversation
    said = f"{item.text}{blocks_to_json(item.blocks) if item.blocks else ''}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    change = item.change_id or f"{item.kind}:{item.external_id}:{item.address.value}:{micros(item.at)}:{digest}"
    if not message:
        early = item.blocks if item.kind is ChangeKind.EDIT else ()
        store_change(tx, account, conversation, change, "", item, early, envelope=envelope)
        return
    conversation, text, blocks = _held(tx, message)
    if item.kind is ChangeKind.EDIT:
        _edited(tx, account, conversation, change, message, item, envelope, _reading(tx, message, text, blocks))
    else:
        store_change(tx, account, conversation, change, message, item, envelope=envelope)


def _message_of(tx: Tx, account: str, item: Change) -> str:
    one = account, item.external_id
    return messages_there(tx, [one]).get(one) or messages_of_parts(tx, [one]).get(one, "")


def _held(tx: Tx, message: str) -> Row:
    """Lock a message, so that whoever deletes it takes what comes to it now as well; gives what stands in it."""
    if row := tx.one(_MESSAGE, {"id": message}):
        tx.lock("conversation", [row[0]])
        tx.lock("message", [message])
        if row := tx.one(_MESSAGE, {"id": message}):
            return row
    raise RunAgain  # somebody was forgotten while this waited


def _reading(tx: Tx, message: str, text: str, blocks: str) -> _Reading:
    """Say how a message reads now, as its edits left it."""
    said = blocks_from_json(blocks)
    text = text or next((one.caption for one in said if isinstance(one, Media) and one.caption), "")
    last = None
    holding = tx.one(_LAST_BLOCKS, {"id": message})
    if row := tx.one(_LAST_EDIT, {"id": message}):
        last = _Edit(row[0], row[2], holding is not None and holding[0] == row[0])
        text = row[1]
    return _Reading(text, _beside(blocks_from_json(holding[1]) if holding else said), last)


def _beside(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Give what stands beside the text of a message, without captions."""
    there = (one for one in blocks if not isinstance(one, Text | Original))
    return tuple(replace(one, caption="", content_id="") if isinstance(one, Media) else one for one in there)


def _edited(
    tx: Tx, account: str, conversation: str, change: str, message: str, item: Change, envelope: str, now: _Reading
) -> None:
    """Store an edit, if anybody sees that it is one: providers tell of others, too.

    Of a place that moves on, only where it is now is kept: it may move every few seconds, for days.
    """
    blocks = _beside(item.blocks) if item.blocks else now.blocks
    is_place = item.text == now.text and _only_places_differ(blocks, now.blocks)
    if is_place and now.last is not None and micros(item.at) < now.last.at:
        return  # older than what we know
    held = attached(tx, account, message, blocks)
    if item.text == now.text and held == now.blocks:
        return
    new = held if held != now.blocks else ()
    moved = is_place and _named_alike(held, now.blocks)
    if moved and now.last is not None and now.last.holds:
        _move_on(tx, now.last.row, change, new, item, envelope)
        _tell(tx, account, conversation, message, item, moved=True)
        return
    store_change(tx, account, conversation, change, message, item, new, envelope=envelope, moved=moved)


def _only_places_differ(one: Sequence[Block], other: Sequence[Block]) -> bool:
    """Say whether blocks are the same but for where places are, and are not quite the same."""
    pairs = list(zip(one, other, strict=False))
    differ = [pair for pair in pairs if pair[0] != pair[1]]
    return len(one) == len(other) and bool(differ) and all(isinstance(b, Location) for pair in differ for b in pair)


def _named_alike(one: Sequence[Block], other: Sequence[Block]) -> bool:
    """Say whether places have the same names: one that is live goes on, one that has got another name is another."""
    return [_names(block) for block in one] == [_names(block) for block in other]


def _names(block: Block) -> tuple[str, str] | None:
    return (block.name, block.address) if isinstance(block, Location) else None


def _move_on(tx: Tx, row: int, change: str, blocks: tuple[Block, ...], item: Change, envelope: str) -> None:
    values = {"change": change, "blocks": blocks_to_json(blocks), "at": micros(item.at)}
    tx.execute(_MOVE_ON, {**values, "stored": tx.now_us, "envelope": envelope, "id": row})


def store_change(
    tx: Tx,
    account: str,
    conversation: str,
    change: str,
    message: str,
    item: Change,
    blocks: tuple[Block, ...] = (),
    *,
    envelope: str = "",  # that brought it; empty: it is ours, or came over an own connection
    moved: bool = False,  # a place is elsewhere, and nothing else is new
) -> None:
    """Store what was done to a message, and tell it; a change that is there already stays as it is.

    The conversation is locked already: that lets us see what others stored.
    """
    if tx.one(_CHANGE_THERE, {"account": account, "change": change}):
        return
    tx.execute(
        _INSERT_CHANGE,
        {
            "account": account,
            "change": change,
            "external": item.external_id,
            "message": message,
            "kind": item.kind.value,
            "text": item.text,
            "blocks": blocks_to_json(blocks),
            "by": item.address.value,
            "at": micros(item.at),
            "stored": tx.now_us,
            "envelope": envelope,
        },
    )
    _tell(tx, account, conversation, message, item, moved=moved)


def _tell(tx: Tx, account: str, conversation: str, message: str, item: Change, *, moved: bool) -> None:
    small: dict[str, str | int | bool] = {"kind": item.kind.value}
    if moved:
        small["moved"] = True
    tx.tell("message.changed", account=account, conversation=conversation, ids={"message": message}, small=small)


def adopt(tx: Tx, messages: dict[tuple[str, str], str]) -> None:
    """Let changes that were here before their messages, by (account, external id), point at them, with their files."""
    waiting = [row for row in tx.execute(_EARLY, {"ids": sorted(messages)}) if not row[4]]
    for row, account, external, said, _ in waiting:
        message = messages[account, external]
        try:
            blocks = attached(tx, account, message, _beside(blocks_from_json(said)))
        except Unreadable:
            blocks = ()  # the message counts more than a file of its edit that came with another one
        tx.execute(_ADOPT, {"message": message, "blocks": blocks_to_json(blocks), "id": row})


__all__ = ["adopt", "changed", "store_change"]
