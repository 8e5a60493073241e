"""The checks of a notifier: what it says of a notification is true, whatever becomes of its counterpart."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import re
from collections.abc import Awaitable
from datetime import UTC, datetime

from ..errors import Refused, TryLater
from ..model import Detail, Notification
from ..notifier import Focus, Handed, Notifier, Shown, Suppressed
from . import trial_hub  # noqa: F401  loaded with the checks, and not while one of them runs
from .counterparts import NotifierCase, Sight
from .lent import NOBODY, RECIPIENTS
from .services import Logs
from .trial import Trial, on_trial, outcome_of
from .verdict import Judge, NotApplicable, all_words, around, forms_of, planted_secrets, said

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

# Whoever shows when something lapses shows it of both; that one of them stands in an id, in a port or is now, is chance.
_LAPSES = (datetime(2031, 7, 13, 4, 5, 6, tzinfo=UTC), datetime(2047, 11, 23, 19, 38, 47, tzinfo=UTC))
_TEXTS = (  # (what it is, title, text); a title is one line
    ("markup", "<b>Bold</b> & <i>so on</i>", "<script>alert(1)</script> **stars** _lines_ [link](x) &amp; `code`"),
    ("braces and percents", "{contact} %s {0} {{x}}", "%(name)s ${HOME} {notification} %d 100%"),
    ("several lines", "First line", "one\ntwo\n\nthree\r\nfour\ttab"),
    ("other writing", "早上好 שלום مرحبا", "😀👩‍👩‍👧 “quoted” naïve café \u202eturned\u202c €"),
    ("characters that end texts elsewhere", "before \x00after", "zero \x00byte \"quote\" \\back\\slash\x07 'single'"),
    ("what looks like headers", "Subject: x\r\nBcc: all@example.org", "\r\n.\r\nQUIT\r\n"),
)


async def check_shown_is_said_of_what_can_be_seen(case: NotifierCase) -> None:
    """`Shown` and `Handed` are said of what is at the counterpart, once, with all that belongs to it."""
    async with on_trial(case, Judge("shown is said of what can be seen", case)) as trial:
        details = (Detail("Customer", "kitdetail Dewi"), Detail("Order", "kitorder 4711"))
        one = await trial.notification(details=details)
        sight = await trial.took(one, "a notification")
        _all_there(trial, one, sight, "a notification with two details")
        if len(sight.buttons) > case.notifier.features.actions:
            raise trial.judge.failure(
                "features",
                "a notification",
                f"{len(sight.buttons)} buttons stand there, and features.actions is {case.notifier.features.actions}",
                "set features.actions to how many it shows",
            )
        another = await trial.notification()
        await trial.took(another, "another notification")
        if len(await trial.sights(one)) != 1:
            raise trial.judge.failure(
                "deliver",
                "another notification",
                "the one before is there no longer",
                "show each under a name of its own: notification.id",
            )


def _all_there(trial: Trial, one: Notification, sight: Sight, sample: str) -> None:
    seen = _plain(sight.words)
    pieces = [("title", one.title), ("text", one.text)]
    pieces += [("details", word) for detail in one.details for word in (detail.label, detail.value)]
    for what, text in pieces:
        if _plain(text) not in seen:
            raise trial.judge.failure(
                "deliver",
                sample,
                f"notification.{what} does not stand there whole",
                f"show notification.{what}, as text and unchanged; lower features.title_limit or text_limit to what fits",
            )


def _plain(text: str) -> str:
    """Give the words of a text; how lines break, what no screen shows, and what turns writing round is a medium's own."""
    shown = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\u2400\u2407\u202a-\u202e\u2066-\u2069]", "", text)
    return " ".join(shown.split())


