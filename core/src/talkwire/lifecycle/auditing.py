"""Who did what to this instance, and when: a row for each administrative act, never with content.

The row is there before the act is tried, and says afterwards what became of it:

    begun ─┬─▶ done
           ├─▶ failed: KIND     nothing was done, by the error of this kind
           └─▶ (stays)          the daemon ended in between: nobody knows
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json

from ..clock import micros, moment
from ..errors import StoreDown
from ..store import Query, Store, Tx

# What may stand in a row: what an act is about, never what somebody wrote, and no address.
_NAMED = frozenset(
    [
        "account",
        "channel",
        "contact",
        "conversation",
        "delivery",
        "envelope",
        "id",
        "key",
        "lane",
        "message",
        "name",
        "new",
        "old",
        "plugin",
        "reader",
        "scope",
        "scopes",
        "seq",
        "to",
        "verdict",
        "webhook",
    ]
)
_LONGEST = 200  # characters of one value
_PEER = struct.Struct("3i")  # struct ucred of unix(7): process, user, group; read 2026-11-28


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One administrative act."""

    id: int
    at: datetime
    who: str  # `cli:ann(1000)`, `key:crm`, `operator:local`
    what: str  # the command, or the operation of the API
    ids: Mapping[str, str]
    outcome: str  # begun, done, `failed: KIND`


def audit(tx: Tx, who: str, what: str, ids: Mapping[str, Any], *, outcome: str = "done") -> int:
    """Write an act down in the transaction that does it; gives the row's number.

    Of `ids` only what names a thing is kept, whatever else is given.
    """
    row = {"at": tx.now_us, "who": who, "what": what, "ids": to_json(named(ids)).decode(), "outcome": outcome}
    return int(tx.execute(_INSERT, row)[0][0])


@contextlib.asynccontextmanager
async def audited(store: Store, who: str, what: str, ids: Mapping[str, Any]) -> AsyncIterator[None]:
    """Write an act down before it is tried, and afterwards what became of it. Errors: `StoreDown`: it is not tried."""
    number = await store.write(_begin, (who, what, ids))
    try:
        yield
    except Exception as error:
        with contextlib.suppress(StoreDown):
            await store.write(_end, (number, f"failed: {type(error).__name__}"))
        raise
    with contextlib.suppress(StoreDown):  # it was done all the same; the row goes on to say that nobody knows
        await store.write(_end, (number, "done"))


def acts(query: Query, *, since: datetime | None = None, limit: int = 500) -> list[Act]:
    """Give the newest acts, the last one first."""
    rows = query.execute(_LIST, {"since": 0 if since is None else micros(since), "limit": limit})
    return [
        Act(id=id_, at=moment(at), who=who, what=what, ids=from_json(ids), outcome=outcome)
        for id_, at, who, what, ids, outcome in rows
    ]


def named(said: Mapping[str, Any]) -> dict[str, str]:
    """Take out of what was asked what names things."""
    plain = {key: value for key, value in said.items() if key in _NAMED and isinstance(value, str | int)}
    return {key: str(value)[:_LONGEST] for key, value in plain.items() if value != ""}


# --- who types -------------------------------------------------------------------------------------------


def this_user() -> str:
    """Name whoever runs this process."""
    return _user(os.getuid())


def peer_of(sock: Any) -> str:
    """Name whoever is at the other end of a unix socket: the kernel says it, no client can."""
    if sys.platform != "linux":
        return "cli:unknown"
    with socket.socket(fileno=os.dup(sock.fileno())) as ours:  # uvloop gives something like a socket
        _, uid, _ = _PEER.unpack(ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return _user(uid)


def _user(uid: int) -> str:
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}({uid})"
    except KeyError:  # a container's user without a name
        return f"cli:({uid})"


# --- in the database -------------------------------------------------------------------------------------

_INSERT = "INSERT INTO audit (at, who, what, ids, outcome) VALUES (:at, :who, :what, :ids, :outcome) RETURNING id"
_END = "UPDATE audit SET outcome = :outcome WHERE id = :id"
_LIST = "SELECT id, at, who, what, ids, outcome FROM audit WHERE at >= :since ORDER BY id DESC LIMIT :limit"


def _begin(tx: Tx, items: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Sequence[int]:
    return [audit(tx, *one, outcome="begun") for one in items]


def _end(tx: Tx, items: Sequence[tuple[int, str]]) -> Sequence[None]:
    for number, outcome in sorted(items):
        tx.execute(_END, {"id": number, "outcome": outcome})
    return [None] * len(items)
