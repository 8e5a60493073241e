"""What an operator types, with a wrong word too."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from talkwire.cli import app

from .office import SETTINGS


@pytest.fixture
def typed(tmp_path):
    (tmp_path / "talkwire.toml").write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/talkwire.db"\n' + SETTINGS.format(port=25, sign_in="", more="")
    )
    return lambda *words: CliRunner().invoke(app, ["--config", str(tmp_path / "talkwire.toml"), "notify-email", *words])


@pytest.mark.one_file
async def test_the_addresses_that_mail_came_back_from_are_listed(office, typed):
    assert "No mail has come back." in (await asyncio.to_thread(typed, "addresses")).output
    office.server.answers["RCPT"] = ["550 5.1.1 nobody"]
    await office.notify()
    said = await asyncio.to_thread(typed, "addresses")
    assert said.exit_code == 0
    reason = f"127.0.0.1:{office.server.port} said 550 5.1.1 nobody"
    assert said.output == f"ops@example.test  since 2026-11-23 12:00 UTC: {reason}\n"
    assert json.loads((await asyncio.to_thread(typed, "addresses", "--json")).output) == [
        {"address": "ops@example.test", "at": "2026-11-23T12:00:00+00:00", "reason": reason}
    ]


@pytest.mark.parametrize("words", [("forgive",), ("addresses", "ops@example.test"), ("addresses", "--yaml")])
def test_a_wrong_word_is_refused(typed, words):
    said = typed(*words)
    assert said.exit_code == 2
    assert "No such" in said.output or "unexpected" in said.output


def test_without_a_word_the_help_is_shown(typed):
    assert "addresses" in typed().output
    assert "--install-completion" not in typed().output