async def check_what_was_handed_over_is_confirmed(case: NotifierCase) -> None:
    """Where `features.confirms`, `shown` is called once somebody can see what was handed over, and not before."""
    async with on_trial(case, Judge("what was handed over is confirmed", case)) as trial:
        one = await trial.notification()
        told = await trial.deliver(one, "a notification")
        if not case.notifier.features.confirms:
            if trial.services.are_shown:
                raise trial.judge.failure(
                    "features",
                    "a notification",
                    "it called shown, and features.confirms is False",
                    "set features.confirms=True, or return Shown() and call nothing",
                )
            raise NotApplicable("features.confirms is False: nobody hears whether it was seen")
        if isinstance(told, Shown):
            raise NotApplicable("deliver says Shown itself, here: nothing is left to be confirmed")
        if not isinstance(told, Handed):
            await trial.took(one, "a notification")
        if trial.services.are_shown:
            raise trial.judge.failure(
                "deliver",
                "a notification that was taken over, and that nobody sees yet",
                "shown was called before the counterpart confirmed",
                "call self.shown(id) when the counterpart says that it can be seen",
            )
        await _has(trial, "confirms", trial.counterpart.confirms(one.id), "a notification that was handed over")
        if not await trial.comes(lambda: one.id in trial.services.are_shown):
            raise trial.judge.failure(
                "shown",
                "a notification that somebody sees now",
                f"nothing told it within {trial.patience:g} s",
                "call self.shown(id) where the counterpart's word comes in, or set features.confirms=False",
            )


async def check_nothing_is_claimed_while_the_counterpart_is_down(case: NotifierCase) -> None:
    """Out of reach is `TryLater`, never `Shown`; when it is back, the same notification goes out."""
    async with on_trial(case, Judge("nothing is claimed while the counterpart is down", case)) as trial:
        await trial.took(await trial.notification(), "a notification before")
        one = await trial.notification()
        sample = "a counterpart that is out of reach"
        await _has(trial, "goes_down", trial.counterpart.goes_down(), sample)
        told = await trial.deliver(one, sample)
        right = told == Suppressed(case.when_down) if case.when_down else isinstance(told, TryLater)
        if not right:
            raise trial.judge.failure(
                "deliver",
                sample,
                f"it ended with {outcome_of(told)}",
                "raise TryLater(text) for what may pass: refused connections, time-outs, 5xx, 429 with its Retry-After; "
                "where nobody there is no fault, name the reason of Suppressed in NotifierCase.when_down",
            )
        with contextlib.suppress(TryLater):
            await trial.let("withdraw", _quiet(trial.notifier.withdraw(one)), sample, expected=(TryLater,))
        await _has(trial, "recovers", trial.counterpart.recovers(), "a counterpart that is back")
        await trial.took(one, "the same notification, when the counterpart is back")


async def check_a_no_is_told_as_a_no(case: NotifierCase) -> None:
    """What the counterpart will never take is `Refused` or `Suppressed` with a reason, and is not tried again."""
    async with on_trial(case, Judge("a no is told as a no", case)) as trial:
        sample = "a counterpart that says no for ever"
        await _has(trial, "refuses", trial.counterpart.refuses(), sample)
        told = await trial.deliver(await trial.notification(), sample)
        if not isinstance(told, Refused | Suppressed):
            raise trial.judge.failure(
                "deliver",
                sample,
                f"it ended with {outcome_of(told)}",
                "raise Refused(reason) for what will not change by itself, or return Suppressed(code) where it is on purpose",
            )
        await _has(trial, "recovers", trial.counterpart.recovers(), "a counterpart that takes again")
        await trial.took(await trial.notification(), "the next notification, which the counterpart takes")


async def check_the_same_notification_shows_once(case: NotifierCase) -> None:
    """Delivered again with the same id, as after a crash, it stands there once."""
    async with on_trial(case, Judge("the same notification shows once", case)) as trial:
        one = await trial.notification()
        await trial.took(one, "a notification")
        if case.doubles:
            raise NotApplicable(case.doubles)
        told = await trial.deliver(one, "the same notification again")
        found = await trial.sights(one)
        if not isinstance(told, Shown | Handed) or len(found) != 1:
            raise trial.judge.failure(
                "deliver",
                "the same notification again, as after a crash",
                f"it ended with {outcome_of(told)}, and stands there {len(found)} times",
                "give the counterpart notification.id as a key that replaces; if it has none, say why in "
                "NotifierCase.doubles and in the README",
            )


