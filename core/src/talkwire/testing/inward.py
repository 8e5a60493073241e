"""The checks of the way in: answer, authenticate, parse, listen."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..channel import PLAIN_METHODS, Channel
from ..errors import Rejected
from ..model import Batch, Inbound, Item, Other, Unread
from . import damage
from .case import Case, Sample
from .forgery import forgeries
from .provider import Answers, FakeProvider, Provider, Reply, Seen
from .services import Lent
from .shapes import faults, naive_or_elsewhere, times
from .verdict import (
    PATIENCE,
    Failure,
    Judge,
    NotApplicable,
    alone,
    first_difference,
    kept,
    need_samples,
    no_faults,
    only_unread,
    opened,
    parsed,
    said,
    signed,
    sound,
    survived,
)

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too


async def check_genuine_envelopes_pass(case: Case) -> None:
    """What the provider made passes; what a poll fetches is what the provider has."""
    judge = Judge("genuine envelopes pass", case)
    features = case.channel.features
    _is_in_form(case, judge)
    if not features.listens and (case.polled is not None or case.channel.listen is not Channel.listen):
        raise judge.failure(
            "listen",
            "features",
            "features.listens is False, so nobody calls it, and nothing is fetched",
            "set features.listens=True, or leave out `listen` and Case.polled",
        )
    need_samples(case, judge)
    if features.listens and (case.polled is not None or case.speaks is not None):
        await _poll(case, judge)
    if not features.webhook:
        if features.listens and case.polled is None and case.speaks is None:
            raise judge.failure(
                "listen",
                "Case.polled",
                "features.webhook is False, and the case does not say how the provider answers a poll",
                "give Case.polled=(request, samples) → Reply, Case.speaks where it is not HTTP, or set features.webhook=True",
            )
        return
    async with alone(case) as lent:
        for sample in case.samples:
            envelope = case.genuine(sample)
            answered = lent.channel.answer(envelope)
            if sample.answer is not None:
                if answered is None or answered.body != sample.answer:
                    given = "nothing" if answered is None else repr(answered.body)
                    raise judge.failure(
                        "answer", sample, f"{given} instead of {sample.answer!r}", "answer the handshake as documented"
                    )
                continue
            if answered is not None:
                raise judge.failure(
                    "answer",
                    sample,
                    "it was taken for a handshake, so nothing of it is stored",
                    "return None unless the envelope is a handshake; for a handshake set Sample.answer",
                )
            try:
                let_in: object = lent.channel.authenticate(envelope)  # type: ignore[func-returns-value]
            except NotImplementedError:
                raise judge.failure(
                    "authenticate",
                    sample,
                    "it is not written, so everybody could write in the name of every customer",
                    "write authenticate with a helper of talkwire.auth, or set features.webhook=False",
                ) from None
            except Exception as error:
                raise judge.failure(
                    "authenticate",
                    sample,
                    f"a genuine envelope was not let in: {said(error)}",
                    "compare with Case.sign: the same secret, header, encoding and bytes (the raw body)",
                ) from error
            if let_in is not None:
                raise judge.failure(
                    "authenticate",
                    sample,
                    f"it gave {let_in!r}, and whatever gives something lets nobody in",
                    "raise Rejected, or give nothing",
                )


def _is_in_form(case: Case, judge: Judge) -> None:
    """Ask for what the core cannot do without, before anything is called."""
    for name in PLAIN_METHODS:
        if inspect.iscoroutinefunction(getattr(case.channel, name)):
            raise judge.failure(
                name, "the class", "it is `async def`, which is called and never awaited", f"write `def {name}`"
            )
    for sample in case.samples if case.channel.features.webhook else ():
        method, methods = sample.raw().method, case.channel.features.methods
        if method not in methods and not (method == "HEAD" and "GET" in methods):
            raise judge.failure(
                "features.methods",
                sample,
                f"it comes by {method}, and features.methods has {', '.join(sorted(methods))}: it would be answered 405",
                "name there each method by which the provider calls",
            )


def _waiting(case: Case, due: tuple[Sample, ...]) -> Provider:
    """Make a provider where these samples wait to be fetched."""
    base = case.answers or Answers(accept=lambda _seen, _id: Reply())
    if case.speaks is not None:
        return case.speaks(base, due)
    polled = case.polled
    assert polled is not None  # asked for above

    def harmless(seen: Seen) -> Reply | None:
        return polled(seen, due) or base.harmless(seen)

    return FakeProvider(replace(base, harmless=harmless))


async def _poll(case: Case, judge: Judge) -> None:
    """Listen until the samples were fetched."""
    due = tuple(sample for sample in case.samples if sample.answer is None)
    wanted = [item for sample in due for item in sample.means]
    got: list[Item] = []
    async with _waiting(case, due) as provider, opened(case, provider, judge) as lent:
        listening = lent.channel.listen("")
        try:
            async with asyncio.timeout(PATIENCE):
                while len(got) < len(wanted):
                    batch: Any = await anext(listening)
                    if not isinstance(batch, Batch) or not batch.cursor:
                        raise judge.failure(
                            "listen",
                            "all samples",
                            "a batch without a cursor would be fetched again for ever",
                            "yield Batch(envelopes, cursor), the cursor being where to go on",
                        )
                    for envelope in batch.envelopes:
                        got += parsed(lent, envelope, judge, "all samples, polled")
        except (TimeoutError, StopAsyncIteration):
            raise judge.failure(
                "listen",
                "all samples",
                f"{len(got)} of {len(wanted)} items were fetched in {len(provider.requests)} requests, then nothing came",
                "ask the provider at the URL of the settings, and give one envelope for each event",
            ) from None
        except Failure:
            raise
        except Exception as error:
            raise judge.failure(
                "listen", "all samples", f"it raised {said(error)}", "correct listen, or Case.polled"
            ) from error
        finally:
            close = getattr(listening, "aclose", None)
            if close is not None:
                await close()
        no_faults(provider, judge)
    difference = first_difference(got, wanted)
    if difference:
        raise judge.failure(
            "listen", "all samples, polled", difference, "give the provider's values unchanged as envelopes"
        )


async def check_forged_envelopes_are_rejected(case: Case) -> None:
    """What is unsigned or wrongly signed is rejected; so is altered content, where the provider signs it."""
    judge = Judge("forged, unsigned and altered envelopes are rejected", case)
    if not case.channel.features.webhook:
        raise NotApplicable("features.webhook is False: nobody can deliver anything")
    need_samples(case, judge)
    if case.sign is None:
        raise judge.failure(
            "authenticate",
            "Case.sign",
            "the case does not say how the provider makes an envelope genuine, so nothing can be forged",
            "give Case.sign=(envelope) → the same with its signature, token or peer's address",
        )
    async with alone(case) as lent:
        for sample in case.samples:
            if sample.answer is not None:
                continue
            for how, envelope in forgeries(sample.raw(), case.sign):
                try:
                    lent.channel.authenticate(envelope)
                except Rejected:
                    continue
                except Exception as error:
                    raise judge.failure(
                        "authenticate",
                        f"{sample}, {how}",
                        f"it raised {said(error)} instead of Rejected, so the sender is told 500 and tries again",
                        "use the helpers of talkwire.auth, or raise Rejected for whatever is missing or malformed",
                    ) from error
                raise judge.failure(
                    "authenticate",
                    f"{sample}, {how}",
                    "it was let in",
                    "raise Rejected unless the signature over the raw body is there and right; "
                    "the helpers of talkwire.auth fail closed",
                )


async def check_samples_parse_as_stated(case: Case) -> None:
    """Each sample gives exactly the items that the case states."""
    judge = Judge("samples parse as stated", case)
    need_samples(case, judge)
    if not any(isinstance(item, Inbound) for sample in case.samples for item in sample.means):
        raise judge.failure(
            "parse",
            "Case.samples",
            "no sample means an Inbound, so nothing shows that a message is understood",
            "add a sample of a customer's message with what it means",
        )
    async with alone(case) as lent:
        for sample in case.samples:
            if sample.answer is not None:
                continue
            items = parsed(lent, case.genuine(sample), judge, sample)
            difference = first_difference(items, sample.means)
            if difference:
                raise judge.failure(
                    "parse",
                    sample,
                    difference,
                    "correct parse, or Sample.means if the provider's documentation says so",
                )


async def check_parse_is_pure(case: Case) -> None:
    """The same envelope gives equal items at any time, in any order, from any instance: it can be replayed."""
    judge = Judge("parse is pure", case)
    need_samples(case, judge)
    samples = [sample for sample in case.samples if sample.answer is None]
    async with alone(case) as lent, alone(case) as other:
        first = {sample.name: parsed(lent, case.genuine(sample), judge, sample) for sample in samples}
        lent.services.clock.advance(timedelta(days=1))
        for sample in reversed(samples):
            envelope = case.genuine(sample)
            before = (dict(envelope.headers), envelope.query, envelope.body)
            again = parsed(lent, envelope, judge, sample)
            difference = first_difference(again, first[sample.name]) or first_difference(
                parsed(other, envelope, judge, sample), first[sample.name]
            )
            if difference:
                raise judge.failure(
                    "parse",
                    sample,
                    f"a second time it gave something else: {difference}",
                    "take everything from the envelope: no clock, no counter, no memory of other envelopes, no random id",
                )
            if before != (dict(envelope.headers), envelope.query, envelope.body):
                raise judge.failure("parse", sample, "it changed the envelope", "copy what you change")
            difference = first_difference(parsed(lent, kept(case, envelope), judge, sample), first[sample.name])
            if difference:
                raise judge.failure(
                    "parse",
                    sample,
                    f"of the envelope as it is kept it gave something else: {difference}",
                    "name what parse reads in features.kept_headers, and nothing that it reads in features.secret_query",
                )
        reads = lent.services.clock.reads + other.services.clock.reads
        if reads or lent.services.values or lent.services.admitted or lent.services.published or lent.services.woken:
            raise judge.failure(
                "parse",
                "all samples",
                "it read the clock, or kept, admitted, published or woke something",
                "parse only translates; use Envelope.received_at where the provider gives no time",
            )


async def check_times_are_aware_utc(case: Case) -> None:
    """Every moment in every item has a time zone, and it is UTC."""
    judge = Judge("times are aware UTC", case)
    need_samples(case, judge)
    async with alone(case) as lent:
        for sample in case.samples:
            if sample.answer is not None:
                continue
            for item in parsed(lent, case.genuine(sample), judge, sample):
                for where, moment in times(item):
                    wrong = naive_or_elsewhere(moment)
                    if wrong:
                        raise judge.failure(
                            "parse",
                            sample,
                            f"{where} {wrong}: {moment.isoformat()}",
                            "datetime.fromtimestamp(seconds, UTC), or fromisoformat(text).astimezone(UTC)",
                        )


async def check_damaged_envelopes_become_unread(case: Case) -> None:
    """Whatever is removed, nulled or of another type: `Unread` or sound items, never another exception."""
    judge = Judge("damaged envelopes become unread", case)
    need_samples(case, judge)
    async with alone(case) as lent:
        for sample in case.samples:
            if sample.answer is not None:
                continue
            silent, unread = "", False
            for damaged in damage.damaged(sample.raw()):
                where = f"{sample}, {damaged.how}"
                try:
                    lent.channel.answer(damaged.envelope)
                except Exception as error:
                    raise judge.failure(
                        "answer",
                        where,
                        f"it raised {said(error)}, and anybody may send that: nothing is authenticated yet",
                        "return None for whatever is no handshake",
                    ) from error
                items = survived(lent, signed(case, damaged.envelope), judge, where)
                for item in items:
                    for fault in faults(item):
                        raise judge.failure(
                            "parse",
                            where,
                            f"a damaged value came through: {fault}",
                            "read values with a Payload model, or convert them and raise Unreadable",
                        )
                unread = unread or any(isinstance(item, Unread) for item in items)
                silent = silent or ("" if items else damaged.how)
            if sample.means and silent and not unread:
                raise judge.failure(
                    "parse",
                    f"{sample}, {silent}",
                    "damage of every kind gave nothing at all, so a customer's message would be lost unseen",
                    "let Unreadable out, or give Unread(reason): it is kept, shown and can be replayed",
                )


async def check_unknown_kinds_are_survived(case: Case) -> None:
    """New keys change nothing; deliveries of kinds we do not know give nothing or `Unread`."""
    judge = Judge("unknown kinds are survived", case)
    need_samples(case, judge)
    async with alone(case) as lent:
        for sample in case.samples:
            if sample.answer is not None:
                continue
            known = parsed(lent, case.genuine(sample), judge, sample)
            for how, envelope in damage.with_news(sample.raw()):
                grown = survived(lent, signed(case, envelope), judge, f"{sample}, {how}")
                difference = first_difference(_without_raw(grown), _without_raw(known))
                if difference:
                    raise judge.failure(
                        "parse",
                        f"{sample}, {how}",
                        f"a key that the provider added changed the items: {difference}",
                        "leave unknown keys alone: Payload does, a model with extra='forbid' does not",
                    )
            value = damage.json_of(sample.raw())
            if isinstance(value, dict):
                strange = damage.with_json(sample.raw(), {"kit_unknown_kind": {"id": 1}})
                only_unread(
                    survived(lent, signed(case, strange), judge, f"{sample}, another kind"),
                    judge,
                    f"{sample}, another kind",
                )
        for sample in case.unknown:
            items = survived(lent, case.genuine(sample), judge, sample)
            if sample.means:
                difference = first_difference(items, sample.means)
                if difference:
                    raise judge.failure("parse", sample, difference, "correct parse, or Sample.means")
            else:
                only_unread(items, judge, sample)


def _without_raw(items: Iterable[Item]) -> tuple[Item, ...]:
    """Leave out what blocks keep as it came: what is new stands in it too."""
    return tuple(
        replace(one, blocks=tuple(replace(b, raw="") if isinstance(b, Other) else b for b in one.blocks))
        if isinstance(one, Inbound)
        else one
        for one in items
    )


async def check_one_bad_item_loses_no_other(case: Case) -> None:
    """A bad event in a batch becomes `Unread`; all the others of the batch come through."""
    judge = Judge("one bad item of a batch loses no other", case)
    need_samples(case, judge)
    found = False
    async with alone(case) as lent:
        for sample in case.samples:
            value = damage.json_of(sample.raw())
            if value is None or sample.answer is not None or not sample.means:
                continue
            whole = sound(parsed(lent, case.genuine(sample), judge, sample))
            for path in _batches(case, lent, sample, value, len(whole)):
                found = True
                events = damage.at(value, path)
                for how, batch in damage.with_bad_one(events):
                    where = f"{sample}, in {damage.dotted(path)} {how}"
                    envelope = damage.with_json(sample.raw(), damage.changed(value, path, batch))
                    items = sound(survived(lent, signed(case, envelope), judge, where))
                    lost = [item for item in whole if item not in items]
                    if lost:
                        raise judge.failure(
                            "parse",
                            where,
                            f"{len(lost)} of {len(whole)} good items were lost: {type(lost[0]).__name__} …",
                            "yield from each(events, self._one): what raises becomes Unread, the others go on",
                        )
    if not found:
        raise NotApplicable("no sample holds a list of events; if the provider sends batches, add a sample of one")


def _batches(case: Case, lent: Lent, sample: Sample, value: Any, whole: int) -> Iterator[damage.Path]:
    """Find lists of events: named by the case, or those without which items are missing and none is unread."""
    for path in [(), *damage.paths(value)]:
        events = damage.at(value, path)
        if not isinstance(events, list) or not events:
            continue
        if case.batches is not None:
            if any(damage.matches(path, pattern) for pattern in case.batches):
                yield path
            continue
        emptied = signed(case, damage.with_json(sample.raw(), damage.changed(value, path, [])))
        try:
            left = tuple(lent.channel.parse(emptied))
        except Exception:  # noqa: BLE001, S112  other checks judge that; such a list is no batch
            continue
        if len(sound(left)) < whole and not any(isinstance(item, Unread) for item in left):
            yield path
