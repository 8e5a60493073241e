"""The channel passes the kit, over SMTP and IMAP, and the checks that only e-mail needs; each catches a channel that is broken for it."""

from __future__ import annotations

from typing import Any

import pytest

from talkwire.testing import CHECKS as KIT
from talkwire.testing import Failure, conformance_tests
from talkwire_email.channel import Email

from .case import case
from .checks import CHECKS
from .mutants import KIT_MUTANTS, MAIL_MUTANTS

KIT_BY_NAME = {check.__name__.removeprefix("check_"): check for check in KIT}
BY_NAME = {check.__name__.removeprefix("check_"): check for check in CHECKS}

test_conformance = conformance_tests(case())


@pytest.mark.parametrize("check", CHECKS, ids=[*BY_NAME])
async def test_the_channel_passes_what_only_e_mail_needs(check: Any) -> None:
    await check(Email)


@pytest.mark.parametrize(("mutant", "name"), MAIL_MUTANTS, ids=[one.__name__ for one, _ in MAIL_MUTANTS])
async def test_a_check_of_e_mail_catches_its_mutant(mutant: type[Email], name: str) -> None:
    with pytest.raises(AssertionError):
        await BY_NAME[name](mutant)


@pytest.mark.parametrize(("mutant", "name"), KIT_MUTANTS, ids=[one.__name__ for one, _ in KIT_MUTANTS])
async def test_a_check_of_the_kit_catches_its_mutant_over_smtp_and_imap(mutant: type[Email], name: str) -> None:
    with pytest.raises(Failure) as caught:
        await KIT_BY_NAME[name](case(mutant))
    assert caught.value.method.startswith(mutant.__name__)


def test_every_check_has_a_mutant() -> None:
    assert {name for _, name in MAIL_MUTANTS} == BY_NAME.keys()
