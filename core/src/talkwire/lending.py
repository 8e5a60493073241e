"""What the core lends to one account's channel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import structlog
from structlog.typing import FilteringBoundLogger

from .channel import Channel, Http
from .clock import Clock
from .errors import NotFound, StoreDown, Unreadable
from .http import AccountHttp, ExchangeRecord
from .hub import Hub
from .inbound.endpoints import Served
from .inbound.intake import Intake
from .keeping import Keeper
from .media.files import Chunks
from .media.guard import fetch_guarded, new_session
from .model import Attachment, AttachmentClass, Item
from .outbound.sending import exchanges
from .redaction import Redactor, secrets_of
from .store import Query, Store, Tx
from .work import lanes

_log = structlog.get_logger("talkwire.lending")
_DOWNLOAD_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Lent:
    """What all accounts of a daemon share."""

    store: Store
    clock: Clock
    intake: Intake
    files: Chunks
    keeper: Keeper
    session: aiohttp.ClientSession
    publish: Callable[[str, Mapping[str, Any]], None]
    hub: Callable[[str], Hub]  # of the plugin that gives a channel
    public_url: str = ""  # as providers see us, without a slash at its end
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)  # writes that nobody waits for yet
    asleep: set[tuple[str, str]] = field(default_factory=set)  # (account, address) that the store did not let us wake

    def soon(
        self,
        fn: Callable[[Tx, Sequence[Any]], Sequence[Any]],
        item: Any,
        *,
        not_stored: Callable[[], None] | None = None,  # called where the store was down
    ) -> None:
        """Write something that its caller does not wait for; `Accounts.close` does."""

        def written(task: asyncio.Task[Any]) -> None:
            self.under_way.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.warning("not stored", kind=type(error).__name__)
                if not_stored is not None and isinstance(error, StoreDown):
                    not_stored()

        task = asyncio.get_running_loop().create_task(self.store.write(fn, item))
        self.under_way.add(task)
        task.add_done_callback(written)

    def wake(self, account: str, address: str) -> None:
        """Let the parts go on soon that wait for an address, or as soon as the store is there again."""
        who = account, address
        self.soon(_wake_address, who, not_stored=lambda: self.asleep.add(who))

    def wake_again(self) -> None:
        """Wake those whom the store did not let us wake."""
        asleep = sorted(self.asleep)
        self.asleep.clear()
        for account, address in asleep:
            self.wake(account, address)


class AccountServices:
    """What the core lends to one account's channel."""

    def __init__(self, runtime: Served, lent: Lent, settings: Any, kind: type[Channel]) -> None:
        self._runtime = runtime
        self._lent = lent
        self.account = runtime.name
        self._type = kind.type
        self.clock = lent.clock
        self.log: FilteringBoundLogger = structlog.get_logger(f"talkwire.{kind.type}").bind(account=runtime.name)
        secrets = secrets_of(settings)
        self._redact = Redactor(secrets)
        self.http: Http = AccountHttp(
            lent.session,
            runtime.name,
            kind.hosts(settings),
            self._record,
            secrets,
            secret_names=kind.features.secret_query,
            timeout=kind.features.send_timeout,
        )

    @property
    def webhook_url(self) -> str:
        """Give where the provider finds us; empty: there is no `public_url`."""
        return f"{public}/in/{self._runtime.endpoint}" if (public := self._lent.public_url) else ""

    @property
    def hub(self) -> Hub:
        """Give the hub of the channel's plugin."""
        return self._lent.hub(self._type)

    def _record(self, record: ExchangeRecord) -> None:
        under_way = exchanges.get()
        if under_way is not None:
            under_way.append(record)

    async def keep(self, name: str, value: str, *, secret: bool = False) -> None:
        """Keep a small durable value."""
        await self._lent.keeper.keep(self.account, name, value, secret=secret)

    async def kept(self, name: str) -> str:
        """Give a kept value."""
        return await self._lent.keeper.kept(self.account, name)

    async def admit(self, items: Sequence[Item]) -> None:
        """Take in what came over an own connection."""
        self._runtime.heard(self.clock.now())
        admitted = await self._lent.intake.admit_items(self._runtime, items)
        if admitted.unread:  # there is no envelope that could be kept: only the channel can say so, to whoever wrote
            raise Unreadable("; ".join(admitted.unread))

    def wake(self, address: str) -> None:
        """Let the parts go on that wait for this address."""
        self._lent.wake(self.account, address)

    async def publish(self, topic: str, small: Mapping[str, Any]) -> None:
        """Hint at something to all daemons."""
        self._lent.publish(topic, small)

    def fetch_guarded(self, url: str, *, limit: int) -> AsyncIterator[bytes]:
        """Fetch a foreign URL, with care."""
        return fetch_guarded(new_session, url, limit=limit, timeout=_DOWNLOAD_WITHIN)

    @contextlib.asynccontextmanager
    async def exchange(self, what: str) -> AsyncIterator[_Exchange]:
        """Record one request and answer that is not HTTP."""
        exchange = _Exchange()
        began = self.clock.now()
        try:
            yield exchange
        finally:
            self._record(
                ExchangeRecord(
                    account=self.account,
                    what=what,
                    request=self._redact.text(exchange.request)[:2000],
                    sent="",
                    status=None,
                    answer=self._redact.text(exchange.answer)[:2000],
                    error="",
                    took=self.clock.now() - began,
                )
            )

    async def attachment(self, attachment: str) -> Attachment:
        """Describe an attachment. Errors: `NotFound`."""
        found = await self._lent.store.read(lambda query: attachment_of(query, attachment))
        if found is None:
            raise NotFound("there is no such attachment")
        return found

    async def open_attachment(self, attachment: str) -> AsyncIterator[bytes]:
        """Read an attachment. Errors: `NotFound`."""
        found = await self.attachment(attachment)
        async for chunk in self._lent.files.open(found.sha256):
            yield chunk


@dataclass(slots=True)
class _Exchange:
    request: str = ""
    answer: str = ""

    def sent(self, text: str) -> None:
        """Note what was asked."""
        self.request += text

    def received(self, text: str) -> None:
        """Note what was answered."""
        self.answer += text


_ATTACHMENT = """
    SELECT id, name, media_type, size, sha256, cls, handle, account FROM attachment WHERE id = :id
"""


def attachment_of(query: Query, attachment: str) -> Attachment | None:
    """Read an attachment's row."""
    row = query.one(_ATTACHMENT, {"id": attachment})
    if row is None:
        return None
    return Attachment(
        id=row[0], name=row[1], media_type=row[2], size=row[3], sha256=row[4],
        cls=AttachmentClass(row[5]), handle=row[6],
    )  # fmt: skip


_WAITING_FOR = """
    SELECT c.id FROM conversation c JOIN address a ON a.id = c.address_id
    WHERE c.account = :account AND a.value = :address
"""


def _wake_address(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    for account, address in sorted(items):
        rows = tx.execute(_WAITING_FOR, {"account": account, "address": address})
        lanes.wake(tx, f"send:{account}", [row[0] for row in rows])
    return [None] * len(items)
