"""Who is shown what, by which medium, and why not.

A `Notify` action or a `[[notify]]` rule makes a notification; each medium that is asked for gets a decision with
its reason (`showing`). The first answer wins.

    waiting ─┬─▶ shown        somebody can see it
             ├─▶ handed       taken over; `shown` comes later, or never
             ├─▶ suppressed   on purpose: medium_absent, no_address, not_wanted, replied, answered, withdrawn, …
             └─▶ refused      never: the notifier said so, or it failed for a day
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic_core import from_json, to_json

from . import lanes, readmodels
from .actions import Action, Notify, Withdraw
from .errors import Conflict, NotFound
from .hooks import hook_of
from .ids import new_id
from .lanes import NewTask
from .model import Fact, Notification, OnDesktop, Style
from .sections import RecipientSettings, Rule
from .standing import SCHEDULE
from .store import Tx

DELIVER, UNLESS_REPLIED, TAKE_BACK = "deliver", "deliver_unless_replied", "withdraw"  # kinds of a medium's tasks

_MEDIA = "SELECT media FROM recipient WHERE name = :name"
_INSERT = """
    INSERT INTO notification (id, recipient, asker, key, kind, title, text, actions, conversation, created_at, style,
                              details, on_desktop, lapses_at, shows_lapse, account)
    VALUES (:id, :recipient, :asker, :key, :kind, :title, :text, :actions, :conversation, :now, :style,
            :details, :on_desktop, :lapses_at, :shows_lapse, :account)
    ON CONFLICT (asker, key, recipient) DO NOTHING
"""
_THERE = "SELECT 1 FROM notification WHERE id = :id"
_DECIDE = """
    INSERT INTO notification_medium (notification_id, medium, decision, reason, at)
    VALUES (:id, :medium, :decision, :reason, :now)
    ON CONFLICT (notification_id, medium) DO UPDATE SET
        decision = excluded.decision, reason = excluded.reason, at = excluded.at
"""
_CONVERSATION = "SELECT conversation FROM notification WHERE id = :id"
_OPEN = """
    SELECT id FROM notification
    WHERE withdrawn_at IS NULL AND (id = :id OR (key = :key AND key <> '' AND asker = :asker)) ORDER BY id
"""
_WITHDRAW = "UPDATE notification SET withdrawn_at = :now WHERE id = :id"
_MEDIA_OF = "SELECT medium FROM notification_medium WHERE notification_id = :id ORDER BY medium"
_ANSWER = "UPDATE notification SET answered_by = :surface, answer = :answer, answered_at = :now WHERE id = :id"
_SEE = "UPDATE notification SET seen_at = :now WHERE id = :id AND seen_at IS NULL RETURNING id"
_PUT_RECIPIENT = """
    INSERT INTO recipient (name, email, media, language) VALUES (:name, :email, :media, :language)
    ON CONFLICT (name) DO UPDATE SET email = excluded.email, media = excluded.media, language = excluded.language
