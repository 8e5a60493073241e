"""How often we may send, and how long we wait."""

from __future__ import annotations

from datetime import timedelta

from talkwire.model import Rate
from talkwire.rates import Backoff, Rates
from talkwire.testing.services import NOON

SECOND = timedelta(seconds=1)


def test_a_burst_goes_at_once_and_then_one_at_a_time() -> None:
    rates = Rates([Rate(count=10, per=10 * SECOND, burst=3)])
    assert [rates.take(NOON, "a") for _ in range(3)] == [None] * 3
    assert rates.take(NOON, "a") == NOON + SECOND
    assert rates.take(NOON + SECOND, "a") is None
    assert rates.take(NOON + SECOND, "a") == NOON + 2 * SECOND


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
