"""What the mail server says, and what the channel makes of it: by a server that says what the test wants."""

import asyncio
import base64
from datetime import timedelta

import pytest
import pytest_asyncio

from talkwire import (
    AccountBroken,
    Address,
    NotSent,
    Receipt,
    Refused,
    State,
    TryLater,
    Uncertain,
    Unreachable,
)
from talkwire_email.postbox import Postbox

from .mailer import KEY, OWN, Given, mailing, outgoing, read, text_of
from .smtpd import CUT, SILENT, Server, user_of

PASSWORD = "a-password-of-the-tests"
OTHER = "01936b2e-8c00-7000-8000-0000000000b2"


@pytest_asyncio.fixture
async def server():
    async with asyncio.timeout(10), Server().running() as running:
        yield running


@pytest_asyncio.fixture
async def lent(server):
    async with mailing(server) as lent:
        yield lent


async def failed(lent, **changes):
    with pytest.raises(Exception) as caught:
        await lent.channel.send(outgoing(**changes))
    return caught.value


async def test_a_mail_that_is_taken_is_sent_under_its_message_id(server, lent):
    receipt = await lent.channel.send(outgoing())
    assert receipt == Receipt(state=State.SENT, external_id=f"<{KEY}@example.test>")
    (mail,) = server.taken
    assert mail.sender == f"MAIL FROM:<support@example.test> SIZE={len(mail.content)}"
    assert mail.recipient == "RCPT TO:<ann@example.org>"
    assert read(mail.content)["Message-ID"] == receipt.external_id


async def test_one_connection_serves_many_mails_one_after_the_other(server, lent):
    for n in range(5):
        await lent.channel.send(outgoing(f"Mail {n}"))
    assert (server.lines, len(server.taken)) == (1, 5)


@pytest.mark.parametrize("lines", [1, 2, 3])
async def test_mails_at_once_go_over_as_many_connections_as_the_account_allows(server, lines):
    async with mailing(server, smtp={"connections": lines}) as lent:
        await asyncio.gather(*(lent.channel.send(outgoing(f"Mail {n}")) for n in range(9)))
    assert (server.lines, len(server.taken)) == (lines, 9)


@pytest.mark.parametrize("refused", ["421 4.7.0 too many connections", "554 5.7.1 one is enough", CUT])
async def test_a_server_that_lets_one_line_in_gets_all_mails_over_it(server, lent, refused):
    await lent.channel.send(outgoing("the first"))
    server.answers["CONNECT"] = refused
    receipts = await asyncio.gather(*(lent.channel.send(outgoing(f"Mail {n}")) for n in range(9)))
    assert {receipt.state for receipt in receipts} == {State.SENT}
    assert (server.lines, len(server.taken)) == (3, 10), "it is asked once for each further line, and then no more"


async def test_a_line_that_may_not_sign_in_beside_another_is_left_out(server):
    async with mailing(server, smtp={"password": PASSWORD}) as lent:
        server.offers.append("AUTH PLAIN")
        await lent.channel.send(outgoing("the first"))
        server.answers["AUTH"] = "432 4.3.2 concurrent connections limit exceeded"
        await asyncio.gather(*(lent.channel.send(outgoing(f"Mail {n}")) for n in range(5)))
    assert len(server.taken) == 6


async def test_a_line_of_a_dot_alone_does_not_end_the_mail(server, lent):
    await lent.channel.send(outgoing("one\n.\n..two\n.three"))
    assert text_of(server.taken[0].content) == "one\n.\n..two\n.three\n"


