"""What a machine of ours may say by itself: nothing to another machine, and nothing too often to one address."""

from __future__ import annotations

from collections.abc import Iterable

from ..clock import micros
from ..errors import Loop
from ..model import Rate
from ..store import Tx

_ANSWERED = """
    SELECT automatic FROM message WHERE conversation_id = :id AND direction = 'in' ORDER BY n DESC LIMIT 1
"""
# All threads of an address are one correspondent. As the index says it.
_SAID = """
    SELECT count(*) FROM (
        SELECT m.id FROM conversation c
        JOIN conversation o ON o.account = c.account AND o.address_id = c.address_id
        JOIN message m ON m.conversation_id = o.id AND m.automatic = 1 AND m.direction = 'out' AND m.stored_at > :since
        WHERE c.id = :id LIMIT :most
    ) s
"""
_WHOSE = "SELECT DISTINCT address_id FROM conversation WHERE id IN (:ids[])"


def lock(tx: Tx, conversations: Iterable[str], addresses: Iterable[str]) -> None:
    """Let one transaction after the other count what is said to these addresses, whatever the thread.

    Before conversations are locked: rows are touched table by table.
    """
    ids = sorted(set(conversations))
    whose = {row[0] for row in tx.execute(_WHOSE, {"ids": ids})} if ids else set()
    tx.lock("address", whose.union(addresses))


def refusal(tx: Tx, conversation: str, limit: Rate | None) -> Loop | None:
    """Say why a machine of ours may not speak in a conversation now; None: it may.

    The conversation is locked, and so is the address where there is a limit.
    """
    answered = tx.one(_ANSWERED, {"id": conversation})
    if answered is not None and answered[0]:
        return Loop("the last message here is a machine's: an automatic answer could go on for ever")
    if limit is None:
        return None
    since = micros(tx.now - limit.per)
    [(said,)] = tx.execute(_SAID, {"id": conversation, "since": since, "most": limit.count})
    if said < limit.count:
        return None
    minutes = limit.per.total_seconds() / 60
    text = f"{said} automatic messages went to this address within {minutes:g} minutes; a person may write"
    return Loop(text, code="automatic_cap")


__all__ = ["lock", "refusal"]
