"""A mailbox in memory: folders with UIDs, flags and bytes, and who watches them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(slots=True, kw_only=True)
class Kept:
    """One mail that lies in a folder."""

    uid: int
    raw: bytes = field(repr=False)
    at: datetime  # INTERNALDATE
    flags: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Folder:
    """Mails by UID, ascending."""

    validity: int
    next_uid: int = 1
    mails: dict[int, Kept] = field(default_factory=dict)


class Boxes:
    """The folders of one mailbox."""

    def __init__(self) -> None:
        self.folders: dict[str, Folder] = {}
        self.watchers: set[Callable[[], None]] = set()  # called after each change, from the loop
        self.sizes = 0  # bytes of all mails
        self._validity = int(time.time() * 2)  # 32 bits; another one with each start, for UIDs begin anew
        self.folder("INBOX")

    def folder(self, name: str) -> Folder:
        """Give a folder, made where it is not there."""
        name = "INBOX" if name.upper() == "INBOX" else name
        return self.folders.setdefault(name, Folder(validity=self._validity))

    def put(
        self, raw: bytes, folder: str = "INBOX", *, at: datetime | None = None, flags: set[str] | None = None
    ) -> int:
        """Lay a mail into a folder; gives its UID."""
        there = self.folder(folder)
        uid = there.next_uid
        there.mails[uid] = Kept(uid=uid, raw=raw, at=at or datetime.now(UTC), flags=set(flags or ()))
        there.next_uid += 1
        self.sizes += len(raw)
        self.tell()
        return uid

    def remove(self, folder: str, uid: int) -> None:
        """Take a mail out of a folder."""
        self.sizes -= len(self.folder(folder).mails.pop(uid).raw)
        self.tell()

    def rebuild(self) -> None:
        """Give every mail another UID under another UIDVALIDITY, as a server does that lost its index."""
        self._validity += 1
        for there in self.folders.values():
            kept = list(there.mails.values())
            there.validity, there.next_uid, there.mails = self._validity, 1, {}
            for one in kept:
                there.mails[there.next_uid] = Kept(uid=there.next_uid, raw=one.raw, at=one.at, flags=one.flags)
                there.next_uid += 1
        self.tell()

    def tell(self) -> None:
        """Let all who watch look."""
        for watcher in list(self.watchers):
            watcher()
