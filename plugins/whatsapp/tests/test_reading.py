"""Rows: what Meta sends and what it means; and that nothing which Meta could send breaks anything."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from talkwire import (
    AccountNotice,
    Alias,
    Change,
    ChangeKind,
    Inbound,
    Location,
    Other,
    Report,
    State,
    Unread,
    Unreadable,
)
from talkwire.testing.damage import paths
from talkwire.testing.shapes import faults
from talkwire_whatsapp.reading import Ours, _People, read

from .samples import AT, BUSINESS, CHALLENGE, FOLDER, NOON, NUMBER, SAMPLES, UNKNOWN, body, message, value, wamid

OURS = Ours(number=NUMBER, business=BUSINESS, account="shop")
ANOTHER = "660100000000009"  # a business account of somebody's
EMPTY = CHALLENGE.raw()


def items(content: Any, ours: Ours = OURS) -> list[Any]:
    """Read a body, or what would be one."""
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    return list(read(replace(EMPTY, method="POST", query=(), body=written), ours))


def delivery(*values: Any, field: Any = "messages") -> Any:
    changes = [{"field": field, "value": one} for one in values]
    return {"object": "whatsapp_business_account", "entry": [{"id": BUSINESS, "changes": changes}]}


def of(*messages: Any, **more: Any) -> Any:
    """Make the value of a change that holds messages of Ayu's."""
    return {**value("text"), "messages": list(messages), **more}


def one(content: Any, **more: Any) -> Any:
    [item] = items(delivery(of(content, **more)))
    return item


# --- samples ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [*SAMPLES, *UNKNOWN], ids=lambda sample: sample.name)
def test_a_sample_means_what_is_said(sample):
    assert tuple(items(sample.raw().body)) == sample.means


def test_each_file_is_a_sample_and_names_its_source():
    names = sorted(sample.name for sample in (*SAMPLES, *UNKNOWN))
    assert sorted(file.stem for file in FOLDER.glob("*.json")) == names
    assert sorted(file.stem for file in FOLDER.glob("*.source")) == names
    assert all(sample.source.startswith("Written on ") for sample in (*SAMPLES, *UNKNOWN))


# --- one bad value loses no other ---------------------------------------------------------------------------

BAD = (None, 7, "?", [], {}, True)


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("level", ["entry", "changes", "messages", "statuses"])
def test_a_bad_value_loses_no_other_at_any_level(level, bad):
    whole = json.loads(body("batch"))
    good = [item for item in items(whole) if not isinstance(item, Unread)]
    places = {
        "entry": whole["entry"],
        "changes": whole["entry"][0]["changes"],
        "messages": whole["entry"][0]["changes"][0]["value"]["messages"],
        "statuses": whole["entry"][1]["changes"][0]["value"]["statuses"],
    }
    places[level].insert(0, bad)
    found = items(whole)
    assert [item for item in found if not isinstance(item, Unread)] == good
    assert len(found) == len(good) + 1


@pytest.mark.parametrize("name", ["messages", "statuses", "errors"])
def test_what_is_no_list_is_unread_and_what_stands_beside_it_is_read(name):
    whole = of(message("text"), statuses=value("status_read")["statuses"], errors=value("account_error")["errors"])
    found = items(delivery({**whole, name: "?"}))
    assert [type(item) for item in found].count(Unread) == 1
    assert len(found) == 3


