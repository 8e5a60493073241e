"""Marks conversations handled where somebody said so without a reply."""

from __future__ import annotations

from ..store import Tx

_MARK = "UPDATE conversation SET handled = 1 WHERE id = :id AND handled = 0 RETURNING account"


def mark(tx: Tx, conversation: str, recipient: str) -> None:
    """Mark a conversation handled by a recipient of notifications; one that is handled stays so."""
    tx.lock("conversation", [conversation])
    for (account,) in tx.execute(_MARK, {"id": conversation}):
        tx.tell(
            "session.handled", account=account, conversation=conversation, small={"author": f"recipient:{recipient}"}
        )
