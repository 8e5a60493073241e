"""The stranger's path: a channel of one's own from the built wheels alone, exactly as the tutorial says it."""

import os
import re
import resource
import runpy
import subprocess
import sys
import time

import pytest

from tests.docs.pages import ROOT, Reader, other_ports
from tests.parts.ports import free_ports

TUTORIAL = ROOT / "docs" / "tutorial" / "channel.md"
MOST = 300.0  # seconds of machine time for all of it
BUILDERS = (
    "build",
    "editables",
    "hatchling",
    "packaging",
    "pathspec",
    "pluggy",
    "pyproject-hooks",
    "trove-classifiers",
)

pytestmark = [
    pytest.mark.skipif(
        not (ROOT / "core" / "pyproject.toml").is_file(), reason="builds the wheel of this checkout; this is a copy"
    ),
    pytest.mark.timeout(2 * MOST),
]


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def clean_environment(venv):
    """Nothing of the checkout in reach: no PYTHONPATH, no .venv of ours, only the fresh one."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "LANG", "HOME"))}
    path = f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    # What builds wheels is installed from the lock already: pip need not fetch it once more.
    return {
        **kept,
        "PATH": path,
        "VIRTUAL_ENV": str(venv),
        "PIP_NO_BUILD_ISOLATION": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def pinned(lock, names):
    """Give the lines of a hashed lock for some packages."""
    entries = re.split(r"\n(?=[a-z0-9])", lock.read_text())
    return "\n".join(entry for entry in entries if entry.partition("==")[0] in names) + "\n"


def processor():
    """Give the seconds that the children of this process used so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def strangers_venv(tmp_path):
    """A fresh environment with the core's wheel, and of everything else what the locks say."""
    took, before = {}, processor()
    started = time.monotonic()
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    assert runpy.run_path(str(ROOT / "tools" / "dist.py"))["_build"](ROOT / "core", wheels) == ""
    took["wheel"] = time.monotonic() - started
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv)
    pip = (venv / "bin" / "python", "-m", "pip", "-q", "--disable-pip-version-check", "--no-input", "install")
    builders = tmp_path / "builders.txt"
    builders.write_text(pinned(ROOT / "requirements" / "dev.txt", BUILDERS))
    run(*pip, "--no-compile", "--require-hashes", "--no-deps", "-r", ROOT / "requirements" / "kit.txt", "-r", builders)
    run(*pip, "--no-index", "--no-deps", *wheels.glob("*.whl"))
    took["environment"] = time.monotonic() - started - took["wheel"]
    return venv, took, before


def test_a_stranger_has_a_channel_that_talks(tmp_path, strangers_venv, capsys):
    venv, took, before = strangers_venv
    where = run(venv / "bin" / "python", "-I", "-c", "import talkwire; print(talkwire.__file__)")
    assert str(venv) in where, "the wheel, not this checkout"

    folder = tmp_path / "empty"
    folder.mkdir()
    public, admin, acme = free_ports(3)
    changes = {"127.0.0.1:8080": f"127.0.0.1:{public}", "127.0.0.1:9900": f"127.0.0.1:{acme}", "9900": str(acme)}
    stranger = Reader(folder, clean_environment(venv), changes)
    stranger.after["talkwire init"] = lambda: other_ports(stranger.cwd, public, admin)
    started = time.monotonic()
    stranger.read(TUTORIAL)
    took["tutorial"] = time.monotonic() - started

    started = time.monotonic()
    clean = clean_environment(venv)
    run(venv / "bin" / "talkwire", "new-plugin", "pager", "--notifier", cwd=folder, env=clean)
    pager = folder / "talkwire-notify-pager"
    judged = run(venv / "bin" / "python", "-m", "pytest", "-q", cwd=pager, env={**clean, "PYTHONPATH": "src"})
    assert "16 passed, 4 skipped" in judged
    took["notifier"] = time.monotonic() - started

    steps = [*took.items(), *((f"  {step}", seconds) for step, seconds in stranger.took)]
    steps.append(("altogether", sum(took.values())))
    steps.append(("of a processor", processor() - before))
    with capsys.disabled():
        sys.stdout.write("\nthe stranger's path:\n" + "".join(f"{seconds:6.1f} s  {step}\n" for step, seconds in steps))
    assert sum(took.values()) < MOST
