"""Who may import whom: nothing points up, plugins see only what is public, and the core names no channel."""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "core" / "src" / "talkwire"
pytestmark = pytest.mark.skipif(
    not CORE.is_dir(), reason="looks at the checkout's own files; this is a copy of the tests"
)

LAYERS = (  # from the top; a module imports from its own layer and from those below; a folder is one part
    "cli testing",
    "serving control",
    "reloading",
    "daemon",
    "api accounts lending fetching",
    "doing showing timers",  # what plugins ask for, and what is done for them
    "hub",
    "lifecycle sessions settings",
    "inbound notify account_states plugins",  # the journeys …
    "outbound telling oversight",  # … and what they end in
    "messages readmodels",
    "answers deliveries people keeping http running sections",
    "work instance_keys references",
    "store",
    "channel notifier hooks simulator auth",  # what an author writes against
    "actions features formatting media redaction counting",
    "errors",
    "model clock ids facts systemd licences quiet nearest",
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names.split()}

# Words of providers and of their channels; e-mail and phone are kinds of addresses, which the core knows.
CHANNELS = [
    "telegram",
    "whatsapp",
    "livechat",
    "live_chat",
    "kannel",
    "smsgate",
    "viber",
    "messenger",
    "instagram",
    "twilio",
    "imap",
    "smtp",
    "smpp",
    "wechat",
    "slack",
]
EXAMPLES = {  # words in texts for people, which decide nothing
    "cli/demo.py": {"smsgate"},  # what to install to have something to play with
    "cli/starting.py": {"smsgate"},  # the commented settings that `talkwire init` writes
}


def modules(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    """Give the modules of a folder, each with its path below it."""
    for file in sorted(folder.rglob("*.py")):
        yield str(file.relative_to(folder)), parsed(file)


@functools.cache
def parsed(file: Path) -> ast.Module:
    """Read a module; many tests look at the same."""
    return ast.parse(file.read_text())


def at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a module without what stands under `if TYPE_CHECKING`."""
    waiting = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                continue
            yield node
            waiting.append(node)


def imported(path: str, tree: ast.Module) -> Iterator[str]:
    """Name the parts of the core that one of its modules imports; a folder is one part."""
    here = Path(path).parent.parts
    for node in at_run_time(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1]
            full = [*base, *(node.module.split(".") if node.module else [])]
            yield from full[:1] or (alias.name for alias in node.names)
        yield from (name.split(".")[1] for name in tops(node) if name.startswith("talkwire."))


def tops(node: ast.AST) -> list[str]:
    """Name the modules that an absolute import names."""
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def part(path: str) -> str:
    """Name the part of the core that a file belongs to."""
    return Path(path).parts[0].removesuffix(".py")


def graph(folder: Path) -> dict[str, set[str]]:
    """Say which part imports which."""
    found: dict[str, set[str]] = {}
    for path, tree in modules(folder):
        if (me := part(path)) != "__init__":
            found.setdefault(me, set()).update(name for name in imported(path, tree) if name != me)
    return found


def pointing_up(found: dict[str, set[str]]) -> list[str]:
    """Name the imports that point up."""
    return sorted(
        f"{me} → {other}" for me, others in found.items() for other in others if LAYER_OF[other] < LAYER_OF[me]
    )


def test_every_module_has_its_layer():
    assert graph(CORE).keys() == LAYER_OF.keys()


def test_nothing_points_up():
    assert pointing_up(graph(CORE)) == []


def test_nothing_goes_round():
    assert list(graphlib.TopologicalSorter(graph(CORE)).static_order())


def one_by_one(folder: Path) -> dict[str, set[str]]:
    """Say which module imports which, by their dotted names; a folder's own file stands for the folder."""
    found = {
        path.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): tree for path, tree in modules(folder)
    }
    arrows: dict[str, set[str]] = {name: set() for name in found}
    for path, tree in modules(folder):
        me = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        here = Path(path).parent.parts
        for node in at_run_time(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = [*here[: len(here) - node.level + 1], *(node.module.split(".") if node.module else [])]
                for alias in node.names:
                    named = ".".join([*base, alias.name])
                    arrows[me].add(named if named in found else ".".join(base))
        arrows[me] -= {me, ""}
    return arrows


def test_no_module_goes_round_within_its_folder():
    arrows = one_by_one(CORE)
    assert arrows["inbound.intake"] >= {"inbound.admission", "store"}
    assert list(graphlib.TopologicalSorter(arrows).static_order())


def test_what_points_up_would_be_noticed(tmp_path):
    (tmp_path / "store.py").write_text("def later():\n    from .daemon import Daemon\n")
    (tmp_path / "daemon.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .cli import x\n")
    assert pointing_up(graph(tmp_path)) == ["store → daemon"]


# --- what is outside the core ------------------------------------------------------------------------------------

DISTRIBUTIONS = [
    path.parent
    for pattern in ("plugins/*", "examples/*", "tests/plugins/*")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
]


def private(folder: Path) -> list[str]:
    """Name what a plugin imports of ours that is not public, of the core or of another plugin."""
    own = {path.name for path in folder.iterdir() if path.is_dir()}
    wrong = []
    for path, tree in modules(folder):
        for node in ast.walk(tree):
            for name in tops(node):
                foreign = name.startswith("talkwire_") and name.split(".")[0] not in own
                if name.startswith("talkwire.") or foreign:
                    wrong.append(f"{path}: {name}")
    return wrong


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda path: path.name)
def test_a_plugin_imports_only_what_is_public_and_no_other_plugin(distribution):
    assert private(distribution / "src") == []


