"""The how-tos do what they say, executed block by block in an empty folder."""

import os
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Reader, other_ports
from tests.parts.ports import free_ports

HOWTO = ROOT / "docs" / "howto"
ELSEWHERE = {"run-on-postgres", "install-on-a-vm", "containers"}  # below, and in tests/operator
pytestmark = [
    pytest.mark.skipif(not HOWTO.is_dir(), reason="reads the checkout's own pages; this is a copy of the tests"),
    pytest.mark.timeout(120),  # daemons in processes of their own
]


@pytest.fixture
def reader(tmp_path):
    """Somebody with this environment, in an empty folder, whose installations go into a folder of their own."""
    public, admin, second, third = free_ports(4)
    changes = {":8080": f":{public}", "8080": str(public), ":8081": f":{second}", "8081": str(second)}
    changes |= {"9464": str(admin), "9465": str(third)}
    env = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "LANG", "HOME"))} | {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": str(tmp_path / "installed"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PIP_TARGET": str(tmp_path / "installed"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    folder = tmp_path / "empty"
    folder.mkdir()
    one = Reader(folder, env, changes)
    one.after["talkwire init"] = lambda: other_ports(one.cwd, public, admin)
    return one


@pytest.mark.requirement("CARD-08")  # upgrade.md, reload.md, uninstall.md, back-up-and-restore.md
@pytest.mark.parametrize(
    "howto",
    sorted(p for p in HOWTO.glob("*.md") if p.stem not in ELSEWHERE and "postgres" not in p.stem),
    ids=lambda p: p.stem,
)
def test_a_how_to_does_what_it_says(howto, reader):
    reader.read(howto)


@pytest.mark.parametrize("howto", sorted(HOWTO.glob("*postgres*.md")), ids=lambda p: p.stem)
def test_postgres_is_used_as_the_page_says(howto, reader, postgres_url):
    reader.changes = {"postgresql://talkwire@db.example.org/talkwire": postgres_url, **reader.changes}
    reader.read(howto)
