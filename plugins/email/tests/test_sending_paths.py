"""Every path on which a reply can leave an e-mail account, on a whole hub, looked at where it arrives: plain text alone."""

import asyncio
import re
from email.message import EmailMessage

import pytest
import pytest_asyncio
from aiosmtpd.smtp import SMTP

from talkwire import (
    Accepted,
    Address,
    Alias,
    Buttons,
    Channel,
    Draft,
    Envelope,
    Features,
    Forward,
    Inbound,
    Media,
    Option,
    Policy,
    Receipt,
    Reply,
    SessionChange,
    SessionState,
    Template,
    Text,
    hookimpl,
)
from talkwire.account_states import resume

from .mailer import Plugin, read, text_of

ACCOUNT = """
[accounts.mail]
channel = "email"
address = "support@example.test"
name = "Acme Support"
signature = "Acme\\nJakarta"
imap = {{ host = "127.0.0.1", tls = "none", password = "imap-password-of-tests" }}
smtp = {{ host = "127.0.0.1", port = {port}, tls = "none" }}

[accounts.mail.templates.sent]
subject = "Parcel {{1}}"
text = "Dear **{{2}}**, parcel {{1}} is on its way: [track it](https://shop.example/{{1}})."
"""
RICH = "# Good news\n\nIt is **here**: <b>look</b> at [the map](https://shop.example/map).\n\n| a | b |\n|---|---|\n| 1 | 2 |"


class Sink:
    """The customers' server: remembers what arrives, and refuses what it is told to."""

    def __init__(self):
        self.mails = []  # (recipient, bytes as they came)
        self.refusals = []  # answers to the next recipients, in order

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802  aiosmtpd's name
        if self.refusals and (said := self.refusals.pop(0)):
            return said
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802  aiosmtpd's name
        self.mails += [(recipient, envelope.content) for recipient in envelope.rcpt_tos]
        return "250 2.0.0 Ok"


class Office:
    """A hub with an e-mail account, and its customers."""

    def __init__(self, hub, sink):
        self.hub, self.sink = hub, sink
        self._number = 0

    @property
    def channel(self):
        return self.hub.daemon.account("mail").channel

    async def hears(self, text="Where is it? <b>now</b>", subject="Parcel 12", html=""):
        """Let Ann write a mail that begins a conversation; gives the conversation."""
        self._number += 1
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "Ann Lee <ann@example.org>", "support@example.test", subject
        mail["Date"], mail["Message-ID"] = "Mon, 23 Nov 2026 11:00:00 +0000", f"<q{self._number}@example.org>"
        mail.set_content(text)
        if html:
            mail.add_alternative(html, subtype="html")
        before = {one.id for one in await self.hub.conversations()}
        await self.channel.admit(list(self.channel.parse(self._envelope(bytes(mail)))))
        await self.hub.run_until_idle()
        return next(one for one in await self.hub.conversations() if one.id not in before)

    def _envelope(self, body):
        return Envelope(
            endpoint="mail", method="MAIL", path=f"/INBOX/{self._number}", headers={"content-type": "message/rfc822"},
            query=(), body=body, remote="127.0.0.1", received_at=self.hub.clock.now(),
        )  # fmt: skip

    async def says(self, conversation, said, **how) -> Accepted:
        """Reply, and let it go out."""
        accepted = await self.hub.reply(conversation, said, **how)
        await self.hub.run_until_idle()
        return accepted

    def arrived(self, count=1):
        """Give the mails that arrived, each proved to be plain text and nothing else."""
        assert len(self.sink.mails) == count
        return [_plain(mail) for _, mail in self.sink.mails]


def _plain(mail):
    assert not re.search(rb"text/html|multipart/alternative|multipart/related", mail, re.IGNORECASE)
    parsed = read(mail)
    shown, *files = parsed.iter_parts() if parsed.is_multipart() else [parsed]
    assert (shown.get_content_type(), shown.get_param("format")) == ("text/plain", "flowed")
    assert all(one.get_content_disposition() == "attachment" for one in files)
    return parsed


async def _bytes(content):
    yield content


def _text(parsed):
    return text_of(parsed.get_body(("plain",))).replace(" \n", " ")


