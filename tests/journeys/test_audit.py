"""Who did what: a row for each administrative act, before it is tried, never with what somebody wrote."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from talkwire import control
from talkwire.api import make_app
from talkwire.api.principals import create_keys
from talkwire.cli import app
from talkwire.errors import NotFound, StoreDown
from talkwire.lifecycle import auditing
from tests.journeys.acme_hub import AcmeHub

ME = f"cli:{pwd.getpwuid(os.getuid()).pw_name}({os.getuid()})"


async def rows(acme: AcmeHub) -> list[tuple[str, str, str, dict[str, str]]]:
    found = await acme.hub.daemon.store.read(auditing.acts)
    return [(one.who, one.what, one.outcome, dict(one.ids)) for one in reversed(found)]


async def test_what_a_command_does_is_written_down_with_who_and_what_became_of_it(acme: AcmeHub) -> None:
    await control.do(acme.hub.daemon, "pause", {"account": "shop", "reason": "a private reason"}, "cli:ann(1000)")
    await control.do(acme.hub.daemon, "new-key", {"name": "crm", "scope": "host"})
    with pytest.raises(NotFound):
        await control.do(acme.hub.daemon, "drop-lane", {"lane": 4711})
    assert await rows(acme) == [
        ("cli:ann(1000)", "pause", "done", {"account": "shop"}),
        (ME, "new-key", "done", {"name": "crm", "scope": "host"}),
        (ME, "drop-lane", "failed: NotFound", {"lane": "4711"}),
    ]


async def test_an_act_whose_end_nobody_knows_stays_begun(acme: AcmeHub) -> None:
    store = acme.hub.daemon.store
    begun = asyncio.Event()

    async def does() -> None:
        async with auditing.audited(store, "cli:ann(1000)", "reload", {}):
            begun.set()
            await asyncio.Event().wait()

    async with asyncio.timeout(20):
        task = asyncio.create_task(does())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await rows(acme) == [("cli:ann(1000)", "reload", "begun", {})]


async def test_what_cannot_be_written_down_is_not_tried(acme: AcmeHub) -> None:
    await acme.hub.daemon.store.close()
    with pytest.raises(StoreDown):
        async with auditing.audited(acme.hub.daemon.store, "cli:ann(1000)", "reload", {}):
            pytest.fail("it was tried")


async def test_what_a_host_settles_resends_and_cancels_is_written_down(acme: AcmeHub, aiohttp_client: Any) -> None:
    token = await acme.hub.daemon.store.write(create_keys, ("crm", "host"))
    server = await aiohttp_client(make_app(acme.hub.daemon))
    headers = {"Authorization": f"Bearer {token}"}
    async with server.post("/api/v1/session", json={"key": token}) as response:
        assert response.status == 200
    async with server.post("/api/v1/deliveries/d1:settle", json={"verdict": "sent"}, headers=headers) as response:
        assert response.status == 404
    async with server.post("/api/v1/messages/m1:cancel", headers=headers) as response:
        assert response.status == 404
    async with server.post("/api/v1/messages/m1:resend") as response:
        assert response.status == 403, "no origin: it is not tried, so it is no act"
    async with server.get("/api/v1/accounts", headers=headers) as response:
        assert response.status == 200, "looking is no act"
    assert await rows(acme) == [
        ("key:crm", "sign-in", "done", {"scope": "host"}),
        ("key:crm", "settle", "failed: NotFound", {"id": "d1", "verdict": "sent"}),
        ("key:crm", "cancel", "failed: NotFound", {"id": "m1"}),
    ]


async def test_an_act_is_kept_for_a_year(acme: AcmeHub) -> None:
    await control.do(acme.hub.daemon, "pause", {"account": "shop"}, "cli:ann(1000)")
    acme.hub.clock.turn_to(acme.hub.clock.now() + timedelta(days=364))  # at once: each hour has its own sweep
    await acme.hub.daemon.purge.sweep()
    assert len(await rows(acme)) == 1
    acme.hub.clock.turn_to(acme.hub.clock.now() + timedelta(days=2))
    await acme.hub.daemon.purge.sweep()
    assert await rows(acme) == []


def test_only_what_names_a_thing_is_kept() -> None:
    said = {"account": "shop", "lane": 7, "reason": "words", "text": "words", "address": "+62", "to": {"value": "+62"}}
    assert auditing.named(said) == {"account": "shop", "lane": "7"}
    assert auditing.named({"name": "x" * 1000, "reader": None, "seq": ""}) == {"name": "x" * 200}


async def test_the_command_shows_the_newest_first_and_only_what_is_young_enough(acme: AcmeHub, tmp_path: Any) -> None:
    file = tmp_path / "audit.toml"
    file.write_text(f'[store]\nurl = "{acme.hub.daemon.store.url}"\n[general]\ntime_zone = "Asia/Jakarta"\n')

    async def typed(*words: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(file), "audit", *words])

    assert "nobody did anything yet" in (await typed()).output
    await control.do(acme.hub.daemon, "pause", {"account": "shop"}, "cli:ann(1000)")
    await acme.hub.pass_time(timedelta(hours=2))
    await control.do(acme.hub.daemon, "resume", {"account": "shop"}, "cli:bob(1001)")

    lines = (await typed()).output.splitlines()
    assert [line.split()[2:5] for line in lines[:2]] == [
        ["cli:bob(1001)", "resume", "done"],
        ["cli:ann(1000)", "pause", "done"],
    ]
    assert lines[0].endswith("account=shop")
    assert lines[-1] == "2 acts, times in Asia/Jakarta"
    assert [one["what"] for one in json.loads((await typed("--json")).output)] == ["resume", "pause"]
    assert [one["what"] for one in json.loads((await typed("--json", "--limit", "1")).output)] == ["resume"]
    # The hub's clock is turned, the command's is the machine's.
    young = f"{acme.hub.clock.now() - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    assert [one["what"] for one in json.loads((await typed("--json", "--since", young)).output)] == ["resume"]
    wrong = await typed("--since", "yesterday")
    assert wrong.exit_code == 2
    assert "such as 12h or 7d" in wrong.output
