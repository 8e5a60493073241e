"""The demo's check plays a talk on WhatsApp, and a fault makes it fail where it must."""

from __future__ import annotations

from typing import Any

import pytest

from tests.parts.demos import checked


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("", 0, "message wamid."),
        ("reset", 0, "delivered"),  # uncertain at first; Meta's status names our key
        ("early", 0, "delivered"),
        ("reversed", 0, "read"),
        ("duplicate", 0, "it is kept"),
        ("batch", 0, "it is kept"),
        ("damaged", 0, "it is kept"),
        ("late_failure", 0, "delivered"),
        ("unavailable", 1, "queued"),
        ("broken", 1, "the reply is uncertain"),
        ("too_many", 1, "queued (rate_limited)"),
        ("token", 1, "the account is broken"),
        ("window", 1, "24 hours"),
        ("window_late", 1, "24 hours"),
        ("undeliverable", 1, "the reply is failed"),
        ("off", 1, "the reply is sent, but should be delivered"),
        ("lost", 1, "the reply is accepted, but should be delivered"),
        ("wrong_signature", 1, "the endpoint answered 401"),
    ],
)
async def test_the_check_plays_a_talk_and_a_fault_makes_it_fail_where_it_must(
    tmp_path: Any, fault: str, code: int, says: str
) -> None:
    found, said = await checked(tmp_path, "whatsapp", fault, says, in_vain=code != 0)
    assert (found, says in said) == (code, True), said
