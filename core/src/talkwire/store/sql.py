"""SQL text written once: `:name` parameters in the form each driver wants.

    :name      one value
    :names[]   a list, `IN (:names[])`; must not be empty
    :rows[3]   rows of three values, `VALUES :rows[3]`; must not be empty

Lists are padded to the next of 1, 2, 3, 4, 6, 8, 12, 16 … by repeating the last entry, so that a batch of
any size meets one of a few prepared statements. Not for INSERT: a padded one inserts twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

from ..errors import TalkwireError

_PLACE = re.compile(r"(?<![:\w]):([a-z_]\w*)(?:\[(\d*)\])?")
_ENDS = re.compile(
    r"\s*(?:(?:--[^\n]*\n|/\*.*?\*/)\s*)*(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE|PREPARE)\b",
    re.IGNORECASE | re.DOTALL,
)
_VALUES = re.compile(r"VALUES\s*(\([^()]*\))", re.IGNORECASE)

Params = Mapping[str, Any]


@cache
def _is_part(sql: str) -> None:
    """Refuse what would begin or end a transaction that others write in too. Errors: `TalkwireError`."""
    if found := _ENDS.match(sql):
        raise TalkwireError(f"a transaction begins and ends by itself: take {found[1].upper()} out")


@cache
def _places(sql: str) -> tuple[tuple[str, str | None], ...]:
    _is_part(sql)
    return tuple((m[1], m[2]) for m in _PLACE.finditer(sql))


@cache
def names(sql: str) -> tuple[str, ...]:
    """Give the parameters of a statement in the order in which they stand."""
    return tuple(name for name, _ in _places(sql))


@cache
def plain(sql: str, mark: str) -> str:
    """Replace each single `:name` by the driver's mark. Errors: `TalkwireError` where it would end the transaction."""
    _is_part(sql)
    return _PLACE.sub(mark, sql)


@cache
def _holds_lists(sql: str) -> bool:
    return any(width is not None for _, width in _places(sql))


def _padded(count: int) -> int:
    power = 1 << (count - 1).bit_length()
    smaller = power * 3 // 4
    return smaller if count <= smaller else power


@cache
def _sized(sql: str, mark: str, sizes: tuple[int, ...]) -> str:
    left = iter(sizes)

    def place(found: re.Match[str]) -> str:
        width = found[2]
        if width is None:
            return mark
        one = mark if width == "" else "(" + ", ".join([mark] * int(width)) + ")"
        return ", ".join([one] * next(left))

    return _PLACE.sub(place, sql)


def bind(sql: str, params: Params, mark: str) -> tuple[str, Sequence[Any]]:
    """Give the driver's text and its positional values."""
    places = _places(sql)
    if not _holds_lists(sql):
        return plain(sql, mark), [params[name] for name, _ in places]
    values: list[Any] = []
    sizes: list[int] = []
    for name, width in places:
        value = params[name]
        if width is None:
            values.append(value)
            continue
        size = _padded(len(value))
        sizes.append(size)
        padded = [*value, *[value[-1]] * (size - len(value))]
        values.extend(padded if width == "" else chain.from_iterable(padded))
    return _sized(sql, mark, tuple(sizes)), values


@cache
def repeated(sql: str, mark: str, count: int) -> str | None:
    """Give an INSERT of `count` rows in one statement; None where the text is no such INSERT."""
    found = _VALUES.search(sql)
    if found is None or not sql.lstrip().upper().startswith("INSERT"):
        return None
    row = plain(found[1], mark)
    text = sql[: found.start(1)] + ", ".join([row] * count) + sql[found.end(1) :]
    return plain(text, mark)


@cache
def together(sql: str) -> str:
    """Make of an UPDATE of one row one of `:rows[n]`, in the order of its parameters."""
    columns = ", ".join(f"{name}_" for name in names(sql))
    change, _, which = _PLACE.sub(r"v.\1_", sql).rpartition("WHERE")
    return f"{change}FROM (VALUES :rows[{len(names(sql))}]) AS v({columns}) WHERE{which}"


@cache
def numbered(text: str) -> str:
    """Number the marks of a text, `$1`, `$2`, as PostgreSQL itself writes them."""
    first, *rest = text.split("%s")
    return first + "".join(f"${number}{piece}" for number, piece in enumerate(rest, 1))


def tuples(sql: str, rows: Sequence[Params | Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """Give rows as tuples in the order of the parameters; tuples are taken as they are."""
    if rows and isinstance(rows[0], Mapping):
        order = names(sql)
        pick: Callable[[Any], Sequence[Any]] = lambda row: [row[name] for name in order]  # noqa: E731
        return [pick(row) for row in rows]
    return rows  # type: ignore[return-value]
