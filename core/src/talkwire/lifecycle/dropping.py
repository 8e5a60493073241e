"""Messages, conversations and raw rows are deleted, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..store import Row, Tx
from ..work import lanes

_ROWS = 200  # messages of one transaction


@dataclass(slots=True)
class Gone:
    """What one transaction took, or all of them."""

    messages: set[str] = field(default_factory=set)
    envelopes: int = 0
    hashes: set[str] = field(default_factory=set)  # of contents that a row named

    def add(self, other: Gone) -> None:
        self.messages |= other.messages
        self.envelopes += other.envelopes
        self.hashes |= other.hashes


_MESSAGES = """
    SELECT id, envelope_id, account, external_id FROM message WHERE conversation_id IN (:ids[])
    ORDER BY conversation_id, n LIMIT :most
"""
_DELIVERIES = "SELECT id, account, external_id, conversation_id, recipient FROM delivery WHERE message_id IN (:ids[])"
_REPORTED = "SELECT DISTINCT envelope_id FROM report WHERE delivery_id IN (:ids[])"
_BODIES = "SELECT DISTINCT body_ref FROM envelope WHERE id IN (:ids[]) AND body_ref <> ''"
_FILES = "SELECT id, sha256 FROM attachment WHERE message_id IN (:ids[])"
_CHANGED = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT c.id, c.envelope_id FROM v JOIN change c ON c.account = v.account AND c.external_id = v.external_id
    UNION SELECT id, envelope_id FROM change WHERE message_id IN (:messages[])
"""
_WAITING_REPORTS = "DELETE FROM report WHERE delivery_id IS NULL AND account = :account AND external_id = :external"


def drop_messages(tx: Tx, items: Sequence[Sequence[str]]) -> Sequence[Gone]:
    """Delete the first messages of conversations, with all that belongs to them; nothing: there are none."""
    return [messages_gone(tx, tx.execute(_MESSAGES, {"ids": list(ids), "most": _ROWS})) for ids in items]


def messages_gone(tx: Tx, rows: Sequence[Row]) -> Gone:
    """Delete messages of (id, envelope, account, external id), with all that belongs to them."""
    if not rows:
        return Gone()
    messages = sorted(row[0] for row in rows)
    tx.lock(
        "message", messages
    )  # what is done to them meanwhile, an edit with a file, is seen below, or comes too late
    parts = tx.execute(_DELIVERIES, {"ids": messages})
    deliveries = sorted(row[0] for row in parts)
    envelopes = {row[1] for row in rows}
    envelopes |= {row[0] for row in tx.execute(_REPORTED, {"ids": deliveries})} if deliveries else set()
    external = sorted(
        {(account, id_) for _, _, account, id_ in rows if id_} | {(a, id_) for _, a, id_, *_ in parts if id_}
    )
    changes = tx.execute(_CHANGED, {"ids": external or [("", "")], "messages": messages})
    raw = sorted((envelopes | {row[1] for row in changes}) - {""})
    gone = _envelopes_gone(tx, raw)
    gone.messages.update(messages)
    files = tx.execute(_FILES, {"ids": messages})
    gone.hashes |= {row[1] for row in files if row[1]}
    delete(tx, "message", "id", messages)
    delete(tx, "change", "id", sorted(row[0] for row in changes))
    delete(tx, "delivery", "id", deliveries)
    delete(tx, "report", "delivery_id", deliveries)
    tx.many(_WAITING_REPORTS, external)
    delete(tx, "attachment", "message_id", messages)
    lanes.drop(tx, "fetch", sorted(row[0] for row in files))
    lanes.drop(tx, "send", deliveries)
    _copies_gone(tx, {(f"send:{part[1]}", lanes.of_part(part[3], part[4])) for part in parts if part[4]})
    delete(tx, "exchange", "delivery_id", deliveries)
    return gone


def delete(tx: Tx, table: str, column: str, keys: Sequence[Any]) -> int:
    """Delete the rows of a table that have one of these keys; gives how many."""
    if not keys:
        return 0
    return len(tx.execute(f"DELETE FROM {table} WHERE {column} IN (:keys[]) RETURNING 1", {"keys": keys}))


_LANES = "SELECT id FROM lane WHERE grp IN (:groups[]) AND subject IN (:subjects[])"


def _lanes_gone(tx: Tx, groups: Sequence[str], subjects: Sequence[str]) -> None:
    """Delete lanes with what they promise, whoever serves them."""
    ids = [row[0] for row in tx.execute(_LANES, {"groups": groups, "subjects": subjects})] if subjects else []
    if ids:
        tx.lock("lane", ids)
        delete(tx, "lane", "id", ids)
        delete(tx, "task", "lane_id", ids)


_IDLE = """
    DELETE FROM lane WHERE id IN (:lanes[]) AND NOT EXISTS (SELECT 1 FROM task WHERE task.lane_id = lane.id)
"""


def _copies_gone(tx: Tx, places: set[tuple[str, str]]) -> None:
    """Delete the lanes of copies in which nothing waits."""
    if not places:
        return
    groups, subjects = (sorted(set(names)) for names in zip(*places, strict=True))
    if ids := [row[0] for row in tx.execute(_LANES, {"groups": groups, "subjects": subjects})]:
        tx.lock("lane", ids)
        tx.execute(_IDLE, {"lanes": ids})


