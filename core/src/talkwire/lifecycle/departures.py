"""What goes with an account or a plugin that is not wanted any more, and what changes with an account's name.

A plugin's own tables begin with its name. Where one has a column `account`, that holds an account's name; a timer's key
that begins with an account's name and a space is that account's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from ..clock import Clock
from ..errors import Conflict, NotFound
from ..media.files import Chunks
from ..outbound import elsewhere
from ..store import Query, Store, Tx
from . import expiring
from .dropping import Gone, drop_messages, drop_places, drop_rows
from .forgetting import Forgotten, cleared

_ROWS = 200  # of one transaction
# Tables that a plugin of an unlucky name would seem to own.
CORE_TABLES = frozenset(
    {"account_state", "api_key", "attachment_chunk", "log_head", "notification_event", "notification_medium"}
)
_VERSIONS = "alembic_version_"
_BY_ACCOUNT = ("envelope", "change", "report", "attachment", "exchange")  # in the order of the tables; each has an id
_NAMED = (
    *("envelope", "account_state", "keep", "conversation", "message", "change", "delivery", "report", "attachment"),
    *("parked", "exchange", "fact"),
)
_SQLITE_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
_SQLITE_COLUMN = "SELECT 1 FROM pragma_table_info(:table) WHERE name = 'account'"
_TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY table_name"
_COLUMN = """
    SELECT 1 FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = :table AND column_name = 'account'
"""
_THERE = """
    SELECT 1 FROM account_state WHERE account = :account UNION ALL
    SELECT 1 FROM conversation WHERE account = :account LIMIT 1
"""
_PROMISES = "SELECT id, body FROM task WHERE kind = :kind ORDER BY id"  # replies that are about to go on from elsewhere
_PROMISED = "UPDATE task SET body = :body WHERE id = :id"
_PLACES = "SELECT id FROM conversation WHERE account = :account ORDER BY id LIMIT :most"


# --- the tables of plugins -----------------------------------------------------------------------------------


def plugin_tables(query: Query, *, sqlite: bool) -> dict[str, list[str]]:
    """Give the plugins that have tables in this database, enabled or not, with the names of those."""
    names = [row[0] for row in query.execute(_SQLITE_TABLES if sqlite else _TABLES)]
    found: dict[str, list[str]] = {
        name.removeprefix(_VERSIONS): [] for name in names if name.startswith(_VERSIONS) and name != f"{_VERSIONS}core"
    }
    for name in names:
        owners = [plugin for plugin in found if name.startswith(f"{plugin}_")]
        if owners and name not in CORE_TABLES and not name.startswith(_VERSIONS):
            found[max(owners, key=len)].append(name)
    return found


def _with_account(query: Query, *, sqlite: bool) -> list[str]:
    tables = [table for own in plugin_tables(query, sqlite=sqlite).values() for table in own]
    return [table for table in tables if query.one(_SQLITE_COLUMN if sqlite else _COLUMN, {"table": table})]


async def purge_plugin(store: Store, plugin: str) -> Sequence[str]:
    """Drop a plugin's tables, timers, cursor and what it did not take; gives the tables. Errors: `NotFound`.

    Whoever asks has looked that it does not run.
    """
    sqlite = store.is_sqlite
    tables: Sequence[str] = await store.write(_purge_plugin, (plugin, sqlite))
    await store.scrub()
    return tables


def _purge_plugin(tx: Tx, items: Sequence[tuple[str, bool]]) -> Sequence[Sequence[str]]:
    return [_purge_one(tx, plugin, sqlite=sqlite) for plugin, sqlite in items]


def _purge_one(tx: Tx, plugin: str, *, sqlite: bool) -> Sequence[str]:
    known = plugin_tables(tx, sqlite=sqlite)
    reader = f"plugin:{plugin}"
    own = {"name": reader, "plugin": plugin, "grp": f"read:{reader}"}
    timers = tx.execute("DELETE FROM timer WHERE plugin = :plugin RETURNING 1", own)
    if plugin not in known and not timers and tx.one("SELECT 1 FROM reader WHERE name = :name", own) is None:
        raise NotFound(f"nothing is kept of a plugin {plugin}; talkwire plugins lists them")
    tx.execute("DELETE FROM idempotency WHERE principal = :name", own)
    tx.execute("DELETE FROM reader WHERE name = :name", own)
    tx.execute("DELETE FROM parked WHERE reader = :name", own)
    tx.execute("DELETE FROM task WHERE lane_id IN (SELECT id FROM lane WHERE grp = :grp)", own)
    tx.execute("DELETE FROM lane WHERE grp = :grp", own)
    tables = [*known.get(plugin, ()), *([f"{_VERSIONS}{plugin}"] if plugin in known else ())]
    for table in tables:
        tx.execute(f'DROP TABLE "{table}"')
    tx.tell("plugin.purged", small={"plugin": plugin, "tables": len(tables)})
    return tables


# --- an account goes -------------------------------------------------------------------------------------------


async def forget_account(store: Store, files: Chunks, clock: Clock, account: str, by: str, *, alone: bool) -> Forgotten:
    """Delete an account with its conversations and all that belongs to them; people who wrote nowhere else go too.

    Whoever asks has looked that nobody serves it. Cut off, it may be asked again. Errors: `NotFound`.
    """
    if await store.read(lambda query: query.one(_THERE, {"account": account})) is None:
        raise NotFound(f'nothing is kept of an account "{account}"; talkwire accounts lists them')
    all_gone = Gone()
    while places := await store.read(lambda query: query.execute(_PLACES, {"account": account, "most": 50})):
        ids = tuple(row[0] for row in places)
        while (gone := await store.write(drop_messages, ids)).messages:
            all_gone.add(gone)
        await store.write(drop_places, ids)
    for table in _BY_ACCOUNT:
        async for rows in _rows(store, table, account):
            all_gone.add(await store.write(drop_rows, (table, rows)))
    await store.write(_forget_account, (account, by, store.is_sqlite, len(all_gone.messages)))
    return await cleared(store, files, clock, all_gone, alone=alone)


async def _rows(store: Store, table: str, account: str) -> AsyncIterator[tuple[Any, ...]]:
    """Walk through a table; gives the ids of what is the account's."""
    sql = f"SELECT id FROM {table} WHERE account = :account AND id > :after ORDER BY id LIMIT :most"
    after: Any = 0 if table in ("change", "report", "exchange") else ""
    while rows := await store.read(
        lambda query, after=after: query.execute(sql, {"account": account, "after": after, "most": _ROWS})  # type: ignore[misc]
    ):
        yield tuple(row[0] for row in rows)
        after = rows[-1][0]


