"""Receipts and reports are joins: any order and any repetition ends the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkwire import deliveries
from talkwire.clock import micros
from talkwire.deliveries import counted, message_state
from talkwire.model import Address, Outgoing, Part, Receipt, Report, State
from talkwire.outbound.attempts import Attempt, Outcome, close_attempt
from talkwire.store.sqlite import SqliteDriver
from talkwire.store.tx import Tx
from talkwire.testing.services import NOON
from talkwire.work import lanes

DELIVERY = "d1"
LEARNABLE = [State.ACCEPTED, State.SENT, State.FAILED, State.DELIVERED, State.READ]


class Ours:
    def holds(self, name: str, need: Any = None) -> bool:
        return True

    def check(self, tx: Tx, name: str, need: Any = None) -> bool:
        return True


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[SqliteDriver]:
    file = tmp_path_factory.mktemp("join") / "talkwire.db"
    file.write_bytes(empty_database.read_bytes())
    driver = SqliteDriver(file, synchronous="off")
    yield driver
    driver.close()


reports = st.lists(
    st.builds(
        Report,
        state=st.sampled_from(LEARNABLE),
        at=st.integers(0, 3).map(lambda seconds: NOON + timedelta(seconds=seconds)),
        code=st.sampled_from(["", "a", "b"]),
        reason=st.sampled_from(["", "x"]),
        external_id=st.just("p1"),
    )
    | st.builds(Report, state=st.sampled_from(LEARNABLE), at=st.just(NOON), key=st.just(DELIVERY)),
    max_size=5,
)
receipts = st.sampled_from(
    [Receipt(state=State.ACCEPTED, external_id="p1"), Receipt(external_id="p1"), State.UNCERTAIN]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=reports, receipt=receipts, data=st.data())
def test_any_order_and_repetition_of_receipt_and_reports_ends_the_same(
    driver: SqliteDriver, reports: list[Report], receipt: Any, data: st.DataObject
) -> None:
    events = [receipt, *reports, *data.draw(st.lists(st.sampled_from(reports), max_size=3) if reports else st.just([]))]
    in_order = end_of(driver, events)
    assert end_of(driver, data.draw(st.permutations(events))) == in_order
    if isinstance(receipt, Receipt):  # then every report finds its part
        expected = max([receipt.state, *(report.state for report in reports)])
        failures = [(micros(r.at), r.code, r.reason) for r in reports if r.state is State.FAILED]
        assert in_order == (int(expected), min(failures, default=None))


def end_of(driver: SqliteDriver, events: list[Any]) -> tuple[int, tuple[int, str, str] | None]:
    """Give state and problem after these events, each in a look of its own."""
    told = [event if isinstance(event, Report) else (DELIVERY, event) for event in events]
    return ends_of(driver, {DELIVERY: ""}, told)[DELIVERY]


def ends_of(
    driver: SqliteDriver, parts: dict[str, str], events: list[Any], *, copies: bool = False
) -> dict[str, tuple[int, tuple[int, str, str] | None]]:
    """Give state and problem of each part of a message after reports and (part, what became of its attempt).

    `parts` says for each delivery who it goes to; `copies`: they are one part, for several people.
    """
    driver.begin()
    try:
        tx = Tx(driver, NOON)
        for position, (delivery, recipient) in enumerate(parts.items()):
            tx.execute(
                "INSERT INTO delivery (id, message_id, conversation_id, account, position, generation, part, text,"
                " state, state_at, reason, recipient)"
                " VALUES (:id, 'm1', 'c1', 'shop', :position, 0, '{}', '', 0, 0, '', :recipient)",
                {"id": delivery, "position": 0 if copies else position, "recipient": recipient},
            )
            lanes.add(tx, [lanes.NewTask("send:shop", f"c{delivery}", "send", delivery)])
        tx.finish()
        lane_of = dict(tx.execute("SELECT subject, id FROM lane"))
        heads = lanes.heads(tx, sorted(lane_of.values()))
        for event in events:
            if isinstance(event, Report):
                deliveries.reported(tx, [("shop", event, "")])
                continue
            delivery, became = event
            task = heads[lane_of[f"c{delivery}"]]
            out = Outgoing(
                key=delivery, account="shop", address=Address(kind="phone", value="+1"), thread="", part=Part(text="x")
            )
            outcome = Outcome(Attempt(task.id, task.lane, 0, delivery, out), "send:shop", Ours())
            outcome.receipt, outcome.learnt = (became, None) if isinstance(became, Receipt) else (None, became)
            close_attempt(tx, [outcome])
        ends = tx.execute("SELECT id, state, problem_at, problem_code, problem_text FROM delivery ORDER BY id")
        return {id_: (state, None if at is None else (at, code, text)) for id_, state, at, code, text in ends}
    finally:
        driver.rollback()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reported=st.lists(
        st.builds(
            Report,
            state=st.sampled_from(LEARNABLE),
            at=st.integers(0, 3).map(lambda seconds: NOON + timedelta(seconds=seconds)),
            code=st.sampled_from(["", "a"]),
            external_id=st.just("p1"),
            recipient=st.sampled_from(["", "+1"]),
        ),
        max_size=4,
    ),
    data=st.data(),
)
def test_reports_of_a_message_whose_parts_have_one_id_reach_all_of_them_in_any_order(
    driver: SqliteDriver, reported: list[Report], data: st.DataObject
) -> None:
    """Some providers give a message of several parts one id: what they report of it they report of each."""
    parts = {"d1": "", "d2": "", "d3": "+1"}
    events = [*reported, *((part, Receipt(state=State.ACCEPTED, external_id="p1")) for part in parts)]
    ends = ends_of(driver, parts, data.draw(st.permutations(events)))
    expected = max([State.ACCEPTED, *(report.state for report in reported)])
    failures = [(micros(r.at), r.code, r.reason) for r in reported if r.state is State.FAILED]
    assert ends == dict.fromkeys(parts, (int(expected), min(failures, default=None)))


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_a_report_for_one_of_several_recipients_joins_the_same_early_or_late(
    driver: SqliteDriver, early: bool, named: bool
) -> None:
    """Where the parts do not say who they go to, a name in a report tells nothing apart."""
    parts = {"d1": "ann", "d2": "bob"} if named else {"d1": "", "d2": ""}
    receipts = [(part, Receipt(state=State.SENT, external_id="p1")) for part in parts]
    report = Report(state=State.DELIVERED, at=NOON, external_id="p1", recipient="bob")
    stranger = Report(state=State.READ, at=NOON, external_id="p1", recipient="eve" if named else "bob")
    events = [report, stranger, *receipts] if early else [*receipts, report, stranger]
    states = {part: State(state) for part, (state, _) in ends_of(driver, parts, events).items()}
    assert states == ({"d1": State.SENT, "d2": State.DELIVERED} if named else dict.fromkeys(parts, State.READ))


COPIES = {"d1": "", "d2": "bob@b.example", "d3": "cat@c.example"}
told = st.builds(
    Report,
    state=st.sampled_from(LEARNABLE),
    at=st.just(NOON),
    recipient=st.sampled_from(["", "Bob@b.example", "cat@c.example", "somebody@else.example"]),
    external_id=st.just("p1"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reported=st.lists(told, max_size=4), data=st.data())
def test_a_report_that_names_whoever_got_a_copy_is_of_that_copy_in_any_order(
    driver: SqliteDriver, reported: list[Report], data: st.DataObject
) -> None:
    """All copies have one id with the provider; what names nobody of them is of the one that has no name."""
    events = [*reported, *((part, Receipt(state=State.ACCEPTED, external_id="p1")) for part in COPIES)]
    ends = ends_of(driver, COPIES, data.draw(st.permutations(events)), copies=True)
    for part, whose in COPIES.items():
        others = {to for to in COPIES.values() if to} - {whose}
        own = [
            r.state for r in reported if r.recipient in ("", whose) or (not whose and r.recipient.lower() not in others)
        ]
        own += [r.state for r in reported if whose and r.recipient.lower() == whose]
        assert ends[part][0] == max([State.ACCEPTED, *own]), part


@pytest.mark.parametrize(
    ("recipient", "whose"),
    [("", "d1"), ("bob@b.example", "d2"), ("CAT@C.example", "d3"), ("ann@forwarded.example", "d1")],
)
@pytest.mark.parametrize("swept", [True, False])
def test_a_report_by_the_key_of_one_part_is_of_the_copy_that_it_names(
    driver: SqliteDriver, recipient: str, whose: str, swept: bool
) -> None:
    report = Report(state=State.FAILED, at=NOON, key="d1", code="550", recipient=recipient)
    driver.begin()
    try:
        tx = Tx(driver, NOON)
        rows = [{"id": part, "to": to} for part, to in COPIES.items()]
        if swept:  # it came from before a restore, or over an open transaction
            deliveries.reported(tx, [("shop", report, "")])
        tx.many(
            "INSERT INTO delivery (id, message_id, conversation_id, account, position, generation, part, text,"
            " state, state_at, reason, recipient) VALUES (:id, 'm1', 'c1', 'shop', 0, 0, '{}', '', 20, 0, '', :to)",
            rows,
        )
        if swept:
            assert deliveries.sweep_unmatched(tx, 0, deliveries.Refusals()) == 1
        else:
            deliveries.reported(tx, [("shop", report, "")])
        assert tx.execute("SELECT id FROM delivery WHERE state = 25") == [(whose,)]
        assert tx.execute("SELECT delivery_id FROM report") == [(whose,)]
    finally:
        driver.rollback()


# --- what a message's state is ----------------------------------------------------------------------

S = State


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ([], None),
        ([(0, "", 0, S.QUEUED)], S.QUEUED),
        ([(0, "", 0, S.READ), (1, "", 0, S.SENT)], S.SENT),
        ([(0, "", 0, S.QUEUED), (1, "", 0, S.FAILED), (2, "", 0, S.UNCERTAIN)], S.FAILED),
        ([(0, "", 0, S.READ), (1, "", 0, S.UNCERTAIN)], S.UNCERTAIN),
        ([(0, "", 0, S.FAILED), (0, "", 1, S.SENT)], S.SENT),  # the latest generation counts …
        ([(0, "", 0, S.DELIVERED), (0, "", 1, S.QUEUED)], S.DELIVERED),  # … or an older one that was delivered
        ([(0, "", 0, S.SENT), (0, "", 1, S.QUEUED)], S.QUEUED),
        ([(0, "", 0, S.DELIVERED), (0, "", 1, S.FAILED)], S.DELIVERED),
        ([(0, "ann", 0, S.DELIVERED), (0, "bob", 0, S.FAILED)], S.FAILED),
    ],
)
def test_a_messages_state_is_derived_from_its_parts(parts: list[Any], state: State | None) -> None:
    assert message_state(parts) == state
    assert message_state(reversed(parts)) == state


def test_of_two_delivered_generations_the_further_one_counts() -> None:
    assert counted([(0, State.READ), (1, State.DELIVERED)]) is State.READ
