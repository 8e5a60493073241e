"""Against a real Postfix: encryption, signing in, plus addresses, refusals, and its own reports of delivery."""

import asyncio
import re
import smtplib
from email.message import EmailMessage

import pytest
import pytest_asyncio

from talkwire import AccountBroken, Address, Envelope, NotSent, Refused, State, TryLater, Unreachable, draft
from talkwire.testing import lend

from .mailer import KEY, Given, Mailer, Plugin, outgoing, read, settings, text_of
from .smtpd import Server

LIMIT = 10.0  # seconds for a mail to arrive


class Account:
    """A user of the server, whose mailer writes by it."""

    def __init__(self, postfix):
        self._postfix = postfix
        self.address = postfix.dovecot.user()

    def smtp(self, **changes):
        """Settings of a submission server."""
        return {
            "host": "localhost", "port": self._postfix.submission, "tls": "starttls",
            "password": self._postfix.dovecot.password, "ca_file": str(self._postfix.dovecot.certificate.chain), **changes,
        }  # fmt: skip

    def mailing(self, *, smtp=None, **more):
        """Lend a mailer."""
        return lend(Mailer, settings(smtp=self.smtp(**(smtp or {})), address=self.address, **more))

    async def got(self, user="", count=1):
        """Wait until mails lie in a mailbox, and give them."""
        async with asyncio.timeout(LIMIT):
            while len(mails := self._postfix.mails(user or self.address)) < count:
                await asyncio.sleep(0.01)
        return mails


@pytest.fixture
def account(postfix):
    return Account(postfix)


@pytest_asyncio.fixture
async def elsewhere(postfix):
    """The server of everybody who is not here."""
    async with Server(offers=["SMTPUTF8", "8BITMIME", "ENHANCEDSTATUSCODES"]).running(postfix.relay) as running:
        yield running


async def sent(lent, **changes):
    try:
        return await lent.channel.send(outgoing(**changes))
    finally:
        await lent.channel.close()


def to(value):
    return Address(kind="email", value=value)


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_mail_arrives_as_it_was_built(account, postfix, tls):
    customer = postfix.dovecot.user()
    port = postfix.submission if tls == "starttls" else postfix.smtps
    async with account.mailing(smtp={"tls": tls, "port": port}) as lent:
        receipt = await sent(lent, text="Halo – dari sini.\n\n.\n> lama\n" + "kata " * 40, address=to(customer))
    assert receipt.state is State.SENT
    (mail,) = await account.got(customer)
    arrived = read(mail)
    assert arrived["Message-ID"] == receipt.external_id
    assert arrived["Return-Path"] == f"<{account.address}>"
    assert text_of(arrived).startswith("Halo – dari sini.\n\n.\n> lama\nkata kata")
    assert b"with ESMTPSA id" in mail  # S: encrypted, A: signed in


async def test_an_answer_to_the_reply_address_comes_into_the_same_mailbox(account, postfix):
    customer = postfix.dovecot.user()
    async with account.mailing(delivery_reports=False) as lent:
        await sent(lent, address=to(customer))
        reply_to = read((await account.got(customer))[0])["Reply-To"].addresses[0].addr_spec
        answer = EmailMessage()
        answer["From"], answer["To"], answer["Subject"] = customer, reply_to, "Re: Your parcel"
        answer.set_content("Thank you")
        await asyncio.to_thread(_hand, postfix.port, answer)
        assert lent.channel.own.key_of_address(reply_to) == KEY
    assert f"Delivered-To: {reply_to}".encode() in (await account.got())[0]


def _hand(port, mail):
    with smtplib.SMTP("127.0.0.1", port, timeout=LIMIT) as client:
        client.send_message(mail)


@pytest.mark.parametrize(
    ("recipient", "kind"),
    [
        ("busy", TryLater),
        ("grey", TryLater),
        ("full", TryLater),
        ("gone", Unreachable),
        ("closed", Refused),
    ],
)
async def test_a_refusal_of_postfix_is_told_as_what_it_means(account, recipient, kind):
    async with account.mailing() as lent:
        with pytest.raises(kind) as caught:
            await sent(lent, address=to(f"{recipient}@example.test"))
    assert type(caught.value) is kind


async def test_a_mail_larger_than_postfix_takes_is_refused_with_both_numbers(account):
    async with account.mailing() as lent:
        with pytest.raises(Refused, match=r"takes 300,000: send fewer or smaller files"):
            await sent(lent, text="a line of text\n" * 25_000, address=to("alice@example.test"))


async def test_a_wrong_password_breaks_the_account(account):
    async with account.mailing(smtp={"password": "something-else-entirely"}) as lent:
        with pytest.raises(AccountBroken, match=r"refused our sign-in as user\d+@example.test: 535 5.7.8"):
            await sent(lent)


def by_token(account):
    oauth = {"token_url": "https://login.example/token", "client_id": "talkwire"}
    return account.mailing(smtp={"password": None}, oauth=oauth)


async def test_a_token_signs_in(account, postfix):
    async with by_token(account) as lent:
        lent.channel.tokens = Given(postfix.dovecot.token(account.address))
        assert (await sent(lent, address=to("alice@example.test"))).state is State.SENT


