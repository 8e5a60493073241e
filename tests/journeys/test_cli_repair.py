"""What an operator sees and repairs when something went wrong, on a whole hub."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from talkwire import control
from talkwire.cli import app
from talkwire.errors import Conflict, NotFound, TalkwireError
from talkwire.testing.provider import busy, reset_after_body
from tests.journeys.acme_hub import AcmeHub

SETTINGS = """
[store]
url = "{url}"
[accounts.shop]
channel = "acme"
token = "planted-token-0123456789"
"""

NO_SOCKET = {1, 2}  # no daemon answers at a socket; on PostgreSQL its lease is seen


@pytest.fixture
def screen(acme: AcmeHub, tmp_path: Path):
    """Give what a command that looks prints about the hub's database."""
    file = tmp_path / "talkwire.toml"
    file.write_text(SETTINGS.format(url=acme.hub.daemon.store.url))

    async def typed(*words: str, code: int | set[int] = 0) -> str:
        ran = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(file), *words])
        assert ran.exit_code in (code if isinstance(code, set) else {code}), ran.output
        assert "planted-token" not in ran.output
        return ran.output

    return typed


def do(acme: AcmeHub, command: str, **said: Any) -> Any:
    return control.do(acme.hub.daemon, command, said)


async def an_uncertain_part(acme: AcmeHub) -> str:
    # Commands that look go by the machine's clock.
    await acme.hub.pass_time(max(datetime.now(UTC) - acme.hub.clock.now(), timedelta()))
    await acme.wrote("m1", "Where is my parcel?")
    await acme.hub.run_until_idle()
    acme.provider.will(reset_after_body())
    await acme.hub.reply(await acme.hub.conversation, "It arrives today.")
    await acme.hub.run_until_idle()
    ((part,),) = await acme.hub.rows("SELECT id FROM delivery WHERE state = 5")
    return part


async def test_an_uncertain_part_is_on_the_screen_until_it_is_settled(acme, screen):
    part = await an_uncertain_part(acme)
    assert "look  parts         1 uncertain, 0 failed in 24 h" in await screen("status", code=NO_SOCKET)
    assert f"{part}  shop  +6281234567890  " in await screen("deliveries")
    assert json.loads(await screen("deliveries", "--json"))[0]["delivery"]["id"] == part
    assert "It arrives today" not in await screen("deliveries")

    await do(acme, "settle", delivery=part, verdict="sent", by="cli:ann")
    assert await acme.hub.states(await acme.hub.conversation) == ["sent"]
    assert "no part is uncertain" in await screen("deliveries")
    assert "0 uncertain" in await screen("status", code=NO_SOCKET)
    with pytest.raises(Conflict, match="not uncertain"):
        await do(acme, "settle", delivery=part, verdict="sent", by="cli:ann")


async def test_an_envelope_that_was_not_understood_is_shown_and_read_again(acme, screen):
    await acme.says([{"kind": "message", "id": "m1", "time": "never"}, {"kind": "message", "id": "m2"}])
    await acme.hub.run_until_idle()
    ((envelope,),) = await acme.hub.rows("SELECT id FROM envelope WHERE unread <> ''")
    assert "1 envelope not understood" in await screen("status", code=NO_SOCKET)
    assert "not understood" in await screen("trace", envelope)

    again = await do(acme, "replay", envelope=envelope)
    assert len(again["unread"]) == 2
    (same,) = await do(acme, "replay-unread")
    assert same == again
    with pytest.raises(NotFound, match="no envelope x"):
        await do(acme, "replay", envelope="x")


async def test_replaying_what_was_understood_changes_nothing(acme):
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    ((envelope,),) = await acme.hub.rows("SELECT id FROM envelope")
    assert await do(acme, "replay", envelope=envelope) == {
        "envelope": envelope,
        "messages": 0,
        "known": 1,
        "unread": [],
    }
    assert len(await acme.hub.messages(await acme.hub.conversation)) == 1


