"""Notifications as a mail: its headers, its text, and the same as HTML.

    notification ─▶ Letter (words, links) ─▶ mail.txt ─┐
                                          └▶ mail.html ─┴▶ multipart/alternative, seven bits

Sources: RFC 5322; RFC 2047, 5; RFC 3834, 5 (Auto-Submitted); RFC 2369 and RFC 8058 (List-Unsubscribe); MS-OXCMAIL, 2.2.3.2.14
(X-Auto-Response-Suppress); read 2026-11-28.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from talkwire import Notification, Recipient, Refused, Style

from .sending import Mail
from .settings import NotifyEmailSettings
from .wording import Words

_LINES = 60  # of a notification's text; its characters are limited by the features
_SUBJECT = 180  # characters
_LINE = 75  # characters of a header's line
_WORD = 60  # characters of a word that a line has room for
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control characters, lone surrogates
# What turns the direction of all behind it: in a mail until the end of its line, in a list of subjects who knows.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ADDRESS = re.compile(r"([^\s@<>\"(),:;\\\[\]]{1,64})@([^\s@<>\"(),:;\\\[\]]{1,255})")
_PLAIN = re.compile(r"[A-Za-z0-9 !#$%&'*+/^_`{|}~-]+")


@dataclass(frozen=True, slots=True)
class Button:
    """A link that looks like a button."""

    label: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One notification as the mail tells it."""

    title: str
    lines: tuple[str, ...]
    details: tuple[tuple[str, str], ...]
    buttons: tuple[Button, ...]
    at: str
    is_alert: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What the mail tells of one conversation."""

    entries: tuple[Entry, ...]
    url: str  # that shows the conversation; empty: none


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where the links of one mail lead; each empty where there is none."""

    answer: Mapping[str, str]  # notification → page that asks once more
    off: str = ""


def mail_id(notifications: Sequence[Notification]) -> str:
    """Give the left half of the Message-ID: the same notifications again are the same mail."""
    if len(notifications) == 1:
        return notifications[0].id
    return str(uuid5(NAMESPACE_URL, "talkwire digest " + " ".join(sorted(one.id for one in notifications))))


