"""The checks of `send`."""

from __future__ import annotations

import asyncio
import inspect
import socket
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..channel import Channel
from ..errors import AccountBroken, MarkupRefused, NotSent, Refused, TryLater, Uncertain, Unreadable, WindowShut
from ..model import Outgoing, Receipt, Report, State
from .case import Case, Sample
from .online import can_be_cancelled, shows_once
from .provider import (
    Answers,
    FakeProvider,
    Provider,
    Seen,
    Step,
    accept,
    busy,
    down,
    garbage_200,
    hang_after_acceptance,
    refuse,
    refuse_markup,
    reset_after_body,
    shut_window,
    truncated,
    unauthorised,
)
from .services import Lent, lend
from .shapes import misfits
from .stage import sessions_of
from .verdict import PATIENCE, Judge, NotApplicable, no_faults, opened, parsed, said

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

BUSY = 47  # seconds that the fake provider asks us to wait; a number that is found by no chance


async def check_send_makes_one_request_that_shows_something(case: Case) -> None:
    """However the provider answers, `send` shows a part at most once; reports come under its id or our key."""
    judge = Judge("send makes at most one request that shows something, and reports find it", case)
    if over_own_lines(case, judge):
        await shows_once(case, judge)
        return
    answers = answers_of(case, judge)
    steps = [accept(), refuse(), reset_after_body(), truncated()]
    steps += [step for step, has in optional_steps(answers) if has is not None]
    for step in steps:
        async with speaking(case, answers) as provider, opened(case, provider, judge) as lent:
            provider.always(step)
            receipt, error = await send_once(lent, case.outgoing(), judge, step.name)
            no_faults(provider, judge)
            if len(provider.shown) > 1:
                raise judge.failure(
                    "send",
                    f"provider: {step.name}",
                    f"{len(provider.shown)} requests that can show something: {', '.join(map(str, provider.shown))}",
                    "one request a call: the core tries again and knows what is safe. "
                    "Requests that show nothing are named in Answers.harmless",
                )
            if step.name != "accept":
                continue
            if receipt is None:
                raise judge.failure(
                    "send",
                    "provider: accept",
                    f"no receipt for a yes, but {said(error)}",
                    "return Receipt; if the provider's yes looks different, correct Case.answers.accept",
                )
            if not provider.shown:
                raise judge.failure(
                    "send",
                    "provider: accept",
                    "a receipt, and no request reached the provider",
                    "if `send` needs no HTTP, leave out Case.answers and say why in Case.sends_elsewhere",
                )
            await _report_finds(case, lent, provider, receipt, judge)


async def _report_finds(case: Case, lent: Lent, provider: Provider, receipt: Receipt, judge: Judge) -> None:
    features = case.channel.features
    if receipt.state not in (State.ACCEPTED, State.SENT, State.DELIVERED):  # the core takes any other for uncertain
        raise judge.failure(
            "send",
            "provider: accept",
            f"a receipt that says {receipt.state.word}",
            "raise where the provider said no; that a person read it, a Report says",
        )
    if receipt.state > features.reports:
        raise judge.failure(
            "send",
            "provider: accept",
            f"the receipt claims {receipt.state.word}, features.reports is {features.reports.word}",
            "claim no more than the provider said: ACCEPTED where its yes is only `we will try`",
        )
    if case.report is None:
        if features.reports > State.SENT:
            raise judge.failure(
                "parse",
                "Case.report",
                f"features.reports is {features.reports.word}, and the case shows no report",
                "give Case.report=(request, id) → Sample of the provider's report, or lower features.reports",
            )
        return
    external_id, seen = next(iter(provider.taken.items()))
    sample = report_of(case, seen, external_id, judge)
    reports = [item for item in parsed(lent, case.genuine(sample), judge, sample) if isinstance(item, Report)]
    if not reports:
        raise judge.failure("parse", sample, "it gave no Report", "correct parse, or Case.report")
    for report in reports:
        by_id = report.external_id != "" and report.external_id == receipt.external_id
        if not by_id and report.key != case.outgoing().key:
            raise judge.failure(
                "send",
                f"provider: accept, then {sample}",
                f"the report comes under external_id={report.external_id!r}, key={report.key!r}; "
                f"the receipt said {receipt.external_id!r}, our key is {case.outgoing().key!r}",
                "return the provider's id in Receipt.external_id, or let the provider give Outgoing.key back",
            )


def report_of(case: Case, seen: Seen, external_id: str, judge: Judge) -> Sample:
    """Make the provider's report about a part."""
    assert case.report is not None  # asked for by whoever calls
    sample: object = case.report(seen, external_id)
    if not isinstance(sample, Sample):
        what, remedy = f"it gave {type(sample).__name__} instead of Sample", "return Sample(name, body=…)"
        raise judge.failure("parse", "Case.report", what, remedy)
    return sample


