"""What a person types, rightly and wrongly; what is shown, and the exit code."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from talkwire.cli import app
from talkwire.store.revisions import CORE, revisions

SCHEMA = revisions(CORE.folder)[-1]

HEAVY = {"aiohttp", "pydantic", "sqlalchemy", "alembic", "structlog", "talkwire.daemon", "talkwire.model"}


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a command in a folder; gives all that was shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TALKWIRE_CONFIG", raising=False)

    def run(*words, code=0, env=None):
        ran = CliRunner().invoke(app, words, env=env)
        assert ran.exit_code == code, ran.output
        return ran.output

    return run


@pytest.fixture
def instance(typed, tmp_path, empty_database):
    """An instance with empty tables."""
    typed("init")
    (tmp_path / "talkwire.db").write_bytes(empty_database.read_bytes())
    return tmp_path


def test_help_imports_nothing_heavy():
    look = "import sys; from talkwire.cli import app; from typer.testing import CliRunner as R;"
    look += f"ran = R().invoke(app, ['--help']); print(ran.exit_code, sorted({HEAVY!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "0 []"


def test_every_command_has_a_help_that_is_not_cut(typed):
    shown = typed("--help")
    assert "..." not in shown.split("Commands:")[1]
    for line in shown.split("Commands:\n")[1].split("\n\n")[0].splitlines():
        name, text = line.split(maxsplit=1)
        assert text.endswith(".")
        assert f"talkwire {name}" in typed(name, "--help")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["staus"], "Did you mean 'status'?"),
        (["find"], "Missing argument"),
        (["find", "x", "--limit", "0"], "Invalid value for '--limit'"),
        (["replay"], "give an envelope's id, a fact's number, --unread, or --parked"),
        (["replay", "x", "--unread"], "one of them"),
        (["replay", "--unread", "--reader", "r"], "an envelope has none"),
        (["settle", "x", "maybe"], "'sent', 'failed', 'again'"),
        (["deliveries", "--state", "lost"], "'uncertain', 'failed'"),
        (["keys", "new", "crm", "--scope", "god"], "'read', 'bot', 'host', 'admin'"),
        (["keys", "new", " "], "1 to 100 characters"),
        (["lanes", "drop", "first"], "Invalid value for 'LANE': 'first' is no lane's number"),
        (["accounts", "show"], "Missing argument"),
        (["accounts", "rename", "shop"], "Missing argument"),
        (["accounts", "rename", "shop", "A shop"], "a-z, 0-9 and the hyphen"),
        (["forget"], "Missing argument"),
        (["export"], "Missing argument"),
        (["plugins", "purge"], "Missing argument"),
        (["new-plugin", "acme", "--webhook", "--poll"], "choose --webhook or --poll"),
        (["status", "extra"], "unexpected extra argument"),
    ],
)
def test_wrong_arguments_are_named(typed, words, said):
    shown = typed(*words, code=2)
    assert said in shown
    assert "Value error" not in shown


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["status"], 2),
        (["find", "x"], 78),
        (["run"], 78),
        (["lanes"], 78),
        (["keys", "list"], 78),
        (["forget", "x"], 78),
        (["export", "x"], 78),
        (["keys", "new", "crm"], 78),
    ],
)
def test_without_a_database_the_command_to_type_is_said(typed, words, code):
    typed("init")
    assert "talkwire db upgrade" in typed(*words, code=code)


@pytest.mark.parametrize("words", [["status"], ["run"], ["check"], ["keys", "new", "x"], ["accounts", "show", "x"]])
def test_without_settings_init_is_named(typed, words):
    assert "talkwire init makes one" in typed(*words, code=78)


# --- init, check -----------------------------------------------------------------------------------------


def test_init_makes_two_files_that_only_we_can_read(typed, tmp_path):
    shown = typed("init", "new folder")
    folder = tmp_path / "new folder"
    assert {f.name: oct(f.stat().st_mode & 0o777) for f in folder.iterdir()} == {
        "talkwire.toml": "0o600",
        "instance.key": "0o600",
    }
    assert "cd 'new folder'" in shown
    assert "good" in typed("--config", "new folder/talkwire.toml", "check")


def test_init_never_writes_over_anything(typed, tmp_path):
    typed("init")
    (tmp_path / "talkwire.toml").write_text("# mine\n")
    assert "nothing was changed" in typed("init", code=1)
    (tmp_path / "instance.key").unlink()
    assert "kept  talkwire.toml" in typed("init")
    assert (tmp_path / "talkwire.toml").read_text() == "# mine\n"


def test_check_names_all_faults_at_once(typed, tmp_path):
    typed("init")
    (tmp_path / "instance.key").chmod(0o644)
    (tmp_path / "talkwire.toml").write_text(
        '[server]\nlisten = "nowhere"\n[plugins]\nenabled = ["nix_da"]\n[accounts.a]\nchannel = 1\n'
    )
    shown = typed("check", code=78)
    for words in ("server.listen", "pip install talkwire-nix-da", "accounts.a.channel", f"chmod 600 {tmp_path}"):
        assert words in shown


def test_check_tells_of_a_missing_channel_beside_a_fault(typed, tmp_path):
    typed("init")
    (tmp_path / "talkwire.toml").write_text(
        '[server]\nlisten = "nowhere"\n[accounts.a]\nchannel = "nix_da"\n[recipients.ops]\nmedia = ["gong"]\n'
    )
    shown = typed("check", code=78)
    assert "talkwire.toml: 1 fault\n  server.listen   write host:port" in shown
    assert "and 2 warnings\n  accounts.a.channel     no channel nix_da;" in shown
    assert "  recipients.ops.media   no notifier gong;" in shown


def test_the_settings_are_found_in_three_ways(typed, tmp_path):
    typed("init", "a")
    file = "a/talkwire.toml"
    for words, env in (
        (["--config", file, "check"], None),
        (["check", "--config", file], None),
        (["check"], {"TALKWIRE_CONFIG": file}),
    ):
        assert f"{file}: good" in typed(*words, env=env)


def test_online_says_what_does_not_answer(instance, typed):
    settings = instance / "talkwire.toml"
    settings.write_text(
        settings.read_text()
        .replace("# public_url", "public_url")
        .replace("https://talk.example.org", "http://127.0.0.1:9")
    )
    shown = typed("check", "--online", code=1)
    assert "ok    database" in shown
    assert "X-Forwarded-For" not in shown
    assert "BAD   http://127.0.0.1:9/livez" in shown


def test_a_proxy_that_nobody_trusts_is_looked_at(instance, typed):
    settings = instance / "talkwire.toml"
    behind = settings.read_text().replace("# public_url", "public_url")
    settings.write_text(behind)
    assert "look  server.trusted_proxies: a proxy ends TLS" in typed("check")
    settings.write_text(behind.replace("# trusted_proxies", "trusted_proxies"))
    assert "look" not in typed("check")


# --- db, keys, lanes -------------------------------------------------------------------------------------


def test_keys_can_be_made_before_anything_runs(instance, typed):
    token = typed("keys", "new", "crm", "--scope", "admin").splitlines()[0]
    assert token.startswith("tw_")
    shown = typed("keys", "list")
    assert "crm  admin" in shown
    assert token not in shown
    typed("keys", "revoke", token)  # the whole key pasted: its id is meant
    assert "revoked" in typed("keys", "list")
    assert "no key nix" in typed("keys", "revoke", "nix", code=1)


def test_a_database_of_a_daemon_that_does_not_answer_is_not_written(instance, typed):
    from talkwire.store.sqlite import DaemonLock

    lock = DaemonLock(instance / "talkwire.db")
    try:
        shown = typed("keys", "new", "crm", code=1)
        assert "another daemon uses" in shown
        assert "talkwire.sock: was it started with other settings?" in shown
        assert "another daemon uses" in typed("db", "upgrade", code=1)
    finally:
        lock.release()


def test_upgrade_needs_no_second_time_and_a_folder(instance, typed, tmp_path):
    assert f"core: at {SCHEMA}" in typed("db", "upgrade")
    (tmp_path / "talkwire.toml").write_text('[store]\nurl = "sqlite:///nowhere/talkwire.db"\n')
    shown = typed("db", "upgrade", code=1)
    assert f"there is no folder {tmp_path}/nowhere; make it, or correct url in [store]" in shown


def test_dropping_a_lane_asks_first(instance, typed):
    assert "Give up everything in lane 7?" in typed("lanes", "drop", "7", code=1)
    assert "there is no lane 7" in typed("lanes", "drop", "7", "--yes", code=1)


def test_an_account_that_is_not_there_is_named_with_its_nearest(instance, typed):
    with (instance / "talkwire.toml").open("a") as file:
        file.write('[accounts.support]\nchannel = "nothing"\n')
    assert "did you mean support?" in typed("accounts", "show", "suport", code=1)
    assert "did you mean support?" in typed("accounts", "pause", "suport", code=1)
    assert "support  nothing  new" in typed("accounts")
    assert "which no plugin gives" in typed("accounts", "show", "support")


def test_postgres_that_is_not_there_is_said_without_its_password(instance, typed):
    (instance / "talkwire.toml").write_text('[store]\nurl = "postgresql://me:planted-pw@127.0.0.1:9/none"\n')
    for words in (["status"], ["db", "upgrade"], ["find", "x"], ["keys", "new", "x"], ["check", "--online"]):
        ran = CliRunner().invoke(app, words)
        assert ran.exit_code in (1, 2), ran.output
        assert "planted-pw" not in ran.output
        assert "PostgreSQL" in ran.output or "127.0.0.1:9/none" in ran.output


@pytest.mark.needs("postgres")
def test_tables_are_not_changed_under_daemons_that_run_on_them(typed, tmp_path, postgres_url):
    import psycopg

    typed("init")
    (tmp_path / "talkwire.toml").write_text(f'[store]\nurl = "{postgres_url}"\n')
    typed("db", "upgrade")
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(
            "INSERT INTO lease (name, owner, fence, until) VALUES"
            " ('daemon:x', 'x', 1, CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + 60000000)"
        )
        assert f"core: at {SCHEMA}" in typed("db", "upgrade")  # there is nothing to change
        db.execute("UPDATE alembic_version_core SET version_num = '0001'")
        assert "stop all of them first" in typed("db", "upgrade", code=1)
        assert db.execute("SELECT version_num FROM alembic_version_core").fetchone() == ("0001",)


@pytest.mark.needs("postgres")
def test_a_right_that_lacks_is_named_with_the_tables_that_wait(typed, tmp_path, postgres_url):
    import psycopg

    typed("init")
    url = f"{postgres_url}?options=-c%20role%3Dlooker"
    (tmp_path / "talkwire.toml").write_text(f'[store]\nurl = "{url}"\n')
    with psycopg.connect(postgres_url, autocommit=True) as db:
        if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = 'looker'").fetchone():
            db.execute("CREATE ROLE looker")
    assert "permission denied for schema public" in typed("db", "upgrade", code=1)


@pytest.mark.needs("postgres")
def test_on_postgres_a_change_is_written_as_one_more_daemon_would(typed, tmp_path, postgres_url):
    typed("init")
    (tmp_path / "talkwire.toml").write_text(f'[store]\nurl = "{postgres_url}"\n')
    assert "talkwire db upgrade" in typed("status", code=2)
    assert f"core: nothing → {SCHEMA}" in typed("db", "upgrade")
    assert "ok    its clock: 0 s from ours" in typed("check", "--online")
    typed("keys", "new", "crm")
    assert "crm  host" in typed("keys", "list")
    assert "does not run here" in typed("status", code=2)


# --- commands of plugins -----------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Put a distribution with a command on the path."""
    from talkwire import cli

    monkeypatch.syspath_prepend(tmp_path)

    def make(name, code):
        info = tmp_path / f"talkwire_{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: talkwire-{name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[talkwire.commands]\n{name} = command_of_{name}:app\n")
        (tmp_path / f"command_of_{name}.py").write_text(code)
        cli._plugins.cache_clear()

    yield make
    cli._plugins.cache_clear()
    for name in [name for name in sys.modules if name.startswith("command_of_")]:
        del sys.modules[name]


def test_a_plugins_command_is_imported_when_it_is_typed(typed, command):
    command("greet", "import typer\napp = typer.Typer()\n@app.command()\ndef greet(name: str): print('Hello', name)\n")
    assert "unexpected" not in typed("--help")
    assert "command_of_greet" not in sys.modules
    assert typed("greet", "Ann") == "Hello Ann\n"


def test_a_plugins_command_that_cannot_be_loaded_is_named(typed, command):
    command("broken", "raise RuntimeError('no luck')\n")
    assert "the command broken of a plugin cannot be loaded: RuntimeError: no luck" in typed("broken", code=1)
    typed("version")  # the others work


def test_a_fault_of_a_plugin_shows_no_secret(typed, command):
    command(
        "fails",
        "import typer\napp = typer.Typer()\n@app.command()\ndef fails():\n"
        "    local = 'planted-local'\n    raise RuntimeError('postgresql://me:planted-pw@host/db')\n",
    )
    shown = typed("fails", code=1)
    assert "RuntimeError: postgresql://me:…@host/db" in shown
    assert "planted-pw@" not in shown.replace("raise RuntimeError('postgresql://me:planted-pw@host/db')", "")