def drop_raw(tx: Tx, items: Sequence[tuple[str, Sequence[int], Sequence[str]]]) -> Sequence[Gone]:
    """Delete rows of (table, ids, envelopes that brought them)."""
    results = []
    for table, ids, envelopes in items:
        results.append(_envelopes_gone(tx, envelopes))
        delete(tx, table, "id", ids)
    return results


def _envelopes_gone(tx: Tx, ids: Sequence[str]) -> Gone:
    if not ids:
        return Gone()
    hashes = {row[0] for row in tx.execute(_BODIES, {"ids": ids})}
    return Gone(envelopes=delete(tx, "envelope", "id", ids), hashes=hashes)


# --- conversations ---------------------------------------------------------------------------------------

_ANY = "SELECT 1 FROM message WHERE conversation_id IN (:ids[]) LIMIT 1"
_NOTIFICATIONS = "SELECT id FROM notification WHERE conversation IN (:ids[])"
_NOTICES = "DELETE FROM keep WHERE account IN (:accounts[]) AND name LIKE :name"
_OF_PLACES = """
    SELECT c.account, c.address_id, a.contact_id, a.value FROM conversation c JOIN address a ON a.id = c.address_id
    WHERE c.id IN (:ids[])
"""
_GROUPS = """
    SELECT 'read:' || name FROM reader UNION SELECT 'notify:' || medium FROM notification_medium
"""
_NAMELESS = """
    SELECT id FROM address WHERE id IN (:ids[])
    AND NOT EXISTS (SELECT 1 FROM conversation c WHERE c.address_id = address.id) ORDER BY id
"""
_ALONE = """
    SELECT id FROM contact WHERE id IN (:ids[])
    AND NOT EXISTS (SELECT 1 FROM address a WHERE a.contact_id = contact.id) ORDER BY id
"""


def places_gone(tx: Tx, conversations: Sequence[str]) -> list[Row]:
    """Delete conversations in which nothing is said any more, and what waits in them; gives whose they were."""
    if not conversations:
        return []
    whose = tx.execute(_OF_PLACES, {"ids": conversations})
    notifications = sorted(row[0] for row in tx.execute(_NOTIFICATIONS, {"ids": conversations}))
    accounts = sorted({row[0] for row in whose})
    for conversation in conversations:
        tx.execute(_NOTICES, {"accounts": accounts, "name": f"notice:{conversation}:%"})
    delete(tx, "conversation", "id", conversations)
    delete(tx, "parked", "conversation", conversations)
    signals = sorted({f"{account}:{value}" for account, _, _, value in whose})
    groups = ["do", *(f"send:{account}" for account in accounts), *(row[0] for row in tx.execute(_GROUPS))]
    _lanes_gone(tx, sorted(groups), [*conversations, *notifications, *signals])
    delete(tx, "timer", "subject", conversations)
    notifications_gone(tx, notifications)
    return whose


def notifications_gone(tx: Tx, ids: Sequence[str]) -> None:
    """Delete notifications with all that belongs to them; a promise to show one finds nothing to show."""
    delete(tx, "notification", "id", ids)
    delete(tx, "notification_medium", "notification_id", ids)
    delete(tx, "notification_event", "notification_id", ids)


def is_anything_said(tx: Tx, conversations: Sequence[str]) -> bool:
    """Say whether there is a message in one of these conversations."""
    return bool(conversations) and tx.one(_ANY, {"ids": conversations}) is not None


_SILENT = """
    UPDATE conversation SET last_text = '', subject = ''
    WHERE id IN (:ids[]) AND (last_text <> '' OR subject <> '')
    AND NOT EXISTS (SELECT 1 FROM message WHERE conversation_id = conversation.id)
"""


def fall_silent(tx: Tx, conversations: Sequence[str]) -> None:
    """Let conversations in which no message is left say nothing of the last one."""
    tx.lock("conversation", conversations)
    tx.execute(_SILENT, {"ids": conversations})


def drop_places(tx: Tx, items: Sequence[Sequence[str]]) -> Sequence[None]:
    """Delete conversations in which nothing is said any more, and people who have no other one."""
    for ids in items:
        tx.lock("conversation", ids)
        whose = [] if is_anything_said(tx, ids) else places_gone(tx, ids)
        addresses = sorted({row[1] for row in whose})
        alone = [row[0] for row in tx.execute(_NAMELESS, {"ids": addresses})] if addresses else []
        delete(tx, "address", "id", alone)
        delete(tx, "alias", "address_id", alone)
        contacts = sorted({row[2] for row in whose})
        delete(tx, "contact", "id", [r[0] for r in tx.execute(_ALONE, {"ids": contacts})] if contacts else [])
    return [None] * len(items)


def drop_rows(tx: Tx, items: Sequence[tuple[str, Sequence[Any]]]) -> Sequence[Gone]:
    """Delete rows of (table, ids) that belong to nothing else; gives the contents that they named."""
    results = []
    for table, ids in items:
        if table == "envelope":
            results.append(_envelopes_gone(tx, list(ids)))
            continue
        named = tx.execute(_CONTENTS, {"ids": ids}) if table == "attachment" else []
        delete(tx, table, "id", ids)
        results.append(Gone(hashes={row[0] for row in named}))
    return results


_CONTENTS = "SELECT DISTINCT sha256 FROM attachment WHERE id IN (:ids[]) AND sha256 <> ''"
