"""The shop of the demo, and the visitor who talks by himself."""

import pytest

from tests.parts.demos import checked


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
    found, said = await checked(tmp_path, "livechat", fault, says, in_vain=code != 0)
    assert (found, says in said) == (code, True), said
