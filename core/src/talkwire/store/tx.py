"""What a plain function gets to work with inside a transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic_core import to_json

from ..clock import micros
from ..model import Small

Row = tuple[Any, ...]
Params = Mapping[str, Any]

_NO_PARAMS: Params = {}
_COUNTED_BY = {
    "delivery.changed": "state",
    "reply.refused": "code",
    **dict.fromkeys(
        ("notification.shown", "notification.handed", "notification.suppressed", "notification.refused"), "medium"
    ),
}  # fact → the small value whose kinds are few
_TAKE_NUMBERS = "UPDATE log_head SET seq = seq + :n WHERE id = 1 RETURNING seq"
_INSERT_FACT = """
    INSERT INTO fact (seq, type, at, account, conversation, ids, small)
    VALUES (:seq, :type, :at, :account, :conversation, :ids, :small)
"""


class Driver(Protocol):
    """One connection, whatever the database."""

    locks_rows: bool  # rows are locked one by one; else whoever writes has everything

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def savepoint(self) -> None: ...
    def release(self) -> None: ...
    def rollback_to(self) -> None: ...
    def settle(self) -> None: ...
    def execute(self, sql: str, params: Params) -> list[Row]: ...
    def many(self, sql: str, rows: Sequence[Params | Sequence[Any]]) -> None: ...
    def update(self, sql: str, rows: Sequence[Sequence[Any]]) -> None: ...
    def lock(self, table: str, ids: Sequence[Any], column: str = "id") -> None: ...
    def locked(self, sql: str, params: Params) -> list[Row]: ...
    def cut_if_mute(self, seconds: float) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Act:
    """An action that somebody asked for inside a transaction."""

    asker: str
    ref: str
    action: Any


class Query:
    """Reads; what it returns is one moment's truth."""

    __slots__ = ("_driver", "now", "now_us")

    def __init__(self, driver: Driver, now: datetime) -> None:
        self._driver = driver
        self.now = now  # the injected clock's, the same throughout
        self.now_us = micros(now)

    def execute(self, sql: str, params: Params = _NO_PARAMS) -> list[Row]:
        """Run one statement; `:name`, `:names[]` and `:rows[3]` as `store.sql` describes."""
        return self._driver.execute(sql, params)

    def one(self, sql: str, params: Params = _NO_PARAMS) -> Row | None:
        """Run a statement that gives at most one row."""
        rows = self._driver.execute(sql, params)
        return rows[0] if rows else None


