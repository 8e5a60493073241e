"""The licence gate refuses what it is there to refuse."""

import runpy
from pathlib import Path

import pytest

GATE = Path(__file__).resolve().parents[2] / "tools" / "licences.py"
pytestmark = pytest.mark.skipif(
    not GATE.is_file(), reason="looks at the checkout's own files; this is a copy of the tests"
)


@pytest.fixture
def judge():
    pytest.importorskip("piplicenses")
    return runpy.run_path(str(GATE))["judge"]


@pytest.mark.parametrize(
    ("name", "said", "fault"),
    [
        ("a", ["MIT"], ""),
        ("a", ["Apache-2.0 AND MIT"], ""),
        ("a", ["MPL-2.0"], ""),
        ("psycopg", ["LGPL-3.0-only"], ""),
        ("a", ["LGPL-3.0-only"], "LGPL, and not allowed by name"),
        ("a", ["GNU Lesser General Public License v3 (LGPLv3)"], "LGPL, and not allowed by name"),
        ("aioimaplib", ["GPL-3.0-only"], "GPL"),
        ("a", ["GNU General Public License v3 (GPLv3)"], "GPL"),
        ("psycopg", ["AGPL-3.0"], "GPL"),
        ("a", [], "says no licence"),
    ],
)
def test_the_gate_judges(judge, name, said, fault):
    assert judge(name, said) == fault
