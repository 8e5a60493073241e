"""Who writes to us, and where their messages belong: contacts, addresses, conversations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .ids import new_id
from .model import GLOBAL_KINDS, Address
from .store import Query, Tx
from .store.writer import RunAgain

Key = tuple[str, str, str]  # kind, scope, value
Place = tuple[str, str, str]  # account, address id, thread

_FIND = """
    WITH v(kind, scope, value) AS (VALUES :keys[3])
    SELECT a.kind, a.scope, a.value, a.id, a.contact_id, a.name, a.kind, a.scope
    FROM v JOIN address a ON a.kind = v.kind AND a.scope = v.scope AND a.value = v.value
"""
_MEET = """
    WITH v(kind, scope, value, account, thread) AS (VALUES :keys[5])
    SELECT v.account, v.thread, c.id, a.kind, a.scope, a.value, a.id, a.contact_id, a.name
    FROM v JOIN address a ON a.kind = v.kind AND a.scope = v.scope AND a.value = v.value
    LEFT JOIN conversation c ON c.account = v.account AND c.address_id = a.id AND c.thread = v.thread
"""
_FIND_ALIAS = """
    WITH v(kind, scope, value) AS (VALUES :keys[3])
    SELECT v.kind, v.scope, v.value, a.id, a.contact_id, a.name, a.kind, a.scope
    FROM v JOIN alias l ON l.kind = v.kind AND l.scope = v.scope AND l.value = v.value
    JOIN address a ON a.id = l.address_id
"""
_NAMED = """
    WITH v(kind, scope, value) AS (VALUES :keys[3])
    SELECT v.kind, v.scope, v.value, 0, a.id, a.contact_id
    FROM v JOIN address a ON a.kind = v.kind AND a.scope = v.scope AND a.value = v.value
    UNION ALL
    SELECT v.kind, v.scope, v.value, 1, a.id, a.contact_id
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
    INSERT INTO alias (kind, scope, value, address_id, created_at) VALUES (:kind, :scope, :value, :address, :at)
    ON CONFLICT (kind, scope, value) DO NOTHING
"""
_RENAME = "UPDATE address SET name = :name WHERE id = :id"
_NAME_CONTACT = """
    UPDATE contact SET name = :name
    WHERE name = '' AND id = (SELECT contact_id FROM address WHERE id = :id)
"""
_CONTACTS = "SELECT id FROM contact WHERE id IN (:ids[])"
_DROP_CONTACT = "DELETE FROM contact WHERE id = :id"
_TAKE_NAME = """
    UPDATE contact SET name = (SELECT name FROM contact WHERE id = :old) WHERE id = :new AND name = ''
"""

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

# What a contact is called elsewhere is an address too, where it means the same in every account; and so is what they
# said themselves, which is kept under a scope that nobody is looked for in.
WAY = "(l.scope = '' OR l.scope = 'said:' || l.address_id)"
_REACHED = f"""
    SELECT contact_id, kind, value, max(created_at) FROM (
        SELECT contact_id, kind, value, created_at FROM address WHERE contact_id IN (:ids[])
        UNION ALL
        SELECT a.contact_id, l.kind, l.value, l.created_at FROM alias l JOIN address a ON a.id = l.address_id
        WHERE a.contact_id IN (:ids[]) AND {WAY}
    ) way GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 2, 3
"""


@dataclass(slots=True)
class Person:
    """An address that is in the store."""

    address: str  # id
    contact: str  # id
    name: str
    kind: str
    scope: str


def key_of(account: str, address: Address) -> Key:
    """Say under which key an address is one person's."""
    return address.kind, "" if address.kind in GLOBAL_KINDS else account, address.value


@dataclass(frozen=True, slots=True)
class Met:
    """Who is in the store already, under the address as it is written, and which of their conversations."""

    persons: Mapping[Key, Person]
    places: Mapping[Place, str]


def meet(tx: Query, wanted: Iterable[tuple[str, Address, str]]) -> Met:
    """Look for the persons of (account, address, thread) and for their conversations there, with one statement."""
    persons: dict[Key, Person] = {}
    places: dict[Place, str] = {}
    keys = {(*key_of(account, address), account, thread) for account, address, thread in wanted}
    for account, thread, conversation, kind, scope, value, address, contact, name in tx.execute(
        _MEET, {"keys": sorted(keys)}
    ):
        persons[kind, scope, value] = Person(address, contact, name, kind, scope)
        if conversation is not None:
            places[account, address, thread] = conversation
    return Met(persons, places)


