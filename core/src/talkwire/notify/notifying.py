"""Who is told what, once: notifications are made, joined, read, answered first by one, withdrawn, and lapse.

A `Notify` action or a `[[notify]]` rule makes a notification; each medium that is asked for gets a decision with
its reason (`showing`). The first answer wins, over all recipients of what was asked.

    waiting ─┬─▶ shown        somebody can see it
             ├─▶ handed       taken over; `shown` comes later, or never
             ├─▶ suppressed   on purpose: `why.REASONS` says them all
             └─▶ refused      never: the notifier said so, or it failed for a day

    open ────┬─▶ answered     a button was pressed, by this recipient or by another one
             ├─▶ withdrawn    whoever asked took it back
             └─▶ lapsed       nobody pressed one in time
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from .. import readmodels
from ..actions import Notify, Withdraw
from ..clock import moment
from ..errors import Conflict, NotFound, Outrun
from ..ids import new_id
from ..model import Ended, Notification, Style
from ..sections import RecipientSettings
from ..store import Query, Tx
from ..work import lanes
from ..work.lanes import NewTask
from .templates import Does, Template, Templates, filled

DELIVER, UNLESS_REPLIED, TAKE_BACK = "deliver", "deliver_unless_replied", "withdraw"  # kinds of a medium's tasks
TOGETHER = "to:"  # begins the subject of a lane that holds all toasts of one recipient
_AT_ONCE = (
    "account.",
    "queue.",
    "lane.",
    "disk.",
    "reader.",
    "credential.",
    "fact.parked",
)  # an operator's alarms wait for nothing
_LAPSED_AT_ONCE = 200

_RECIPIENT = """
    SELECT r.media, r.language, p.wants FROM recipient r LEFT JOIN preference p ON p.recipient = r.name WHERE r.name = :name
"""
_INSERT = """
    INSERT INTO notification (id, recipient, asker, key, kind, title, text, actions, conversation, created_at, style,
                              details, on_desktop, lapses_at, shows_lapse, account, does)
    VALUES (:id, :recipient, :asker, :key, :kind, :title, :text, :actions, :conversation, :now, :style,
            :details, :on_desktop, :lapses_at, :shows_lapse, :account, :does)
    ON CONFLICT (asker, key, recipient) DO NOTHING
"""
_THERE = "SELECT 1 FROM notification WHERE id = :id"
_WON_BEFORE = "SELECT 1 FROM notification WHERE asker = :asker AND key = :key AND answered_by <> '' LIMIT 1"
_EVENT = """
    INSERT INTO notification_event (notification_id, seq, at, joined) VALUES (:id, :seq, :now, :joined)
    ON CONFLICT (notification_id, seq) DO NOTHING
"""
_DECIDE = """
    INSERT INTO notification_medium (notification_id, medium, decision, reason, at, lane)
    VALUES (:id, :medium, :decision, :reason, :now, :lane)
"""
_REDECIDE = """
    UPDATE notification_medium SET decision = :decision, reason = :reason, at = :now
    WHERE notification_id = :id AND medium = :medium AND (decision <> 'shown' OR :decision = 'shown')
    RETURNING decision
"""
_ABOUT = "SELECT conversation, recipient FROM notification WHERE id = :id"
_OPEN = """
    SELECT id FROM notification
    WHERE withdrawn_at IS NULL AND (id = :id OR (key = :key AND key <> '' AND asker = :asker)) ORDER BY id
"""
_END = """
    UPDATE notification SET withdrawn_at = :now, ended = :ended WHERE id = :id AND withdrawn_at IS NULL RETURNING id
"""
_MEDIA_OF = "SELECT medium, lane FROM notification_medium WHERE notification_id = :id ORDER BY medium"
_ANSWER = "UPDATE notification SET answered_by = :surface, answer = :answer, answered_at = :now WHERE id = :id"
_SEE = "UPDATE notification SET seen_at = :now WHERE id = :id AND seen_at IS NULL RETURNING id"
_FAMILIES = """
    SELECT n.id FROM notification n JOIN notification o ON o.asker = n.asker AND o.key = n.key
    WHERE o.id IN (:ids[]) ORDER BY n.id
