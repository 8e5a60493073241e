"""Twenty broken notifiers: the board's, with one thing wrong, in the order of the checks that must catch them."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pydantic
from pydantic import SecretStr

from talkwire.channel import Settings
from talkwire.errors import Refused, TryLater
from talkwire.model import Notification
from talkwire.notifier import Focus, Handed, NotifierFeatures, Shown, Suppressed, Told
from talkwire.testing import NotifierCase

from .board import BOARD, DARK, SHORT, BoardDown, BoardNotifier, DarkBoardNotifier, Note, ReadOnly


class LenientSettings(Settings):
    model_config = pydantic.ConfigDict(extra="ignore")
    url: str
    token: SecretStr


class TakesUnknownKeys(BoardNotifier):
    Settings = LenientSettings


class OpenSettings(Settings):
    url: str
    token: str  # an open secret


class ShowsItsToken(BoardNotifier):
    Settings = OpenSettings


class SaysShownAtOnce(BoardNotifier):
    """It posts when it comes round to it, and claims what is not there yet."""

    async def deliver(self, notification: Notification) -> Told:
        self.waiting = notification
        return Shown()


class ForgetsToConfirm(DarkBoardNotifier):
    async def lit(self, notification: str) -> None:
        self.log.debug("the light is on")


class ClaimsWhileDown(BoardNotifier):
    async def post(self, name: str, note: Note) -> None:
        try:
            await self.board.post(name, note)
        except BoardDown:
            self.log.warning("the board does not answer")
        except ReadOnly:
            raise Refused("the board is read-only") from None


class TriesForEver(BoardNotifier):
    async def post(self, name: str, note: Note) -> None:
        try:
            await self.board.post(name, note)
        except (BoardDown, ReadOnly):
            raise TryLater("the board does not take it") from None


class CountsItsNotes(BoardNotifier):
    """A name of its own for each call: after a crash the same notification hangs there twice."""

    named: ClassVar[dict[str, list[str]]] = {}

    async def deliver(self, notification: Notification) -> Told:
        names = self.named.setdefault(notification.id, [])
        names.append(f"{notification.id}/{len(names)}")
        await self.post(names[-1], self.note(notification))
        return Shown()

    async def withdraw(self, notification: Notification) -> None:
        for name in self.named.get(notification.id, []):
            await self.to_the_board(self.board.take_down(name))


class LeavesItHanging(BoardNotifier):
    async def withdraw(self, notification: Notification) -> None:
        await self.to_the_board(self.board.take_down(notification.title))  # by another name than `deliver`


class WritesHtml(BoardNotifier):
    def note(self, notification: Notification) -> Note:
        note = super().note(notification)
        return replace(note, lines=tuple(html.escape(line) for line in note.lines))


class CutsTexts(BoardNotifier):
    def note(self, notification: Notification) -> Note:
        note = super().note(notification)
        return replace(note, lines=tuple(line[:160] for line in note.lines))


class CountsDown(BoardNotifier):
    def note(self, notification: Notification) -> Note:
        note = super().note(notification)
        until = (f"until {notification.lapses_at:%H:%M}",) if notification.lapses_at else ()
        return replace(note, lines=(*note.lines, *until))


class NeedsAnAddress(BoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        if "@" not in self.recipient(notification).email:
            raise Refused("no e-mail address")
        return await super().deliver(notification)


class KeepsTheLast(BoardNotifier):
    """What it shows is kept in the notifier while it waits, where the next one writes it over."""

    async def deliver(self, notification: Notification) -> Told:
        self.current = notification
        await asyncio.sleep(0)
        return await super().deliver(self.current)


class ShowsTheFirst(BoardNotifier):
    async def digest(self, notifications: Sequence[Notification]) -> Told:
        return await super().digest(notifications[:1])


class DeafToButtons(BoardNotifier):
    async def pressed(self, notification: str, action: str) -> None:
        self.log.debug("pressed")


class CallsEverythingGone(BoardNotifier):
    async def looked(self, recipient: str, state: Focus) -> None:
        await self.focus(recipient, f"board:{recipient}", Focus.GONE)


class SwallowsCancellation(BoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        try:
            return await super().deliver(notification)
        except asyncio.CancelledError:
            raise TryLater("interrupted") from None


class OpensOnce(BoardNotifier):
    opened = False

    async def open(self) -> None:
        if self.opened:
            raise RuntimeError("it is open already")
        await super().open()
        self.opened = True


class CriesWolf(BoardNotifier):
    def trouble(self) -> str:
        return "" if self.board.way == "works" and not self.board.notes else "The board is full."


class LogsTheTitle(BoardNotifier):
    async def post(self, name: str, note: Note) -> None:
        self.log.info("posting", lines=note.lines[0])
        await super().post(name, note)


@dataclass(frozen=True)
class Mutant:
    """A broken notifier, and what the failure must say of it."""

    case: NotifierCase
    method: str
    sample: str
    remedy: str


def broken(
    notifier: type[BoardNotifier], method: str, sample: str, remedy: str, case: NotifierCase = BOARD, **changes: Any
) -> Mutant:
    """Put a broken notifier in the place of a good one."""
    return Mutant(replace(case, notifier=notifier, **changes), method, sample, remedy)


MUTANTS = (
    broken(TakesUnknownKeys, "Settings", "kit_unknown", "extra='forbid'"),
    broken(ShowsItsToken, "Settings", "token", "SecretStr"),
    broken(SaysShownAtOnce, "deliver", "a notification", "never before"),
    broken(ForgetsToConfirm, "shown", "somebody sees now", "self.shown(id)", DARK, patience=SHORT),
    broken(ClaimsWhileDown, "deliver", "out of reach", "TryLater"),
    broken(TriesForEver, "deliver", "no for ever", "Refused(reason)"),
    broken(CountsItsNotes, "deliver", "again", "notification.id"),
    broken(LeavesItHanging, "withdraw", "a notification", "same name"),
    broken(WritesHtml, "deliver", "markup", "as text and unchanged"),
    broken(CutsTexts, "deliver", "characters", "text_limit"),
    broken(CountsDown, "deliver", "lapses", "features.countdown"),
    broken(NeedsAnAddress, "deliver", "without an e-mail address", "features.needs_email"),
    broken(KeepsTheLast, "deliver", "5 recipients at once", "keep nothing of one notification"),
    broken(ShowsTheFirst, "digest", "three notifications", "by its title"),
    broken(DeafToButtons, "answered", "a button that is pressed", "self.answered", patience=SHORT),
    broken(CallsEverythingGone, "focus", "focused", "self.focus", patience=SHORT),
    broken(SwallowsCancellation, "deliver", "cancelled", "CancelledError"),
    broken(OpensOnce, "open", "open once more", "raise nothing"),
    broken(CriesWolf, "trouble", "everything works", "empty text"),
    broken(LogsTheTitle, "log", "everything above", "by its id"),
)


# --- other ways to be wrong ------------------------------------------------------------------------------


class ReturnsTrue(BoardNotifier):
    async def deliver(self, notification: Notification) -> Any:
        await super().deliver(notification)
        return True


class RaisesWhatItGets(BoardNotifier):
    async def post(self, name: str, note: Note) -> None:
        await self.board.post(name, note)


class GivesSentencesAsReasons(BoardNotifier):
    async def post(self, name: str, note: Note) -> None:
        await super().post(name, note)

    async def deliver(self, notification: Notification) -> Told:
        return Suppressed("Nobody is there.")


class CallsItShownInTheDark(DarkBoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        await super().deliver(notification)
        return Shown()


class ConfirmsAtOnce(DarkBoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        told = await super().deliver(notification)
        await self.shown(notification.id)
        return told


class ConfirmsUnasked(BoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        told = await super().deliver(notification)
        await self.shown(notification.id)
        return told


class LeavesATask(BoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        self.posting = asyncio.create_task(super().deliver(notification))
        return await asyncio.shield(self.posting)


class LeavesAListener(BoardNotifier):
    async def open(self) -> None:
        await super().open()
        self.listening = asyncio.create_task(asyncio.Event().wait())


class TakesAllDown(BoardNotifier):
    async def withdraw(self, notification: Notification) -> None:
        for name in list(self.board.notes):
            await self.to_the_board(self.board.take_down(name))


class MissesWhatIsGone(BoardNotifier):
    async def withdraw(self, notification: Notification) -> None:
        del self.board.notes[notification.id]


class WithdrawsUnasked(BoardNotifier):
    features = replace(BoardNotifier.features, withdraws=False)


class ShowsOneButton(BoardNotifier):
    def note(self, notification: Notification) -> Note:
        note = super().note(notification)
        return replace(note, buttons=note.buttons[:1])


class TellsTwice(BoardNotifier):
    async def pressed(self, notification: str, action: str) -> None:
        await self.answered(notification, action)
        await super().pressed(notification, action)


class FailsWhenItLoses(BoardNotifier):
    async def pressed(self, notification: str, action: str) -> None:
        await self.answered(notification, action)


class TellsEverybody(BoardNotifier):
    def note(self, notification: Notification) -> Note:
        return replace(super().note(notification), recipient="kit-ana")


class SaysHandedWhileItHangs(BoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        self.posting = asyncio.create_task(super().deliver(notification))
        await asyncio.sleep(0)
        return Handed()


class CountsOnADesktop(BoardNotifier):
    features = NotifierFeatures(countdown=True, desktop=True)


class PromisesDigests(BoardNotifier):
    features = replace(BoardNotifier.features, digests=False)


class NamesTheTextInItsError(BoardNotifier):
    async def deliver(self, notification: Notification) -> Told:
        try:
            return await super().deliver(notification)
        except Refused:
            raise Refused(f"the board does not want {notification.text}") from None


class NamesItsTokenInItsTrouble(BoardNotifier):
    def trouble(self) -> str:
        if self.board.way == "works":
            return ""
        return f"The board does not answer to {self.settings.token.get_secret_value()}."


class CallsTroubleACoroutine(BoardNotifier):
    async def trouble(self) -> str:  # type: ignore[override]
        return ""


MORE = (
    (ReturnsTrue, "shown_is_said_of_what_can_be_seen", "return Shown()"),
    (RaisesWhatItGets, "nothing_is_claimed_while_the_counterpart_is_down", "TryLater"),
    (GivesSentencesAsReasons, "shown_is_said_of_what_can_be_seen", "small letters"),
    (CallsItShownInTheDark, "shown_is_said_of_what_can_be_seen", "Handed()"),
    (ConfirmsAtOnce, "what_was_handed_over_is_confirmed", "when the counterpart says"),
    (ConfirmsUnasked, "what_was_handed_over_is_confirmed", "features.confirms=True"),
    (LeavesATask, "a_hanging_counterpart_holds_up_nobody", "TaskGroup"),
    (LeavesAListener, "it_opens_and_closes_again", "end in close"),
    (TakesAllDown, "withdraw_takes_it_away", "take away this one"),
    (MissesWhatIsGone, "withdraw_takes_it_away", "raise TryLater"),
    (WithdrawsUnasked, "withdraw_takes_it_away", "features.withdraws=True"),
    (ShowsOneButton, "buttons_are_answered_once", "features.actions"),
    (TellsTwice, "buttons_are_answered_once", "each press once"),
    (FailsWhenItLoses, "buttons_are_answered_once", "correct the counterpart"),
    (TellsEverybody, "several_recipients_get_their_own", "self.recipient"),
    (SaysHandedWhileItHangs, "a_hanging_counterpart_holds_up_nobody", "wait for the counterpart"),
    (CountsOnADesktop, "no_countdown_is_shown", "features.countdown=False"),
    (PromisesDigests, "a_digest_shows_each", "or neither"),
    (NamesTheTextInItsError, "no_secret_and_no_text_in_logs_or_errors", "by its id"),
    (NamesItsTokenInItsTrouble, "no_secret_and_no_text_in_logs_or_errors", "never put settings"),
    (CallsTroubleACoroutine, "trouble_is_said_in_a_sentence", "plain def"),
)
