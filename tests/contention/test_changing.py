"""Two daemons on one PostgreSQL: a message is edited at one while its customer is forgotten at the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from talkwire.clock import micros
from talkwire.inbound.admission import Arrival, admit
from talkwire.lifecycle.dropping import drop_messages
from talkwire.model import Address, Change, ChangeKind, Inbound, Item, RemoteMedia
from talkwire.store import Store, Tx
from talkwire.testing.services import NOON
from tests.contention.test_people import daemons, meet, run

__all__ = ["daemons"]
pytestmark = [pytest.mark.needs("postgres"), pytest.mark.timeout(90)]
ANN = Address(kind="phone", value="+6281200000001")
PHOTO = Inbound(external_id="m1", address=ANN, at=NOON, blocks=(RemoteMedia(handle="a"),))
SWAPPED = Change(kind=ChangeKind.EDIT, external_id="m1", address=ANN, at=NOON, blocks=(RemoteMedia(handle="b"),))


def comes(item: Item) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        admit(tx, [Arrival(None, "", [("shop", "acme", item)], {}, micros(NOON))])

    return write


def forget(tx: Tx) -> None:
    drop_messages(tx, [[row[0] for row in tx.execute("SELECT id FROM conversation")]])


@pytest.mark.parametrize(("first", "second"), [(comes(SWAPPED), forget), (forget, comes(SWAPPED))])
async def test_no_file_of_an_edit_outlives_its_message(
    daemons: tuple[Store, Store],
    postgres_with_tables: str,
    first: Callable[[Tx], None],
    second: Callable[[Tx], None],
) -> None:
    one, other = daemons
    await run(one, comes(PHOTO))
    await meet(postgres_with_tables, daemons, first, second)
    for table in ("message", "attachment", "task"):
        assert await other.read(lambda query, table=table: query.execute(f"SELECT * FROM {table}")) == []  # type: ignore[misc]
