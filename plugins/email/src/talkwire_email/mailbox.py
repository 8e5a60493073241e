"""What the inbox asks of a mailbox, whatever speaks to its server.

The errors are named for what the inbox must do:

MailboxError
├── Lost             this connection is no good any more: drop it, come again later
├── Denied           the server said no to this one command; the connection goes on
├── NotLetIn         the server does not take who we say we are: later, or never, as `for_good` says
└── Untrusted        we do not take the server for whom it says it is: a person must act
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from talkwire import TalkwireError


class MailboxError(TalkwireError):
    """Something went wrong with a mailbox; the text is for a person and holds neither secrets nor mail."""


class Lost(MailboxError):
    """The connection is gone, or as good as gone."""


class Denied(MailboxError):
    """The server said no to a command."""

    def __init__(self, text: str, *, code: str = "") -> None:
        super().__init__(text)
        self.code = code  # of RFC 5530, `NONEXISTENT`; empty: it gave none


class NotLetIn(MailboxError):
    """The server did not let us in."""

    def __init__(self, text: str, *, for_good: bool | None) -> None:
        super().__init__(text)
        self.for_good = for_good  # None: the server did not say whether the password is wrong or the moment


class Untrusted(MailboxError):
    """The server's certificate is not to be believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """How a folder stands."""

    validity: int  # UIDVALIDITY: UIDs mean the same only as long as this does (RFC 3501, 2.3.1.1)
    next_uid: int  # no mail there has this UID or a larger one
    count: int  # of mails


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is asked of a mail before it is fetched."""

    uid: int
    size: int  # bytes, as the server says
    came: datetime  # INTERNALDATE, UTC


class Mailbox(Protocol):
    """A mailbox that has let us in. Each method may raise `Lost`; those that ask for something, `Denied`."""

    @property
    def pushes(self) -> bool:
        """Say whether the server tells of new mail by itself (IDLE)."""
        ...

    @property
    def moves(self) -> bool:
        """Say whether the server moves a mail in one step (MOVE)."""
        ...

    @property
    def news(self) -> int:
        """Count how often the server spoke of new mail; other than before: look again."""
        ...

    async def select(self, folder: str, *, writes: bool) -> Folder:
        """Take a folder up; without `writes`, nothing in it can change by us."""
        ...

    async def after(self, uid: int, since: date | None) -> Sequence[int]:
        """Give the UIDs above one, in their order; of mails that came that day or later, None: of all."""
        ...

    async def summaries(self, uids: Sequence[int]) -> Sequence[Summary]:
        """Say how large mails are and when they came, in the order of their UIDs; those that are gone are left out."""
        ...

    async def fetch(self, mails: Sequence[Summary], *, only_headers: bool) -> Mapping[int, bytes]:
        """Give mails by UID, whole or only their headers; those that are gone are left out. It does not become read."""
        ...

    async def mark_seen(self, uids: Sequence[int]) -> None:
        """Mark mails as read."""
        ...

    async def move(self, uids: Sequence[int], folder: str) -> None:
        """Move mails into another folder; no other mail is touched."""
        ...

    async def rest(self, until: datetime, news: int) -> None:
        """Wait until a moment, or until `news` is other than this; notices a connection that is gone."""
        ...

    async def leave(self) -> None:
        """Say goodbye; never waits for long, never raises."""
        ...

    def drop(self) -> None:
        """Cut the connection; again does nothing."""
        ...
