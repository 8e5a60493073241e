"""The twenty-three checks that a channel passes, plain async functions over a `Case`.

Each raises `Failure`, which names the method, the sample and the remedy, or `NotApplicable`, where the channel's
own features say that there is nothing to check. For every check `tests/mutants/` has a broken channel that it catches.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import fields
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
from .joined import (
    check_a_shared_endpoint_names_its_accounts,
    check_changes_and_albums_point_at_messages,
    check_edit_replaces_in_place,
    check_reports_overtake_the_receipt,
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
from .sessions import (
    check_a_resend_is_no_duplicate,
    check_answers_follow_the_session,
    check_nothing_of_one_visitor_reaches_another,
    check_what_waited_arrives_in_order_once,
)
from .settings_hold import (
    check_settings_hide_secrets,
    check_settings_refuse_unknown_keys,
)
from .verdict import Failure, NotApplicable, said

Check = Callable[[Case], Awaitable[None]]


def _naming_the_place(check: Check) -> Check:
    """Make a failure of whatever the author's own functions raise where no check says anything better."""

    @functools.wraps(check)
    async def judged(case: Case) -> None:
        try:
            await check(case)
        except (Failure, NotApplicable):
            raise
        except Exception as error:
            own = _modules(case)
            frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
            frame = next((one for one in frames if one.f_globals.get("__name__") in own), None)
            if frame is None:
                raise  # a fault of the kit
            code = frame.f_code
            raise Failure(
                check.__name__.removeprefix("check_").replace("_", " "),
                code.co_qualname.rpartition("<locals>.")[2],
                f"{code.co_filename}:{code.co_firstlineno}",
                f"it raised {said(error)}",
                "correct this function, or what Case gives it; the traceback is above",
            ) from error

    return judged


def _modules(case: Case) -> set[str]:
    """Name the modules that the author wrote: those of the channel, and of what the case calls."""
    answers = [getattr(case.answers, one.name) for one in fields(case.answers)] if case.answers is not None else ()
    visit = case.sessions.visit if case.sessions is not None else None
    things = (*case.channel.__mro__, case.sign, case.polled, case.report, case.point_at, visit, *answers)
    named = {str(getattr(thing, "__module__", "")) for thing in things}
    return {name for name in named if name.partition(".")[0] not in ("talkwire", "builtins")}


_CHECKS: tuple[Check, ...] = (
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
    check_reports_overtake_the_receipt,
    check_changes_and_albums_point_at_messages,
    check_a_shared_endpoint_names_its_accounts,
    check_edit_replaces_in_place,
    check_answers_follow_the_session,
    check_what_waited_arrives_in_order_once,
    check_a_resend_is_no_duplicate,
    check_nothing_of_one_visitor_reaches_another,
)
CHECKS = tuple(map(_naming_the_place, _CHECKS))


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
