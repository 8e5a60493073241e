"""What a plugin brings along whose licence binds whoever passes the whole on."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution


@cache
def bound_by(name: str) -> tuple[str, ...]:
    """Name what an installed distribution needs that is under the GPL, each with its licence; empty: nothing is.

    The LGPL binds nobody who leaves such a package as it is. Read from the metadata of what is installed, needs of needs
    included, extras left out.
    """
    seen: set[str] = set()
    todo = [name]
    found = []
    while todo:
        one = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if one in seen:
            continue
        seen.add(one)
        try:
            there = distribution(one)
        except PackageNotFoundError:  # a need of another system, or of nobody here
            continue
        licence = licence_of(there)
        text = re.sub(r"LGPL|LESSER GENERAL PUBLIC", "", licence.upper())
        if "GPL" in text or "GENERAL PUBLIC" in text:
            found.append(f"{there.metadata['Name']} {licence}")
        needs = [need for need in there.requires or () if not re.search(r";.*\bextra\s*==", need)]
        todo += [re.split(r"[^\w.-]", need, maxsplit=1)[0] for need in needs]
    return tuple(sorted(found))


def licence_of(dist: Distribution) -> str:
    """Give what a distribution says of its licence; empty: nothing."""
    meta = dist.metadata
    named = next((str(meta[key]) for key in ("License-Expression", "License") if key in meta), "")
    classified = (
        one.rpartition(" :: ")[2] for one in (meta.get_all("Classifier") or ()) if one.startswith("License ::")
    )
    return named if named and "\n" not in named else ", ".join(classified) or named.partition("\n")[0]
