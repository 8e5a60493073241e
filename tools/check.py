"""Run every check that needs no daemon and say which failed: form, lint, types, boundaries, the manual, licences, requirements."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent
# What is checked without a daemon; a folder that is not there yet is left out.
TESTS = [name for name in ("tests/boundaries", "tests/docs", "tests/typing") if (ROOT / name).is_dir()]
SOURCES = sorted(
    str(found.relative_to(ROOT)) for kind in ("plugins", "examples") for found in ROOT.glob(f"{kind}/*/src")
)
CHECKS = {
    "format": [BIN / "ruff", "format", "--check", "--quiet", "."],
    "lint": [BIN / "ruff", "check", "--quiet", "."],
    "types": [BIN / "mypy", "--no-error-summary", "core/src", *SOURCES],
    "boundaries": [PYTHON, "-m", "pytest", "-q", "-n", "auto", "--maxprocesses=4", *TESTS],
    "manual": [PYTHON, "tools/docs.py"],
    "licences": [PYTHON, "tools/licences.py"],
    "requirements": [PYTHON, "tools/requirements.py", "--short"],
}


def main() -> int:
    failed = []
    for name, words in CHECKS.items():
        started = time.monotonic()
        code = subprocess.run([str(word) for word in words], cwd=ROOT, check=False).returncode
        print(f"check: {name:<13}{'ok' if code == 0 else 'FAILED'}  {time.monotonic() - started:.1f} s", flush=True)
        if code:
            failed.append(name)
    if failed:
        print(
            f"check: failed: {', '.join(failed)}"
            + (" (make format repairs some of it)" if {"format", "lint"} & {*failed} else "")
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
