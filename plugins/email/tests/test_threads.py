"""Mails through a whole hub, by what stands in them: which talk they find, what they bring, when a robot ends."""

import asyncio
from dataclasses import replace
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime

import pytest
import pytest_asyncio

from talkwire import Batch, Draft, Envelope, Original, Reply, Text, draft, hookimpl
from talkwire_email.channel import Email

from .smtpd import Server

ANN, BOB = "ann@example.org", "bob@example.org"
SETTINGS = """
[accounts.support]
channel = "email"
address = "support@example.test"
plus = {plus}
imap = {{ host = "127.0.0.1", tls = "none", password = "imap-password" }}
smtp = {{ host = "127.0.0.1", port = {port}, tls = "none" }}
"""


class Deaf(Email):
    """E-mail whose mailbox nobody reads: the tests bring the mails."""

    features = replace(Email.features, listens=False)


class Plugin:
    @hookimpl
    def register_channels(self):
        return [Deaf]


class Robot:
    @hookimpl
    def on_inbound_message(self, message, tx):
        tx.act(Reply(conversation=message.conversation, draft=draft("We got your mail.")))


class Office:
    """The hub, its mail server, and who writes."""

    def __init__(self, hub, server):
        self.hub, self.server = hub, server
        self._count = 0

    async def brings(self, *mails: EmailMessage) -> None:
        self._count += 1
        envelopes = tuple(
            Envelope(
                endpoint="support",
                method="MAIL",
                path=f"/INBOX/{self._count}{n}",
                headers={"content-type": "message/rfc822"},
                query=(),
                body=mail.as_bytes(),
                remote="imap.example.test",
                received_at=self.hub.clock.now(),
            )
            for n, mail in enumerate(mails)
        )
        served = self.hub.daemon.account("support")
        await self.hub.daemon.intake.admit_batch(served, Batch(envelopes, "cursor"))
        await self.hub.run_until_idle()

    def mail(self, text, *, sender=ANN, to="support@example.test", subject="My parcel", **headers):
        self._count += 1
        mail = EmailMessage(policy=policy.SMTP)
        mail["From"], mail["To"], mail["Subject"] = f"Somebody <{sender}>", to, subject
        mail["Date"] = format_datetime(self.hub.clock.now())
        mail["Message-ID"] = f"<{self._count}@{sender.partition('@')[2]}>"
        for name, value in headers.items():
            mail[name.replace("_", "-")] = value
        mail.set_content(text)
        return mail

    def answer(self, text, to, *, sender=ANN):
        """Answer a mail of ours as a mail program does."""
        headers = {"In_Reply_To": to["Message-ID"], "References": f"{to['References'] or ''} {to['Message-ID']}"}
        address = to["Reply-To"] or to["From"]
        subject = f"Re: {to['Subject'].removeprefix('Re: ')}"
        return self.mail(text, sender=sender, to=address, subject=subject, **headers)

    async def replies(self, said, talk=None):
        await self.hub.reply(
            talk or (await self.hub.conversations())[0], said if isinstance(said, Draft) else draft(said)
        )
        await self.hub.run_until_idle()
        return self.last

    @property
    def last(self):
        return BytesParser(policy=policy.default).parsebytes(self.server.taken[-1].content)


@pytest.fixture
def plus():
    """Whether answers come to an address with a token; a test says so by its parameter of this name."""
    return "true"


@pytest.fixture
def others():
    """Which plugins are on beside the channel; as above."""
    return {}


@pytest_asyncio.fixture
async def office(start_hub, plus, others):
    async with asyncio.timeout(20), Server().running() as server:
        settings = SETTINGS.format(port=server.port, plus=plus)
        hub = await start_hub(settings, plugins={"email": Plugin(), **others})
        await hub.run_until_idle()
        yield Office(hub, server)


@pytest.mark.parametrize("plus", ["false"])
async def test_without_tokens_the_names_of_mails_keep_them_one_talk(office):
    await office.brings(office.mail("Where is it?"))
    for n in range(2):
        ours = await office.replies(f"We look, {n}.")
        await office.brings(office.answer(f"And now, {n}?", ours))
    talk = await office.hub.conversation
    messages = await office.hub.messages(talk)
    assert (talk.last_n, [m.text for m in messages[-2:]]) == (5, ["We look, 1.", "And now, 1?"])
    assert all(theirs.reply_to == ours.id for ours, theirs in zip(messages[1::2], messages[2::2], strict=True))


async def test_a_mail_and_its_answer_in_one_batch_are_one_talk_whichever_comes_first(office):
    first = office.mail("Where is it?")
    second = office.mail("It is urgent.", In_Reply_To=first["Message-ID"])
    await office.brings(second, first)
    assert (await office.hub.conversation).last_n == 2


async def test_whoever_got_a_copy_answers_in_a_talk_of_their_own_with_the_same_thread(office):
    await office.brings(office.mail("Where is it?"))
    ours = await office.replies(Draft(blocks=(Text("We look."),), cc=(BOB,)))
    assert {mail.recipient for mail in office.server.taken} == {f"RCPT TO:<{ANN}>", f"RCPT TO:<{BOB}>"}
    await office.brings(office.answer("I know where it is.", ours, sender=BOB))
    talks = {talk.address.value: (talk.thread, talk.last_n) for talk in await office.hub.conversations()}
    assert talks[ANN][0] == talks[BOB][0]
    assert (talks[ANN][1], talks[BOB][1]) == (2, 1)


async def test_an_answer_keeps_the_whole_beside_what_is_new_and_brings_its_files(office):
    await office.brings(office.mail("Where is it?"))
    ours = await office.replies("We look.")
    mail = office.answer("Thank you.\n\nOn Monday Acme Support wrote:\n> We look.\n", ours)
    mail.add_attachment(b"%PDF-1.4 invoice", maintype="application", subtype="pdf", filename="../invoice.pdf")
    await office.brings(mail)
    last = (await office.hub.messages(await office.hub.conversation))[-1]
    found = await office.hub.daemon.hub.message(last.id)
    assert found.text == "Thank you."
    assert any(isinstance(block, Original) and "> We look." in block.text for block in found.blocks)
    assert await office.hub.rows("SELECT name, media_type, message_id FROM attachment") == [
        ("invoice.pdf", "application/pdf", last.id)
    ]


@pytest.mark.parametrize("others", [{"robot": Robot()}])
async def test_two_robots_stop_after_the_cap(office):
    """The other one hides that it is one, and answers each mail at once, in a thread of its own or not."""
    await office.brings(office.mail("I am away."))
    rounds = 0
    while len(office.server.taken) > rounds:
        rounds = len(office.server.taken)
        assert office.last["Auto-Submitted"].startswith("auto")
        await office.brings(office.answer("I am away.", office.last) if rounds % 2 else office.mail("I am away."))
    assert rounds == Email.features.automatic.count
    assert [fact.small["code"] for fact in await office.hub.facts("action.failed")] == ["automatic_cap"]
