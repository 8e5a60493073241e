"""Messages as the widget is told them: blocks whose texts are trees, files with links, never markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from talkwire import (
    Attachment,
    Block,
    Buttons,
    Card,
    ChangeKind,
    Choice,
    Choices,
    ContactCard,
    Direction,
    FormLink,
    Hub,
    Location,
    Media,
    Message,
    NotFound,
    Option,
    State,
    Template,
    Text,
    to_json,
)


def own_id(message: Message) -> str:
    """Give the id under which the visitor's widget knows a message that it sent."""
    return message.external_id.rpartition(":")[2]


def moment(at: datetime) -> str:
    """Write a moment as browsers read it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def frame_of(hub: Hub, message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    """Give a message as a frame; `names` are those of agents that visitors may read."""
    blocks, text, gone = _now(message)
    files = await _files(hub, blocks)
    frame: dict[str, Any] = {
        "t": "message",
        "n": message.n,
        "at": moment(message.at),
        "text": text,
        "blocks": list(_blocks(hub, blocks, files)),
    }
    if message.direction is Direction.IN:
        shown = text and not any(isinstance(block, Choice) and block.title == text for block in blocks)
        if shown:  # what a visitor writes is never Markdown
            frame["blocks"].insert(0, {"type": "text", "nodes": _plain(text)})
        for block in frame["blocks"]:
            if block["type"] == "choice":
                block["key"] = message.reply_to
        return {**frame, "out": False, "id": own_id(message)}
    state = message.state or State.QUEUED
    return {
        **frame,
        "out": True,
        "key": message.id,
        "author": names.get(message.author.removeprefix("agent:"), "") if not message.notice else "",
        "notice": message.notice,
        "gone": gone,
        "state": state.word,
    }


def _now(message: Message) -> tuple[Sequence[Block], str, bool]:
    """Say what stands in a message after all its changes."""
    blocks, text, gone = message.blocks, message.text, False
    for change in message.changes:
        if change.kind is ChangeKind.EDIT:
            stays = blocks if message.direction is Direction.IN else (Text(change.text),)
            blocks, text, gone = change.blocks or stays, change.text, False
        elif change.kind is ChangeKind.REVOKE:
            gone = True
    return ((), "", True) if gone else (blocks, text, False)


async def _files(hub: Hub, blocks: Iterable[Block]) -> dict[str, Attachment]:
    wanted = {block.attachment for block in blocks if isinstance(block, Media)}
    wanted |= {block.image for block in blocks if isinstance(block, Card) and block.image}
    found: dict[str, Attachment] = {}
    for one in wanted:
        try:
            found[one] = await hub.attachment(one)
        except NotFound:
            continue  # purged: its name is not known any more
    return found


def _blocks(hub: Hub, blocks: Iterable[Block], files: Mapping[str, Attachment]) -> Iterable[dict[str, Any]]:
    for block in blocks:
        match block:
            case Text(markdown):
                yield {"type": "text", "nodes": to_json(markdown)}
            case Media():
                nodes = to_json(block.caption) if block.caption else []
                yield {"type": "media", **file_of(hub, block.attachment, files), "nodes": nodes}
            case Buttons():
                yield {"type": "buttons", "nodes": to_json(block.text), "options": _options(block.options)}
            case Choices():
                options = _options(block.options)
                yield {"type": "list", "nodes": to_json(block.text), "button": block.button, "options": options}
            case Card():
                image = file_of(hub, block.image, files) if block.image else None
                options = _options(block.options)
                nodes = to_json(block.text) if block.text else []
                yield {"type": "card", "title": block.title, "nodes": nodes, "image": image, "options": options}
            case Location():
                place = {"name": block.name, "address": block.address}
                yield {"type": "location", "latitude": block.latitude, "longitude": block.longitude, **place}
            case FormLink():
                yield {"type": "form_link", "label": block.label, "url": block.url}
            case Template():
                yield {"type": "text", "nodes": _plain(block.text)}
            case Choice():
                yield {"type": "choice", "id": block.id, "title": block.title}
            case ContactCard():
                phones, emails = list(block.phones), list(block.emails)
                yield {"type": "contact", "name": block.name, "phones": phones, "emails": emails}
            case _:
                yield {"type": "unknown"}


def file_of(hub: Hub, attachment: str, files: Mapping[str, Attachment]) -> dict[str, Any]:
    """Describe a file; its link is empty while it is not in our store."""
    found = files.get(attachment)
    if found is None:
        return {"attachment": attachment, "name": "", "media_type": "", "size": 0, "url": ""}
    url = hub.media_link(found) if found.sha256 else ""
    known = {"name": found.name, "media_type": found.media_type, "size": found.size, "url": url}
    return {"attachment": attachment, **known}


def attachments_of(message: Message) -> set[str]:
    """Name the files of a message as it stands now."""
    blocks, _, _ = _now(message)
    found = {block.attachment for block in blocks if isinstance(block, Media)}
    return found | {block.image for block in blocks if isinstance(block, Card) and block.image}


def _options(options: Iterable[Option]) -> list[dict[str, str]]:
    return [{"id": o.id, "title": o.title, "description": o.description, "url": o.url} for o in options]


def _plain(text: str) -> list[dict[str, Any]]:
    spans: list[dict[str, str]] = []
    for line in text.split("\n"):
        spans += [{"type": "text", "text": line}, {"type": "break"}]
    return [{"type": "paragraph", "spans": spans[:-1]}]
