"""The kit's verdict."""

from dataclasses import replace

import pytest

from talkwire.testing import NOTIFIER_CHECKS, Failure, HttpCounterpart, conformance_tests

from .case import case

test_conformance = conformance_tests(case)


class Speechless(HttpCounterpart):
    """A counterpart in which nobody has written `take`."""


async def test_what_the_counterpart_raised_is_not_the_notifiers_fault() -> None:
    check = next(one for one in NOTIFIER_CHECKS if one.__name__ == "check_shown_is_said_of_what_can_be_seen")
    with pytest.raises(Failure, match="the counterpart raised NotImplementedError: Speechless has no take") as caught:
        await check(replace(case, counterpart=Speechless))
    assert caught.value.sample.endswith("(Speechless.take)")
    assert caught.value.remedy.startswith("correct the counterpart")