"""
_FAMILY = """
    SELECT n.id, n.recipient, n.answered_by, n.answer, n.withdrawn_at, n.ended, n.lapses_at, n.does
    FROM notification n JOIN notification o ON o.asker = n.asker AND o.key = n.key
    WHERE o.id = :id ORDER BY n.id
"""
_LAPSING = """
    SELECT id FROM notification WHERE withdrawn_at IS NULL AND lapses_at IS NOT NULL AND lapses_at <= :now
    ORDER BY lapses_at, id LIMIT :most
"""
_STILL_LAPSING = """
    SELECT id FROM notification
    WHERE id IN (:ids[]) AND withdrawn_at IS NULL AND lapses_at IS NOT NULL AND lapses_at <= :now ORDER BY id
"""
_NEXT_LAPSE = "SELECT min(lapses_at) FROM notification WHERE withdrawn_at IS NULL AND lapses_at IS NOT NULL"
_PUT_RECIPIENT = """
    INSERT INTO recipient (name, email, media, language, quiet, time_zone)
    VALUES (:name, :email, :media, :language, :quiet, :time_zone)
    ON CONFLICT (name) DO UPDATE SET email = excluded.email, media = excluded.media, language = excluded.language,
        quiet = excluded.quiet, time_zone = excluded.time_zone