async def check_withdraw_takes_it_away(case: NotifierCase) -> None:
    """`withdraw` takes away what stands there and nothing else; of what is gone it is no error."""
    async with on_trial(case, Judge("withdraw takes it away", case)) as trial:
        features = case.notifier.features
        if not features.withdraws:
            if case.notifier.withdraw is not Notifier.withdraw:
                raise trial.judge.failure(
                    "features",
                    "withdraw",
                    "it is written, and features.withdraws is False, so that nobody calls it",
                    "set features.withdraws=True, or leave out withdraw",
                )
            raise NotApplicable("features.withdraws is False: what was shown stays")
        one, other = await trial.notification(), await trial.notification()
        await trial.took(one, "a notification")
        await trial.took(other, "another notification")
        gone = await trial.notification()
        for which, sample in ((one, "a notification"), (one, "one that is gone"), (gone, "one that never came")):
            await trial.let("withdraw", _quiet(trial.notifier.withdraw(which)), sample)
            if await trial.sights(which):
                raise trial.judge.failure(
                    "withdraw",
                    sample,
                    "it still stands there",
                    "take it away at the counterpart, by the same name under which deliver shows it",
                )
        if not await trial.sights(other):
            raise trial.judge.failure(
                "withdraw", "a notification", "another one went away", "take away this one: notification.id"
            )


async def check_texts_arrive_as_texts(case: NotifierCase) -> None:
    """Markup, braces, lines, emoji, NUL: whatever a customer wrote is read as they wrote it."""
    async with on_trial(case, Judge("texts arrive as texts", case)) as trial:
        for what, title, text in _TEXTS:
            one = await trial.notification()
            one = await trial.notification(title=f"{one.title} {title}", text=text, details=(Detail("Wrote", title),))
            sight = await trial.took(one, f"a notification with {what}")
            _all_there(trial, one, sight, f"a notification with {what}: {title!r}, {text!r}")


