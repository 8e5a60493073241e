"""How much somebody may do: so many at once, then one for each step of time that has gone by."""

from datetime import UTC, datetime, timedelta

from talkwire_livechat.quotas import Quota

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_as_many_as_allowed_go_at_once_and_the_next_is_told_how_long_to_wait():
    quota = Quota(3, 3 * SECOND)
    assert [quota.take("ann", NOON) for _ in range(5)] == [timedelta()] * 3 + [SECOND] * 2
    assert quota.take("ann", NOON + SECOND) == timedelta()
    assert quota.take("ann", NOON + SECOND) == SECOND


def test_one_has_nothing_to_do_with_another():
    quota = Quota(1, SECOND)
    assert [quota.take(who, NOON) for who in ("ann", "bob", "ann")] == [timedelta(), timedelta(), SECOND]


def test_whoever_may_do_everything_again_is_forgotten():
    quota = Quota(2, 2 * SECOND)
    for number in range(100):
        quota.take(number, NOON)
    assert len(quota) == 100
    quota.take("late", NOON + 10 * SECOND)
    assert len(quota) == 1
