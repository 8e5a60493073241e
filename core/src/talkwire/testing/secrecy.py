"""The check that no secret and no text of a person gets into logs, errors and records."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import Iterator
from dataclasses import replace

from ..model import Inbound, Unread
from . import damage
from .case import Case, Sample
from .forgery import forgeries
from .online import talked
from .outward import optional_steps, send_once, speaking
from .provider import Answers, accept, hang_after_acceptance, refuse, reset_after_body, truncated
from .services import Lent, Logs, lend
from .verdict import (
    PATIENCE,
    Judge,
    all_words,
    alone,
    around,
    forms_of,
    kept,
    need_samples,
    opened,
    planted_secrets,
    signed,
    takes_envelopes,
)

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too


async def check_no_secret_in_logs_or_errors(case: Case) -> None:
    """Through good and bad: no secret and no message's text in logs, output, errors, `repr` or records."""
    judge = Judge("no secret in logs or errors", case)
    if case.sessions is None or takes_envelopes(case):
        need_samples(case, judge)
    secrets = planted_secrets(case, judge)
    marker = "kitbodymarker0815"
    heard: list[tuple[str, str, str]] = []  # (method, sample, text)
    logs = Logs()
    with logs.listening(), contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        async with alone(case, logs) as lent:
            heard.append(("__repr__", "the channel", repr(lent.channel)))
            for sample in case.samples:
                heard += _parse_and_listen(case, lent, sample)
        if case.answers is not None:
            heard += await _send_and_listen(case, case.answers, logs, judge, marker)
        if case.sessions is not None:
            heard += await talked(case, judge, marker)
    for sample in case.samples:
        query = " ".join(value for _, value in kept(case, case.genuine(sample)).query)
        if any(form in query for secret in secrets for form in forms_of(secret)):
            raise judge.failure(
                "features",
                sample,
                "a secret in the query would be stored",
                "name its parameter in features.secret_query",
            )
    texts = [item.text for sample in case.samples for item in sample.means if isinstance(item, Inbound)]
    bodies = [text for text in {*texts, marker} if len(text) >= 8]
    heard += [("log", "everything above", line) for line in logs.lines]
    heard.append(("print", "everything above", out.getvalue()))
    for method, where, text in heard:
        for secret in secrets:
            if any(form in text for form in forms_of(secret)):
                raise judge.failure(
                    method,
                    where,
                    f"a secret (it ends in …{secret[-3:]}) is in: {around(text, secret)}",
                    "never put settings or URLs with tokens into texts; self.http redacts what it records",
                )
        for body in bodies:
            if body in text:
                raise judge.failure(
                    method,
                    where,
                    "a message's text is in a log, an error or a reason",
                    "name the place (`text: not a string`), never the content",
                )


def _parse_and_listen(case: Case, lent: Lent, sample: Sample) -> Iterator[tuple[str, str, str]]:
    """Parse good and bad envelopes, and give what was said about them."""
    raw = sample.raw()
    forged = list(forgeries(raw, case.sign))[:20] if case.sign is not None else []
    for how, envelope in (("", case.genuine(sample)), *forged):
        try:
            lent.channel.answer(envelope)
            lent.channel.authenticate(envelope)
        except Exception as error:  # noqa: BLE001  whatever it is, other checks judge it; here only its words count
            yield "authenticate", f"{sample} {how}", all_words(error)
    for one in damage.damaged(raw):
        try:
            for item in lent.channel.parse(signed(case, one.envelope)):
                if isinstance(item, Unread):
                    yield "parse", f"{sample}, {one.how}", item.reason
        except Exception as error:  # noqa: BLE001  as above
            yield "parse", f"{sample}, {one.how}", all_words(error)


async def _send_and_listen(
    case: Case, answers: Answers, logs: Logs, judge: Judge, marker: str
) -> list[tuple[str, str, str]]:
    """Send in every way that goes wrong, and give what was said about it."""
    heard: list[tuple[str, str, str]] = []
    steps = [accept(), refuse(), reset_after_body(), truncated()]
    steps += [hang_after_acceptance()] if case.speaks is None else []
    steps += [step for step, has in optional_steps(answers) if has is not None]
    out = case.outgoing(replace(case.part, text=f"{marker} {case.part.text}"))
    for step in steps:
        async with speaking(case, answers) as provider, opened(case, provider, judge, logs) as lent:
            provider.always(step)
            where = f"provider: {step.name}"
            _, failed = await send_once(lent, out, judge, step.name, provider)
            heard.append(("send", where, all_words(failed)))
            try:
                async with asyncio.timeout(PATIENCE):
                    heard.append(("probe", where, await lent.channel.probe()))
            except Exception as error:  # noqa: BLE001  only its words count
                heard.append(("probe", where, all_words(error)))
            heard += [("http", where, repr(record)) for record in lent.records]
            heard += [("exchange", where, repr(exchange.lines)) for exchange in lent.services.exchanges]
            heard += [("publish", where, repr(published)) for published in lent.services.published]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        async with lend(case.channel, case.pointed_at(f"http://127.0.0.1:{bound.getsockname()[1]}"), logs=logs) as lent:
            _, failed = await send_once(lent, out, judge, "refused connection")
            heard.append(("send", "provider: refuses the connection", all_words(failed)))
    return heard
