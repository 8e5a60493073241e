"""Refuse a licence in what the core pulls in that would bind whoever ships it: nothing GPL; LGPL by name only."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# With its extra `postgres`: nobody may be pulled into the GPL by an extra of ours either (`testing` stays with authors).
STARTS = ("talkwire", "postgres")
# LGPL-3.0-only: a separate, replaceable package, neither changed nor vendored.
LGPL_BY_NAME = {"psycopg", "psycopg-binary", "psycopg-pool"}


def main() -> int:
    name, extra = STARTS
    names = closure(name, {extra})
    listed = subprocess.run(
        [sys.executable, "-m", "piplicenses", "--format=json", "--from=all", "--with-system"],
        check=True,
        capture_output=True,
        text=True,
    )
    rows = {canonicalize_name(row["Name"]): row for row in json.loads(listed.stdout)}
    bad = []
    for each in sorted(names - {name}):
        row = rows.get(each, {})
        said = [row[key] for key in sorted(row) if key.startswith("License-") and row[key] != "UNKNOWN"]
        if fault := judge(each, said):
            bad.append(f"  {each}: {'; '.join(said)}  ({fault})")
    if bad:
        print(f"{name}[{extra}] depends on what it must not:\n" + "\n".join(bad))
    else:
        print(f"licences: {len(names) - 1} distributions under {name}[{extra}], none GPL")
    return 1 if bad else 0


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


if __name__ == "__main__":
    sys.exit(main())
