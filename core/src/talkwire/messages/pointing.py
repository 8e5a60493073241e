"""Which message, or which conversation, an item means."""

from __future__ import annotations

from collections.abc import Iterable

from .. import people
from ..model import Address
from ..store import Query, Tx

# The kind is a column of what is asked for: as a constant it tempts PostgreSQL to read all messages of the kind.
_THERE = """
    WITH v(account, kind, external_id) AS (VALUES :ids[3])
    SELECT m.account, m.external_id, m.id FROM v JOIN message m
      ON m.account = v.account AND m.kind = v.kind AND m.external_id = v.external_id
"""
_THERE_OR_CHANGED = f"""
    {_THERE.strip()}
    UNION ALL SELECT c.account, c.external_id, '' FROM v JOIN change c
      ON c.account = v.account AND c.external_id = v.external_id
"""
_BY_DELIVERY = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT d.account, d.external_id, d.message_id FROM v JOIN delivery d
      ON d.account = v.account AND d.external_id = v.external_id
"""


def messages_there(tx: Query, ids: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Give the messages of (account, external id) pairs."""
    rows = tx.execute(_THERE, {"ids": sorted((account, "message", external) for account, external in ids)})
    return {(account, external): message for account, external, message in rows}


def messages_or_changes(
    tx: Query, ids: Iterable[tuple[str, str]]
) -> tuple[dict[tuple[str, str], str], set[tuple[str, str]]]:
    """Give the messages of (account, external id) pairs, and those pairs that something was done to."""
    rows = tx.execute(_THERE_OR_CHANGED, {"ids": sorted((account, "message", external) for account, external in ids)})
    there = {(account, external): message for account, external, message in rows if message}
    return there, {(account, external) for account, external, message in rows if not message}


def messages_of_parts(tx: Query, ids: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Give our messages by (account, external id) of one of their parts."""
    return {(account, external): message for account, external, message in tx.execute(_BY_DELIVERY, {"ids": ids})}


def conversation_of(tx: Tx, account: str, channel: str, address: Address, thread: str) -> tuple[str, people.Person]:
    """Find the conversation with an address, or begin one; gives its id, and who it is."""
    person = people.resolve(tx, [(account, address)])[people.key_of(account, address)]
    spot = (account, person.address, thread)
    ids, new = people.places(tx, {spot: (channel, person.contact)})
    if new:
        tx.tell("conversation.opened", account=account, conversation=ids[spot])
    return ids[spot], person


__all__ = ["conversation_of", "messages_of_parts", "messages_or_changes", "messages_there"]
