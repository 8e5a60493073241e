"""Each check of notifiers catches the notifier that was broken for it, and a good one passes them all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from talkwire.model import Notification
from talkwire.notifier import Notifier, NotifierFeatures, Suppressed, Told
from talkwire.testing import NOTIFIER_CHECKS, Counterpart, Failure, NotApplicable, conformance_tests
from tests.mutants.board import BOARD, DARK, SHORT, Board, BoardDown, BoardNotifier, DarkBoardNotifier, Note
from tests.mutants.broken_notifiers import MORE, MUTANTS, Mutant

BY_NAME = {check.__name__.removeprefix("check_"): check for check in NOTIFIER_CHECKS}

test_a_good_notifier_passes = conformance_tests(BOARD)
test_a_good_notifier_that_says_later_what_was_seen_passes = conformance_tests(DARK)


def test_there_are_twenty_checks_and_a_mutant_for_each() -> None:
    assert len(NOTIFIER_CHECKS) == len(MUTANTS) == 20


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("check", "mutant"),
    [*zip(NOTIFIER_CHECKS, MUTANTS, strict=True)],
    ids=[mutant.case.notifier.__name__ for mutant in MUTANTS],
)
async def test_the_check_catches_its_mutant_and_says_what_to_do(check, mutant: Mutant) -> None:
    with pytest.raises(Failure) as caught:
        await check(mutant.case)
    failure = caught.value
    assert failure.method == f"{mutant.case.notifier.__name__}.{mutant.method}"
    assert mutant.sample in failure.sample
    assert mutant.remedy in failure.remedy
    for line in (failure.check, failure.method, failure.sample, failure.what, failure.remedy):
        assert line
        assert line in str(failure)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(("notifier", "check", "remedy"), MORE, ids=[one[0].__name__ for one in MORE])
async def test_other_ways_to_be_wrong_are_caught_too(notifier: type[Notifier], check: str, remedy: str) -> None:
    case = DARK if issubclass(notifier, DarkBoardNotifier) else BOARD
    with pytest.raises(Failure) as caught:
        await BY_NAME[check](replace(case, notifier=notifier, patience=SHORT))
    assert caught.value.method.startswith(notifier.__name__)
    assert remedy in caught.value.remedy


class Nothing(Notifier):
    type = "nothing"


class Mute(Counterpart):
    """A counterpart whose author wrote nothing."""


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "settings_refuse_unknown_keys"])
async def test_no_check_passes_where_there_is_nothing(name: str) -> None:
    with pytest.raises((Failure, NotApplicable)):
        await BY_NAME[name](replace(BOARD, notifier=Nothing, settings={}, point_at=lambda settings, _: settings))


async def test_a_counterpart_that_shows_nothing_is_named() -> None:
    with pytest.raises(Failure, match="Mute has no sights"):
        await BY_NAME["shown_is_said_of_what_can_be_seen"](
            replace(BOARD, counterpart=Mute, point_at=lambda settings, _: settings, notifier=Elsewhere)
        )


class Elsewhere(BoardNotifier):
    """Whatever it posts goes to nobody's board."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def post(self, name: str, note: Note) -> None: ...


class Bare(Board):
    """A board without fault knobs and buttons."""

    goes_down = Counterpart.goes_down
    refuses = Counterpart.refuses
    hangs = Counterpart.hangs
    recovers = Counterpart.recovers
    presses = Counterpart.presses
    reads = Counterpart.reads
    looks = Counterpart.looks


@pytest.mark.parametrize(
    ("check", "word"),
    [
        ("nothing_is_claimed_while_the_counterpart_is_down", "goes_down"),
        ("a_no_is_told_as_a_no", "refuses"),
        ("a_hanging_counterpart_holds_up_nobody", "hangs"),
        ("what_people_do_is_told", "no word"),
    ],
)
async def test_what_a_counterpart_has_no_word_for_is_skipped_with_its_name(check: str, word: str) -> None:
    with pytest.raises(NotApplicable, match=word):
        await BY_NAME[check](replace(BOARD, counterpart=Bare))


async def test_buttons_that_nobody_can_press_are_a_fault_of_the_case_unless_it_says_how_they_are_answered() -> None:
    check = BY_NAME["buttons_are_answered_once"]
    with pytest.raises(Failure, match=r"NotifierCase\.answers_elsewhere"):
        await check(replace(BOARD, counterpart=Bare))
    with pytest.raises(NotApplicable, match="by pigeon"):
        await check(replace(BOARD, counterpart=Bare, answers_elsewhere="by pigeon"))


class NobodyHome(BoardNotifier):
    """Nobody at the board is no fault: people look at it, or not."""

    async def deliver(self, notification: Notification) -> Told:
        try:
            await self.board.post(notification.id, self.note(notification))
        except BoardDown:
            return Suppressed("no_surface")
        return await super().deliver(notification)


async def test_nobody_there_may_be_no_fault_where_the_case_says_so() -> None:
    check = BY_NAME["nothing_is_claimed_while_the_counterpart_is_down"]
    case = replace(BOARD, notifier=NobodyHome)
    await check(replace(case, when_down="no_surface"))
    with pytest.raises(Failure, match=r"Suppressed\('no_surface'\)"):
        await check(case)


class SaysANumber(BoardNotifier):
    """By chance a year stands in it in which a notification of the kit lapses."""

    def note(self, notification: Notification) -> Note:
        note = super().note(notification)
        return replace(note, lines=(*note.lines, "No. 120318"))


async def test_what_looks_like_a_moment_by_chance_is_no_countdown() -> None:
    await BY_NAME["no_countdown_is_shown"](replace(BOARD, notifier=SaysANumber))


async def test_what_is_shown_twice_for_a_reason_is_skipped_with_the_reason() -> None:
    with pytest.raises(NotApplicable, match="the board has no names"):
        await BY_NAME["the_same_notification_shows_once"](replace(BOARD, doubles="the board has no names"))


class OnlyTells(BoardNotifier):
    features = NotifierFeatures(digests=True, withdraws=True)


async def test_a_notifier_that_only_tells_needs_no_buttons() -> None:
    with pytest.raises(NotApplicable, match=r"features\.actions is 0"):
        await BY_NAME["buttons_are_answered_once"](replace(BOARD, notifier=OnlyTells))
    await BY_NAME["shown_is_said_of_what_can_be_seen"](replace(BOARD, notifier=OnlyTells))


async def test_what_the_authors_counterpart_raises_is_named() -> None:
    class Breaks(Board):
        async def sights(self):
            raise LookupError("boom")

    with pytest.raises(Failure, match=r"Breaks\.sights") as caught:
        await BY_NAME["shown_is_said_of_what_can_be_seen"](replace(BOARD, counterpart=Breaks))
    assert "LookupError: boom" in caught.value.what
