"""The checks that only e-mail needs, plain async functions over a channel: the kit's beside them look at what all channels share.

Each raises `AssertionError`, whose text says what is wrong. For every check `mutants.py` has a broken channel that it catches.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from talkwire import (
    AccountBroken,
    Batch,
    Buttons,
    Card,
    Draft,
    Inbound,
    NotSent,
    Option,
    Original,
    Outgoing,
    RenderContext,
    Report,
    SendError,
    State,
    Text,
    TryLater,
)
from talkwire.testing import Lent, Step, accept, lend
from talkwire_email.channel import Email
from talkwire_email.simulator import OURS, Office

from .case import ANN, KEY, PASSWORD, SAMPLES, TEXT, case, mail, point_at
from .provider import MAIL, MailProvider
from .samples import SAMPLES as WRITTEN

BOB = "bob@correspondent.example"
OTHER_KEY = "01940000-0000-7000-8000-00000000c0df"
WITHIN = 20.0  # seconds, in which anything here happens
RICH = Draft(
    subject="Your parcel",
    blocks=(
        Text(
            "# Where it is\n\nIt is **here**, see [the map](https://shop.example/map).\n\n| a | b |\n|---|---|\n| 1 | 2 |"
        ),
        Buttons(text="Shall we?", options=(Option("y", "Yes"), Option("n", "No"))),
        Card(title="A lamp", text="It is *blue*", options=(Option("b", "Buy"),)),
    ),
)


@asynccontextmanager
async def sending(channel: type[Email], provider: MailProvider, **more: Any) -> AsyncIterator[Lent]:
    """Open a channel at a provider of the kit."""
    async with provider:
        settings = dict(point_at(case(channel).settings, provider.url)) | more
        async with lend(channel, settings) as lent, asyncio.timeout(WITHIN):
            await lent.channel.open()
            try:
                yield lent
            finally:
                await lent.channel.close()


def provider() -> MailProvider:
    """Make a provider with nothing in its mailbox."""
    return MailProvider(MAIL, ())


def outgoing(channel: type[Email], **changes: Any) -> Outgoing:
    """Make what `send` is given."""
    return case(channel).outgoing(**changes)


def read(there: MailProvider, number: int = -1) -> EmailMessage:
    """Read a mail as it arrived."""
    found = message_from_bytes(there.shown[number].body, policy=default)
    assert isinstance(found, EmailMessage)
    return found


# --- out ---------------------------------------------------------------------------------------------------


async def check_no_html_ever_goes_out(channel: type[Email]) -> None:
    """CARD-04: whatever a draft holds, its mail is plain text."""
    async with sending(channel, there := provider()) as lent:
        made = lent.channel.render(RICH, RenderContext(account="kit", address=ANN))
        for part in made.parts:
            await lent.channel.send(outgoing(channel, part=part))
        for number in range(len(there.shown)):
            kinds = {part.get_content_type() for part in read(there, number).walk()}
            assert kinds == {"text/plain"}, f"a reply went out as {', '.join(sorted(kinds))}"
            text = read(there, number).get_content()
            assert "<" not in text, "markup of HTML is in the text"
        assert there.shown, "nothing was sent"


async def check_the_message_id_is_the_key_at_every_attempt(channel: type[Email]) -> None:
    """A second attempt is the same mail to whoever got the first; a report finds it by the ENVID."""
    async with sending(channel, there := provider()) as lent:
        receipts = [await lent.channel.send(outgoing(channel, attempt=attempt)) for attempt in (1, 2)]
        ids = {read(there, number)["Message-ID"] for number in range(2)}
        assert ids == {f"<{KEY}@shop.example>"}, f"two attempts at one part had the Message-IDs {sorted(ids)}"
        assert {one.external_id for one in receipts} == ids, "the receipt does not give the Message-ID"
        assert {seen.param("envid") for seen in there.shown} == {KEY}, "the ENVID is not the key"


async def check_a_blind_copy_is_in_no_mail(channel: type[Email]) -> None:
    """Who gets a blind copy gets the mail that all have, and stands nowhere in it."""
    async with sending(channel, there := provider()) as lent:
        await lent.channel.send(outgoing(channel))
        await lent.channel.send(outgoing(channel, key=OTHER_KEY, copy_of=KEY, recipient=BOB))
        first, second = there.shown
        assert second.path == BOB, f"the copy went to {second.path}"
        assert BOB.encode() not in first.body + second.body, "the blind copy's address is in the mail"
        assert read(there, 1)["Message-ID"] == read(there, 0)["Message-ID"], "the copy is another mail"


async def check_encryption_is_never_given_up(channel: type[Email]) -> None:
    """A server that offers no STARTTLS, where the account asks for it, hears neither password nor mail."""
    there = provider()
    async with there:
        settings = dict(point_at(case(channel).settings, there.url))
        settings["smtp"] = {**settings["smtp"], "tls": "starttls"}
        async with lend(channel, settings) as lent, asyncio.timeout(WITHIN):
            await lent.channel.open()
            try:
                await lent.channel.send(outgoing(channel))
            except (AccountBroken, NotSent, TryLater):
                pass
            except SendError as error:
                raise AssertionError(f"{type(error).__name__}, though nothing has left") from error
            else:
                raise AssertionError("the mail was sent without encryption")
            finally:
                await lent.channel.close()
    assert there.smtp.sign_ins == 0, "the password was sent without encryption"
    assert not there.shown, "the mail was sent without encryption"


async def check_a_cut_before_the_mail_is_no_doubt(channel: type[Email]) -> None:
    """A line that breaks before DATA has carried nothing: the mail is tried again, not called uncertain."""
    async with sending(channel, there := provider()) as lent:
        there.will(Step(name="cut_before", reply=MAIL_ACCEPTS))
        try:
            await lent.channel.send(outgoing(channel))
        except (NotSent, TryLater):
            pass
        except SendError as error:
            raise AssertionError(f"{type(error).__name__}, though nothing of the mail had left") from error
        there.will(accept())
        await lent.channel.send(outgoing(channel))
        assert there.shown, "the next mail did not go out"


MAIL_ACCEPTS: Callable[..., Any] = lambda answers, seen, name: answers.accept(seen, name)  # noqa: E731


async def check_a_machines_mail_says_that_it_is_one(channel: type[Email]) -> None:
    """RFC 3834: what a machine of ours says carries Auto-Submitted, so that no other answers it; a person's does not."""
    async with sending(channel, there := provider()) as lent:
        await lent.channel.send(outgoing(channel, automatic=True))
        await lent.channel.send(outgoing(channel, key=OTHER_KEY))
        said = [str(read(there, number).get("Auto-Submitted", "no")) for number in range(2)]
        assert said[0].startswith("auto-"), "an automatic answer does not say so"
        assert said[1] == "no", "a person's reply says that a machine wrote it"


