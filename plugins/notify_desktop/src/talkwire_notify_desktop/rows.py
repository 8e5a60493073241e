"""The plugin's own tables: surfaces, browsers that can be woken, and what is out on desktops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from talkwire import NotFound, Query, Tx

MOST_SUBSCRIPTIONS = 20  # of one recipient; a new one takes the place of the oldest
_KEPT = timedelta(days=7)  # that is out: after it nobody looks for it
_KNOWN = timedelta(days=90)  # a native client that was not there for so long is forgotten

_CONNECT = """
    INSERT INTO desktop_surface (recipient, id, socket, daemon, kind, name, able, why_not, seen_at)
    VALUES (:recipient, :id, :socket, :daemon, :kind, :name, :able, :why_not, :now)
    ON CONFLICT (recipient, id) DO UPDATE SET socket = excluded.socket, daemon = excluded.daemon, kind = excluded.kind,
        name = excluded.name, able = excluded.able, why_not = excluded.why_not, seen_at = excluded.seen_at
"""
_ABLE = "UPDATE desktop_surface SET able = :able, why_not = :why_not WHERE socket = :socket"
_IS_MINE = "SELECT kind FROM desktop_surface WHERE recipient = :recipient AND id = :id AND socket = :socket"
_AWAY = "UPDATE desktop_surface SET socket = '', daemon = '', seen_at = :now WHERE recipient = :recipient AND id = :id"
_FORGET = "DELETE FROM desktop_surface WHERE recipient = :recipient AND id = :id"
_FORGET_ONE = "DELETE FROM desktop_surface WHERE recipient = :recipient AND id = :id RETURNING id"
_SURFACES = """
    SELECT id, socket, daemon, kind, name, able, why_not, seen_at FROM desktop_surface
    WHERE recipient = :recipient ORDER BY seen_at DESC, id
"""
_OF_OTHERS = "SELECT recipient, id, socket, daemon FROM desktop_surface WHERE daemon <> '' AND daemon <> :me"

_PUT_OUT = """
    INSERT INTO desktop_out (notification, recipient, at) VALUES (:id, :recipient, :now)
    ON CONFLICT (notification) DO NOTHING
"""
_IS_SHOWN = "SELECT shown FROM desktop_out WHERE notification = :id"
_OUT = "SELECT notification, shown FROM desktop_out WHERE recipient IN (:recipients[])"
_SHOWN = "UPDATE desktop_out SET shown = 1 WHERE notification = :id"
_PUSHED = "UPDATE desktop_out SET pushed = 1 WHERE notification = :id"
_TAKE_IN = "DELETE FROM desktop_out WHERE notification = :id RETURNING pushed"

_SUBSCRIBE = """
    INSERT INTO desktop_subscription (id, recipient, endpoint, p256dh, auth, name, seen_at)
    VALUES (:id, :recipient, :endpoint, :p256dh, :auth, :name, :now)
    ON CONFLICT (endpoint) DO UPDATE SET recipient = excluded.recipient, p256dh = excluded.p256dh,
        auth = excluded.auth, name = excluded.name, seen_at = excluded.seen_at
    RETURNING id
"""
_SUBSCRIPTIONS = """
    SELECT id, endpoint, p256dh, auth, name, seen_at FROM desktop_subscription
    WHERE recipient = :recipient ORDER BY seen_at DESC, id
"""
_UNSUBSCRIBE = "DELETE FROM desktop_subscription WHERE id = :id"
_UNSUBSCRIBE_ONE = "DELETE FROM desktop_subscription WHERE recipient = :recipient AND id = :id RETURNING id"
_UNSUBSCRIBE_AT = "DELETE FROM desktop_subscription WHERE recipient = :recipient AND endpoint = :endpoint"
_REACHED = "UPDATE desktop_subscription SET seen_at = :now WHERE id = :id"


def micros(at: datetime) -> int:
    """Turn a moment into microseconds since 1970-01-01 UTC."""
    return int(at.timestamp()) * 1_000_000 + at.microsecond


def moment(value: int) -> datetime:
    """Turn microseconds since 1970-01-01 UTC into a moment."""
    return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceRow:
    """A surface, as all daemons know it."""

    recipient: str
    id: str
    socket: str  # empty: it has no connection now
    daemon: str  # likewise
    kind: str
    name: str
    able: bool
    why_not: str
    seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A browser of a recipient that a push service wakes."""

    id: str
    recipient: str
    endpoint: str
    p256dh: str
    auth: str
    name: str
    seen_at: datetime

    def __repr__(self) -> str:
        """Show no address by which anybody could wake it."""
        return f"Subscription({self.id})"


# --- surfaces ----------------------------------------------------------------------------------------------


def connect(tx: Tx, items: Sequence[SurfaceRow]) -> Sequence[None]:
    """Note that a surface has a connection now, in place of the one it had."""
    for one in sorted(items, key=lambda one: (one.recipient, one.id)):
        tx.execute(
            _CONNECT,
            {
                "recipient": one.recipient,
                "id": one.id,
                "socket": one.socket,
                "daemon": one.daemon,
                "kind": one.kind,
                "name": one.name,
                "able": int(one.able),
                "why_not": one.why_not,
                "now": micros(one.seen_at),
            },
        )
    return [None] * len(items)


def able(tx: Tx, items: Sequence[tuple[str, bool, str]]) -> Sequence[None]:
    """Note whether a surface can show notifications, of (socket, able, why not)."""
    for socket, is_able, why_not in sorted(items):
        tx.execute(_ABLE, {"socket": socket, "able": int(is_able), "why_not": why_not})
    return [None] * len(items)


