"""What an operator types, with a wrong word too."""

import csv
import io

import pytest
from typer.testing import CliRunner

import talkwire_livechat
from talkwire.cli import app
from talkwire.testing.hub import whole_hub

from .visits import SETTINGS, Site


@pytest.fixture
def folder(tmp_path, empty_database):
    (tmp_path / "talkwire.toml").write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/talkwire.db"\n'
        '[server]\npublic_url = "https://talk.example"\n' + SETTINGS + 'identity = "required"\n'
    )
    return tmp_path


def typed(folder, *words):
    return CliRunner().invoke(app, ["--config", str(folder / "talkwire.toml"), "livechat", *words])


def test_the_snippet_is_one_line_with_what_the_policy_must_allow(folder):
    said = typed(folder, "snippet", "site")
    assert said.exit_code == 0, said.output
    lines = [line.strip() for line in said.output.splitlines()]
    for line in (
        '<script src="https://talk.example/c/site/widget.js" async></script>',
        "script-src https://talk.example",
        "connect-src https://talk.example wss://talk.example",
        "img-src https://talk.example",
        "https://shop.example",
    ):
        assert line in lines
    assert "must be named to us" in said.output


@pytest.mark.parametrize("command", ["snippet", "consents"])
def test_a_wrong_account_is_said_with_those_there_are(folder, command):
    said = typed(folder, command, "sight")
    assert said.exit_code == 1
    assert '"sight" is no live chat account; there are: site' in said.output


def test_without_a_word_the_commands_are_listed(folder):
    said = typed(folder)
    assert "snippet" in said.output
    assert "consents" in said.output


@pytest.mark.requirement("D-31b")
async def test_all_answers_to_the_consent_are_printed_with_what_was_asked(folder, empty_database, aiohttp_client):
    from talkwire.api import make_app

    consent = '[accounts.site.consent]\ntext = "May we, \\"really\\", keep it?"\nversion = "1"\n'
    (folder / "talkwire.toml").write_text((folder / "talkwire.toml").read_text() + consent)
    settings = SETTINGS + consent
    async with whole_hub(settings, folder, template=empty_database, plugins={"livechat": talkwire_livechat}) as hub:
        await hub.run_until_idle()
        site = Site(hub, await aiohttp_client(make_app(hub.daemon)))
        ann = await site.visit()
        for answer in (False, True):
            await ann.send(t="consent", version="1", accepted=answer)
            await ann.gets("consented")
        address = (await site.talk()).address.value
    import asyncio

    said = await asyncio.to_thread(typed, folder, "consents", "site")
    assert said.exit_code == 0, said.output
    rows = list(csv.DictReader(io.StringIO(said.output)))
    assert [(row["address"], row["version"], row["answer"], row["from"]) for row in rows] == [
        (address, "1", "refused", "127.0.0.1"),
        (address, "1", "accepted", "127.0.0.1"),
    ]
    assert {row["text"] for row in rows} == {'May we, "really", keep it?'}
    assert all(row["at"].startswith("2026-11-23T12:00:00") for row in rows)
