"""Mails as they come, each with what it means; for the kit, and for whoever needs a mail.

A file under samples/ begins with its source line; the mail follows, with LF for CRLF.
"""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from talkwire import Address, Enclosed, Inbound, Item, Original, Report, State, Unread
from talkwire.testing import Sample

FOLDER = Path(__file__).parent / "samples"
KEY = "01940000-0000-7000-8000-00000000c0de"  # of the part of ours that they speak of
OURS = "support@shop.example"  # the account's address
ANN = Address(kind="email", value="ann@customer.example", name="Ann Baker")
AT = datetime(2026, 11, 23, 9, 12, 30, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # when the kit's envelopes came
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def mail(name: str) -> bytes:
    """Give the bytes of a sample, as IMAP gives them."""
    return (FOLDER / f"{name}.eml").read_bytes().partition(b"\n")[2].replace(b"\n", b"\r\n")


def sample(name: str, *means: Item, path: str = "/INBOX/7", query: tuple[tuple[str, str], ...] = ()) -> Sample:
    """Make the envelope of a sample, with what it means."""
    source = (FOLDER / f"{name}.eml").read_bytes().partition(b"\n")[0].decode().removeprefix("source: ")
    return Sample(
        name,
        body=mail(name),
        method="MAIL",
        path=path,
        query=query,
        headers={"content-type": "message/rfc822"},
        remote="imap.shop.example",
        means=means,
        source=source,
    )


def wrote(message_id: str, digest: str, text: str, **more: Any) -> Inbound:
    """Say that somebody wrote a mail."""
    known_as = f"<{message_id}>" if message_id else ""
    external_id = f"{known_as}#{digest}"
    given = {"address": ANN, "at": AT, "thread": known_as or external_id, "known_as": known_as} | more
    return Inbound(external_id=external_id, text=text, **given)


def file(name: str, media_type: str, content: bytes, content_id: str = "") -> Enclosed:
    """Say that a file lay in a mail."""
    return Enclosed(name=name, media_type=media_type, content=content, content_id=content_id)


def told(state: State, code: str, reason: str, recipient: str = "") -> Report:
    """Say what became of the part."""
    return Report(key=KEY, state=state, at=AT, code=code, reason=reason, recipient=recipient)


SAMPLES: tuple[Sample, ...] = (
    sample(
        "plain",
        wrote(
            "1234@local.machine.customer.example",
            "02c7e3494362",
            "Hello,\n\norder 4711 has not arrived.\n\nAnn",
            subject="Where is my parcel?",
        ),
    ),
    sample(
        "gmail_reply",
        wrote(
            "CAHk-reply1@mail.gmail.com",
            "726f93da7843",
            "Yes, tomorrow morning is fine.",
            subject="Re: Where is my parcel?",
            follows=(KEY,),
            cc=("bob@customer.example",),
            blocks=(
                Original(
                    text="Yes, tomorrow morning is fine.\n\nOn Mon, Nov 23, 2026 at 9:30 AM Shop Support <support@shop.example>\nwrote:\n\n> Hello Ann,\n>\n> may we bring it tomorrow?",
                    html='<div dir="ltr">Yes, tomorrow <b>morning</b> is fine.</div><br><div><div dir="ltr">On Mon, Nov 23, 2026 at 9:30 AM Shop Support &lt;<a href="mailto:support@shop.example" rel="noopener noreferrer nofollow">support@shop.example</a>&gt; wrote:<br></div><blockquote>Hello Ann,<br><br>may we bring it tomorrow?<br></blockquote></div>',
                ),
            ),
        ),
    ),
    sample(
        "gmail_reply_indonesian",
        wrote(
            "CAHk-balas1@mail.gmail.com",
            "b48bc14503c5",
            "Baik, terima kasih 🙏",
            address=Address(kind="email", value="siti@pelanggan.example", name="Siti Nurhalızah"),
            subject="Re: Paket saya di mana? 📦",
            follows=(KEY,),
            blocks=(
                Original(
                    text="Baik, terima kasih 🙏\n\nPada tanggal Sen, 23 Nov 2026 pukul 15.30 Toko <support@shop.example>\nmenulis:\n\n> Halo Siti,\n>\n> paketnya kami kirim besok."
                ),
            ),
        ),
    ),
    sample(
        "outlook_reply",
        wrote(
            "DB9PR01MB0001@DB9PR01MB0001.eurprd01.prod.exchangelabs.com",
            "26b1ef3d3b55",
            "It’s here – thank you.\n\nKind regards\nAnn",
            subject="RE: Where is my parcel?",
            blocks=(
                Original(
                    text="It’s here – thank you.\n\nKind regards\nAnn\n\n________________________________\nFrom: Shop Support <support@shop.example>\nSent: 23 November 2026 09:30\nTo: Ann Baker <ann@customer.example>\nSubject: Re: Where is my parcel?\n\nMay we bring it tomorrow?",
                    html='<div>It’s here – thank you.</div> <div><br></div> <div>Kind regards</div> <div>Ann</div> <div></div> <hr> <div dir="ltr"><b>From:</b> Shop Support &lt;support@shop.example&gt;<br> <b>Sent:</b> 23 November 2026 09:30<br> <b>To:</b> Ann Baker &lt;ann@customer.example&gt;<br> <b>Subject:</b> Re: Where is my parcel?</div> <div>May we bring it tomorrow?</div>',
                ),
            ),
        ),
    ),
    sample(
        "apple_inline",
        wrote(
            "0A1B2C3D-0001@customer.example",
            "76e525de0c5e",
            "On 23 Nov 2026, at 09:30, Shop Support <support@shop.example> wrote:\n>\n> Which colour?\n\nBlue, please.\n\n> And which size?\n\nSize M – the café one.",
            subject="Re: Two questions",
            follows=(KEY,),
            blocks=(
                Original(
                    text="On 23 Nov 2026, at 09:30, Shop Support <support@shop.example> wrote:\n> \n> Which colour?\n\nBlue, please.\n\n> And which size?\n\nSize M – the café one.\n\n> Regards"
                ),
            ),
        ),
    ),
    sample(
        "forward",
        wrote(
            "CAHk-fwd1@mail.gmail.com",
            "54e5cbac5bec",
            "---------- Forwarded message ---------\nFrom: Billing <billing@else.example>\nDate: Sun, 22 Nov 2026 at 20:00\nSubject: Your invoice\nTo: <ann@customer.example>\n\n\nPlease pay 12 EUR.",
            subject="Fwd: Your invoice",
        ),
    ),
    sample(
        "attachments",
        wrote(
            "files-1@customer.example",
            "5941ba0aea84",
            "Here it is.\n\nA footer of a gateway.",
            subject="The receipt",
            blocks=(
                file("Résumé 2026.pdf", "application/pdf", b"%PDF-1.4 a receipt"),
                file("Schöne Grüße.png", "image/png", PICTURE),
            ),
        ),
    ),
    sample(
        "inline_picture",
        wrote(
            "inline-1@customer.example",
            "78ed9e9a2f21",
            "See the picture: [cracked.png]",
            subject="Broken",
            blocks=(
                Original(html='<p>See the picture: <img src="cid:part1@customer.example" alt="cracked"></p>'),
                file("cracked.png", "image/png", PICTURE, "part1@customer.example"),
            ),
        ),
    ),
    sample(
        "calendar",
        wrote(
            "invite-1@customer.example",
            "6de5b03b98f5",
            "We collect it at ten.",
            subject="Collection",
            blocks=(file("invite.ics", "text/calendar", b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"),),
        ),
    ),
    sample(
        "encrypted",
        wrote(
            "pgp-1@customer.example",
            "b39bb4f4f02c",
            "[This mail is encrypted. It can be read only with the key that it was written for.]",
            subject="...",
            blocks=(
                file(
                    "encrypted.asc",
                    "application/octet-stream",
                    b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA0\r\n-----END PGP MESSAGE-----\r\n",
                ),
            ),
        ),
    ),
    sample(
        "signed",
        wrote(
            "smime-1@customer.example",
            "f150645d0692",
            "I want my money back.",
            subject="Signed",
            blocks=(file("smime.p7s", "application/pkcs7-signature", b"0 signature"),),
        ),
    ),
    sample(
        "tnef",
        wrote(
            "tnef-1@customer.example",
            "2f48c7a0a0bf",
            "See the table.",
            subject="Rich text",
            blocks=(file("winmail.dat", "application/ms-tnef", b'x\x9f>"tnef'),),
        ),
    ),
    sample(
        "broken",
        wrote(
            "",
            "97f9d58e2974",
            "Gréße",
            address=Address(kind="email", value="ann@customer.example", name="René Baker"),
            at=NOON,
            subject="Café",
            blocks=(Original(html="<p>Gréße</p>"),),
        ),
    ),
    sample(
        "newsletter",
        wrote(
            "news-1@news.example",
            "f653006123aa",
            "This week\n\nRead the first (https://news.example/1) & more.\n\n- one\n- two\n\nGo",
            address=Address(kind="email", value="news@news.example", name="The News"),
            subject="This week",
            automatic=True,
            answer_at="editors@news.example",
            blocks=(
                Original(
                    html='<h1>This week</h1><p>Read <a href="https://news.example/1" rel="noopener noreferrer nofollow">the first</a> &amp; more.</p> <ul><li>one</li><li>two</li></ul> Go'
                ),
            ),
        ),
    ),
    sample(
        "vacation",
        wrote(
            "vac-1@customer.example",
            "782950c5563b",
            "I am away until 30 November. Your message will not be delivered to anybody else.",
            subject="Auto: Re: Where is my parcel?",
            automatic=True,
            follows=(KEY,),
        ),
    ),
    sample(
        "too_large",
        wrote(
            "large-1@customer.example",
            "ec18903962ca",
            "[Only the header of this mail is here: it is too large (30.0 MiB), or its server could not give it. The mail lies in the mailbox.]",
            subject="The film",
            follows=(KEY,),
        ),
        path="/INBOX/7/headers",
        query=(("size", "31457280"),),
    ),
    sample(
        "bounce_postfix",
        told(
            State.FAILED,
            "5.1.1",
            "550 5.1.1 <ann@customer.example>: Recipient address rejected: User unknown in virtual mailbox table",
        ),
    ),
    sample(
        "bounce_exchange",
        told(
            State.FAILED,
            "5.1.10",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            "ann@customer.example",
        ),
    ),
    sample("bounce_exim", told(State.FAILED, "5.7.1", "554 5.7.1 Relay access denied", "ann@customer.example")),
    sample(
        "bounce_gmail",
        told(
            State.FAILED,
            "5.1.1",
            "550 5.1.1 The email account that you tried to reach does not exist.",
            "ann@customer.example",
        ),
    ),
    sample(
        "bounce_qmail",
        told(State.FAILED, "5.1.1", "Remote host said: 550 5.1.1 No such user here", "ann@customer.example"),
    ),
    sample(
        "bounce_yahoo",
        told(State.FAILED, "5.7.9", "554: 5.7.9: Message not accepted for policy reasons.", "ann@customer.example"),
    ),
    sample(
        "bounce_of_copies",
        told(State.FAILED, "5.2.2", "552 5.2.2 Mailbox full", "ann@customer.example"),
        told(State.DELIVERED, "2.1.5", "", "bob@customer.example"),
    ),
    sample("dsn_delivered", told(State.DELIVERED, "2.0.0", "delivered to mailbox")),
    sample("dsn_relayed", told(State.SENT, "2.0.0", "relayed")),
    sample(
        "dsn_delayed",
        told(
            State.SENT, "4.4.1", "delayed: connect to mx.customer.example: Connection timed out", "ann@customer.example"
        ),
    ),
    sample("read_receipt", told(State.READ, "", "displayed", "ann@customer.example")),
    sample(
        "bounce_of_another",
        wrote(
            "20261123091230.bounce_of_another@mail.shop.example",
            "d39d8caf3502",
            "It could not be delivered.",
            address=Address(kind="email", value="mailer-daemon@mail.shop.example", name="Mail Delivery System"),
            subject="Undelivered Mail Returned to Sender",
            automatic=True,
            blocks=(
                file(
                    "delivery-status.txt",
                    "message/delivery-status",
                    b"Reporting-MTA: dns; relay.provider.example\r\n\r\nFinal-Recipient: rfc822; someone@else.example\r\nAction: failed\r\nStatus: 5.1.1\r\n",
                ),
                file(
                    "headers.txt",
                    "text/rfc822-headers",
                    b"From: support@shop.example\r\nTo: ann@customer.example\r\nSubject: Re: Where is my parcel?\r\nMessage-ID: <other@else.example>\r\n",
                ),
            ),
        ),
    ),
    sample(
        "complaint",
        wrote(
            "20261123091230.complaint@mail.shop.example",
            "87e936a0d436",
            "This is an email abuse report.",
            address=Address(kind="email", value="feedback@provider.example", name=""),
            subject="FW: Re: Where is my parcel?",
            automatic=True,
            blocks=(
                file(
                    "feedback-report.txt",
                    "message/feedback-report",
                    b"Feedback-Type: abuse\r\nUser-Agent: SomeGenerator/1.0\r\nVersion: 1\r\n",
                ),
                file(
                    "Re: Where is my parcel?.eml",
                    "message/rfc822",
                    b"From: support@shop.example\r\nTo: ann@customer.example\r\nSubject: Re: Where is my parcel?\r\nMessage-ID: <01940000-0000-7000-8000-00000000c0de@shop.example>\r\n",
                ),
            ),
        ),
    ),
    sample("own_return"),
    sample("own_return_renamed"),
    sample(
        "nobody", Unread(reason="nobody can be answered: there is no address in From, Sender, Reply-To or Return-Path")
    ),
)
