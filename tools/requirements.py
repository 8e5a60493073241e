"""Print for each numbered statement whether it is proved, planned or missing; fail if one is missing.

Proved: a collected test carries its marker (that it passes, `make test` says).
Planned: requirements/planned.toml names the piece of work that will prove it. Missing: neither.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.parts.numbers import ROW  # noqa: E402  (the path stands above)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="only the totals and what is wrong")
    short = parser.parse_args().short

    tags = [(row["number"], row["tag"]) for row in ROW.finditer((ROOT / "requirements" / "numbers.md").read_text())]
    proved = collect()
    plan = tomllib.loads((ROOT / "requirements" / "planned.toml").read_text())
    planned: dict[str, list[str]] = {}
    for work, numbers in plan.items():
        for number in numbers:
            planned.setdefault(number, []).append(work)

    totals: Counter[str] = Counter()
    wrong = [
        f"planned.toml names {number}, which numbers.md has not"
        for number in sorted(planned.keys() - dict(tags).keys())
    ]
    for number, tag in tags:
        if number in proved:
            state, detail = "proved", ", ".join(proved[number])
            if number in planned:
                detail += f"   (more of it planned: {', '.join(planned[number])})"
        elif number in planned:
            state, detail = "planned", ", ".join(planned[number])
        else:
            state, detail = "missing", "no test carries its marker, and no work is planned that will"
            wrong.append(f"{number} is missing: {detail}")
        totals[state] += 1
        if not short:
            print(f"{number:<9}{tag:<4}{state:<9}{detail}")
    print(
        f"requirements: {len(tags)} statements, "
        + ", ".join(f"{totals[state]} {state}" for state in ("proved", "planned", "missing"))
    )
    for line in wrong:
        print(f"  {line}")
    return 1 if wrong else 0


def collect() -> dict[str, list[str]]:
    """Give the tests that carry each number, as pytest collects them."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "numbers.json"
        words = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:randomly",
            "--numbers-to",
            str(target),
        ]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode or not target.exists():
            sys.exit(f"the tests cannot be collected:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return json.loads(target.read_text())


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # make requirements | head
    sys.exit(main())