async def check_an_answer_is_known_without_any_reference(channel: type[Email]) -> None:
    """An answer to the reply address finds its part, even where a program drops In-Reply-To and References."""
    async with sending(channel, there := provider()) as lent:
        await lent.channel.send(outgoing(channel))
        to = read(there).get("Reply-To") or read(there)["From"]
        came = TEXT.replace(f"To: {OURS}".encode(), f"To: {to}".encode())
        [item] = lent.channel.parse(replace(SAMPLES[0].raw(), body=came))
        assert isinstance(item, Inbound)
        assert KEY in item.follows, "it would open a new conversation"


# --- in ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """A channel that reads a simulated mailbox."""

    office: Office
    lent: Lent

    def listens(self, cursor: str = "") -> Any:
        return self.lent.channel.listen(cursor)

    def items(self, batch: Batch) -> list[Any]:
        return [item for envelope in batch.envelopes for item in self.lent.channel.parse(envelope)]


@asynccontextmanager
async def reading(channel: type[Email], **imap: Any) -> AsyncIterator[Reading]:
    """Open a channel at a simulated mailbox."""
    office = Office(password=PASSWORD, pause=0)
    await office.start()
    try:
        settings = office.settings()
        settings["imap"] |= imap
        async with lend(channel, settings) as lent, asyncio.timeout(WITHIN):
            await lent.channel.open()
            try:
                yield Reading(office, lent)
            finally:
                await lent.channel.close()
    finally:
        await office.stop()


