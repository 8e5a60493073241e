"""What the kit must know about Kannel: what it sends us, what that means, how it answers."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from talkwire import Address, Inbound, Report, State, Unread
from talkwire.testing import Answers, Case, Reply, Sample
from talkwire.testing.case import with_param
from talkwire_smsgate import SmsGate

SAMPLES = Path(__file__).parent / "samples"
TOKEN = "kit-token-0123456789"
SETTINGS = {
    "url": "http://kannel.example:13013/cgi-bin/sendsms",
    "username": "talkwire",
    "password": "kit-password-0123456789",
    "sender": "13013",
    "callback_url": "http://talkwire.example/in/sms",
    "token": TOKEN,
}
KEY = "01940000-0000-7000-8000-00000000c0de"
AT = datetime(2026, 11, 22, 18, 47, 24, tzinfo=UTC)
CUSTOMER = Address(kind="phone", value="+6281234567890")


def pairs(query):
    """Read a query as the core does: bytes that are not UTF-8 become surrogate escapes."""
    return tuple(parse_qsl(query, keep_blank_values=True, errors="surrogateescape"))


def sample(name, *means):
    source, query = (SAMPLES / f"{name}.query").read_text().splitlines()
    return Sample(name, query=pairs(query), means=means, source=source.removeprefix("source: "))


def said(external_id, text):
    return Inbound(external_id=external_id, address=CUSTOMER, at=AT, text=text)


def reported(seen, _id):
    """The report that a request asks for in its dlr-url, filled in as Kannel does it."""
    url = seen.param("dlr-url").replace("%d", "1").replace("%T", "1795373244").replace("%A", "")
    return Sample("delivered", query=[pair for pair in pairs(urlsplit(url).query) if pair[0] != "token"])


def answer(status, words):
    return lambda *_: Reply.text(words, status=status)


case = Case(
    channel=SmsGate,
    settings=SETTINGS,
    sign=lambda envelope: with_param(envelope, "token", TOKEN),
    samples=(
        sample("message", said("9f62e50a-7ffc-48b1-a6e7-2f0a223fd195", "Halo, apa kabar? 1+1=2 & 100%")),
        sample("message_recoded", said("c47cb903-d7ad-48ca-a131-f1381f952614", "Terima kasih 🙏")),
        sample("message_ucs2", said("7936ec84-7fcc-4f07-90ac-b2e1f0e8da66", "Terima kasih 🙏")),
        sample("message_data", Unread("text is not in charset '8-BIT'")),
        sample("report_accepted", Report(key=KEY, state=State.SENT, at=AT, reason="ACK/")),
        sample("report_delivered", Report(key=KEY, state=State.DELIVERED, at=AT)),
        sample("report_failed", Report(key=KEY, state=State.FAILED, at=AT, code="2", reason="UNDELIV")),
        sample("report_rejected", Report(key=KEY, state=State.FAILED, at=AT, code="16", reason="NACK/REJECTED")),
        sample("report_buffered"),
    ),
    unknown=(sample("report_unknown"),),
    answers=Answers(
        accept=answer(202, "0: Accepted for delivery"),
        refuse=answer(400, "Sender missing and no global set, rejected"),
        busy=None,  # its 503 names no time to wait; test_smsgate.py has it
        unauthorised=answer(403, "Authorization failed for sendsms"),
        down=answer(500, "Sending failed."),
    ),
    report=reported,
    address=CUSTOMER,
)
