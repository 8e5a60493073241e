"""Set one version in every distribution: they move together. `version.py 0.2.0`; without a word, say the version."""

import re
import sys

from env import FOLDERS, FOR_TESTS, ROOT

VERSION = re.compile(r'^version = "([^"]+)"', re.MULTILINE)
NEED = re.compile(r'"talkwire~=[0-9.]+')


def main() -> None:
    paths = [path for pattern in (*FOLDERS, *FOR_TESTS) for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))]
    if len(sys.argv) < 2:
        for path in paths:
            print(VERSION.search(path.read_text())[1], path.relative_to(ROOT))
        return
    new = sys.argv[1]
    if not re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?", new):
        sys.exit(f"{new} is not a version such as 0.2.0 or 0.2.0rc1")
    need = f'"talkwire~={".".join(new.split(".")[:2])}.0'
    for path in paths:
        path.write_text(NEED.sub(need, VERSION.sub(f'version = "{new}"', path.read_text())))
        print(path.relative_to(ROOT), new)


if __name__ == "__main__":
    main()
