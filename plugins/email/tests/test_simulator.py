"""The simulator is a mail server and a mailbox to us, and a mail program to people; the standard library's clients are the judges."""

import ast
import asyncio
import contextlib
import imaplib
import json
import re
import smtplib
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import aiohttp
import pytest

from talkwire_email import simulator as package
from talkwire_email.simulator import CUSTOMER, FAULTS, MAIL, OURS, Full, Office, letters, office, sink

PASSWORD = "sim-password-0123456789"
KEY = "01940000-0000-7000-8000-00000000c0de"
PLAIN = f"""\
From: Kopi Kita <{OURS}>
To: {CUSTOMER}
Subject: Your parcel
Message-ID: <{KEY}@shop.example>
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: 8bit

It arrives today, at the \u00fcsual place.
""".replace("\n", "\r\n").encode()


@pytest.fixture
async def mail():
    one = Office(password=PASSWORD, pause=0, slow=0.01)
    await one.start()
    yield one
    async with asyncio.timeout(20):
        await one.stop()


@pytest.fixture
async def page_of_it(mail, aiohttp_client):
    """Its HTTP side; that starts no second pair of servers."""
    app = mail.app()
    app.cleanup_ctx.clear()
    return await aiohttp_client(app)


def _send(mail, raw, to, mail_options, rcpt_options, password):
    with smtplib.SMTP("127.0.0.1", mail.sink.port, local_hostname="us.example", timeout=20) as smtp:
        smtp.ehlo()
        if password:
            smtp.login(OURS, password)
        return smtp.sendmail(OURS, to, raw, mail_options, rcpt_options), smtp.esmtp_features


async def send(mail, raw=PLAIN, to=CUSTOMER, *, mail_options=(), rcpt_options=(), password=PASSWORD):
    return await asyncio.to_thread(_send, mail, raw, to, mail_options, rcpt_options, password)


async def settled(mail):
    await mail.idle()


@contextlib.contextmanager
def _imap(mail):
    imap = imaplib.IMAP4("127.0.0.1", mail.imap.port, timeout=20)
    try:
        imap.login(OURS, PASSWORD)
        yield imap
    finally:
        with contextlib.suppress(imaplib.IMAP4.error, OSError):
            imap.logout()


async def look(mail, work):
    """Let `imaplib` do something in a thread, beside the server."""

    def run():
        with _imap(mail) as imap:
            return work(imap)

    return await asyncio.to_thread(run)


# --- what we send ------------------------------------------------------------------------------------------


async def test_what_we_send_reaches_the_customer_and_is_shown_for_what_it_is(mail):
    await send(mail)
    [shown] = mail.mails
    assert (shown["text"], shown["subject"], shown["plain"]) == (
        "It arrives today, at the üsual place.",
        "Your parcel",
        True,
    )
    assert shown["kind"] == "text/plain; charset=utf-8; format=flowed"
    assert mail.raws[shown["id"]] == PLAIN


async def test_html_is_never_taken_for_plain_text(mail):
    await send(mail, PLAIN.replace(b"text/plain", b"text/html"))
    assert mail.mails[0]["plain"] is False


@pytest.mark.parametrize(("password", "code"), [("wrong-password", 535), ("", 530)])
async def test_who_does_not_sign_in_sends_nothing(mail, password, code):
    with pytest.raises((smtplib.SMTPAuthenticationError, smtplib.SMTPSenderRefused)) as caught:
        await send(mail, password=password)
    assert caught.value.smtp_code == code
    assert mail.mails == []


@pytest.mark.parametrize(
    ("name", "code", "arrives"),
    [
        ("refuse", 550, False),
        ("busy", 450, False),
        ("auth", 535, False),
        ("drop", 0, False),
        ("cut", 0, True),
        ("slow", 250, True),
    ],
)
async def test_each_fault_of_the_mail_server_does_what_it_says(mail, name, code, arrives):
    mail.fault(name)
    got = 250
    try:
        await send(mail)
    except smtplib.SMTPRecipientsRefused as error:
        got = error.recipients[CUSTOMER][0]
    except smtplib.SMTPAuthenticationError as error:
        got = error.smtp_code
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        got = 0
    assert got == code
    assert len(mail.mails) == arrives


