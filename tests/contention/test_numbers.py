"""Two daemons on one PostgreSQL: messages of one talk that come to both at once are numbered one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from talkwire.clock import micros
from talkwire.inbound.admission import Arrival, admit
from talkwire.model import Address, Inbound
from talkwire.store import Store, Tx
from talkwire.testing.services import NOON
from tests.contention.test_people import Meanwhile, daemons, run

__all__ = ["daemons"]
pytestmark = [pytest.mark.needs("postgres"), pytest.mark.timeout(90)]


def comes(*names: str) -> Callable[[Tx], None]:
    address = Address(kind="phone", value="+6281200000001")
    items = [Inbound(external_id=name, address=address, at=NOON, text=name) for name in names]

    def write(tx: Tx) -> None:
        admit(tx, [Arrival(None, "", [("shop", "acme", item) for item in items], {}, micros(NOON))])

    return write


async def test_the_second_reads_the_talk_as_the_first_leaves_it(
    daemons: tuple[Store, Store], postgres_with_tables: str
) -> None:
    one, other = daemons
    await run(one, comes("m1"))
    meanwhile = Meanwhile(postgres_with_tables)
    before = asyncio.create_task(run(one, comes("m2", "m3"), meanwhile.stand_still))
    await asyncio.to_thread(meanwhile.begun.wait, 10)
    try:
        await run(other, comes("m4"))
    finally:
        meanwhile.ended.set()
        await before
    numbered = await other.read(lambda query: query.execute("SELECT n, external_id FROM message ORDER BY n"))
    assert numbered == [(1, "m1"), (2, "m2"), (3, "m3"), (4, "m4")]
