"""Broken channels: each is e-mail with one thing wrong, and is caught by the check beside it."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

from talkwire import (
    AccountBroken,
    Address,
    Batch,
    Envelope,
    Inbound,
    Item,
    NotSent,
    Original,
    Outgoing,
    Receipt,
    Refused,
    Report,
    SendError,
    State,
    TryLater,
    Uncertain,
)
from talkwire_email.channel import Email
from talkwire_email.inbox import Inbox
from talkwire_email.own import Own
from talkwire_email.postbox import Postbox
from talkwire_email.settings import Smtp


class _Rewrites(Email):
    """Changes a mail's bytes on their way out."""

    def prepare(self) -> None:
        super().prepare()
        channel = self

        class Rewriting(Postbox):
            async def _written(self, out: Outgoing, own: Own) -> Any:
                mail = await super()._written(out, own)
                return replace(mail, content=channel.rewritten(mail.content, out))

        self.postbox = Rewriting(self.settings, self)

    def rewritten(self, content: bytes, out: Outgoing) -> bytes:
        raise NotImplementedError


class WritesHtml(_Rewrites):
    def rewritten(self, content: bytes, out: Outgoing) -> bytes:
        return content.replace(b"text/plain", b"text/html", 1)


class NamesEachAttempt(_Rewrites):
    def rewritten(self, content: bytes, out: Outgoing) -> bytes:
        return re.sub(
            rb"(?im)^message-id:.*$", f"Message-ID: <{uuid.uuid4()}@shop.example>\r".encode(), content, count=1
        )


class ShowsBlindCopies(_Rewrites):
    def rewritten(self, content: bytes, out: Outgoing) -> bytes:
        return (f"Bcc: {out.recipient}\r\n".encode() if out.recipient else b"") + content


class HidesThatItIsAMachine(_Rewrites):
    def rewritten(self, content: bytes, out: Outgoing) -> bytes:
        return re.sub(rb"(?im)^auto-submitted:.*\r\n", b"", content)


class WantsAnswersAtTheBareAddress(_Rewrites):
    def rewritten(self, content: bytes, out: Outgoing) -> bytes:
        return re.sub(rb"\+[a-z2-7]{36}@", b"@", content)


class GivesEncryptionUp(Email):
    def prepare(self) -> None:
        super().prepare()
        plain = Smtp.model_construct(**{**self.settings.smtp.__dict__, "tls": "none"})
        self.postbox = Postbox(self.settings.model_copy(update={"smtp": plain}), self)


class DoubtsEverything(Email):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except SendError as error:
            raise Uncertain("something went wrong") from error


class ReadsAhead(Email):
    """Asks for the next batch before the one at hand is kept, which acknowledges it."""

    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        reading = super().listen(cursor)
        held = await anext(reading)
        async for batch in reading:
            yield held
            held = batch
        yield held


class Expunges(Email):
    """Clears the folder after itself, with the word that clears it of everybody's."""

    def prepare(self) -> None:
        super().prepare()

        class Clearing(Inbox):
            async def _settle(self, box: Any, name: str, places: Any) -> None:
                await super()._settle(box, name, places)
                await box._asked("EXPUNGE")

        self.inbox = Clearing(self.settings, self, largest=25 * 1024**2)


class ForgetsItsCursor(Email):
    def listen(self, cursor: str) -> AsyncIterator[Batch]:
        return super().listen("")


class NamesByUid(Email):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        for item in super().parse(envelope):
            yield replace(item, external_id=envelope.path) if isinstance(item, Inbound) else item


class NamesByMessageId(Email):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        for item in super().parse(envelope):
            yield replace(item, external_id=item.known_as) if isinstance(item, Inbound) else item


class TalksWithItself(Email):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        nobody = Address(kind="email", value="ann@correspondent.example")
        echo = Inbound(external_id=envelope.path, address=nobody, at=envelope.received_at)
        return tuple(super().parse(envelope)) or (echo,)


class BelievesOnlyStandardBounces(Email):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        items = tuple(super().parse(envelope))
        is_report = b"message/delivery-status" in envelope.body
        return items if is_report else tuple(item for item in items if not isinstance(item, Report))


class TakesADelayForTheEnd(Email):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        for item in super().parse(envelope):
            yield replace(item, state=State.FAILED) if isinstance(item, Report) else item


