"""Links to attachments that hold for five minutes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from talkwire.model import Attachment

HOLDS = timedelta(minutes=5)

_ACTIVE = frozenset({"text/html", "image/svg+xml"})  # a browser would run what stands in these


def sign(key: bytes, attachment_id: str, now: datetime) -> str:
    """Make the query of a link to an attachment; whoever has it may read the file until it expires."""
    expires = int((now + HOLDS).timestamp())  # seconds since 1970-01-01 UTC
    return urlencode({"expires": expires, "signature": _signature(key, attachment_id, str(expires))})


def verify(keys: Sequence[bytes], attachment_id: str, query: Mapping[str, str], now: datetime) -> bool:
    """Say whether one of our keys signed this link and it still holds."""
    expires, signature = query.get("expires", ""), query.get("signature", "").encode("utf-8", "replace")
    signed = [hmac.compare_digest(_signature(key, attachment_id, expires).encode(), signature) for key in keys]
    return any(signed) and now.timestamp() <= int(expires)


def headers_for(attachment: Attachment) -> dict[str, str]:
    """Give the headers under which a browser saves a file and runs nothing in it; set no cookies beside."""
    plain = "".join(sign if " " <= sign < "\x7f" and sign not in '"\\%' else "_" for sign in attachment.name)
    encoded = quote(attachment.name.encode("utf-8", "replace"), safe="")  # RFC 8187, for browsers of this century
    return {
        "Content-Type": "application/octet-stream" if attachment.media_type in _ACTIVE else attachment.media_type,
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": f"private, max-age={int(HOLDS.total_seconds())}",
    }


def _signature(key: bytes, attachment_id: str, expires: str) -> str:
    said = f"talkwire attachment\n{attachment_id}\n{expires}".encode("utf-8", "replace")
    return hmac.new(key, said, hashlib.sha256).hexdigest()
