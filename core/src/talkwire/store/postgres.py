"""PostgreSQL: several daemons share one database, each with a few writers."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.types.numeric import Int8Dumper

from ..errors import StoreDown
from . import sql as text
from .tx import Params, Row
from .urls import place_of
from .writer import Mute, RunAgain

# A row that is found by its key costs no more than one of a walk through the table: the disks of today seek for nothing.
# Who waits for another session's lock longer is told so: a server that says nothing looks the same, and is cut.
_OPTIONS = "-c timezone=UTC -c random_page_cost=1.1 -c lock_timeout={lock_ms}"
# A reader's statements all see the same moment; a writer's see what was committed before each of them.
_ONE_MOMENT = " -c default_transaction_read_only=on -c default_transaction_isolation=repeatable\\ read"
# Lanes are made by name, so they are met in the order of names: Python's order, whatever the database's language.
_ORDER = {"lane": 'grp COLLATE "C", subject COLLATE "C"'}
_GAVE_WAY = (pg.DeadlockDetected, pg.SerializationFailure)
# OperationalError is the parent of what says that the server, not the statement, is at fault; a standby refuses writes.
_DOWN = (psycopg.OperationalError, psycopg.InterfaceError, pg.ReadOnlySqlTransaction)
_TOO_MUCH = "54"  # class of "program limit exceeded": a text that no index holds is one item's fault
# PostgreSQL takes at most 65,535 values in a statement, and each number of rows is a text of its own.
_AT_ONCE = 500  # rows of one INSERT
# What the driver or the server says of a connection that does not come about → what it means to an operator.
# The text itself is never told: of a URL with an unescaped @ in its password it quotes half of the password.
_NO_WAY_IN = (
    (r"Connection refused|No such file or directory", "nothing listens there; start it, or correct host and port"),
    (
        r"resolve host|translate host name",
        "there is no host of this name; correct it; a @ in a password is written %40",
    ),
    (r'database ".*" does not exist', "it has no such database; make it with createdb, or correct the name"),
    (r'role ".*" does not exist', "it knows no such user; make it with createuser, or correct the name"),
    (r"password authentication failed|no password supplied", "it refuses the password; give the right one"),
    (r"no pg_hba\.conf entry", "its pg_hba.conf does not let this user in from here; add a line to it"),
    (
        r"too many (clients|connections)|connection slots are reserved",
        "it takes no more connections; end others, or raise its max_connections",
    ),
    (r"starting up|shutting down|recovery mode", "it starts or stops just now; try again"),
    (r"SSL|certificate", "TLS does not come about; compare sslmode and the certificates with what it offers"),
    (r"timeout|timed out|No route|unreachable", "no answer; does a firewall drop it, is the machine up?"),
)
_ANY_WAY = "is it running, and do host, port, user, password and database hold?"  # it may speak another language


class PostgresDriver:
    """One connection, READ COMMITTED."""

    locks_rows = True

    def __init__(self, url: str, *, read_only: bool = False, lock_within: timedelta) -> None:
        self._ways_out = contextlib.ExitStack()
        try:
            self._connection = psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=5,
                prepare_threshold=2,
                application_name="talkwire",
                options=_OPTIONS.format(lock_ms=lock_within // timedelta(milliseconds=1))
                + (_ONE_MOMENT if read_only else ""),
            )
        except pg.ConnectionTimeout as error:
            raise Mute("PostgreSQL does not answer: it takes connections and says nothing") from error
        except psycopg.Error as error:
            raise unreachable(url, error) from error
        # One type for all whole numbers: else each size of number prepares a statement of its own.
        self._connection.adapters.register_dumper(int, Int8Dumper)
        self._connection.prepared_max = 500
        # What gives nothing back is not waited for: it goes out with the next statement that does, as one round trip.
        self._pipeline = None if read_only else self._ways_out.enter_context(self._connection.pipeline())
        # The ordinary cursor takes a long text apart to find its `%s`, at each execution: 2 ms for 20 rows of messages.
        self._cursor = psycopg.RawCursor(self._connection)
        self._asked_at: float | None = None  # time.monotonic of a question that has no answer yet
        self._answering = threading.Lock()  # so that the cut meets this connection's socket, and no later one
        self._cut = False
        self._begun = 0

    def cut_if_mute(self, seconds: float) -> None:
        """Cut the connection where a question has no answer for so long; whoever asked gets `Mute`. From any thread.

        Nothing else ends such a question: the server keeps no time while it stands still, and the kernel at the
        other end takes what we send.
        """
        with self._answering:
            if self._asked_at is None or time.monotonic() - self._asked_at < seconds:
                return
            self._cut = True
            with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=self._socket()) as other:
                other.shutdown(socket.SHUT_RDWR)

    def _socket(self) -> int:
        return os.dup(self._connection.pgconn.socket)

    def begin(self) -> None:
        """Begin; after 2, 4, 8 … transactions with new plans.

        The server keeps the plan of a prepared statement until the table's statistics change. What was planned while
        a table was empty would walk through all of it, until they are first gathered a minute later.
        """
        self._begun += 1
        if self._begun.bit_count() == 1:
            self._run("DISCARD PLANS")
        self._say("BEGIN")

    def commit(self) -> None:
        """Commit; returns after the disk has it."""
        self._run("COMMIT")

    def rollback(self) -> None:
        """Roll back; a lost connection has done so by itself."""
        self._heard_out()
        with contextlib.suppress(StoreDown):
            self._run("ROLLBACK")

    def savepoint(self) -> None:
        """Begin a part that can be undone alone."""
        self._say("SAVEPOINT part")

    def release(self) -> None:
        """Keep the part."""
        self._run("RELEASE SAVEPOINT part")

    def rollback_to(self) -> None:
        """Undo the part."""
        self._heard_out()
        self._say("ROLLBACK TO SAVEPOINT part")
        self._run("RELEASE SAVEPOINT part")

    def settle(self) -> None:
        """Wait for what was said and not waited for; its errors come here at the latest."""
        if self._pipeline is not None:
            with self._understood():
                self._pipeline.sync()

    def execute(self, sql: str, params: Params) -> list[Row]:
        """Run one statement."""
        bound, values = text.bind(sql, params, "%s")
        return self._run(text.numbered(bound), values)

    def many(self, sql: str, rows: Sequence[Params | Sequence[Any]]) -> None:
        """Run a statement for each row; an INSERT takes all of them at once."""
        values = text.tuples(sql, rows)
        if text.repeated(sql, "%s", 1) is None:
            with self._understood():
                self._cursor.executemany(text.numbered(text.plain(sql, "%s")), values)
            return
        for part in (values[i : i + _AT_ONCE] for i in range(0, len(values), _AT_ONCE)):
            at_once = text.repeated(sql, "%s", len(part))
            assert at_once is not None  # it was for one row
            self._say(text.numbered(at_once), [field for row in part for field in row])

    def update(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Change rows together."""
        for part in (rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)):
            bound, values = text.bind(text.together(sql), {"rows": part}, "%s")
            self._say(text.numbered(bound), values)

    def lock(self, table: str, ids: Sequence[Any], column: str = "id") -> None:
        """Lock rows in the order in which every transaction takes them."""
        order = _ORDER.get(table, column)
        self._say(f"SELECT 1 FROM {table} WHERE {column} = ANY($1) ORDER BY {order} FOR UPDATE", [list(ids)])

    def locked(self, sql: str, params: Params) -> list[Row]:
        """Lock rows in the order of a SELECT, and read them."""
        return self.execute(f"{sql} FOR UPDATE", params)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()
        with contextlib.suppress(psycopg.Error):
            self._ways_out.close()

    def _say(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Run what gives nothing back; an error may come with the next statement that is waited for."""
        with self._understood():
            self._cursor.execute(statement, values or None)

    def _heard_out(self) -> None:
        """Take the answers to what was said before something failed; nobody wants them any more."""
        with contextlib.suppress(psycopg.Error, StoreDown, RunAgain):
            self.settle()

    def _run(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        with self._understood():
            self._cursor.execute(statement, values or None)
            if self._pipeline is not None:
                self._pipeline.sync()
            return self._cursor.fetchall() if self._cursor.description else []

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """Tell apart who is at fault: nobody, who only gave way; the server; or the statement, whose error passes."""
        self._asked_at = time.monotonic()
        try:
            yield
        except _GAVE_WAY as error:
            raise RunAgain from error
        except _DOWN as error:
            # What never left us (too many values for one statement) has no code, and the connection is sound.
            code = error.sqlstate or ("" if self._connection.closed else _TOO_MUCH)
            if code.startswith(_TOO_MUCH):
                raise
            if self._cut:
                raise Mute("PostgreSQL does not answer: it is connected and says nothing") from error
            raise _down(error) from error
        finally:
            with self._answering:
                self._asked_at = None


def _down(error: psycopg.Error) -> StoreDown:
    if isinstance(error, pg.LockNotAvailable):
        return StoreDown("PostgreSQL: another session holds a lock on our tables; pg_locks says which")
    # The driver's text may quote the connection string: only its kind is told.
    return StoreDown(f"PostgreSQL does not answer: {type(error).__name__}; is it running? Its own log says why")


def unreachable(url: str, error: BaseException) -> StoreDown:
    """Say why no connection came about, and what to do; `error` is the driver's, whose text is not quoted."""
    found = (said for words, said in _NO_WAY_IN if re.search(words, str(error)))
    return StoreDown(f"PostgreSQL cannot be reached at {place_of(url)} (url in [store]): {next(found, _ANY_WAY)}")


def vacuum(url: str) -> None:
    """Let the server clear deleted rows out of all tables; it may take long, and nobody waits for it meanwhile."""
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5, application_name="talkwire")
    except psycopg.Error as error:
        raise unreachable(url, error) from error
    try:
        with connection:
            connection.execute("VACUUM")
    except psycopg.Error as error:
        raise _down(error) from error
