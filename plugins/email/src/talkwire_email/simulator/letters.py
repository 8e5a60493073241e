"""What the correspondent's mail program writes and shows, and what mail servers write by themselves."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import SMTP, compat32, default
from email.utils import format_datetime, formataddr
from typing import Any

SHOWN = 50_000  # characters of a text on the page
HEADERS = 16_000  # characters of headers on the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A mail as a mail program shows it."""

    sender: str  # as in the header
    to: str
    cc: str
    subject: str
    text: str  # the body that is shown
    kind: str  # of that body: `text/plain; charset=utf-8; format=flowed`
    is_plain: bool  # there is a text, and no HTML anywhere
    headers: str
    files: tuple[tuple[str, str, int], ...]  # name, media type, bytes


# --- written -----------------------------------------------------------------------------------------------


def written(
    *,
    who: str,
    name: str,
    to: str,
    subject: str,
    text: str,
    answers: bytes = b"",
    as_html: bool = False,
    with_id: bool = True,
    at: datetime,
) -> tuple[bytes, str]:
    """Write a mail as a mail program does; gives its bytes and its Message-ID, empty where it has none."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = formataddr((name, who))
    quoted = ""
    if answers:
        theirs = _read(answers)
        id_ = _header(theirs, "Message-ID")
        to = _header(theirs, "Reply-To") or _header(theirs, "From")
        subject = _header(theirs, "Subject")
        subject = subject if subject.lower().startswith("re:") else f"Re: {subject}"
        mail["In-Reply-To"] = id_
        mail["References"] = f"{_header(theirs, 'References')} {id_}".strip()
        on = at.strftime("%a, %d %b %Y at %H:%M")
        shown = opened(answers)
        quoted = f"On {on}, {shown.sender} wrote:\n" + "\n".join(f"> {line}" for line in shown.text.splitlines())
    mail["To"] = to
    mail["Subject"] = subject
    mail["Date"] = format_datetime(at)
    message_id = f"<{secrets.token_hex(12)}@{who.rpartition('@')[2]}>" if with_id else ""
    if message_id:
        mail["Message-ID"] = message_id
    mail.set_content(f"{text}\n\n{quoted}\n" if quoted else f"{text}\n")
    if as_html:
        rest = ""
        if quoted:
            line, _, said = quoted.partition("\n")
            said = "\n".join(one.removeprefix("> ") for one in said.splitlines())
            rest = (
                f'<br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">{_lines(line)}</div>'
                f'<blockquote class="gmail_quote" style="margin:0 0 0 .8ex;border-left:1px solid #ccc">{_lines(said)}</blockquote></div>'
            )
        mail.add_alternative(f'<html><body><div dir="ltr">{_lines(text)}</div>{rest}</body></html>', subtype="html")
    return mail.as_bytes(), message_id


def _lines(text: str) -> str:
    return html.escape(text).replace("\n", "<br>\n")


def out_of_office(answered: bytes, *, who: str, name: str, at: datetime) -> bytes:
    """Write what a mailbox answers by itself while its owner is away (RFC 3834)."""
    theirs = _read(answered)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = formataddr((name, who))
    mail["To"] = _header(theirs, "Reply-To") or _header(theirs, "From")
    mail["Subject"] = f"Automatic reply: {_header(theirs, 'Subject')}"
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = f"<{secrets.token_hex(12)}@{who.rpartition('@')[2]}>"
    mail["In-Reply-To"] = _header(theirs, "Message-ID")
    mail["Auto-Submitted"] = "auto-replied"
    mail["Precedence"] = "bulk"
    mail.set_content("I am away until Monday, and answer then.\n")
    return mail.as_bytes()


def delivery_report(
    sent: bytes, *, to: str, recipient: str, envid: str, server: str, failed: bool, at: datetime
) -> bytes:
    """Write what a mail server reports of a mail, to whoever sent it (RFC 3464)."""
    action, status, said = (
        ("failed", "5.1.1", "550 5.1.1 no such user here") if failed else ("delivered", "2.0.0", "250 2.0.0 Ok")
    )
    words = "could not be delivered" if failed else "was delivered"
    boundary = f"report-{secrets.token_hex(8)}"
    head = sent.partition(b"\r\n\r\n")[0]
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{server}>",
        f"To: {to}",
        f"Subject: {'Undelivered Mail Returned to Sender' if failed else 'Successful Mail Delivery Report'}",
        f"Date: {format_datetime(at)}",
        f"Message-ID: <{secrets.token_hex(12)}@{server}>",
        "Auto-Submitted: auto-replied",
        "Return-Path: <>",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is the mail system at host {server}. Your message {words}:",
        f"<{recipient}>: {said}",
        "",
        f"--{boundary}",
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; {server}",
        *([f"Original-Envelope-Id: {envid}"] if envid else []),
        f"Arrival-Date: {format_datetime(at)}",
        "",
        f"Final-Recipient: rfc822; {recipient}",
        f"Original-Recipient: rfc822;{recipient}",
        f"Action: {action}",
        f"Status: {status}",
        f"Diagnostic-Code: smtp; {said}",
        "",
        f"--{boundary}",
        "Content-Type: text/rfc822-headers",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + head + f"\r\n\r\n--{boundary}--\r\n".encode()


# --- shown -------------------------------------------------------------------------------------------------


def opened(raw: bytes) -> Letter:
    """Open a mail; what cannot be read is shown as it came."""
    mail = _read(raw)
    headers = raw.partition(b"\r\n\r\n")[0].decode("utf-8", "replace").replace("\r\n", "\n")
    text, kind, kinds, files = "", "", set(), []
    for part in mail.walk():
        if part.is_multipart():
            continue
        media = part.get_content_type()
        name = part.get_filename() or ""
        if media.startswith("text/") and not name and part.get_content_disposition() != "attachment":
            kinds.add(media)
            if not kind or (media == "text/plain" and not kind.startswith("text/plain")):
                kind = re.sub(r"\s+", " ", str(part.get("Content-Type", "text/plain")))
                text = _content(part)
            continue
        content = part.get_payload(decode=True)
        files.append((name or "without a name", media, len(content) if isinstance(content, bytes) else 0))
    return Letter(
        sender=_header(mail, "From"),
        to=_header(mail, "To"),
        cc=_header(mail, "Cc"),
        subject=_header(mail, "Subject"),
        text=text[:SHOWN],
        kind=kind or mail.get_content_type(),
        is_plain=kinds <= {"text/plain"} and kind.startswith("text/plain"),
        headers=headers[:HEADERS],
        files=tuple(files[:50]),
    )


def _content(part: Message) -> str:
    content = part.get_payload(decode=True)
    charset = part.get_content_charset() or "utf-8"
    try:
        text = content.decode(charset, "replace") if isinstance(content, bytes) else ""
    except LookupError:
        text = content.decode("latin-1") if isinstance(content, bytes) else ""
    text = text.replace("\r\n", "\n").rstrip("\n")
    if str(part.get_param("format", "")).lower() == "flowed":
        text = _flowed(text.split("\n"), joins=str(part.get_param("delsp", "")).lower() == "yes")
    return text


def _flowed(lines: Sequence[str], *, joins: bool) -> str:
    """Join what was wrapped only for the way (RFC 3676, 4)."""
    out: list[tuple[int, str]] = []
    goes_on = False
    for line in lines:
        said = line.lstrip(">")
        depth = len(line) - len(said)
        said = said.removeprefix(" ")
        if goes_on and out[-1][0] == depth and said != "-- ":
            before = out[-1][1]
            out[-1] = (depth, (before[:-1] if joins else before) + said)
        else:
            out.append((depth, said))
        goes_on = said.endswith(" ") and said != "-- "
    return "\n".join((">" * depth + " " if depth else "") + said.rstrip(" ") for depth, said in out)


def _read(raw: bytes) -> Message:
    return message_from_bytes(raw, policy=compat32)


def _header(mail: Message, name: str) -> str:
    """Give a header in readable characters, on one line; empty where it is not there."""
    raw: Any = mail.get(name)
    if raw is None:
        return ""
    folded = re.sub(r"\s*[\r\n]+\s*", " ", str(raw)).strip()
    if name in ("Message-ID", "References"):
        return folded
    try:
        return re.sub(r"[\r\n]+", " ", str(default.header_factory(name, folded)))
    except Exception:  # noqa: BLE001  the parser of headers raises whatever it likes; they are shown as they came
        return folded


def now() -> datetime:
    """Give the present moment."""
    return datetime.now(UTC)
