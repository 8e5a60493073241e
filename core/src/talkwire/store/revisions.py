"""Which revision the tables of core and plugins have, and which this version works with; without Alembic's help."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import SchemaError, StoreDown
from .tx import Query

UPGRADE = "talkwire db upgrade"


@dataclass(frozen=True, slots=True)
class Chain:
    """One owner's migrations."""

    owner: str  # `core` or the plugin's name
    folder: Path  # holds the revision files


CORE = Chain("core", Path(__file__).parent / "schema" / "versions")


@cache
def revisions(folder: Path) -> tuple[str, ...]:
    """Give the revisions of a folder, from the first to the newest; they form one line.

    Errors: `SchemaError` where they do not.
    """
    before: dict[str, str | None] = {}
    for file in sorted(folder.glob("*.py")):
        said = _said(file)
        if isinstance(revision := said.get("revision"), str):
            before[revision] = said.get("down_revision")
    after = {old: new for new, old in before.items()}
    found, here = [], after.get(None)
    while here is not None:
        found.append(here)
        here = after.get(here)
    if len(found) != len(before):
        raise SchemaError(f"the revisions in {folder} form no line: each names the one before it, the first names none")
    return tuple(found)


def _said(file: Path) -> dict[str, str | None]:
    """Read what a revision file says of itself, running nothing of it."""
    said: dict[str, str | None] = {}
    pairs: list[tuple[ast.expr, ast.expr]]
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.Assign):
            [target] = node.targets[:1]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            else:
                pairs = [(target, node.value)]
        else:
            continue
        for name, value in pairs:
            if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str | None):
                said[name.id] = value.value
    return said


def found(query: Query, chain: Chain) -> str | None:
    """Give the revision of one owner's tables; None: it has none. Errors: `StoreDown`."""
    try:
        row = query.one(f"SELECT version_num FROM alembic_version_{chain.owner}")
    except StoreDown:
        raise
    except Exception:  # noqa: BLE001  each driver has its own error for a table that is not there
        return None
    return row[0] if row else None


def check(query: Query, chains: Sequence[Chain]) -> None:
    """Let nothing pass but the schema that this version works with. Errors: `SchemaError`, saying what to type."""
    for chain in chains:
        judge(chain, found(query, chain))


def judge(chain: Chain, there: str | None, *, older: bool = False) -> bool:
    """Say whether an owner's tables have the newest revision; `older` ones are an error unless they are allowed."""
    known = revisions(chain.folder)
    wanted = known[-1] if known else None
    if there == wanted:
        return True
    whose = "the database" if chain.owner == "core" else f"the database has the tables of {chain.owner}, which"
    if there is not None and there not in known:
        raise SchemaError(
            f"{whose} is at {there}, this version works with {wanted}: it was used by a newer"
            f" {'Talkwire' if chain.owner == 'core' else chain.owner}.\n"
            "  Install that one again, or restore a backup."
        )
    if older:
        return False
    if there is None:
        whose = "the database" if chain.owner == "core" else f"the plugin {chain.owner}"
        raise SchemaError(f"{whose} has no tables yet; type: {UPGRADE}")
    raise SchemaError(f"{whose} is at {there}, this version works with {wanted}; type: {UPGRADE}")


def pending(at: Iterable[tuple[Chain, str | None]]) -> list[Chain]:
    """Name the chains that have something to do. Errors: `SchemaError` where one is newer than we are."""
    return [chain for chain, there in at if not judge(chain, there, older=True)]
