"""The files of messages on their way into the store: their rows, what brings them here, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import lanes
from .enclosures import Filed
from .errors import Unreadable
from .formatting import blocks_to_json
from .ids import new_id
from .model import Enclosed, Inbound, Original, RemoteMedia
from .store import Tx

_CLAIM = "UPDATE attachment SET message_id = :message, account = :account WHERE id = :id AND message_id = ''"
_OWNERS = "SELECT id, message_id FROM attachment WHERE id IN (:ids[])"
_INSERT_ATTACHMENT = """
    INSERT INTO attachment (id, account, message_id, name, media_type, size, cls, handle, sha256,
                            created_at)
    VALUES (:id, :account, :message, :name, :media_type, :size, :cls, :handle, :sha256, :at)
"""
_NOT_FILED = "its message was known when its files were to be stored, and is gone now; replay it"
NOT_ITS_FILE = "there is no such file, or it came with another message"


def with_attachments(
    account: str, message: str, item: Inbound, now_us: int
) -> tuple[str, list[tuple[object, ...]], list[str]]:
    """Give an item's blocks as they are stored, the rows of the files that come with it, and those of files kept before."""
    if not item.blocks:
        return "[]", [], []
    from .media.sniff import classify, safe_name
    from .model import Media

    blocks: list[object] = []
    rows: list[tuple[object, ...]] = []
    kept: list[str] = []
    given: tuple[Any, ...] = item.blocks  # `Filed` is no block: no channel gives it
    for block in given:
        match block:
            case Enclosed():
                raise Unreadable(_NOT_FILED)
            case Filed():
                row = (block.name, block.media_type, block.size, block.cls.value, "", block.sha256)
                stored = Media(attachment=new_id(), content_id=block.content_id)
            case RemoteMedia(handle=handle, media_type=media_type, size=size):
                name = safe_name(block.name)
                row = (name, media_type[:100], size or 0, classify(media_type, name).value, handle, "")
                stored = Media(attachment=new_id(), caption=block.caption)
            case Original():
                blocks.append(Original())  # what is in it stands beside: `_original`
                continue
            case _:
                kept += [block.attachment] if isinstance(block, Media) else []
                blocks.append(block)
                continue
        rows.append((stored.attachment, account, message, *row, now_us))
        blocks.append(stored)
    return blocks_to_json(tuple(blocks)), rows, kept  # type: ignore[arg-type]


def bring(tx: Tx, rows: Sequence[tuple[object, ...]]) -> None:
    """Store rows of files, and promise to fetch those that lie with their provider."""
    tx.many(_INSERT_ATTACHMENT, rows)
    lanes.add(tx, [lanes.NewTask("do", f"fetch:{row[1]}", "fetch", str(row[0])) for row in rows if not row[8]])


def claim(tx: Tx, kept: Mapping[str, tuple[str, str]]) -> None:
    """Make files that were kept before the own of the messages that bring them. Errors: `Unreadable`."""
    tx.many(
        _CLAIM,
        [{"id": file, "message": message, "account": account} for file, (message, account) in sorted(kept.items())],
    )
    owners = {row[0]: row[1] for row in tx.execute(_OWNERS, {"ids": sorted(kept)})}
    if any(owners.get(file) != message for file, (message, _) in kept.items()):
        raise Unreadable(NOT_ITS_FILE)


__all__ = ["NOT_ITS_FILE", "bring", "claim", "with_attachments"]
