"""Files that lie in an envelope itself: their bytes are stored before the transaction that brings the message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from ..media.files import Chunks
from ..media.sniff import classify, safe_name, sniff
from ..model import AttachmentClass, Enclosed, Inbound, Original, Text

_MOST = 100  # files of one message; a stranger decides how many there are
_LONGEST_ID = 500  # characters
LONGEST_TEXT = 128 * 1024  # characters of a message's text, which stands in every list; the rest is in a file
WHOLE = 512 * 1024  # characters of each text of an `Original`: every reader of the message gets it


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A file whose bytes are in the store, and which no row names yet; what never gets one is swept."""

    sha256: str  # hex
    size: int  # bytes
    name: str  # made safe
    media_type: str  # sniffed
    cls: AttachmentClass
    content_id: str


def is_to_be_filed(item: object) -> TypeGuard[Inbound]:
    """Say whether an item holds anything that is stored before it, or is bounded."""
    return isinstance(item, Inbound) and (_is_long(item) or _holds(item, (Enclosed, Original)))


def holds_files(item: object) -> TypeGuard[Inbound]:
    """Say whether files lie in an item, or become of its text."""
    return isinstance(item, Inbound) and (_is_long(item) or _holds(item, (Enclosed,)))


def _is_long(item: Inbound) -> bool:
    return len(item.text) > LONGEST_TEXT


def _holds(item: Inbound, kinds: tuple[type, ...]) -> bool:
    return bool(item.blocks) and any(isinstance(one, kinds) for one in item.blocks)


async def filed(files: Chunks, item: Inbound) -> Inbound:
    """Store the bytes of what is enclosed, and give the item with a `Filed` in place of each.

    Equal contents are stored once, whoever sends them. Errors: `StoreDown`.
    """
    blocks: list[Any] = []
    left_out = 0
    for block in item.blocks:
        match block:
            case Enclosed() if sum(isinstance(one, Filed) for one in blocks) >= _MOST:
                left_out += 1
            case Enclosed():
                blocks.append(await _filed(files, block))
            case Original(text=text, html=html):
                # Half a page is none; of a text the beginning tells most.
                bounded = Original(text=text[:WHOLE], html=html if len(html) <= WHOLE else "")
                blocks += [bounded] if bounded.text or bounded.html else []
            case _:
                blocks.append(block)
    if left_out:
        blocks.append(Text(f"{left_out} more files came with it; they are in the raw message only."))
    if len(item.text) > LONGEST_TEXT:
        blocks.append(await _filed(files, Enclosed(content=item.text.encode(), name="message.txt")))
    return replace(item, text=item.text[:LONGEST_TEXT], blocks=tuple(blocks))


async def _filed(files: Chunks, block: Enclosed) -> Filed:
    stored = await files.put(_at_once(block.content), len(block.content))
    name = safe_name(block.name)
    media_type = sniff(stored.head, name)
    return Filed(
        sha256=stored.sha256,
        size=stored.size,
        name=name,
        media_type=media_type,
        cls=classify(media_type, name),
        content_id=block.content_id[:_LONGEST_ID],
    )


async def _at_once(content: bytes) -> AsyncIterator[bytes]:
    yield content


__all__ = ["LONGEST_TEXT", "WHOLE", "Filed", "filed", "holds_files", "is_to_be_filed"]
