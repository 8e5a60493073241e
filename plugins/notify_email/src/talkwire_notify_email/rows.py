"""The plugin's own tables: which mail went to whom, the links in it, the addresses that do not work."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from talkwire import Query, Tx

ANSWER, OFF = "answer", "off"  # kinds of links
_KEPT = timedelta(days=30)  # what was sent; a bounce comes within five days (RFC 5321, 4.5.4.1)

_BEGIN = """
    INSERT INTO notify_email_mail (notification, mail, address, at) VALUES (:notification, :mail, :address, :now)
    ON CONFLICT (notification) DO UPDATE SET
        mail = excluded.mail, address = excluded.address, at = excluded.at, begun = notify_email_mail.begun + 1
"""
_TAKEN = "UPDATE notify_email_mail SET is_taken = 1 WHERE notification IN (:notifications[])"
_TAKE_BACK = """
    UPDATE notify_email_mail SET begun = begun - 1 WHERE notification IN (:notifications[]) AND is_taken = 0
"""
_SENT = "SELECT notification, begun, is_taken FROM notify_email_mail WHERE notification IN (:notifications[])"
_OLD_MAILS = "DELETE FROM notify_email_mail WHERE at < :before"
_OLD_LINKS = "DELETE FROM notify_email_link WHERE until < :now"
_ADDRESS_OF = "SELECT address FROM notify_email_mail WHERE mail = :mail ORDER BY notification LIMIT 1"
_MAKE_LINK = """
    INSERT INTO notify_email_link (hash, kind, recipient, notification, until)
    VALUES (:hash, :kind, :recipient, :notification, :until)
"""
_LINK = "SELECT recipient, notification, until, used_at FROM notify_email_link WHERE hash = :hash AND kind = :kind"
_USE = "UPDATE notify_email_link SET used_at = :now WHERE hash = :hash AND used_at IS NULL"
_BOUNCED = "SELECT at, reason FROM notify_email_address WHERE address = :address"
_MARK = """
    INSERT INTO notify_email_address (address, at, reason) VALUES (:address, :now, :reason)
    ON CONFLICT (address) DO UPDATE SET at = excluded.at, reason = excluded.reason
"""
_FORGIVE = "DELETE FROM notify_email_address WHERE address = :address RETURNING address"
_BAD = "SELECT address, at, reason FROM notify_email_address ORDER BY address"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """Turn a moment into microseconds since 1970-01-01 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """Turn microseconds since 1970-01-01 UTC into a moment."""
    return _EPOCH + timedelta(microseconds=at)


def hashed(token: str) -> str:
    """Give what is kept of a link's token."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What is known of a notification's mail."""

    begun: int = 0  # how often its bytes began to leave, without an answer
    is_taken: bool = False  # a server has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link in a mail; its token is in no table."""

    kind: str
    recipient: str
    until: datetime
    notification: str = ""
    hash: str = ""
    used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A mail whose bytes are about to leave."""

    mail: str
    address: str
    notifications: tuple[str, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Bad:
    """An address that mail came back from."""

    address: str
    at: datetime
    reason: str


# --- mails ---------------------------------------------------------------------------------------------------


def sent(query: Query, notifications: Sequence[str]) -> dict[str, Sent]:
    """Say what is known of each notification's mail."""
    if not notifications:
        return {}
    rows = query.execute(_SENT, {"notifications": list(notifications)})
    known = {row[0]: Sent(begun=row[1], is_taken=bool(row[2])) for row in rows}
    return {one: known.get(one, Sent()) for one in notifications}


def begin(tx: Tx, items: Sequence[Leaving]) -> Sequence[None]:
    """Write down that a mail leaves, with its links, before the first byte of it does."""
    for one in sorted(items, key=lambda item: item.mail):
        for notification in sorted(one.notifications):
            values = {"notification": notification, "mail": one.mail, "address": one.address, "now": micros(tx.now)}
            tx.execute(_BEGIN, values)
        for link in sorted(one.links, key=lambda link: link.hash):
            whose = {"kind": link.kind, "recipient": link.recipient, "notification": link.notification}
            tx.execute(_MAKE_LINK, {"hash": link.hash, "until": micros(link.until), **whose})
    tx.execute(_OLD_MAILS, {"before": micros(tx.now - _KEPT)})
    tx.execute(_OLD_LINKS, {"now": micros(tx.now)})
    return [None] * len(items)


def taken(tx: Tx, items: Sequence[Sequence[str]]) -> Sequence[None]:
    """Write down that a server has the mail of these notifications."""
    for notifications in items:
        tx.execute(_TAKEN, {"notifications": sorted(notifications)})
    return [None] * len(items)


def not_taken(tx: Tx, items: Sequence[Sequence[str]]) -> Sequence[None]:
    """Write down that a server has surely not taken the mail of these notifications."""
    for notifications in items:
        tx.execute(_TAKE_BACK, {"notifications": sorted(notifications)})
    return [None] * len(items)


# --- links ---------------------------------------------------------------------------------------------------


def link(query: Query, kind: str, token: str) -> Link | None:
    """Give the link that a token belongs to; None: there is none, or it is over for long."""
    row = query.one(_LINK, {"hash": hashed(token), "kind": kind})
    if row is None:
        return None
    recipient, notification, until, used = row
    return Link(
        kind=kind,
        recipient=recipient,
        notification=notification,
        until=moment(until),
        hash=hashed(token),
        used=used is not None,
    )


def use(tx: Tx, items: Sequence[Link]) -> Sequence[None]:
    """Write down that a link was used."""
    for one in sorted(items, key=lambda item: item.hash):
        tx.execute(_USE, {"hash": one.hash, "now": micros(tx.now)})
    return [None] * len(items)


# --- addresses -----------------------------------------------------------------------------------------------


def bad(query: Query, address: str) -> Bad | None:
    """Say since when and why an address does not work; None: it does, as far as is known."""
    row = query.one(_BOUNCED, {"address": address.lower()})
    return None if row is None else Bad(address, moment(row[0]), row[1])


def all_bad(query: Query) -> list[Bad]:
    """List the addresses that do not work."""
    return [Bad(row[0], moment(row[1]), row[2]) for row in query.execute(_BAD)]


def mark(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Write down that an address does not work, and why: (address, reason)."""
    for address, reason in sorted(items):
        tx.execute(_MARK, {"address": address.lower(), "now": micros(tx.now), "reason": reason[:300]})
    return [None] * len(items)


def came_back(tx: Tx, mail: str, reason: str) -> bool:
    """Mark the address of a mail of ours that came back; False: it is none of ours."""
    row = tx.one(_ADDRESS_OF, {"mail": mail})
    if row is not None:
        mark(tx, [(row[0], reason)])
    return row is not None


def forgive(tx: Tx, items: Sequence[str]) -> Sequence[bool]:
    """Forget that addresses did not work; False: it was not known of that one."""
    return [bool(tx.execute(_FORGIVE, {"address": address.lower()})) for address in items]
