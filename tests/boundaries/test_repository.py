"""The repository keeps its own promises: distributions alike, locks that name no host."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IN_CHECKOUT = (ROOT / "core" / "pyproject.toml").is_file()
pytestmark = pytest.mark.skipif(
    not IN_CHECKOUT, reason="looks at the checkout's own files; this is a copy of the tests"
)

SHIPPED = sorted(
    path.parent for pattern in ("core", "plugins/*", "examples/*") for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
ALL = SHIPPED + sorted(path.parent for path in ROOT.glob("tests/plugins/*/pyproject.toml"))
# Put together here, so that this file does not name them either.
REGISTRY_HOSTS = ["pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com"]


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def name_of(folder: Path) -> str:
    return str(folder.relative_to(ROOT))


def committed() -> list[Path]:
    """Give every file that git knows, or would take in."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    asked = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, text=True)
    return [path for name in asked.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_the_distributions_are_found():
    assert {"core", "examples/smsgate", "examples/opening_hours"} <= {name_of(folder) for folder in SHIPPED}


def test_all_versions_are_equal():
    versions = {name_of(folder): project(folder)["version"] for folder in ALL}
    assert len(set(versions.values())) == 1, versions


HOSTS = ["host_app"]  # speak HTTP, and need no Talkwire beside them


@pytest.mark.parametrize("folder", [folder for folder in ALL if folder.name not in ("core", *HOSTS)], ids=name_of)
def test_a_plugin_asks_for_this_line_of_the_core(folder):
    major, minor, _ = project(ROOT / "core")["version"].split(".", 2)
    assert f"talkwire~={major}.{minor}.0" in project(folder)["dependencies"]


@pytest.mark.parametrize("folder", SHIPPED, ids=name_of)
def test_a_distribution_is_whole(folder):
    described = project(folder)
    packages = [path.parent for path in folder.glob("src/*/__init__.py")]
    # The core's own tests are the repository's: tests/.
    tests = ROOT / "tests" if folder.name == "core" else folder / "tests"

    assert (folder / "README.md").read_text().strip(), "a README with words in it"
    assert described["license"] == "Apache-2.0"
    assert described["requires-python"] == ">=3.11"
    assert [path.name for path in packages] == [described["name"].replace("-", "_")], (
        "one package under src, named as the distribution"
    )
    assert (packages[0] / "py.typed").is_file(), "types are shipped"
    assert list(tests.rglob("test_*.py")), "tests"
    assert tomllib.loads((folder / "pyproject.toml").read_text())["build-system"]["build-backend"] == "hatchling.build"


@pytest.mark.parametrize("folder", [folder for folder in SHIPPED if folder.name != "core"], ids=name_of)
def test_the_tests_of_a_plugin_are_no_package(folder):
    """They would be a second `tests`, and pytest would take one module for the other."""
    assert not (folder / "tests" / "__init__.py").exists()


def test_the_core_does_not_depend_on_a_plugin():
    wanted = project(ROOT / "core")
    needs = [*wanted["dependencies"], *(need for extra in wanted["optional-dependencies"].values() for need in extra)]
    assert not [need for need in needs if need.startswith("talkwire")]


def test_every_copy_of_the_licence_is_the_licence():
    for name in ("LICENSE", "NOTICE"):
        assert (ROOT / "core" / name).read_text() == (ROOT / name).read_text()
    assert "Apache License" in (ROOT / "LICENSE").read_text()


LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_is_hashed_and_names_no_host(lock):
    text = lock.read_text()
    pins = [line for line in text.splitlines() if line[:1].isalnum()]
    assert "://" not in text
    assert not re.search(r"^\s*-{1,2}(i|index|extra|find|trusted)", text, re.MULTILINE)
    assert pins
    assert text.count("\n    --hash=sha256:") >= len(pins)
    assert all(re.match(r"[a-z0-9][a-z0-9-]*==[^ ]+", line) for line in pins), "each is pinned to one version"


def test_the_locks_agree():
    def pins(lock: Path) -> set[str]:
        return {line.rstrip("\\ ") for line in lock.read_text().splitlines() if line[:1].isalnum()}

    def versions(lock: Path) -> dict[str, str]:
        return dict(pin.split(" ")[0].split("==") for pin in pins(lock))

    dev = versions(ROOT / "requirements" / "dev.txt")
    for lock in LOCKS:
        assert versions(lock).items() <= dev.items(), lock.name


def test_no_file_names_a_package_registry():
    found = []
    for path in committed():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRY_HOSTS if host in text]
    assert found == []


def test_no_lock_of_a_tool_is_kept():
    assert not [path for path in committed() if path.name in {"uv.lock", "pylock.toml", "poetry.lock"}]


def test_a_note_holds_one_sentence_a_line_under_a_known_kind():
    notes = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    for note in notes:
        assert re.fullmatch(r"[0-9]+\.(added|changed|fixed|removed|security)\.md", note.name), note.name
        for line in note.read_text().splitlines() or [""]:
            assert re.fullmatch(r"[A-Z].*\.", line), f"{note.name}: one sentence a line"


def test_a_demo_has_no_plugin_that_is_only_for_tests():
    """Its hooks take part in every talk: it drops advertisements, and writes no capitals."""
    spec = importlib.util.spec_from_file_location("env", ROOT / "tools" / "env.py")
    env = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(env)
    shown, all_of_them = env.distributions(env.FOLDERS), env.distributions()
    assert ROOT / "examples" / "smsgate" in shown
    assert {path.parent for path in set(all_of_them) - set(shown)} == {ROOT / "tests" / "plugins"}
