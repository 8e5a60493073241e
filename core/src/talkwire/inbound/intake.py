"""The way in: receive → authenticate → parse → admit.

Nothing is acknowledged before it is committed. A delivery is one envelope, whatever it holds; an
item that cannot be read is kept as unread and loses no other.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import get_args

import structlog

from ..channel import Answered, Channel
from ..clock import Clock, micros, moment
from ..errors import PLUGIN_MAY_RAISE, Conflict, NotFound, Rejected, StoreDown, Unreadable, line_of
from ..features import Features
from ..ids import new_id
from ..media.files import Chunks
from ..messages.enclosures import filed, holds_files, is_to_be_filed
from ..messages.pointing import messages_there
from ..model import Account, AccountNotice, Batch, Envelope, Inbound, Item, Typing, Unread
from ..store import Query, Store
from ..store.texts import storable
from ..work.lanes import Fence
from . import endpoints
from .admission import Admitted, Arrival, admit, admit_all, as_json
from .endpoints import Served
from .understanding import checked as storable_items
from .understanding import read

_log = structlog.get_logger("talkwire.intake")
_FOR_THE_STORE = frozenset(get_args(Item)) - {Typing, AccountNotice}  # all else is done with a transaction
SHAPE_BUDGET = timedelta(milliseconds=200)  # for all shape_inbound hooks of one envelope
BIG_BODY = 256 * 1024  # bytes; a larger envelope lies with the files


Done = Callable[[BaseException | None], None]
# Gives (inbound, or None where it is dropped; note) for each.
Shape = Callable[[Sequence[tuple[Account, Inbound]], timedelta], Awaitable[Sequence[tuple[Inbound | None, str]]]]


class Intake:
    """Takes envelopes in, for all accounts of one daemon."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        files: Chunks,  # where big bodies lie
        *,
        shape: Shape | None = None,  # None: no plugin shapes
    ) -> None:
        self._store = store
        self._clock = clock
        self._files = files
        self._shape = shape
        self._endpoints: dict[str, endpoints.Endpoint] = {}
        self._tasks: set[asyncio.Task[Admitted]] = set()  # of arrivals that are stored one by one
        self.restored_at = 0  # microseconds; what was written before has perhaps been answered

    def serve(self, paths: Mapping[str, Sequence[Served]]) -> None:
        """Say which accounts stand behind which endpoint."""
        self._endpoints = {name: endpoints.endpoint(accounts) for name, accounts in paths.items()}

    def body_limit(self, endpoint: str) -> int:
        """Give the largest body an endpoint takes, in bytes. Errors: `NotFound`."""
        return self._taking(endpoint).body_limit

    def methods(self, endpoint: str) -> frozenset[str]:
        """Name the methods by which an endpoint is called. Errors: `NotFound`."""
        return self._taking(endpoint).methods

    def _taking(self, endpoint: str) -> endpoints.Endpoint:
        found = self._endpoints.get(endpoint)
        if found is None or not found.behind:
            raise NotFound("unknown endpoint")
        return found

    async def receive(self, envelope: Envelope) -> Answered | None:
        """Take one delivery in; None: it is committed, answer 200 with an empty body.

        Errors: `NotFound` 404 · `Rejected` 401, nothing stored · `StoreDown` 503.
        """
        endpoint = self._taking(envelope.endpoint)
        refused: Answered | None = None
        for served, channel in endpoint.behind:
            try:
                answered: object = channel.answer(envelope)
            except PLUGIN_MAY_RAISE as error:  # a delivery that looks like no handshake is not lost for it
                _log.error("answer failed", account=served.name, kind=type(error).__name__, place=line_of(error))
                continue
            if not isinstance(answered, Answered | None):
                _log.error("answer gave neither Answered nor None", account=served.name, gave=type(answered).__name__)
            elif answered is not None and answered.status < 400:
                return answered
            elif answered is not None:
                refused = refused or answered  # it may be the handshake of another account that shares the endpoint
        if refused is not None:
            return refused
        served, channel = _genuine(endpoint.behind, envelope)
        served.heard(envelope.received_at)
        items = read(channel, envelope)
        if items or envelope.method != "GET":
            arrival = await self._arrival(envelope, served, channel, items, endpoint.taking)
            await self._admit(arrival, endpoint.taking.accounts)
        return None

    def at_once(self, envelope: Envelope, body_limit: int, done: Done) -> bool:
        """Begin to take in a delivery that needs nothing but the store; False: it is for `receive`, and nothing happened.

        `done` is called on the loop once it is committed, or with the error: `StoreDown` 503. `body_limit` is the
        server's; an endpoint may take larger ones.
        """
        endpoint = self._endpoints.get(envelope.endpoint)
        if (
            endpoint is None
            or self._shape is not None
            or envelope.method not in endpoint.methods
            or len(envelope.body) > min(BIG_BODY, max(body_limit, endpoint.body_limit))
        ):
            return False
        found = _plainly_genuine(endpoint.behind, envelope)
        if found is None:
            return False
        served, channel = found
        items = read(channel, envelope)
        for item in items:
            if type(item) not in _FOR_THE_STORE or is_to_be_filed(item):
                return False
        served.heard(envelope.received_at)
        arrival = self._placed(new_id(), envelope, channel, items, served, endpoint.taking)
        arrival.envelope = _row(arrival, served, channel, envelope, len(items))
        self._store.put(admit, arrival, _AtOnce(self, arrival, done))
        return True

    def one_by_one(self, arrival: Arrival, error: BaseException, done: Done) -> None:
        """Store an arrival that broke its transaction, item by item; `done` as for `at_once`."""
        task = asyncio.get_running_loop().create_task(self._one_by_one(arrival, error))
        self._tasks.add(task)

        def ended(task: asyncio.Task[Admitted]) -> None:
            self._tasks.discard(task)
            done(asyncio.CancelledError() if task.cancelled() else task.exception())

        task.add_done_callback(ended)

    async def admit_items(self, served: Served, items: Sequence[Item]) -> Admitted:
        """Take in what came over an account's own connection; committed when this returns, but for `unread`."""
        channel = served.channel
        assert channel is not None  # it is the channel that calls
        among = endpoints.among((served,))
        checked = storable_items(items)
        placed = [(served.name, channel.type, item) for item in checked if type(item) is not Unread]
        unread = [(i, item.reason) for i, item in enumerate(checked) if type(item) is Unread]
        arrival = Arrival(None, "", placed, among.windows, micros(self._clock.now()), unread)
        return await self._admit(arrival, among.accounts)

    async def admit_batch(self, served: Served, batch: Batch, fence: Fence | None = None) -> None:
        """Take in what a listener fetched, and move its cursor, in one transaction.

        The cursor stays where another daemon listens now; what was fetched is kept all the same.
        """
        channel = served.channel
        assert channel is not None  # it is the channel that listens
        among = endpoints.among((served,))
        arrivals = [
            await self._shaped(
                await self._arrival(envelope, served, channel, read(channel, envelope), among), among.accounts
            )
            for envelope in batch.envelopes
        ]
        await self._filed(arrivals)
        moved = Arrival(None, "", [], {}, micros(self._clock.now()), cursor=(served.name, batch.cursor), fence=fence)
        try:
            await self._store.write(admit_all, [*arrivals, moved])
        except StoreDown:
            raise
        except Exception as error:  # noqa: BLE001  one bad item stops no listener: see `_keep`
            _log.warning("batch taken one by one", account=served.name, kind=type(error).__name__)
            for arrival in arrivals:
                await self._keep(arrival)
            await self._store.write(admit, moved)
        for arrival in arrivals:
            await self._pass_on(arrival, among.accounts)

    async def replay(self, envelope_id: str) -> Admitted:
        """Read a kept envelope again; what is there already stays as it is.

        Errors: `NotFound` where the envelope is gone, `Conflict` where its account has no channel now.
        """
        found = await self._store.read(lambda query: _kept(query, envelope_id))
        if found is None:
            raise _no_envelope(envelope_id)
        name, envelope, body_ref = found
        endpoint = self._endpoints.get(envelope.endpoint)
        among = endpoint.all if endpoint is not None else endpoints.among(())
        served = among.accounts.get(name)
        if served is None or served.channel is None:
            raise Conflict(f'account "{name}" is absent or broken: nothing can read its envelopes')
        if body_ref:
            envelope = replace(envelope, body=b"".join([chunk async for chunk in self._files.open(body_ref)]))
        arrival = self._placed(envelope_id, envelope, served.channel, read(served.channel, envelope), served, among)
        arrival.replayed = True
        admitted = await self._admit(arrival, among.accounts)
        if admitted.gone:
            raise _no_envelope(envelope_id)
        return admitted

    async def _admit(self, arrival: Arrival, accounts: Mapping[str, Served]) -> Admitted:
        arrival = await self._shaped(arrival, accounts)
        await self._filed([arrival])
        admitted = await self._keep(arrival)
        admitted.unread = [reason for _, reason in arrival.unread]
        await self._pass_on(arrival, accounts)
        return admitted

    async def _keep(self, arrival: Arrival) -> Admitted:
        """Store an arrival; where an item breaks the transaction, the others are stored without it."""
        try:
            return await self._store.write(admit, arrival)
        except StoreDown:
            raise
        except Exception as error:  # noqa: BLE001  law 7: an item that cannot be stored is kept as unread
            return await self._one_by_one(arrival, error)

    async def _one_by_one(self, arrival: Arrival, broken: BaseException) -> Admitted:
        if isinstance(broken, Unreadable):  # whoever wrote is told; a stranger's fault is no news for the operator
            _log.debug("arrival taken one by one", envelope=arrival.envelope_id, reason=str(broken))
        else:
            _log.error("arrival taken one by one", envelope=arrival.envelope_id, kind=type(broken).__name__)
        admitted = Admitted()
        for position, item in enumerate(arrival.items):
            try:
                one = await self._store.write(admit, replace(arrival, envelope=None, items=[item], unread=[]))
            except StoreDown:
                raise
            except Unreadable as error:
                arrival.unread.append((position, str(error)))
            except Exception as error:  # noqa: BLE001  as above
                arrival.unread.append((position, f"{type(error).__name__} while it was stored"))
            else:
                admitted.messages += one.messages
                admitted.duplicates += one.duplicates
        await self._store.write(admit, replace(arrival, items=[]))
        return admitted

    async def _pass_on(self, arrival: Arrival, accounts: Mapping[str, Served]) -> None:
        if arrival.replayed:
            return  # how an account did then, and who typed then, is no news
        for account, _, item in arrival.items:
            if isinstance(item, Typing):
                accounts[account].typing(item)
            elif isinstance(item, AccountNotice):
                await accounts[account].noticed(item)

    async def _arrival(
        self,
        envelope: Envelope,
        served: Served,
        channel: Channel,
        items: Sequence[Item],
        among: endpoints.Among,
    ) -> Arrival:
        arrival = self._placed(new_id(), envelope, channel, items, served, among)
        ref = ""
        if len(envelope.body) > BIG_BODY:
            ref = (await self._files.put(_in_one_piece(envelope.body), len(envelope.body))).sha256
        arrival.envelope = _row(arrival, served, channel, envelope, len(items), ref)
        return arrival

    def _placed(
        self,
        envelope_id: str,
        envelope: Envelope,
        channel: Channel,
        items: Sequence[Item],
        served: Served,
        among: endpoints.Among,
    ) -> Arrival:
        """Say for each item whose it is; `envelope` stays None, as for one that is kept already."""
        placed: list[tuple[str, str, Item]] = []
        unread: list[tuple[int, str]] = []
        for position, item in enumerate(items):
            account = among.meant.get(item.to, item.to) or served.name
            if type(item) is Unread:
                unread.append((position, item.reason))
            elif account not in among.accounts:
                unread.append((position, "it is meant for an account that this endpoint has not"))
            else:
                placed.append((account, channel.type, item))
        received = micros(envelope.received_at)
        return Arrival(None, envelope_id, placed, among.windows, received, unread, before=self.restored_at)

    async def _shaped(self, arrival: Arrival, accounts: Mapping[str, Served]) -> Arrival:
        if self._shape is None:
            return arrival
        inbound = [(i, t) for i, t in enumerate(arrival.items) if type(t[2]) is Inbound]
        if not inbound:
            return arrival
        wanted = [(accounts[account].view, item) for _, (account, _, item) in inbound]
        results = await self._shape(wanted, SHAPE_BUDGET)  # type: ignore[arg-type]
        items: list[tuple[str, str, Item] | None] = list(arrival.items)
        for (i, (account, kind, _)), (shaped, note) in zip(inbound, results, strict=True):
            if note:
                _log.info("inbound message shaped", account=account, note=note)
            items[i] = (account, kind, storable(shaped)) if shaped is not None else None
        return replace(arrival, items=[item for item in items if item is not None])

    async def _filed(self, arrivals: Sequence[Arrival]) -> None:
        """Store the files that lie in arrivals, but for those of messages that are here already."""
        items = [(account, item) for arrival in arrivals for account, _, item in arrival.items if is_to_be_filed(item)]
        if not items:
            return
        wanted = {(account, item.external_id) for account, item in items if holds_files(item)}
        known = await self._store.read(lambda query: messages_there(query, wanted)) if wanted else {}

        for arrival in arrivals:
            stored: list[tuple[str, str, Item]] = []
            for position, (account, kind, item) in enumerate(arrival.items):
                if not is_to_be_filed(item) or (account, item.external_id) in known:
                    stored.append((account, kind, item))
                    continue
                try:
                    stored.append((account, kind, await filed(self._files, item)))
                except StoreDown:
                    raise
                except Exception as error:  # noqa: BLE001  law 7: an item that cannot be stored is kept as unread
                    _log.error("files of a message not stored", account=account, kind=type(error).__name__)
                    arrival.unread.append((position, f"{type(error).__name__} while its files were stored"))
            arrival.items = stored


