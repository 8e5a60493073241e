"""Who is meant by an address, what names them, and how much is kept of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ..errors import Conflict, NotFound
from ..model import Address, Alias, Person
from ..store import Query

_SHORTEST = 3  # signs of a value that is looked for in texts; a shorter one stands in everything
_BY_VALUE = """
    SELECT contact_id, kind FROM address WHERE value IN (:values[])
    UNION SELECT a.contact_id, l.kind FROM alias l JOIN address a ON a.id = l.address_id WHERE l.value IN (:values[])
    ORDER BY 1, 2
"""
_CONTACT = "SELECT name FROM contact WHERE id = :id"
_ADDRESSES = "SELECT id, scope, kind, value, name FROM address WHERE contact_id = :id ORDER BY kind, value, scope"
# What they claimed, and is another's address, names that other one.
_ALIASES = """
    SELECT l.address_id, l.kind, l.value, l.scope FROM alias l
    WHERE l.address_id IN (SELECT id FROM address WHERE contact_id = :id)
      AND NOT (l.scope LIKE 'said:%' AND EXISTS (SELECT 1 FROM address o WHERE o.kind = l.kind AND o.scope = ''
               AND o.value = l.value AND o.contact_id <> :id))
    ORDER BY l.kind, l.value, l.scope
"""
_CONVERSATIONS = """
    SELECT c.id FROM conversation c JOIN address a ON a.id = c.address_id WHERE a.contact_id = :id ORDER BY c.id
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM message WHERE conversation_id IN (:ids[])),
           (SELECT count(*) FROM attachment a JOIN message m ON m.id = a.message_id WHERE m.conversation_id IN (:ids[])),
           (SELECT count(*) FROM delivery WHERE conversation_id IN (:ids[]) AND state = 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How much there is of somebody."""

    messages: int
    files: int
    waiting: int  # parts of replies that have not gone yet


def find(query: Query, text: str) -> Person:
    """Give whoever an address names: `kind:value`, a value alone in any usual form, or a contact's id.

    Errors: `NotFound`; `Conflict` where it names several, with the ids by which they are told apart.
    """
    text = text.strip()
    if (person := by_contact(query, text)) is not None:
        return person
    kind, _, value = text.partition(":")
    rows = query.execute(_BY_VALUE, {"values": _forms(text)})
    if value:
        rows += [row for row in query.execute(_BY_VALUE, {"values": _forms(value)}) if row[1] == kind]
    contacts = sorted({row[0] for row in rows})
    found = [person for one in contacts if (person := by_contact(query, one)) is not None]
    if not found:
        raise NotFound(f'nobody is known by "{text}"; talkwire find looks for parts of addresses and names')
    if len(found) > 1:
        named = "\n".join(f"  {one.contact}  {described(one)}" for one in found)
        raise Conflict(f'"{text}" names {len(found)} people; say which, by the id:\n{named}')
    return found[0]


def by_contact(query: Query, contact: str) -> Person | None:
    """Give a person by the contact's id; None: there is none."""
    row = query.one(_CONTACT, {"id": contact})
    if row is None:
        return None
    aliases: dict[str, list[Alias]] = {}
    for address, kind, value, scope in query.execute(_ALIASES, {"id": contact}):
        aliases.setdefault(address, []).append(Alias(kind, value, claimed=scope.startswith("said:")))
    addresses = [
        (scope, Address(kind=kind, value=value, name=name, aliases=tuple(aliases.get(id_, ()))))
        for id_, scope, kind, value, name in query.execute(_ADDRESSES, {"id": contact})
    ]
    conversations = [row[0] for row in query.execute(_CONVERSATIONS, {"id": contact})]
    return Person(contact=contact, name=row[0], addresses=tuple(addresses), conversations=tuple(conversations))


def kept(query: Query, person: Person) -> Kept:
    """Count what there is of somebody."""
    if not person.conversations:
        return Kept(messages=0, files=0, waiting=0)
    [(messages, files, waiting)] = query.execute(_COUNTS, {"ids": person.conversations})
    return Kept(messages=messages, files=files, waiting=waiting)


def described(person: Person) -> str:
    """Name somebody for an operator: name and addresses."""
    places = [f"{a.kind}:{a.value}" + (f" ({account})" if account else "") for account, a in person.addresses]
    return ", ".join([*([person.name] if person.name else []), *places])


def values_of(person: Person) -> Sequence[str]:
    """Give everything that names a person alone: the values of addresses and their aliases."""
    return sorted({value for _, a in person.addresses for value in (a.value, *(alias.value for alias in a.aliases))})


def traces_of(person: Person) -> re.Pattern[bytes] | None:
    """Make what finds a person's addresses in raw bytes, as URLs, JSON and forms write them; None: they are too short.

    A number is found where no other digit or letter stands beside it.
    """
    forms = {form.encode() for value in values_of(person) for form in _written(value) if len(form) >= _SHORTEST}
    if not forms:
        return None
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile(
        b"(?<![0-9A-Za-z])(?:" + b"|".join(map(re.escape, longest_first)) + b")(?![0-9A-Za-z])", re.IGNORECASE
    )


def _written(value: str) -> Iterable[str]:
    bare = value.removeprefix("+")
    yield from (
        value,
        bare,
        quote(value, safe=""),
        quote(bare, safe=""),
        json.dumps(value)[1:-1],
        json.dumps(bare)[1:-1],
    )


def _forms(text: str) -> list[str]:
    """Give the forms in which what somebody typed may be stored."""
    digits = re.sub(r"[\s().\-/]", "", text)
    digits = f"+{digits[2:]}" if digits.startswith("00") else digits
    phones = [digits, f"+{digits}"] if re.fullmatch(r"\+?[0-9]{4,15}", digits) else []
    return list(dict.fromkeys([text, text.lower(), *phones]))
