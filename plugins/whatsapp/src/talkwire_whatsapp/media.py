"""Files that customers sent: from Meta's id to the bytes.

Source: Cloud API, "Media" (updated 2026-06-16), read 2026-11-22. An id of a webhook lives 7 days, the URL that it leads to
5 minutes; both ask for the token, and without a User-Agent the second answers 404. More than 20 refusals an hour stop
the whole number for half an hour (360dialog, "Upload, retrieve or delete media", read 2026-11-28), so a refusal is
never repeated. The optional `phone_number_id` is left out: it is checked against the number that a file was uploaded on,
and Meta has refused files of customers for it (chatwoot/chatwoot#13319, 2026-01-20).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator

from yarl import URL

from talkwire import AccountBroken, Refused, Unreadable

from .asking import Graph
from .values import number, text, whole

LARGEST = 100 * 1024 * 1024  # bytes of one file, of a document; all others are smaller ("Supported media types")
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")  # it becomes a part of a path
_HEX = 64  # digits of a SHA-256
_AGAIN = frozenset({"401", "403", "404", "410"})  # what a URL says that has run out


def handle_of(id_: str, sha256: str) -> str:
    """Make what an attachment is found by later. Errors: `Unreadable`.

    A `url` that comes with it is not kept: it is over in 5 minutes, and the id gives a new one at any time.
    """
    if not _ID.fullmatch(id_):
        raise Unreadable("the id of a file is none")
    return json.dumps({"id": id_, "sha256": sha256[:64]})


async def fetch(graph: Graph, handle: str) -> AsyncIterator[bytes]:
    """Give the bytes of a file, and only where they are those that were announced.

    Errors: `Refused` where it cannot be had any more, is too large or is another one, and for a URL that leads anywhere
    but to Meta, which is not asked; else as `Graph.get`.
    """
    id_, announced = _read(handle)
    for is_last in (False, True):
        found = await graph.get(id_, {})
        url = _safe(graph, text(found, "url"))
        size = number(found, "file_size")
        if size is not None and size > LARGEST:
            raise Refused(f"the file has {size:.0f} bytes, more than {LARGEST}")
        digest, began = hashlib.sha256(), False
        try:
            async for chunk in graph.download(url):
                began = True
                digest.update(chunk)
                yield chunk
        except (Refused, AccountBroken) as no:
            if no.code not in _AGAIN or began:
                raise
            if is_last:
                raise Refused(f"Meta does not give the file ({no})", code=no.code) from no
            continue
        _same(digest.digest(), announced, _digest(text(found, "sha256")))
        return


def _read(handle: str) -> tuple[str, bytes]:
    try:
        value = whole(handle.encode())
    except (Unreadable, ValueError):
        value = {}
    id_ = text(value, "id")
    if not _ID.fullmatch(id_):
        raise Refused("this file has no id of Meta's")
    return id_, _digest(text(value, "sha256"))


def _safe(graph: Graph, url: str) -> str:
    """Give a URL that leads to Meta. Errors: `Refused`: the token goes nowhere else."""
    try:
        found = URL(url)
        names = {f"{found.host}:{found.port}"} | ({f"{found.host}"} if found.is_default_port() else set())
    except ValueError:
        raise Refused("the place of the file is no URL") from None
    if found.scheme != graph.scheme or not names & graph.hosts:
        raise Refused("the file lies at a host that the token does not go to; see media_hosts")
    return url


def _digest(written: str) -> bytes:
    """Read a SHA-256 as webhooks write it (base64) or as the API does (hex); empty: it is neither, and proves nothing."""
    try:
        read = bytes.fromhex(written) if len(written) == _HEX else base64.b64decode(written, validate=True)
    except ValueError:
        return b""
    return read if 2 * len(read) == _HEX else b""


def _same(found: bytes, *announced: bytes) -> None:
    """Compare with the hashes of webhook and API, where they are given."""
    if any(one and not hmac.compare_digest(one, found) for one in announced):
        raise Refused("the file is not the one that was announced: its SHA-256 differs")


__all__ = ["LARGEST", "fetch", "handle_of"]
