"""The kit: what tells an author what is wrong with a channel or a notifier, and what their tests stand on.

    # tests/case.py                                  # tests/test_conformance.py
    case = Case(channel=…, settings=…, samples=…)    test_conformance = conformance_tests(case)

Names are loaded when they are used, so that the pytest plugin costs nothing where nobody uses it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .case import Case, Drafted, Sample, with_header, with_param
    from .conformance import CHECKS, NOTIFIER_CHECKS, Failure, NotApplicable, conformance_tests
    from .counterparts import Counterpart, HttpCounterpart, NotifierCase, Sight
    from .lent import RECIPIENTS, LentMedium, lend_notifier
    from .provider import (
        Answers,
        FakeProvider,
        Provider,
        Reply,
        Seen,
        Step,
        accept,
        busy,
        deliver,
        down,
        garbage_200,
        hang_after_acceptance,
        in_disorder,
        refuse,
        refuse_markup,
        reset_after_body,
        says,
        shut_window,
        slow,
        truncated,
        unauthorised,
    )
    from .services import NOON, Lent, LentServices, Logs, TurnedClock, lend, secrets_of
    from .visitors import Sessions, Visitor

_WHERE = {
    "case": ("Case", "Drafted", "Sample", "with_header", "with_param"),
    "conformance": ("CHECKS", "NOTIFIER_CHECKS", "Failure", "NotApplicable", "conformance_tests"),
    "counterparts": ("Counterpart", "HttpCounterpart", "NotifierCase", "Sight"),
    "provider": (
        "Answers",
        "FakeProvider",
        "Provider",
        "Reply",
        "Seen",
        "Step",
        "accept",
        "busy",
        "deliver",
        "down",
        "garbage_200",
        "hang_after_acceptance",
        "in_disorder",
        "refuse",
        "refuse_markup",
        "reset_after_body",
        "says",
        "shut_window",
        "slow",
        "truncated",
        "unauthorised",
    ),
    "services": ("NOON", "Lent", "LentServices", "Logs", "TurnedClock", "lend", "secrets_of"),
    "lent": ("RECIPIENTS", "LentMedium", "lend_notifier"),
    "visitors": ("Sessions", "Visitor"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE[name]}", __name__), name)


__all__ = [
    "CHECKS",
    "NOON",
    "NOTIFIER_CHECKS",
    "RECIPIENTS",
    "Answers",
    "Case",
    "Counterpart",
    "Drafted",
    "Failure",
    "FakeProvider",
    "HttpCounterpart",
    "Lent",
    "LentMedium",
    "LentServices",
    "Logs",
    "NotApplicable",
    "NotifierCase",
    "Provider",
    "Reply",
    "Sample",
    "Seen",
    "Sessions",
    "Sight",
    "Step",
    "TurnedClock",
    "Visitor",
    "accept",
    "busy",
    "conformance_tests",
    "deliver",
    "down",
    "garbage_200",
    "hang_after_acceptance",
    "in_disorder",
    "lend",
    "lend_notifier",
    "refuse",
    "refuse_markup",
    "reset_after_body",
    "says",
    "secrets_of",
    "shut_window",
    "slow",
    "truncated",
    "unauthorised",
    "with_header",
    "with_param",
]
