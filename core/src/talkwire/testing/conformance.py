"""The twenty-three checks that a channel passes, and the twenty of a notifier, plain async functions over its case.

Each raises `Failure`, which names the method, the sample and the remedy, or `NotApplicable`, where its own
features say that there is nothing to check. For every check `tests/mutants/` has a broken plugin that it catches.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import fields
from typing import Any

from .case import Case
from .counterparts import NotifierCase
from .form import check_form
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
from .telling import (
    check_a_digest_shows_each,
    check_a_hanging_counterpart_holds_up_nobody,
    check_a_no_is_told_as_a_no,
    check_an_address_is_asked_for_where_it_is_needed,
    check_buttons_are_answered_once,
    check_it_opens_and_closes_again,
    check_no_countdown_is_shown,
    check_no_secret_and_no_text_in_logs_or_errors,
    check_nothing_is_claimed_while_the_counterpart_is_down,
    check_several_recipients_get_their_own,
    check_shown_is_said_of_what_can_be_seen,
    check_texts_arrive_as_texts,
    check_the_same_notification_shows_once,
    check_trouble_is_said_in_a_sentence,
    check_what_fits_the_limits_arrives_whole,
    check_what_people_do_is_told,
    check_what_was_handed_over_is_confirmed,
    check_withdraw_takes_it_away,
)
from .verdict import Failure, Judge, NotApplicable, said, valid_settings

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

Check = Callable[[Any], Awaitable[None]]  # of a `Case`, or of a `NotifierCase`


def _naming_the_place(check: Check) -> Check:
    """Make a failure of whatever the author's own functions raise where no check says anything better."""

    @functools.wraps(check)
    async def judged(case: Case | NotifierCase) -> None:
        check_form(case)
        try:
            valid_settings(case, Judge(_words(check), case))
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
                _words(check),
                code.co_qualname.rpartition("<locals>.")[2],
                f"{code.co_filename}:{code.co_firstlineno}",
                f"it raised {said(error)}",
                "correct this function, or what Case gives it; the traceback is above",
            ) from error

    return judged


def _words(check: Check) -> str:
    return getattr(check, "__name__", "").removeprefix("check_").replace("_", " ")


def _modules(case: Case | NotifierCase) -> set[str]:
    """Name the modules that the author wrote: those of the plugin, and of what the case calls."""
    if isinstance(case, NotifierCase):
        made = case.counterpart.__mro__ if isinstance(case.counterpart, type) else (case.counterpart,)
        return _foreign((*case.notifier.__mro__, *made, case.point_at))
    answers = [getattr(case.answers, one.name) for one in fields(case.answers)] if case.answers is not None else ()
    visit = case.sessions.visit if case.sessions is not None else None
    things = (*case.channel.__mro__, case.sign, case.polled, case.report, case.point_at, visit, *answers)
    return _foreign(things)


def _foreign(things: Iterable[Any]) -> set[str]:
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
_NOTIFIER_CHECKS: tuple[Check, ...] = (
    check_settings_refuse_unknown_keys,
    check_settings_hide_secrets,
    check_shown_is_said_of_what_can_be_seen,
    check_what_was_handed_over_is_confirmed,
    check_nothing_is_claimed_while_the_counterpart_is_down,
    check_a_no_is_told_as_a_no,
    check_the_same_notification_shows_once,
    check_withdraw_takes_it_away,
    check_texts_arrive_as_texts,
    check_what_fits_the_limits_arrives_whole,
    check_no_countdown_is_shown,
    check_an_address_is_asked_for_where_it_is_needed,
    check_several_recipients_get_their_own,
    check_a_digest_shows_each,
    check_buttons_are_answered_once,
    check_what_people_do_is_told,
    check_a_hanging_counterpart_holds_up_nobody,
    check_it_opens_and_closes_again,
    check_trouble_is_said_in_a_sentence,
    check_no_secret_and_no_text_in_logs_or_errors,
)
CHECKS = tuple(map(_naming_the_place, _CHECKS))
NOTIFIER_CHECKS = tuple(map(_naming_the_place, _NOTIFIER_CHECKS))


def conformance_tests(case: Case | NotifierCase) -> Callable[..., Any]:
    """Make a pytest test of each check, for `tests/test_conformance.py`.

    Errors: `Failure` where the case cannot be judged: it is said once, and not by every check.
    """
    import pytest

    check_form(case)
    checks = NOTIFIER_CHECKS if isinstance(case, NotifierCase) else CHECKS
    names = [getattr(check, "__name__", "").removeprefix("check_") for check in checks]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("check", checks, ids=names)
    async def test_conformance(check: Check) -> None:
        __tracebackhide__ = True
        try:
            await check(case)
        except NotApplicable as reason:
            pytest.skip(str(reason))

    return test_conformance


__all__ = ["CHECKS", "NOTIFIER_CHECKS", "Check", "Failure", "NotApplicable", "conformance_tests"]
