"""What we sign in or are known with, and when it ends: told fourteen, seven and one day before, once each."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from pydantic_core import from_json, to_json

from ..clock import Clock, micros, moment
from ..errors import PLUGIN_MAY_RAISE
from ..model import Small
from ..oversight.watching import GROUP
from ..store import Query, Store, Tx
from ..work.lanes import Fence
from ..work.pump import Pump

_log = structlog.get_logger("talkwire.expiring")
EVERY = timedelta(days=1)
_AGAIN = timedelta(hours=1)  # after nobody could say
_WITHIN = timedelta(seconds=30)  # for one answer
_FIRST = timedelta(minutes=1)  # after the start, before the certificate is looked at
DAYS = (14, 7, 1)
_STORED = "SELECT name, value FROM meta WHERE name LIKE 'expires:%'"
_PUT = "INSERT INTO meta (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_DROP = "DELETE FROM meta WHERE name = :name"

Ends = Mapping[str, datetime]  # what it is called, for people → when it ends
_Told = dict[
    str, tuple[int, int | None]
]  # what → when it ends, in microseconds; the days that were told, None: nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Somebody who knows when something ends."""

    key: str  # `account:shop`, `medium:email`, `public_url`
    ask: Callable[[], Awaitable[Ends]]
    of: object = None  # asked anew where it is another one
    account: str = ""
    not_before: datetime | None = None  # None: at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Something that ends soon, or has ended."""

    key: str  # whose it is, as in `Source`
    what: str
    until: datetime


class Expiries:
    """Asks once a day, on one daemon of a database."""

    def __init__(self, store: Store, clock: Clock, fence: Fence, sources: Callable[[], Iterable[Source]]) -> None:
        self._store = store
        self._fence = fence
        self._sources = sources
        self._asked: dict[str, tuple[object, datetime]] = {}  # key → who was asked, when it is asked again
        self.certificate: Source | None = None  # given by whoever serves our public address
        self.pump = Pump("expiries", self._step, clock)

    async def _step(self) -> datetime | None:
        if not self._fence.holds(GROUP):
            self._asked.clear()
            return None
        now = self.pump.clock.now()
        sources = [*self._sources(), *([self.certificate] if self.certificate else [])]
        due = [one for one in sources if self._next(one, now) <= now]
        async with asyncio.TaskGroup() as group:
            asked = [(one, group.create_task(self._ask(one))) for one in due]
        said = tuple((one, ends) for one, task in asked if (ends := task.result()) is not None)
        stored = await self._store.read(_stored)
        if any(_judged(stored.get(one.key, {}), ends, now)[0] != stored.get(one.key, {}) for one, ends in said):
            await self._store.write(_tell, (self._fence, said))
        return min((self._next(one, now) for one in sources), default=None)

    def _next(self, source: Source, now: datetime) -> datetime:
        of, again = self._asked.get(source.key, (None, now))
        if source.key not in self._asked or of is not source.of:
            return max(now, source.not_before or now)
        return min(again, now + EVERY)  # the clock may have been set back

    async def _ask(self, source: Source) -> Ends | None:
        ends: Ends | None = None
        again = _AGAIN
        try:
            async with asyncio.timeout(_WITHIN.total_seconds()):
                ends = {what: _aware(until) for what, until in (await source.ask()).items()}
                again = EVERY
        except PLUGIN_MAY_RAISE as error:  # it is asked again; its text may quote a secret
            _log.info("nobody can say when it ends", of=source.key, kind=type(error).__name__)
        self._asked[source.key] = source.of, self.pump.clock.now() + again
        return ends


def of_account(name: str) -> str:
    """Give the key of the source that an account is."""
    return f"account:{name}"


def kept_under(account: str) -> str:
    """Name the row that holds what was told of an account."""
    return f"expires:{of_account(account)}"


def _aware(until: datetime) -> datetime:
    if until.tzinfo is None:
        raise ValueError("a moment without its time zone")
    return until.astimezone(UTC)


def _stored(query: Query) -> dict[str, _Told]:
    return {
        name.removeprefix("expires:"): {what: (until, days) for what, (until, days) in from_json(value).items()}
        for name, value in query.execute(_STORED)
    }


def soon(query: Query) -> list[Expiry]:
    """Give what ends within two weeks or has ended, the first first."""
    last = micros(query.now + timedelta(days=max(DAYS)))
    found = [
        Expiry(key=key, what=what, until=moment(until))
        for key, told in _stored(query).items()
        for what, (until, _) in told.items()
        if until <= last
    ]
    return sorted(found, key=lambda one: (one.until, one.key, one.what))


def _judged(before: _Told, ends: Ends, now: datetime) -> tuple[_Told, list[tuple[str, datetime]]]:
    """Give what is known from now on, and what to tell."""
    after: _Told = {}
    tell = []
    for what, until in sorted(ends.items()):
        was, told = before.get(what, (micros(until), None))
        if was != micros(until):
            told = None  # it was renewed
        days = min((days for days in DAYS if until - now <= timedelta(days=days)), default=None)
        if days is not None and (told is None or days < told):
            tell.append((what, until))
            told = days
        after[what] = micros(until), told
    return after, tell


def _tell(tx: Tx, items: Sequence[tuple[Fence, Sequence[tuple[Source, Ends]]]]) -> Sequence[None]:
    fence, said = items[-1]
    if fence.check(tx, GROUP):
        stored = _stored(tx)
        for source, ends in sorted(said, key=lambda one: one[0].key):
            after, tell = _judged(stored.get(source.key, {}), ends, tx.now)
            name = {"name": f"expires:{source.key}"}
            if after:
                tx.execute(_PUT, {**name, "value": to_json(after).decode()})
            else:
                tx.execute(_DROP, name)
            for what, until in tell:
                left = max(0, math.floor((until - tx.now) / timedelta(days=1)))
                small: dict[str, Small] = {"of": source.key, "what": what, "until": until.isoformat(), "days": left}
                tx.tell("credential.expiring", account=source.account, small=small)
    return [None] * len(items)


# --- the certificate of our public address -----------------------------------------------------------


def certificate_of(url: str, now: datetime) -> Source | None:
    """Give who knows when the certificate of an address ends; None: it has none, or is this machine's own."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or _is_loopback(host):
        return None

    async def ask() -> Ends:
        return {f"certificate of {host}": await certificate_ends(host, parts.port or 443)}

    return Source(key="public_url", ask=ask, of=url, not_before=now + _FIRST)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def certificate_ends(host: str, port: int) -> datetime:
    """Say when the certificate ends that a server shows, whoever signed it. Errors: `OSError`, `ValueError`."""
    from cryptography import x509

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: one that has ended, or that nobody knows, is looked at too
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return x509.load_der_x509_certificate(shown).not_valid_after_utc.astimezone(UTC)
