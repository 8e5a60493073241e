"""All that is kept of somebody, as one archive: for them to read, and for programs."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from pydantic_core import to_json

from .. import readmodels
from ..errors import NotFound
from ..media.files import Chunks
from ..media.sniff import safe_name
from ..model import Block, Direction, Media, Message, Person
from ..plugins import Plugins
from ..store import Query, Store

_PLACES = """
    SELECT c.id, c.account, c.channel, c.thread, a.kind, a.value, c.created_at
    FROM conversation c JOIN address a ON a.id = c.address_id WHERE c.id IN (:ids[]) ORDER BY c.id
"""
_FILES = """
    SELECT a.id, a.name, a.media_type, a.size, a.sha256, m.id FROM attachment a JOIN message m ON m.id = a.message_id
    WHERE m.conversation_id IN (:ids[]) ORDER BY m.conversation_id, m.n, a.id
"""
_ONE_FILE = "SELECT id, name, media_type, size, sha256, message_id FROM attachment WHERE id IN (:ids[]) ORDER BY id"
_ABOUT = """\
What is kept of one person.

person.json      name and addresses
messages.json    every message of theirs and to them, with what became of it
talk.txt         the same, to be read
files/           the files that were sent
plugins/         what plugins keep, such as what was agreed to
"""


_PAGE = 50  # messages of one read: each may be a megabyte


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What the archive holds."""

    messages: int
    files: int
    missing: int  # files that still lie with their provider, or are gone


async def export(store: Store, files: Chunks, plugins: Plugins, person: Person, out: IO[bytes]) -> Exported:
    """Write a person's archive. Errors: what a plugin's hook raised: nothing to be used was written."""
    messages = missing = count = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.txt", _ABOUT)
        archive.writestr("person.json", to_json(person, indent=2))
        places = await store.read(lambda query: _places(query, person))
        sent: set[str] = set()
        with archive.open("messages.json", "w", force_zip64=True) as whole:
            whole.write(b"[")
            for number, place in enumerate(places):
                whole.write((b",\n" if number else b"\n") + to_json(place)[:-1] + b',"messages":[')
                async for page in _pages(store, place["id"]):
                    said = b",\n".join(to_json(message) for message in page)
                    whole.write((b",\n" if page[0].n != place["first"] else b"\n") + said)
                    messages += len(page)
                    sent |= {block.attachment for m in page for block in _held(m) if isinstance(block, Media)}
                whole.write(b"]}")
            whole.write(b"\n]\n")
        with archive.open("talk.txt", "w", force_zip64=True) as talk:
            for place in places:
                talk.write(f"{place['account']}, {place['address']}\n\n".encode())
                async for page in _pages(store, place["id"]):
                    talk.write("".join(_line(message, person) for message in page).encode())
                talk.write(b"\n")
        for number, (id_, name, _, _, sha256, _) in enumerate(await store.read(lambda q: _files(q, person, sent)), 1):
            if await _copied(archive, files, f"files/{number:04}-{safe_name(name or id_)}", sha256):
                count += 1
            else:
                missing += 1
        for plugin, texts in (await store.read(lambda query: plugins.export(query, person))).items():
            for name, text in texts.items():
                archive.writestr(f"plugins/{plugin}/{safe_name(name)}", text)
    return Exported(messages=messages, files=count, missing=missing)


def _places(query: Query, person: Person) -> list[dict[str, Any]]:
    rows = query.execute(_PLACES, {"ids": list(person.conversations)}) if person.conversations else []
    firsts = "SELECT min(n) FROM message WHERE conversation_id = :id"
    return [
        {
            "id": id_,
            "account": account,
            "channel": channel,
            "thread": thread,
            "address": f"{kind}:{value}",
            "created_at": readmodels.when(created),
            "first": query.execute(firsts, {"id": id_})[0][0],
        }
        for id_, account, channel, thread, kind, value, created in rows
    ]


async def _pages(store: Store, conversation: str) -> AsyncIterator[Sequence[Message]]:
    after = 0
    while page := await store.read(
        lambda query, after=after: readmodels.messages(query, conversation, after_n=after, whole=True, limit=_PAGE)  # type: ignore[misc]
    ):
        yield page
        after = page[-1].n


def _files(query: Query, person: Person, sent: set[str]) -> list[tuple[Any, ...]]:
    """Give the files that came, and those of ours that went."""
    rows = query.execute(_FILES, {"ids": list(person.conversations)}) if person.conversations else []
    others = sorted(sent - {row[0] for row in rows})
    return [*rows, *(query.execute(_ONE_FILE, {"ids": others}) if others else ())]


async def _copied(archive: zipfile.ZipFile, files: Chunks, name: str, sha256: str) -> bool:
    if not sha256:
        return False
    blocks = files.open(sha256)
    try:
        first = await anext(blocks, b"")
    except NotFound:
        return False
    with archive.open(name, "w", force_zip64=True) as copy:
        copy.write(first)
        async for block in blocks:
            copy.write(block)
    return True


def _line(message: Message, person: Person) -> str:
    who = (message.author or person.name or "they") if message.direction is Direction.IN else (message.author or "we")
    said = [f"{_moment(message.at)}  {who}: {message.subject + ': ' if message.subject else ''}{message.text}\n"]
    said += [f"{'':21}[{_kind(block)}]\n" for block in message.blocks if _kind(block) != "text"]
    for one in message.changes:
        said.append(f"{_moment(one.at)}  [{one.kind.value}] {one.text}\n")
        said += [f"{'':21}[{_kind(block)}]\n" for block in one.blocks if _kind(block) != "text"]
    return "".join(said)


def _held(message: Message) -> Iterator[Block]:
    """Give all that a message holds, and held since."""
    yield from message.blocks
    for change in message.changes:
        yield from change.blocks


def _kind(block: object) -> str:
    return type(block).__name__.lower()


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
