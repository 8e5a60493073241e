"""The licence gate refuses what it is there to refuse."""

import runpy
from pathlib import Path

import pytest

GATE = Path(__file__).resolve().parents[2] / "tools" / "licences.py"
pytestmark = pytest.mark.skipif(
    not GATE.is_file(), reason="looks at the checkout's own files; this is a copy of the tests"
)


@pytest.fixture(scope="module")
def gate():
    pytest.importorskip("piplicenses")
    return runpy.run_path(str(GATE))


@pytest.mark.parametrize(
    ("name", "said", "fault"),
    [
        ("a", ["MIT"], ""),
        ("a", ["Apache-2.0 AND MIT"], ""),
        ("a", ["MPL-2.0"], ""),
        ("psycopg", ["LGPL-3.0-only"], ""),
        ("a", ["LGPL-3.0-only"], "LGPL, and not allowed by name"),
        ("a", ["GNU Lesser General Public License v3 (LGPLv3)"], "LGPL, and not allowed by name"),
        ("aioimaplib", ["GPL-3.0-only"], "GPL"),
        ("a", ["GNU General Public License v3 (GPLv3)"], "GPL"),
        ("psycopg", ["AGPL-3.0"], "GPL"),
        ("a", [], "says no licence"),
    ],
)
def test_the_gate_judges(gate, name, said, fault):
    assert gate["judge"](name, said) == fault


def test_every_distribution_is_judged_with_all_that_it_needs(gate):
    folder = GATE.parents[1] / "plugins" / "livechat"
    rows = {name: {"Name": name, "License-Metadata": "MIT"} for name in gate["closure"]("talkwire-livechat", set())}
    assert list(gate["judge_one"](folder, rows)) == []
    rows["aiohttp"]["License-Metadata"] = "GPL-3.0-only"
    assert list(gate["judge_one"](folder, rows)) == ["talkwire-livechat depends on aiohttp: GPL-3.0-only (GPL)"]


@pytest.fixture
def made(tmp_path):
    """Make a distribution; gives its folder."""

    def make(where, *, gpl="", needs="", readme="It needs a GPL package.", **files):
        folder = tmp_path / where
        (folder / "src").mkdir(parents=True)
        described = f'[project]\nname = "talkwire-{folder.name}"\ndependencies = [{needs}]\n'
        (folder / "pyproject.toml").write_text(described + (f"[tool.talkwire.gpl]\n{gpl}\n" if gpl else ""))
        (folder / "README.md").write_text(readme)
        for name, text in files.items():
            (folder / "src" / f"{name}.py").write_text(text)
        return folder

    return make


STATED = 'un-free = "src/inner.py"'


def test_a_plugin_may_state_one_module_that_imports_a_gpl_package(gate, made):
    folder = made("plugins/mail", gpl=STATED, inner="import un_free.client", other="import json")
    assert gate["misplaced"]([folder, made("core", needs='"aiohttp"')]) == []


@pytest.mark.parametrize(
    ("where", "files", "fault"),
    [
        ("plugins/mail", {"other": "from un_free import x"}, "src/other.py of mail imports un-free: only inner.py may"),
        ("plugins/mail", {"readme": "Mail."}, "talkwire-mail needs a GPL package and its README does not say so"),
        ("examples/mail", {}, "talkwire-mail states an exception: only a plugin may have one"),
    ],
)
def test_an_exception_is_kept_where_it_belongs(gate, made, where, files, fault):
    assert gate["misplaced"]([made(where, gpl=STATED, inner="import un_free", **files)]) == [fault]


def test_nobody_else_imports_it_and_nobody_needs_the_plugin(gate, made):
    mail = made("plugins/mail", gpl=STATED, inner="import un_free")
    core = made("core", needs="\"talkwire-mail ; extra == 'mail'\"", wrong="def f():\n    import un_free\n")
    assert gate["misplaced"]([mail, core]) == [
        "talkwire-core depends on talkwire-mail, which needs a GPL package",
        "src/wrong.py of core imports un-free: only inner.py may",
    ]