def test_a_number_that_nobody_can_tell_makes_a_value_unread_and_loses_no_other():
    lost = value("text")
    del lost["metadata"]
    first, second = items(delivery(lost, value("text_reply")))
    assert first == Unread("metadata.phone_number_id: missing, or no text of 1 to 500 characters")
    assert second.text == "The second one"


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"7", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"entry": [NaN]}'],
    ids=["empty", "null", "list", "number", "cut", "not UTF-8", "deep", "no number"],
)
def test_what_is_no_delivery_at_all_is_unreadable_as_a_whole(content):
    with pytest.raises(Unreadable):
        items(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = [(sample.name, path) for sample in (*SAMPLES, *UNKNOWN) for path in paths(json.loads(sample.raw().body))]


@settings(max_examples=100, deadline=None)
@given(place=st.sampled_from(PLACES), new=JSON)
@example(place=("location", ("entry", 0, "changes", 0, "value", "messages", 0, "location", "latitude")), new=1e999)
@example(place=("text", ("entry", 0, "changes", 0, "value", "messages", 0, "timestamp")), new="9" * 5000)
@example(place=("text", ("entry", 0, "changes", 0, "value", "messages", 0, "id")), new="x" * 501)
def test_whatever_stands_anywhere_is_read_or_unread_and_never_breaks_or_lies(place, new):
    name, path = place
    whole = json.loads(body(name))
    holder = whole
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = new
    try:
        found = items(whole)
    except Unreadable:
        return
    assert [fault for item in found for fault in faults(item)] == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3), st.lists(JSON, max_size=2))
def test_every_message_status_and_error_gives_at_least_one_item(messages, statuses, errors):
    whole = {**value("text"), "messages": messages, "statuses": statuses, "errors": errors}
    assert len(items(delivery(whole))) >= len(messages) + len(statuses) + len(errors)


def test_an_id_that_no_index_takes_is_unread():
    assert isinstance(one({**message("text"), "id": "x" * 501}), Unread)


# --- who wrote ------------------------------------------------------------------------------------------------


def contact(wa_id: str, name: str, user_id: str = "") -> Any:
    return {"wa_id": wa_id, "profile": {"name": name}, **({"user_id": user_id} if user_id else {})}


def test_each_message_of_a_value_has_the_name_of_its_own_contact():
    texts = [{**message("text"), "from": number, "id": number} for number in ("6281200001111", "6281234567890")]
    people = [contact("6281234567890", "Ayu"), contact("6281200001111", "Budi")]
    assert [item.address.name for item in items(delivery(of(*texts, contacts=people)))] == ["Budi", "Ayu"]


def test_a_name_is_taken_from_the_only_contact_where_the_numbers_differ_but_never_its_id():
    """In Mexico, Brazil and Argentina a wa_id is not always the number that wrote."""
    mexican = {**message("text"), "from": "525512345678"}
    found = one(mexican, contacts=[contact("5215512345678", "Lucía", "MX.1")])
    assert (found.address.value, found.address.name, found.address.aliases) == ("+525512345678", "Lucía", ())


def test_a_number_and_an_id_are_two_names_of_one_person():
    found = one(message("text"), contacts=[contact("6281234567890", "Ayu", "ID.1")])
    assert found.address.aliases == (Alias("bsuid", "ID.1"),)


def test_the_contact_says_who_wrote_where_the_message_does_not():
    nameless = {name: one for name, one in message("text").items() if name != "from"}
    assert one(nameless).address.value == "+6281234567890"


@pytest.mark.parametrize("wrong", ["", "x" * 501, None, 7])
def test_nobody_is_made_up(wrong):
    assert isinstance(one({**message("text"), "from": wrong}, contacts=[]), Unread)


def test_a_message_costs_the_same_however_many_wrote():
    """Counted, not timed: each contact is looked at a few times, not once for each message."""
    looked = []

    class Contact(dict):
        def get(self, *name):
            looked.append(name)
            return super().get(*name)

    people = [contact(f"62812{n:05}", f"Customer {n}") for n in range(300)]
    texts = [{**message("text"), "from": one["wa_id"], "id": one["wa_id"]} for one in people]
    reader = _People({"contacts": []}, "", NOON)
    reader._contacts = tuple(map(Contact, people))
    found = [item for one in texts for item in reader.message(one)]
    assert [item.address.name for item in found] == [f"Customer {n}" for n in range(300)]
    assert len(looked) < 10 * len(people)


