"""The marker `requirement("3DN-19")`: one number of requirements/numbers.md that this test proves.

The collector refuses a number nobody has written, two in one marker, and a BU or U number on a test that opens no page:
those are statements about what a person sees.
"""

import json
import re
from pathlib import Path

import pytest

ON_A_PAGE = {"BU", "U"}
PAGE_FIXTURES = {"browser", "page", "desktop"}  # what draws something that a test can look at
ROW = re.compile(r"^\| (?P<number>[A-Z0-9]+-[0-9]+[a-z]?) \| (?P<tag>B|BU|U) \|", re.MULTILINE)


def tag_by_number(root: Path) -> dict[str, str]:
    """Read the tag (B, BU or U) of each number."""
    text = (root / "requirements" / "numbers.md").read_text()
    return {row["number"]: row["tag"] for row in ROW.finditer(text)}


def faults(items: list[pytest.Item], tags: dict[str, str]) -> list[str]:
    """Say what is wrong with the markers, one line each; empty when all is well."""
    found = []
    for item in items:
        for mark in item.iter_markers("requirement"):
            number = mark.args[0] if mark.args else ""
            if len(mark.args) != 1 or mark.kwargs:
                found.append(f"{item.nodeid}: a requirement marker names one number; use several markers")
            elif number not in tags:
                found.append(f"{item.nodeid}: requirements/numbers.md has no {number}")
            elif tags[number] in ON_A_PAGE and not PAGE_FIXTURES & set(getattr(item, "fixturenames", ())):
                found.append(
                    f"{item.nodeid}: {number} is tagged {tags[number]}, so its test must open a page (browser or page) or a desktop"
                )
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--numbers-to", metavar="FILE", help="write which collected tests carry which requirement, as JSON"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not any(item.get_closest_marker("requirement") for item in items):
        return
    if found := faults(items, tag_by_number(config.rootpath)):
        raise pytest.UsageError("\n".join(found))


def pytest_collection_finish(session: pytest.Session) -> None:
    if target := session.config.getoption("--numbers-to"):
        tests: dict[str, list[str]] = {}
        for item in session.items:
            for mark in item.iter_markers("requirement"):
                tests.setdefault(mark.args[0], []).append(item.nodeid)
        Path(target).write_text(json.dumps(tests, indent=1, sort_keys=True))
