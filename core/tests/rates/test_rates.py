"""How often we may send, and how long we wait."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from talkwire.model import Rate
from talkwire.testing.services import NOON
from talkwire.work.rates import Backoff, Rates, Whose

SECOND = timedelta(seconds=1)


def test_a_burst_goes_at_once_and_then_one_at_a_time() -> None:
    rates = Rates([Rate(count=10, per=10 * SECOND, burst=3)])
    assert [rates.take(NOON, "a") for _ in range(3)] == [None] * 3
    assert rates.take(NOON, "a") == NOON + SECOND
    assert rates.take(NOON + SECOND, "a") is None
    assert rates.take(NOON + SECOND, "a") == NOON + 2 * SECOND


def test_a_rate_that_is_no_whole_number_of_microseconds_is_not_exceeded_by_one() -> None:
    rates, now, sent = Rates([Rate(count=30, per=SECOND)]), NOON, 0
    while (free := rates.take(now, "a")) is None or free < NOON + SECOND:
        sent += free is None
        now = free or now
    assert sent == 30


def test_what_was_not_used_is_not_saved_beyond_the_burst() -> None:
    rates = Rates([Rate(count=1, per=SECOND, burst=2)])
    later = NOON + timedelta(days=1)
    assert rates.take(NOON, "a") is None
    assert [rates.take(later, "a") for _ in range(2)] == [None, None]
    assert rates.take(later, "a") == later + SECOND


def test_what_is_blocked_by_one_rate_takes_nothing_from_another() -> None:
    rates = Rates([Rate(count=1, per=SECOND), Rate(count=1, per=10 * SECOND, key="address")])
    assert rates.take(NOON, "a") is None
    assert rates.take(NOON, "b") == NOON + SECOND
    assert rates.take(NOON + SECOND, "a") == NOON + 10 * SECOND
    assert rates.take(NOON + SECOND, "b") is None  # the address's own rate was not touched before


def test_an_account_is_asked_without_its_addresses() -> None:
    rates = Rates([Rate(count=1, per=SECOND, key="address")])
    rates.take(NOON, "a")
    assert rates.account_free_at(NOON) is None


@given(
    count=st.integers(1, 100),
    burst=st.integers(1, 20),
    gaps=st.lists(st.integers(0, 3_000_000), max_size=30),
)
def test_as_many_go_at_once_as_there_is_room_for(count: int, burst: int, gaps: list[int]) -> None:
    rates = Rates([Rate(count=count, per=SECOND, burst=burst), Rate(count=1, per=SECOND, key="address")])
    now = NOON
    for number, gap in enumerate(gaps):
        now += timedelta(microseconds=gap)
        rates.take(now, f"before {number}")
    room, taken = rates.account_room(now), 0
    assert (room == 0) == (rates.account_free_at(now) is not None)
    while rates.take(now, f"now {taken}") is None:
        taken += 1
    assert taken == room


def test_there_is_no_end_of_room_where_no_rate_is_the_accounts() -> None:
    assert Rates([Rate(count=1, per=SECOND, key="address")]).account_room(NOON) is None


def test_a_rate_of_some_addresses_holds_for_those_alone() -> None:
    rates = Rates(
        [Rate(count=20, per=60 * SECOND, key="address", begins="-"), Rate(count=1, per=SECOND, key="address")]
    )
    group, person = Whose("a", "-100123"), Whose("b", "123")
    assert (rates.take(NOON, group), rates.take(NOON, person)) == (None, None)
    assert rates.take(NOON, group) == NOON + 3 * SECOND
    assert rates.take(NOON, person) == NOON + SECOND
    assert rates.take(NOON, Whose("c")) is None  # whose value nobody knows is in no such group


def test_an_address_rests_until_the_providers_own_moment_and_no_other_does() -> None:
    rates = Rates([])
    rates.pause(Whose("a"), NOON + 7 * SECOND, lane=5)
    assert rates.by_address
    assert rates.take(NOON, "a", 5) is None  # it waits by itself
    assert (rates.take(NOON, "a"), rates.take(NOON, "b")) == (NOON + 7 * SECOND, None)
    assert rates.take(NOON + 7 * SECOND, "a") is None
    assert not rates.by_address


@given(
    gaps=st.lists(st.integers(0, 4000), min_size=1, max_size=60),  # milliseconds between two that want to go
    cut=st.integers(0, 60),
    count=st.integers(1, 10),
    burst=st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_no_time_sees_more_than_was_declared_whenever_it_begins_anew(gaps, cut, count, burst) -> None:
    rate = Rate(count=count, per=10 * SECOND, burst=burst)
    rates, now, sent = Rates([rate]), NOON, []
    for number, gap in enumerate(gaps):
        now += timedelta(milliseconds=gap)
        if number == cut:  # killed, and started again by whoever: it knows what lies in the store within the horizon
            rates = Rates([rate])
            rates.recall([(at, Whose("a")) for at in sent if at > now - rates.horizon], now)
        while (later := rates.take(now, "a")) is not None:
            now = later
        sent.append(now)
    step = rate.per / count
    for i, first in enumerate(sent):
        for j, last in enumerate(sent[i:], i):
            assert j - i + 1 <= (last - first) / step + burst + 1e-6


def test_each_failure_waits_longer_and_one_that_comes_meanwhile_counts_as_the_same() -> None:
    backoff, now, waits = Backoff(), NOON, []
    for _ in range(11):
        until = backoff.fail(now)
        assert backoff.fail(now + SECOND) == until
        waits.append((until - now).total_seconds())
        now = until
    assert waits[:3] == [5, 8.75, 15.3125]
    assert waits[-1] == 600
    backoff.reset()
    assert backoff.fail(now) == now + timedelta(seconds=5)


def test_the_providers_own_moment_does_not_make_the_next_wait_longer() -> None:
    backoff = Backoff()
    assert backoff.pause(NOON + SECOND) == NOON + SECOND
    assert backoff.fail(NOON + SECOND) == NOON + timedelta(seconds=6)