# --- when -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "at"),
    [
        (str(int(AT.timestamp())), AT),
        (int(AT.timestamp()), AT),
        (int(AT.timestamp()) * 1000 + 999, AT),
        ("0", NOON),
        ("-1", NOON),
        ("1e9", NOON),
        ("²", NOON),
        (str(10**15), NOON),
        (True, NOON),
        (None, NOON),
        ("1230768000", datetime(2009, 1, 1, tzinfo=UTC)),
    ],
    ids=str,
)
def test_a_time_is_seconds_or_milliseconds_and_junk_is_the_moment_of_arrival(written, at):
    assert one({**message("text"), "timestamp": written}).at == at


# --- what ---------------------------------------------------------------------------------------------------------


def test_an_empty_text_is_a_message():
    assert one({**message("text"), "text": {"body": ""}}).text == ""


def test_what_a_block_keeps_of_the_value_is_bounded():
    huge = {**message("order")["order"], "catalog_id": "é" * 40_000}
    [block] = one({**message("order"), "order": huge}).blocks
    assert block.raw == ""
    assert block.text.startswith("Order: 2 × RAINCOAT-M")


FAULT = {"code": 131051, "title": "Message type unknown", "error_data": {"details": "It is not passed on."}}


@pytest.mark.parametrize(
    "kind", ["text", "location", "contacts", "order", "button", "image", "sticker", "reaction", "edit", "revoke"]
)
@pytest.mark.parametrize("empty", [{}, None, "-"], ids=["empty", "null", "missing"])
def test_what_comes_with_nothing_but_errors_is_a_message_that_says_why(kind, empty):
    bare = {name: value for name, value in message("text").items() if name != "text"}
    said = {**bare, "type": kind, "errors": [FAULT], **({} if empty == "-" else {kind: empty})}
    found = one(said)
    assert isinstance(found, Inbound)
    [block] = found.blocks
    assert (found.text, block.kind, json.loads(block.raw)) == ("", kind, said)
    assert block.text.endswith("It is not passed on.")
    assert isinstance(one({**said, "errors": []}), Unread)


@pytest.mark.parametrize("written", ["1" + "0" * 400, "-1" + "0" * 400, '"1e999"', "1e300"], ids=range(4))
@pytest.mark.parametrize("field", ["quantity", "item_price"])
def test_an_order_of_absurd_numbers_is_an_order_without_a_sum(field, written):
    order = {"product_items": [{"product_retailer_id": "HAT", "quantity": 2, "item_price": 3, "currency": "EUR"}]}
    order["product_items"][0][field] = "@"
    whole = json.dumps(delivery(of({**message("order"), "order": order}))).replace('"@"', written)
    [found] = items(whole.encode())
    [block] = found.blocks
    assert block.text.startswith("Order: ")
    assert block.text.endswith(" × HAT")


@pytest.mark.parametrize(("count", "shown"), [(1234567, "1234567"), ("0.5", "0.5"), (3, "3")])
def test_a_quantity_is_shown_whole(count, shown):
    item = {"product_retailer_id": "BOLT", "quantity": count}
    [block] = one({**message("order"), "order": {"product_items": [item]}}).blocks
    assert block.text == f"Order: {shown} × BOLT"


def test_a_form_does_not_show_its_token():
    [block] = one(message("flow_reply")).blocks
    assert "secret-flow-token" not in block.text


@pytest.mark.parametrize("id_", ["../me", "1/2", "?", "", 7, None, "x" * 201])
def test_the_id_of_a_file_that_would_lead_elsewhere_is_unread(id_):
    wrong = copy.deepcopy(message("image"))
    wrong["image"]["id"] = id_
    assert isinstance(one(wrong), Unread)


def test_a_key_that_is_new_changes_nothing_but_what_is_kept_as_it_came():
    grown = copy.deepcopy(message("image"))
    grown["image"]["hologram"] = grown["new"] = {"a": [1]}
    assert one(grown) == one(message("image"))


