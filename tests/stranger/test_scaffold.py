"""What `talkwire new-plugin` writes is a whole distribution, and right before anybody changes it."""

import ast
import contextlib
import importlib
import re
import subprocess
import sys
import tomllib

import pytest

from talkwire.cli.scaffold import BadName, make
from talkwire.errors import Conflict, TalkwireError
from talkwire.testing import Answers, FakeProvider, Reply, lend

KINDS = ("webhook", "poll", "notifier")


def folder_of(kind, name):
    """Name the folder, which is called as the distribution."""
    return f"talkwire-{'notify-' * (kind == 'notifier')}{name.replace('_', '-')}"


def kit(folder):
    words = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:randomly", "-p", "no:cacheprovider"]
    return subprocess.run(
        words,
        cwd=folder,
        env={"PYTHONPATH": "src", "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(180)  # a pytest in a process of its own
@pytest.mark.parametrize(
    ("kind", "name", "passed"),
    [
        ("webhook", "acme", 16),
        ("webhook", "signal", 16),  # as a module of Python's own, which it does not hide
        ("poll", "my-shop2", 14),
        ("notifier", "my-board2", 16),
    ],
)
def test_the_kit_is_green_at_once(tmp_path, kind, name, passed):
    make(name, kind, tmp_path)
    done = kit(tmp_path / folder_of(kind, name))
    assert f"{passed} passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.timeout(180)
def test_the_kit_is_red_when_the_new_channel_is_broken(tmp_path):
    make("acme", "webhook", tmp_path)
    module = tmp_path / "talkwire-acme" / "src" / "talkwire_acme" / "__init__.py"
    module.write_text(module.read_text().replace("self.check(envelope)", "return"))
    done = kit(tmp_path / "talkwire-acme")
    assert done.returncode == 1
    assert "method: AcmeChannel.authenticate" in done.stdout
    assert "remedy:" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["acme", "my-shop", "my_shop", "a1-b2-c3", "my-acme"])
def test_every_name_in_it_is_that_of_the_new_plugin(tmp_path, kind, name):
    dashed, joined = name.replace("_", "-"), name.replace("-", "_")
    written = make(name, kind, tmp_path)
    folder = tmp_path / folder_of(kind, name)
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == written

    described = tomllib.loads((folder / "pyproject.toml").read_text())
    assert described["project"]["name"] == folder.name
    plugin = f"{'notify_' * (kind == 'notifier')}{joined}"
    assert described["project"]["entry-points"]["talkwire"] == {plugin: f"talkwire_{plugin}"}
    assert (folder / "src" / f"talkwire_{plugin}" / "py.typed").is_file()
    for path in written:
        text = path.read_text()
        assert ".in" not in path.suffix
        without = re.sub(
            f"{dashed}|{joined}|{''.join(word.title() for word in dashed.split('-'))}", "", text, flags=re.IGNORECASE
        )
        assert "acme" not in f"{path.name} {without}".lower(), path
        for host in re.findall(r"https://([^/\"\s`]+)", text):
            assert "_" not in host, f"{path}: {host}"


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_one_class_in_one_file_on_public_names_alone(tmp_path, kind):
    make("acme", kind, tmp_path)
    base = "Notifier" if kind == "notifier" else "Channel"
    folder = tmp_path / folder_of(kind, "acme")
    text = (folder / "src" / folder.name.replace("-", "_") / "__init__.py").read_text()
    tree = ast.parse(text)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and ast.unparse(node.bases[0]) == base]
    assert [node.name for node in classes] == [f"Acme{base}"]
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [name for name in modules if name.startswith("talkwire")] == ["talkwire"]
    assert len([line for line in text.splitlines() if line.strip()]) <= 120


@pytest.mark.timeout(120)  # mypy begins without a cache
def test_it_is_in_form_and_typed_strictly(tmp_path):
    ruff = pytest.importorskip("ruff").find_ruff_bin()
    mypy = pytest.importorskip("mypy.api")
    for kind in KINDS:
        make(f"my-{kind}", kind, tmp_path)
    sources = sorted(str(path) for path in tmp_path.glob("talkwire-*my-*/src"))
    form = [ruff, "format", "--isolated", "--no-cache", "--check", "--diff", "--line-length", "120", str(tmp_path)]
    done = subprocess.run(form, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    lint = [ruff, "check", "--isolated", "--no-cache", "--line-length", "120", "--select", "E,F,UP,B,SIM,DTZ,RUF"]
    done = subprocess.run([*lint, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    said, faults, code = mypy.run(["--strict", "--cache-dir", str(tmp_path / "mypy"), *sources])
    assert code == 0, said + faults
    assert "3 source files" in said


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("", "is no name"),
        ("Acme", "acme would do"),
        ("talkwire-acme", "acme would do"),
        ("notify_acme", "acme would do"),
        ("my shop", "my-shop would do"),
        ("my--shop", "my-shop would do"),
        ("1st", "st would do"),
        ("../acme", "acme would do"),
        ("a" * 41, "at most 40"),
        ("é", "is no name"),
        ("talkwire", "it is ours; choose another, such as my-talkwire"),
        ("notify", "notifiers begin with it"),
        ("core", "tables of Talkwire's own are kept under it"),
        ("enabled", "it lists those that are on"),
        ("message", "facts of Talkwire's own begin with it"),
        ("class", "a word of Python itself"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(tmp_path, name, near):
    with pytest.raises(BadName, match=re.escape(near)):
        make(name, "webhook", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_an_installed_plugin_has_is_refused(tmp_path, monkeypatch):
    site, folder = tmp_path / "site", tmp_path / "mine"
    for name in ("Talkwire_My.Shop", "talkwire-other", "talkwire-notify-board"):
        info = site / f"{name.replace('-', '_')}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.2\n")
    (info.parent / "talkwire_other-1.2.dist-info" / "entry_points.txt").write_text("[talkwire]\nsofa = other\n")
    (site / "talkwire_left_over").mkdir()
    (site / "talkwire_left_over" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(site)
    for name, owner in (("my_shop", "Talkwire_My.Shop 1.2"), ("sofa", "talkwire-other 1.2"), ("left-over", "package")):
        with pytest.raises(Conflict, match=f"is installed already, (the )?{owner}"):
            make(name, "webhook", folder)
    with pytest.raises(Conflict, match="a plugin notify_board is installed already"):
        make("board", "notifier", folder)
    assert not folder.exists()
    assert make("board", "webhook", folder)


def test_nothing_is_overwritten(tmp_path):
    mine = tmp_path / "talkwire-acme" / "mine"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(Conflict, match="is there already"):
        make("acme", "webhook", tmp_path)
    assert [path.name for path in mine.parent.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TalkwireError, match=r"talkwire-acme cannot be made: not a directory"):
        make("acme", "webhook", tmp_path / "file")


async def test_an_update_that_is_no_object_holds_up_no_other(tmp_path, monkeypatch):
    """What `listen` cannot read it would ask for again for ever: whatever comes becomes an envelope."""
    make("acme", "poll", tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "talkwire-acme" / "src")
    channel = importlib.import_module("talkwire_acme").AcmeChannel
    updates = Reply.json({"events": [None, {"kind": "x"}], "next": "2"})
    async with (
        FakeProvider(Answers(accept=lambda _seen, _id: updates)) as provider,
        lend(channel, {"token": "kit-token-0123456789", "url": provider.url}) as lent,
        contextlib.aclosing(lent.channel.listen("")) as listening,
    ):
        batch = await anext(listening)
    del sys.modules["talkwire_acme"]
    assert [envelope.body for envelope in batch.envelopes] == [b"null", b'{"kind": "x"}']