class _AtOnce:
    """What waits for the commit of one arrival, without a task of its own."""

    __slots__ = ("_arrival", "_done", "_intake")

    def __init__(self, intake: Intake, arrival: Arrival, done: Done) -> None:
        self._intake = intake
        self._arrival = arrival
        self._done = done

    def done(self) -> bool:
        return False

    def set_result(self, _: Admitted, /) -> None:
        self._done(None)

    def set_exception(self, error: BaseException, /) -> None:
        if isinstance(error, StoreDown):
            self._done(error)
        else:
            self._intake.one_by_one(self._arrival, error, self._done)


def _row(
    arrival: Arrival, served: Served, channel: Channel, envelope: Envelope, items: int, ref: str = ""
) -> tuple[object, ...]:
    """Give an envelope as it is stored, but for `unread`; `ref` says where a big body lies."""
    headers, query = kept(channel.features, envelope)
    return (
        arrival.envelope_id,
        served.name,
        envelope.endpoint,
        envelope.method,
        envelope.path,
        as_json(headers) if headers else "{}",
        as_json(query) if query else "[]",
        b"" if ref else envelope.body,
        ref,
        envelope.remote,
        arrival.received,
        items,
    )


def kept(features: Features, envelope: Envelope) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Give the headers and the query that are stored of an envelope, and read at a replay."""
    headers = {
        name: value
        for name, value in envelope.headers.items()
        if name == "content-type" or name in features.kept_headers
    }
    return headers, [pair for pair in envelope.query if pair[0] not in features.secret_query]


async def _in_one_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body


_KEPT = """
    SELECT account, endpoint, method, path, headers, query, body, remote, received_at, body_ref
    FROM envelope WHERE id = :id
