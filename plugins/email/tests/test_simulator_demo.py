"""The demo's check plays a mail to and fro, and a fault makes it fail where it must."""

from __future__ import annotations

import pytest

from tests.parts.demos import checked


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("", 0, "“Content-Type: text/plain; charset=utf-8; format=flowed Parcel"),
        ("cut", 0, "delivered"),  # uncertain at first; the other server's report says that it came
        ("twice", 0, "it is kept"),
        ("html", 0, "it is kept"),
        ("bare", 0, "mail without Message-ID"),
        ("robot", 0, "once"),
        ("refuse", 1, "user unknown"),
        ("bounce", 1, "no such user here"),
        ("busy", 1, "queued (rate_limited)"),
        ("auth", 1, "the account is broken"),
        ("drop", 1, "the reply is uncertain"),
        ("no_dsn", 1, "the reply is sent, but should be delivered"),
        ("away", 1, "is not there after"),
    ],
)
async def test_the_check_plays_a_mail_and_a_fault_makes_it_fail_where_it_must(tmp_path, capsys, fault, code, says):
    in_vain = fault in ("away", "busy", "auth", "drop", "no_dsn")
    found, said = await checked(tmp_path, "email", fault, says, in_vain=in_vain)
    assert (found, says in said) == (code, True), said
    if fault not in ("away", "auth"):
        assert "listener failed" not in "".join(capsys.readouterr()), "a stop is no failure"
