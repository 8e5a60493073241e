"""What an agent types, with a wrong word too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from typer.testing import CliRunner

from talkwire.cli import app
from talkwire_notify_desktop.native import places
from talkwire_notify_desktop.native.cards import Able

from .agents import switchboard


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of the test, and no desktop."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


def typed(*words, keyed=""):
    return CliRunner().invoke(app, ["desktop", *words], input=keyed)


@pytest.fixture
def signed_in():
    places.keep(places.SignIn(url="https://talk.example", key="the-key", surface="s", device="laptop", recipient="ann"))


def test_without_a_word_the_commands_are_listed():
    said = typed().output
    for word in ("login", "run", "status", "logout", "install", "uninstall"):
        assert word in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("talk.example", "is no address of a server"),
        ("ftp://talk.example", "is no address of a server"),
        ("http://talk.example", "is not encrypted"),
        ("https://ann:secret@talk.example", "leave out what stands before @"),
        ("https://talk.example/?key=secret", "leave out"),
    ],
)
def test_a_wrong_address_is_refused_before_the_key_is_asked_for(url, words):
    said = typed("login", url, keyed="the-key\n")
    assert said.exit_code == 1
    assert words in said.output
    assert "the-key" not in said.output


def test_a_key_is_never_an_argument():
    assert typed("login", "https://talk.example", "the-key").exit_code == 2


def test_without_a_key_it_says_where_one_is_made():
    said = typed("login", "https://talk.example", keyed="\n")
    assert said.exit_code == 1
    assert "talkwire keys new" in said.output


def test_a_vapid_key_is_printed_and_nothing_else():
    said = typed("vapid")
    assert said.exit_code == 0
    assert said.output.startswith("-----BEGIN PRIVATE KEY-----")
    assert said.output.endswith("-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize(("command", "code"), [("run", 78), ("status", 1)])  # 78: systemd does not start it again
def test_whoever_is_not_signed_in_is_told_what_to_type(command, code):
    said = typed(command)
    assert said.exit_code == code
    assert "talkwire desktop login https://YOUR-SERVER" in said.output


def test_a_key_that_others_can_read_is_not_used(signed_in):
    places.sign_in_file().chmod(0o644)
    said = typed("run")
    assert said.exit_code == 78
    assert f"chmod 600 {places.sign_in_file()}" in said.output


def test_a_damaged_sign_in_is_said(signed_in):
    places.sign_in_file().write_text("{")
    assert "is damaged; sign in again" in typed("status").output


def test_where_the_extra_is_not_installed_the_line_that_installs_it_is_said(signed_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "dbus_fast", None)
    for name in ("bus", "linux"):
        monkeypatch.delitem(sys.modules, f"talkwire_notify_desktop.native.{name}", raising=False)
    said = typed("run")
    assert said.exit_code == 1
    assert "pip install 'talkwire-notify-desktop[native]'" in said.output


def test_signing_out_forgets_the_key(signed_in):
    said = typed("logout")
    assert said.exit_code == 0, said.output
    assert "talkwire keys revoke" in said.output
    assert not places.sign_in_file().exists()
    said = typed("logout")
    assert (said.exit_code, "nobody is signed in" in said.output) == (1, True)


def test_a_second_client_of_one_user_is_refused(signed_in):
    with places.alone():
        for command in ("run", "logout"):
            said = typed(command)
            assert said.exit_code == 1
            assert "runs" in said.output
    assert not places.is_running()


async def test_signing_in_asks_the_server_and_keeps_the_key_for_this_user_alone(home):
    async with switchboard() as board:
        said = await typed_beside("login", board.url, "--page", "https://crm.example/{conversation}", keyed="the-key\n")
        assert said.exit_code == 0, said.output
        assert f"Signed in at {board.url} as ann." in said.output
        assert "there is no session bus" in said.output
        assert "the-key" not in said.output
        line = await board.line()
    assert (line.hello["key"], line.hello["why_not"]) == ("the-key", "no_session_bus")
    file = home / ".config" / "talkwire" / "desktop.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = json.loads(file.read_text())
    assert (kept["recipient"], kept["surface"]) == ("ann", line.hello["surface"])
    with places.alone():
        async with switchboard() as board:
            said = await typed_beside("login", board.url, keyed="the-key\n")
        assert "start it anew" in said.output
    assert kept["page"] == "https://crm.example/{conversation}"


async def test_a_key_that_the_server_does_not_know_is_not_kept(home):
    async with switchboard() as board:
        board.bye = {"code": "unauthenticated", "text": "there is no such key"}
        said = await typed_beside("login", board.url, keyed="the-key\n")
    assert said.exit_code == 1
    assert "there is no such key" in said.output
    assert not (home / ".config" / "talkwire" / "desktop.json").exists()


def test_it_runs_and_stops_when_it_is_told_to(home, signals):
    with switchboard_beside() as board:
        places.keep(places.SignIn(url=board.url, key="the-key", surface="s", device="laptop", recipient="ann"))
        board.when_heard = lambda: os.kill(os.getpid(), signal.SIGTERM)
        said = typed("run")
    assert said.exit_code == 0, said.output
    assert "there is no session bus, so no notification can be shown" in said.output
    assert "as ann" in said.output
    assert "stopped" in said.output
    assert "the-key" not in said.output


@pytest.fixture
def signals():
    """A signal that nobody takes must not end the tests."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_status_says_what_the_running_client_knows(signed_in):
    able = Able(False, "no_daemon", "no program on this desktop shows notifications")
    with places.alone():
        for trouble, connected in (
            ("", "yes"),
            ("talk.example cannot be reached", "no: talk.example cannot be reached"),
        ):
            places.note(places.Known(4711, trouble, able))
            said = typed("status")
            assert said.exit_code == 1
            assert said.output.splitlines() == [
                "signed in    at https://talk.example as ann, this machine is laptop",
                "running      yes, as process 4711",
                f"connected    {connected}",
                "desktop      no: no program on this desktop shows notifications",
            ]
        places.note(places.Known(4711, "", Able(True, "", "notifications are shown by dunst 1.9.0")))
        said = typed("status")
        assert (said.exit_code, said.output.splitlines()[-1]) == (
            0,
            "desktop      notifications are shown by dunst 1.9.0",
        )


