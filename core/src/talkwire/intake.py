"""The way in: receive → authenticate → parse → admit.

Nothing is acknowledged before it is committed. A delivery is one envelope, whatever it holds; an
item that cannot be read is kept as unread and loses no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, get_args

import structlog
from pydantic_core import to_json

from . import answers, deliveries, lanes, people
from .channel import Answered, Channel
from .clock import Clock, micros
from .errors import NotFound, Rejected
from .formatting import blocks_to_json
from .ids import new_id
from .model import (
    Account,
    AccountNotice,
    Address,
    AddressChanged,
    Attachment,
    Batch,
    Change,
    Envelope,
    Inbound,
    Item,
    RemoteMedia,
    Report,
    SessionChange,
    SessionState,
    Typing,
    Unread,
)
from .store import Store, Tx, goes_first

_log = structlog.get_logger("talkwire.intake")
_ITEMS = get_args(Item)
_PREVIEW = 120  # characters of a conversation's last message
SHAPE_BUDGET = timedelta(milliseconds=200)  # for all shape_inbound hooks of one envelope
BIG_BODY = 256 * 1024  # bytes; a larger envelope lies with the files


class Served(Protocol):
    """An account as intake sees it."""

    name: str
    channel: Channel | None  # None: absent or broken at load
    view: Account

    def heard(self, at: datetime) -> None: ...
    def typing(self, typing: Typing) -> None: ...
    def noticed(self, notice: AccountNotice) -> None: ...


Shape = Callable[
    [Sequence[tuple[Account, Inbound]], timedelta], "ShapedAwaitable"
]  # gives (inbound or None, note) for each


class ShapedAwaitable(Protocol):
    """The coroutine of a `Shape`."""

    def __await__(self) -> Iterable[Sequence[tuple[Inbound | None, str]]]: ...  # type: ignore[override]


@dataclass(slots=True)
class Arrival:
    """One envelope, read, on its way into the store."""

    envelope: tuple[object, ...] | None  # the row; None: own connection
    envelope_id: str
    items: list[tuple[str, str, Item]]  # (account, channel, item)
    windows: Mapping[str, timedelta | None]
    cursor: tuple[str, str] | None = None  # (account, cursor) of a listener
    replayed: bool = False


@dataclass(slots=True)
class Admitted:
    """What one arrival brought."""

    messages: list[str] = field(default_factory=list)  # ids of the new ones
    duplicates: int = 0


class Intake:
    """Takes envelopes in, for all accounts of one daemon."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        shape: Shape | None = None,  # None: no plugin shapes
        keep_body: Callable[[bytes], str] | None = None,  # puts a big body with the files
    ) -> None:
        self._store = store
        self._clock = clock
        self._shape = shape
        self._keep_body = keep_body
        self._endpoints: dict[str, list[Served]] = {}

    def serve(self, endpoints: Mapping[str, Sequence[Served]]) -> None:
        """Say which accounts stand behind which endpoint."""
        self._endpoints = {name: list(accounts) for name, accounts in endpoints.items()}

    def body_limit(self, endpoint: str) -> int:
        """Give the largest body an endpoint takes, in bytes. Errors: `NotFound`."""
        return max(channel.features.body_limit for _, channel in self._behind(endpoint))

    def _behind(self, endpoint: str) -> list[tuple[Served, Channel]]:
        found = [
            (served, served.channel)
            for served in self._endpoints.get(endpoint, ())
            if served.channel is not None and served.channel.features.webhook
        ]
        if not found:
            raise NotFound("unknown endpoint")
        return found

    async def receive(self, envelope: Envelope) -> Answered | None:
        """Take one delivery in; None: it is committed, answer 200 with an empty body.

        Errors: `NotFound` 404 · `Rejected` 401, nothing stored · `StoreDown` 503.
        """
        behind = self._behind(envelope.endpoint)
        for _, channel in behind:
            answered = channel.answer(envelope)
            if answered is not None:
                return answered
        served, channel = _genuine(behind, envelope)
        served.heard(envelope.received_at)
        items = read(channel, envelope)
        if not items and envelope.method == "GET":
            return None
        arrival = self._arrival(envelope, served, channel, items, [s for s, _ in behind])
        await self._admit(arrival, {s.name: s for s, _ in behind})
        return None

    async def admit_items(self, served: Served, items: Sequence[Item]) -> Admitted:
        """Take in what came over an account's own connection; committed when this returns."""
        channel = served.channel
        assert channel is not None  # it is the channel that calls
        arrival = Arrival(
            None,
            "",
            [(served.name, channel.type, item) for item in _checked(items)],
            {served.name: channel.features.window},
        )
        return await self._admit(arrival, {served.name: served})

    async def admit_batch(self, served: Served, batch: Batch) -> None:
        """Take in what a listener fetched, and move its cursor, in one transaction."""
        channel = served.channel
        assert channel is not None  # it is the channel that listens
        arrivals = [
            self._arrival(envelope, served, channel, read(channel, envelope), [served])
            for envelope in batch.envelopes
        ]
        last = Arrival(None, "", [], {}, cursor=(served.name, batch.cursor))
        shaped = [await self._shaped(arrival, {served.name: served}) for arrival in arrivals]
        await self._store.write(admit_all, [*shaped, last])

    async def replay(self, served: Served, envelope: Envelope, envelope_id: str) -> Admitted:
        """Read a kept envelope again; what is there already stays as it is."""
        channel = served.channel
        assert channel is not None  # the caller checked
        arrival = self._arrival(envelope, served, channel, read(channel, envelope), [served])
        arrival.envelope_id, arrival.replayed = envelope_id, True
        return await self._admit(arrival, {served.name: served})

    async def _admit(self, arrival: Arrival, accounts: Mapping[str, Served]) -> Admitted:
        arrival = await self._shaped(arrival, accounts)
        admitted: Admitted = await self._store.write(admit, arrival)
        for account, _, item in arrival.items:
            if isinstance(item, Typing):
                accounts[account].typing(item)
            elif isinstance(item, AccountNotice):
                accounts[account].noticed(item)
        return admitted

    def _arrival(
        self,
        envelope: Envelope,
        served: Served,
        channel: Channel,
        items: Sequence[Item],
        behind: Sequence[Served],
    ) -> Arrival:
        placed: list[tuple[str, str, Item]] = []
        unread: list[tuple[int, str]] = []
        names = {other.name for other in behind}
        for position, item in enumerate(items):
            account = item.to or served.name
            if type(item) is Unread:
                unread.append((position, item.reason))
            elif account not in names:
                unread.append((position, "it is meant for an account that this endpoint has not"))
            else:
                placed.append((account, channel.type, item))
        envelope_id = new_id()
        return Arrival(
            self._row(envelope, channel, served.name, envelope_id, len(items), unread),
            envelope_id,
            placed,
            {
                s.name: s.channel.features.window if s.channel else None for s in behind
            },
        )

    def _row(  # noqa: PLR0913  the envelope's own columns
        self,
        envelope: Envelope,
        channel: Channel,
        account: str,
        envelope_id: str,
        items: int,
        unread: Sequence[tuple[int, str]],
    ) -> tuple[object, ...]:
        features = channel.features
        headers = {
            name: value
            for name, value in envelope.headers.items()
            if name == "content-type" or name in features.kept_headers
        }
        query = [pair for pair in envelope.query if pair[0] not in features.secret_query]
        body, ref = envelope.body, ""
        if len(body) > BIG_BODY and self._keep_body is not None:
            body, ref = b"", self._keep_body(body)
        return (
            envelope_id,
            account,
            envelope.endpoint,
            envelope.method,
            envelope.path,
            to_json(headers).decode() if headers else "{}",
            _query_text(query) if query else "[]",
            body,
            ref,
            envelope.remote,
            micros(envelope.received_at),
            items,
            to_json(unread).decode() if unread else "",
        )

    async def _shaped(self, arrival: Arrival, accounts: Mapping[str, Served]) -> Arrival:
        inbound = [(i, t) for i, t in enumerate(arrival.items) if type(t[2]) is Inbound]
        if self._shape is None or not inbound:
            return arrival
        wanted = [(accounts[account].view, item) for _, (account, _, item) in inbound]
        results = await self._shape(wanted, SHAPE_BUDGET)  # type: ignore[arg-type, misc]
        items = list(arrival.items)
        for (i, (account, kind, _)), (shaped, note) in zip(inbound, results, strict=True):
            if note:
                _log.info("inbound message shaped", account=account, note=note)
            items[i] = (account, kind, shaped if shaped is not None else Unread(note))
        return replace(arrival, items=[t for t in items if type(t[2]) is not Unread])


