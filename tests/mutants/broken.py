"""Twenty-three broken channels: Acme, or the lobby, with one thing wrong, in the order of the checks that must catch them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pydantic
from pydantic import SecretStr

from talkwire.channel import Channel, Payload, Settings, outcome
from talkwire.errors import NotSent, Rejected, SendError, TryLater, Uncertain, Unreadable
from talkwire.features import MediaFeature
from talkwire.formatting import render
from talkwire.model import (
    Draft,
    Envelope,
    Inbound,
    Item,
    Outgoing,
    Receipt,
    RenderContext,
    Rendered,
    Report,
    State,
    Unit,
)
from talkwire.testing import Case

from .acme import ACME, ALBUMS, ECHOING, EDITING, SHARED, AcmeChannel, AlbumAcme, EditingAcme, Event, SharedAcme
from .crowded import ClaimsWhoIsAway, NumbersAnew, ResumesWhatIsQueued, TellsEverybody, crowded


class LenientSettings(Settings):
    model_config = pydantic.ConfigDict(extra="ignore")
    url: str
    token: SecretStr
    secret: SecretStr


class TakesUnknownKeys(AcmeChannel):
    Settings = LenientSettings


class OpenSettings(Settings):
    url: str
    token: str  # an open secret
    secret: SecretStr


class ShowsItsToken(AcmeChannel):
    Settings = OpenSettings


class RejectsTheGenuine(AcmeChannel):
    def authenticate(self, envelope: Envelope) -> None:
        if "Hub-Signature" not in envelope.headers:  # another provider's header
            raise Rejected("unsigned")


class TrustsAnySignature(AcmeChannel):
    def authenticate(self, envelope: Envelope) -> None:
        if not envelope.headers.get("x-acme-signature", "").startswith("sha256="):
            raise Rejected("unsigned")


class ForgetsTheSender(AcmeChannel):
    def address(self, event: Event):
        return replace(super().address(event), value=event.sender)  # not E.164


class Remembers(AcmeChannel):
    def prepare(self) -> None:
        super().prepare()
        self.seen: set[str] = set()

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        for item in super().parse(envelope):
            if not isinstance(item, Inbound) or item.external_id not in self.seen:
                yield item
            if isinstance(item, Inbound):
                self.seen.add(item.external_id)


class NaiveTimes(AcmeChannel):
    def at(self, event: Event) -> datetime:
        return super().at(event).replace(tzinfo=None)


class TrustsTheJson(AcmeChannel):
    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            yield replace(item, text=value["text"]) if isinstance(item, Inbound) else item

    def parse(self, envelope: Envelope) -> Iterable[Item]:
        for value in json.loads(envelope.body)["events"]:
            yield from self.one(value)


class StrictEvent(Event):
    model_config = pydantic.ConfigDict(extra="forbid")


class FearsNews(AcmeChannel):
    def one(self, value: Any) -> Iterable[Item]:
        StrictEvent.read({**{k: v for k, v in value.items() if k != "from"}, "sender": value.get("from", "")})
        yield from super().one(value)


class AllOrNothing(AcmeChannel):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        try:
            yield from [item for value in json.loads(envelope.body)["events"] for item in self.one(value)]
        except Exception:
            raise Unreadable("something in the batch") from None


class CutsTexts(AcmeChannel):
    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        rendered = super().render(draft, context)
        return Rendered(rendered.parts[:1], rendered.degradations)  # the rest is lost, and nobody says so


class TriesAgain(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except Uncertain:
            return await super().send(out)


class CallsItTryLater(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except Uncertain as error:
            raise TryLater(str(error)) from error


class SwallowsCancellation(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except asyncio.CancelledError:
            raise Uncertain("interrupted") from None


class LogsTheToken(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        self.log.info("sending", headers={"Authorization": self.settings.token.get_secret_value()})
        return await super().send(out)


class ForgetsItsKey(AcmeChannel):
    """Its provider gives our key back, and nobody reads it."""


class NumbersItsAlbum(AlbumAcme):
    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            yield replace(item, group=item.external_id) if isinstance(item, Inbound) and item.group else item


class TakesTheFirstAccount(SharedAcme):
    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            yield replace(item, to="") if isinstance(item, Report) else item


class EditsAnew(EditingAcme):
    async def edit(self, out: Outgoing, external_id: str) -> Receipt:
        return await self.send(out)


def of(case: Case) -> Callable[[Any], Case]:
    """Give a case to the channel that was broken for it."""
    return lambda channel: replace(case, channel=channel)


@dataclass(frozen=True)
class Mutant:
    channel: type[Channel]
    method: str  # that the message must name
    sample: str  # … and a part of the sample
    remedy: str  # … and a part of the remedy
    of: Callable[[Any], Case] = lambda channel: replace(ACME, channel=channel)

    @property
    def case(self) -> Case:
        return self.of(self.channel)


MUTANTS = (
    Mutant(TakesUnknownKeys, "Settings", "kit_unknown", "extra='forbid'"),
    Mutant(ShowsItsToken, "Settings", "token", "SecretStr"),
    Mutant(RejectsTheGenuine, "authenticate", "a text", "Case.sign"),
    Mutant(TrustsAnySignature, "authenticate", "header x-acme-signature altered", "fail closed"),
    Mutant(ForgetsTheSender, "parse", "a text (acme.py, docstring)", "correct parse"),
    Mutant(Remembers, "parse", "a batch", "no memory"),
    Mutant(NaiveTimes, "parse", "a text", "UTC"),
    Mutant(TrustsTheJson, "parse", "a text", "Payload.read"),
    Mutant(FearsNews, "parse", "a new key in events.0", "leave unknown keys alone"),
    Mutant(AllOrNothing, "parse", "in events null before the others", "each(events"),
    Mutant(CutsTexts, "render", "a text of two and a half parts", "Degradation("),
    Mutant(TriesAgain, "send", "provider: reset_after_body", "one request a call"),
    Mutant(CallsItTryLater, "send", "provider: reset_after_body", "Uncertain"),
    Mutant(SwallowsCancellation, "send", "cancelled while the provider is silent", "CancelledError"),
    Mutant(LogsTheToken, "log", "everything above", "never put settings"),
    Mutant(ForgetsItsKey, "parse", "a report, before `send` had its answer", "Report(key=…)", of(ECHOING)),
    Mutant(NumbersItsAlbum, "parse", "a picture of an album", "the same Inbound.group", of(ALBUMS)),
    Mutant(TakesTheFirstAccount, "parse", "Case.samples", "set `to` on what is of another account", of(SHARED)),
    Mutant(EditsAnew, "edit", "another text", "external id", of(EDITING)),
    Mutant(ClaimsWhoIsAway, "send", "ann is away", 'raise Wait("recipient_offline")', crowded),
    Mutant(ResumesWhatIsQueued, "send", "three replies waited", "under one name, Outgoing.key", crowded),
    Mutant(NumbersAnew, "admit", "twice under one id", "Inbound.external_id", crowded),
    Mutant(TellsEverybody, "send", "a reply to ann, then one to bob", "own conversation only", crowded),
)


# --- more ways to be wrong, each caught by the check that is named ---------------------------------


class AuthenticatesNothing(AcmeChannel):
    def authenticate(self, envelope: Envelope) -> None:
        return


class TrustsTheLength(AcmeChannel):
    def authenticate(self, envelope: Envelope) -> None:
        if len(envelope.headers["x-acme-signature"]) != 71:
            raise Rejected("unsigned")


class SignsNoBody(AcmeChannel):
    """Takes a signature that was genuine for another body."""

    def authenticate(self, envelope: Envelope) -> None:
        from .acme import sign

        known = [sign(sample.raw()).headers["x-acme-signature"] for sample in ACME.samples]
        if envelope.headers.get("x-acme-signature") not in known:
            raise Rejected("unsigned")


class LooseSent(Payload):
    id: str = ""


class SwallowsDamage(AcmeChannel):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        try:
            events = json.loads(envelope.body)["events"]
        except Exception:
            return
        for value in events if isinstance(events, list) else []:
            try:
                yield from list(self.one(value))
            except Exception:
                continue


class ReadsTheClock(AcmeChannel):
    def at(self, event: Event) -> datetime:
        self.clock.now()
        return super().at(event)


class TakesTheTimeOfTheMachine(AcmeChannel):
    def at(self, event: Event) -> datetime:
        return datetime.now(UTC)


class MisspellsTheId(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        return replace(await super().send(out), external_id=out.address.value)


class ClaimsTooMuch(AcmeChannel):
    features = replace(AcmeChannel.features, reports=State.SENT)

    async def send(self, out: Outgoing) -> Receipt:
        return replace(await super().send(out), state=State.DELIVERED)


class ClaimsToBeRead(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        return replace(await super().send(out), state=State.READ)


class BelievesAnything(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        answer = await self.http.post(f"{self.settings.url}/v1/messages", json={"text": out.part.text})
        outcome(answer)
        return Receipt(external_id=LooseSent.read(answer.body).id if answer.body[:1] == b"{" else "")


class WrapsEverything(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except SendError as error:
            raise Uncertain(str(error)) from error


class CallsItNotSent(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except Uncertain as error:
            raise NotSent(str(error)) from error


class TellsTheBody(AcmeChannel):
    def one(self, value: Any) -> Iterable[Item]:
        try:
            yield from super().one(value)
        except Unreadable:
            raise Unreadable(f"cannot read {value}") from None


class TellsTheTokenInErrors(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except NotSent as error:
            raise NotSent(f"no way to {self.settings.url} with {self.settings.token.get_secret_value()}") from error


class Prints(AcmeChannel):
    async def probe(self) -> str:
        print(self.settings.secret.get_secret_value())  # noqa: T201  broken on purpose
        return "ok"


class HidesLostWords(AcmeChannel):
    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        rendered = super().render(draft, context)
        return Rendered(tuple(replace(part, text=part.text[:195] + "…") for part in rendered.parts))


class DropsAddresses(AcmeChannel):
    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        rendered = super().render(draft, context)
        return Rendered(tuple(replace(part, text=re.sub(r"https://shop\S*", "", part.text)) for part in rendered.parts))


class OverTheLimit(AcmeChannel):
    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        rendered = super().render(draft, context)
        return Rendered(tuple(replace(part, text=f"{'=' * 30}\n{part.text}") for part in rendered.parts))


class ForgetsWhen(AcmeChannel):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except TryLater as error:
            raise TryLater(str(error)) from error


class QuotesItsUrl(AcmeChannel):
    """Puts its token into the URL, which every library quotes in its errors, and passes such an error on."""

    async def send(self, out: Outgoing) -> Receipt:
        url = f"{self.settings.url}/bot{self.settings.token.get_secret_value()}/v1/messages"
        answer = await self.http.post(url, json={"to": out.address.value, "text": out.part.text, "ref": out.key})
        if answer.status != 201:
            raise Uncertain(f"{url} answered {answer.status}")
        return Receipt(external_id=str(answer.json()["id"]))


class TripsOverStrangers(AcmeChannel):
    """Looks for a handshake in whatever anybody sends."""

    def answer(self, envelope: Envelope) -> None:
        if json.loads(envelope.body).get("kind") == "hello":
            return


class ReportsAboutNothing(AcmeChannel):
    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one({"of": "?", **value}):
            yield replace(item, external_id=value.get("of", "")) if isinstance(item, Report) else item


class RendersNothing(AcmeChannel):
    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        super().render(draft, context)  # and no return


class RendersLater(AcmeChannel):
    async def render(self, draft: Draft, context: RenderContext) -> Rendered:
        return super().render(draft, context)


class SendsAtOnce(AcmeChannel):
    def send(self, out: Outgoing) -> Receipt:
        return Receipt(external_id="p1")


class AuthenticatesLater(AcmeChannel):
    async def authenticate(self, envelope: Envelope) -> None:
        self.check(envelope)


class AnswersLater(AcmeChannel):
    async def answer(self, envelope: Envelope) -> None:
        return None


class HasNoType(AcmeChannel):
    type = ""


class KnowsItsOwn(AcmeChannel):
    """Takes reports of what it has sent, and of nothing else."""

    def prepare(self) -> None:
        super().prepare()
        self.own: set[str] = {"p0"}

    async def send(self, out: Outgoing) -> Receipt:
        receipt = await super().send(out)
        self.own.add(receipt.external_id)
        return receipt

    def one(self, value: Any) -> Iterable[Item]:
        for item in super().one(value):
            if not isinstance(item, Report) or item.external_id in self.own:
                yield item


class CountsCharacters(AcmeChannel):
    """Its provider counts UTF-16 code units, and a character beyond the first 65,536 is two of them."""

    features = replace(AcmeChannel.features, unit=Unit.UTF16)

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        return render(draft, replace(self.features, unit=Unit.CHARACTERS), context)


class WritesLongCaptions(AcmeChannel):
    features = replace(
        AcmeChannel.features, media=(MediaFeature(types=("image/png",), limit=5_000_000, caption_limit=100),)
    )

    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        media = tuple(replace(one, caption_limit=200) for one in self.features.media)
        return render(draft, replace(self.features, media=media), context)


class OffersTooMuch(AcmeChannel):
    def render(self, draft: Draft, context: RenderContext) -> Rendered:
        return render(draft, replace(self.features, buttons=replace(self.features.buttons, most=50)), context)


MORE = (
    (KnowsItsOwn, "check_reports_overtake_the_receipt"),
    (CountsCharacters, "check_render_keeps_limits_and_loses_nothing_unsaid"),
    (WritesLongCaptions, "check_render_keeps_limits_and_loses_nothing_unsaid"),
    (OffersTooMuch, "check_render_keeps_limits_and_loses_nothing_unsaid"),
    (TripsOverStrangers, "check_damaged_envelopes_become_unread"),
    (ReportsAboutNothing, "check_damaged_envelopes_become_unread"),
    (RendersNothing, "check_render_keeps_limits_and_loses_nothing_unsaid"),
    (RendersLater, "check_genuine_envelopes_pass"),
    (SendsAtOnce, "check_send_makes_one_request_that_shows_something"),
    (SendsAtOnce, "check_send_can_be_cancelled"),
    (AuthenticatesLater, "check_genuine_envelopes_pass"),
    (AnswersLater, "check_genuine_envelopes_pass"),
    (HasNoType, "check_genuine_envelopes_pass"),
    (ForgetsWhen, "check_errors_map_to_what_the_caller_must_do"),
    (QuotesItsUrl, "check_no_secret_in_logs_or_errors"),
    (AuthenticatesNothing, "check_forged_envelopes_are_rejected"),
    (TrustsTheLength, "check_forged_envelopes_are_rejected"),
    (SignsNoBody, "check_forged_envelopes_are_rejected"),
    (SwallowsDamage, "check_damaged_envelopes_become_unread"),
    (ReadsTheClock, "check_parse_is_pure"),
    (TakesTheTimeOfTheMachine, "check_parse_is_pure"),
    (MisspellsTheId, "check_send_makes_one_request_that_shows_something"),
    (ClaimsToBeRead, "check_send_makes_one_request_that_shows_something"),
    (ClaimsTooMuch, "check_send_makes_one_request_that_shows_something"),
    (BelievesAnything, "check_errors_map_to_what_the_caller_must_do"),
    (WrapsEverything, "check_errors_map_to_what_the_caller_must_do"),
    (CallsItNotSent, "check_errors_map_to_what_the_caller_must_do"),
    (TellsTheBody, "check_no_secret_in_logs_or_errors"),
    (TellsTheTokenInErrors, "check_no_secret_in_logs_or_errors"),
    (Prints, "check_no_secret_in_logs_or_errors"),
    (HidesLostWords, "check_render_keeps_limits_and_loses_nothing_unsaid"),
    (DropsAddresses, "check_render_keeps_limits_and_loses_nothing_unsaid"),
    (OverTheLimit, "check_render_keeps_limits_and_loses_nothing_unsaid"),
)
