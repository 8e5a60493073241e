"""Short mails for tests, and what our reading makes of them."""

from __future__ import annotations

from talkwire import Enclosed, Envelope, Inbound, Item, Original
from talkwire_email.own import Own
from talkwire_email.reading import read

from .samples import NOON, OURS

OWN = Own(address=OURS, aliases=("hilfe@shop.example",), secret=b"s" * 32)
FROM = b"From: Ann <ann@customer.example>\r\n"


def envelope(mail: bytes, *, path: str = "/INBOX/7", **query: str) -> Envelope:
    """Give a mail as the mailbox gives it."""
    return Envelope(
        endpoint="support",
        method="MAIL",
        path=path,
        headers={"content-type": "message/rfc822"},
        query=tuple(query.items()),
        body=mail,
        remote="imap.shop.example",
        received_at=NOON,
    )


def items(mail: bytes, own: Own = OWN, **query: str) -> tuple[Item, ...]:
    """Read a mail."""
    return tuple(read(envelope(mail, **query), own))


def message(mail: bytes, own: Own = OWN, **query: str) -> Inbound:
    """Read a mail that is a message; one without a sender comes from Ann."""
    head = mail.replace(b"\r\n", b"\n").partition(b"\n\n")[0].lower()
    [item] = items(mail if b"from:" in head else FROM + mail, own, **query)
    assert isinstance(item, Inbound), item
    return item


def written(head: str, body: str | bytes = "", **query: str) -> Inbound:
    """Read a mail of these headers, one a line."""
    content = body if isinstance(body, bytes) else body.replace("\n", "\r\n").encode()
    return message(head.strip().replace("\n", "\r\n").encode() + b"\r\n\r\n" + content, **query)


def files(found: Inbound) -> list[tuple[str, str, bytes]]:
    """Give name, type and content of the files of a message."""
    return [(one.name, one.media_type, one.content) for one in found.blocks if isinstance(one, Enclosed)]


def original(found: Inbound) -> Original:
    """Give the whole of a message; empty where its text is the whole."""
    return next((one for one in found.blocks if isinstance(one, Original)), Original())
