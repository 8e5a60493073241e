"""Two daemons on one PostgreSQL: what machines say to one address is counted once, whatever the thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from talkwire.ids import new_id
from talkwire.model import Rate
from talkwire.outbound import machines
from talkwire.store import Store, Tx
from tests.contention.test_people import ANN, Meanwhile, daemons, run, said

__all__ = ["daemons"]
pytestmark = [pytest.mark.needs("postgres"), pytest.mark.timeout(90)]
_SAID = """
    INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at, automatic)
    VALUES (:id, :conversation, 1, 'shop', 'out', :now, :now2, 1)
"""


def speaks(conversation: str) -> Callable[[Tx], None]:
    """Say something where it may be said, as a reply of a machine does."""

    def write(tx: Tx) -> None:
        machines.lock(tx, [conversation], [])
        tx.lock("conversation", [conversation])
        if machines.refusal(tx, conversation, Rate(count=1, per=timedelta(minutes=1))) is None:
            tx.execute(_SAID, {"id": new_id(), "conversation": conversation, "now": tx.now_us, "now2": tx.now_us})

    return write


async def test_two_threads_of_one_address_wait_for_each_other(
    daemons: tuple[Store, Store], postgres_with_tables: str
) -> None:
    one, other = daemons
    await run(one, said(ANN, "a"))
    await run(one, said(ANN, "b"))
    first, second = [row[0] for row in await one.read(lambda query: query.execute("SELECT id FROM conversation"))]
    meanwhile = Meanwhile(postgres_with_tables)
    before = asyncio.create_task(run(one, speaks(first), meanwhile.stand_still))
    await asyncio.to_thread(meanwhile.begun.wait, 10)
    try:
        await run(other, speaks(second))
    finally:
        meanwhile.ended.set()
        await before
    assert len(await one.read(lambda query: query.execute("SELECT 1 FROM message"))) == 1
