"""Retry-After, as providers send it."""

from datetime import timedelta

import pytest

from talkwire import retry_after

ROWS = [("50", timedelta(seconds=50)), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("٥", None),
        ("9" * 15, timedelta(seconds=999_999_999)), ("9" * 5000, timedelta(seconds=999_999_999))]  # fmt: skip


@pytest.mark.parametrize(("value", "after"), ROWS, ids=range(len(ROWS)))
def test_seconds_are_read_and_nonsense_is_passed_over(value, after):
    assert retry_after({"Retry-After": value}) == after
