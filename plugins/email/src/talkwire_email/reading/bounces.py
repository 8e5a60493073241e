"""What mail servers and mail programs say became of a mail of ours.

    delivery report (RFC 3464)      failed → FAILED, delivered → DELIVERED, relayed and expanded → SENT, delayed → SENT
    read receipt (RFC 8098)         displayed → READ, anything else that names our mail → DELIVERED
    a bounce in any other form      FAILED, where it names a Message-ID of ours; "delayed" → SENT

`SENT` changes nothing in a part that was sent; it is kept with its reason, so a trace shows why a mail is still on its
way. What names no mail of ours is no report: it stays a message from a machine, and nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from talkwire import Report, State

from ..own import Own
from .addresses import addresses, canonical
from .charsets import text_of
from .headers import Headers, blank_line, split
from .identity import follows, message_id
from .robots import has_null_return_path
from .structure import Part
from .words import clean, decoded

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KEY = re.compile(_UUID)
_AN_ID = re.compile(rf"<?{_UUID}@[A-Za-z0-9.-]{{1,255}}>?")
_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_MDN_TYPES = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_RETURNED_TYPES = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
_STATES = {
    "failed": State.FAILED,
    "delivered": State.DELIVERED,
    "relayed": State.SENT,
    "expanded": State.SENT,
    "delayed": State.SENT,
}
_BY_CLASS = {"2": "delivered", "4": "delayed", "5": "failed"}
_CODE = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.]*\d)")
_BASIC = re.compile(r"(?<![\d.])[45]\d\d(?=[ -])")
_MOST = 100  # recipients of one report
_READ = 256 * 1024  # bytes of a part that are searched
_DAEMON = re.compile(
    r"(mailer-daemon|mail-daemon|maildaemon|postmaster|mailerdaemon|bounces?|microsoftexchange[0-9a-f]+)([+=_-].*)?"
)
_FAILED = re.compile(
    r"undeliver|not delivered|could ?n.t be delivered|delivery (status notification|failure|failed|has failed|problem)"
    r"|failure notice|returned (mail|to sender)|mail delivery (failed|failure|system|error)|delivery error|non.?delivery"
    r"|mail system error|message (blocked|rejected)|unzustellbar|tidak (dapat )?terkirim|gagal (ter)?kirim|bounced?\b",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"delayed|\bdelay\b|will be retried|still being retried|tertunda|warning: could not send", re.IGNORECASE
)
_VACATION = frozenset({"x-autoreply", "x-autorespond", "x-autoresponder", "x-mail-autoreply"})
_QMAIL = re.compile(r"^<([^<>\s]{3,320})>:\s*$", re.MULTILINE)
_WITH_REASON = re.compile(r"^.{0,200}?(?<![\d.])(?:[45]\d\d[ -]|[45]\.\d{1,3}\.\d{1,3}\b).{0,300}", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Recipient:
    address: str  # empty where it is not named
    action: str
    code: str
    reason: str


def reports(mail: Part, sender: str, at: datetime, own: Own) -> tuple[Report, ...]:
    """Give what a mail says of mails of ours; nothing where it is none that reports, or names none of ours."""
    parts = mail.walk()
    if receipts := [part for part in parts if part.type.main in _MDN_TYPES]:
        return tuple(_read_receipts(receipts, at, own))
    statuses = [part for part in parts if part.type.main in _STATUS_TYPES]
    if statuses:
        return _by_status(mail, parts, statuses, at, own)
    return _by_its_words(mail, parts, sender, at, own)


def _by_status(mail: Part, parts: list[Part], statuses: list[Part], at: datetime, own: Own) -> tuple[Report, ...]:
    recipients: list[_Recipient] = []
    key = ""
    for part in statuses:
        for group in _groups(part.content(_READ)):
            if group.has("final-recipient") or group.has("action") or group.has("status"):
                recipients.append(_recipient(group))
            elif found := _KEY.search(_xtext(group.raw("original-envelope-id"))):
                key = found[0]
    if key:
        # Our ENVID is the key of one part for one person; whom it names went another way from there.
        return tuple(_made(key, "", one, at) for one in recipients[:_MOST])
    key = _returned(parts, own) or _named(mail, own)
    return tuple(_made(key, one.address, one, at) for one in recipients[:_MOST]) if key else ()


def _recipient(group: Headers) -> _Recipient:
    code = _CODE.search(group.raw("status"))
    diagnostic = decoded(group.raw("diagnostic-code"))
    kind, semicolon, said = diagnostic.partition(";")
    reason = clean(said if semicolon and len(kind) < 20 else diagnostic, 500)
    code = code or _CODE.search(reason)
    said_action = re.match(r"[a-z]*", group.raw("action").lower())
    action = said_action[0] if said_action else ""
    if action not in _STATES:
        action = _BY_CLASS.get(code[0][0], "failed") if code else "failed"
    address = _address(group.raw("original-recipient")) or _address(group.raw("final-recipient"))
    return _Recipient(address, action, code[0] if code else "", reason)


def _address(value: str) -> str:
    """Give the address of `rfc822; ann@shop.example`."""
    kind, semicolon, address = value.partition(";")
    address = address if semicolon else kind
    return canonical(_xtext(address.strip()).strip("<>"))


def _made(key: str, recipient: str, one: _Recipient, at: datetime) -> Report:
    reason = one.reason
    if one.action not in ("delivered", "failed"):
        reason = f"{one.action}: {reason}" if reason else one.action
    return Report(key=key, recipient=recipient, state=_STATES[one.action], at=at, code=one.code, reason=reason)


def _read_receipts(parts: Iterable[Part], at: datetime, own: Own) -> Iterator[Report]:
    for part in parts:
        for group in _groups(part.content(_READ)):
            key = own.key_of_id(group.raw("original-message-id"))
            if key:
                kind = group.raw("disposition").rpartition(";")[2].partition("/")[0].strip().lower()
                state = State.READ if kind == "displayed" else State.DELIVERED
                recipient = _address(group.raw("final-recipient"))
                yield Report(key=key, recipient=recipient, state=state, at=at, reason=clean(kind, 50))
                break


def _by_its_words(mail: Part, parts: list[Part], sender: str, at: datetime, own: Own) -> tuple[Report, ...]:
    """Read a bounce that no standard describes (qmail, old Exim, Exchange, Yahoo)."""
    headers = mail.headers
    subject = headers.text("subject")
    is_daemons = bool(_DAEMON.fullmatch(sender.rpartition("@")[0] or sender)) or headers.has("x-failed-recipients")
    says_so = bool(_FAILED.search(subject) or _DELAYED.search(subject))
    if not (is_daemons or (has_null_return_path(headers) and says_so)) or any(headers.has(name) for name in _VACATION):
        return ()
    texts = [
        text_of(part.content(_READ), part.type.param("charset"))
        for part in parts
        if part.type.main.startswith("text/") and not part.is_multipart
    ]
    words = "\n".join(texts)[:_READ]
    if not (says_so or headers.has("x-failed-recipients") or _FAILED.search(words[:20_000])):
        return ()
    key = _returned(parts, own) or _mentioned(words, own) or _named(mail, own)
    if not key:
        return ()
    is_delay = bool(_DELAYED.search(subject)) and not headers.has("x-failed-recipients")
    line = _WITH_REASON.search(words)
    reason = clean(re.sub(r"<[^<>]{0,500}>", " ", line[0]) if line else subject, 500)
    code = _CODE.search(reason) or _BASIC.search(reason)
    failed = [one.value for value in headers.every("x-failed-recipients") for one in addresses(value)]
    failed = failed or [canonical(one) for one in _QMAIL.findall(words)]
    action = "delayed" if is_delay else "failed"
    told = [_Recipient(one, action, code[0] if code else "", reason) for one in failed or [""]]
    return tuple(_made(key, one.address, one, at) for one in told[:_MOST])


def _returned(parts: Iterable[Part], own: Own) -> str:
    """Give the key of the mail that came back with a report."""
    for part in parts:
        if part.type.main in _RETURNED_TYPES:
            content = part.content(_READ)
            headers, _ = split(content, 0, len(content), is_mail=True)
            if key := own.key_of_id(message_id(headers)):
                return key
            # A gateway gave it another Message-ID; the address that answers come to is as we wrote it.
            for one in addresses(headers.raw("reply-to")):
                if key := own.key_of_address(one.value):
                    return key
    return ""


def _mentioned(words: str, own: Own) -> str:
    return next((key for found in _AN_ID.findall(words) if (key := own.key_of_id(found))), "")


def _named(mail: Part, own: Own) -> str:
    """Give the key that the report's own headers name: it follows our mail, or came to its reply address."""
    return next((name for name in follows(mail.headers, own) if _KEY.fullmatch(name)), "")


def _groups(content: bytes) -> Iterator[Headers]:
    """Give the groups of fields that empty lines divide."""
    content = content.lstrip()
    at = 0
    for _ in range(_MOST * 2):
        if at >= len(content):
            return
        _, following = blank_line(content, at, len(content))
        headers, _ = split(content, at, following, is_mail=False)
        if headers.fields:
            yield headers
        at = following


def _xtext(value: str) -> str:
    """Decode `a+2Bb` (RFC 3461, chapter 4)."""
    return re.sub(r"\+([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), value[:1000])
