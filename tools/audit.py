"""Ask for known weaknesses of every version that the locks pin; by hand, since it needs the network.

pip-audit runs in an environment of its own, `.venv-audit`: what it needs is no part of ours.

    exit 0   every package was asked about, and none has a known weakness
    exit 1   some have, each named with the version that repairs it
    exit 2   some could not be asked about: a mirror without the list, no network; nothing is said of these
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-audit"
TOOL = "pip-audit==2.10.1"
LOCK, SHIPPED = ROOT / "requirements" / "dev.txt", ROOT / "requirements" / "run.txt"
FOUND, NOT_ASKED = 1, 2


def main() -> int:
    audit, python = VENV / "bin" / "pip-audit", VENV / "bin" / "python"
    if not audit.exists():
        made = run(sys.executable, "-m", "venv", "--clear", VENV)
        made = made or run(python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", TOOL)
        if made:
            return say([f"{TOOL} could not be installed into .venv-audit: {made}"], NOT_ASKED)
    words = [audit, "--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json", "-r", LOCK]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    try:
        asked = json.loads(done.stdout)
    except ValueError:
        return say([f"pip-audit could not ask: {last(done.stderr)}"], NOT_ASKED)
    return say(*judge(asked, names_in(SHIPPED.read_text())))


def judge(asked: Any, shipped: set[str]) -> tuple[list[str], int]:
    """Say what was found, and how to end. pip-audit itself calls it well when every package was skipped."""
    packages = asked["dependencies"]
    skipped = [one for one in packages if "skip_reason" in one]
    lines = [line for one in packages for line in weaknesses(one, shipped)]
    code = FOUND if lines else 0
    lines = lines or [f"none known in {len(packages) - len(skipped)} packages"] * (len(skipped) < len(packages))
    if skipped:
        few = ", ".join(one["name"] for one in skipped[:5]) + (" …" if len(skipped) > 5 else "")
        lines.append(f"NOT ASKED about {len(skipped)} of {len(packages)}: {few}")
        lines.append(f"  {skipped[0]['skip_reason']}")
    return lines, code or (NOT_ASKED if skipped else 0)


def weaknesses(one: Any, shipped: set[str]) -> Iterator[str]:
    where = "the daemon's" if one["name"] in shipped else "for work only"
    for each in one.get("vulns", ()):
        repaired = ", ".join(each["fix_versions"]) or "nothing yet"
        yield f"{one['name']} {one['version']} ({where}): {each['id']}, repaired by {repaired}"


def names_in(lock: str) -> set[str]:
    """Name the packages of a lock."""
    return {line.partition("==")[0] for line in lock.splitlines() if line[:1].isalnum()}


def run(*words: object) -> str:
    """Run a command; gives what it said at last where it failed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    return last(done.stdout + done.stderr) if done.returncode else ""


def last(said: str) -> str:
    """Give the last line of what was said."""
    return (said.strip().splitlines() or ["it said nothing"])[-1][:300]


def say(lines: list[str], code: int) -> int:
    """Print what was found."""
    print("\n".join(f"audit: {line}" for line in lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