class TakesMachinesForPeople(Email):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        for item in super().parse(envelope):
            yield replace(item, automatic=False) if isinstance(item, Inbound) else item


class ShowsHypertextAsItCame(Email):
    def parse(self, envelope: Envelope) -> Iterable[Item]:
        came = Original(html=envelope.body.decode("latin-1"))
        for item in super().parse(envelope):
            yield replace(item, blocks=(came,)) if isinstance(item, Inbound) else item


MAIL_MUTANTS: tuple[tuple[type[Email], str], ...] = (
    (WritesHtml, "no_html_ever_goes_out"),
    (NamesEachAttempt, "the_message_id_is_the_key_at_every_attempt"),
    (ShowsBlindCopies, "a_blind_copy_is_in_no_mail"),
    (GivesEncryptionUp, "encryption_is_never_given_up"),
    (DoubtsEverything, "a_cut_before_the_mail_is_no_doubt"),
    (HidesThatItIsAMachine, "a_machines_mail_says_that_it_is_one"),
    (WantsAnswersAtTheBareAddress, "an_answer_is_known_without_any_reference"),
    (ReadsAhead, "nothing_is_settled_before_the_commit"),
    (Expunges, "no_mail_of_others_is_expunged"),
    (ForgetsItsCursor, "a_mail_comes_once"),
    (NamesByUid, "a_mail_comes_once"),
    (NamesByMessageId, "two_mails_of_one_message_id_are_two"),
    (TalksWithItself, "our_own_mail_is_no_message"),
    (BelievesOnlyStandardBounces, "a_failure_in_any_form_is_told_of_its_part"),
    (TakesADelayForTheEnd, "a_failure_in_any_form_is_told_of_its_part"),
    (TakesMachinesForPeople, "what_a_machine_writes_is_marked"),
    (ShowsHypertextAsItCame, "hypertext_is_shown_without_what_loads_or_runs"),
)


# --- for the kit's own checks, over SMTP and IMAP ------------------------------------------------------------


class SendsTwice(Email):
    async def send(self, out: Outgoing) -> Receipt:
        await super().send(out)
        return await super().send(out)


class TriesAgainAfterACut(Email):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except Uncertain as error:
            raise NotSent("the line broke") from error


class GivesUpWhereItShouldWait(Email):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except TryLater as error:
            raise Refused("the server said no") from error


class TriesForEver(Email):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except Refused as error:
            raise TryLater("the server said no") from error


class BlamesTheMailForThePassword(Email):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except AccountBroken as error:
            raise Refused("the server said no") from error


class SwallowsItsEnd(Email):
    async def send(self, out: Outgoing) -> Receipt:
        try:
            return await super().send(out)
        except BaseException as error:
            raise Uncertain("the line broke") from error


class LogsWhatItSends(Email):
    async def send(self, out: Outgoing) -> Receipt:
        self.log.info("sending", text=out.part.text)
        return await super().send(out)


class ClaimsDelivery(Email):
    async def send(self, out: Outgoing) -> Receipt:
        return replace(await super().send(out), state=State.READ)


class FetchesHeadersOnly(Email):
    async def listen(self, cursor: str) -> AsyncIterator[Batch]:
        async for batch in super().listen(cursor):
            cut = tuple(replace(one, body=one.body.partition(b"\r\n\r\n")[0]) for one in batch.envelopes)
            yield replace(batch, envelopes=cut)


KIT_MUTANTS: tuple[tuple[type[Email], str], ...] = (
    (SendsTwice, "send_makes_one_request_that_shows_something"),
    (ClaimsDelivery, "send_makes_one_request_that_shows_something"),
    (TriesAgainAfterACut, "errors_map_to_what_the_caller_must_do"),
    (GivesUpWhereItShouldWait, "errors_map_to_what_the_caller_must_do"),
    (TriesForEver, "errors_map_to_what_the_caller_must_do"),
    (BlamesTheMailForThePassword, "errors_map_to_what_the_caller_must_do"),
    (SwallowsItsEnd, "send_can_be_cancelled"),
    (LogsWhatItSends, "no_secret_in_logs_or_errors"),
    (FetchesHeadersOnly, "genuine_envelopes_pass"),
)