async def check_errors_map_to_what_the_caller_must_do(case: Case) -> None:
    """Not sent, uncertain, later, refused, broken: each outcome is told as what it is."""
    judge = Judge("errors map to what the caller must do", case)
    if over_own_lines(case, judge):
        raise NotApplicable("parts go over connections of the channel's own: there is no answer that could be an error")
    answers = answers_of(case, judge)
    await _refused_connection(case, judge)
    doubtful: tuple[type[Exception], ...] = (Uncertain, TryLater) if case.channel.features.idempotent else (Uncertain,)
    rows: list[tuple[Step, tuple[type[Exception], ...], str]] = [
        (reset_after_body(), doubtful, "the provider may have it: let Uncertain out of self.http, never try again"),
        (truncated(), doubtful, "the provider may have it: let Uncertain out of self.http"),
        (refuse(), (Refused,), "call outcome(answer, table), with the provider's codes for `no` in the table"),
    ]
    if case.speaks is None:  # elsewhere nothing but a cancelled `send` ends a silence; that is another check's
        rows.append((hang_after_acceptance(), doubtful, "the provider may have it: let Uncertain out of self.http"))
    if answers.busy is not None:
        rows.append((busy(BUSY), (TryLater,), "call outcome(answer, table): 429 with Retry-After becomes TryLater"))
    if answers.unauthorised is not None:
        rows.append((unauthorised(), (AccountBroken,), "call outcome(answer, table): 401 becomes AccountBroken"))
    if answers.down is not None:
        rows.append((down(), doubtful, "call outcome(answer, table): 5xx becomes Uncertain, for it may have been sent"))
    if answers.markup is not None:
        remedy = "put the provider's code for it into the table as MarkupRefused: the core sends the plain text once"
        rows.append((refuse_markup(), (MarkupRefused,), remedy))
    if answers.shut is not None:
        remedy = (
            "put the provider's code for it into the table as WindowShut: the core closes the conversation's window"
        )
        rows.append((shut_window(), (WindowShut,), remedy))
    if answers.garbage is not None:
        remedy = "read the answer with Payload.read or answer.json(), and raise Uncertain where it makes no sense"
        rows.append((garbage_200(), (Uncertain, Unreadable), remedy))
    for step, wanted, remedy in rows:
        async with speaking(case, answers) as provider, opened(case, provider, judge) as lent:
            provider.always(step)
            receipt, error = await send_once(lent, case.outgoing(), judge, step.name, provider)
            no_faults(provider, judge)
            told = f"returned {receipt!r}" if error is None else f"raised {said(error)}"
            names = " or ".join(kind.__name__ for kind in wanted)
            if not isinstance(error, wanted):
                raise judge.failure("send", f"provider: {step.name}", f"it {told} instead of {names}", remedy)
            late = isinstance(error, TryLater) and error.after == timedelta(seconds=BUSY)
            if step.name == "busy" and not late and _tells_when(answers, provider):
                raise judge.failure(
                    "send",
                    f"provider: {step.name}, again after {BUSY} s",
                    f"{type(error).__name__}(after={getattr(error, 'after', None)})",
                    "pass on the provider's time: outcome does, retry_after(answer.headers) reads it",
                )


def _tells_when(answers: Answers, provider: Provider) -> bool:
    """Say whether this provider, when it is busy, tells for how long."""
    reply = answers.busy(provider.shown[-1], BUSY) if answers.busy is not None and provider.shown else None
    return reply is not None and str(BUSY) in f"{dict(reply.headers)} {reply.body!r}"


async def _refused_connection(case: Case, judge: Judge) -> None:
    with socket.socket() as bound:  # bound and not listening: connections are refused, and nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with lend(case.channel, case.pointed_at(url)) as lent:
            receipt, error = await send_once(lent, case.outgoing(), judge, "refused connection")
    if not isinstance(error, NotSent):
        told = f"returned {receipt!r}" if error is None else f"raised {said(error)}"
        raise judge.failure(
            "send",
            "provider: refuses the connection",
            f"it {told} instead of NotSent",
            "use self.http and let its NotSent out: nothing has left, so the core may safely try again",
        )


async def check_send_can_be_cancelled(case: Case) -> None:
    """A cancelled `send` ends at once and stays cancelled; the next one works."""
    judge = Judge("send can be cancelled", case)
    if over_own_lines(case, judge):
        await can_be_cancelled(case, judge)
        return
    answers = answers_of(case, judge)
    async with speaking(case, answers) as provider, opened(case, provider, judge) as lent:
        provider.will(hang_after_acceptance())
        sending = sending_of(lent, case.outgoing(), judge)
        await reached(provider, sending, judge)
        sending.cancel()
        done, _ = await asyncio.wait({sending}, timeout=PATIENCE)
        remedy = "let CancelledError through: except Exception does, release what you hold in finally"
        if not done:
            raise judge.failure("send", "cancelled while the provider is silent", "it went on", remedy)
        if not sending.cancelled():
            error = sending.exception()
            told = said(error) if error is not None else f"it returned {sending.result()!r}"
            raise judge.failure("send", "cancelled while the provider is silent", told, remedy)
        receipt, error = await send_once(lent, case.outgoing(), judge, "after a cancelled one")
        if receipt is None:
            raise judge.failure(
                "send",
                "after a cancelled one",
                f"the next one failed: {said(error)}",
                "release locks and state in finally",
            )


