"""What commands print: short lines for a person, in columns; colours only on a terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import typer

_COLOURS = {"ok": typer.colors.GREEN, "look": typer.colors.YELLOW, "BAD": typer.colors.RED}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what a customer wrote must not steer a terminal


def say(text: str = "", *, level: str = "") -> None:
    """Print a line; a level is put before it, in its colour."""
    before = typer.style(f"{level:<4}  ", fg=_COLOURS[level], bold=level == "BAD") if level else ""
    typer.echo(before + clean(text), color=False if os.environ.get("NO_COLOR") else None)


def paint(text: str, colour: str = "", *, is_bold: bool = False, is_dim: bool = False) -> str:
    """Make a piece of a line for `put`, cleaned; what is no terminal gets it without colours."""
    return typer.style(clean(text), fg=colour or None, bold=is_bold or None, dim=is_dim or None)


def put(*pieces: str) -> None:
    """Print a line of painted pieces."""
    typer.echo("".join(pieces), color=False if os.environ.get("NO_COLOR") else None)


def width() -> int:
    """Give the columns of this terminal; a pipe has 120."""
    return max(60, shutil.get_terminal_size((120, 24)).columns)


def wide(text: str) -> int:
    """Count the columns that a text takes: some letters take two, marks above a letter take none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def padded(text: str, columns: int) -> str:
    """Fill a text up to so many columns."""
    return text + " " * max(0, columns - wide(text))


def wrapped(text: str, columns: int) -> list[str]:
    """Break a text into lines of so many columns; its own lines stay apart."""
    lines = [
        piece for line in text.split("\n") for piece in textwrap.wrap(line, columns, break_on_hyphens=False) or [""]
    ]
    return lines or [""]


def complain(text: str) -> None:
    """Print what went wrong, where errors go."""
    typer.echo(clean(text), err=True)


def clean(text: str) -> str:
    """Take out what would steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def columns(rows: Iterable[Sequence[str]], *, indent: str = "") -> None:
    """Print rows in columns; the last one is as long as it is."""
    rows = [[one.replace("\n", " ") for one in row] for row in rows]
    widths = [max(map(wide, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        cells = [padded(cell, width) for cell, width in zip(row[:-1], widths, strict=False)]
        say(indent + "  ".join([*cells, row[-1]]).rstrip())


def as_json(value: Any) -> None:
    """Print JSON, for programs."""
    from pydantic_core import to_json

    typer.echo(to_json(value, indent=2).decode())


def now() -> datetime:
    return datetime.now(UTC)


def span(length: timedelta) -> str:
    """Say how long something is, in its largest unit."""
    seconds = max(0, int(length.total_seconds()))
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit or (unit == 60 and seconds >= 60):
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def ago(moment: datetime | None) -> str:
    """Say when something was."""
    return "never" if moment is None else f"{span(now() - moment)} ago"


def size(count: int) -> str:
    """Say how many bytes."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB" if value < 10 else f"{value:.0f} GiB"


def number_of(text: str) -> int | None:
    """Read the number of a row; None: it is none, or larger than a database counts."""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
    return number if number is not None and number < 2**63 else None


def many(count: int, one: str, more: str = "") -> str:
    """Say a number of things."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


class Progress:
    """Says on a terminal how far something is, in one line that is written over; elsewhere nothing."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._next = 0.0  # time.monotonic: a line is written at most five times a second
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("")

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say it."""
        if self._shows and (time.monotonic() >= self._next or done == total):
            self._next = time.monotonic() + 0.2
            self._write(f"{what}  {done * 100 // max(total, 1)} %  ({done:,} of {total:,})")

    def _write(self, text: str) -> None:
        if self._shows:
            typer.echo(f"\r{clean(text):<{self._width}}\r{clean(text)}", nl=False, err=True)
            self._width = len(text)
