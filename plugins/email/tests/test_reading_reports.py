"""Machines: what they write is marked, what they report finds its part, and our own mail is no message."""

from __future__ import annotations

import pytest

from talkwire import Inbound, Report, State
from talkwire_email.reading import why_dropped

from .letters import OWN, envelope, items, message, written
from .samples import AT, KEY, mail, told


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: auto-generated",
        "Auto-Submitted: auto-replied; vacation",
        "X-Autoreply: yes",
        "X-Autorespond: x",
        "Precedence: Bulk",
        "Precedence: auto_reply",
        "X-Auto-Response-Suppress: OOF, AutoReply",
        "X-Auto-Response-Suppress: All",
        "List-Id: <a.b.example>",
        "List-Unsubscribe: <https://b.example/off>",
        "Return-Path: <>",
        "From: MAILER-DAEMON@b.example",
        "From: No-Reply <no-reply@b.example>",
        "From: noreply+1@b.example",
        "From: orders-noreply@b.example",
        "From: do.not.reply_1@b.example",
        "From: Support <Support@shop.example>",
        "From: hilfe+x@shop.example",
        "Content-Type: multipart/report; boundary=b",
    ],
)
def test_what_a_machine_writes_is_automatic(field):
    assert written(field).automatic


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: no",
        "Precedence: normal",
        "X-Auto-Response-Suppress: DR, RN",
        "Return-Path: <ann@customer.example>",
        "From: noreplying@b.example",
        "From: ann+support@b.example",
        "X-Talkwire-Loop: desk@else.example",  # a person's reply from another Talkwire
    ],
)
def test_what_a_person_writes_is_not(field):
    assert not written(field).automatic


@pytest.mark.parametrize("name", ["own_return", "own_return_renamed"])
def test_our_own_mail_that_comes_back_is_dropped_with_a_reason(name):
    assert items(mail(name)) == ()
    assert "ours" in why_dropped(envelope(mail(name)), OWN)


def test_a_mail_that_only_answers_ours_is_not_dropped():
    assert why_dropped(envelope(mail("gmail_reply")), OWN) == ""
    found = written(f"From: support@shop.example\nIn-Reply-To: <{KEY}@shop.example>")  # from another mail program
    assert found.follows == (KEY,)
    assert written(f"Message-ID: <{KEY}@else.example>").known_as == f"<{KEY}@else.example>"


def dsn(
    *groups: str, head: str = "", returned: str = f"Message-ID: <{KEY}@shop.example>", kind: str = "delivery-status"
) -> bytes:
    """Write a report as RFC 3464 has it."""
    lines = [
        "From: mailer-daemon@relay.example",
        "Date: Mon, 23 Nov 2026 09:12:30 +0000",
        head or "X-None: x",
        f"Content-Type: multipart/report; report-type={kind}; boundary=b",
        "",
        "--b",
        f"Content-Type: message/{kind}",
        "",
        "\n\n".join(groups),
        "",
        "--b",
        "Content-Type: text/rfc822-headers",
        "",
        returned,
        "--b--",
    ]
    return "\n".join(lines).replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("fields", "report"),
    [
        ("Action: failed\nStatus: 5.1.1", told(State.FAILED, "5.1.1", "", "a@b.example")),
        ("Action: FAILED (permanent)\nStatus: 4.4.7 (expired)", told(State.FAILED, "4.4.7", "", "a@b.example")),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 550 =?utf-8?q?caf=C3=A9?= 5.7.1", told(State.FAILED, "5.0.0", "550 café 5.7.1", "a@b.example")),
        ("Status: 4.2.2", told(State.SENT, "4.2.2", "delayed", "a@b.example")),
        ("Action: expanded\nStatus: 2.1.5", told(State.SENT, "2.1.5", "expanded", "a@b.example")),
        ("Action: delivered", told(State.DELIVERED, "", "", "a@b.example")),
        ("Action: nonsense", told(State.FAILED, "", "", "a@b.example")),
    ],
)  # fmt: skip
def test_each_action_of_a_delivery_report_has_its_state(fields, report):
    group = f"Final-Recipient: rfc822; A@B.example\n{fields}"
    assert items(dsn("Reporting-MTA: dns; relay.example", group)) == (report,)