RECIPIENT = [
    ("450 4.2.1 mailbox busy", TryLater, None, "address"),
    ("450 4.7.1 greylisted", TryLater, 300, "address"),
    ("451 4.7.1 try again later", TryLater, 300, "address"),
    ("450 try again later", TryLater, 300, "address"),
    ("452 4.5.3 too many", TryLater, None, "address"),
    ("552 5.2.2 mailbox full", TryLater, None, "address"),
    ("550 5.1.1 no such user", Unreachable, None, ""),
    ("550 5.1.10 null MX", Unreachable, None, ""),
    ("450 5.1.1 no such user", Unreachable, None, ""),
    ("550 4.3.0 for now", TryLater, None, "address"),
    ("550 no such user here", Refused, None, ""),
    ("554 5.7.1 relay access denied", Refused, None, ""),
    ("550 5.2.1 mailbox disabled", Refused, None, ""),
    ("552 5.3.4 too large", Refused, None, ""),
    ("530 5.7.0 sign in first", AccountBroken, None, ""),
    ("550 5.7.30 basic authentication is off", AccountBroken, None, ""),
    ("550 5.4.5 daily sending limit", TryLater, 3600, "account"),
    ("550-5.1.1 no such user\r\n550 5.1.1 really", Unreachable, None, ""),
]


@pytest.mark.parametrize(("answer", "kind", "after", "scope"), RECIPIENT)
async def test_a_refused_recipient_is_told_as_what_it_means(server, lent, answer, kind, after, scope):
    server.answers["RCPT"] = answer
    error = await failed(lent)
    assert type(error) is kind
    if kind is TryLater:
        assert (error.after, error.scope) == (after and timedelta(seconds=after), scope)
    assert answer.split("\r\n")[-1].split(" ", 2)[-1] in str(error)
    assert server.taken == []
    del server.answers["RCPT"]
    await lent.channel.send(outgoing())
    assert server.lines == 1, "the line is good for the next mail"


@pytest.mark.parametrize("step", ["DATA", "."])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("451 4.7.1 not now", TryLater),
        ("452 4.3.1 no room", TryLater),
        ("554 5.6.0 malformed", Refused),
        ("552 5.3.4 too large", Refused),
        ("550 5.1.1 no such user", Refused),
        ("535 5.7.8 who are you", AccountBroken),
    ],
)
async def test_a_refused_mail_is_told_as_what_it_means(server, lent, step, answer, kind):
    server.answers[step] = [answer]
    assert type(await failed(lent)) is kind
    await lent.channel.send(outgoing())
    assert (server.lines, len(server.taken)) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("451 4.3.0 not now", TryLater),
        ("553 5.1.8 we do not know this sender", AccountBroken),
        ("550 5.7.1 not yours", AccountBroken),
        ("552 5.3.4 too large", Refused),
    ],
)
async def test_a_refused_sender_is_the_accounts_matter_unless_the_mail_is_too_large(server, lent, answer, kind):
    server.answers["MAIL"] = answer
    error = await failed(lent)
    assert type(error) is kind
    assert getattr(error, "scope", "account") == "account"


async def test_a_greylisted_mail_waits_longer_each_time(server, lent):
    server.answers["RCPT"] = "450 4.7.1 greylisted"
    waits = [(await failed(lent, attempt=attempt)).after for attempt in (1, 2, 3, 9)]
    assert waits == [timedelta(minutes=5), timedelta(minutes=10), timedelta(minutes=20), timedelta(hours=1)]


async def test_a_server_that_will_never_relay_is_not_asked_for_ever(server, lent):
    server.answers["RCPT"] = "454 4.7.1 relay access denied"
    assert type(await failed(lent, attempt=4)) is TryLater
    assert type(await failed(lent, attempt=5)) is Refused


async def test_a_copy_goes_out_while_the_main_recipient_is_greylisted(server, lent):
    server.answers["RCPT"] = ["450 4.7.1 greylisted"]
    payload = '{"subject": "Hello", "cc": ["bo@example.org"]}'
    assert type(await failed(lent, payload=payload)) is TryLater
    copy = outgoing(payload=payload, key=OTHER, copy_of=KEY, recipient="bo@example.org")
    assert (await lent.channel.send(copy)).external_id == f"<{KEY}@example.test>"
    assert [mail.recipient for mail in server.taken] == ["RCPT TO:<bo@example.org>"]


# --- cut lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_line_that_is_cut_before_the_mail_has_sent_nothing(server, lent, step):
    server.answers[step] = CUT
    assert type(await failed(lent)) is NotSent
    assert server.lines == 1
    server.answers.clear()
    await lent.channel.send(outgoing())