def test_a_type_that_is_new_is_one_block_with_a_line_and_the_value():
    new = {**message("text"), "type": "gesture", "gesture": {"kind": "wave"}}
    [block] = one(new).blocks
    assert isinstance(block, Other)
    assert (block.kind, json.loads(block.raw)) == ("gesture", new)


def changed_into(said):
    return one({**message("edit"), "edit": {"original_message_id": wamid("text"), "message": said}})


@pytest.mark.parametrize("said", [{}, {"type": "image", "image": None}, {"type": "image", "image": {}}])
def test_an_edit_that_says_no_new_words_is_unread(said):
    assert isinstance(changed_into(said), Unread)


def test_an_edit_into_what_whatsapp_does_not_pass_on_says_so_and_empties_nothing():
    edit = changed_into({"type": "unsupported", "unsupported": {"type": "poll"}})
    assert [block.text for block in edit.blocks] == ["poll: WhatsApp did not pass on what was written"]
    edit = changed_into({"type": "location", "location": {"latitude": -6.2, "longitude": 106.8}})
    assert edit.blocks == (Location(latitude=-6.2, longitude=106.8),)


@pytest.mark.parametrize("kind", ["image", "video", "document"])
@pytest.mark.parametrize("caption", ["The right one", ""], ids=["another", "taken away"])
def test_a_new_caption_without_a_file_leaves_the_file(kind, caption):
    edit = changed_into({"type": kind, kind: {"caption": caption}})
    assert (edit.kind, edit.text, edit.blocks) == (ChangeKind.EDIT, caption, ())


def test_a_caption_where_there_is_none_hides_no_text():
    assert changed_into({"type": "text", "text": {"body": "Blue", "caption": ""}}).text == "Blue"


def test_a_reason_is_one_line_of_bounded_length():
    failed = copy.deepcopy(value("status_failed"))
    failed["statuses"][0]["errors"][0]["error_data"]["details"] = "no\n\n" * 500
    [report] = items(delivery(failed))
    assert len(report.reason) <= 300
    assert "\n" not in report.reason


def failed_with(code, at=AT):
    """Read that a message of ours failed."""
    failed = copy.deepcopy(value("status_failed"))
    failed["statuses"][0] |= {
        "errors": [{"code": code, "title": "Meta's words"}],
        "timestamp": str(int(at.timestamp())),
    }
    return failed


DEAD = (190, 368, 131031, 131037, 131042, 131044, 131045, 133010)  # whatever number it is: nothing goes any more
TO_BE_ASKED = (0, 3, 10, 33, 200, 299, 131005)  # … as an answer to one request


@pytest.mark.parametrize("code", DEAD)
def test_a_failure_that_every_message_would_have_breaks_the_account_and_says_what_to_do(code):
    report, notice = items(delivery(failed_with(code)))
    assert (report.state, report.code) == (State.FAILED, str(code))
    assert report.reason.endswith("; then: talkwire accounts resume shop")
    assert "NAME" not in report.reason
    assert (notice.code, notice.broken, notice.at, notice.to) == (str(code), True, AT, NUMBER)
    assert notice.text == f"WhatsApp reports: {report.reason} (code {code})"


@pytest.mark.parametrize("code", [*TO_BE_ASKED, 131026, 131047, 130429, 131000])
def test_any_other_failure_breaks_no_account(code):
    [report] = items(delivery(failed_with(code)))
    assert (report.state, report.code) == (State.FAILED, str(code))


def test_a_failure_of_long_ago_breaks_no_account():
    """Meta repeats what it could not deliver for seven days, and somebody may have paid since."""
    hour = timedelta(hours=1)
    assert [type(item) for item in items(delivery(failed_with(131042, NOON - hour)))] == [Report, AccountNotice]
    [report] = items(delivery(failed_with(131042, NOON - hour - timedelta(seconds=1))))
    assert isinstance(report, Report)


