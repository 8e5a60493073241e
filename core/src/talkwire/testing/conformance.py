"""The fifteen checks that a channel passes, plain async functions over a `Case`.

Each raises `Failure`, which names the method, the sample and the remedy, or `NotApplicable`, where the channel's
own features say that there is nothing to check. For every check `tests/mutants/` has a broken channel that it catches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from .case import Case
from .inward import (
    check_damaged_envelopes_become_unread,
    check_forged_envelopes_are_rejected,
    check_genuine_envelopes_pass,
    check_one_bad_item_loses_no_other,
    check_parse_is_pure,
    check_samples_parse_as_stated,
    check_times_are_aware_utc,
    check_unknown_kinds_are_survived,
)
from .outward import (
    check_errors_map_to_what_the_caller_must_do,
    check_send_can_be_cancelled,
    check_send_makes_one_request_that_shows_something,
)
from .rendering import (
    check_render_keeps_limits_and_loses_nothing_unsaid,
)
from .secrecy import (
    check_no_secret_in_logs_or_errors,
)
from .settings_hold import (
    check_settings_hide_secrets,
    check_settings_refuse_unknown_keys,
)
from .verdict import Failure, NotApplicable

Check = Callable[[Case], Awaitable[None]]

CHECKS: tuple[Check, ...] = (
    check_settings_refuse_unknown_keys,
    check_settings_hide_secrets,
    check_genuine_envelopes_pass,
    check_forged_envelopes_are_rejected,
    check_samples_parse_as_stated,
    check_parse_is_pure,
    check_times_are_aware_utc,
    check_damaged_envelopes_become_unread,
    check_unknown_kinds_are_survived,
    check_one_bad_item_loses_no_other,
    check_render_keeps_limits_and_loses_nothing_unsaid,
    check_send_makes_one_request_that_shows_something,
    check_errors_map_to_what_the_caller_must_do,
    check_send_can_be_cancelled,
    check_no_secret_in_logs_or_errors,
)


def conformance_tests(case: Case) -> Callable[..., Any]:
    """Make a pytest test of each check, for `tests/test_conformance.py`."""
    import pytest

    names = [getattr(check, "__name__", "").removeprefix("check_") for check in CHECKS]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("check", CHECKS, ids=names)
    async def test_conformance(check: Check) -> None:
        __tracebackhide__ = True
        try:
            await check(case)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    return test_conformance


__all__ = ["CHECKS", "Check", "Failure", "NotApplicable", "conformance_tests"]
