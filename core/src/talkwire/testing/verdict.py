"""What all checks share: how they fail, how they open a channel, how they compare."""

from __future__ import annotations

import asyncio
import base64
import inspect
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote, quote_plus

import pydantic

from ..channel import Channel
from ..errors import Unreadable, in_our_words
from ..inbound import intake
from ..model import Envelope, Item, Unread
from .case import Case
from .provider import Provider
from .services import Lent, Logs, lend, secrets_of

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

PATIENCE = 5.0  # seconds that something which ought to be immediate may take; only broken channels wait so long
NOWHERE = "http://kit.invalid"  # (RFC 2606) for checks in which nothing may leave
SHORTEST = 8  # characters of a secret; shorter ones would be found by chance


class AnyCase(Protocol):
    """What the case of a channel and that of a notifier have in common."""

    @property
    def subject(self) -> Any: ...  # the class that is judged
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def secrets(self) -> tuple[str, ...]: ...
    @property
    def public(self) -> frozenset[str]: ...


class Failure(AssertionError):
    """A channel or a notifier does not do what it must."""

    def __init__(self, check: str, method: str, sample: str, what: str, remedy: str) -> None:
        self.check = check
        self.method = method  # `AcmeChannel.parse`
        self.sample = sample
        self.what = what
        self.remedy = remedy
        super().__init__(f"{check}\n  method: {method}\n  sample: {sample}\n  what:   {what}\n  remedy: {remedy}")


class NotApplicable(Exception):
    """This check has nothing to look at here; the text says why."""


class Judge:
    """Makes failures of one check."""

    def __init__(self, check: str, case: AnyCase) -> None:
        self._check = check
        self._name = case.subject.__name__

    def failure(self, method: str, sample: object, what: str, remedy: str) -> Failure:
        return Failure(self._check, f"{self._name}.{method}", str(sample), what, remedy)


def said(error: BaseException | None) -> str:
    return "nothing" if error is None else f"{type(error).__name__}: {error}"


def valid_settings(case: AnyCase, judge: Judge) -> pydantic.BaseModel:
    model: type[pydantic.BaseModel] = case.subject.Settings
    try:
        return model.model_validate(dict(case.settings))
    except pydantic.ValidationError as error:
        faults = (
            f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {in_our_words(one['msg'])}" for one in error.errors()
        )
        raise judge.failure(
            "Settings",
            "Case.settings",
            f"these settings are not valid: {'; '.join(faults)}",
            "give settings that work, as an account's or a plugin's table has them, without `channel`",
        ) from None


def takes_envelopes(case: Case) -> bool:
    return case.channel.features.webhook or case.channel.features.listens


def need_samples(case: Case, judge: Judge) -> None:
    if not case.samples and not takes_envelopes(case):
        raise NotApplicable(
            "features.webhook and features.listens are False: what comes in is admitted, and parsed by nobody"
        )
    if not case.samples:
        raise judge.failure(
            "parse",
            "Case.samples",
            "there is no sample",
            "add what the provider's documentation shows, with what it means",
        )


def planted_secrets(case: AnyCase, judge: Judge) -> tuple[str, ...]:
    secrets = (*secrets_of(valid_settings(case, judge)), *case.secrets)
    for secret in secrets:
        if len(secret) < 8:
            raise judge.failure(
                "Settings",
                "Case.settings",
                "a secret is so short that it would be found by chance",
                "give each secret in Case.settings a distinctive value of 8 characters or more",
            )
    return secrets


def forms_of(secret: str) -> tuple[str, ...]:
    return (secret, quote(secret, safe=""), quote_plus(secret), base64.b64encode(secret.encode()).decode())


@asynccontextmanager
async def alone(case: Case, logs: Logs | None = None) -> AsyncIterator[Lent]:
    """Lend to a channel whose provider is nowhere."""
    async with lend(case.channel, case.pointed_at(NOWHERE), logs=logs) as lent:
        yield lent


@asynccontextmanager
async def opened(case: Case, provider: Provider, judge: Judge, logs: Logs | None = None) -> AsyncIterator[Lent]:
    """Lend to a channel whose provider is the fake one, and open it."""
    async with lend(case.channel, case.pointed_at(provider.url), logs=logs) as lent:
        try:
            async with asyncio.timeout(PATIENCE):
                await lent.channel.open()
        except Exception as error:
            raise judge.failure(
                "open",
                f"fake provider, after {', '.join(map(str, provider.requests)) or 'no request'}",
                f"it raised {said(error)}",
                "answer what `open` asks in Answers.harmless; the URL comes from Case.point_at",
            ) from error
        provider.shown.clear()
        try:
            yield lent
        finally:
            await lent.channel.close()


