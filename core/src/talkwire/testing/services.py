"""What the core lends to a channel, lent by a test: everything is kept in plain lists, nothing leaves the machine."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import structlog
from structlog.typing import FilteringBoundLogger

from ..channel import Channel, Exchange, Http
from ..errors import NotFound, NotSent
from ..http import AccountHttp, ExchangeRecord, client_session
from ..hub import Hub
from ..ids import new_id
from ..model import Attachment, AttachmentClass, Item
from ..redaction import secrets_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday; where a turned clock begins


class _Waiting:
    """One `wait` of a turned clock."""

    def __init__(self, until: datetime, limit: asyncio.Timeout) -> None:
        self.until = until
        self.over = False
        self._limit = limit
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self.over:  # it may have ended by its event meanwhile
            self._limit.reschedule(self._loop.time())


class TurnedClock:
    """A clock that stands still until it is turned; may be read and turned from any thread."""

    def __init__(self, start: datetime = NOON) -> None:
        self._now = start
        self._waiting: list[_Waiting] = []
        self._began: list[Callable[[], object]] = []  # called when somebody begins to wait
        self._lock = threading.Lock()
        self.reads = 0  # how often somebody looked
        self.patience = 20.0  # real seconds until `awaited` gives up

    def now(self) -> datetime:
        """Give the present moment."""
        self.reads += 1
        return self._now

    async def wait(self, event: asyncio.Event, until: datetime | None) -> None:
        """Wait for an event, or until the clock was turned to a moment."""
        if until is None:
            await event.wait()
            return
        try:
            async with asyncio.timeout(None) as limit:
                waiting = _Waiting(until, limit)
                with self._lock:
                    if until <= self._now:
                        return
                    self._waiting.append(waiting)
                    for tell in self._began:
                        tell()
                try:
                    await event.wait()
                finally:
                    waiting.over = True
                    with self._lock:
                        if waiting in self._waiting:
                            self._waiting.remove(waiting)
        except TimeoutError:
            return

    async def awaited(self, moment: datetime | None = None) -> datetime:
        """Wait until somebody waits for a moment, for this one where it is given; gives the soonest.

        Before a test turns the clock for something that is under way: whoever begins to wait after the turn counts from
        the later time, and sleeps on. What rests when `run_until_idle` has come back waits already.

        Errors: `AssertionError` when its patience ends, which names the moments that are waited for.
        """
        began = asyncio.Event()
        tell = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, began.set)
        with self._lock:
            self._began.append(tell)
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    began.clear()
                    moments = self._moments()
                    if moments and moment in (None, *moments):
                        return moment or moments[0]
                    await began.wait()
        except TimeoutError:
            others = ", ".join(map(str, self._moments())) or "none"
            raise AssertionError(
                f"at {self._now} nobody waits for {moment or 'any moment'}; moments that are waited for: {others}"
            ) from None
        finally:
            with self._lock:
                self._began.remove(tell)

    async def advance_when_awaited(self, by: timedelta) -> datetime:
        """Turn the clock on as soon as somebody waits for exactly that moment; gives the new moment.

        Errors: as `awaited`.
        """
        return self.turn_to(await self.awaited(self._now + by))

    def advance(self, by: timedelta) -> datetime:
        """Turn the clock on and wake whose time has come, the earliest first; gives the new moment."""
        return self.turn_to(self._now + by)

    def turn_to(self, moment: datetime) -> datetime:
        """Turn the clock to a moment; never back."""
        with self._lock:
            if moment < self._now:
                raise ValueError(f"a clock is not turned back: {moment} is before {self._now}")
            self._now = moment
            due = sorted((one for one in self._waiting if one.until <= moment), key=lambda one: one.until)
            self._waiting = [one for one in self._waiting if one.until > moment]
        for one in due:
            one.wake()
        return moment

    def set_back(self, by: timedelta) -> None:
        """Set the clock back, as a person or a time server does: whoever waits now waits no longer for that."""
        with self._lock:
            self._now -= by
            for one in self._waiting:
                one.until -= by

    def next_due(self) -> datetime | None:
        """Say when the next one wants to be woken; None: nobody waits for a moment."""
        return next(iter(self._moments()), None)

    def _moments(self) -> list[datetime]:
        with self._lock:
            return sorted(one.until for one in self._waiting)


class Logs:
    """Everything that was logged while it was listening, through structlog and through `logging`."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def logger(self, **bound: Any) -> FilteringBoundLogger:
        """Make a structlog logger that writes here."""
        logger: FilteringBoundLogger = structlog.wrap_logger(
            structlog.PrintLogger(),
            processors=[structlog.processors.format_exc_info, self._take],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            **bound,
        )
        return logger

    def _take(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        self.lines.append(f"{method} {dict(event)!r} " + " ".join(str(value) for value in event.values()))
        raise structlog.DropEvent

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear `logging` at every level, and structlog's own loggers."""
        handler = _Handler(self.lines)
        root = logging.getLogger()
        level, configured = root.level, structlog.get_config()
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        structlog.configure(
            processors=[structlog.processors.format_exc_info, self._take],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            cache_logger_on_first_use=False,
        )
        try:
            yield
        finally:
            structlog.configure(**configured)
            root.setLevel(level)
            root.removeHandler(handler)


class _Handler(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


class RecordedExchange:
    """An exchange that is not HTTP."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.lines: list[str] = []

    def sent(self, text: str) -> None:
        """Note what we said."""
        self.lines.append(f"> {text}")

    def received(self, text: str) -> None:
        """Note what they said."""
        self.lines.append(f"< {text}")


class LentServices:
    """`Services` for one channel alone."""

    account: str
    webhook_url: str
    log: FilteringBoundLogger
    clock: TurnedClock
    http: Http

    def __init__(
        self, http: Http, *, account: str = "kit", clock: TurnedClock | None = None, logs: Logs | None = None
    ) -> None:
        self.account = account
        self.webhook_url = f"https://talk.example.org/in/{account}"  # a test may set another, or none
        self.http = http
        self.clock = clock or TurnedClock()
        self.logs = logs or Logs()
        self.log = self.logs.logger(account=account)
        self.values: dict[str, str] = {}  # kept values
        self.secret_values: set[str] = set()  # names of those that were kept as secrets
        self.admitted: list[Item] = []
        self.woken: list[str] = []  # addresses
        self.published: list[tuple[str, Mapping[str, Any]]] = []
        self.exchanges: list[RecordedExchange] = []
        self.files: dict[str, bytes] = {}  # URL → what `fetch_guarded` finds there
        self.attachments: dict[str, tuple[Attachment, bytes]] = {}

    @property
    def hub(self) -> Hub:
        """Lend none: there is no database here."""
        raise NotImplementedError("a channel alone has no hub; test what needs one on a whole hub (`start_hub`)")

    async def keep(self, name: str, value: str, *, secret: bool = False) -> None:
        """Keep a value."""
        self.values[name] = value
        if secret:
            self.secret_values.add(name)

    async def kept(self, name: str) -> str:
        """Give a kept value."""
        return self.values.get(name, "")

    async def admit(self, items: Sequence[Item]) -> None:
        """Take items in."""
        self.admitted.extend(items)

    def wake(self, address: str) -> None:
        """Note who was woken."""
        self.woken.append(address)

    async def publish(self, topic: str, small: Mapping[str, Any]) -> None:
        """Note what was hinted at."""
        self.published.append((topic, dict(small)))

    async def fetch_guarded(self, url: str, *, limit: int) -> AsyncIterator[bytes]:
        """Give what `files` has for a URL."""
        if url not in self.files:
            raise NotSent("the test has no file at this URL; put it into `services.files`")
        yield self.files[url][:limit]

    @asynccontextmanager
    async def exchange(self, what: str) -> AsyncIterator[Exchange]:
        """Record an exchange."""
        one = RecordedExchange(what)
        self.exchanges.append(one)
        yield one

    async def attachment(self, attachment: str) -> Attachment:
        """Describe an attachment."""
        return self._stored(attachment)[0]

    async def open_attachment(self, attachment: str) -> AsyncIterator[bytes]:
        """Read an attachment."""
        yield self._stored(attachment)[1]

    def store(self, content: bytes, *, name: str, media_type: str, attachment: str = "") -> Attachment:
        """Put an attachment where the channel can read it."""
        one = Attachment(
            id=attachment or new_id(),
            name=name,
            media_type=media_type,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            cls=AttachmentClass.MEDIA
            if media_type.split("/", maxsplit=1)[0] in {"image", "video", "audio"}
            else AttachmentClass.FILE,
        )
        self.attachments[one.id] = (one, content)
        return one

    def _stored(self, attachment: str) -> tuple[Attachment, bytes]:
        try:
            return self.attachments[attachment]
        except KeyError:
            raise NotFound(f"the test stored no attachment {attachment}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """A channel alone, with all it was lent."""

    channel: Channel
    services: LentServices
    http: AccountHttp
    records: list[ExchangeRecord]  # what `trace` would show


@asynccontextmanager
async def lend(
    channel: type[Channel],
    settings: Mapping[str, Any],  # as in talkwire.toml, without `channel`
    *,
    account: str = "kit",
    clock: TurnedClock | None = None,
    logs: Logs | None = None,
    session: aiohttp.ClientSession | None = None,  # None: one of its own
) -> AsyncIterator[Lent]:
    """Make a channel with services of its own, not opened yet."""
    checked = channel.Settings.model_validate(dict(settings))
    own = client_session() if session is None else None
    try:
        records: list[ExchangeRecord] = []
        used = session or own
        assert used is not None
        http = AccountHttp(
            used,
            account,
            channel.hosts(checked),
            records.append,
            secrets_of(checked),
            secret_names=channel.features.secret_query,
        )
        services = LentServices(http, account=account, clock=clock, logs=logs)
        yield Lent(channel=channel(checked, services), services=services, http=http, records=records)
    finally:
        if own is not None:
            await own.close()


__all__ = ["NOON", "Lent", "LentServices", "Logs", "RecordedExchange", "TurnedClock", "lend", "secrets_of"]
