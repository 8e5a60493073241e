"""The audit says what was not asked: pip-audit calls a list of skipped packages well."""

import runpy
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "audit.py"
pytestmark = pytest.mark.skipif(
    not TOOL.is_file(), reason="looks at the checkout's own files; this is a copy of the tests"
)
WELL = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
ILL = {"name": "yarl", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
SKIPPED = {"name": "nh3", "skip_reason": "not found: nh3 (0.3.8)"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([WELL], 0, ["none known in 1 packages"]),
        ([WELL, ILL], 1, ["yarl 1.0 (the daemon's): CVE-1, repaired by 1.1"]),
        ([SKIPPED], 2, ["NOT ASKED about 1 of 1: nh3", "  not found: nh3 (0.3.8)"]),
        ([WELL, SKIPPED], 2, ["none known in 1 packages", "NOT ASKED about 1 of 2: nh3", "  not found: nh3 (0.3.8)"]),
        ([ILL, SKIPPED], 1, ["yarl 1.0 (the daemon's): CVE-1, repaired by 1.1", "NOT ASKED about 1 of 2: nh3",
                             "  not found: nh3 (0.3.8)"]),
    ],
)  # fmt: skip
def test_what_could_not_be_asked_is_never_called_well(packages, code, said):
    assert runpy.run_path(str(TOOL))["judge"]({"dependencies": packages}, {"yarl"}) == (said, code)
