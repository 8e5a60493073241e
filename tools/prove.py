"""Run the long form of every test marked `prove`; each leaves its figures in docs/proof/<name>.txt.

One process: figures taken while other tests run mean nothing.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTHING_CHOSEN = 5  # pytest's exit code


def main() -> int:
    words = [sys.executable, "-m", "pytest", "-m", "prove", "-v", "-s", "-p", "no:randomly", *sys.argv[1:]]
    code = subprocess.run(words, cwd=ROOT, env=os.environ | {"TALKWIRE_PROVE": "1"}, check=False).returncode
    if code == NOTHING_CHOSEN:
        print("prove: no test is marked `prove`")
    for path in sorted((ROOT / "docs" / "proof").glob("*.txt")):
        print(f"prove: {path.relative_to(ROOT)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
