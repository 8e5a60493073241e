"""What an operator types, with a wrong word too."""

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

import talkwire_whatsapp
from talkwire.cli import app
from talkwire.testing import FakeProvider
from talkwire.testing.hub import whole_hub

from .shop import LISTED, META, TOKEN, settings


def toml(folder, url, **more):
    rows = [f"{name} = {json.dumps(value)}" for name, value in settings(url, **more).items()]
    return (
        f'[store]\nurl = "sqlite:///{folder}/talkwire.db"\n[accounts.shop]\nchannel = "whatsapp"\n'
        + "\n".join(rows)
        + "\n"
    )


def typed(folder, *words):
    return CliRunner().invoke(app, ["--config", str(folder / "talkwire.toml"), "whatsapp", "templates", *words])


@pytest.fixture
async def folder(tmp_path, empty_database):
    """A shop whose daemon has run, so that it knows its templates; Meta answers on."""
    async with FakeProvider(META) as meta:
        text = toml(tmp_path, meta.url)
        (tmp_path / "talkwire.toml").write_text(text)
        plugins = {"whatsapp": talkwire_whatsapp}
        async with whole_hub(text, tmp_path, template=empty_database, plugins=plugins) as hub:
            await hub.run_until_idle()
        asked = len(meta.requests)
        yield tmp_path, meta
        assert asked == 1


async def test_what_the_daemon_knows_is_shown_without_asking_meta(folder):
    place, meta = folder
    said = await asyncio.to_thread(typed, place)
    assert said.exit_code == 0, said.output
    assert said.output.splitlines() == [
        "shop: 4 templates, 3 approved",
        "  NAME         LANGUAGE  STATUS    CATEGORY   VALUES",
        (
            "  order_ready  en_US     APPROVED  UTILITY    header {{1}}, body {{1}}, body {{2}}, body {{3}}, "
            "button 2 (Track, end of its address)"
        ),
        "  hello_world  en_US     APPROVED  MARKETING  none",
        "  hello_world  id        APPROVED  MARKETING  none",
        (
            "  spring       en        PAUSED    MARKETING  header (image, its https address), body {{name}}, "
            "body {{start}}, button 1 (code)"
        ),
    ]
    assert len(meta.requests) == 1


async def test_meta_can_be_asked_now(folder):
    place, meta = folder
    said = await asyncio.to_thread(typed, place, "shop", "--refresh", "--json")
    assert said.exit_code == 0, said.output
    assert [(one["name"], one["language"], one["account"]) for one in json.loads(said.output)] == [
        (one["name"], one["language"], "shop") for one in LISTED
    ]
    assert len(meta.requests) == 2
    assert TOKEN not in said.output


async def test_what_cannot_be_shown_is_said(folder):
    place, _ = folder
    said = await asyncio.to_thread(typed, place, "shoe")
    assert said.exit_code == 1
    assert '"shoe" is no WhatsApp account; there are: shop' in said.output
    (place / "talkwire.toml").write_text(toml(place, "http://127.0.0.1:1", business_account_id=""))
    said = await asyncio.to_thread(typed, place, "--refresh")
    assert said.output == "shop: no templates, for it has no business_account_id\n"
    (place / "talkwire.toml").write_text(toml(place, "http://127.0.0.1:1"))
    said = await asyncio.to_thread(typed, place, "--refresh")
    assert said.exit_code == 1
    assert "cannot be connected to" in said.output
    assert TOKEN not in said.output


async def test_an_account_that_meta_refuses_hides_no_other(folder):
    place, meta = folder
    dead = settings("http://127.0.0.1:1", phone_number_id="106540352242930")
    rows = "\n".join(f"{name} = {json.dumps(value)}" for name, value in dead.items())
    (place / "talkwire.toml").write_text(f'{toml(place, meta.url)}[accounts.dead]\nchannel = "whatsapp"\n{rows}\n')
    said = await asyncio.to_thread(typed, place, "--refresh")
    assert said.exit_code == 1
    assert said.stdout.splitlines()[0] == "shop: 4 templates, 3 approved"
    assert said.stderr.startswith("dead: 127.0.0.1:1: cannot be connected to")
    said = await asyncio.to_thread(typed, place, "--refresh", "--json")
    assert (said.exit_code, len(json.loads(said.stdout))) == (1, len(LISTED))


@pytest.mark.parametrize(
    ("name", "value"),
    [("templates", '{"pieces": "x"}'), ("templates", "[]"), ("templates:0", '[{"name": "a", "new": 1}]')],
    ids=["no number", "a list", "another version"],
)
async def test_what_another_version_kept_is_not_known(folder, name, value):
    place, _ = folder
    with closing(sqlite3.connect(place / "talkwire.db")) as database, database:
        assert database.execute("UPDATE keep SET value = ? WHERE name = ?", (value, name)).rowcount == 1
    said = await asyncio.to_thread(typed, place)
    assert (said.exit_code, said.output.partition(";")[0]) == (0, "shop: not known yet")


def test_that_there_is_no_account_is_said(tmp_path):
    (tmp_path / "talkwire.toml").write_text(f'[store]\nurl = "sqlite:///{tmp_path}/talkwire.db"\n')
    said = typed(tmp_path)
    assert (said.exit_code, said.output) == (0, 'no account has channel = "whatsapp"\n')
