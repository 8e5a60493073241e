"""Refuse a licence that would bind whoever ships us: nothing GPL in what the core or a plugin pulls in; LGPL by name only.

A plugin may have one exception that it states itself, in its own `pyproject.toml`:

    [tool.talkwire.gpl]
    some-package = "src/talkwire_some/module.py"

Then only this module may import it, the plugin's README has to say so, and no other distribution of ours may need the plugin.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "plugins/*", "examples/*")
# Nobody may be pulled into the GPL by an extra of ours either; `testing` stays with authors.
ONLY_FOR_AUTHORS = {"testing"}
# LGPL-3.0-only: separate, replaceable packages, neither changed nor vendored.
LGPL_BY_NAME = {"psycopg", "psycopg-binary", "psycopg-pool", "python-telegram-bot"}


def main() -> int:
    listed = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--format=json", "--from=all", "--with-system"],
        check=True,
        capture_output=True,
        text=True,
    )
    rows = {canonicalize_name(row["Name"]): row for row in json.loads(listed.stdout)}
    folders = [path.parent for pattern in FOLDERS for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))]
    faults = [fault for folder in folders for fault in judge_one(folder, rows)]
    faults += misplaced(folders)
    for fault in faults:
        print(f"licences: {fault}")
    if not faults:
        allowed = sorted({name for folder in folders for name in exceptions(folder)})
        but = f", but for {', '.join(allowed)}" if allowed else ""
        print(f"licences: {len(folders)} distributions of ours, {len(rows)} packages here, none GPL{but}")
    return 1 if faults else 0


def judge_one(folder: Path, rows: dict[str, dict[str, str]]) -> Iterator[str]:
    """Name what one distribution of ours depends on and must not."""
    name = canonicalize_name(described(folder)["project"]["name"])
    extras = {*described(folder)["project"].get("optional-dependencies", {})} - ONLY_FOR_AUTHORS
    allowed = exceptions(folder)
    for each in sorted(closure(name, extras)):
        row = rows.get(each, {})
        said = [row[key] for key in sorted(row) if key.startswith("License-") and row[key] != "UNKNOWN"]
        if each != name and (fault := judge(each, said)) and not (fault == "GPL" and each in allowed):
            yield f"{name} depends on {each}: {'; '.join(said)} ({fault})"


def closure(name: str, extras: set[str]) -> set[str]:
    """Give the names of everything installed that this distribution needs here, itself included."""
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(name), extra) for extra in {"", *extras}]
    while todo:
        found = todo.pop()
        if found in seen:
            continue
        seen.add(found)
        try:
            needs = distribution(found[0]).requires or ()
        except PackageNotFoundError:
            sys.exit(f"licences: {found[0]} is not installed; make env")
        for line in needs:
            need = Requirement(line)
            if need.marker is None or need.marker.evaluate({"extra": found[1]}):
                todo += [(canonicalize_name(need.name), extra) for extra in {"", *need.extras}]
    return {each for each, _ in seen}


def judge(name: str, said: list[str]) -> str:
    """Say what is wrong with what the metadata says of a licence; empty when nothing is."""
    if not said:
        return "says no licence"
    text = " ".join(said).upper()
    if "LGPL" in text or "LESSER" in text:
        return "" if name in LGPL_BY_NAME else "LGPL, and not allowed by name"
    return "GPL" if "GPL" in text or "GENERAL PUBLIC" in text else ""


# --- the one exception of a plugin -------------------------------------------------------------------------


def described(folder: Path) -> dict:
    """Read what a distribution says of itself."""
    return tomllib.loads((folder / "pyproject.toml").read_text())


def exceptions(folder: Path) -> dict[str, str]:
    """Give the GPL packages that a plugin states, each with its one module."""
    return {
        canonicalize_name(k): v for k, v in described(folder).get("tool", {}).get("talkwire", {}).get("gpl", {}).items()
    }


def misplaced(folders: list[Path]) -> list[str]:
    """Name what breaks the rules of an exception."""
    faults = []
    for folder in folders:
        stated = exceptions(folder)
        name = canonicalize_name(described(folder)["project"]["name"])
        if stated and folder.parent.name != "plugins":
            faults.append(f"{name} states an exception: only a plugin may have one")
        if stated and "GPL" not in (folder / "README.md").read_text():
            faults.append(f"{name} needs a GPL package and its README does not say so")
        if stated:
            faults += [f"{other} depends on {name}, which needs a GPL package" for other in needing(folders, name)]
    for package, home in {p: folder / m for folder in folders for p, m in exceptions(folder).items()}.items():
        tops = modules_of(package)
        for folder in folders:
            for file in sorted((folder / "src").rglob("*.py")):
                if file != home and tops & imported(file):
                    faults.append(
                        f"{file.relative_to(folder)} of {folder.name} imports {package}: only {home.name} may"
                    )
    return faults


def needing(folders: list[Path], name: str) -> Iterator[str]:
    """Name the distributions of ours that depend on one of ours, by an extra or without."""
    for folder in folders:
        project = described(folder)["project"]
        lines = [*project.get("dependencies", ()), *chain(*project.get("optional-dependencies", {}).values())]
        if name in {canonicalize_name(Requirement(line).name) for line in lines}:
            yield canonicalize_name(project["name"])


def modules_of(package: str) -> set[str]:
    """Give the names under which a package is imported."""
    found = {top for top, names in packages_distributions().items() if package in map(canonicalize_name, names)}
    return found or {re.sub(r"-", "_", package)}


def imported(file: Path) -> set[str]:
    """Give the top names that a file imports."""
    tree = ast.walk(ast.parse(file.read_text()))
    names = [
        name
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    ]
    return {name.partition(".")[0] for name in names}


if __name__ == "__main__":
    sys.exit(main())