def test_an_envelope_id_names_the_part_whoever_the_mail_went_on_to():
    copy = "01940000-0000-7000-8000-00000000c0df"
    status = f"Reporting-MTA: dns; x\nOriginal-Envelope-Id: {copy}"
    [report] = items(dsn(status, "Final-Recipient: rfc822; elsewhere@b.example\nAction: delivered"))
    assert (report.key, report.recipient) == (copy, "")


def test_the_recipient_is_the_one_that_we_gave():
    group = "Original-Recipient: rfc822;Ann+2Bshop@b.example\nFinal-Recipient: rfc822; other@c.example\nAction: failed"
    [report] = items(dsn("Reporting-MTA: dns; x", group))
    assert (report.key, report.recipient) == (KEY, "ann+shop@b.example")


def test_a_report_is_found_by_its_own_headers_where_ours_are_gone():
    group = "Final-Recipient: rfc822; a@b.example\nAction: failed"
    by_reference = dsn(group, head=f"References: <{KEY}@shop.example>", returned="Subject: x")
    by_address = dsn(group, head=f"To: {OWN.reply_address(KEY)}", returned="Subject: x")
    renamed = f"Message-ID: <1@gateway.example>\nReply-To: {OWN.reply_address(KEY)}"
    by_our_reply_address = dsn(group, returned=renamed)
    for came in (by_reference, by_address, by_our_reply_address):
        assert [(one.key, one.state) for one in items(came)] == [(KEY, State.FAILED)]


@pytest.mark.parametrize(
    ("disposition", "state"),
    [
        ("manual-action/MDN-sent-manually; displayed", State.READ),
        ("automatic-action/MDN-sent-automatically; displayed/error", State.READ),
        ("manual-action/MDN-sent-manually; deleted", State.DELIVERED),
        ("nonsense", State.DELIVERED),
    ],
)
def test_a_read_receipt_says_what_was_done(disposition, state):
    group = (
        f"Final-Recipient: rfc822; a@b.example\nOriginal-Message-ID: <{KEY}@shop.example>\nDisposition: {disposition}"
    )
    [report] = items(dsn(group, kind="disposition-notification"))
    assert (report.key, report.state, report.recipient, report.at) == (KEY, state, "a@b.example", AT)


def test_a_receipt_that_names_none_of_ours_stays_a_message():
    group = "Original-Message-ID: <x@else.example>\nDisposition: manual-action/MDN-sent-manually; displayed"
    assert message(dsn(group, kind="disposition-notification")).automatic


@pytest.mark.parametrize(
    "name", ["bounce_qmail", "bounce_exim", "bounce_gmail", "bounce_yahoo"]
)  # fmt: skip
def test_a_bounce_in_any_form_that_names_none_of_ours_stays_a_message(name):
    found = message(mail(name).replace(KEY.encode(), b"another"))
    assert found.automatic
    assert found.text


def test_a_warning_of_a_delay_is_no_failure():
    came = mail("bounce_exim").replace(b"Mail delivery failed: returning message to sender", b"Warning: message 1tEx delayed 24 hours")  # fmt: skip
    [report] = items(came.replace(b"X-Failed-Recipients: ann@customer.example\r\n", b""))
    assert isinstance(report, Report)
    assert (report.state, report.reason.partition(":")[0]) == (State.SENT, "delayed")


def test_a_persons_answer_that_quotes_a_failure_is_no_bounce():
    found = written(
        f"From: Ann <ann@customer.example>\nSubject: Re: Undelivered Mail Returned to Sender\nIn-Reply-To: <{KEY}@shop.example>",
        f"I got this:\n550 5.1.1 unknown user\n<{KEY}@shop.example>",
    )
    assert isinstance(found, Inbound)
    assert not found.automatic


def test_a_vacation_notice_is_no_bounce_even_without_a_return_path():
    came = mail("vacation").replace(b"Subject: Auto:", b"Subject: Undeliverable until Monday:").replace(b"Auto-Submitted", b"X-Autoreply: yes\r\nAuto-Submitted")  # fmt: skip
    assert message(came).follows == (KEY,)


def test_a_thousand_recipients_are_bounded():
    groups = [f"Final-Recipient: rfc822; a{n}@b.example\nAction: failed" for n in range(1000)]
    assert 90 <= len(items(dsn(*groups))) <= 200