def compose(
    notifications: Sequence[Notification],
    recipient: Recipient,
    *,
    settings: NotifyEmailSettings,
    links: Links,
    words: Words,
    zone: str,
    now: datetime,
) -> Mail:
    """Write one mail about one notification or several. Errors: `Refused` where the address is none."""
    to = canonical(recipient.email)
    local_now = now.astimezone(ZoneInfo(zone))
    groups = _groups(notifications, settings, links, words, zone)
    is_alert = any(one.style is Style.ALERT for one in notifications)
    values = {
        "words": words,
        "groups": groups,
        "count": len(notifications),
        "head": words("several_head", count=len(notifications)) if len(notifications) > 1 else "",
        "subject": _subject(notifications, words),
        "from_whom": words("from_whom", recipient=clean(recipient.name), name=settings.name),
        "off": links.off,
        "has_answers": any(links.answer.get(one.id) for one in notifications),
    }
    body = EmailMessage(policy=policy.SMTP)
    body.set_content(_template("mail.txt").render(values), charset="utf-8", cte="quoted-printable")
    body.add_alternative(_template("mail.html").render(values), subtype="html", charset="utf-8", cte="quoted-printable")
    id_ = mail_id(notifications)
    fields = [
        ("From", f"{_phrase(settings.name)}<{settings.sender}>"),
        ("To", f"<{to}>"),
        ("Subject", _encoded("Subject", _subject(notifications, words))),
        ("Date", format_datetime(local_now)),
        ("Message-ID", f"<{id_}@{settings.domain}>"),
        *_thread(notifications, settings),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("List-Id", f"<notifications.{settings.domain}>"),
        *([("List-Unsubscribe", f"<{links.off}>")] if links.off else []),
        *([("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")] if links.off.startswith("https:") else []),
        *([("Importance", "high")] if is_alert else []),
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return Mail(id=id_, recipient=to, content=head.encode() + body.as_bytes())


def canonical(address: str) -> str:
    """Give an address as it stands in a mail. Errors: `Refused` where it is none."""
    found = _ADDRESS.fullmatch(address.strip())
    if found is None:
        raise Refused("the recipient's email is no mail address")
    try:
        return f"{found[1]}@{found[2].encode('idna').decode()}"
    except UnicodeError:
        raise Refused("the recipient's email has a domain that cannot be") from None


def clean(text: str) -> str:
    """Give a text of others in one line."""
    return _FORBIDDEN.sub("", " ".join(text.split()))


def time_of(at: datetime, words: Words, zone: str) -> str:
    """Give a moment for people: `28 November 2026, 21:04 (UTC)`."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local.day} {words.months()[local.month - 1]} {local.year}, {local:%H:%M} ({local.tzname()})"


def _subject(notifications: Sequence[Notification], words: Words) -> str:
    newest = notifications[-1]
    title = clean(_TURNING.sub("", newest.title)) or clean(newest.kind)
    if len(notifications) > 1:
        is_one = bool(newest.conversation) and {one.conversation for one in notifications} == {newest.conversation}
        more = {"title": title, "count": len(notifications) - 1 if is_one else len(notifications)}
        title = words("several_of_one" if is_one else "several", **more)
    return title if len(title) <= _SUBJECT else title[: _SUBJECT - 1] + "…"


def _groups(
    notifications: Sequence[Notification], settings: NotifyEmailSettings, links: Links, words: Words, zone: str
) -> list[Group]:
    found: dict[str, list[Notification]] = {}
    for one in notifications:
        found.setdefault(one.conversation or one.id, []).append(one)
    groups = []
    for together in found.values():
        conversation = together[0].conversation
        url = settings.conversation_url.replace("{conversation}", conversation) if conversation else ""
        # The buttons of the newest: what it asks is what stands.
        entries = [_entry(one, links, url, words, zone, with_buttons=one is together[-1]) for one in together]
        # A button that opens it is a link already.
        opens = any(button.url == url for entry in entries for button in entry.buttons)
        groups.append(Group(entries=tuple(entries), url="" if opens else url))
    return groups


def asks(notification: Notification) -> bool:
    """Say whether a notification has a button that answers it."""
    return any(option.id not in notification.opens for option in notification.actions)


def _entry(one: Notification, links: Links, talk: str, words: Words, zone: str, *, with_buttons: bool) -> Entry:
    answer = links.answer.get(one.id, "")
    urls = {
        option.id: talk if option.id in one.opens else answer and f"{answer}?press={quote(option.id, safe='')}"
        for option in one.actions
    }
    buttons = [Button(clean(option.title), urls[option.id]) for option in one.actions if urls[option.id]]
    return Entry(
        title=clean(one.title) or clean(one.kind),
        lines=_excerpt(one.text, words),
        details=tuple((clean(detail.label), clean(detail.value)) for detail in one.details),
        buttons=tuple(buttons) if with_buttons else (),
        at=time_of(one.at, words, zone) if one.at is not None else "",
        is_alert=one.style is Style.ALERT,
    )


def _excerpt(text: str, words: Words) -> tuple[str, ...]:
    """Give the lines of a text, or the first of them."""
    lines = [clean(line) for line in text.strip().splitlines()]
    return (*lines[:_LINES], words("cut")) if len(lines) > _LINES else tuple(lines)


def _thread(notifications: Sequence[Notification], settings: NotifyEmailSettings) -> list[tuple[str, str]]:
    """Let mail programs show the mails of a conversation together: all of them follow one that never was."""
    about = {one.conversation for one in notifications}
    if len(about) != 1 or not (conversation := about.pop()):
        return []
    root = f"<conversation.{re.sub(r'[^A-Za-z0-9-]', '', conversation)}@{settings.domain}>"
    return [("In-Reply-To", root), ("References", root)]


def _encoded(name: str, value: str) -> str:
    """Write free text as the value of a header; what looks like an encoded word is encoded itself (RFC 2047, 5)."""
    if value.isascii() and "=?" not in value and all(len(word) < _WORD for word in value.split()):
        return Header(value, "us-ascii", maxlinelen=_LINE, header_name=name).encode(linesep="\r\n")
    return Header(value, "utf-8", maxlinelen=_LINE, header_name=name).encode(linesep="\r\n")


def _phrase(name: str) -> str:
    """Write the name beside an address, a space behind it; empty for none."""
    name = clean(name)
    if not name:
        return ""
    if _PLAIN.fullmatch(name):
        return f"{name} "
    if name.isascii() and "=?" not in name:
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '" '
    return Header(name, "utf-8", maxlinelen=_LINE, header_name="From").encode(linesep="\r\n") + " "


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("talkwire_notify_email"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> Template:
    return _environment().get_template(name)


def page(values: Mapping[str, object]) -> str:
    """Write the page that a link leads to."""
    return str(_template("page.html").render(values))
