"""Two daemons on one PostgreSQL: a reply goes on from another account while one of its copies begins to be sent."""

from __future__ import annotations

import pytest

from talkwire.answers import AccountView
from talkwire.features import Features
from talkwire.ids import new_id
from talkwire.model import AccountState, AnswerCode, Part
from talkwire.outbound import elsewhere
from talkwire.outbound.attempts import Opening, open_attempt
from talkwire.outbound.parts import NewParts, insert_deliveries
from talkwire.store import Store, Tx
from talkwire.work.leases import Leases
from tests.contention.test_people import ANN, daemons, meet, run, said

__all__ = ["daemons"]
pytestmark = [pytest.mark.needs("postgres"), pytest.mark.timeout(90)]
_WAITS = "SELECT d.recipient, d.reason, t.id IS NOT NULL FROM delivery d LEFT JOIN task t ON t.ref = d.id ORDER BY 1"


async def test_a_copy_that_begins_while_its_reply_goes_on_keeps_its_promise(
    daemons: tuple[Store, Store], postgres_with_tables: str
) -> None:
    one, _ = daemons
    leases, message = Leases(one), new_id()
    leases.want(["send:shop"])
    await leases.take()
    await run(one, said(ANN))
    [(talk,)] = await one.read(lambda query: query.execute("SELECT id FROM conversation"))

    def reply(tx: Tx) -> None:
        tx.execute(
            "INSERT INTO message (id, conversation_id, n, account, direction, at, stored_at)"
            " VALUES (:id, :talk, 1, 'shop', 'out', 0, 0)",
            {"id": message, "talk": talk},
        )
        parts = [(0, to, Part(text="Hi")) for to in ("", "bob@example.org")]
        insert_deliveries(tx, [NewParts(account="shop", conversation=talk, message=message, parts=parts)])

    await run(one, reply)
    copied = "SELECT id FROM lane WHERE subject LIKE '%:%'"
    [(lane,)] = await one.read(lambda query: query.execute(copied))
    view = AccountView(name="shop", features=Features(), state=AccountState.WORKING, since=None)

    def begins(tx: Tx) -> None:
        assert open_attempt(tx, [Opening(lane, view, leases)]) != [None]

    def goes_on(tx: Tx) -> None:
        elsewhere.promise(tx, message, talk, "post", AnswerCode.ADDRESS_UNREACHABLE)

    await meet(postgres_with_tables, daemons, begins, goes_on)
    waits = await one.read(lambda query: query.execute(_WAITS))
    assert waits == [("", "falls_back", False), ("bob@example.org", "", True)]
