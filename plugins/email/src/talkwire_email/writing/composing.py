"""A mail as the bytes that go out, the same ones at every attempt and for everybody who gets it.

Built by hand: the standard library's `EmailMessage` costs ten times as much, and knows no `format=flowed`.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

from talkwire import Outgoing, Refused

from ..addresses import Mailbox, mailbox
from ..own import Own
from ..settings import EmailSettings
from . import headers
from .cleaning import clean
from .flowed import flowed
from .letter import Letter

_REFERENCES = 20  # ids in References: the first, and the last before this one
_ID = re.compile(r"<[^<>\s\x00-\x20\x7f-\x9f]{1,250}>")
_LONGEST = 900  # bytes of a line that goes out as it is (RFC 5322, 2.1.1: 998)
_BASE64_LINE = 76  # characters (RFC 2045, 6.8)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMED = 7  # version of a UUID that begins with its moment in milliseconds (RFC 9562, 5.7)
# Programs show these types in place or take them apart; whoever attaches such a file wants it to arrive as a file. A mail
# of ours has no part that could be shown as HTML.
_AS_BYTES = re.compile(
    r"text/html|text/xml|application/xhtml\+xml|image/svg\+xml|message/.*|multipart/.*", re.IGNORECASE
)
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class File:
    """One attachment with its content."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What is handed to the server."""

    recipient: str  # the one who gets this copy, the domain in ASCII
    content: bytes = field(repr=False)  # lines end in CR LF, the last one too
    is_ascii: bool  # False: headers hold other letters, so the server must know SMTPUTF8


def compose(
    out: Outgoing, letter: Letter, files: tuple[File, ...], *, own: Own, settings: EmailSettings, now: datetime
) -> Mail:
    """Build a mail.

    Everybody who gets it has the same one: what is in it comes from `copy_of` where that is set. Who gets a blind copy
    stands nowhere in it.

    Errors: `Refused` for an address that cannot be written to.
    """
    key = out.copy_of or out.key
    main, copies = _usable(letter.to or out.address.value), [_usable(value) for value in letter.cc]
    recipient = _usable(out.recipient) if out.recipient else main
    shown = [main, *copies, *filter(None, [mailbox(own.address)])]
    is_ascii = all(one.is_ascii for one in (*shown, recipient))
    head = "".join(
        (
            headers.field("Date", [format_datetime(_moment(key, now))]),
            headers.field("From", [*headers.phrase(settings.name), f"<{_usable(own.address).value}>"]),
            headers.field("To", _to(main, out.address.name)),
            headers.field("Cc", _listed(copies)) if copies else "",
            headers.field("Reply-To", [*headers.phrase(settings.name), f"<{own.reply_address(key)}>"])
            if settings.plus and own.secret
            else "",
            headers.field("Subject", headers.text(letter.subject)),
            headers.field("Message-ID", [own.message_id(key)]),
            _following(out, own.message_id(key)),
            headers.field("Auto-Submitted", ["auto-replied"]) if out.automatic else "",
            headers.field("X-Auto-Response-Suppress", ["All"]) if out.automatic else "",
            headers.field("X-Talkwire-Loop", [own.address]),
            headers.field("Disposition-Notification-To", [f"<{own.address}>"])
            if settings.read_receipts and not out.automatic
            else "",
            "MIME-Version: 1.0\r\n",
        )
    )
    body = _text(out.part.text)
    if files:
        boundary = f"=_{key.replace('-', '')}"
        kind = headers.field("Content-Type", ["multipart/mixed;", f'boundary="{boundary}"']).encode()
        parts = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in (body, *map(_attached, files)))
        body = b"%b\r\n%b--%b--\r\n" % (kind, parts, boundary.encode())
    return Mail(recipient=recipient.value, content=head.encode("utf-8", "replace") + body, is_ascii=is_ascii)


def _usable(value: str) -> Mailbox:
    if (found := mailbox(value)) is None:
        raise Refused(f"{value!r} is no e-mail address", code="bad_address")
    return found


def _moment(key: str, now: datetime) -> datetime:
    """Say when a mail was written: its key tells, so that it is the same at every attempt and for everybody."""
    made = UUID(key)
    return _EPOCH + timedelta(seconds=(made.int >> 80) // 1000) if made.version == _TIMED else now


def _to(main: Mailbox, name: str) -> list[str]:
    return [*headers.phrase(name), f"<{main.value}>"]


def _listed(copies: list[Mailbox]) -> list[str]:
    *others, last = (f"<{one.value}>" for one in copies)
    return [*(f"{one}," for one in others), last]


def _following(out: Outgoing, own_id: str) -> str:
    """Give In-Reply-To and References; what is no Message-ID is left out, and the first of a long talk is kept."""
    earlier = [name for name in dict.fromkeys((out.thread, *out.references)) if name != own_id and _ID.fullmatch(name)]
    answered = next((name for name in (out.reply_to, out.last_inbound, *earlier[-1:]) if _ID.fullmatch(name)), "")
    if not answered:
        return ""
    chain = [*(name for name in earlier if name != answered), answered]
    if len(chain) > _REFERENCES:
        chain = [chain[0], *chain[1 - _REFERENCES :]]
    return headers.field("In-Reply-To", [answered]) + headers.field("References", chain)


def _text(said: str) -> bytes:
    lines = flowed(clean(said))
    kind = "Content-Type: text/plain; charset=utf-8; format=flowed\r\n"
    if lines.isascii() and max(map(len, lines.split("\r\n"))) <= _LONGEST:
        return f"{kind}Content-Transfer-Encoding: 7bit\r\n\r\n{lines}".encode()
    encoded = binascii.b2a_qp(lines.replace("\r\n", "\n").encode("utf-8", "replace"), istext=True)
    return f"{kind}Content-Transfer-Encoding: quoted-printable\r\n\r\n".encode() + encoded.replace(b"\n", b"\r\n")


def _attached(file: File) -> bytes:
    kind = file.media_type if _TYPE.fullmatch(file.media_type) and not _AS_BYTES.fullmatch(file.media_type) else ""
    name = headers.parameter("filename", file.name or "file")
    said = ["attachment;", *(f"{one};" for one in name[:-1]), name[-1]]
    head = (
        f"Content-Type: {kind or 'application/octet-stream'}\r\n"
        f"Content-Transfer-Encoding: base64\r\n{headers.field('Content-Disposition', said)}\r\n"
    )
    encoded = binascii.b2a_base64(file.content, newline=False)
    lines = (encoded[at : at + _BASE64_LINE] for at in range(0, len(encoded), _BASE64_LINE))
    return head.encode() + b"\r\n".join(lines) + b"\r\n"