async def full(listening: Any) -> Batch:
    """Wait for the next batch that holds something."""
    while not (batch := await anext(listening)).envelopes:
        pass
    assert isinstance(batch, Batch)
    return batch


async def check_nothing_is_settled_before_the_commit(channel: type[Email]) -> None:
    """What follows `yield` is the acknowledgement: until then a mail is neither marked nor moved, and comes again."""
    for taken, moves in (("seen", ""), ("move", "Done")):
        async with reading(channel, taken=taken, move_to=moves) as one:
            one.office.boxes.folder("Done")
            one.office.boxes.put(TEXT)
            listening = one.listens()
            await full(listening)
            early = [
                line for line in one.office.imap.commands if line.startswith(("UID STORE", "UID MOVE", "UID COPY"))
            ]
            assert not early, f"{early[0]}: the mail was {taken} before it was kept"
            await listening.aclose()  # the daemon dies before its commit
            assert (await full(one.listens())).envelopes, "the mail did not come again"


async def check_no_mail_of_others_is_expunged(channel: type[Email]) -> None:
    """What a person marked as deleted stays until that person lets it go; EXPUNGE and CLOSE would take it."""
    for offers in ("IMAP4rev1 IDLE UIDPLUS MOVE", "IMAP4rev1 IDLE UIDPLUS", "IMAP4rev1 IDLE"):
        async with reading(channel, taken="move", move_to="Done") as one:
            one.office.imap.offers = offers
            one.office.boxes.folder("Done")
            one.office.boxes.put(mail("Message-ID: <theirs@x.example>", body="theirs"), flags={"\\Deleted"})
            one.office.boxes.put(TEXT)
            listening = one.listens()
            await full(listening)
            await anext(listening)
            asked = [line for line in one.office.imap.commands if line.split()[0] in ("EXPUNGE", "CLOSE")]
            both = (*one.office.boxes.folder("INBOX").mails.values(), *one.office.boxes.folder("Done").mails.values())
            gone = not any(b"theirs@x" in kept.raw for kept in both)
            await listening.aclose()
            assert not asked, f"{asked[0]} was said at a server with {offers}"
            assert not gone, f"a mail that a person had marked is gone, at a server with {offers}"


async def check_a_mail_comes_once(channel: type[Email]) -> None:
    """From a cursor on only what is new comes, also over a line that breaks and by a mailbox that is numbered anew."""
    async with reading(channel) as one:
        gone = one.office.boxes.put(mail("Message-ID: <gone@x.example>", body="gone"))
        one.office.boxes.put(TEXT)
        listening = one.listens()
        first = await full(listening)
        second = await anext(listening)
        await listening.aclose()
        one.office.imap.kick()
        one.office.boxes.put(mail("Message-ID: <new@x.example>", body="new"))
        listening = one.listens(second.cursor or first.cursor)
        news = [item.known_as for item in one.items(await full(listening))]
        cursor = (await anext(listening)).cursor
        await listening.aclose()
        assert news == ["<new@x.example>"], f"after a cursor there came {news}"
        one.office.boxes.remove("INBOX", gone)  # so that all others get other numbers
        one.office.fault("rebuilt")
        listening = one.listens(cursor)
        again = one.items(await full(listening))
        await listening.aclose()
        names = {item.external_id for item in (*one.items(first), *again)}
        assert len(names) == len(again) + 1, (
            "a mailbox that is numbered anew gave its mails other names: they would be doubled"
        )


