"""Headers as they really come: words, names, addresses, dates, ids."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from talkwire_email.own import Own
from talkwire_email.reading.addresses import addresses
from talkwire_email.reading.charsets import text_of
from talkwire_email.reading.words import decoded

from .letters import OWN, message, written
from .samples import KEY, NOON


@pytest.mark.parametrize(
    ("came", "text"),
    [
        ("=?utf-8?q?Caf=C3=A9?=", "Café"),
        ("=?UTF-8?B?8J+Zjw==?= thanks", "🙏 thanks"),
        ("=?utf-8?q?a?= =?utf-8?q?b?= c", "ab c"),  # neighbours join without the space
        ("=?utf-8?b?8J+Z?=\t=?utf-8?b?jw==?=", "🙏"),  # split in the middle of a character
        ("=?utf-8?q?a b?=", "a b"),  # a space that ought to be an underscore
        ("=?utf-8*en?q?with_a_language?=", "with a language"),
        ("=?iso-8859-1?q?Gr=FC=DFe?=", "Grüße"),
        ("=?iso-8859-1?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),  # it says Latin, and is UTF-8
        ("=?x-unknown?q?=E9?=", "é"),
        ("=?gb2312?b?xOO6ww==?=", "你好"),
        ("=?ks_c_5601-1987?b?vsiz5w==?=", "안녕"),
        ("=?iso-2022-jp?b?GyRCJDMkcyRLJEEkTxsoQg==?=", "こんにちは"),
        ("=?utf-8?b?Y2Fmw6k?=", "café"),  # no padding
        ("=?utf-8?q?no end", "=?utf-8?q?no end"),
        ("=?utf-8?x?what?=", "=?utf-8?x?what?="),
        ("1 =? 2", "1 =? 2"),
        ("=?idna?q?a?=", "a"),  # a codec that is none of characters is not used
    ],
)
def test_encoded_words_are_read_as_they_come(came, text):
    assert decoded(came) == text


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (b"caf\xe9", "", "café"),
        (b"caf\xc3\xa9", "us-ascii", "café"),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”"),
        (b"caf\xe9", "utf-8", "café"),
        (b"caf\xe9", "no-such-charset", "café"),
        (b"\xef\xbb\xbfmark", "utf-8", "mark"),
        (b"\xff\xfeh\x00i\x00", "utf-16", "hi"),
        (b"\x81\x8d", "windows-1252", "\x81\x8d"),
        (b"+AOk-", "utf-7", "é"),
        ("Привет, как дела? ".encode("koi8-r") * 80, "", "Привет, как дела? " * 80),
    ],
)
def test_a_claimed_charset_is_believed_as_far_as_it_fits(content, charset, text):
    assert text_of(content, charset, guess=True) == text


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("Ann <Ann@Customer.EXAMPLE>", [("ann@customer.example", "Ann")]),
        ("ann@customer.example (Ann Baker)", [("ann@customer.example", "Ann Baker")]),
        ('"Baker, Ann" <a@b.example>, c@d.example', [("a@b.example", "Baker, Ann"), ("c@d.example", "")]),
        ('"=?utf-8?q?Andr=C3=A9?=" <a@b.example>', [("a@b.example", "André")]),
        ("undisclosed-recipients:;", []),
        ("Team: a@b.example, C <c@d.example>;, e@f.example", [("a@b.example", ""), ("c@d.example", "C"), ("e@f.example", "")]),
        ("MAILER-DAEMON (Mail Delivery System)", [("mailer-daemon", "Mail Delivery System")]),
        ("<>", []),
        ("", []),
        ('"john doe"@b.example', [('"john doe"@b.example', "")]),
        ('"john"@b.example', [("john@b.example", "")]),
        ("<@relay.example:a@b.example>", [("a@b.example", "")]),
        ("Ann <mailto:a@b.example>", [("a@b.example", "Ann")]),
        ("a@bücher.example", [("a@xn--bcher-kva.example", "")]),
        ("用户@b.example", [("用户@b.example", "")]),
        ("Ann a@b.example", [("a@b.example", "Ann")]),
        ("a@b.example <a@b.example>", [("a@b.example", "")]),
        ("Ann\u202e <a@b.example>", [("a@b.example", "Ann")]),
        ("(((( Ann <a@b.example>", [("a@b.example", "")]),
        ("a@b@c.example", []),
        ("a\x01@b.example", []),
        ("Ann <a b@c .example>", [("ab@c.example", "Ann")]),
        ("a@[192.0.2.1]", [("a@[192.0.2.1]", "")]),
        ("a" * 400 + "@b.example", []),
    ],
)  # fmt: skip
def test_addresses_are_read_in_one_form(field, found):
    assert [(one.value, one.name) for one in addresses(field)] == found


@pytest.mark.parametrize(
    ("head", "address"),
    [
        ("From: a@b.example, c@d.example\nSender: c@d.example", "a@b.example"),
        ("From: <>\nSender: c@d.example", "c@d.example"),
        ("From:\nReply-To: e@f.example", "e@f.example"),
        ("From: <>\nReturn-Path: <g@h.example>", "g@h.example"),
        ("From: <>\nReturn-Path: < >", "mailer-daemon"),
        ("From: MAILER DAEMON <>", "mailer-daemon"),
    ],
)
def test_who_wrote_is_in_from_or_in_the_next_header_that_says_it(head, address):
    assert written(head).address.value == address


def test_reply_to_is_only_where_answers_go():
    found = written("From: a@b.example\nReply-To: Desk <desk@b.example>")
    assert (found.address.value, found.answer_at) == ("a@b.example", "desk@b.example")
    assert not written("From: a@b.example\nReply-To: A@B.example").answer_at
    assert not written("From: a@b.example\nReply-To: Support+x@shop.example").answer_at


def test_copies_are_all_recipients_but_us_and_the_writer():
    found = written(
        "From: a@b.example\nTo: Support <support+tok@shop.example>, x@y.example, a@b.example\nCc: HILFE@shop.example, X@y.example, z@y.example"
    )
    assert found.cc == ("x@y.example", "z@y.example")


@pytest.mark.parametrize(
    ("date", "at"),
    [
        ("Mon, 23 Nov 2026 10:12:30 +0100", datetime(2026, 11, 23, 9, 12, 30, tzinfo=UTC)),
        ("23 Nov 26 10:12 GMT", datetime(2026, 11, 23, 10, 12, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 10:12:30 -0000", datetime(2026, 11, 23, 10, 12, 30, tzinfo=UTC)),
        ("Mon, 23 Nov 2026 24:00:00 +0000", None),
        ("Mon, 23 Nov 2026 10:12:30 +9999", None),
        ("Thu, 01 Jan 1970 00:00:00 +0000", None),
        ("Mon, 23 Nov 2099 10:12:30 +0100", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_an_absurd_date_gives_way_to_the_mailboxs(date, at):
    mailbox = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
    assert written(f"Date: {date}", at="2026-11-23T10:30:00+00:00").at == (at or mailbox)
    assert written(f"Date: {date}", at="nonsense").at == (at or NOON)


def test_the_thread_is_named_by_our_token_then_by_what_is_answered_then_by_references():
    token = OWN.reply_address(KEY)
    found = written(
        f"To: x@y.example, <{token.upper()}>\nIn-Reply-To: <b@c.example> <a@c.example>\nReferences: <z@c.example> <b@c.example>\n <{KEY}@shop.example> <last@c.example>\nMessage-ID: <me@c.example>"
    )
    assert found.follows == (KEY, "<b@c.example>", "<a@c.example>", "<last@c.example>", "<z@c.example>")
    assert (found.known_as, found.thread) == ("<me@c.example>", "<me@c.example>")


@pytest.mark.parametrize("field", ["Cc", "Delivered-To", "X-Original-To", "Envelope-To"])
def test_a_reply_token_is_found_wherever_the_address_stands(field):
    assert written(f"To: x@y.example\n{field}: {OWN.reply_address(KEY)}").follows == (KEY,)


def test_a_forged_token_names_nothing():
    other = Own(address=OWN.address, secret=b"t" * 32)
    assert written(f"To: {other.reply_address(KEY)}").follows == ()


def test_ids_are_kept_as_they_come():
    found = written("Message-ID: <a b@[c]>\nIn-Reply-To: <UPPER@c>\n <folded@\n c> bare@id.example")
    assert found.known_as == "<a b@[c]>"
    assert found.follows == ("<UPPER@c>", "<folded@ c>")
    assert written("Message-ID: no-brackets@c.example").known_as == "<no-brackets@c.example>"
    assert written("Message-ID:").known_as == ""


def test_the_same_mail_has_one_id_and_two_mails_with_one_message_id_have_two():
    head = "Message-ID: <same@c.example>\nSubject: Hi\nDate: Mon, 23 Nov 2026 10:12:30 +0100"
    first = written(f"Received: from a\n{head}", "text\n")
    again = written(f"Delivered-To: b\nReceived: from c\n{head}", "text\n\n")
    another = written(head, "other text\n")
    assert first.external_id == again.external_id
    assert first.external_id.startswith("<same@c.example>#")
    assert first.external_id != another.external_id
    assert another.known_as == first.known_as
    assert written("Subject: none", "x").external_id.startswith("#")
    assert message(b"Subject: lf\n\na\nb\n").external_id == message(b"Subject: lf\r\n\r\na\r\nb\r\n").external_id


def test_a_header_block_that_is_broken_gives_what_can_be_read():
    found = message(
        b"\r\n>From ann Mon\r\nreceived by nobody\r\nFrom: a@b.example\r\nunfolded\r\nSubject: here\r\nNo body line\r\nmore\r\n"
    )
    assert (found.subject, found.text) == ("here", "No body line\nmore")
    assert written("Subject: a\nSubject: b\nX-Very: " + "x" * 300_000 + "\nTo: b@c.example").subject == "a"


def test_a_subject_is_one_line_without_signs_that_turn_it():
    assert written("Subject: =?utf-8?q?a=0D=0Ab=E2=80=AEc=00?=").subject == "a b c"
    assert len(written("Subject: " + "x" * 5000).subject) == 500