class Tx(Query):
    """Writes; everything done through it happens, or none of it."""

    __slots__ = ("_after", "_facts", "_last", "_numbered", "acts", "asker", "hints", "ref")

    def __init__(self, driver: Driver, now: datetime) -> None:
        super().__init__(driver, now)
        self._facts: list[tuple[str, str, str, str, str, str]] = []
        self._numbered = 0  # facts that are written already
        self._after: list[Callable[[], None]] = []
        self._last: list[tuple[Callable[[Tx, list[Any]], None], Any]] = []
        self.hints: set[str] = set()  # which loops have something new to do: `lanes`, `timers`
        self.acts: list[Act] = []  # stored before the commit
        self.asker = ""  # who `act` speaks for: `plugin:desk`
        self.ref = ""  # what made it act: the seq of a fact; empty: nothing that could be told again

    def many(self, sql: str, rows: Sequence[Params | Sequence[Any]]) -> None:
        """Run a statement for each row: mappings, or tuples in the order of the parameters.

        Gives nothing back, not even for RETURNING: give each row its own id and ask which are
        there. Nor is it waited for on PostgreSQL: its error comes with the next statement that gives something back, or
        with the end of the function or the `part`, which are undone by it as ever.
        """
        if rows:
            self._driver.many(sql, rows)

    def update(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run `UPDATE … WHERE key = :key` for each row, a tuple in the order of the parameters; no key comes twice.

        A number that may be null is cast: a column of nulls alone has no type on PostgreSQL, which changes all the
        rows by one statement. On SQLite one by one is less than half the work.
        """
        if rows:
            self._driver.update(sql, rows)

    @property
    def locks_rows(self) -> bool:
        """Say whether rows have locks; else whoever writes has everything, and need not look what to lock."""
        return self._driver.locks_rows

    def lock(self, table: str, ids: Iterable[Any], column: str = "id") -> None:
        """Take the locks of these rows in key order (lanes: by name), before reading what will be changed."""
        if wanted := sorted(set(ids)):
            self._driver.lock(table, wanted, column)

    def locked(self, sql: str, params: Params) -> list[Row]:
        """Take the locks of the rows that `SELECT … ORDER BY id` gives, in that order, and read what stands in them then.

        Rows that are gone by then are missing.
        """
        return self._driver.locked(sql, params)

    def lock_name(self, table: str, name: str) -> None:
        """Take the lock of one row of a table whose key is a name."""
        self._driver.lock(table, [name], "name")

    def tell(
        self,
        kind: str,
        *,
        account: str = "",
        conversation: str = "",
        ids: Mapping[str, str] | None = None,
        small: Mapping[str, Small] | None = None,
    ) -> None:
        """Put a fact into the log with this transaction: ids and small values, never content."""
        self._facts.append(
            (
                kind,
                account,
                conversation,
                to_json(ids).decode() if ids else "{}",
                to_json(small).decode() if small else "{}",
                str(small.get(_COUNTED_BY[kind]) or "") if small and kind in _COUNTED_BY else "",
            )
        )

    def act(self, action: Any) -> None:
        """Ask for an action; it is stored with this transaction."""
        self.acts.append(Act(self.asker, self.ref, action))

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Undo all that is done inside, and only that, if it raises."""
        mark = self.mark()
        self._driver.savepoint()
        try:
            yield
            self._driver.release()  # PostgreSQL refuses it where a statement failed and whoever ran it went on
        except BaseException:
            self._driver.rollback_to()
            self.back_to(mark)
            raise

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call something on the event loop once this is committed; wake-ups, nothing else."""
        self._after.append(call)

    def hint(self, loop: str) -> None:
        """Wake a loop, on every daemon, once this is committed; needless wake-ups do no harm."""
        self.hints.add(loop)

    def last(self, write: Callable[[Tx, list[Any]], None], items: Iterable[Any]) -> None:
        """Let `write` store these together with all others of the group, after everything else it does.

        So rows that many transactions meet at are touched in one order, and not for long.
        """
        self._last += [(write, item) for item in items]

    def finish(self) -> None:
        """Write what was kept for the end of the group."""
        kept, self._last = self._last, []
        for write in dict.fromkeys(write for write, _ in kept):
            write(self, [item for other, item in kept if other is write])

    def mark(self) -> tuple[int, int, int, int]:
        """Remember how much was collected, for `back_to`."""
        return len(self._facts), len(self._after), len(self.acts), len(self._last)

    def back_to(self, mark: tuple[int, int, int, int]) -> None:
        """Forget what was collected since a mark."""
        self._numbered = min(self._numbered, mark[0])
        del self._facts[mark[0] :], self._after[mark[1] :], self.acts[mark[2] :], self._last[mark[3] :]

    def number_facts(self) -> int:
        """Write the facts that have no number yet under the next numbers of the log; give how many.

        The head's row stays locked until the commit, so that number order is commit order.
        """
        new = self._facts[self._numbered :]
        if new:
            last = self._driver.execute(_TAKE_NUMBERS, {"n": len(new)})[0][0]
            first = last - len(new) + 1
            self._driver.many(
                _INSERT_FACT,
                [
                    (first + i, kind, self.now_us, account, conversation, ids, small)
                    for i, (kind, account, conversation, ids, small, _) in enumerate(new)
                ],
            )
            self._numbered = len(self._facts)
        return len(new)

    @property
    def facts(self) -> int:
        """Say how many facts were collected."""
        return len(self._facts)

    @property
    def told(self) -> Iterator[tuple[str, str, str]]:
        """Give type, account and the value that it is counted by of each fact."""
        return ((kind, account, word) for kind, account, _, _, _, word in self._facts)

    @property
    def wakes(self) -> Sequence[Callable[[], None]]:
        """Give what waits for the commit."""
        return self._after