"""


def notify(
    tx: Tx,
    asker: str,
    action: Notify,
    key: str,
    templates: Templates,
    *,
    template: Template | None = None,  # for whom the action names none
    media: Sequence[str] = (),  # asked for; empty: what the recipient wants
    after: timedelta = timedelta(),  # of a toast: dropped if somebody replied or read it meanwhile
    seq: int = 0,  # of the fact that it tells; 0: it tells none
) -> None:
    """Make a notification and promise it to each medium; the same key again makes nothing new."""
    recipient = tx.one(_RECIPIENT, {"name": action.recipient})
    if recipient is None:
        _failed(tx, asker, action, "unknown_recipient", action.recipient)
        return
    if action.template and action.template not in templates.files:
        _failed(tx, asker, action, "unknown_template", action.template)
        return
    if action.key and tx.one(_WON_BEFORE, {"asker": asker, "key": action.key}) is not None:
        return  # somebody was asked before, and has answered
    shows = filled(action, templates.files[action.template] if action.template else template)
    notification = new_id()
    tx.execute(
        _INSERT,
        {
            "id": notification,
            "recipient": action.recipient,
            "asker": asker,
            "key": action.key or key,
            "kind": action.kind,
            "title": shows.title,
            "text": shows.text,
            "actions": to_json(shows.actions).decode(),
            "conversation": action.conversation,
            "now": tx.now_us,
            "style": shows.style,
            "details": to_json(shows.details).decode(),
            "on_desktop": templates.on_desktop(shows.on_desktop),
            "lapses_at": None if shows.timeout is None else tx.now_us + shows.timeout // timedelta(microseconds=1),
            "shows_lapse": int(shows.show_timeout),
            "account": action.account,
            "does": to_json(shows.does).decode(),
        },
    )
    if tx.one(_THERE, {"id": notification}) is None:
        return
    if seq:
        tx.execute(_EVENT, {"id": notification, "seq": seq, "now": tx.now_us, "joined": 0})
    if shows.timeout is not None:
        tx.hint("timers")
    small = {"recipient": action.recipient, "kind": action.kind, "by": asker, "style": shows.style.value}
    ids = {"notification": notification}
    tx.tell("notification.created", conversation=action.conversation, ids=ids, small=small)
    is_toast = shows.style is Style.TOAST
    waits = after if is_toast and not action.kind.startswith(_AT_ONCE) else timedelta()
    wanted = from_json(recipient[0])
    due, kind = tx.now_us + waits // timedelta(microseconds=1), UNLESS_REPLIED if waits else DELIVER
    for medium in dict.fromkeys(media or wanted):
        together = is_toast and medium in templates.digests
        lane = f"{TOGETHER}{action.recipient}" if together else notification
        is_wanted = medium in wanted or not wanted
        first = ("waiting", "") if is_wanted else ("suppressed", "not_wanted")
        tx.execute(
            _DECIDE,
            {
                "id": notification,
                "medium": medium,
                "decision": first[0],
                "reason": first[1],
                "now": tx.now_us,
                "lane": lane,
            },
        )
        if is_wanted:
            body = to_json({"due": due}).decode() if together and waits else ""
            lanes.add(tx, [NewTask(f"notify:{medium}", lane, kind, notification, body, due=due, hastens=together)])
        else:
            _tell(tx, "suppressed", notification, {"medium": medium, "reason": "not_wanted"})


def language_of(tx: Query, recipient: str, templates: Templates) -> str:
    """Give the language in which a recipient is told things."""
    row = tx.one(_RECIPIENT, {"name": recipient})
    wants = from_json(row[2]) if row and row[2] else {}
    return str(wants.get("language") or (row and row[1]) or templates.language)


def _failed(tx: Tx, asker: str, action: Notify, code: str, text: str) -> None:
    small = {"action": "notify", "by": asker, "code": code, "text": text}
    tx.tell("action.failed", conversation=action.conversation, small=small)


def join(tx: Tx, notification: str, seq: int) -> None:
    """Let an open notification stand for one more fact; nothing new is shown."""
    tx.execute(_EVENT, {"id": notification, "seq": seq, "now": tx.now_us, "joined": 1})
    _tell(tx, "grouped", notification, {"seq": seq})


def withdraw(tx: Tx, asker: str, action: Withdraw) -> None:
    """Take notifications back, wherever they show."""
    take_back(tx, [row[0] for row in tx.execute(_OPEN, {"id": action.notification, "key": action.key, "asker": asker})])


def take_back(tx: Tx, notifications: Sequence[str]) -> None:
    """Take open notifications back, by their ids."""
    lock(tx, notifications)
    for notification in notifications:
        _end(tx, notification, Ended.WITHDRAWN)


def lock(tx: Tx, notifications: Iterable[str]) -> None:
    """Take the locks of notifications, and of those for others that ask the same."""
    if wanted := sorted(set(notifications)):
        tx.lock("notification", [row[0] for row in tx.execute(_FAMILIES, {"ids": wanted})])


def _end(tx: Tx, notification: str, ended: Ended, **small: str | None) -> bool:
    """Close an open notification and take it back everywhere; False: it was closed already."""
    if not tx.execute(_END, {"id": notification, "now": tx.now_us, "ended": ended}):
        return False
    tasks = [
        NewTask(f"notify:{medium}", lane or notification, TAKE_BACK, notification, hastens=True)
        for medium, lane in tx.execute(_MEDIA_OF, {"id": notification})
    ]
    lanes.add(tx, tasks)
    if ended is Ended.LAPSED:
        _tell(tx, "lapsed", notification, {})
    _tell(tx, "withdrawn", notification, {"why": ended.value, **small})
    return True


def decide(tx: Tx, notification: str, medium: str, decision: str, reason: str) -> None:
    """Write down what becomes of a notification in one medium, and tell it unless it still waits.

    What somebody has seen stays `shown`: a surface may say so before the notifier has said what it did.
    """
    said = {"medium": medium, "decision": decision, "reason": reason[:200]}
    is_news = tx.one(_REDECIDE, {"id": notification, **said, "now": tx.now_us})
    if is_news and decision != "waiting":
        _tell(tx, decision, notification, {"medium": medium, "reason": reason[:200] or None})


def _tell(tx: Tx, what: str, notification: str, small: Mapping[str, str | int | None]) -> None:
    conversation, recipient = tx.one(_ABOUT, {"id": notification}) or ("", "")
    ids = {"notification": notification}
    tx.tell(f"notification.{what}", conversation=conversation, ids=ids, small={"recipient": recipient, **small})


@dataclass(frozen=True, slots=True)
class Taken:
    """An answer that was first."""

    notification: Notification
    does: Does  # what its button brings about


def answer(tx: Tx, notification: str, action: str, surface: str) -> Taken:
    """Take the first answer, and withdraw the notification everywhere, for all who were asked; `lock` goes before.

    A button that opens answers nothing: the notification is read, and stays.
    Errors: `NotFound`; `Outrun` naming who was first and where; `Conflict` where it was withdrawn, has lapsed, or has
    no such action. What it wrote until then holds.
    """
    family = tx.execute(_FAMILY, {"id": notification})
    mine = next((row for row in family if row[0] == notification), None)
    if mine is None:
        raise NotFound("there is no such notification")
    for _, recipient, answered_by, chosen, *_ in family:
        if answered_by:
            text = f"already answered on {answered_by} by {recipient}"
            raise Outrun(text, surface=answered_by, recipient=recipient, action=chosen)
    _, recipient, _, _, withdrawn_at, ended, lapses_at, does = mine
    if withdrawn_at is None and lapses_at is not None and lapses_at <= tx.now_us:
        ended, withdrawn_at = Ended.LAPSED, tx.now_us
        for other in family:  # the sweep has not come by
            if other[6] is not None and other[6] <= tx.now_us:
                _end(tx, other[0], Ended.LAPSED)
    if ended == Ended.LAPSED:
        raise Conflict("the time for an answer is over", code="lapsed")
    if withdrawn_at is not None:
        raise Conflict("this notification was withdrawn", code="withdrawn")
    found = readmodels.notifications_by_id(tx, [notification])[notification]
    if action not in {option.id for option in found.actions}:
        raise Conflict("this notification has no such action", code="unknown_action")
    deed = Does(from_json(does).get(action, Does.ANSWER))
    if deed is Does.OPEN:
        see(tx, [notification])
        return Taken(replace(found, seen=True), deed)
    tx.execute(_ANSWER, {"id": notification, "surface": surface, "answer": action, "now": tx.now_us})
    _tell(tx, "answered", notification, {"answer": action, "surface": surface})
    for other, *_ in family:
        _end(tx, other, Ended.ANSWERED, surface=surface, by=recipient)
    return Taken(replace(found, answered_by=surface, answer=action, ended=Ended.ANSWERED), deed)


def lapse(tx: Tx, items: Sequence[None]) -> Sequence[datetime | None]:
    """Take back what nobody answered in time, once each; say when the next one lapses."""
    found = [row[0] for row in tx.execute(_LAPSING, {"now": tx.now_us, "most": _LAPSED_AT_ONCE})]
    if found:
        lock(tx, found)
        for (notification,) in tx.execute(_STILL_LAPSING, {"ids": found, "now": tx.now_us}):
            _end(tx, notification, Ended.LAPSED)
    row = tx.one(_NEXT_LAPSE)
    following = moment(row[0]) if row and row[0] is not None else None
    return [following] * len(items)


def see(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Note that the recipient has read a notification; once is enough."""
    for notification in sorted(items):
        if tx.execute(_SEE, {"id": notification, "now": tx.now_us}):
            _tell(tx, "seen", notification, {})
    return [None] * len(items)


def put_recipients(tx: Tx, items: Sequence[Mapping[str, RecipientSettings]]) -> Sequence[None]:
    """Keep who can be notified, as the settings say; whom plugins added stays."""
    for recipients in items:
        rows: list[dict[str, Any]] = [
            {
                "name": name,
                "email": one.email,
                "media": to_json(one.media).decode(),
                "language": one.language,
                "quiet": one.quiet,
                "time_zone": one.time_zone,
            }
            for name, one in sorted(recipients.items())
        ]
        tx.many(_PUT_RECIPIENT, rows)
    return [None] * len(items)