def _query_text(query: Sequence[tuple[str, str]]) -> str:
    try:
        return to_json(query).decode()
    except ValueError:  # bytes that are no UTF-8 stand in it as lone surrogates
        return json.dumps(query)


def _storable(text: str) -> str:
    """Give a text as it came, but for what no database takes: NUL and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _genuine(behind: Sequence[tuple[Served, Channel]], envelope: Envelope) -> tuple[Served, Channel]:
    for served, channel in behind:
        try:
            channel.authenticate(envelope)
        except Rejected:
            continue
        except Exception as error:  # noqa: BLE001  a check that breaks lets nothing through
            _log.error("authenticate failed", account=served.name, kind=type(error).__name__)
            continue
        return served, channel
    raise Rejected("not genuine")


def read(channel: Channel, envelope: Envelope) -> list[Item]:
    """Give what an envelope means; whatever `parse` does, the envelope is not lost."""
    items: list[Item] = []
    try:
        for item in channel.parse(envelope):
            items.append(item)  # noqa: PERF402  what came before an error counts
    except Exception as error:  # noqa: BLE001  law 7: an unreadable item is kept and shown
        items.append(Unread(f"{type(error).__name__} in parse: {_short(error)}"))
    return _checked(items)


def _short(error: Exception) -> str:
    from .errors import TalkwireError  # noqa: PLC0415

    # Other errors may quote what they choked on.
    return str(error)[:200] if isinstance(error, TalkwireError) else "see the log at debug"


def _checked(items: Iterable[Item]) -> list[Item]:
    return [
        item if isinstance(item, _ITEMS) else Unread(f"parse gave a {type(item).__name__}")
        for item in items
    ]


# --- the one transaction ---------------------------------------------------------------------------

_INSERT_ENVELOPE = """
    INSERT INTO envelope (id, account, endpoint, method, path, headers, query, body, body_ref,
                          remote, received_at, items, unread)
    VALUES (:id, :account, :endpoint, :method, :path, :headers, :query, :body, :body_ref,
            :remote, :received_at, :items, :unread)
