"""Build the wheels of every distribution into dist/ (those of test plugins with --tests, into dist/tests/)."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from env import distributions  # noqa: E402  (the path stands above)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="the plugins under tests/plugins instead")
    for_tests = parser.parse_args().tests
    target = ROOT / "dist" / "tests" if for_tests else ROOT / "dist"
    for old in target.glob("*.whl"):
        old.unlink()
    target.mkdir(parents=True, exist_ok=True)
    chosen = [path for path in distributions() if (ROOT / "tests" in path.parents) == for_tests]
    with ThreadPoolExecutor(2) as pool:
        failures = [text for text in pool.map(lambda path: _build(path, target), chosen) if text]
    for text in failures:
        print(text)
    for wheel in sorted(target.glob("*.whl")):
        print(f"dist: {wheel.relative_to(ROOT)}  {wheel.stat().st_size / 1000:.0f} kB")
    return 1 if failures else 0


def _build(path: Path, target: Path) -> str:
    """Build one wheel from a copy, so that nothing is written beside the sources; give the error, if any."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        words = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(target), str(copy)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    return f"dist: {path.relative_to(ROOT)} failed:\n{done.stdout}{done.stderr}" if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