"""


def _no_envelope(envelope_id: str) -> NotFound:
    return NotFound(f"there is no envelope {envelope_id}; raw envelopes are purged after journal_days")


def _kept(query: Query, envelope_id: str) -> tuple[str, Envelope, str] | None:
    row = query.one(_KEPT, {"id": envelope_id})
    if row is None:
        return None
    account, endpoint, method, path, headers, pairs, body, remote, received_at, body_ref = row
    envelope = Envelope(
        endpoint=endpoint,
        method=method,
        path=path,
        headers=json.loads(headers),
        query=tuple((name, value) for name, value in json.loads(pairs)),
        body=bytes(body),
        remote=remote,
        received_at=moment(received_at),
    )
    return account, envelope, body_ref


def _plainly_genuine(behind: Sequence[tuple[Served, Channel]], envelope: Envelope) -> tuple[Served, Channel] | None:
    """Say whose it is where there is nothing to answer, to refuse or to complain of."""
    try:
        for _, channel in behind:
            if channel.answer(envelope) is not None:
                return None
        for served, channel in behind:
            try:
                said: object = channel.authenticate(envelope)  # type: ignore[func-returns-value]
            except Rejected:
                continue
            return (served, channel) if said is None else None
    except PLUGIN_MAY_RAISE:
        return None
    return None


def _genuine(behind: Sequence[tuple[Served, Channel]], envelope: Envelope) -> tuple[Served, Channel]:
    for served, channel in behind:
        try:
            said: object = channel.authenticate(envelope)  # type: ignore[func-returns-value]
        except Rejected:
            continue
        except PLUGIN_MAY_RAISE as error:  # a check that breaks lets nothing through
            _log.error("authenticate failed", account=served.name, kind=type(error).__name__, place=line_of(error))
            continue
        if said is None:
            return served, channel
        # One that says False would let everybody in.
        _log.error("authenticate gave something; it raises Rejected, or gives nothing", account=served.name)
    behind[0][0].rejected(envelope.received_at)
    raise Rejected("not genuine")


__all__ = ["Admitted", "Intake", "Served", "kept"]