async def check_what_fits_the_limits_arrives_whole(case: NotifierCase) -> None:
    """The core cuts to the limits of the features; what they allow arrives to its last word."""
    async with on_trial(case, Judge("what fits the limits arrives whole", case)) as trial:
        features = case.notifier.features
        one = await trial.notification()
        longest = features.title_limit or 200
        title = f"{one.title} " + "word " * 1000
        title = title[: longest - 7].rstrip() + " kitend"
        limit = features.text_limit or 4000
        text = ("a parcel of words " * (limit // 18 + 1))[: limit - 7].rstrip() + " kitlast"[: max(0, min(8, limit))]
        one = await trial.notification(title=title[:longest], text=text[:limit])
        sight = await trial.took(one, f"a title of {len(one.title)} and a text of {len(one.text)} characters")
        _all_there(trial, one, sight, f"a title of {len(one.title)} and a text of {len(one.text)} characters")
        bare = await trial.notification(text="", actions=())
        await trial.took(bare, "a title alone, without text and buttons")


async def check_no_countdown_is_shown(case: NotifierCase) -> None:
    """When a notification lapses is shown only with `features.countdown`, and never on a desktop."""
    features = case.notifier.features
    judge = Judge("no countdown is shown", case)
    if features.countdown and features.desktop:
        raise judge.failure(
            "features",
            "countdown and desktop",
            "both are True, and a desktop never shows when something lapses",
            "set features.countdown=False",
        )
    if features.countdown:
        raise NotApplicable("features.countdown is True: the medium may show it")
    async with on_trial(case, judge) as trial:
        found: list[str] = []
        for lapses in _LAPSES:
            one = await trial.notification(lapses_at=lapses)
            sight = await trial.took(one, "a notification that lapses")
            here = [form for form in _forms_of(lapses) if form in f"{sight.words} {sight.raw}"]
            if not here:
                return
            found += here[:1]
        raise trial.judge.failure(
            "deliver",
            f"a notification that lapses at {_LAPSES[0].isoformat()}",
            f"{found[0]!r} stands there, and {found[1]!r} in one that lapses at {_LAPSES[1].isoformat()}",
            "pass on the fields that the medium shows, and not lapses_at; or set features.countdown=True",
        )


def _forms_of(moment: datetime) -> tuple[str, ...]:
    """Give how a moment may be written, with hours of the day and of its half."""
    return (f"{moment:%Y}", f"{moment:%H:%M}", f"{moment.hour % 12}:{moment:%M}", str(int(moment.timestamp())))


async def check_an_address_is_asked_for_where_it_is_needed(case: NotifierCase) -> None:
    """A recipient without an e-mail address gets theirs, or `features.needs_email` says that they cannot."""
    async with on_trial(case, Judge("an address is asked for where it is needed", case)) as trial:
        if case.notifier.features.needs_email:
            raise NotApplicable("features.needs_email is True: the core says no_address, and asks nobody")
        one = await trial.notification(recipient=NOBODY)
        told = await trial.deliver(one, "a recipient without an e-mail address")
        if isinstance(told, Suppressed):
            return  # nobody has connected for them
        if not isinstance(told, Shown | Handed) or not await trial.sights(one):
            raise trial.judge.failure(
                "deliver",
                "a recipient without an e-mail address",
                f"it ended with {outcome_of(told)}",
                "set features.needs_email=True, or do without the address",
            )


async def check_several_recipients_get_their_own(case: NotifierCase) -> None:
    """Several at once, to several people: each gets theirs, and nobody another's."""
    async with on_trial(case, Judge("several recipients get their own", case)) as trial:
        all_of_them = [await trial.notification(recipient=name) for name in RECIPIENTS]
        sample = f"{len(RECIPIENTS)} recipients at once"
        at_once = [asyncio.ensure_future(trial.deliver(one, sample)) for one in all_of_them]
        await asyncio.wait(at_once)
        for error in [error for task in at_once if (error := task.exception()) is not None]:  # each is asked for
            raise error
        done = [task.result() for task in at_once]
        for one, told in zip(all_of_them, done, strict=True):
            found = await trial.sights(one)
            whose = {sight.recipient for sight in found if sight.recipient} - {one.recipient}
            whose -= {trial.services.recipients[one.recipient].email}
            if whose or len(found) != 1 or not isinstance(told, Shown | Handed):
                raise trial.judge.failure(
                    "deliver",
                    f"{sample}, that of {one.recipient}",
                    f"it ended with {outcome_of(told)}, and stands there {len(found)} times"
                    + (f", for {', '.join(sorted(whose))}" if whose else ""),
                    "keep nothing of one notification in the notifier while another may be on its way; "
                    "show it to self.recipient(notification) alone",
                )


async def check_a_digest_shows_each(case: NotifierCase) -> None:
    """With `features.digests` several of one recipient go as one, and each can be read in it."""
    judge = Judge("a digest shows each", case)
    written = case.notifier.digest is not Notifier.digest
    if case.notifier.features.digests != written:
        raise judge.failure(
            "digest",
            "features.digests",
            f"it is {case.notifier.features.digests}, and digest is {'' if written else 'not '}written",
            "write digest and set features.digests=True, or neither",
        )
    if not written:
        raise NotApplicable("features.digests is False: each goes by itself")
    async with on_trial(case, judge) as trial:
        several = [await trial.notification() for _ in range(3)]
        told = await trial.digest(several, "three notifications of one recipient")
        for one in several:
            if not isinstance(told, Shown | Handed) or not await trial.sights(one):
                raise trial.judge.failure(
                    "digest",
                    "three notifications of one recipient",
                    f"it ended with {outcome_of(told)}, and {one.title!r} is not to be read there",
                    "name each of them, by its title",
                )


async def check_buttons_are_answered_once(case: NotifierCase) -> None:
    """A button pressed at the counterpart comes to `answered` once; that somebody else was first harms nobody."""
    async with on_trial(case, Judge("buttons are answered once", case)) as trial:
        if not case.notifier.features.actions:
            raise NotApplicable("features.actions is 0: it only tells")
        one = await trial.notification()
        sight = await trial.took(one, "a notification with buttons")
        if {action.id for action in one.actions} != set(sight.buttons):
            raise trial.judge.failure(
                "deliver",
                "a notification with buttons",
                f"of {', '.join(action.id for action in one.actions)} there stand: {', '.join(sight.buttons) or 'none'}",
                "show each of notification.actions, or lower features.actions; Sight.buttons has their ids",
            )
        if case.answers_elsewhere:
            raise NotApplicable(case.answers_elsewhere)
        action, services = one.actions[-1].id, trial.services
        try:
            await trial.ask("presses", trial.counterpart.presses(one.id, action), "a button that is pressed")
        except NotImplementedError:
            raise trial.judge.failure(
                "features",
                "Counterpart.presses",
                f"features.actions is {case.notifier.features.actions}, and the case does not say how a button is pressed",
                "write Counterpart.presses, or say in NotifierCase.answers_elsewhere how it is answered",
            ) from None
        if not await trial.comes(lambda: bool(services.are_answered)):
            raise trial.judge.failure(
                "answered",
                "a button that is pressed",
                f"nothing told it within {trial.patience:g} s",
                "call self.answered(id, action, surface) where the counterpart's word comes in",
            )
        for id_, pressed, surface in services.are_answered:
            if (id_, pressed) != (one.id, action) or not surface or len(services.are_answered) > 1:
                raise trial.judge.failure(
                    "answered",
                    f"the button {action} of {one.id}, pressed once",
                    f"it told {services.are_answered!r}",
                    "pass on each press once: self.answered(notification's id, action's id, surface)",
                )
        late = await trial.notification()
        await trial.took(late, "another notification with buttons")
        await trial.answer_elsewhere(late, action)
        await trial.ask("presses", trial.counterpart.presses(late.id, action), "a button that somebody pressed before")
        await trial.took(await trial.notification(), "the next notification, after an answer that came too late")


async def check_what_people_do_is_told(case: NotifierCase) -> None:
    """What was read comes to `seen`, how somebody looks to `focus`."""
    async with on_trial(case, Judge("what people do is told", case)) as trial:
        can = 0
        one = await trial.notification()
        await trial.took(one, "a notification")
        services = trial.services
        with contextlib.suppress(NotImplementedError):
            await trial.ask("reads", trial.counterpart.reads(one.id), "a notification that is read")
            can += 1
            if not await trial.comes(lambda: one.id in services.are_seen):
                raise trial.judge.failure(
                    "seen",
                    "a notification that is read",
                    f"nothing told it within {trial.patience:g} s",
                    "call self.seen(id) where the counterpart's word comes in",
                )
        with contextlib.suppress(NotImplementedError):
            for state in (Focus.FOCUSED, Focus.IDLE):
                await trial.ask("looks", trial.counterpart.looks(RECIPIENTS[0], state), f"a surface that is {state}")
                can += 1
                if not await trial.comes(functools.partial(_looks, services.looks, state)):
                    raise trial.judge.failure(
                        "focus",
                        f"a surface that is {state}",
                        f"it told {services.looks!r}",
                        "call self.focus(recipient, surface, state) at each change",
                    )
        if not can:
            raise NotApplicable("the counterpart has no word for what is read and looked at")


def _looks(looks: list[tuple[str, str, Focus]], state: Focus) -> bool:
    return bool(looks) and (looks[-1][0], looks[-1][2]) == (RECIPIENTS[0], state)


async def check_a_hanging_counterpart_holds_up_nobody(case: NotifierCase) -> None:
    """A `deliver` that is cut off ends at once, leaves nothing behind, and the next one works."""
    async with on_trial(case, Judge("a hanging counterpart holds up nobody", case)) as trial:
        one = await trial.notification()
        sample = "a counterpart that does not answer"
        await _has(trial, "hangs", trial.counterpart.hangs(), sample)
        hanging = trial.start(trial.notifier.deliver(one))
        reached = asyncio.ensure_future(trial.ask("reached", trial.counterpart.reached(), sample))
        try:
            await asyncio.wait((hanging, reached), return_when=asyncio.FIRST_COMPLETED)
            if not hanging.done():
                await reached
        finally:
            reached.cancel()
        if hanging.done():
            _claims_nothing(trial, hanging, sample)
        hanging.cancel()
        if not await trial.within(hanging):
            raise trial.judge.failure(
                "deliver",
                "cancelled while its counterpart does not answer",
                f"it does not end within {trial.patience:g} s",
                "let CancelledError through: except Exception does; release what you hold in finally",
            )
        if not hanging.cancelled():
            raise trial.judge.failure(
                "deliver",
                "cancelled while its counterpart does not answer",
                "the cancellation was swallowed",
                "let CancelledError through: except Exception does",
            )
        if left := await trial.rests():
            raise trial.judge.failure(
                "deliver",
                "cancelled while its counterpart does not answer",
                f"it leaves behind: {', '.join(left)}",
                "own each task that you start: a TaskGroup, or cancel it in finally",
            )
        await _has(trial, "recovers", trial.counterpart.recovers(), "a counterpart that answers again")
        told = await trial.deliver(one, "the same notification, when the counterpart answers again")
        found = await trial.sights(one)
        if not isinstance(told, Shown | Handed) or not found or (len(found) > 1 and not case.doubles):
            raise trial.judge.failure(
                "deliver",
                "the same notification, when the counterpart answers again",
                f"it ended with {outcome_of(told)}, and stands there {len(found)} times",
                "release locks and connections in finally; show under notification.id, which replaces",
            )


def _claims_nothing(trial: Trial, ended: asyncio.Task[object], sample: str) -> None:
    """Judge a `deliver` that did not wait for its counterpart. Errors: `NotApplicable` where it claims nothing."""
    error = ended.exception()
    if error is not None:
        raise trial.judge.failure(
            "deliver",
            sample,
            f"it ended with {said(error)}",
            "correct deliver, or Counterpart.hangs: it takes what comes, and says nothing",
        ) from error
    told = ended.result()
    confirmed_later = told == Handed() and trial.case.notifier.features.confirms
    if isinstance(told, Shown | Handed) and not confirmed_later:
        raise trial.judge.failure(
            "deliver",
            sample,
            f"it ended with {told!r} before its counterpart had said a word",
            "wait for the counterpart's word: Handed and Shown claim that it came",
        )
    raise NotApplicable("deliver waits for nobody: there is nothing to cut off")


async def check_it_opens_and_closes_again(case: NotifierCase) -> None:
    """`open` again is no error and doubles nothing; `close` ends what was begun; after both it works again."""
    async with on_trial(case, Judge("it opens and closes again", case)) as trial:
        await trial.let("open", _quiet(trial.notifier.open()), "open once more")
        await trial.took(await trial.notification(), "a notification, after a second open")
        if trial.hub is not None:
            return  # the core closes it
        await trial.let("close", _quiet(trial.notifier.close()), "close")
        if left := await trial.rests():
            raise trial.judge.failure(
                "close", "close", f"it leaves behind: {', '.join(left)}", "end in close what open and deliver began"
            )
        await trial.let("close", _quiet(trial.notifier.close()), "close once more")
        await trial.let("open", _quiet(trial.notifier.open()), "open after close")
        await trial.took(await trial.notification(), "a notification, after close and open")


async def check_trouble_is_said_in_a_sentence(case: NotifierCase) -> None:
    """`trouble` is empty while everything works, and says in words of a person what is wrong when it is."""
    async with on_trial(case, Judge("trouble is said in a sentence", case)) as trial:
        await trial.took(await trial.notification(), "a notification")
        said = _trouble(trial, "everything works")
        if said:
            raise trial.judge.failure(
                "trouble",
                "everything works",
                f"it says {said!r}",
                "return an empty text unless nothing can be shown now",
            )
        with contextlib.suppress(NotImplementedError):
            await trial.ask("goes_down", trial.counterpart.goes_down(), "a counterpart that is out of reach")
            await trial.deliver(await trial.notification(), "a counterpart that is out of reach")
            said = _trouble(trial, "a counterpart that is out of reach")
            if said and " " not in said.strip():
                raise trial.judge.failure(
                    "trouble",
                    "a counterpart that is out of reach",
                    f"it says {said!r}",
                    "say in a sentence what is wrong, and what to do: it stands in `talkwire status`",
                )


def _trouble(trial: Trial, sample: str) -> str:
    said: object = trial.notifier.trouble()
    if asyncio.iscoroutine(said):
        said.close()
    if not isinstance(said, str):
        raise trial.judge.failure(
            "trouble", sample, f"it gives {type(said).__name__}", "write a plain def that gives a text, and asks nobody"
        )
    trial.heard.append(("trouble", sample, said))
    return said


async def check_no_secret_and_no_text_in_logs_or_errors(case: NotifierCase) -> None:
    """Through good and bad: no secret, no title and no text in logs, output, errors, reasons and `repr`."""
    judge = Judge("no secret and no text in logs or errors", case)
    secrets = planted_secrets(case, judge)
    marker = "kitbodymarker0815"
    logs = Logs()
    heard: list[tuple[str, str, str]] = []
    with logs.listening(), contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        async with on_trial(case, judge, logs) as trial:
            heard = trial.heard
            heard.append(("__repr__", "the notifier", f"{trial.notifier!r} {trial.notifier}"))
            await _through_good_and_bad(trial, marker)
    heard += [("log", "everything above", line) for line in logs.lines]
    heard.append(("print", "everything above", out.getvalue()))
    for method, where, text in heard:
        for secret in secrets:
            if any(form in text for form in forms_of(secret)):
                raise judge.failure(
                    method,
                    where,
                    f"a secret (it ends in …{secret[-3:]}) is in: {around(text, secret)}",
                    "never put settings or URLs with tokens into texts; what a library logs, keep silent",
                )
        if marker in text:
            raise judge.failure(
                method,
                where,
                "the title, the text or a detail of a notification is in a log, an error or a reason",
                "name the notification by its id, never its content",
            )


async def _through_good_and_bad(trial: Trial, marker: str) -> None:
    async def one() -> Notification:
        made = await trial.notification()
        details = (Detail("Customer", f"{marker} Dewi"),)
        return await trial.notification(title=f"{made.title} {marker}", text=f"{marker} parcel", details=details)

    for way in ("recovers", "refuses", "goes_down"):
        with contextlib.suppress(NotImplementedError):
            if way != "recovers":
                await trial.ask(way, getattr(trial.counterpart, way)(), way)
            notification = await one()
            await trial.deliver(notification, f"a counterpart after {way}")
            _trouble(trial, way)
            try:
                await trial.let(
                    "withdraw", _quiet(trial.notifier.withdraw(notification)), way, expected=(TryLater, Refused)
                )
            except (TryLater, Refused) as error:
                trial.heard.append(("withdraw", way, all_words(error)))
    with contextlib.suppress(NotImplementedError):
        await trial.ask("recovers", trial.counterpart.recovers(), "recovers")  # so that it closes as usual


async def _quiet(doing: Awaitable[None]) -> None:
    await doing


async def _has(trial: Trial, method: str, doing: Awaitable[None], sample: str) -> None:
    """Ask the counterpart for what it may not have."""
    try:
        await trial.ask(method, _quiet(doing), sample)
    except NotImplementedError:
        raise NotApplicable(f"the counterpart has no {method}: nobody can say how that is") from None
