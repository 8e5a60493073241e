"""The real parts a test may need, each found or loudly missed.

A test says `@pytest.mark.needs("kannel")`, or asks for a fixture that stands for a part (`postgres_url`, `browser`).
Where the part is missing the test is skipped and counted at the end; with TALKWIRE_REQUIRE=all it fails instead, unless
the part is one that nobody can install.
"""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.parts.contracts import contracts_folder

FAKESMSC = Path("/usr/lib/kannel/test/fakesmsc")  # where Debian's kannel-extras puts it
SECONDS_WITH_REAL_PARTS = 120  # a cap for one test, unless it says otherwise: a first initdb or browser takes seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    packages: tuple[str, ...]  # of Debian and Ubuntu
    is_here: Callable[[], bool]
    fixtures: tuple[str, ...] = ()  # a test that asks for one of these needs the part
    elsewhere: str = ""  # how to get what is in no package; without it a test may be skipped under TALKWIRE_REQUIRE=all


def postgres_binary(name: str) -> str | None:
    """Give the path of a PostgreSQL program; the newest version wins, Debian keeps them off the PATH."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4].split(".")[0])
    )
    return str(versions[-1]) if versions else shutil.which(name)


def postfix_binary() -> str | None:
    return shutil.which("postfix") or shutil.which("postfix", path="/usr/sbin")


def chromium_binary() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def nginx_binary() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")  # off the PATH of who is not root


def dovecot_binary() -> str | None:
    return shutil.which("dovecot") or shutil.which("dovecot", path="/usr/sbin")


PARTS = {
    "kannel": Part(
        packages=("kannel", "kannel-extras"),
        is_here=lambda: bool(shutil.which("bearerbox") and shutil.which("smsbox") and FAKESMSC.exists()),
    ),
    "postgres": Part(
        packages=("postgresql",),
        is_here=lambda: postgres_binary("initdb") is not None and importlib.util.find_spec("psycopg") is not None,
        fixtures=("postgres", "postgres_url", "postgres_cluster"),
    ),
    "chromium": Part(
        packages=("chromium",),
        is_here=lambda: chromium_binary() is not None and importlib.util.find_spec("playwright") is not None,
        fixtures=("browser", "page"),
    ),
    "dovecot": Part(
        packages=("dovecot-imapd",),
        is_here=lambda: dovecot_binary() is not None,
        fixtures=("dovecot", "dovecot_without_move"),
    ),
    "nginx": Part(packages=("nginx-light",), is_here=lambda: nginx_binary() is not None),
    "postfix": Part(  # its master must be root's
        packages=("postfix",),
        is_here=lambda: os.geteuid() == 0 and postfix_binary() is not None,
        fixtures=("postfix",),
    ),
    "dunst": Part(  # a Linux desktop that shows notifications, on a screen that only memory has
        packages=("dunst", "xvfb", "dbus", "imagemagick"),
        is_here=lambda: all(shutil.which(name) for name in ("dunst", "dunstctl", "Xvfb", "dbus-daemon", "import")),
        fixtures=("desktop",),
    ),
    "swaks": Part(packages=("swaks",), is_here=lambda: shutil.which("swaks") is not None),
    "systemd": Part(packages=("systemd",), is_here=lambda: shutil.which("systemd-analyze") is not None),
    "strace": Part(packages=("strace",), is_here=lambda: shutil.which("strace") is not None),
    "faketime": Part(packages=("faketime",), is_here=lambda: shutil.which("faketime") is not None),
    "contracts": Part(
        packages=(),
        is_here=lambda: contracts_folder() is not None,
        fixtures=("contracts",),
        elsewhere="export TALKWIRE_CONTRACTS=FOLDER, with the providers' API descriptions in it",
    ),
    "mount": Part(packages=("mount",), is_here=lambda: _may_mount(), fixtures=("small_disk", "failing_disk")),  # noqa: PLW0108
}


@cache
def _may_mount() -> bool:
    """Say whether we may make a small disk in memory: root may, with the capability that containers often lack."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        asked = ["mount", "-t", "tmpfs", "-o", "size=64k", "probe", folder]
        made = subprocess.run(asked, capture_output=True, check=False).returncode == 0
        if made:
            subprocess.run(["umount", folder], check=True)
        return made


def needed(item: pytest.Item) -> set[str]:
    """Give the names of the parts this test needs, by marker or by fixture."""
    by_marker = {name for mark in item.iter_markers("needs") for name in mark.args}
    asked = set(getattr(item, "fixturenames", ()))
    return by_marker | {name for name, part in PARTS.items() if asked & set(part.fixtures)}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parts = needed(item)
        if unknown := parts - PARTS.keys():
            raise pytest.UsageError(
                f"{item.nodeid}: no part is called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
            )
        if parts and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS_WITH_REAL_PARTS))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = sorted(name for name in needed(item) if not PARTS[name].is_here())
    if not missing:
        return
    reason = f"for want of {', '.join(missing)}; type: {install_line(missing)}"
    if os.environ.get("TALKWIRE_REQUIRE") == "all" and not all(PARTS[name].elsewhere for name in missing):
        pytest.fail(f"TALKWIRE_REQUIRE=all, and this cannot run {reason}", pytrace=False)
    item.user_properties.extend(("want", name) for name in missing)  # travels to xdist's controller
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    wants = Counter(name for report in skipped for key, name in getattr(report, "user_properties", ()) if key == "want")
    if not wants:
        return
    count = sum(any(key == "want" for key, _ in getattr(report, "user_properties", ())) for report in skipped)
    each = ", ".join(f"{name} ({number})" for name, number in sorted(wants.items()))
    terminalreporter.section("NOT EVERYTHING WAS TESTED", sep="!", yellow=True, bold=True)
    terminalreporter.write_line(f"{count} tests skipped for want of: {each}", yellow=True)
    terminalreporter.write_line(f"type: {install_line(sorted(wants))}", yellow=True)


def install_line(names: list[str]) -> str:
    packages = [package for name in names for package in PARTS[name].packages]
    lines = [f"apt-get install --no-install-recommends {' '.join(packages)}"] if packages else []
    return "; ".join([*lines, *(PARTS[name].elsewhere for name in names if PARTS[name].elsewhere)])
