"""Files that are given to us: kept with a row, and lent by links that hold for five minutes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pydantic import SecretBytes

from ..clock import Clock
from ..errors import Unreadable
from ..ids import new_id
from ..media import links
from ..media.files import Chunks
from ..media.sniff import classify, safe_name, sniff
from ..model import Attachment
from ..store import Store, Tx

_INSERT = """
    INSERT INTO attachment (id, sha256, name, media_type, size, cls, created_at)
    VALUES (:id, :sha256, :name, :media_type, :size, :cls, :now)
"""


class Filing:
    """Keeps files, and makes links to them."""

    def __init__(self, store: Store, files: Chunks, clock: Clock, keys: Sequence[SecretBytes], public_url: str) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._keys = keys
        self.public_url = public_url

    async def keep(self, chunks: AsyncIterator[bytes], *, name: str, limit: int) -> Attachment:
        """Keep a file; committed when this returns.

        `name` is as it came, and may be hostile; the media type is looked up in the bytes. `limit` is in bytes.
        Errors: `TooLarge`; `Unreadable` where the file is empty; what `chunks` raises: nothing is kept.
        """
        stored = await self._files.put(_not_empty(chunks), limit)
        name = safe_name(name)
        media_type = sniff(stored.head, name)
        attachment = Attachment(
            id=new_id(),
            name=name,
            media_type=media_type,
            size=stored.size,
            sha256=stored.sha256,
            cls=classify(media_type, name),
        )
        await self._store.write(_insert, attachment)
        return attachment

    def link(self, attachment: Attachment | str) -> str:
        """Give a link to a file: absolute where we know our public URL; empty while the file is with its provider."""
        if isinstance(attachment, Attachment) and not attachment.sha256:
            return ""
        id_ = attachment if isinstance(attachment, str) else attachment.id
        return f"{self.public_url}/media/{id_}?{links.sign(self._keys[0].get_secret_value(), id_, self._clock.now())}"


async def _not_empty(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    empty = True
    async for chunk in chunks:
        empty = empty and not chunk
        yield chunk
    if empty:
        raise Unreadable("the file is empty")


def _insert(tx: Tx, items: Sequence[Attachment]) -> Sequence[None]:
    for a in items:
        row = {"id": a.id, "sha256": a.sha256, "name": a.name, "media_type": a.media_type, "size": a.size}
        tx.execute(_INSERT, {**row, "cls": a.cls.value, "now": tx.now_us})
    return [None] * len(items)
