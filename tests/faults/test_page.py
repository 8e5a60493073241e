"""The page of faults and the tests of this folder know the same faults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.page import PAGE, rows, shows

pytestmark = pytest.mark.skipif(
    not PAGE.exists(), reason="looks at the checkout's own files; this is a copy of the tests"
)
METHODS = ("open", "parse", "render", "send", "authenticate", "close")
HOOKS = ("shape_inbound", "format_reply", "on_inbound_message")


def test_each_fault_of_the_page_is_executed_and_each_that_is_executed_stands_there() -> None:
    sources = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py") if file != Path(__file__))
    executed = {fault for fault in re.findall(r'shows\(\s*f?"([^"]+)"', sources) if "{" not in fault}
    executed |= {f"plugin raises: {name}" for name in (*METHODS, *HOOKS)}
    assert set(rows()) == executed
    assert all(row.seen for row in rows().values())


def test_words_that_nobody_saw_are_missed() -> None:
    with pytest.raises(AssertionError, match="the operator sees"):
        shows("disk full", "all is well")
