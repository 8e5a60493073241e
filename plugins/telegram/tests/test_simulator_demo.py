"""The demo's check plays a talk by Telegram, and a fault makes it fail where it must."""

from __future__ import annotations

import pytest

from talkwire.cli import demo


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("", 0, "sent is the most that this channel reports"),
        ("markup", 0, "the simulator shows"),
        ("twice", 0, "it is kept"),
        ("jump", 0, "it is kept"),
        ("strange", 0, "it is kept"),
        ("large", 0, "it is kept"),
        ("refuse", 1, "simulator was told to refuse"),
        ("flood", 1, "queued (rate_limited)"),
        ("token", 1, "is not there after"),
        ("down", 1, "the reply is uncertain"),
        ("hangup", 1, "the reply is uncertain"),
        ("conflict", 1, "is not there after"),
        ("blocked", 1, "blocked by the user"),
    ],
)
async def test_the_check_plays_a_talk_and_a_fault_makes_it_fail_where_it_must(tmp_path, fault, code, says):
    out: list[str] = []
    async with demo.stage(tmp_path, await demo.find(among=["telegram"])) as stage:
        [player] = stage.players
        if fault:
            await player.simulator.fault(player.base_url, fault)
        patience = {"token": 0.5, "conflict": 0.5}.get(fault, 1.5 if fault in ("flood", "down", "hangup") else 8)
        found = await demo.check_all(stage.players, stage.api, stage.key, out.append, fault=fault, patience=patience)
    assert (found, says in "\n".join(out)) == (code, True), "\n".join(out)
