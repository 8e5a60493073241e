"""Two daemons on one PostgreSQL: a letter and what follows it, brought at once, are one talk."""

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


def comes(name: str, *follows: str) -> Callable[[Tx], None]:
    letter = Inbound(
        external_id=name,
        known_as=f"<{name}>",
        thread=name,
        address=Address(kind="email", value="ann@example.org"),
        at=NOON,
        follows=follows,
    )

    def write(tx: Tx) -> None:
        admit(tx, [Arrival(None, "", [("post", "post", letter)], {}, micros(NOON))])

    return write


async def test_what_follows_a_letter_waits_for_whoever_stores_that(
    daemons: tuple[Store, Store], postgres_with_tables: str
) -> None:
    one, other = daemons
    await run(one, lambda tx: tx.execute("INSERT INTO account_state (account, since) VALUES ('post', 0)"))
    await run(one, comes("before"))  # so that they do not wait for each other over the address
    meanwhile = Meanwhile(postgres_with_tables)
    before = asyncio.create_task(run(one, comes("a"), meanwhile.stand_still))
    await asyncio.to_thread(meanwhile.begun.wait, 10)
    try:
        await run(other, comes("b", "<a>"))
    finally:
        meanwhile.ended.set()
        await before
    talks = await one.read(lambda query: query.execute("SELECT thread, last_n FROM conversation ORDER BY thread"))
    assert talks == [("a", 2), ("before", 1)]