"""
_SET_CURSOR = """
    UPDATE account_state SET cursor = :cursor, last_poll_at = :now WHERE account = :account
"""
_PLACE_ROWS = """
    SELECT id, account, last_n, last_at, last_inbound_at, last_inbound, last_text, session,
           reply_until, window_told, unreachable_at, contact_id, answer_code
    FROM conversation WHERE id IN (:ids[])
"""
_THERE = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT m.account, m.external_id, m.id FROM v JOIN message m
      ON m.account = v.account AND m.kind = 'message' AND m.external_id = v.external_id
"""
_BY_DELIVERY = """
    WITH v(account, external_id) AS (VALUES :ids[2])
    SELECT d.account, d.external_id, d.message_id FROM v JOIN delivery d
      ON d.account = v.account AND d.external_id = v.external_id
"""
_INSERT_MESSAGE = """
    INSERT INTO message (id, conversation_id, n, account, direction, external_id, envelope_id, at,
                         stored_at, text, blocks, reply_to, grp, subject)
    VALUES (:id, :conversation, :n, :account, 'in', :external_id, :envelope, :at,
            :stored_at, :text, :blocks, :reply_to, :grp, :subject)
"""
_MOVE_PLACE = """
    UPDATE conversation SET last_n = :n, last_at = :at, last_inbound_at = :inbound_at,
        last_inbound = :inbound, last_text = :text, reply_until = :until, window_told = :told,
        unreachable_at = NULL
    WHERE id = :id
"""
_INSERT_ATTACHMENT = """
    INSERT INTO attachment (id, account, message_id, name, media_type, size, cls, handle,
                            created_at)
    VALUES (:id, :account, :message, :name, :media_type, :size, :cls, :handle, :at)
"""


