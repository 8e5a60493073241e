"""What an operator types wrong, or where it cannot work: each answer says what is wrong and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.test_cli import an_instance, daemon_of, operator

__all__ = ["daemon_of", "operator"]  # pytest finds its fixtures by these names

TOO_LARGE = str(2**63)  # the first number that no database counts to
OURS = "This is a fault in Talkwire"
NO_DRIVER = "import sys; sys.modules['psycopg'] = None; from talkwire.cli import main; main()"


async def test_a_second_daemon_on_the_same_settings_is_told_of_the_first(operator, daemon_of, empty_database):
    await an_instance(operator, empty_database, "http://127.0.0.1:1")
    daemon = await daemon_of()
    said = await operator.types("run", code=1)
    assert f"another daemon runs on these settings, pid {daemon.process.pid}" in said
    assert "talkwire reload" in said
    assert await daemon.stops() == 0


@pytest.mark.parametrize(
    ("below", "why"), [("taken", "file exists"), ("taken/demo", "not a directory"), ("/proc/self", "no such file")]
)
async def test_a_folder_in_which_the_demo_cannot_write_is_named(operator, tmp_path: Path, below: str, why: str):
    (tmp_path / "taken").touch()
    said = await operator.types("demo", "--dir", str(tmp_path / below), code=1)
    assert OURS not in said
    assert why in said
    assert said.rstrip().endswith("choose another --dir")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("lanes", "release", "first"), "'first' is no lane's number; talkwire lanes has it"),
        (("lanes", "drop", "0", "--yes"), "'0' is no lane's number"),
        (("lanes", "release", TOO_LARGE), f"'{TOO_LARGE}' is no lane's number"),
        (("replay", TOO_LARGE), f"{TOO_LARGE} is no fact's number; talkwire status says"),
    ],
)
async def test_a_number_that_is_none_of_ours_is_said_in_our_words(operator, empty_database, words, what: str):
    await an_instance(operator, empty_database, "http://127.0.0.1:1")
    said = " ".join((await operator.looks(*words, code=2)).split())
    assert what in said


@pytest.mark.parametrize(("command", "more"), [("find", ()), ("settle", ("sent",))])
async def test_what_is_typed_in_another_encoding_is_said_to_be_so(operator, empty_database, command: str, more):
    await an_instance(operator, empty_database, "http://127.0.0.1:1")
    process = await operator.start(command, "M\udcfcller", *more)
    said = (await process.communicate())[0].decode()
    assert OURS not in said
    assert r"'M\udcfcller' is not UTF-8" in said
    assert process.returncode == 2


async def test_programs_see_an_account_with_which_nobody_has_started_yet(operator, empty_database):
    await an_instance(operator, empty_database, "http://127.0.0.1:1")
    shown = json.loads(await operator.looks("accounts", "--json"))
    assert [(one["name"], one["channel"], one["state"]) for one in shown] == [("sms", "smsgate", "new")]
    assert {"reason", "since", "last_in_at", "last_out_at", "last_poll_at"} < set(shown[0])


async def test_a_missing_driver_is_a_fault_of_the_file_that_asks_for_it(operator, tmp_path: Path):
    (tmp_path / "talkwire.toml").write_text('[store]\nurl = "postgresql://nobody:planted@127.0.0.1/none"\n')
    words = [sys.executable, "-c", NO_DRIVER, "check"]
    done = subprocess.run(words, cwd=tmp_path, env=operator.env, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert done.stderr.splitlines()[0] == f"{tmp_path / 'talkwire.toml'}: 1 fault"
    assert "talkwire[postgres]" in done.stderr
    assert "planted" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        (("init",), "[DIR]"),
        (("replay",), "[ENVELOPE|FACT]"),
        (("export",), "[FILE]"),
        (("lanes", "release"), "[LANE]"),
    ],
)
async def test_what_may_be_left_out_stands_in_one_pair_of_brackets(operator, words, argument: str):
    usage = (await operator.looks(*words, "--help")).splitlines()[0]
    assert usage.endswith(f" {argument}")
    assert "[[" not in usage


async def test_the_folder_of_the_settings_does_for_the_file(operator, empty_database, tmp_path: Path):
    """`talkwire init DIR` takes a folder; whoever gives the same one to --config means what lies in it."""
    await an_instance(operator, empty_database, "http://127.0.0.1:1")
    (tmp_path / "elsewhere").mkdir()
    operator.folder = tmp_path / "elsewhere"
    for words in (("--config", str(tmp_path), "check"), ("check", "--config", str(tmp_path))):
        said = await operator.types(*words)
        assert said.startswith(f"{tmp_path / 'talkwire.toml'}: good")
    operator.env["TALKWIRE_CONFIG"] = str(tmp_path)
    assert "nothing waits" in await operator.types("lanes")
    said = await operator.types("check", "--config", ".", code=78)
    assert (
        said
        == "talkwire.toml: 1 fault\n  the file   cannot be read: no such file or directory; talkwire init makes one\n"
    )


@pytest.mark.parametrize("taken", ["2026-11-29 18:28:30", "2026-11-29T18:28:30Z", "2026-11-29T18:28:30"])
async def test_a_moment_is_taken_as_backups_write_it(operator, empty_database, taken: str):
    await an_instance(operator, empty_database, "http://127.0.0.1:1")
    said = await operator.looks("db", "hold", "--taken", taken, code=1)  # nobody says yes
    assert "as of 2026-11-29 18:28:30 UTC?" in said
