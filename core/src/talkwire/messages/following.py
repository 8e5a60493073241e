"""What a message follows: the names by which it says so, and the thread that they give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..model import Inbound
from ..store import Tx

LONGEST = 2000  # bytes of a name: an index of PostgreSQL takes 2,704 of a row
_MOST = 50  # names of one message that are looked up, nearest first
_AT_ONCE = 2000  # names that one statement asks for: a database takes some ten thousand values
_Name = tuple[str, str]  # account, name

# The kind is a column of what is asked for, as in `admission`.
_KNOWN = """
    WITH v(account, kind, name) AS (VALUES :names[3])
    SELECT v.account, v.name, c.address_id, c.thread, m.id FROM v
    JOIN message m ON m.account = v.account AND m.known_as = v.name AND m.known_as <> ''
    JOIN conversation c ON c.id = m.conversation_id
    UNION
    SELECT v.account, v.name, c.address_id, c.thread, m.id FROM v
    JOIN message m ON m.account = v.account AND m.kind = v.kind AND m.external_id = v.name
    JOIN conversation c ON c.id = m.conversation_id
    UNION
    SELECT v.account, v.name, c.address_id, c.thread, d.message_id FROM v
    JOIN delivery d ON d.id = v.name AND d.account = v.account
    JOIN conversation c ON c.id = d.conversation_id
    UNION
    SELECT v.account, v.name, c.address_id, c.thread, d.message_id FROM v
    JOIN delivery d ON d.account = v.account AND d.external_id = v.name AND d.external_id IS NOT NULL
    JOIN conversation c ON c.id = d.conversation_id
    ORDER BY 5
"""


@dataclass(frozen=True, slots=True)
class Followed:
    """What one message of a batch follows."""

    thread: str = ""
    message: str = ""  # id of a stored one; empty: there is none, or it is not known which of several
    item: int | None = None  # position in the batch of what is followed; None: it is not in the batch


def name_of(item: Inbound) -> str:
    """Give the name by which later messages mean this one, where that is not its external id; empty: none."""
    return item.known_as if _is_short(item.known_as) else ""


def _is_short(name: str) -> bool:
    return len(name) <= LONGEST // 4 or len(name.encode()) <= LONGEST


def lock(tx: Tx, accounts: Sequence[str]) -> None:
    """Let one transaction after the other decide what follows what in these accounts.

    Two that are open at once, one with a message and one with what follows it, would not see each other.
    """
    tx.lock("account_state", accounts, "account")


def follow(tx: Tx, batch: Sequence[tuple[str, str, Inbound]]) -> list[Followed]:
    """Say for each (account, id of the address, item) of a batch what it follows, and in which thread it belongs.

    The first name that is known decides: by what is stored, or by another item of the batch, wherever that stands.
    """
    asked = [[(account, name) for name in _names(item)] for account, _, item in batch]
    known = _known(tx, {name for names in asked for name in names})
    here: dict[_Name, int] = {}
    for place, (account, _, item) in enumerate(batch):
        for name in (name_of(item), item.external_id):
            here.setdefault((account, name), place)
    found = [
        _first(names, batch[place][1], known, {name: at for name in names if (at := here.get(name, place)) != place})
        for place, names in enumerate(asked)
    ]
    return _threads(found, [item.thread for _, _, item in batch])


def _names(item: Inbound) -> list[str]:
    return [name for name in dict.fromkeys(item.follows[:_MOST]) if name and _is_short(name)]


def _known(tx: Tx, names: set[_Name]) -> dict[_Name, list[tuple[str, str, str]]]:
    """Give (address id, thread, message id) of what is stored under (account, name), the oldest first."""
    found: dict[_Name, list[tuple[str, str, str]]] = {}
    wanted = sorted((account, "message", name) for account, name in names)
    for start in range(0, len(wanted), _AT_ONCE):
        for account, name, *what in tx.execute(_KNOWN, {"names": wanted[start : start + _AT_ONCE]}):
            found.setdefault((account, name), []).append((what[0], what[1], what[2]))
    return found


def _first(
    names: Sequence[_Name],
    address: str,
    known: Mapping[_Name, Sequence[tuple[str, str, str]]],
    here: Mapping[_Name, int],
) -> Followed | None:
    for name in names:
        if there := known.get(name):
            # Two mails with one Message-ID: whoever writes means the one that is in a talk of theirs.
            own = [one for one in there if one[0] == address] or there
            message = own[0][2] if len({one[2] for one in own}) == 1 else ""
            return Followed(own[0][1], message)
        if name in here:
            return Followed(item=here[name])
    return None


def _threads(found: Sequence[Followed | None], threads: Sequence[str]) -> list[Followed]:
    """Follow each chain inside the batch to its end; what follows itself begins where the batch does."""
    ends: dict[int, str] = {}
    for place in range(len(found)):
        chain: dict[int, None] = {}
        at = place
        while at not in ends and at not in chain:
            chain[at] = None
            one = found[at]
            if one is None or one.item is None:
                ends[at] = threads[at] if one is None else one.thread
            else:
                at = one.item
        end = ends.get(at, threads[at])
        ends.update(dict.fromkeys(chain, end))
    return [
        Followed(ends[place], one.message if one else "", one.item if one else None) for place, one in enumerate(found)
    ]


__all__ = ["Followed", "follow", "lock", "name_of"]
