"""Make or refresh `.venv` from the hashed locks: `env.py run` for the daemon, `env.py dev` for tests too.

A stamp in `.venv` holds the digest of what was installed, so that a second call takes no time.
Only the standard library is used: this runs before anything is installed.
"""

from __future__ import annotations  # an older Python must get as far as being told that it is too old

import fcntl
import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Where distributions live. A new plugin is found here; no list is edited to add one.
FOLDERS = ("core", "plugins/*", "examples/*")
FOR_TESTS = ("tests/plugins/*",)  # they take part in every talk, and have no business in a demo
OLDEST = (3, 11)


def distributions(folders: tuple[str, ...] = FOLDERS + FOR_TESTS) -> list[Path]:
    """Give the folders of all distributions that can be built: one that is only begun must not stop the others."""
    found = [path for pattern in folders for path in sorted(ROOT.glob(pattern))]
    return [path for path in found if _is_whole(path)]


def _is_whole(path: Path) -> bool:
    described = path / "pyproject.toml"
    if not described.is_file() or not any(path.glob("src/*/__init__.py")):
        return False
    return "\nreadme =" not in described.read_text() or (path / "README.md").is_file()


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(
            f"Talkwire needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.\n"
            "Install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv),\n"
            "or say where one is: make env PYTHON=/path/to/python3.11"
        )
    lock = ROOT / "requirements" / f"{sys.argv[1]}.txt"
    with _alone():
        _make_venv()
        _install_locked(lock)
        _install_ours(for_tests=lock.stem == "dev")


def _alone() -> TextIO:
    """Hold a file lock until closed: two makes at once would write into the same environment."""
    handle = (ROOT / ".venv.lock").open("w")  # beside .venv, which may be cleared under us
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        _say("another make is at work on .venv; waiting for it")
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _make_venv() -> None:
    if _works():  # whichever Python made it; to change it, remove .venv
        return
    _say(f"making .venv with Python {sys.version.split()[0]}")
    try:
        _run(sys.executable, "-m", "venv", "--clear", str(VENV))
    except subprocess.CalledProcessError:
        sys.exit(
            "The environment could not be made. On Debian and Ubuntu the module venv is a package of its own:\n"
            f"  apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )


def _works() -> bool:
    """Say whether .venv holds a Python that still runs, is new enough and has pip."""
    python = VENV / "bin" / "python"
    if not python.exists():
        return False
    ask = f"import sys, importlib.util as u; sys.exit(sys.version_info < {OLDEST} or u.find_spec('pip') is None)"
    return subprocess.run([str(python), "-c", ask], check=False, capture_output=True).returncode == 0


def _install_locked(lock: Path) -> None:
    text = lock.read_text()
    # What "dev" pins is a superset of what "run" pins: after it there is nothing left to do for "run".
    if _same(lock.stem, text) or (lock.stem == "run" and _same("dev", lock.with_name("dev.txt").read_text())):
        return
    count = sum(line[:1].isalnum() for line in text.splitlines())
    _say(f"installing {count} locked packages, each checked by its hash (half a minute or so)")
    _pip("--require-hashes", "-r", str(lock))
    _stamp(lock.stem, text)


def _install_ours(*, for_tests: bool) -> None:
    ours = distributions(FOLDERS + FOR_TESTS if for_tests else FOLDERS)
    described = "".join(f"{path}\n{(path / 'pyproject.toml').read_text()}" for path in ours)
    if not ours or _same("ours", described):
        return
    if not for_tests and (VENV / ".stamp-ours").is_file():
        _unlink(distributions(FOR_TESTS))
    _say("linking " + ", ".join(str(path.relative_to(ROOT)) for path in ours))
    editable = [word for path in ours for word in ("-e", str(path))]
    _pip("--no-index", "--no-deps", "--no-build-isolation", *editable)
    _stamp("ours", described)


def _unlink(folders: list[Path]) -> None:
    """Take out what `dev` linked and a demo must not have."""
    found = [re.search(r'^name = "(.+)"', (path / "pyproject.toml").read_text(), re.MULTILINE) for path in folders]
    names = [match[1] for match in found if match]
    _run(str(VENV / "bin" / "python"), "-m", "pip", "uninstall", "-qq", "--yes", *names)


def _pip(*words: str) -> None:
    started = time.monotonic()
    python = str(VENV / "bin" / "python")
    _run(python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", *words)
    _say(f"done in {time.monotonic() - started:.0f} s")


def _run(*words: str) -> None:
    subprocess.run(words, cwd=ROOT, check=True)


def _stamp(name: str, text: str) -> None:
    (VENV / f".stamp-{name}").write_text(_digest(text))


def _same(name: str, text: str) -> bool:
    stamp = VENV / f".stamp-{name}"
    return stamp.is_file() and stamp.read_text() == _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _say(line: str) -> None:
    sys.stdout.write(f"env: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"env: this failed, its own words are above: {' '.join(map(str, error.cmd[:6]))} …")
