"""The shop of the demo, and the visitor who talks by himself."""

import io

import pytest

from talkwire.cli import demo


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("", 0, "read"),
        ("line_drops", 0, "it is reported"),
        ("twice", 0, "once"),
        ("no_reports", 1, "the reply is sent, but should be delivered"),
        ("offline", 1, "queued (recipient_offline)"),
        ("forged", 1, "closed the line with 4001"),
    ],
)
async def test_the_check_plays_a_talk_and_a_fault_makes_it_fail_where_it_must(tmp_path, fault, code, says):
    out = io.StringIO()

    def say(text):
        print(text, file=out)

    async with demo.stage(tmp_path, await demo.find(among=["livechat"])) as stage:
        [player] = stage.players
        if fault:
            await player.simulator.fault(player.base_url, fault)
        assert await demo.check_all(stage.players, stage.api, stage.key, say, fault=fault, patience=3) == code
    assert says in out.getvalue(), out.getvalue()
