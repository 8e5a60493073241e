"""What tells a mail from others, and which others it follows.

Source: RFC 5322 chapter 3.6.4; RFC 2919 and providers' own headers for where a mail was delivered.
"""

from __future__ import annotations

import hashlib
import re

from ..own import Own
from .addresses import addresses
from .headers import Headers

_IN_BRACKETS = re.compile(r"<([^<>]{1,900})>")
_BARE = re.compile(r"[^\s<>,;\"()]{1,900}@[^\s<>,;\"()]{1,900}")
_FOLD = re.compile(r"[\t ]*[\r\n]+[\t ]*")
_MOST = 60  # names that a mail may follow
_DELIVERED = ("to", "cc", "delivered-to", "x-original-to", "x-delivered-to", "envelope-to", "x-forwarded-to")


def message_ids(headers: Headers, name: str) -> list[str]:
    """Give the Message-IDs of a field with their brackets, as they came: their letters' case tells them apart."""
    found: list[str] = []
    for value in headers.every(name):
        inside = [f"<{one.strip()}>" for one in _IN_BRACKETS.findall(_FOLD.sub("", value)) if one.strip()]
        found += inside or [f"<{one}>" for one in _BARE.findall(value)]
    return found


def message_id(headers: Headers) -> str:
    """Give the Message-ID of a mail with its brackets, empty where it has none."""
    found = message_ids(headers, "message-id")
    if found:
        return found[0]
    words = headers.raw("message-id").strip("<> ").split()
    return f"<{words[0][:900]}>" if words else ""


def digest(headers: Headers, body: bytes, sender: str) -> str:
    """Give 12 hex characters of what is the same on every way that a mail comes.

    Line ends and what follows the last line are left out: servers change them.
    """
    made = hashlib.sha256()
    for part in (sender, headers.raw("date"), " ".join(headers.text("subject").split())):
        made.update(part.encode("utf-8", "replace") + b"\0")
    made.update(body.replace(b"\r\n", b"\n").rstrip())
    return made.hexdigest()[:12]


def follows(headers: Headers, own: Own) -> tuple[str, ...]:
    """Name what a mail follows, nearest first; ids of ours are given as the keys that they are made of."""
    names = [key for name in _DELIVERED for key in _keys(headers, name, own)]
    others = [*message_ids(headers, "in-reply-to"), *reversed(message_ids(headers, "references"))]
    itself = message_id(headers)
    names += [own.key_of_id(one) or one for one in others if one != itself]
    return tuple(dict.fromkeys(names))[:_MOST]


def _keys(headers: Headers, name: str, own: Own) -> list[str]:
    return [
        key
        for value in headers.every(name)
        for one in addresses(value)
        if "+" in one.value and (key := own.key_of_address(one.value))
    ]