def no_faults(provider: Provider, judge: Judge) -> None:
    for fault in provider.faults:
        raise judge.failure(
            "send",
            f"request {provider.requests[-1]}",
            f"the case's own Answers raised {said(fault)}",
            "correct Case.answers: it must answer every request that `send` makes",
        ) from fault


def _items(lent: Lent, envelope: Envelope, judge: Judge, sample: object) -> tuple[Item, ...]:
    if type(lent.channel).parse is Channel.parse:
        remedy = "write `def parse(self, envelope)`, which yields what the envelope means"
        raise judge.failure("parse", "the class", "it is not written, so nothing that comes is understood", remedy)
    items: Any = lent.channel.parse(envelope)  # an author may have written `async def`
    if not isinstance(items, Iterable):
        if inspect.iscoroutine(items):
            items.close()
        raise judge.failure("parse", sample, "it gives no iterable", "a plain `def` that yields items")
    return tuple(items)


def parsed(lent: Lent, envelope: Envelope, judge: Judge, sample: object) -> tuple[Item, ...]:
    try:
        return _items(lent, envelope, judge, sample)
    except Failure:
        raise
    except Exception as error:
        raise judge.failure(
            "parse", sample, f"a genuine envelope raised {said(error)}", "correct parse, or the sample"
        ) from error


def survived(lent: Lent, envelope: Envelope, judge: Judge, sample: object) -> tuple[Item, ...]:
    """Parse what may be unreadable as a whole."""
    try:
        return _items(lent, envelope, judge, sample)
    except Failure:
        raise
    except Unreadable as error:
        return (Unread(str(error)),)
    except Exception as error:
        raise judge.failure(
            "parse",
            sample,
            f"it raised {said(error)}",
            "read with Payload.read and each(values, self._one), or raise Unreadable naming the place",
        ) from error


def signed(case: Case, envelope: Envelope) -> Envelope:
    return envelope if case.sign is None else case.sign(envelope)


def kept(case: Case, envelope: Envelope) -> Envelope:
    """Give what is stored of an envelope, and read at a replay."""
    headers, query = intake.kept(case.channel.features, envelope)
    return replace(envelope, headers=headers, query=tuple(query))


def sound(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if not isinstance(item, Unread)]


def only_unread(items: Sequence[Item], judge: Judge, sample: object) -> None:
    for item in sound(items):
        raise judge.failure(
            "parse",
            sample,
            f"a kind that the channel does not read became {type(item).__name__}",
            "give nothing for kinds without meaning to people, Unread for what might have one",
        )


def first_difference(items: Sequence[Item], wanted: Sequence[Item]) -> str:
    """Say where the first difference lies; empty: there is none."""
    for n, (one, other) in enumerate(zip(items, wanted, strict=False), 1):
        if one == other:
            continue
        if type(one) is not type(other) or not is_dataclass(one):
            return f"item {n} is {one!r} instead of {other!r}"
        return "; ".join(
            f"item {n}, {type(one).__name__}.{field.name} is {getattr(one, field.name)!r} "
            f"instead of {getattr(other, field.name)!r}"
            for field in fields(one)
            if getattr(one, field.name) != getattr(other, field.name)
        )
    if len(items) != len(wanted):
        odd = (*items[len(wanted) :], *wanted[len(items) :])[0]
        return f"{len(items)} items instead of {len(wanted)}: {odd!r} is {'too many' if len(items) > len(wanted) else 'missing'}"
    return ""


def all_words(error: BaseException | None) -> str:
    """Give all the words that a traceback would print of an error and what it came from."""
    words = []
    while error is not None:
        words += [str(error), repr(error), *getattr(error, "__notes__", ())]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(words)


def around(text: str, secret: str) -> str:
    """Give what stands before a secret, and not the secret."""
    form = next(form for form in forms_of(secret) if form in text)
    place = text.index(form)
    return (text[max(0, place - 40) : place] + "***").replace("\n", " ")
