"""What the conformance kit needs to know about e-mail: a mail of each kind with what it means, and how servers answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any
from urllib.parse import urlsplit

from talkwire import Address, Enclosed, Inbound, Original, Part, Report, State
from talkwire.testing import NOON, Case, Sample, Seen
from talkwire_email.channel import Email
from talkwire_email.simulator import OURS, letters

from .provider import MAIL, PASSWORD, MailProvider
from .samples import SAMPLES as WRITTEN

NAME = "mail.correspondent.example"  # the other mail server
KEY = "01940000-0000-7000-8000-00000000c0de"  # `Outgoing.key` of what the kit sends
AT = NOON - timedelta(minutes=5)
DATE = AT.strftime("%a, %d %b %Y %H:%M:%S +0000")
ANN = Address(kind="email", value="ann@correspondent.example", name="Ann Lee")


def mail(*lines: str, body: str = "") -> bytes:
    """Write a mail as it lies in a mailbox."""
    head = (f"From: Ann Lee <{ANN.value}>", f"To: {OURS}", f"Date: {DATE}", *lines)
    return ("\r\n".join(head) + "\r\n\r\n" + body.replace("\n", "\r\n")).encode()


def sample(name: str, raw: bytes, *means: Any, source: str) -> Sample:
    """Make a sample of a mail that lies in the mailbox."""
    return Sample(
        name,
        body=raw,
        method="MAIL",
        path="/INBOX/7",
        headers={"content-type": "message/rfc822"},
        remote="127.0.0.1",
        means=means,
        source=source,
    )


TEXT = mail(
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
    "Message-ID: <first@correspondent.example>",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    body="Where is my parcel? Schöne Grüße\n",
)
ANSWER = mail(
    "Subject: Re: Your parcel",
    "Message-ID: <second@correspondent.example>",
    f"In-Reply-To: <{KEY}@shop.example>",
    "Content-Type: text/plain; charset=utf-8",
    body="Great, thank you.\n\nOn Mon, 23 Nov 2026 at 11:00, Kopi Kita wrote:\n> It arrives today.\n",
)
BOTH = mail(
    "Subject: A picture",
    "Message-ID: <third@correspondent.example>",
    "MIME-Version: 1.0",
    'Content-Type: multipart/mixed; boundary="outer"',
    body="""\
--outer
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=utf-8

Look at the lamp

--inner
Content-Type: text/html; charset=utf-8

<p>Look at the <b>lamp</b><script>alert(1)</script></p>

--inner--
--outer
Content-Type: image/png; name="lamp.png"
Content-Disposition: attachment; filename="lamp.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=

--outer--
""",
)
AWAY = mail(
    "Subject: Automatic reply: Your parcel",
    "Message-ID: <away@correspondent.example>",
    f"In-Reply-To: <{KEY}@shop.example>",
    "Auto-Submitted: auto-replied",
    body="I am away until Monday.\n",
)


def reported(recipient: str, *, envid: str = KEY, failed: bool = False) -> bytes:
    """Write what the other mail server reports of what the kit sent."""
    sent = f"From: {OURS}\r\nMessage-ID: <{KEY}@shop.example>\r\n\r\n".encode()
    return letters.delivery_report(
        sent, to=OURS, recipient=recipient, envid=envid, server=NAME, failed=failed, at=AT.replace(tzinfo=UTC)
    )


def said(id_: str, digest: str, text: str, **more: Any) -> Inbound:
    """Say what a mail of Ann's means."""
    name = f"<{id_}@correspondent.example>"
    return Inbound(
        external_id=f"{name}#{digest}", known_as=name, address=ANN, at=AT, text=text, **{"thread": name, **more}
    )


SAMPLES = (
    sample(
        "a mail",
        TEXT,
        said("first", "197b64c9e9cb", "Where is my parcel? Schöne Grüße", subject="Grüße"),
        source="RFC 5322, appendix A.1; RFC 2047",
    ),
    sample(
        "an answer to a mail of ours",
        ANSWER,
        said(
            "second",
            "34c1868ce6d4",
            "Great, thank you.",
            subject="Re: Your parcel",
            follows=(KEY,),
            blocks=(
                Original(
                    text="Great, thank you.\n\nOn Mon, 23 Nov 2026 at 11:00, Kopi Kita wrote:\n> It arrives today."
                ),
            ),
        ),
        source="RFC 5322, 3.6.4; the quote as Gmail writes it",
    ),
    sample(
        "text, HTML and a file",
        BOTH,
        said(
            "third",
            "6c7f85d1b72a",
            "Look at the lamp",
            subject="A picture",
            blocks=(
                Original(html="<p>Look at the <b>lamp</b></p>"),
                Enclosed(content=b"\x89PNG\r\n\x1a\n", name="lamp.png", media_type="image/png"),
            ),
        ),
        source="RFC 2046, 5.1",
    ),
    sample(
        "an automatic answer",
        AWAY,
        said(
            "away",
            "1be66292dd82",
            "I am away until Monday.",
            subject="Automatic reply: Your parcel",
            automatic=True,
            follows=(KEY,),
        ),
        source="RFC 3834, 3",
    ),
    sample(
        "a report of failure",
        reported(ANN.value, failed=True),
        Report(state=State.FAILED, at=AT, key=KEY, code="5.1.1", reason="550 5.1.1 no such user here"),
        source="RFC 3464, 2.3; as Postfix 3.7.11 writes it",
    ),
)


def _report(seen: Seen, _: str) -> Sample:
    """The server reports a delivery, under the ENVID that it was given."""
    raw = reported(seen.path, envid=seen.param("envid"))
    return sample("a report of delivery", raw, source="RFC 3464, 2.3; as Postfix 3.7.11 writes it")


def point_at(settings: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    """Point both servers at a provider of the kit, or at nowhere."""
    there = urlsplit(url)
    here = there.hostname == "127.0.0.1"
    both = {"host": there.hostname, "tls": "none" if here else "tls", "password": PASSWORD}
    port = there.port or 1
    return {
        **settings,
        "imap": {**both, "port": int(there.path.strip("/") or port), "check_every": 5, "since_days": 1},
        "smtp": {**both, "port": port},
    }


def case(channel: type[Email] = Email) -> Case:
    """Make the case of this channel, or of a broken one."""
    return Case(
        channel=channel,
        settings={
            "address": OURS,
            "name": "Kopi Kita",
            "imap": {"host": "imap.shop.example", "password": PASSWORD},
            "smtp": {"host": "smtp.shop.example", "password": PASSWORD},
        },
        samples=(*SAMPLES, *(one for one in WRITTEN if one.path == "/INBOX/7")),  # the other is too large to be fetched
        answers=MAIL,
        speaks=MailProvider,
        report=_report,
        part=Part(text="kit hello", payload='{"subject": "Your parcel"}'),
        address=ANN,
        point_at=point_at,
    )