@dataclass(slots=True)
class _Place:
    id: str
    account: str
    last_n: int
    last_at: int | None
    last_inbound_at: int | None
    last_inbound: str
    last_text: str
    session: str
    reply_until: int | None
    window_told: int
    unreachable_at: int | None
    contact: str
    answer_code: str


@goes_first
def admit(tx: Tx, arrivals: Sequence[Arrival]) -> Sequence[Admitted]:
    """Store arrivals: envelopes, people, conversations, messages, reports, facts."""
    results = [Admitted() for _ in arrivals]
    tx.many(
        _INSERT_ENVELOPE, [a.envelope for a in arrivals if a.envelope and not a.replayed]  # type: ignore[misc]
    )
    tx.many(
        _SET_CURSOR,
        [
            {"account": a.cursor[0], "cursor": a.cursor[1], "now": tx.now_us}
            for a in sorted((a for a in arrivals if a.cursor), key=lambda a: a.cursor or ("", ""))
            if a.cursor
        ],
    )
    inbound: list[tuple[int, str, Inbound]] = []
    reports: list[tuple[str, Report, str]] = []
    others: list[tuple[str, str, Item]] = []
    channels: dict[str, str] = {}
    windows: dict[str, timedelta | None] = {}
    for index, arrival in enumerate(arrivals):
        windows.update(arrival.windows)
        for account, channel, item in arrival.items:
            channels[account] = channel
            if type(item) is Inbound:
                inbound.append((index, account, item))
            elif type(item) is Report:
                reports.append((account, item, arrival.envelope_id))
            else:
                others.append((account, channel, item))
    if inbound:
        _messages(tx, arrivals, inbound, channels, windows, results)
    for account, channel, item in others:
        _other(tx, account, channel, item)
    deliveries.reported(tx, reports)
    _tell_unread(tx, arrivals)
    return results


def admit_all(tx: Tx, batches: Sequence[Sequence[Arrival]]) -> Sequence[None]:
    """Store the arrivals of listeners, each batch with its cursor."""
    admit(tx, [arrival for batch in batches for arrival in batch])
    return [None] * len(batches)


def _messages(  # noqa: PLR0913, C901  one pass over the batch: splitting it would read it four times
    tx: Tx,
    arrivals: Sequence[Arrival],
    inbound: Sequence[tuple[int, str, Inbound]],
    channels: Mapping[str, str],
    windows: Mapping[str, timedelta | None],
    results: Sequence[Admitted],
) -> None:
    persons = people.resolve(tx, [(account, item.address) for _, account, item in inbound])
    spots: list[people.Place] = []
    wanted: dict[people.Place, tuple[str, str]] = {}
    for _, account, item in inbound:
        person = persons[people.key_of(account, item.address)]
        spot = (account, person.address, item.thread)
        spots.append(spot)
        wanted[spot] = (channels[account], person.contact)
    ids, new = people.places(tx, wanted)
    places = {
        row[0]: _Place(*row)
        for row in tx.execute(_PLACE_ROWS, {"ids": sorted(set(ids.values()))})
    }
    there = {
        (account, external)
        for account, external, _ in tx.execute(
            _THERE, {"ids": sorted({(account, i.external_id) for _, account, i in inbound})}
        )
    }
    answered = _answered(tx, inbound)
    rows, attachments, facts = [], [], []
    moved: dict[str, _Place] = {}
    for (index, account, item), spot in zip(inbound, spots, strict=True):
        if (account, item.external_id) in there:
            results[index].duplicates += 1
            continue
        there.add((account, item.external_id))
        place = places[ids[spot]]
        message = new_id()
        at = min(micros(item.at), tx.now_us)
        blocks, remote = _with_attachments(account, message, item, tx.now_us)
        attachments += remote
        place.last_n += 1
        rows.append(
            (message, place.id, place.last_n, account, item.external_id,
             arrivals[index].envelope_id, at, tx.now_us, _storable(item.text), blocks,
             answered.get((account, item.reply_to), "") if item.reply_to else "",
             item.group, item.subject)
        )  # fmt: skip
        place.last_at = max(place.last_at or 0, at)
        place.last_text = _storable(item.text[:_PREVIEW])
        if at >= (place.last_inbound_at or 0):
            place.last_inbound_at, place.last_inbound = at, item.external_id
        window = windows.get(account)
        if window is not None:
            until = at + micros_of(window)
            if until > (place.reply_until or 0):
                place.reply_until, place.window_told = until, 0
        moved[place.id] = place
        results[index].messages.append(message)
        facts.append((account, place, message, place.last_n, arrivals[index].replayed))
    for spot in sorted(new):
        tx.tell("conversation.opened", account=spot[0], conversation=ids[spot])
    tx.many(_INSERT_MESSAGE, rows)
    tx.many(
        _MOVE_PLACE,
        [
            (p.last_n, p.last_at, p.last_inbound_at, p.last_inbound, p.last_text, p.reply_until,
             p.window_told, p.id)
            for _, p in sorted(moved.items())
        ],
    )  # fmt: skip
    tx.many(_INSERT_ATTACHMENT, attachments)
    lanes.add(
        tx,
        [lanes.NewTask("do", f"fetch:{row[1]}", "fetch", str(row[0])) for row in attachments],
    )
    for account, place, message, n, replayed in facts:
        small: dict[str, str | int | bool] = {"n": n}
        if replayed:
            small["replayed"] = True
        tx.tell(
            "message.received",
            account=account,
            conversation=place.id,
            ids={"message": message, "contact": place.contact},
            small=small,
        )
    changed = [p.id for p in moved.values() if p.answer_code or p.unreachable_at is not None]
    release(tx, answers.tell_changes(tx, changed))


