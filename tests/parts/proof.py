"""Long forms of tests, and the files in which they leave their figures.

`make prove` runs every test marked `prove` (and all under tests/crash and tests/contention) with TALKWIRE_PROVE=1.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

LONG_FOLDERS = {"crash", "contention"}
LONG_LIMIT = 3600  # seconds for one test in its long form


@pytest.fixture
def proving() -> bool:
    """True in the long form: a hundred kills instead of five."""
    return _is_proving()


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Callable[[str, Mapping[str, object]], None]:
    """Call `proof("crash-sqlite", {"kills": 100, …})` at the end of a test.

    In the long form it writes docs/proof/crash-sqlite.txt (figures in the order given); in the short form it only prints.
    """

    def write(name: str, figures: Mapping[str, object]) -> None:
        width = max(map(len, figures), default=0)
        table = "\n".join(f"{key:<{width}}  {value}" for key, value in figures.items())
        sys.stdout.write(f"\n{name}\n{table}\n")
        if not _is_proving():
            return
        root = request.config.rootpath
        head = {
            "command": "make prove",
            "test": request.node.nodeid,
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "commit": _commit(root),
            "machine": machine(),
        }
        lines = [f"{key + ':':<9}{value}" for key, value in head.items()]
        target = root / "docs" / "proof" / f"{name}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines) + f"\n\n{table}\n")

    return write


def machine() -> str:
    """Describe the machine by what matters for a figure; its name does not."""
    model, memory = platform.machine(), ""
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    if meminfo.exists():
        memory = f", {int(meminfo.read_text().split()[1]) / 2**20:.0f} GiB"
    return f"{os.cpu_count()} × {model}{memory}, {platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if LONG_FOLDERS & set(item.path.parts):
            item.add_marker(pytest.mark.prove)
        if _is_proving() and item.get_closest_marker("prove"):
            item.own_markers = [mark for mark in item.own_markers if mark.name != "timeout"]
            item.add_marker(pytest.mark.timeout(LONG_LIMIT), append=False)


def _is_proving() -> bool:
    return os.environ.get("TALKWIRE_PROVE") == "1"


def _commit(root: Path) -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "not in a git checkout"
