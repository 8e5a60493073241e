"""Items as they are stored: texts that no database takes are changed, all others stay the same objects."""

from datetime import UTC, datetime

import pytest

from talkwire.inbound.understanding import checked
from talkwire.model import Address, Alias, Inbound, Unread


def inbound(text="Hello", alias="ID.62811"):
    address = Address(kind="phone", value="+62811", name="Ann", aliases=(Alias("bsuid", alias),))
    return Inbound(external_id="m1", address=address, at=datetime(2026, 11, 29, tzinfo=UTC), text=text)


@pytest.mark.parametrize("bad", ["\0", "\ud83d"])
def test_what_no_database_takes_is_replaced_in_the_sender_s_other_names_too(bad):
    [item] = checked([inbound(alias=f"ID{bad}1")])
    assert item.address.aliases == (Alias("bsuid", "ID\ufffd1"),)
    [item] = checked([inbound(text=f"a{bad}b")])
    assert item.text == "a\ufffdb"


def test_an_item_that_needs_no_change_is_not_built_anew():
    item = inbound()
    assert checked([item])[0] is item


def test_another_name_that_is_no_text_is_not_stored():
    assert [type(item) for item in checked([inbound(alias=7)])] == [Unread]