_LEFT = (  # what has no id, or hangs on the name alone
    "DELETE FROM account_state WHERE account = :account",
    "DELETE FROM keep WHERE account = :account",
    "DELETE FROM alias WHERE scope = :account",
    "DELETE FROM alias WHERE address_id IN (SELECT id FROM address WHERE scope = :account)",
    """DELETE FROM contact WHERE id IN (SELECT contact_id FROM address WHERE scope = :account)
       AND NOT EXISTS (SELECT 1 FROM address a WHERE a.contact_id = contact.id AND a.scope <> :account)""",
    "DELETE FROM address WHERE scope = :account",
    "DELETE FROM parked WHERE account = :account",
    "DELETE FROM task WHERE lane_id IN (SELECT id FROM lane WHERE grp = :sends)",
    "DELETE FROM lane WHERE grp = :sends",
    "DELETE FROM lease WHERE name IN (:sends, :listens)",
    "DELETE FROM timer WHERE key LIKE :key",
    "DELETE FROM meta WHERE name = :ends",
)


def _forget_account(tx: Tx, items: Sequence[tuple[str, str, bool, int]]) -> Sequence[None]:
    for account, by, sqlite, messages in items:
        values = {"account": account, "sends": f"send:{account}", "listens": f"listen:{account}", "key": f"{account} %"}
        values["ends"] = expiring.kept_under(account)
        for sql in _LEFT:
            tx.execute(sql, values)
        for table in _with_account(tx, sqlite=sqlite):
            tx.execute(f'DELETE FROM "{table}" WHERE account = :account', values)
        tx.tell("account.forgotten", account=account, small={"by": by, "messages": messages})
    return [None] * len(items)


# --- an account takes another name --------------------------------------------------------------------------------


async def rename_account(store: Store, old: str, new: str, by: str) -> None:
    """Give everything of an account to another name. Errors: `NotFound`, `Conflict` where something has that name.

    Whoever asks has looked that no daemon runs.
    """
    await store.write(_rename, (old, new, by, store.is_sqlite))


def _rename(tx: Tx, items: Sequence[tuple[str, str, str, bool]]) -> Sequence[None]:
    for old, new, by, sqlite in items:
        if tx.one(_THERE, {"account": old}) is None:
            raise NotFound(f'nothing is kept of an account "{old}"; talkwire accounts lists them')
        if tx.one(_THERE, {"account": new}) is not None:
            raise Conflict(f'there is an account "{new}" already; two accounts cannot become one')
        _rename_one(tx, old, new, sqlite=sqlite)
        tx.tell("account.renamed", account=new, small={"was": old, "by": by})
    return [None] * len(items)


def _rename_one(tx: Tx, old: str, new: str, *, sqlite: bool) -> None:
    names = {"old": old, "new": new, "like": f"{old}:%", "key": f"{old} %", "skip": len(old) + 1}
    tx.execute("UPDATE envelope SET endpoint = :new WHERE account = :old AND endpoint = :old", names)
    for table in (*_NAMED, *_with_account(tx, sqlite=sqlite)):
        tx.execute(f'UPDATE "{table}" SET account = :new WHERE account = :old', names)
    for table in ("address", "alias"):
        tx.execute(f"UPDATE {table} SET scope = :new WHERE scope = :old", names)
    tx.execute(
        "UPDATE message SET policy = :to WHERE policy = :from AND id IN (SELECT message_id FROM delivery WHERE state = 0)",
        {"from": f"fallback:{old}", "to": f"fallback:{new}"},
    )
    for task, body in tx.execute(_PROMISES, {"kind": elsewhere.KIND}):
        if elsewhere.promised(body)[0] == old:
            tx.execute(_PROMISED, {"id": task, "body": elsewhere.promising(body, new)})
    tx.execute("UPDATE lane SET grp = :to WHERE grp = :from", {"from": f"send:{old}", "to": f"send:{new}"})
    tx.execute(
        "UPDATE lane SET subject = :new || substr(subject, CAST(:skip AS INTEGER)) WHERE grp = 'do' AND subject LIKE :like",
        names,
    )
    tx.execute("UPDATE timer SET key = :new || substr(key, CAST(:skip AS INTEGER)) WHERE key LIKE :key", names)
    tx.execute(
        "UPDATE meta SET name = :to WHERE name = :from",
        {"from": expiring.kept_under(old), "to": expiring.kept_under(new)},
    )
    tx.execute(
        "DELETE FROM lease WHERE name IN (:sends, :listens)", {"sends": f"send:{old}", "listens": f"listen:{old}"}
    )
