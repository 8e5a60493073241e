"""Attachments that still lie with a provider are brought into our own store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from .channel import Channel
from .doing import AccountAway
from .errors import NotFound, Refused, TooLarge, Unreachable, UnsafeUrl
from .lending import attachment_of
from .media.files import Chunks, StoredFile
from .media.sniff import classify, sniff
from .model import Account, AccountState
from .store import Store, Tx

_LIMIT = 100 * 1024 * 1024  # bytes of one attachment
_OPEN = (AccountState.WORKING, AccountState.WAITING)  # its channel has been opened
_OWNER = "SELECT account, error FROM attachment WHERE id = :id"
_FETCHED = """
    UPDATE attachment SET sha256 = :sha256, size = :size, media_type = :media_type, cls = :cls,
        handle = '', error = ''
    WHERE id = :id
"""
_FAILED = "UPDATE attachment SET error = :error WHERE id = :id"
_CONVERSATION = """
    SELECT m.conversation_id, m.account, m.id FROM attachment a JOIN message m ON m.id = a.message_id
    WHERE a.id = :id
"""


class Served(Protocol):
    """An account as fetching sees it."""

    channel: Channel | None
    view: Account

    def words_of(self, error: Exception) -> str: ...


class Fetcher:
    """Fetches attachments through their account's channel."""

    def __init__(self, store: Store, files: Chunks, account: Callable[[str], Served | None]) -> None:
        self._store = store
        self._files = files
        self._account = account

    async def fetch(self, attachment: str) -> None:
        """Fetch one; what can never be fetched is marked, anything else raises and is tried again.

        Errors: `AccountAway` where the account cannot be asked now; what `Channel.fetch` raises.
        """
        found = await self._store.read(lambda query: attachment_of(query, attachment))
        row = await self._store.read(lambda query: query.one(_OWNER, {"id": attachment}))
        if found is None or row is None or found.sha256:
            return
        served = self._account(row[0])
        if served is None or served.channel is None or served.view.state not in _OPEN:
            raise AccountAway("its account is away")
        try:
            stored = await self._files.put(served.channel.fetch(found), _LIMIT)
        except (NotFound, Refused, Unreachable, TooLarge, UnsafeUrl) as error:
            await self.give_up(attachment, served.words_of(error))
            return
        media_type = sniff(stored.head, found.name)
        await self._store.write(_fetched, (attachment, stored, media_type, found.name))

    async def give_up(self, attachment: str, error: str) -> None:
        """Mark one as failed."""
        await self._store.write(_failed, (attachment, error))


def _fetched(tx: Tx, items: Sequence[tuple[str, StoredFile, str, str]]) -> Sequence[None]:
    for attachment, stored, media_type, name in sorted(items, key=lambda item: item[0]):
        tx.execute(
            _FETCHED,
            {
                "id": attachment,
                "sha256": stored.sha256,
                "size": stored.size,
                "media_type": media_type,
                "cls": classify(media_type, name).value,
            },
        )
        _tell(tx, attachment, "attachment.stored")
    return [None] * len(items)


def _failed(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    for attachment, error in sorted(items):
        tx.execute(_FAILED, {"id": attachment, "error": error[:300]})
        _tell(tx, attachment, "attachment.failed")
    return [None] * len(items)


def _tell(tx: Tx, attachment: str, fact: str) -> None:
    row = tx.one(_CONVERSATION, {"id": attachment})
    if row is not None:
        tx.tell(fact, conversation=row[0], account=row[1], ids={"message": row[2], "attachment": attachment})