def micros_of(span: timedelta) -> int:
    """Turn a duration into microseconds."""
    return span // timedelta(microseconds=1)


def _answered(
    tx: Tx, inbound: Sequence[tuple[int, str, Inbound]]
) -> dict[tuple[str, str], str]:
    asked = sorted({(account, i.reply_to) for _, account, i in inbound if i.reply_to})
    if not asked:
        return {}
    found = {(a, e): m for a, e, m in tx.execute(_BY_DELIVERY, {"ids": asked})}
    return found | {(a, e): m for a, e, m in tx.execute(_THERE, {"ids": asked})}


def _with_attachments(
    account: str, message: str, item: Inbound, now_us: int
) -> tuple[str, list[tuple[object, ...]]]:
    if not item.blocks:
        return "[]", []
    from .media.sniff import classify, safe_name  # noqa: PLC0415  most messages have none
    from .model import Media  # noqa: PLC0415

    blocks: list[object] = []
    rows: list[tuple[object, ...]] = []
    for block in item.blocks:
        if not isinstance(block, RemoteMedia):
            blocks.append(block)
            continue
        attachment, name = new_id(), safe_name(block.name)
        rows.append(
            (attachment, account, message, name, block.media_type[:100], block.size or 0,
             classify(block.media_type, name).value, block.handle, now_us)
        )  # fmt: skip
        blocks.append(Media(attachment=attachment, caption=block.caption))
    return blocks_to_json(tuple(blocks)), rows  # type: ignore[arg-type]


# --- what is neither message nor report --------------------------------------------------------------

_SESSION = """
    UPDATE conversation SET session = :state, session_at = :at, session_reason = :reason
    WHERE id = :id
"""
_SESSION_NOW = "SELECT session, session_at FROM conversation WHERE id = :id"
_INSERT_CHANGE = """
    INSERT INTO change (account, change_id, external_id, message_id, kind, text, by_address, at,
                        stored_at)
    VALUES (:account, :change, :external, :message, :kind, :text, :by, :at, :stored)
    ON CONFLICT (account, change_id) DO NOTHING
"""
_CHANGE_THERE = "SELECT 1 FROM change WHERE account = :account AND change_id = :change"


def _other(tx: Tx, account: str, channel: str, item: Item) -> None:
    if isinstance(item, SessionChange):
        conversation, _ = _conversation(tx, account, channel, item.address, item.thread)
        session_changed(
            tx, account, conversation, item.state, micros(item.at), item.reason
        )
    elif isinstance(item, Change):
        _changed(tx, account, channel, item)
    elif isinstance(item, AddressChanged):
        _address_changed(tx, account, item)
    elif isinstance(item, AccountNotice):
        tx.tell(
            "account.notice",
            account=account,
            small={"code": item.code, "text": item.text[:200], "broken": item.broken},
        )