async def test_a_paused_account_sends_nothing_until_it_is_resumed(acme, screen):
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    await do(acme, "pause", account="shop", reason="they repair it")
    await acme.hub.run_until_idle()
    assert "paused" in await screen("accounts")
    assert "they repair it" in await screen("status", code=NO_SOCKET)
    with pytest.raises(NotFound, match='no account "nix"'):
        await do(acme, "pause", account="nix")

    await acme.hub.pass_time(minutes=1)
    await do(acme, "resume", account="shop")
    await acme.hub.run_until_idle()
    assert "working" in await screen("accounts")
    await acme.hub.reply(await acme.hub.conversation, "Good day")
    await acme.hub.run_until_idle()
    assert acme.texts == ["Good day"]


async def test_a_lane_that_waits_is_listed_tried_and_given_up(acme, screen):
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    acme.provider.will(busy(3000), busy(3000))
    await acme.hub.reply(await acme.hub.conversation, "One")
    await acme.hub.reply(await acme.hub.conversation, "Two")
    await acme.hub.run_until_idle()
    (lane,) = json.loads(await screen("lanes", "--json"))
    assert (lane["group"], lane["address"], lane["tasks"]) == ("send:shop", "+6281234567890", 2)
    assert "+6281234567890" in await screen("lanes")

    released = await do(acme, "release-lane", lane=lane["id"])
    assert (released["group"], released["subject"]) == ("send:shop", lane["subject"])
    assert released["account_waits_until"] - acme.hub.clock.now() == timedelta(seconds=3000)
    await acme.hub.run_until_idle()
    assert acme.texts == ["One"]  # what the provider asked of the whole account holds
    assert await do(acme, "drop-lane", lane=lane["id"]) == {"tasks": 2, "parts": 2, "under_way": 0}
    await acme.hub.run_until_idle()
    assert await acme.hub.states(await acme.hub.conversation) == ["failed", "failed"]
    assert "nothing waits" in await screen("lanes")
    with pytest.raises(NotFound, match="no lane 999"):
        await do(acme, "drop-lane", lane=999)


async def test_a_lane_that_is_held_goes_on_when_it_is_released(acme, screen):
    await acme.wrote("m1", "Hello")
    await acme.hub.run_until_idle()
    acme.provider.will(busy(10))
    await acme.hub.reply(await acme.hub.conversation, "One")
    await acme.hub.run_until_idle()
    await acme.hub.pass_time(seconds=9)
    (lane,) = json.loads(await screen("lanes", "--json"))
    await acme.hub.daemon.store.write(_hold, lane["id"])
    await acme.hub.pass_time(minutes=5)
    assert "held: test" in await screen("lanes")
    assert acme.texts == ["One"]

    assert (await do(acme, "release-lane", lane=lane["id"]))["account_waits_until"] is None
    await acme.hub.run_until_idle()
    assert acme.texts == ["One", "One"]


def _hold(tx: Any, items: Any) -> list[None]:
    for lane in items:
        tx.execute("UPDATE lane SET held = 'test', due = NULL WHERE id = :id", {"id": lane})
    return [None] * len(items)


async def test_keys_are_made_and_revoked(acme, screen):
    token = await do(acme, "new-key", name="crm", scope="host")
    id_ = token.split("_")[1]
    shown = await screen("keys", "list")
    assert f"{id_}  crm  host" in shown
    assert token not in shown
    await do(acme, "revoke-key", key=id_)
    assert "revoked" in await screen("keys", "list")
    with pytest.raises(NotFound):
        await do(acme, "revoke-key", key=id_)


async def test_what_a_newer_command_asks_of_an_older_daemon_is_said(acme):
    with pytest.raises(TalkwireError, match="restart it after an upgrade"):
        await do(acme, "new-thing")


async def test_a_customer_cannot_steer_the_terminal(acme, screen):
    await acme.wrote("m1", "Hello \x1b]0;owned\x07\x1b[2J")
    await acme.hub.run_until_idle()
    shown = await screen("find", "Hello")
    assert "Hello" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


async def test_nothing_found_says_where_was_looked(acme, screen):
    assert "newest 10,000 messages" in await screen("find", "nowhere", code=1)
    assert "talkwire find" in await screen("trace", "nowhere", code=1)