@pytest_asyncio.fixture
async def start_office(start_hub):
    """Lend a starter of offices."""
    loop = asyncio.get_running_loop()
    sink = Sink()
    server = await loop.create_server(
        lambda: SMTP(sink, hostname="mx.example.test", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]

    async def start(more="", **plugins):
        hub = await start_hub(ACCOUNT.format(port=port) + more, plugins={"email": Plugin(), **plugins})
        await hub.run_until_idle()
        return Office(hub, sink)

    yield start
    server.close()


@pytest_asyncio.fixture
async def office(start_office):
    """An office with nothing special."""
    return await start_office()


@pytest.mark.requirement("CARD-04")
async def test_a_typed_reply_arrives_as_plain_text(office):
    conversation = await office.hears(html="<p>Where is it? <b>now</b></p>")
    accepted = await office.says(
        conversation, Draft(blocks=(Text(RICH), Buttons(text="Good?", options=(Option("y", "Yes"),))))
    )
    (mail,) = office.arrived()
    assert (mail["To"], mail["Subject"]) == ("Ann Lee <ann@example.org>", "Re: Parcel 12")
    assert (mail["In-Reply-To"], mail["References"]) == ("<q1@example.org>", "<q1@example.org>")
    assert _text(mail) == (
        "Good news\n\nIt is here: <b>look</b> at the map (https://shop.example/map).\n\na | b\n1 | 2\n\n"
        "Good?\n\n1. Yes\n\n-- \nAcme\nJakarta\n\n"
        "On 23 November 2026, 11:00 UTC, Ann Lee <ann@example.org> wrote:\n> Where is it? <b>now</b>\n"
    ).replace("-- \nAcme", "-- Acme")
    assert await office.hub.states(conversation) == ["sent"]
    (message,) = [m for m in await office.hub.messages(conversation) if m.id == accepted.message]
    assert message.deliveries[0].external_id == mail["Message-ID"]


@pytest.mark.requirement("3DR-05")
async def test_the_preview_is_what_arrives_and_says_what_is_said_otherwise(office):
    conversation = await office.hears()
    rendition = await office.hub.daemon.replies.render(conversation.id, Draft(blocks=(Text(RICH),)))
    await office.says(conversation, RICH)
    (mail,) = office.arrived()
    assert _text(mail).replace("-- Acme", "-- \nAcme") == rendition.rendered.parts[0].text + "\n"
    assert [d.what for d in rendition.rendered.degradations] == ["marks_dropped", "table_as_text", "links_as_text"]


@pytest.mark.requirement("CARD-04")
async def test_a_template_arrives_as_plain_text(office):
    conversation = await office.hears()
    template = Template(name="sent", language="en", values=("7", "<b>Ann</b>"))
    await office.says(conversation, Draft(blocks=(template,)))
    (mail,) = office.arrived()
    assert mail["Subject"] == "Parcel 7"
    assert _text(mail).startswith("Dear <b>Ann</b>, parcel 7 is on its way: track it (https://shop.example/7).\n")


@pytest.mark.requirement("CARD-04")
@pytest.mark.requirement("3DR-16")
async def test_a_forwarded_html_mail_arrives_as_plain_text_with_its_files(office):
    conversation = await office.hears(html="<p>Where <i>is</i> it?</p>")
    (asked,) = await office.hub.messages(conversation)
    file = await office.hub.daemon.hub.keep_file(_bytes(b"<html><b>page</b></html>"), name="page.html", limit=1000)
    said = Draft(
        blocks=(Text("Can *you* help?"), Forward(asked.id), Media(attachment=file.id)), subject="Fwd: Parcel 12"
    )
    to = ("mail", Address(kind="email", value="depot@example.org"))
    await office.hub.daemon.replies.reply(to, said, author="agent:test")
    await office.hub.run_until_idle()
    ((recipient, _),) = office.sink.mails
    (mail,) = office.arrived()
    assert recipient == "depot@example.org"
    assert _text(mail).startswith(
        "Can you help?\n\n---------- Forwarded message ----------\nFrom: Ann Lee <ann@example.org>\n"
    )
    assert [(one.get_filename(), one.get_content_type()) for one in mail.iter_attachments()] == [
        ("page.html", "application/octet-stream")
    ]


@pytest.mark.requirement("CARD-04")
async def test_a_reply_that_waited_for_a_broken_account_arrives_as_plain_text(office):
    conversation = await office.hears()
    office.sink.refusals = ["535 5.7.8 who are you?"]
    await office.says(conversation, "**first**")
    assert office.hub.daemon.account("mail").standing.state.value == "broken"
    await office.says(conversation, RICH, policy=Policy.HOLD)
    assert office.sink.mails == []
    await office.hub.pass_time(minutes=1)
    await office.hub.daemon.store.write(resume, "mail")
    await office.hub.run_until_idle()
    first, second = office.arrived(2)
    assert _text(first).startswith("first\n")
    assert _text(second).startswith("Good news\n")
    assert second["References"].split()[-1] == "<q1@example.org>"


class Greeting:
    """A machine that answers whoever writes first."""

    @hookimpl
    def on_inbound_message(self, message):
        return Reply(conversation=message.conversation, draft=Draft(blocks=(Text(RICH),)), key=message.id)


@pytest.mark.requirement("CARD-04")
async def test_an_automatic_answer_arrives_as_plain_text_that_says_what_it_is(start_office):
    office = await start_office('\n[plugins]\nenabled = ["greeting"]\n', greeting=Greeting())
    await office.hears()
    (mail,) = office.arrived()
    assert (mail["Auto-Submitted"], mail["X-Auto-Response-Suppress"]) == ("auto-replied", "All")
    assert _text(mail).startswith("Good news\n")
    assert "wrote:" not in _text(mail)


@pytest.mark.requirement("CARD-04")
async def test_a_reply_that_is_sent_again_arrives_as_plain_text(office):
    conversation = await office.hears()
    office.sink.refusals = ["554 5.7.1 no"]
    accepted = await office.says(conversation, RICH)
    assert (await office.hub.states(conversation), office.sink.mails) == (["failed"], [])
    await office.hub.daemon.replies.resend(accepted.message, "agent:test")
    await office.hub.run_until_idle()
    (mail,) = office.arrived()
    assert _text(mail).startswith("Good news\n")


@pytest.mark.requirement("CARD-04")
async def test_copies_arrive_as_the_same_plain_text_and_a_blind_one_is_seen_by_nobody(office):
    conversation = await office.hears()
    office.sink.refusals = ["450 4.7.1 greylisted"]  # the first of the three, whoever that is
    said = Draft(blocks=(Text(RICH),), cc=("bo@example.org",), bcc=("eve@example.org",))
    await office.says(conversation, said)
    assert len(office.sink.mails) == 2
    await office.hub.pass_time(minutes=5)
    mails = office.arrived(3)
    assert {recipient for recipient, _ in office.sink.mails} == {"ann@example.org", "bo@example.org", "eve@example.org"}
    assert len({content for _, content in office.sink.mails}) == 1
    assert (mails[0]["To"], mails[0]["Cc"]) == ("Ann Lee <ann@example.org>", "bo@example.org")
    assert b"eve" not in office.sink.mails[0][1]


@pytest.mark.requirement("3DR-16")
async def test_a_first_mail_to_somebody_new_opens_a_conversation(office):
    to = ("mail", Address(kind="email", value="new@example.org"))
    await office.hub.daemon.replies.reply(to, Draft(blocks=(Text("Your parcel is here"),)), author="agent:test")
    await office.hub.run_until_idle()
    (mail,) = office.arrived()
    assert (mail["To"], mail["Subject"], mail["References"]) == ("new@example.org", "Your parcel is here", None)


class Chat(Channel):
    """Visitors of a website, whom nobody reaches once they have gone."""

    type = "chat"
    features = Features(webhook=False, sessions=True)

    async def send(self, out):
        return Receipt()


class Visits:
    """Gives it."""

    @hookimpl
    def register_channels(self):
        return [Chat]


@pytest.mark.requirement("CARD-04")
@pytest.mark.requirement("3DR-17")
async def test_a_reply_to_a_visitor_who_has_gone_arrives_by_mail_as_plain_text_and_is_kept_in_the_talk(start_office):
    office = await start_office('[accounts.site]\nchannel = "chat"\nwhen_closed = "fallback:mail"\n', chat=Visits())
    hub = office.hub
    ann = Address(kind="visitor", value="v1", name="Ann", aliases=(Alias("email", "ann@example.org"),))
    site = hub.daemon.account("site").channel
    now = hub.clock.now()
    await site.admit([SessionChange(address=ann, state=SessionState.CONNECTED, at=now)])
    await site.admit([Inbound(external_id="1", address=ann, at=now, text="Is it <b>here</b>?")])
    await site.admit([SessionChange(address=ann, state=SessionState.ENDED, at=now, reason="timeout")])
    await hub.run_until_idle()
    talk = await hub.conversation
    accepted = await office.says(talk, RICH)
    assert (accepted.policy, accepted.account) == (Policy.FALLBACK, "mail")
    (mail,) = office.arrived()
    assert mail["To"].addresses[0].addr_spec == "ann@example.org"
    assert mail["Subject"].startswith("Our conversation of ")
    assert _text(mail).startswith("Good news\n\nIt is here: <b>look</b> at the map (https://shop.example/map).")
    assert "Is it <b>here</b>?" in _text(mail)
    kept = await hub.daemon.hub.conversation(accepted.conversation)
    assert (kept.continues, await hub.states(kept)) == (talk.id, ["sent"])