"""


def notify(
    tx: Tx,
    asker: str,
    action: Notify,
    key: str,
    *,
    media: Sequence[str] = (),  # asked for; empty: what the recipient wants
    after: timedelta = timedelta(),  # dropped if somebody replied meanwhile
) -> None:
    """Make a notification and promise it to each medium; the same key again makes nothing new."""
    recipient = tx.one(_MEDIA, {"name": action.recipient})
    if recipient is None:
        small = {"action": "notify", "by": asker, "code": "unknown_recipient", "text": action.recipient}
        tx.tell("action.failed", conversation=action.conversation, small=small)
        return
    notification = new_id()
    tx.execute(
        _INSERT,
        {
            "id": notification,
            "recipient": action.recipient,
            "asker": asker,
            "key": action.key or key,
            "kind": action.kind,
            "title": action.title,
            "text": action.text,
            "actions": to_json(action.actions).decode(),
            "conversation": action.conversation,
            "now": tx.now_us,
            "style": action.style or Style.TOAST,
            "details": to_json(action.details).decode(),
            "on_desktop": action.on_desktop or OnDesktop.BACKGROUND,
            "lapses_at": None if action.timeout is None else tx.now_us + action.timeout // timedelta(microseconds=1),
            "shows_lapse": int(action.show_timeout is not False),
            "account": action.account,
        },
    )
    if tx.one(_THERE, {"id": notification}) is None:
        return
    tx.tell(
        "notification.created",
        conversation=action.conversation,
        ids={"notification": notification},
        small={"recipient": action.recipient, "kind": action.kind, "by": asker},
    )
    wanted = from_json(recipient[0])
    asked = tuple(dict.fromkeys(media or wanted))
    to = [medium for medium in asked if medium in wanted or not wanted]
    for medium in asked:
        decision = ("waiting", "") if medium in to else ("suppressed", "not_wanted")
        decide(tx, notification, medium, *decision)
    due, kind = tx.now_us + after // timedelta(microseconds=1), UNLESS_REPLIED if after else DELIVER
    lanes.add(tx, [NewTask(f"notify:{medium}", notification, kind, notification, due=due) for medium in to])


def withdraw(tx: Tx, asker: str, action: Withdraw) -> None:
    """Take notifications back, wherever they show."""
    for (notification,) in tx.execute(_OPEN, {"id": action.notification, "key": action.key, "asker": asker}):
        _withdraw(tx, notification, "withdrawn")


def _withdraw(tx: Tx, notification: str, why: str) -> None:
    tx.execute(_WITHDRAW, {"id": notification, "now": tx.now_us})
    media = tx.execute(_MEDIA_OF, {"id": notification})
    lanes.add(tx, [NewTask(f"notify:{medium}", notification, TAKE_BACK, notification) for (medium,) in media])
    _tell(tx, "withdrawn", notification, {"why": why})


def decide(tx: Tx, notification: str, medium: str, decision: str, reason: str) -> None:
    """Write down what becomes of a notification in one medium, and tell it unless it still waits."""
    said = {"medium": medium, "decision": decision, "reason": reason[:200]}
    tx.execute(_DECIDE, {"id": notification, **said, "now": tx.now_us})
    if decision != "waiting":
        _tell(tx, decision, notification, {"medium": medium, "reason": reason[:200] or None})


def _tell(tx: Tx, what: str, notification: str, small: Mapping[str, str | None]) -> None:
    row = tx.one(_CONVERSATION, {"id": notification})
    tx.tell(f"notification.{what}", conversation=row[0] if row else "", ids={"notification": notification}, small=small)


def answer(tx: Tx, notification: str, action: str, surface: str) -> Notification:
    """Take the first answer, and withdraw the notification everywhere.

    Errors: `NotFound`; `Conflict` naming the surface that was first, where it was withdrawn, or has no such action.
    """
    tx.lock("notification", [notification])
    found = readmodels.notifications_by_id(tx, [notification]).get(notification)
    if found is None:
        raise NotFound("there is no such notification")
    if found.answered_by:
        raise Conflict(f"already answered on {found.answered_by}", code="already_answered")
    if not tx.execute(_OPEN, {"id": notification, "key": "", "asker": ""}):
        raise Conflict("this notification was withdrawn", code="withdrawn")
    if action not in {option.id for option in found.actions}:
        raise Conflict("this notification has no such action", code="unknown_action")
    tx.execute(_ANSWER, {"id": notification, "surface": surface, "answer": action, "now": tx.now_us})
    _tell(tx, "answered", notification, {"answer": action, "surface": surface})
    _withdraw(tx, notification, "answered")
    return replace(found, answered_by=surface, answer=action)


def see(tx: Tx, items: Sequence[str]) -> Sequence[None]:
    """Note that the recipient has read a notification; once is enough."""
    for notification in sorted(items):
        if tx.execute(_SEE, {"id": notification, "now": tx.now_us}):
            _tell(tx, "seen", notification, {})
    return [None] * len(items)


def put_recipients(tx: Tx, items: Sequence[Mapping[str, RecipientSettings]]) -> Sequence[None]:
    """Keep who can be notified, as the settings say; whom plugins added stays."""
    for recipients in items:
        rows = [
            {"name": name, "email": one.email, "media": to_json(one.media).decode(), "language": one.language}
            for name, one in sorted(recipients.items())
        ]
        tx.many(_PUT_RECIPIENT, rows)
    return [None] * len(items)


_TITLES = {
    "message.received": "New message",
    "reply.refused": "A reply could not be sent",
    "delivery.failed": "A message was not delivered",
    "account.broken": "An account needs you",
    "account.flapping": "An account comes and goes",
    "account.waiting": "A provider cannot be reached",
    "queue.old": "Something has waited for fifteen minutes",
    "lane.stuck": "A talk has failed to go on for an hour",
    "disk.low": "The disk fills",
    "fact.parked": "A fact was refused to the end",
    "reader.stopped": "Facts are told to one reader no more",
    "reader.down": "Facts cannot be told",
}


class RuleReader:
    """One `[[notify]]` rule, told facts like a plugin; all it does is done inside the transaction."""

    def __init__(self, number: int, rule: Rule) -> None:
        self.name = f"rule:{number}"
        self.schedule = SCHEDULE
        self.need = timedelta()
        self._rule = rule

    def wants(self, fact_type: str) -> bool:
        """Say whether the rule names such facts."""
        return fact_type in self._rule.on

    def hears_of(self, account: str) -> bool:
        """Say whether the rule is about an account."""
        return not self._rule.accounts or account in self._rule.accounts

    def hook_of(self, fact_type: str) -> str:
        """Name what a plugin would hear it by."""
        return hook_of(fact_type)

    def in_tx(self, hook_name: str) -> bool:
        """Say that it works inside the transaction."""
        return True

    def outside(self, hook_name: str) -> bool:
        """Say that it has nothing to do outside."""
        return False

    async def call_async(self, hook_name: str, kwargs: Mapping[str, Any]) -> list[Action]:
        """Do nothing."""
        return []

    def call_tx(self, hook_name: str, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]:
        """Make the rule's notifications for one fact."""
        fact: Fact = kwargs["fact"]
        rule = self._rule
        title = _TITLES.get(fact.type, fact.type)
        for recipient in rule.to:
            asked = Notify(
                recipient=recipient,
                kind=fact.type,
                title=f"{title}: {fact.account}" if fact.account else title,
                conversation=fact.conversation,
            )
            notify(tx, self.name, asked, str(fact.seq), media=rule.media, after=rule.after)
        return []