def test_a_private_import_would_be_noticed(tmp_path):
    package = tmp_path / "talkwire_mine"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from talkwire import Channel\nfrom talkwire.store import Tx\nimport talkwire_other\nimport talkwire_mine.more\n"
    )
    assert private(tmp_path) == [
        "talkwire_mine/__init__.py: talkwire.store",
        "talkwire_mine/__init__.py: talkwire_other",
    ]


def said(tree: ast.Module) -> Iterator[str]:
    """Give the names and the texts of a module, but for its docstrings."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    docstrings = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and _documented(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        for field in ("id", "attr", "name", "arg", "module"):
            if isinstance(word := getattr(node, field, None), str):
                yield word


def _documented(node: ast.AST) -> bool:
    body = getattr(node, "body", [])
    return bool(body) and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)


def channels_named(tree: ast.Module) -> set[str]:
    """Name the channels that a module speaks of."""
    return {word for text in said(tree) for word in CHANNELS if word in text.lower()}


def test_the_core_names_no_channel():
    named = {path: words for path, tree in modules(CORE) if part(path) != "testing" and (words := channels_named(tree))}
    assert named == EXAMPLES


def test_a_channel_that_is_named_would_be_noticed():
    source = '"""Telegram is fine in a docstring."""\nif channel.type == "whatsapp":\n    send_telegram()\n'
    assert channels_named(ast.parse(source)) == {"whatsapp", "telegram"}


# --- libraries ----------------------------------------------------------------------------------------------------


def users(folder: Path, library: str) -> set[str]:
    """Name the modules that import a library."""
    found = ((path, name) for path, tree in modules(folder) for node in ast.walk(tree) for name in tops(node))
    return {path for path, name in found if name.split(".")[0] == library}


@pytest.mark.parametrize("library", ["sqlalchemy", "alembic"])
def test_the_schema_alone_knows_sqlalchemy(library):
    outside = {path for path in users(CORE, library) if not path.startswith("store/schema/")}
    assert outside <= {"cli/starting.py"}  # `db upgrade`, inside its function


def test_a_daemon_runs_without_sqlalchemy():
    code = "import sys, talkwire.serving; print({'sqlalchemy', 'alembic'} & sys.modules.keys())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_nobody_but_the_email_plugin_may_know_aioimaplib():
    """It is GPL-3.0-only."""
    folders = [CORE, *(path / "src" for path in DISTRIBUTIONS if path.name != "email")]
    assert [path for folder in folders for path in users(folder, "aioimaplib")] == []
