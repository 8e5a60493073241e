"""What is said between daemons while the database does not hear it."""

from __future__ import annotations

from talkwire.work.hints import Hints


async def test_hints_that_nobody_can_be_told_are_lost_and_not_gathered_for_ever() -> None:
    hints = Hints("postgresql://nobody@127.0.0.1:1/nothing")
    for n in range(5000):
        hints.publish("typing", {"n": n})
    assert len(hints._pending) <= 1000
    assert '"n":4999' in list(hints._pending)[-1]  # the oldest are lost