def disconnect(tx: Tx, items: Sequence[tuple[str, str, str, datetime]]) -> Sequence[bool]:
    """Note that (recipient, surface) has lost a connection; false: it has another one already.

    A native client stays known, a page's tab does not come again.
    """
    lost = []
    for recipient, id_, socket, at in items:
        row = tx.one(_IS_MINE, {"recipient": recipient, "id": id_, "socket": socket})
        if row is not None:
            away = _AWAY if row[0] == "native" else _FORGET
            tx.execute(away, {"recipient": recipient, "id": id_, "now": micros(at)})
        lost.append(row is not None)
    return lost


def surfaces(query: Query, recipient: str) -> list[SurfaceRow]:
    """Give the surfaces of a recipient, here now or known."""
    return [
        SurfaceRow(
            recipient=recipient,
            id=id_,
            socket=socket,
            daemon=daemon,
            kind=kind,
            name=name,
            able=bool(is_able),
            why_not=why_not,
            seen_at=moment(seen_at),
        )
        for id_, socket, daemon, kind, name, is_able, why_not, seen_at in query.execute(
            _SURFACES, {"recipient": recipient}
        )
    ]


def of_others(query: Query, me: str) -> list[tuple[str, str, str, str]]:
    """Give (recipient, surface, socket, daemon) of the connections of other daemons."""
    return [(row[0], row[1], row[2], row[3]) for row in query.execute(_OF_OTHERS, {"me": me})]


def forget(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Forget (recipient, device): a surface or a subscription. Errors: `NotFound`."""
    for recipient, id_ in sorted(items):
        of = {"recipient": recipient, "id": id_}
        if not tx.execute(_FORGET_ONE, of) and not tx.execute(_UNSUBSCRIBE_ONE, of):
            raise NotFound("there is no such device")
    return [None] * len(items)


# --- what is out ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PutOut:
    """How things stand when a notification is handed over."""

    shown: bool  # somebody can see it already
    surfaces: tuple[SurfaceRow, ...]


def put_out(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[PutOut]:
    """Note that (notification, recipient) is to be shown, and say who is there to show it; twice is no error."""
    found = []
    for id_, recipient in items:
        tx.execute(_PUT_OUT, {"id": id_, "recipient": recipient, "now": tx.now_us})
        row = tx.one(_IS_SHOWN, {"id": id_})
        found.append(PutOut(bool(row and row[0]), tuple(surfaces(tx, recipient))))
    return found


def out(query: Query, recipients: Sequence[str]) -> dict[str, bool]:
    """Give what is out for these recipients: notification → somebody can see it."""
    rows = query.execute(_OUT, {"recipients": recipients}) if recipients else []
    return {row[0]: bool(row[1]) for row in rows}


def shown(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Note that notifications can be seen."""
    for id_ in sorted(items):
        tx.execute(_SHOWN, {"id": id_})
    return [None] * len(items)


def pushed(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Note that notifications were given to a push service."""
    for id_ in sorted(items):
        tx.execute(_PUSHED, {"id": id_})
    return [None] * len(items)


def take_in(tx: Tx, items: Sequence[str]) -> Sequence[bool]:
    """Note that notifications are out no more; says of each whether a push service has had it."""
    return [any(row[0] for row in tx.execute(_TAKE_IN, {"id": id_})) for id_ in items]


def tidy(tx: Tx, items: Sequence[datetime]) -> Sequence[None]:
    """Forget what is old."""
    for now in items:
        tx.execute("DELETE FROM desktop_out WHERE at < :old", {"old": micros(now - _KEPT)})
        old = {"old": micros(now - _KNOWN)}
        tx.execute("DELETE FROM desktop_surface WHERE daemon = '' AND seen_at < :old", old)
    return [None] * len(items)


# --- subscriptions -------------------------------------------------------------------------------------------


def subscribe(tx: Tx, items: Sequence[Subscription]) -> Sequence[str]:
    """Keep a subscription, in place of the same browser's older one; gives its id."""
    ids = []
    for one in items:
        kept = tx.execute(
            _SUBSCRIBE,
            {
                "id": one.id,
                "recipient": one.recipient,
                "endpoint": one.endpoint,
                "p256dh": one.p256dh,
                "auth": one.auth,
                "name": one.name,
                "now": micros(one.seen_at),
            },
        )
        ids.append(str(kept[0][0]))
        for old in subscriptions(tx, one.recipient)[MOST_SUBSCRIPTIONS:]:
            tx.execute(_UNSUBSCRIBE, {"id": old.id})
    return ids


def subscriptions(query: Query, recipient: str) -> list[Subscription]:
    """Give the subscriptions of a recipient, the last used first."""
    return [
        Subscription(
            id=id_,
            recipient=recipient,
            endpoint=endpoint,
            p256dh=p256dh,
            auth=auth,
            name=name,
            seen_at=moment(seen_at),
        )
        for id_, endpoint, p256dh, auth, name, seen_at in query.execute(_SUBSCRIPTIONS, {"recipient": recipient})
    ]


def unsubscribe(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Forget subscriptions that are dead."""
    for id_ in sorted(items):
        tx.execute(_UNSUBSCRIBE, {"id": id_})
    return [None] * len(items)


def unsubscribe_at(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Forget (recipient, endpoint); one that is gone is no error."""
    for recipient, endpoint in sorted(items):
        tx.execute(_UNSUBSCRIBE_AT, {"recipient": recipient, "endpoint": endpoint})
    return [None] * len(items)


def reached(tx: Tx, items: Sequence[tuple[str, datetime]]) -> Sequence[None]:
    """Note when a subscription was used last."""
    for id_, at in sorted(items):
        tx.execute(_REACHED, {"id": id_, "now": micros(at)})
    return [None] * len(items)
