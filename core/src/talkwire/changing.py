"""What is done to a message that is there already: edits, revocations, reactions."""

from __future__ import annotations

import hashlib
import json

from .clock import micros
from .formatting import blocks_to_json
from .model import Block, Change, ChangeKind
from .pointing import conversation_of, messages_of_parts, messages_there
from .store import Tx

_INSERT_CHANGE = """
    INSERT INTO change (account, change_id, external_id, message_id, kind, text, blocks, by_address, at,
                        stored_at, envelope_id)
    VALUES (:account, :change, :external, :message, :kind, :text, :blocks, :by, :at, :stored, :envelope)
    ON CONFLICT (account, change_id) DO NOTHING
"""
_CONVERSATION_OF = "SELECT conversation_id, text, blocks FROM message WHERE id = :id"
_LAST_EDIT = "SELECT text FROM change WHERE message_id = :id AND kind = 'edit' ORDER BY at DESC, id DESC LIMIT 1"
_CHANGE_THERE = "SELECT 1 FROM change WHERE account = :account AND change_id = :change"


def changed(tx: Tx, account: str, channel: str, item: Change, envelope: str) -> None:
    """Store what somebody did to a message, wherever that is, if it is anything."""
    one = account, item.external_id
    message = messages_there(tx, [one]).get(one) or messages_of_parts(tx, [one]).get(one, "")
    if message:
        [(conversation, text, blocks)] = tx.execute(_CONVERSATION_OF, {"id": message})
        tx.lock("conversation", [conversation])
        if item.kind is ChangeKind.EDIT and item.text == _as_it_reads(tx, message, text, blocks):
            return  # providers tell of an edit for what nobody sees, too
    else:
        conversation, _ = conversation_of(tx, account, channel, item.address, item.thread)
    said = hashlib.sha256(item.text.encode()).hexdigest()[:16]
    change = item.change_id or f"{item.kind}:{item.external_id}:{item.address.value}:{micros(item.at)}:{said}"
    store_change(tx, account, conversation, change, message, item, envelope=envelope)


def _as_it_reads(tx: Tx, message: str, text: str, blocks: str) -> str:
    """Give the text of a message, or the caption of its file, as its last edit left it."""
    if row := tx.one(_LAST_EDIT, {"id": message}):
        return str(row[0])
    return text or next((one["caption"] for one in json.loads(blocks) if one.get("caption")), "")


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
            "blocks": blocks_to_json(blocks) if blocks else "[]",
            "by": item.address.value,
            "at": micros(item.at),
            "stored": tx.now_us,
            "envelope": envelope,
        },
    )
    tx.tell(
        "message.changed",
        account=account,
        conversation=conversation,
        ids={"message": message},
        small={"kind": item.kind.value},
    )


__all__ = ["changed", "store_change"]
