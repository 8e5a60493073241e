"""The reference is what the code says, and names everything there is."""

import ast
import inspect
import re
import runpy
from pathlib import Path

import pytest

import talkwire
from talkwire import errors, hooks, sections
from talkwire.facts import FACTS
from talkwire.features import Features, MediaFeature, OptionFeature
from talkwire.model import AccountState, AnswerCode, Level, Policy, Rate, SessionState, State

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "reference.py"
PAGES = ROOT / "docs" / "reference"
CORE = ROOT / "core" / "src" / "talkwire"
pytestmark = pytest.mark.skipif(
    not TOOL.is_file(), reason="looks at the checkout's own files; this is a copy of the tests"
)


def headings(text):
    return set(re.findall(r"^#{2,} (.+)$", text, re.MULTILINE))


def missing(names, text):
    """Name what has no heading in a page."""
    return sorted(set(names) - headings(text))


def page(name):
    return (PAGES / name).read_text()


def keys(path, model):
    return [f"{path}.{name}" for name in model.model_fields]


@pytest.fixture(scope="module")
def made():
    return runpy.run_path(str(TOOL))["pages"]()


def test_the_pages_are_what_the_code_says(made):
    stale = [name for name, text in made.items() if not (PAGES / name).is_file() or page(name) != text]
    assert stale == [], "type: .venv/bin/python tools/reference.py"


def test_every_hook_has_a_heading():
    specs = [name for name, one in vars(hooks).items() if hasattr(one, "talkwire_spec")]
    assert len(specs) > 15
    assert missing(specs, page("hooks.md")) == []


def test_every_setting_has_a_heading():
    tables = {**sections.SECTIONS, "plugins": sections.PluginKeys, "accounts.NAME": sections.AccountKeys}
    tables |= {"recipients.NAME": sections.RecipientSettings, "notify": sections.Rule}
    tables |= {"webhooks": sections.WebhookSettings}
    wanted = [key for path, model in tables.items() for key in keys(path, model)]
    assert missing(wanted, page("settings.md")) == []


def test_every_setting_says_what_it_is_and_its_form():
    for part in page("settings.md").split("\n### ")[1:]:
        title, said, rest = part.partition("\n\n")[0], part.split("\n\n")[1], part
        assert len(said) > 10, title
        assert "- form: " in rest, title
        assert "- default: " in rest, title


def test_every_error_has_a_heading():
    kinds = [name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, Exception)]
    assert "Uncertain" in kinds
    assert missing(kinds, page("errors.md")) == []


def test_every_feature_has_a_heading():
    fields = [
        f"{kind.__name__}.{name}" for kind in (Features, MediaFeature, OptionFeature, Rate) for name in kind.__slots__
    ]
    assert missing(fields, page("features.md")) == []


def test_every_state_has_a_heading_or_a_row():
    text = page("states.md")
    assert missing([state.word for state in State], text) == []
    assert missing(["AccountState", "SessionState", "AnswerCode", "Policy", "Level"], text) == []
    for kind in (AccountState, SessionState, AnswerCode, Policy, Level):
        for one in kind:
            assert re.search(rf"^\| `{one.value}` \| \S", text, re.MULTILINE), one


def test_every_method_of_the_hub_has_a_heading():
    for kind in (talkwire.Hub, talkwire.Tx, talkwire.Query):
        public = [name for name, one in vars(kind).items() if not name.startswith("_") and callable(one)]
        ours = {"of", "number_facts", "mark", "back_to", "hint"}  # for the core alone
        assert missing([f"{kind.__name__}.{name}" for name in public if name not in ours], page("hub.md")) == []


def test_every_check_of_the_kit_has_a_heading_and_a_remedy():
    from talkwire.testing import CHECKS

    names = [check.__name__.removeprefix("check_") for check in CHECKS]
    assert missing(names, page("kit.md")) == []
    for part in page("kit.md").split("\n## ")[1 : len(CHECKS) + 1]:
        assert "- remedy: " in part, part


def test_every_operation_of_the_api_has_a_heading():
    from talkwire.api import api

    wanted = [f"{one.method} {api.prefix}{one.path}" for one in api.operations]
    assert len(wanted) > 15
    assert missing(wanted, page("api.md")) == []


def test_every_metric_has_a_heading_and_says_its_labels():
    from talkwire.api.metrics import FAMILIES

    assert missing([family.name for family in FAMILIES], page("metrics.md")) == []


