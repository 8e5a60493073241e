"""The demo's check plays a talk by Telegram, and a fault makes it fail where it must."""

from __future__ import annotations

import pytest

from tests.parts.demos import checked


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
        ("token", 1, "the account is broken: Telegram does not know the token"),
        ("down", 1, "the reply is uncertain"),
        ("hangup", 1, "the reply is uncertain"),
        ("conflict", 1, "the account is waiting: somebody else hears of this bot"),
        ("blocked", 1, "blocked by the user"),
    ],
)
async def test_the_check_plays_a_talk_and_a_fault_makes_it_fail_where_it_must(tmp_path, fault, code, says):
    in_vain = fault in ("token", "conflict", "flood", "down", "hangup")
    found, said = await checked(tmp_path, "telegram", fault, says, in_vain=in_vain)
    assert (found, says in said) == (code, True), said