async def test_a_token_that_is_over_is_replaced_once(account, postfix):
    async with by_token(account) as lent:
        over = postfix.dovecot.token(account.address, life=-60)
        lent.channel.tokens = Given(over, postfix.dovecot.token(account.address))
        assert (await sent(lent, address=to("alice@example.test"))).state is State.SENT


async def test_a_token_that_nobody_takes_breaks_the_account(account, postfix):
    async with by_token(account) as lent:
        lent.channel.tokens = Given(postfix.dovecot.token(account.address, life=-60))
        with pytest.raises(AccountBroken, match=r"Put accounts.kit.oauth right"):
            await sent(lent, address=to("alice@example.test"))


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_that_nobody_believes_gets_nothing(account, postfix, tls):
    port = postfix.submission if tls == "starttls" else postfix.smtps
    async with account.mailing(smtp={"tls": tls, "port": port, "ca_file": None}) as lent:
        with pytest.raises(NotSent, match=r"certificate of localhost:.* is not believed: self-signed"):
            await sent(lent)


# --- reports of delivery ---------------------------------------------------------------------------------


def report_of(mail):
    """Give the fields of a report that say whose it is and what it says."""
    parsed = read(mail)
    assert (parsed.get_content_type(), parsed.get_param("report-type")) == ("multipart/report", "delivery-status")
    fields = re.findall(rb"(?im)^(Original-Envelope-Id|Action|Status|Final-Recipient): *(.*?)\r?$", mail)
    return {name.decode().lower(): value.decode() for name, value in fields}


async def test_postfix_reports_that_it_delivered_under_our_key(account, postfix):
    customer = postfix.dovecot.user()
    async with account.mailing() as lent:
        await sent(lent, address=to(customer))
    assert report_of((await account.got())[0]) == {
        "original-envelope-id": KEY, "action": "delivered", "status": "2.0.0", "final-recipient": f"rfc822; {customer}",
    }  # fmt: skip


async def test_postfix_reports_that_another_server_refused_it_under_our_key(account, elsewhere):
    elsewhere.answers["RCPT"] = "550 5.1.1 nobody of that name"
    async with account.mailing() as lent:
        await sent(lent, address=to("nobody@foreign.example"))
    found = report_of((await account.got())[0])
    assert (found["original-envelope-id"], found["action"], found["status"]) == (KEY, "failed", "5.1.1")


async def test_postfix_says_relayed_where_the_next_server_makes_no_reports(account, elsewhere):
    async with account.mailing() as lent:
        await sent(lent, address=to("jürgen@foreign.example"))
    assert report_of((await account.got())[0])["action"] == "relayed"
    assert elsewhere.taken[0].recipient.startswith("RCPT TO:<jürgen@foreign.example>")


HUB = """
[accounts.mail]
channel = "email"
address = "{user}"
imap = {{ host = "localhost", tls = "none", password = "imap-password-of-tests" }}
smtp = {{ host = "localhost", port = {port}, tls = "starttls", password = "{password}", ca_file = "{chain}" }}
"""


@pytest.mark.parametrize(("recipient", "state"), [("", "delivered"), ("nobody@foreign.example", "failed")])
async def test_what_postfix_reports_becomes_the_state_of_the_reply(
    account, postfix, elsewhere, start_hub, recipient, state
):
    elsewhere.answers["RCPT"] = "550 5.1.1 nobody of that name"
    dovecot = postfix.dovecot
    text = HUB.format(
        user=account.address, port=postfix.submission, password=dovecot.password, chain=dovecot.certificate.chain
    )
    hub = await start_hub(text, plugins={"email": Plugin()})
    accepted = await hub.daemon.replies.reply(
        ("mail", to(recipient or dovecot.user())), draft("Your parcel is here"), author="agent:test"
    )
    await hub.run_until_idle()
    assert await hub.states(accepted.conversation) == ["sent"]
    (report,) = await account.got()
    channel = hub.daemon.account("mail").channel
    envelope = Envelope(
        endpoint="mail", method="MAIL", path="/INBOX/1", headers={"content-type": "message/rfc822"}, query=(),
        body=report, remote="127.0.0.1", received_at=hub.clock.now(),
    )  # fmt: skip
    await channel.admit(list(channel.parse(envelope)))
    await hub.run_until_idle()
    assert await hub.states(accepted.conversation) == [state]
    (message,) = await hub.messages(accepted.conversation)
    assert (message.deliveries[0].problem.code if state == "failed" else "5.1.1") == "5.1.1"


async def test_no_report_comes_where_none_is_asked_for(account, postfix):
    customer = postfix.dovecot.user()
    async with account.mailing(delivery_reports=False) as lent:
        await sent(lent, address=to(customer))
    assert len(await account.got(customer)) == 1
    assert postfix.mails(account.address) == []


async def test_a_probe_names_the_user_and_what_postfix_offers(account, postfix):
    async with account.mailing() as lent:
        said = await lent.channel.probe()
        await lent.channel.close()
    assert said == (
        f"SMTP localhost:{postfix.submission}: signed in as {account.address}, STARTTLS, offers DSN, SMTPUTF8, "
        "mails up to 0 MB"
    )
