"""What a channel is shown of a draft's surroundings, and who gets copies of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from .. import readmodels
from ..errors import NotFound, NothingAnswered, Unsupported
from ..features import Features
from ..model import Address, Attachment, AttachmentClass, Block, Card, Draft, Forward, Level, Media, Message
from ..store import Query

_ATTACHMENTS = """
    SELECT id, name, media_type, size, sha256, cls, handle FROM attachment WHERE id IN (:ids[])
"""
_SUBJECT = "SELECT subject FROM conversation WHERE id = :id"
_HAS = "SELECT 1 FROM message WHERE id = :id AND conversation_id = :talk"
_LAST_INBOUND = """
    SELECT id FROM message WHERE conversation_id = :id AND direction = 'in' ORDER BY n DESC LIMIT 1
"""
_SENDERS = """
    SELECT m.id, a.kind, a.value, a.name FROM message m JOIN conversation c ON c.id = m.conversation_id
    JOIN address a ON a.id = c.address_id WHERE m.id IN (:ids[]) AND m.direction = 'in'
"""
_COPIED = re.compile(r"[^\s@<>(),:;\"\\[\]\x00-\x1f\x7f]{1,64}@[^\s@<>(),:;\"\\[\]\x00-\x1f\x7f]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a channel wants to see beside a draft."""

    talk: str = ""  # conversation whose subject and last message it asks for; empty: it does not
    forwarded: frozenset[str] = frozenset()  # ids of messages that are passed on
    files: frozenset[str] = frozenset()  # that the draft names
    answered: str = ""  # id of the message that the draft answers, which has to be one of `of`; empty: none
    of: str = ""  # conversation that the draft goes to; empty: it begins one

    def __bool__(self) -> bool:
        """Say whether there is anything to read."""
        return bool(self.talk or self.forwarded or self.files or self.answered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a channel is shown of a draft's surroundings."""

    attachments: Mapping[str, Attachment] = field(default_factory=dict)
    subject: str = ""
    last_inbound: Message | None = None
    forwarded: Mapping[str, Message] = field(default_factory=dict)
    senders: Mapping[str, Address] = field(default_factory=dict)


NOTHING = Seen()


def asked_for(draft: Draft, conversation: str, features: Features) -> Asked:
    """Say what a channel asks for by its features, and what the draft names."""
    forwarded = [block.message for block in draft.blocks if isinstance(block, Forward)]
    return Asked(
        talk=conversation if features.subject is Level.FULL else "",
        forwarded=frozenset(forwarded if features.forward is Level.FULL else ()),  # else its `render` says so
        files=frozenset(files_of(draft.blocks)),
        answered=draft.reply_to,
        of=conversation,
    )


def seen(query: Query, asked: Asked) -> Seen:
    """Read what is asked for. Errors: `NotFound`, `NothingAnswered`."""
    if asked.answered and query.one(_HAS, {"id": asked.answered, "talk": asked.of}) is None:
        raise NothingAnswered
    subject, last = "", ""
    if asked.talk:
        [subject] = query.one(_SUBJECT, {"id": asked.talk}) or ("",)
        [last] = query.one(_LAST_INBOUND, {"id": asked.talk}) or ("",)
    messages = readmodels.messages_by_id(query, sorted({*asked.forwarded, last} - {""}), whole=True)
    for name in sorted(asked.forwarded - messages.keys()):
        raise NotFound(f"there is no message {name}")
    forwarded = {name: messages[name] for name in sorted(asked.forwarded)}
    files = files_of(block for message in forwarded.values() for block in message.blocks)
    rows = query.execute(_SENDERS, {"ids": sorted(forwarded)}) if forwarded else ()
    return Seen(
        attachments=_attachments(query, files | asked.files),
        subject=subject,
        last_inbound=messages.get(last),
        forwarded=forwarded,
        senders={row[0]: Address(kind=row[1], value=row[2], name=row[3]) for row in rows},
    )


def _attachments(query: Query, files: set[str]) -> Mapping[str, Attachment]:
    wanted = sorted(files)
    if not wanted:
        return {}
    found = {
        row[0]: Attachment(
            id=row[0], name=row[1], media_type=row[2], size=row[3], sha256=row[4],
            cls=AttachmentClass(row[5]), handle=row[6],
        )
        for row in query.execute(_ATTACHMENTS, {"ids": wanted})
    }  # fmt: skip
    for name in wanted:
        if name not in found:
            raise NotFound(f"there is no attachment {name}")
    return found


def files_of(blocks: Iterable[Block]) -> set[str]:
    """Name the files that blocks show."""
    named = (b.attachment if isinstance(b, Media) else b.image if isinstance(b, Card) else "" for b in blocks)
    return {name for name in named if name}


def with_copies(draft: Draft, features: Features, address: Address, last_inbound: Message | None) -> Draft:
    """Give a draft with its copies in canonical form, each person once. Errors: `Unsupported`."""
    if not draft.cc and not draft.bcc:
        return draft
    if features.copies is not Level.FULL:
        raise Unsupported("this channel takes no cc and no bcc", kind="cc" if draft.cc else "bcc")
    known = {(last_inbound.answer_at if last_inbound else "") or address.value}
    cc = tuple(v for v in dict.fromkeys(_canonical(v, address.kind, "cc") for v in draft.cc) if v not in known)
    known |= set(cc)
    bcc = tuple(v for v in dict.fromkeys(_canonical(v, address.kind, "bcc") for v in draft.bcc) if v not in known)
    return replace(draft, cc=cc, bcc=bcc)


def _canonical(value: str, kind: str, what: str) -> str:
    value = value.strip()
    if kind == "email" and not _COPIED.fullmatch(value):
        raise Unsupported(f"{what}: write an address such as ann@example.org", kind=what)
    return value.lower() if kind == "email" else value


__all__ = ["NOTHING", "Asked", "Seen", "asked_for", "files_of", "seen", "with_copies"]