async def test_a_delivery_is_reported_to_who_asked(mail):
    _, features = await send(mail, mail_options=["RET=HDRS", f"ENVID={KEY}"], rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
    assert "dsn" in features
    await settled(mail)
    [report] = mail.boxes.folder("INBOX").mails.values()
    read = message_from_bytes(report.raw, policy=default)
    _, status, headers = read.iter_parts()
    whole, one = status.get_payload()
    assert (read.get_content_type(), read["Return-Path"]) == ("multipart/report", "<>")
    assert whole["Original-Envelope-Id"] == KEY
    assert (one["Action"], one["Status"], one["Final-Recipient"]) == ("delivered", "2.0.0", f"rfc822; {CUSTOMER}")
    assert f"<{KEY}@shop.example>" in headers.get_payload()
    assert mail.mails[0]["note"] == "its delivery was reported"


async def test_nobody_is_told_of_a_delivery_who_did_not_ask(mail):
    await send(mail)
    await settled(mail)
    assert not mail.boxes.folder("INBOX").mails


async def test_one_connection_too_many_is_told_so(mail, monkeypatch):
    monkeypatch.setattr(sink, "CONNECTIONS", 0)
    with pytest.raises(smtplib.SMTPConnectError) as caught:
        await send(mail)
    assert caught.value.smtp_code == 421


async def test_a_server_without_dsn_offers_none(mail):
    mail.fault("no_dsn")
    _, features = await send(mail)
    assert "dsn" not in features


async def test_a_bounce_comes_back_and_the_customer_has_nothing(mail):
    mail.fault("bounce")
    await send(mail, rcpt_options=["NOTIFY=SUCCESS,FAILURE"])
    await settled(mail)
    [report] = mail.boxes.folder("INBOX").mails.values()
    assert b"Action: failed" in report.raw
    assert mail.mails[0]["failed"]


async def test_a_robot_answers_once_and_says_that_it_is_one(mail):
    mail.fault("robot")
    await send(mail)
    await settled(mail)
    [answer] = mail.boxes.folder("INBOX").mails.values()
    read = message_from_bytes(answer.raw, policy=default)
    assert (read["Auto-Submitted"], read["In-Reply-To"]) == ("auto-replied", f"<{KEY}@shop.example>")


@pytest.mark.parametrize(
    ("came", "shown"),
    [
        ("one \r\nline\r\n", "one line"),
        ("two\r\nlines\r\n", "two\nlines"),
        (">> deep \r\n>> quote\r\n> other\r\n", ">> deep quote\n> other"),
        (" > stuffed\r\n From me\r\n", "> stuffed\nFrom me"),
        ("bye\r\n-- \r\nAnn\r\n", "bye\n--\nAnn"),
    ],
)
def test_flowed_text_is_shown_as_it_was_meant(came, shown):
    head = b"Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\n"
    assert letters.opened(head + came.encode()).text == shown


def test_a_mail_that_makes_no_sense_is_shown_all_the_same():
    raw = b"Subject: =?utf-8?b?////?=\r\nFrom: (((\r\nContent-Type: text/plain; charset=x-none\r\n\r\n\xff\xfe"
    assert letters.opened(raw).text == "ÿþ"


# --- the mailbox -------------------------------------------------------------------------------------------


async def test_the_mailbox_is_read_without_a_trace(mail):
    mail.written("Halo?", subject="Where is it?")

    def work(imap):
        assert imap.select("INBOX", readonly=False)[1] == [b"1"]
        _, [uids] = imap.uid("SEARCH", "UID 1:*")
        _, found = imap.uid("FETCH", uids.decode(), "(RFC822.SIZE INTERNALDATE FLAGS BODY.PEEK[])")
        head, raw = found[0]
        _, partly = imap.uid("FETCH", "1", "(BODY.PEEK[]<5.10>)")
        _, header = imap.uid("FETCH", "1", "(BODY.PEEK[HEADER])")
        return uids, head.decode(), raw, partly[0][1], header[0][1]

    uids, head, raw, partly, header = await look(mail, work)
    kept = mail.boxes.folder("INBOX").mails[1]
    assert uids == b"1"
    assert raw == kept.raw
    assert partly == raw[5:15]
    assert header == raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert f"RFC822.SIZE {len(raw)}" in head
    assert imaplib.Internaldate2tuple(head.encode()) is not None
    assert kept.flags == set()
    assert mail.mails[0]["note"] == "read by IMAP"


async def test_the_last_mail_is_found_even_above_the_last_uid(mail):
    """RFC 3501: `*` is the highest number, so `7:*` names the last mail of three."""
    for n in range(3):
        mail.written(f"mail {n}")
    assert await look(mail, lambda imap: (imap.select(), imap.uid("SEARCH", "UID 7:*"))[1][1]) == [b"3"]


async def test_a_body_that_is_not_peeked_at_is_seen(mail):
    mail.written("Halo?")
    await look(mail, lambda imap: (imap.select(), imap.uid("FETCH", "1", "(BODY[])")))
    assert mail.boxes.folder("INBOX").mails[1].flags == {"\\Seen"}


async def test_mails_are_marked_moved_and_expunged_by_uid(mail):
    for n in range(3):
        mail.written(f"mail {n}")

    def work(imap):
        imap.create("Done")
        imap.select()
        imap.uid("STORE", "1", "+FLAGS", "(\\seen)")
        moved = imap.uid("MOVE", "2", '"Done"')[0]
        imap.uid("STORE", "3", "+FLAGS.SILENT", "(\\Deleted)")
        imap.uid("STORE", "1", "+FLAGS.SILENT", "(\\Deleted)")
        imap.uid("EXPUNGE", "3")
        return moved, imap.uid("SEARCH", "ALL")[1], imap.capabilities

    moved, left, _ = await look(mail, work)
    assert (moved, left) == ("OK", [b"1"])
    assert [*mail.boxes.folder("Done").mails] == [1]
    assert mail.boxes.folder("INBOX").mails[1].flags == {"\\Seen", "\\Deleted"}


async def test_a_mail_that_goes_keeps_its_number_until_the_connection_was_told(mail):
    for n in range(3):
        mail.written(f"mail {n}")

    def work(imap):
        imap.select()
        with _imap(mail) as other:
            other.select()
            other.uid("STORE", "1", "+FLAGS.SILENT", "(\\Deleted)")
            other.expunge()
        before = imap.fetch("3", "(UID)")[1]
        imap.noop()
        return before, imap.response("EXPUNGE")[1], imap.fetch("2", "(UID)")[1]

    before, told, after = await look(mail, work)
    assert before == [b"3 (UID 3)"]
    assert told == [b"1"]
    assert after == [b"2 (UID 3)"]


async def test_folders_are_listed_and_unknown_ones_refused(mail):
    mail.boxes.folder("With space")

    def work(imap):
        listed = imap.list()[1]
        return (
            listed,
            imap.select('"With space"')[0],
            imap.select("Nowhere")[0],
            imap.status("INBOX", "(UIDNEXT UIDVALIDITY)")[1],
        )

    listed, there, nowhere, status = await look(mail, work)
    assert any(b'"With space"' in line for line in listed)
    assert (there, nowhere) == ("OK", "NO")
    assert b"UIDNEXT 1" in status[0]


async def test_only_the_password_opens_the_mailbox(mail):
    def work():
        imap = imaplib.IMAP4("127.0.0.1", mail.imap.port, timeout=20)
        try:
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                imap.login(OURS, "wrong")
            with pytest.raises(imaplib.IMAP4.error):
                imap._simple_command("SELECT", "INBOX")
        finally:
            imap.shutdown()

    await asyncio.to_thread(work)
    assert "wrong" not in " ".join(mail.imap.commands)


class Line:
    """A connection by hand, for what `imaplib` of 3.11 does not speak."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    async def says(self, line):
        self.writer.write(line + b"\r\n")
        await self.writer.drain()

    async def hears(self, until):
        async with asyncio.timeout(20):
            heard = b""
            while until not in heard:
                line = await self.reader.readline()
                if not line:
                    raise EOFError(heard)
                heard += line
            return heard


@contextlib.asynccontextmanager
async def idling(mail):
    line = Line(*await asyncio.open_connection("127.0.0.1", mail.imap.port))
    await line.says(f'a LOGIN "{OURS}" {{{len(PASSWORD)}+}}'.encode())
    await line.says(PASSWORD.encode())
    await line.hears(b"a OK")
    await line.says(b"b SELECT INBOX")
    await line.hears(b"b OK")
    await line.says(b"c IDLE")
    await line.hears(b"+ idling")
    yield line
    line.writer.close()


async def test_idle_pushes_a_new_mail(mail):
    async with idling(mail) as line:
        mail.written("Halo?")
        assert b"* 1 EXISTS" in await line.hears(b"EXISTS")
        await line.says(b"DONE")
        assert b"c OK" in await line.hears(b"c OK")


@pytest.mark.parametrize("name", ["kick", "away", "no_login", "rebuilt"])
async def test_a_fault_of_the_mailbox_drops_the_line(mail, name):
    async with idling(mail) as line:
        mail.fault(name)
        with pytest.raises((EOFError, ConnectionError)):
            await line.hears(b"never")


async def test_a_kicking_mailbox_lets_us_in_and_hangs_up_with_the_next_mail(mail):
    mail.fault("kick")
    async with idling(mail) as line:
        mail.written("Halo?")
        with pytest.raises((EOFError, ConnectionError)):
            await line.hears(b"EXISTS")


async def test_a_mailbox_that_is_away_says_goodbye(mail):
    mail.fault("away")
    line = Line(*await asyncio.open_connection("127.0.0.1", mail.imap.port))
    assert b"* BYE" in await line.hears(b"BYE")
    line.writer.close()


async def test_a_rebuilt_mailbox_has_the_mails_under_other_numbers(mail):
    for n in range(3):
        mail.written(f"mail {n}")
    mail.boxes.remove("INBOX", 1)
    before = mail.boxes.folder("INBOX").validity
    mail.fault("rebuilt")
    after = mail.boxes.folder("INBOX")
    assert after.validity != before
    assert [*after.mails] == [1, 2]


@pytest.mark.parametrize(
    "line",
    [b"x", b"a LOGIN {99999}", b'a LOGIN "', b"a UID FETCH ((((((((((((", b"\xff\xfe \x00", b"a " + b"x" * 70_000, b""],
)
async def test_nonsense_ends_nothing_but_itself(mail, line):
    one = Line(*await asyncio.open_connection("127.0.0.1", mail.imap.port))
    await one.says(line)
    one.writer.close()
    await look(mail, lambda imap: imap.noop())


# --- what the customer writes ------------------------------------------------------------------------------


async def test_an_answer_names_what_it_answers_and_quotes_it(mail):
    await send(mail)
    _, uid, message_id = mail.written("Thank you", answers=mail.mails[0]["id"])
    read = message_from_bytes(mail.boxes.folder("INBOX").mails[uid].raw, policy=default)
    assert read["In-Reply-To"] == read["References"] == f"<{KEY}@shop.example>"
    assert read["Message-ID"] == message_id
    assert read["Subject"] == "Re: Your parcel"
    assert read["To"] == f"Kopi Kita <{OURS}>"
    text = read.get_content().replace("\r\n", "\n")
    assert text.startswith("Thank you\n")
    assert re.search(r"^On .* wrote:\n> It arrives today", text, re.MULTILINE)


async def test_an_answer_goes_to_where_answers_are_wanted(mail):
    await send(mail, PLAIN.replace(b"Subject:", b"Reply-To: support+token@shop.example\r\nSubject:"))
    _, uid, _ = mail.written("Thank you", answers=mail.mails[0]["id"])
    assert b"To: support+token@shop.example" in mail.boxes.folder("INBOX").mails[uid].raw


async def test_the_customers_faults_show_in_his_mails(mail):
    mail.fault("twice", "html", "bare")
    mail.written("Halo <you>")
    first, second = mail.boxes.folder("INBOX").mails.values()
    assert first.raw == second.raw
    assert b"Message-ID" not in first.raw
    assert b"Halo &lt;you&gt;" in first.raw
    assert message_from_bytes(first.raw).get_content_type() == "multipart/alternative"
    assert len(mail.mails) == 1


async def test_a_full_simulator_takes_nothing_more(mail, page_of_it, monkeypatch):
    monkeypatch.setattr(office, "MOST", 1)
    mail.written("one")
    with pytest.raises(Full):
        mail.written("two")
    assert (await page_of_it.post("/sim/mails", json={"text": "two"})).status == 507
    with pytest.raises(smtplib.SMTPDataError) as caught:
        await send(mail)
    assert caught.value.smtp_code == 452


# --- the page ----------------------------------------------------------------------------------------------


async def test_a_mail_can_be_looked_at_as_it_came(mail, page_of_it):
    await send(mail)
    answer = await page_of_it.get(f"/sim/mails/{mail.mails[0]['id']}")
    assert (await answer.read(), answer.content_type) == (PLAIN, "text/plain")
    assert (await page_of_it.get("/sim/mails/none")).status == 404


@pytest.mark.parametrize("path", ["/", "/mail.js", "/mail.css", "/frame.js", "/frame.css"])
async def test_the_page_needs_nothing_from_elsewhere(page_of_it, path):
    answer = await page_of_it.get(path)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    words = await answer.text()
    for word in ("http:", "https:", " style=", "innerHTML"):
        assert word not in words


async def test_neither_page_nor_state_holds_the_password(mail, page_of_it):
    await send(mail)
    for path in ("/", "/mail.js", "/sim/mails", "/sim/faults"):
        assert PASSWORD not in await (await page_of_it.get(path)).text()
    assert PASSWORD not in json.dumps([*mail.imap.commands])


async def test_another_site_cannot_play_the_customer(mail, page_of_it):
    answer = await page_of_it.post("/sim/mails", data='{"text": "hi"}', headers={"Content-Type": "text/plain"})
    assert answer.status == 415
    assert mail.mails == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": 7}, {"text": " "}, {"text": "x" * 20_001}, {"text": "hi", "from": "nobody"}, {"text": "hi", "from": "a b@c.example"},
        {"text": "hi", "subject": "a\nBcc: b@c.example"}, {"text": "hi", "answers": "none"}, [],
    ],
)  # fmt: skip
async def test_nonsense_from_the_page_is_refused(mail, page_of_it, wrong):
    assert (await page_of_it.post("/sim/mails", json=wrong)).status == 400
    assert mail.mails == []


async def test_an_unknown_fault_is_refused(page_of_it):
    assert (await page_of_it.post("/sim/faults", json={"on": ["gremlins"]})).status == 400


async def test_the_stream_begins_with_all_there_is(mail, page_of_it):
    mail.written("first")
    async with page_of_it.get("/sim/stream") as stream:
        assert b'"first"' in await stream.content.readline()
        await stream.content.readline()
        await page_of_it.post("/sim/faults", json={"on": ["busy"]})
        assert b'"faults": ["busy"]' in await stream.content.readline()
        await mail._hang_up(None)


# --- the demo ----------------------------------------------------------------------------------------------


async def test_the_demo_can_play_through_it(aiohttp_server):
    """What `talkwire demo --check` does with it."""
    inbound = "http://127.0.0.1:1/in/email"
    server = await aiohttp_server(MAIL.app(inbound))
    base = f"http://127.0.0.1:{server.port}"
    settings = MAIL.settings(base, inbound)
    assert re.search(
        r"mail <\w+@correspondent.example> from budi@\S+ lies in the mailbox as UID 1", await MAIL.play(base, "hi")
    )

    def work(host, port, user, password, **_):
        with smtplib.SMTP(host, port, local_hostname="us.example", timeout=20) as smtp:
            smtp.login(user, password)
            smtp.sendmail(OURS, CUSTOMER, PLAIN)
            smtp.sendmail(OURS, CUSTOMER, PLAIN.replace(b"text/plain", b"text/html"))

    await asyncio.to_thread(lambda: work(**settings["smtp"]))
    first, second = await MAIL.received(base)
    assert first.startswith("Content-Type: text/plain; charset=utf-8; format=flowed\n\nIt arrives today")
    assert second == "NOT PLAIN TEXT: text/html; charset=utf-8; format=flowed"
    await MAIL.fault(base, "busy")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await asyncio.to_thread(lambda: work(**settings["smtp"]))
    await MAIL.fault(base, "")
    await asyncio.to_thread(lambda: work(**settings["smtp"]))
    assert set(MAIL.faults) == set(FAULTS)
    async with aiohttp.ClientSession() as session, session.get(f"{base}/") as answer:
        assert answer.status == 200


def test_settings_of_a_simulator_that_does_not_run_are_not_made_up():
    app = MAIL.app("http://127.0.0.1:2/in/email")
    with pytest.raises(RuntimeError, match="does not run yet"):
        MAIL.settings("http://127.0.0.1:1", "http://127.0.0.1:2/in/email")
    del app


def test_it_shares_no_code_with_the_channel():
    folder = Path(package.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, f"{file.name} imports from the plugin itself"
                assert not (node.module or "").startswith("talkwire_email")
                assert not (node.module or "").startswith("talkwire."), f"{file.name} imports a private name"