async def check_two_mails_of_one_message_id_are_two(channel: type[Email]) -> None:
    """The same mail by two ways is one; another mail that took its Message-ID is another."""
    async with lend(channel, case(channel).settings) as lent:

        def name(raw: bytes) -> str:
            [item] = lent.channel.parse(replace(SAMPLES[0].raw(), body=raw))
            return item.external_id

        came = name(TEXT)
        assert name(b"Received: by another way\r\nX-Spam: no\r\n" + TEXT) == came, "one mail by two ways is two"
        assert name(TEXT.replace(b"parcel", b"invoice")) != came, "two mails of one Message-ID are one"
        assert name(TEXT.replace(b"Ann Lee <ann@", b"Mallory <mal@")) != came, "anybody can take a mail's place"


# --- what a mail means -------------------------------------------------------------------------------------


async def parsed(channel: type[Email], *names: str) -> dict[str, list[Any]]:
    """Give what samples mean to a channel."""
    raw = {one.name: one.raw() for one in WRITTEN}
    async with lend(channel, case(channel).settings) as lent:
        return {name: list(lent.channel.parse(raw[name])) for name in names}


async def check_our_own_mail_is_no_message(channel: type[Email]) -> None:
    """A mail of ours that a list or a rule sends back is nobody's message: else we would talk with ourselves."""
    for name, items in (await parsed(channel, "own_return", "own_return_renamed")).items():
        assert not items, f"a mail of ours became {type(items[0]).__name__} ({name})"


async def check_a_failure_in_any_form_is_told_of_its_part(channel: type[Email]) -> None:
    """A bounce is a report on the part that it names, whatever server wrote it; a delay is no failure."""
    forms = ("postfix", "exchange", "exim", "gmail", "qmail", "yahoo")
    for name, items in (await parsed(channel, *(f"bounce_{form}" for form in forms))).items():
        told = [(item.key, item.state) for item in items if isinstance(item, Report)]
        assert told == [(KEY, State.FAILED)], f"a failure was told as {told} ({name})"
    [delay] = (await parsed(channel, "dsn_delayed"))["dsn_delayed"]
    assert delay.state < State.FAILED, "a delay was told as a failure"


async def check_what_a_machine_writes_is_marked(channel: type[Email]) -> None:
    """What says that a machine wrote it is automatic, so that none of ours answers it; what a person wrote is not."""
    for name, [item] in (await parsed(channel, "newsletter", "vacation", "complaint", "bounce_of_another")).items():
        assert item.automatic, f"a machine's mail is taken for a person's ({name})"
    for name, [item] in (await parsed(channel, "plain", "gmail_reply", "apple_inline", "forward")).items():
        assert not item.automatic, f"a person's mail is taken for a machine's ({name})"


async def check_hypertext_is_shown_without_what_loads_or_runs(channel: type[Email]) -> None:
    """What a page shows of a stranger's mail holds no script, no form, and nothing that loads from elsewhere."""
    refused = re.compile(r"<(script|style|form|input|iframe|link|meta)|\bon\w+\s*=|\bsrc=.(?!cid:)", re.IGNORECASE)
    for name, [item] in (await parsed(channel, "inline_picture", "newsletter", "gmail_reply")).items():
        [whole] = [block for block in item.blocks if isinstance(block, Original)]
        assert whole.html, f"the hypertext is gone ({name})"
        assert not refused.search(whole.html), f"{refused.search(whole.html)} is shown ({name})"


CHECKS: tuple[Callable[[type[Email]], Any], ...] = (
    check_no_html_ever_goes_out,
    check_the_message_id_is_the_key_at_every_attempt,
    check_a_blind_copy_is_in_no_mail,
    check_encryption_is_never_given_up,
    check_a_cut_before_the_mail_is_no_doubt,
    check_a_machines_mail_says_that_it_is_one,
    check_an_answer_is_known_without_any_reference,
    check_nothing_is_settled_before_the_commit,
    check_no_mail_of_others_is_expunged,
    check_a_mail_comes_once,
    check_two_mails_of_one_message_id_are_two,
    check_our_own_mail_is_no_message,
    check_a_failure_in_any_form_is_told_of_its_part,
    check_what_a_machine_writes_is_marked,
    check_hypertext_is_shown_without_what_loads_or_runs,
)
