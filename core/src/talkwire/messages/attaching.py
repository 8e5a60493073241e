"""The files of messages on their way into the store: their rows, what brings them here, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import Unreadable
from ..formatting import blocks_to_json
from ..ids import derived_id, new_id
from ..media.sniff import classify, safe_name
from ..model import Block, Enclosed, Inbound, Media, Original, RemoteMedia
from ..store import Tx
from ..work import lanes
from .enclosures import Filed

_CLAIM = "UPDATE attachment SET message_id = :message, account = :account WHERE id = :id AND message_id = ''"
_OWNERS = "SELECT id, message_id FROM attachment WHERE id IN (:ids[])"
_INSERT_ATTACHMENT = """
    INSERT INTO attachment (id, account, message_id, name, media_type, size, cls, handle, sha256,
                            created_at)
    VALUES (:id, :account, :message, :name, :media_type, :size, :cls, :handle, :sha256, :at)
"""
_NOT_FILED = "its message was known when its files were to be stored, and is gone now; replay it"
NOT_ITS_FILE = "there is no such file, or it came with another message"
Row = tuple[object, ...]  # of an attachment


def with_attachments(account: str, message: str, item: Inbound, now_us: int) -> tuple[str, list[Row], list[str]]:
    """Give an item's blocks as they are stored, the rows of the files that come with it, and those of files kept before."""
    if not item.blocks:
        return "[]", [], []
    blocks: list[object] = []
    rows: dict[str, Row] = {}
    kept: list[str] = []
    given: tuple[Any, ...] = item.blocks  # `Filed` is no block: no channel gives it
    for block in given:
        match block:
            case Enclosed():
                raise Unreadable(_NOT_FILED)
            case Filed():
                about = (block.name, block.media_type, block.size, block.cls.value, "", block.sha256)
                stored = Media(attachment=new_id(), content_id=block.content_id)
                rows[stored.attachment] = (stored.attachment, account, message, *about, now_us)
                blocks.append(stored)
            case RemoteMedia():
                id_, row = remote(account, message, block, now_us)
                rows.setdefault(id_, row)
                blocks.append(Media(attachment=id_, caption=block.caption))
            case Original():
                blocks.append(Original())  # what is in it stands beside: `original` of the message
            case _:
                kept += [block.attachment] if isinstance(block, Media) else []
                blocks.append(block)
    return blocks_to_json(tuple(blocks)), list(rows.values()), kept  # type: ignore[arg-type]


def remote(account: str, message: str, file: RemoteMedia, now_us: int) -> tuple[str, Row]:
    """Give the id and the row of a file that lies with its provider; in one message equal files have one id."""
    id_ = derived_id(message, file.fingerprint or file.handle)
    name = safe_name(file.name)
    about = (name, file.media_type[:100], file.size or 0, classify(file.media_type, name).value, file.handle, "")
    return id_, (id_, account, message, *about, now_us)


def bring(tx: Tx, rows: Sequence[Row]) -> None:
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


def attached(tx: Tx, account: str, message: str, blocks: Sequence[Block]) -> tuple[Block, ...]:
    """Store the files of a message that is there already, but for those that it had before; gives its blocks.

    Captions are left out. The conversation is locked: nobody else brings the same file now.
    Errors: `Unreadable` where a file came with another message.
    """
    found: list[Block] = []
    rows: dict[str, Row] = {}
    kept: dict[str, tuple[str, str]] = {}
    for block in blocks:
        match block:
            case RemoteMedia():
                id_, rows[id_] = remote(account, message, block, tx.now_us)
                found.append(Media(attachment=id_))
            case Media(attachment=id_):
                kept[id_] = message, account
                found.append(Media(attachment=id_))
            case _:
                found.append(block)
    if rows:
        there = {row[0] for row in tx.execute(_OWNERS, {"ids": sorted(rows)})}
        bring(tx, [row for id_, row in sorted(rows.items()) if id_ not in there])
    if kept:
        claim(tx, kept)
    return tuple(found)


__all__ = ["NOT_ITS_FILE", "attached", "bring", "claim", "remote", "with_attachments"]
