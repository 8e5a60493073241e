"""The threat model names only tests that there are, and every sentence of the chapter on safety that it was made from."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
pytestmark = pytest.mark.skipif(
    not PAGE.is_file(), reason="looks at the checkout's own files; this is a copy of the tests"
)
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


@cache
def named_in(path: str) -> frozenset[str]:
    file = ROOT / path
    found = re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE) if file.is_file() else ()
    return frozenset(found)


def missing(text):
    return [f"{path}::{name}" for path, name in TEST.findall(text) if name not in named_in(path)]


def promises(text):
    """Give the rows of the table of promises: (promise, what proves it)."""
    part = text.partition("## What is promised")[2].partition("Beyond that chapter")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [(row[0], row[-1]) for row in rows[1:]]


def test_every_test_that_is_named_is_there():
    assert missing(PAGE.read_text()) == []


def test_every_promise_is_proved():
    rows = promises(PAGE.read_text())
    assert len(rows) >= 18
    unproved = [promise for promise, proof in rows if not TEST.search(proof)]
    assert unproved == []


def test_a_test_that_is_not_there_is_found():
    said = "`tests/security/test_threat_model.py::test_a_test_that_is_not_there_is_found` `tests/a.py::test_b`"
    assert missing(said) == ["tests/a.py::test_b"]