def over_own_lines(case: Case, judge: Judge) -> bool:
    if case.answers is not None or case.sends_elsewhere:
        return False
    try:
        sessions_of(case, judge)
    except NotApplicable:
        return False
    return True


def answers_of(case: Case, judge: Judge) -> Answers:
    if case.answers is not None:
        return case.answers
    if case.sends_elsewhere:
        raise NotApplicable(f"send makes no HTTP requests: {case.sends_elsewhere}")
    raise judge.failure(
        "send",
        "Case.answers",
        "the case does not say how the provider answers, so nothing can be sent",
        "give Case.answers=Answers(accept=(request, id) → Reply), or say in Case.sends_elsewhere where sending is tested",
    )


def optional_steps(answers: Answers) -> tuple[tuple[Step, object], ...]:
    return (
        (busy(BUSY), answers.busy),
        (unauthorised(), answers.unauthorised),
        (down(), answers.down),
        (garbage_200(), answers.garbage),
    )


def speaking(case: Case, answers: Answers) -> Provider:
    """Make the fake provider; polls find nothing while something is sent."""
    if case.speaks is not None:
        return case.speaks(answers, ())
    polled = case.polled
    if polled is None:
        return FakeProvider(answers)
    return FakeProvider(replace(answers, harmless=lambda seen: polled(seen, ()) or answers.harmless(seen)))


def sending_of(lent: Lent, out: Outgoing, judge: Judge) -> asyncio.Future[Receipt]:
    if type(lent.channel).send is Channel.send:
        remedy = "write `async def send(self, out)`, which makes one request and returns Receipt(…)"
        raise judge.failure("send", "the class", "it is not written, so no reply leaves", remedy)
    made: object = lent.channel.send(out)
    if not inspect.isawaitable(made):
        raise judge.failure("send", "any part", f"it gave a {type(made).__name__} at once", "write `async def send`")
    return asyncio.ensure_future(made)


async def send_once(
    lent: Lent, out: Outgoing, judge: Judge, how: str, provider: Provider | None = None
) -> tuple[Receipt | None, Exception | None]:
    """Send; where the provider is silent, end the time of the request."""
    sending = sending_of(lent, out, judge)
    try:
        if how == "hang_after_acceptance" and provider is not None:
            await reached(provider, sending, judge)
            lent.http.end_time()
        done, _ = await asyncio.wait({sending}, timeout=PATIENCE)
        if not done:
            raise judge.failure(
                "send",
                f"provider: {how}",
                f"it did not end within {PATIENCE:g} s",
                "use self.http, whose requests have a time-out",
            )
        if sending.cancelled():
            raise judge.failure("send", f"provider: {how}", "it cancelled itself", "raise a leaf of SendError instead")
        error = sending.exception()
        if error is not None:
            if not isinstance(error, Exception):
                raise error
            return None, error
        receipt = sending.result()
        if not isinstance(receipt, Receipt):
            raise judge.failure("send", f"provider: {how}", f"it returned {receipt!r}", "return Receipt(…) or raise")
        for fault in misfits(receipt, Receipt, "Receipt"):
            remedy = "state=State.…, and the provider's id as text: str(answer.json()[…])"
            raise judge.failure("send", f"provider: {how}", fault, remedy)
        return receipt, None
    finally:
        if not sending.done():
            sending.cancel()
            await asyncio.wait({sending}, timeout=PATIENCE)


async def reached(provider: Provider, sending: asyncio.Future[Receipt], judge: Judge) -> None:
    """Wait until the provider has a request that shows something."""
    arriving = asyncio.ensure_future(provider.arrived())
    try:
        both: set[asyncio.Future[Any]] = {arriving, sending}
        await asyncio.wait(both, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not arriving.done():
            # Taken before anything is raised: asyncio logs what nobody took, in the midst of pytest's report.
            error = sending.exception() if sending.done() and not sending.cancelled() else None
            no_faults(provider, judge)
            raise judge.failure(
                "send",
                "provider: silent",
                f"no request that shows something reached the provider ({said(error)})",
                "send to the URL of the settings; look at Case.point_at and Answers.harmless",
            )
    finally:
        arriving.cancel()
        if sending.done() is False and not arriving.done():
            sending.cancel()
