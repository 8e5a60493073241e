"""What the card names is there: libraries that shipped modules import, folders, a distribution in each plugin's."""

from __future__ import annotations

import functools
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.boundaries.test_imports import modules, tops
from tests.boundaries.test_repository import IN_CHECKOUT, ROOT, SHIPPED, project

pytestmark = pytest.mark.skipif(
    not IN_CHECKOUT, reason="looks at the checkout's own files; this is a copy of the tests"
)

LIBRARIES = {  # distribution → who imports it at least
    "pluggy": "core",
    "aiohttp": "core",
    "pydantic": "core",
    "structlog": "core",
    "aioimaplib": "plugins/email",
    "aiosmtplib": "plugins/notify_email",
    "python-telegram-bot": "plugins/telegram",
}
FOLDERS = [
    "core", "plugins/livechat", "plugins/email", "plugins/whatsapp", "plugins/telegram", "plugins/notify_desktop",
    "plugins/notify_email", "examples", "tests", "docs", "bench",
]  # fmt: skip


@functools.cache
def imported(folder: Path) -> set[str]:
    """Name the distributions that the modules of a folder import."""
    names = {name.partition(".")[0] for _, tree in modules(folder) for node in walked(tree) for name in tops(node)}
    known = _known()
    return {distribution for name in names for distribution in known.get(name, ())}


_known = functools.cache(packages_distributions)


def walked(tree):
    """Walk a module; imports under `if TYPE_CHECKING` are none."""
    from tests.boundaries.test_imports import at_run_time

    return at_run_time(tree)


@pytest.mark.requirement("CARD-09")
@pytest.mark.parametrize(("library", "folder"), LIBRARIES.items())
def test_each_library_that_the_card_names_is_imported_by_a_shipped_module(library, folder):
    assert library in imported(ROOT / folder / "src")
    assert any(word.partition(">")[0] == library for word in asked(folder)), "it is imported and not asked for"


def asked(folder: str) -> list[str]:
    """Name what a distribution depends on, without extras of its dependencies."""
    found = project(ROOT / folder)["dependencies"]
    return [word.partition("[")[0].partition("~")[0].partition("=")[0].strip() for word in found]


@pytest.mark.requirement("CARD-09")
def test_the_kit_for_tests_is_built_on_pytest_aiohttp():
    assert "pytest-aiohttp" in imported(ROOT / "core" / "src" / "talkwire" / "testing")


def test_a_library_that_nobody_imports_would_be_noticed(tmp_path):
    (tmp_path / "one.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pluggy\n")
    assert "pluggy" not in imported(tmp_path)


@pytest.mark.requirement("CARD-10")
@pytest.mark.parametrize("name", FOLDERS)
def test_the_folders_that_the_card_names_are_there(name):
    assert any((ROOT / name).iterdir())


@pytest.mark.requirement("CARD-10")
@pytest.mark.parametrize("folder", sorted(p for p in (ROOT / "plugins").glob("*") if p.is_dir()), ids=lambda p: p.name)
def test_each_folder_of_a_plugin_is_a_distribution_that_pip_installs_and_the_core_finds(folder):
    assert folder in SHIPPED
    made = tomllib.loads((folder / "pyproject.toml").read_text())
    assert made["build-system"]["build-backend"] == "hatchling.build"
    [(plugin, module)] = made["project"]["entry-points"]["talkwire"].items()
    assert plugin == folder.name
    assert (folder / "src" / module / "__init__.py").is_file()