async def test_a_line_that_is_cut_after_the_mail_began_leaves_it_uncertain(server, lent):
    server.answers["."] = CUT
    assert type(await failed(lent)) is Uncertain
    server.answers.clear()
    await lent.channel.send(outgoing())
    assert (server.lines, len(server.taken)) == (2, 1)


async def test_a_server_that_says_nonsense_about_the_mail_leaves_it_uncertain(server, lent):
    server.answers["."] = "hello"
    assert type(await failed(lent)) is Uncertain


async def test_a_closing_answer_to_the_mail_means_later(server, lent):
    server.answers["."] = ["421 4.3.2 shutting down"]
    error = await failed(lent)
    assert (type(error), error.scope) == (TryLater, "account")
    await lent.channel.send(outgoing())
    assert server.lines == 2


@pytest.mark.parametrize("words", [b"", b"421 4.4.2 timeout exceeded\r\n"])
async def test_a_connection_that_the_server_closed_while_idle_is_no_error_of_the_next_mail(server, lent, words):
    await lent.channel.send(outgoing())
    server.hang_up(words)
    await lent.channel.send(outgoing())
    assert (server.lines, len(server.taken)) == (2, 2)


async def test_a_server_that_ends_a_kept_line_at_the_next_mail_is_asked_on_a_new_one(server, lent):
    await lent.channel.send(outgoing())
    server.answers["MAIL"] = ["421 4.7.0 too many mails on this connection"]
    await lent.channel.send(outgoing())
    assert (server.lines, len(server.taken)) == (2, 2)


async def test_a_server_that_is_not_there_has_got_nothing(server, lent):
    unused = Server()
    async with unused.running():
        pass
    async with mailing(unused) as other:
        error = await failed(other)
    assert type(error) is NotSent
    assert "127.0.0.1" in str(error)
    assert "cannot be reached" in str(error)


async def test_a_server_that_lets_nobody_in_has_got_nothing(server, lent):
    server.answers["CONNECT"] = "554 5.7.1 you are on a list"
    error = await failed(lent)
    assert type(error) is NotSent
    assert "554 5.7.1 you are on a list" in str(error)