def resolve(
    tx: Tx, wanted: Iterable[tuple[str, Address]], *, known: Mapping[Key, Person] | None = None
) -> dict[Key, Person]:
    """Find the persons of (account, address) pairs; whoever is not there is made. `known` are those whom `meet` found.

    Aliases find the same row, and are kept; what is only claimed is kept too, and finds nobody. What one account calls
    another name of an address is to other accounts one more address of the contact, for they cannot write there.
    Contacts that an alias shows to be one person are merged. The name that a provider shows is the address's; a contact
    without a name takes it over.
    """
    names: dict[Key, str] = {}
    accounts: dict[Key, set[str]] = {}
    aliases: dict[Key, set[Key]] = {}
    said: dict[Key, set[tuple[str, str]]] = {}
    for account, address in wanted:
        key = key_of(account, address)
        names[key] = address.name or names.get(key, "")
        accounts.setdefault(key, set()).add(account)
        others = aliases.setdefault(key, set())
        for alias in address.aliases:
            if alias.claimed:
                said.setdefault(key, set()).add((alias.kind, alias.value))
            else:
                others.add((alias.kind, "" if alias.kind in GLOBAL_KINDS else account, alias.value))
    if not names:
        return {}
    found = _find(tx, _FIND, names) if known is None else dict(known)
    called: dict[Key, Person] = {}  # otherwise
    missing = [key for key in sorted(names) if key not in found]
    if missing:
        called = _by_alias(tx, {key: aliases[key] for key in missing})
        for key, person in called.items():
            if person.kind == key[0] or accounts[key] <= {person.scope, key[1]}:
                found[key] = person
                aliases[key].add(key)  # found by another name: from now on by this one as well
    if missing := [key for key in missing if key not in found]:
        contacts = {key: called[key].contact for key in missing if key in called}
        found |= _make(tx, {key: names[key] for key in missing}, aliases, contacts)
    stored = _merge_aliased(tx, found, aliases)
    _rename(tx, {found[key].address: name for key, name in names.items() if name and found[key].name != name})
    tx.many(
        _INSERT_ALIAS,
        sorted(
            (*alias, found[key].address, tx.now_us)
            for key, others in aliases.items()
            for alias in others
            if alias not in stored  # most say again what is known
        ),
    )
    tx.many(
        _INSERT_ALIAS,
        sorted(
            (kind, f"said:{found[key].address}", value, found[key].address, tx.now_us)
            for key, values in said.items()
            for kind, value in values
        ),
    )
    return {key: found[key] for key in names}


def _find(tx: Tx, sql: str, keys: Iterable[Key]) -> dict[Key, Person]:
    return {
        (kind, scope, value): Person(*person) for kind, scope, value, *person in tx.execute(sql, {"keys": sorted(keys)})
    }


def _by_alias(tx: Tx, missing: dict[Key, set[Key]]) -> dict[Key, Person]:
    found = _find(tx, _FIND_ALIAS, missing)
    others = {other: key for key, aliases in missing.items() for other in aliases if key not in found}
    if others:
        for sql in (_FIND, _FIND_ALIAS):
            for other, person in _find(tx, sql, others).items():
                found.setdefault(others[other], person)
    return found


def _make(tx: Tx, names: dict[Key, str], aliases: dict[Key, set[Key]], contacts: dict[Key, str]) -> dict[Key, Person]:
    made: dict[Key, Person] = {}
    same: dict[Key, Key] = {}  # who is named as an alias of somebody who is made as well
    for key in sorted(names, key=lambda key: (not aliases[key], key)):
        if key not in same:
            made[key] = Person(new_id(), contacts.get(key) or new_id(), names[key], *key[:2])
            same |= {other: key for other in aliases[key] if other in names and other not in made}
    _stay(tx, contacts.values())
    ours = [(key, p) for key, p in sorted(made.items(), key=lambda pair: pair[0]) if key not in contacts]
    tx.many(_INSERT_CONTACT, [(p.contact, p.name, tx.now_us) for _, p in ours])
    tx.many(
        _INSERT_ADDRESS,
        [(p.address, *key, p.contact, p.name, tx.now_us) for key, p in sorted(made.items())],
    )
    there = _find(tx, _FIND, made)
    # Another daemon may have made the same address meanwhile; its row won, our contact is empty.
    tx.many(
        _DROP_CONTACT,
        [{"id": p.contact} for key, p in ours if there[key].contact != p.contact],
    )
    return there | {key: there[first] for key, first in same.items()}


