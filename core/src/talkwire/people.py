"""Who writes to us, and where their messages belong: contacts, addresses, conversations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .ids import new_id
from .model import GLOBAL_KINDS, Address
from .store import Tx

Key = tuple[str, str, str]  # kind, scope, value
Place = tuple[str, str, str]  # account, address id, thread

_FIND = """
    WITH v(kind, scope, value) AS (VALUES :keys[3])
    SELECT a.kind, a.scope, a.value, a.id, a.contact_id, a.name
    FROM v JOIN address a ON a.kind = v.kind AND a.scope = v.scope AND a.value = v.value
"""
_FIND_ALIAS = """
    WITH v(kind, scope, value) AS (VALUES :keys[3])
    SELECT v.kind, v.scope, v.value, a.id, a.contact_id, a.name
    FROM v JOIN alias l ON l.kind = v.kind AND l.scope = v.scope AND l.value = v.value
    JOIN address a ON a.id = l.address_id
"""
_INSERT_CONTACT = "INSERT INTO contact (id, name, created_at) VALUES (:id, :name, :at)"
_INSERT_ADDRESS = """
    INSERT INTO address (id, kind, scope, value, contact_id, name, created_at)
    VALUES (:id, :kind, :scope, :value, :contact, :name, :at)
    ON CONFLICT (kind, scope, value) DO NOTHING
"""
_INSERT_ALIAS = """
    INSERT INTO alias (kind, scope, value, address_id) VALUES (:kind, :scope, :value, :address)
    ON CONFLICT (kind, scope, value) DO NOTHING
"""
_RENAME = "UPDATE address SET name = :name WHERE id = :id"
_DROP_CONTACT = "DELETE FROM contact WHERE id = :id"

_FIND_PLACES = """
    WITH v(account, address_id, thread) AS (VALUES :places[3])
    SELECT c.id, c.account, c.address_id, c.thread
    FROM v JOIN conversation c
      ON c.account = v.account AND c.address_id = v.address_id AND c.thread = v.thread
"""
_INSERT_PLACE = """
    INSERT INTO conversation (id, account, channel, address_id, thread, contact_id, created_at)
    VALUES (:id, :account, :channel, :address, :thread, :contact, :at)
    ON CONFLICT (account, address_id, thread) DO NOTHING
"""


@dataclass(slots=True)
class Person:
    """An address that is in the store."""

    address: str  # id
    contact: str  # id
    name: str


def key_of(account: str, address: Address) -> Key:
    """Say under which key an address is one person's."""
    return address.kind, "" if address.kind in GLOBAL_KINDS else account, address.value


def resolve(tx: Tx, wanted: Iterable[tuple[str, Address]]) -> dict[Key, Person]:
    """Find the persons of (account, address) pairs; whoever is not there is made.

    Aliases find the same row; those that are new are kept. A name that the provider shows for the
    first time is kept.
    """
    addresses = {key_of(account, address): (account, address) for account, address in wanted}
    if not addresses:
        return {}
    found = _find(tx, _FIND, sorted(addresses))
    missing = {key: value for key, value in addresses.items() if key not in found}
    if missing:
        found |= _by_alias(tx, missing)
        missing = {key: value for key, value in missing.items() if key not in found}
    if missing:
        found |= _make(tx, missing)
    named = [
        {"id": found[key].address, "name": address.name}
        for key, (_, address) in sorted(addresses.items())
        if address.name and found[key].name != address.name
    ]
    tx.many(_RENAME, named)
    _keep_aliases(tx, addresses, found)
    return found


def _find(tx: Tx, sql: str, keys: Sequence[Key]) -> dict[Key, Person]:
    return {
        (kind, scope, value): Person(address, contact, name)
        for kind, scope, value, address, contact, name in tx.execute(sql, {"keys": keys})
    }


def _by_alias(tx: Tx, missing: dict[Key, tuple[str, Address]]) -> dict[Key, Person]:
    found = _find(tx, _FIND_ALIAS, sorted(missing))
    others = {
        key_of(account, Address(kind=alias.kind, value=alias.value)): key
        for key, (account, address) in missing.items()
        for alias in address.aliases
        if key not in found
    }
    if others:
        for sql in (_FIND, _FIND_ALIAS):
            for other, person in _find(tx, sql, sorted(others)).items():
                found.setdefault(others[other], person)
    return found


def _make(tx: Tx, missing: dict[Key, tuple[str, Address]]) -> dict[Key, Person]:
    made = {key: Person(new_id(), new_id(), missing[key][1].name) for key in sorted(missing)}
    tx.many(_INSERT_CONTACT, [(p.contact, p.name, tx.now_us) for p in made.values()])
    tx.many(
        _INSERT_ADDRESS,
        [(p.address, *key, p.contact, p.name, tx.now_us) for key, p in made.items()],
    )
    there = _find(tx, _FIND, sorted(made))
    # Another daemon may have made the same address meanwhile; its row won, our contact is empty.
    tx.many(
        _DROP_CONTACT,
        [{"id": p.contact} for key, p in made.items() if there[key].contact != p.contact],
    )
    return there


def _keep_aliases(
    tx: Tx, addresses: dict[Key, tuple[str, Address]], found: dict[Key, Person]
) -> None:
    tx.many(
        _INSERT_ALIAS,
        sorted(
            (*key_of(account, Address(kind=alias.kind, value=alias.value)), found[key].address)
            for key, (account, address) in addresses.items()
            for alias in address.aliases
        ),
    )


def places(
    tx: Tx, wanted: dict[Place, tuple[str, str]]
) -> tuple[dict[Place, str], frozenset[Place]]:
    """Find the conversations of places, make those that are missing, and lock all of them.

    `wanted` says for each place its channel and contact. Gives the ids, and which are new.
    """
    if not wanted:
        return {}, frozenset()
    found = _find_places(tx, wanted)
    new = frozenset(place for place in wanted if place not in found)
    if new:
        tx.many(
            _INSERT_PLACE,
            [
                (new_id(), place[0], wanted[place][0], place[1], place[2], wanted[place][1], tx.now_us)
                for place in sorted(new)
            ],
        )
        found = _find_places(tx, wanted)
    tx.lock("conversation", found.values())
    return found, new


def _find_places(tx: Tx, wanted: Iterable[Place]) -> dict[Place, str]:
    return {
        (account, address, thread): conversation
        for conversation, account, address, thread in tx.execute(
            _FIND_PLACES, {"places": sorted(wanted)}
        )
    }


def merge(tx: Tx, contact: str, into: str) -> None:
    """Make two contacts one: all addresses and conversations of both are kept."""
    values = {"old": contact, "new": into}
    tx.execute("UPDATE address SET contact_id = :new WHERE contact_id = :old", values)
    tx.execute("UPDATE conversation SET contact_id = :new WHERE contact_id = :old", values)
    tx.execute(_DROP_CONTACT, {"id": contact})
    tx.tell("contact.merged", ids={"contact": into, "merged": contact})