@pytest.mark.parametrize("step", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_a_server_that_stops_to_answer_before_the_mail_has_got_nothing(server, lent, step):
    lent.channel.postbox = impatient(lent)
    server.answers[step] = SILENT
    error = await failed(lent)
    assert type(error) is NotSent
    assert "did not answer in time" in str(error)


async def test_who_waits_too_long_for_the_line_has_sent_nothing_either(server, lent):
    lent.channel.postbox = impatient(lent, seconds=20, connections=1)
    server.answers["."] = SILENT
    first = asyncio.ensure_future(lent.channel.send(outgoing()))
    while "DATA" not in server.said:
        await asyncio.sleep(0.001)
    lent.channel.postbox._patience = 0.1  # from now on: the first has its line
    error = await failed(lent)
    assert (type(error), error.code, error.after) == (TryLater, "busy", timedelta(seconds=5))
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()


def impatient(lent, *, seconds=0.1, **smtp):
    settings = lent.channel.settings
    settings = settings.model_copy(update={"smtp": settings.smtp.model_copy(update=smtp)})
    return Postbox(settings, lent.channel, patience=timedelta(seconds=seconds))


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_an_answer_that_means_nothing_there_has_sent_nothing(server, lent, step):
    server.answers[step] = ["334 what?"]
    assert type(await failed(lent)) is NotSent
    assert server.taken == []


async def test_a_channel_that_is_closed_in_the_middle_of_a_mail_lets_it_come_to_its_end(server, lent):
    server.answers["."] = SILENT
    sending = asyncio.ensure_future(lent.channel.send(outgoing()))
    while "DATA" not in server.said:
        await asyncio.sleep(0.001)
    closing = asyncio.ensure_future(lent.channel.postbox.close())
    await asyncio.sleep(0)
    server.go_on("250 2.0.0 Ok")
    assert (await sending).state is State.SENT
    await closing
    assert not sending.cancelled()


async def test_a_cancelled_send_lets_the_line_go(server, lent):
    server.answers["."] = SILENT
    sending = asyncio.ensure_future(lent.channel.send(outgoing()))
    async with asyncio.timeout(20):
        while not server.whole:  # what is said to it is decided by now
            await asyncio.sleep(0.001)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    server.answers.clear()
    await lent.channel.send(outgoing())
    assert (server.lines, len(server.taken)) == (2, 1)


# --- what is offered --------------------------------------------------------------------------------------


async def test_a_mail_that_is_too_large_is_not_even_begun(server, lent):
    server.offers = ["SIZE 500"]
    error = await failed(lent, text="x" * 600)
    assert type(error) is Refused
    assert "127.0.0.1" in str(error)
    assert "takes 500" in str(error)
    assert not any(line.startswith("MAIL") for line in server.said)


async def test_reports_of_delivery_are_asked_for_where_they_are_offered(server, lent):
    server.offers = ["DSN"]
    await lent.channel.send(outgoing(address=Address(kind="email", value="ann+a=b@example.org")))
    (mail,) = server.taken
    assert mail.sender == f"MAIL FROM:<support@example.test> RET=HDRS ENVID={KEY}"
    assert mail.recipient == (
        "RCPT TO:<ann+a=b@example.org> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;ann+2Ba+3Db@example.org"
    )


async def test_reports_are_not_asked_for_where_the_account_says_so(server):
    server.offers = ["DSN"]
    async with mailing(server, delivery_reports=False) as lent:
        await lent.channel.send(outgoing())
    assert server.taken[0].recipient == "RCPT TO:<ann@example.org>"


async def test_letters_before_the_at_need_a_server_that_knows_them(server, lent):
    juergen = Address(kind="email", value="jürgen@example.org")
    error = await failed(lent, address=juergen)
    assert type(error) is Refused
    assert "SMTPUTF8" in str(error)
    server.offers = ["SMTPUTF8", "8BITMIME"]
    await lent.channel.close()
    await lent.channel.send(outgoing(address=juergen))
    (mail,) = server.taken
    assert (mail.sender, mail.recipient) == (
        "MAIL FROM:<support@example.test> SMTPUTF8 BODY=8BITMIME", "RCPT TO:<jürgen@example.org>",
    )  # fmt: skip


async def test_a_server_that_knows_only_helo_is_served(server, lent):
    server.answers["EHLO"] = "502 5.5.1 what?"
    await lent.channel.send(outgoing())
    assert server.said[1].startswith("HELO")
    assert server.taken[0].sender == "MAIL FROM:<support@example.test>"


# --- signing in ---------------------------------------------------------------------------------------------


async def test_a_password_signs_in_once_a_connection(server):
    server.offers = ["AUTH LOGIN PLAIN CRAM-MD5"]
    async with mailing(server, smtp={"user": "me", "password": PASSWORD}) as lent:
        await lent.channel.send(outgoing())
        await lent.channel.send(outgoing())
        lines = [line for exchange in lent.services.exchanges for line in exchange.lines]
    assert user_of(server.said) == ("me", PASSWORD)
    assert sum(line.startswith("AUTH") for line in server.said) == 1
    assert not any(PASSWORD in line or "AUTH" in line for line in [*lines, *lent.services.logs.lines])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("535 5.7.8 wrong password", AccountBroken),
        ("534 5.7.9 too weak", AccountBroken),
        ("454 4.7.0 not now", TryLater),
        ("421 4.7.0 too many sign-ins", TryLater),
    ],
)
async def test_a_refused_sign_in_breaks_the_account_unless_it_is_for_now(server, answer, kind):
    server.offers = ["AUTH PLAIN"]
    server.answers["AUTH"] = answer
    async with mailing(server, smtp={"password": PASSWORD}) as lent:
        error = await failed(lent)
    assert type(error) is kind
    assert getattr(error, "scope", "account") == "account"
    if kind is AccountBroken:
        assert str(error).endswith(
            "Put accounts.kit.smtp.password right (user support@example.test), then: talkwire accounts resume kit"
        )
    assert PASSWORD not in str(error)


async def test_a_password_that_a_server_repeats_is_hidden_before_its_words_are_cut(server):
    server.offers = ["AUTH PLAIN"]
    server.answers["AUTH"] = f"535 5.7.8 {'x' * 180}{PASSWORD}"
    async with mailing(server, smtp={"password": PASSWORD}) as lent:
        error = await failed(lent)
    assert "xxx" in str(error)
    assert PASSWORD[:6] not in str(error)