def test_every_command_has_a_heading():
    import typer.main

    from talkwire.cli import app

    def names(command, so_far):
        inner = getattr(command, "commands", None)
        below = [n for key, one in (inner or {}).items() for n in names(one, f"{so_far} {key}")]
        return below if inner and not command.invoke_without_command else [so_far, *below]

    wanted = names(typer.main.get_command(app), "talkwire")
    assert "talkwire db upgrade" in wanted
    assert missing(wanted, page("cli.md")) == []


# --- facts ---------------------------------------------------------------------------------------------

TYPE = re.compile(r"[a-z]+\.[a-z_]+")
PREFIX = re.compile(r"[a-z]+\.")
# f-strings that are told, and what they can become
MADE = {
    "account.": [f"account.{state.value}" for state in AccountState],
    "session.": ["session.opened", "session.disconnected", "session.ended"],
    "notification.": [name for name in FACTS if name.startswith("notification.") and name != "notification.created"],
    ".shown": [],
    ".answered": [],
    ".withdrawn": [],
    ".suppressed": [],
    ".seen": [],
    ".grouped": [],
    ".lapsed": [],
}


def told_in(source):
    """Find the types of facts that a module tells: (type, keys of ids, keys of small), or (prefix of an f-string,)."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or name_of(node.func) not in {"tell", "_tell"}:
            continue
        given = {word.arg: literal_keys(word.value) for word in node.keywords}
        for argument in [one for argued in node.args for one in either(argued)]:
            if isinstance(argument, ast.Constant) and TYPE.fullmatch(str(argument.value)):
                yield argument.value, given.get("ids"), given.get("small")
            elif isinstance(argument, ast.Constant) and name_of(node.func) == "_tell" and argument.value:
                yield f".{argument.value}", None, None  # the end of an f-string
            elif isinstance(argument, ast.JoinedStr) and PREFIX.fullmatch(
                str(getattr(argument.values[0], "value", ""))
            ):
                yield argument.values[0].value, given.get("ids"), given.get("small")


def either(node):
    """Give both sides of `a if b else c`."""
    return [*either(node.body), *either(node.orelse)] if isinstance(node, ast.IfExp) else [node]


def name_of(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def literal_keys(node):
    return [key.value for key in node.keys] if isinstance(node, ast.Dict) and all(node.keys) else None


def all_told():
    for path in sorted(CORE.rglob("*.py")):
        for kind, ids, small in told_in(path.read_text()):
            for one in MADE.get(kind, [f"notification{kind}" if kind.startswith(".") else kind]):
                yield path.name, one, ids, small


def test_every_fact_that_the_core_tells_is_documented_and_no_other():
    told = {kind for _, kind, _, _ in all_told()}
    documented = {name for name in headings(page("facts.md")) if TYPE.fullmatch(name)}
    assert told - documented == set(), "told, not documented"
    assert documented - told == set(), "documented, not told"
    assert set(FACTS) == documented, "talkwire/facts.py is what the settings check `on` against"


def test_what_is_documented_of_a_fact_names_its_ids_and_small_values():
    parts = {part.partition("\n")[0]: part for part in page("facts.md").split("\n### ")[1:]}
    for where, kind, ids, small in all_told():
        for key in [*(ids or ()), *(small or ())]:
            assert f"`{key}`" in parts[kind], f"{where} tells {kind} with {key}"


def test_each_fact_names_the_hook_that_is_told_it():
    for part in page("facts.md").split("\n### ")[1:]:
        kind = part.partition("\n")[0]
        assert f"- hook: `{hooks.hook_of(kind)}`" in part, kind


# --- these tests are tested --------------------------------------------------------------------------------


def test_a_name_without_a_heading_is_found():
    assert missing(["a", "b"], "# b\n\n## a\n\n`b`") == ["b"]


def test_a_fact_is_found_however_it_is_told():
    source = """
tx.tell("a.b", ids={"x": 1}, small={"y": 2})
tx.tell(f"account.{state}")
_tell(tx, one, "c.d")
_tell(tx, "shown", one)
tx.tell("g.h" if this else "i.j")
tx.execute("e.f")
"""
    assert [kind for kind, _, _ in told_in(source)] == ["a.b", "account.", "c.d", ".shown", "g.h", "i.j"]