def _conversation(
    tx: Tx, account: str, channel: str, address: Address, thread: str
) -> tuple[str, people.Person]:
    person = people.resolve(tx, [(account, address)])[people.key_of(account, address)]
    spot = (account, person.address, thread)
    ids, new = people.places(tx, {spot: (channel, person.contact)})
    if new:
        tx.tell("conversation.opened", account=account, conversation=ids[spot])
    return ids[spot], person


def session_changed(  # noqa: PLR0913
    tx: Tx, account: str, conversation: str, state: SessionState, at: int, reason: str
) -> None:
    """Store how a session stands, tell it, and let what waited for it go on or fail."""
    row = tx.one(_SESSION_NOW, {"id": conversation})
    if row is None or row[0] == state or (row[1] is not None and at < row[1]):
        return  # a repeat, or older than what we know
    tx.execute(
        _SESSION, {"id": conversation, "state": state.value, "at": at, "reason": reason[:100]}
    )
    names = {SessionState.CONNECTED: "opened", SessionState.NONE: "opened"}
    tx.tell(
        f"session.{names.get(state, state.value)}",
        account=account,
        conversation=conversation,
        small={"was": row[0], "reason": reason[:100]},
    )
    release(tx, answers.tell_changes(tx, [conversation]))
    lanes.wake(tx, f"send:{account}", [conversation])


def _changed(tx: Tx, account: str, channel: str, item: Change) -> None:
    change = item.change_id or (
        f"{item.kind}:{item.external_id}:{item.address.value}:{micros(item.at)}"
    )
    if tx.one(_CHANGE_THERE, {"account": account, "change": change}):
        return
    ids = [(account, item.external_id)]
    rows = tx.execute(_THERE, {"ids": ids}) or tx.execute(_BY_DELIVERY, {"ids": ids})
    message = rows[0][2] if rows else ""
    conversation, _ = _conversation(tx, account, channel, item.address, item.thread)
    tx.execute(
        _INSERT_CHANGE,
        {
            "account": account,
            "change": change,
            "external": item.external_id,
            "message": message,
            "kind": item.kind.value,
            "text": item.text,
            "by": item.address.value,
            "at": micros(item.at),
            "stored": tx.now_us,
        },
    )
    tx.tell(
        "message.changed",
        account=account,
        conversation=conversation,
        ids={"message": message},
        small={"kind": item.kind.value},
    )


def _address_changed(tx: Tx, account: str, item: AddressChanged) -> None:
    old = people.resolve(tx, [(account, item.old)])[people.key_of(account, item.old)]
    new = people.resolve(tx, [(account, item.new)])[people.key_of(account, item.new)]
    if new.contact != old.contact:
        people.merge(tx, new.contact, old.contact)
    tx.tell(
        "address.changed",
        account=account,
        ids={"contact": old.contact, "old": old.address, "new": new.address},
    )


def _tell_unread(tx: Tx, arrivals: Sequence[Arrival]) -> None:
    for arrival in arrivals:
        if arrival.envelope is not None and arrival.envelope[-1]:
            tx.tell(
                "envelope.unread",
                account=str(arrival.envelope[1]),
                ids={"envelope": arrival.envelope_id},
            )


_HELD = """
    SELECT id, account, conversation_id FROM delivery
    WHERE state = 0 AND reason IN ('window_closed', 'session_ended', 'address_unreachable')
      AND conversation_id IN (:ids[])
    ORDER BY conversation_id, id
"""
_NOT_HELD = "UPDATE delivery SET reason = '' WHERE id = :id"


def release(tx: Tx, conversations: Iterable[str]) -> None:
    """Give the replies that were held their tasks, in their order, now that they may go out."""
    ids = sorted(set(conversations))
    if not ids:
        return
    rows = list(dict.fromkeys(tx.execute(_HELD, {"ids": ids})))
    tx.many(_NOT_HELD, [{"id": row[0]} for row in rows])
    lanes.add(tx, [lanes.NewTask(f"send:{a}", c, "send", d) for d, a, c in rows])


__all__ = ["Admitted", "Arrival", "Attachment", "Intake", "Served", "admit", "read", "release"]