def test_the_status_of_one_that_does_not_run_asks_the_desktop_itself(signed_in):
    said = typed("status")
    assert said.exit_code == 1
    assert "running      no; start it" in said.output
    assert "desktop      no: there is no session bus" in said.output


def test_a_key_that_was_revoked_ends_it_with_a_code_that_systemd_does_not_restart(home):
    with switchboard_beside() as board:
        board.bye = {"code": "unauthenticated", "text": "this key was revoked"}
        places.keep(places.SignIn(url=board.url, key="the-key", surface="s", device="laptop", recipient="ann"))
        said = typed("run")
    assert said.exit_code == 78
    assert "this key was revoked" in said.output


# --- the unit -----------------------------------------------------------------------------------------------


def test_the_unit_is_written_where_systemd_looks_and_removed_again(home):
    file = home / ".config" / "systemd" / "user" / "talkwire-desktop.service"
    printed = typed("install", "--print")
    assert printed.exit_code == 0
    assert not file.exists()
    said = typed("install")
    assert said.exit_code == 0, said.output
    assert file.read_text() == printed.output
    assert "systemctl --user daemon-reload" in said.output
    assert "systemctl --user enable --now talkwire-desktop.service" in said.output
    said = typed("uninstall")
    assert "systemctl --user disable --now talkwire-desktop.service" in said.output
    assert not file.exists()
    said = typed("uninstall")
    assert (said.exit_code, "there is no unit" in said.output) == (1, True)


@pytest.mark.needs("systemd")
def test_systemd_understands_every_line_of_the_unit(home):
    assert typed("install").exit_code == 0
    unit = home / ".config" / "systemd" / "user" / "talkwire-desktop.service"
    assert analysed(unit, home) == (0, "")
    unit.write_text(unit.read_text().replace("RestartPreventExitStatus", "RestartPreventsExitStatus"))
    assert "RestartPreventsExitStatus" in analysed(unit, home)[1]


def analysed(unit, home):
    """Give what systemd says; a user's manager wants a folder of its own."""
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=50
    )
    return done.returncode, done.stdout + done.stderr


async def typed_beside(*words, keyed=""):
    """Type a command in a thread, while a server here answers it."""
    return await asyncio.to_thread(typed, *words, keyed=keyed)


@contextlib.contextmanager
def switchboard_beside():
    """Run a server in a thread: what is typed here wants the main one, for its signals."""
    ready, done = threading.Event(), asyncio.Event()
    found = []

    async def serve():
        async with switchboard() as board:
            found.extend([board, asyncio.get_running_loop()])
            ready.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield found[0]
    finally:
        found[1].call_soon_threadsafe(done.set)
        thread.join()