@pytest.mark.parametrize("as_it_went", [False, True], ids=["as it is", "as it went"])
@pytest.mark.parametrize("verb", ["AUTH", "MAIL", "."])
async def test_a_token_that_a_server_repeats_is_hidden_before_its_words_are_cut(server, verb, as_it_went):
    token = "ya29.made-up-token-0123456789-0123456789"
    went = base64.b64encode(f"user=support@example.test\x01auth=Bearer {token}\x01\x01".encode()).decode()
    repeated = went if as_it_went else token
    server.offers = ["AUTH XOAUTH2"]
    server.answers[verb] = f"535 5.7.8 {'x' * (180 if verb == 'AUTH' else 280)}{repeated} is no good"
    oauth = {"token_url": "https://login.example/token", "client_id": "talkwire"}
    async with mailing(server, smtp={"password": None}, oauth=oauth) as lent:
        lent.channel.tokens = Given(token)
        error = await failed(lent)
    assert "xxx" in str(error)
    assert repeated[:6] not in str(error)
    assert not [one for one in lent.services.exchanges if repeated in str(one)]


async def test_a_server_without_sign_in_breaks_the_account(server):
    async with mailing(server, smtp={"password": PASSWORD}) as lent:
        error = await failed(lent)
    assert type(error) is AccountBroken
    assert "offers no way to sign in" in str(error)


async def test_a_server_that_offers_no_encryption_is_told_nothing(server):
    async with mailing(server, smtp={"tls": "starttls", "password": PASSWORD}) as lent:
        error = await failed(lent)
    assert type(error) is NotSent
    assert "offers no STARTTLS" in str(error)
    assert [line.split()[0] for line in server.said] == ["EHLO"]


async def test_a_server_that_speaks_no_tls_is_told_nothing(server):
    async with mailing(server, smtp={"tls": "tls", "password": PASSWORD}) as lent:
        error = await failed(lent)
    assert type(error) is NotSent
    assert "speaks no TLS" in str(error)


async def test_a_probe_says_what_the_server_offers(server, lent):
    server.offers = ["SIZE 26214400", "DSN", "SMTPUTF8"]
    assert await lent.channel.probe() == (
        f"SMTP 127.0.0.1:{server.port}: connected without signing in, not encrypted, offers DSN, SMTPUTF8, mails up to 25 MB"
    )
    assert server.taken == []


# --- what is kept of it ------------------------------------------------------------------------------------------


async def test_what_was_said_is_kept_for_the_trace_without_the_mail(server, lent):
    await lent.channel.send(outgoing("a very private text"))
    (exchange,) = lent.services.exchanges
    assert exchange.what == "smtp"
    said = "".join(exchange.lines)
    assert "MAIL FROM:<support@example.test>" in said
    assert "250 2.0.0 Ok: queued" in said
    assert "private" not in said
    assert "Your parcel" not in said


async def test_files_are_read_from_the_store_and_sent(server, lent):
    lent.services.store(b"\x89PNG" * 100_000, name="parcel.png", media_type="image/png", attachment="f1")
    await lent.channel.send(outgoing(payload='{"subject": "Files", "attachments": ["f1"]}'))
    _text, file = read(server.taken[0].content).iter_parts()
    assert (file.get_filename(), file.get_payload(decode=True)) == ("parcel.png", b"\x89PNG" * 100_000)


async def test_a_file_that_is_gone_is_refused_before_anything_leaves(server, lent):
    error = await failed(lent, payload='{"subject": "Files", "attachments": ["gone"]}')
    assert (type(error), error.code) == (Refused, "file_gone")
    assert server.lines == 0


async def test_the_reply_address_carries_the_token_of_the_main_part(server, lent):
    await lent.channel.send(outgoing(key=OTHER, copy_of=KEY, recipient="bo@example.org"))
    assert OWN.key_of_address(read(server.taken[0].content)["Reply-To"].addresses[0].addr_spec) == KEY