@pytest.mark.parametrize(
    ("code", "broken"),
    [*((code, True) for code in (*DEAD, *TO_BE_ASKED)), (130429, False), (131000, False), (4711, False)],
)
def test_an_error_of_the_account_breaks_it_where_a_person_must_act(code, broken):
    account_error = {**value("account_error"), "errors": [{"code": code, "title": "Meta's words"}]}
    [notice] = items(delivery(account_error))
    assert (notice.code, notice.broken) == (str(code), broken)
    assert ("talkwire accounts resume shop" in notice.text) is broken
    assert "NAME" not in notice.text


def test_of_an_account_whose_name_is_not_known_no_command_is_told():
    other = Ours(number="550100000000003", business="", account="another-shop")
    for report, notice in (items(delivery(failed_with(code)), other) for code in (190, 131042)):
        assert notice.broken
        assert notice.to == NUMBER
        assert not any(word in report.reason + notice.text for word in ("NAME", "another-shop", "talkwire accounts"))


def test_a_status_without_an_id_is_known_by_our_key():
    [item] = items(
        delivery({**value("status_sent"), "statuses": [{**value("status_sent")["statuses"][0], "id": None}]})
    )
    assert isinstance(item, Report)
    assert (item.external_id, bool(item.key)) == ("", True)


# --- whose ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("business", "to"),
    [(BUSINESS, NUMBER), ("", NUMBER), (ANOTHER, BUSINESS)],
    ids=["ours", "not known", "another"],
)
@pytest.mark.parametrize("name", ["account_disabled", "account_restricted"])
def test_what_is_said_of_a_business_account_is_meant_for_one_that_has_it_and_breaks_no_other(name, business, to):
    [item] = items(body(name), Ours(number=NUMBER, business=business))
    assert isinstance(item, AccountNotice)
    assert item.to == to
    assert item.broken is bool(business)
    assert (f"said of business account {BUSINESS}" in item.text) is not item.broken


def test_what_is_said_of_no_business_account_breaks_none():
    nobodys = json.loads(body("account_disabled"))
    del nobodys["entry"][0]["id"]
    [item] = items(nobodys)
    assert (item.to, item.broken) == (NUMBER, False)


@pytest.mark.parametrize(("late", "broken"), [(timedelta(hours=1), True), (timedelta(hours=1, seconds=1), False)])
@pytest.mark.parametrize("name", ["account_disabled", "account_restricted"])
def test_a_ban_of_long_ago_is_told_and_breaks_no_account(name, late, broken):
    """Meta repeats for seven days: the ban may have been lifted since, and its answers say if it was not."""
    ban = json.loads(body(name))
    ban["entry"][0]["time"] = int((NOON - late).timestamp())
    [item] = items(ban)
    assert (item.to, item.at, item.broken) == (NUMBER, NOON - late, broken)
    assert ("it may be over" in item.text) is not broken


@pytest.mark.parametrize(
    ("named", "broken"),
    [({}, True), ({"phone_number": "6285550783882"}, False), ({"display_phone_number": "6285550783882"}, False)],
    ids=["the account", "a number", "a number by its other name"],
)
def test_a_number_that_is_taken_off_the_api_breaks_no_other_number_of_its_business_account(named, broken):
    [item] = items(delivery({"event": "ACCOUNT_OFFBOARDED", **named}, field="account_update"))
    assert (item.code, item.to, item.broken) == ("account_update.account_offboarded", NUMBER, broken)
    assert ("+6285550783882" in item.text) is not broken


def test_all_that_is_read_of_another_number_says_so():
    other = Ours(number="550100000000003", business="")
    found = [item for sample in SAMPLES for item in items(sample.raw().body, other)]
    assert {item.to for item in found if isinstance(item, Inbound | Change | Report)} == {NUMBER, "550100000000002"}