def _merge_aliased(tx: Tx, found: dict[Key, Person], aliases: dict[Key, set[Key]]) -> set[Key]:
    """Make the contacts one that an alias shows to be one person; gives the aliases that are stored as they are said."""
    others = {other: key for key in found for other in aliases.get(key, ()) if other != key}
    if not others:
        return set()
    stored: set[Key] = set()
    merged: set[str] = set()
    for kind, scope, value, is_alias, address, contact in tx.execute(_NAMED, {"keys": sorted(others)}):
        key = others[kind, scope, value]
        into = found[key].contact
        if is_alias and address == found[key].address:
            stored.add((kind, scope, value))
        if contact != into and contact not in merged:
            merge(tx, contact, into)
            merged.add(contact)
            for one in found.values():
                one.contact = into if one.contact == contact else one.contact
    return stored


def _rename(tx: Tx, names: dict[str, str]) -> None:
    tx.many(_RENAME, [{"id": address, "name": name} for address, name in sorted(names.items())])
    tx.many(_NAME_CONTACT, [{"id": address, "name": name} for address, name in sorted(names.items())])


def reached(query: Query, contacts: Sequence[str]) -> list[Key]:
    """Say where contacts can be written to: (contact, kind, value), what was learnt last first."""
    if not contacts:
        return []
    return [(row[0], row[1], row[2]) for row in query.execute(_REACHED, {"ids": list(contacts)})]


def places(
    tx: Tx, wanted: dict[Place, tuple[str, str]], *, also: Iterable[str] = ()
) -> tuple[dict[Place, str], frozenset[Place]]:
    """Find the conversations of places, make those that are missing, and lock all of them.

    `wanted` says for each place its channel and contact; `also` are conversations to be locked with them. Gives the
    ids, and which are new.
    """
    found, new = find_places(tx, wanted)
    tx.lock("conversation", [*found.values(), *also])
    return found, new


def find_places(
    tx: Tx, wanted: Mapping[Place, tuple[str, str]], *, known: Mapping[Place, str] = MappingProxyType({})
) -> tuple[dict[Place, str], frozenset[Place]]:
    """Do as `places`, and lock nothing yet. `known` are those that `meet` found."""
    found = {place: known[place] for place in wanted if place in known}
    if unknown := [place for place in wanted if place not in found]:
        found |= _find_places(tx, unknown)
    made = {place: new_id() for place in sorted(wanted) if place not in found}
    if made:
        _stay(tx, (wanted[place][1] for place in made))
        tx.many(
            _INSERT_PLACE,
            [
                (id_, place[0], wanted[place][0], place[1], place[2], wanted[place][1], tx.now_us)
                for place, id_ in made.items()
            ],
        )
        found |= _find_places(tx, made)
    # Another transaction may have made the same one meanwhile; then it is not new to us.
    return found, frozenset(place for place, id_ in made.items() if found[place] == id_)


def _find_places(tx: Tx, wanted: Iterable[Place]) -> dict[Place, str]:
    return {
        (account, address, thread): conversation
        for conversation, account, address, thread in tx.execute(_FIND_PLACES, {"places": sorted(wanted)})
    }


def merge(tx: Tx, contact: str, into: str) -> None:
    """Make two contacts one: all addresses and conversations of both are kept."""
    _stay(tx, (contact, into))
    values = {"old": contact, "new": into}
    tx.execute(_TAKE_NAME, values)
    tx.execute("UPDATE address SET contact_id = :new WHERE contact_id = :old", values)
    tx.execute("UPDATE conversation SET contact_id = :new WHERE contact_id = :old", values)
    tx.execute(_DROP_CONTACT, {"id": contact})
    tx.tell("contact.merged", ids={"contact": into, "merged": contact})


def _stay(tx: Tx, contacts: Iterable[str]) -> None:
    """Let nobody merge these contacts into others before this transaction has ended.

    Errors: `RunAgain` where another transaction did so since we looked; what is read anew says into which.
    """
    if wanted := sorted(set(contacts)):
        tx.lock("contact", wanted)
        if len(tx.execute(_CONTACTS, {"ids": wanted})) < len(wanted):
            raise RunAgain
