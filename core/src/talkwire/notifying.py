"""Who is shown what, by which medium, and why not.

A `Notify` action or a `[[notify]]` rule makes a notification; each medium the recipient wants gets a
decision with its reason. The first answer wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic_core import from_json, to_json

from . import lanes, readmodels
from .actions import Action, Notice, Notify, Withdraw
from .channel import Channel
from .clock import Clock
from .errors import Conflict, NotFound, Refused, SendError, StoreDown, TryLater
from .ids import new_id
from .lanes import Lane, NewTask
from .model import Address, Fact, Notification, Outgoing, RenderContext
from .notifier import Handed, Notifier, Shown, Suppressed
from .outgoing import Replies
from .sections import RecipientSettings, Rule
from .store import Query, Store, Tx

_log = structlog.get_logger("talkwire.notifying")

_RECIPIENT = "SELECT media FROM recipient WHERE name = :name"
_INSERT = """
    INSERT INTO notification (id, recipient, asker, key, kind, title, text, actions, conversation,
                              created_at)
    VALUES (:id, :recipient, :asker, :key, :kind, :title, :text, :actions, :conversation, :now)
    ON CONFLICT (asker, key, recipient) DO NOTHING
"""
_THERE = "SELECT 1 FROM notification WHERE id = :id"
_DECIDE = """
    INSERT INTO notification_medium (notification_id, medium, decision, reason, at)
    VALUES (:id, :medium, :decision, :reason, :now)
    ON CONFLICT (notification_id, medium) DO UPDATE SET
        decision = excluded.decision, reason = excluded.reason, at = excluded.at
"""
_PUT_RECIPIENT = """
    INSERT INTO recipient (name, email, media) VALUES (:name, :email, :media)
    ON CONFLICT (name) DO UPDATE SET email = excluded.email, media = excluded.media
"""


def notify(  # what a notification is
    tx: Tx,
    asker: str,
    action: Notify,
    key: str,
    *,
    media: Sequence[str] = (),  # empty: what the recipient wants
    after: timedelta = timedelta(),
) -> None:
    """Make a notification and promise it to each medium; the same key again makes nothing new."""
    recipient = tx.one(_RECIPIENT, {"name": action.recipient})
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
        },
    )
    if tx.one(_THERE, {"id": notification}) is None:
        return
    due = tx.now_us + after // timedelta(microseconds=1)
    wanted = tuple(dict.fromkeys(media or from_json(recipient[0])))
    for medium in wanted:
        _decide(tx, notification, medium, "waiting", "")
    lanes.add(tx, [NewTask(f"notify:{m}", notification, "deliver", notification, due=due) for m in wanted])
    tx.tell(
        "notification.created",
        conversation=action.conversation,
        ids={"notification": notification},
        small={"recipient": action.recipient, "kind": action.kind, "by": asker},
    )


def withdraw(tx: Tx, asker: str, action: Withdraw) -> None:
    """Take notifications back, wherever they show."""
    rows = tx.execute(
        """
        SELECT id FROM notification
        WHERE withdrawn_at IS NULL AND (id = :id OR (key = :key AND key <> '' AND asker = :asker))
        """,
        {"id": action.notification, "key": action.key, "asker": asker},
    )
    for (notification,) in rows:
        _withdraw_one(tx, notification, "withdrawn")


def _withdraw_one(tx: Tx, notification: str, why: str) -> None:
    tx.execute(
        "UPDATE notification SET withdrawn_at = :now WHERE id = :id", {"id": notification, "now": tx.now_us}
    )
    rows = tx.execute(
        "SELECT medium FROM notification_medium WHERE notification_id = :id", {"id": notification}
    )
    lanes.add(tx, [NewTask(f"notify:{medium}", notification, "withdraw", notification) for (medium,) in rows])
    tx.tell("notification.withdrawn", ids={"notification": notification}, small={"why": why})


def _decide(tx: Tx, notification: str, medium: str, decision: str, reason: str) -> None:
    tx.execute(
        _DECIDE,
        {"id": notification, "medium": medium, "decision": decision, "reason": reason[:200], "now": tx.now_us},
    )


def answer(tx: Tx, notification: str, action: str, surface: str) -> tuple[Notification, bool]:
    """Take an answer; True: it won. Errors: `NotFound`, `Conflict` naming the surface that was first."""
    tx.lock("notification", [notification])
    found = readmodels.notifications_by_id(tx, [notification]).get(notification)
    if found is None:
        raise NotFound("there is no such notification")
    if found.answered_by:
        raise Conflict(f"already answered on {found.answered_by}", code="already_answered")
    if action not in {option.id for option in found.actions}:
        raise Conflict("this notification has no such action", code="unknown_action")
    tx.execute(
        "UPDATE notification SET answered_by = :surface, answer = :answer, answered_at = :now WHERE id = :id",
        {"id": notification, "surface": surface, "answer": action, "now": tx.now_us},
    )
    tx.tell(
        "notification.answered",
        conversation=found.conversation,
        ids={"notification": notification},
        small={"answer": action, "surface": surface},
    )
    _withdraw_one(tx, notification, "answered")
    return found, True


def put_recipients(tx: Tx, items: Sequence[Mapping[str, RecipientSettings]]) -> Sequence[None]:
    """Keep who can be notified, as the settings say."""
    for recipients in items:
        tx.many(
            _PUT_RECIPIENT,
            [
                {"name": name, "email": one.email, "media": to_json(one.media).decode()}
                for name, one in sorted(recipients.items())
            ],
        )
    return [None] * len(items)


class RuleReader:
    """One `[[notify]]` rule, told facts like a plugin."""

    def __init__(self, number: int, rule: Rule) -> None:
        self.name = f"rule:{number}"
        self._rule = rule

    def wants(self, fact_type: str) -> bool:
        """Say whether the rule names such facts."""
        return fact_type in self._rule.on

    def in_tx(self, hook_name: str) -> bool:
        """Say that it works inside the transaction."""
        return True

    def outside(self, hook_name: str) -> bool:
        """Say that it has nothing to do outside."""
        return False

    async def call_async(self, hook_name: str, kwargs: Mapping[str, Any]) -> list[Action]:
        """Do nothing: all is done inside the transaction."""
        return []

    def call_tx(self, hook_name: str, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]:
        """Make the rule's notifications for one fact."""
        fact: Fact = kwargs["fact"]
        rule = self._rule
        if rule.accounts and fact.account not in rule.accounts:
            return []
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


_TITLES = {
    "message.received": "New message",
    "reply.refused": "A reply could not be sent",
    "delivery.failed": "A message was not delivered",
    "account.broken": "An account needs you",
}

_ANSWERED = """
    SELECT 1 FROM message WHERE conversation_id = :id AND direction = 'out' AND stored_at > :since LIMIT 1
"""
_STORED = "SELECT created_at, withdrawn_at, answered_by FROM notification WHERE id = :id"


class Medium:
    """Delivers the notifications of one medium; without a notifier each is decided `medium_absent`."""

    def __init__(self, store: Store, clock: Clock, name: str, notifier: Notifier | None) -> None:
        self._store = store
        self._clock = clock
        self.name = name
        self.notifier = notifier

    async def work(self, lane: Lane) -> None:
        """Serve the head of one lane."""
        try:
            found = await self._store.read(lambda query: self._look(query, lane.id))
            if found is None:
                return
            task, notification, why_not = found
            decision, reason, again = await self._deliver(task, notification, why_not)
            await self._store.write(_decided, (task, self.name, decision, reason, again))
        except StoreDown as error:
            _log.warning("store down while notifying", medium=self.name, error=str(error))

    def _look(self, query: Query, lane: int) -> tuple[lanes.Task, Notification | None, str] | None:
        task = lanes.heads(query, [lane]).get(lane)
        if task is None:
            return None
        notification = readmodels.notifications_by_id(query, [task.ref]).get(task.ref)
        row = query.one(_STORED, {"id": task.ref})
        why_not = ""
        if row is None or notification is None:
            why_not = "gone"
        elif row[2]:
            why_not = "answered"
        elif row[1] is not None:
            why_not = "withdrawn"
        elif notification.conversation and query.one(
            _ANSWERED, {"id": notification.conversation, "since": row[0]}
        ):
            why_not = "replied"
        return task, notification, why_not

    async def _deliver(
        self, task: lanes.Task, notification: Notification | None, why_not: str
    ) -> tuple[str, str, datetime | None]:
        notifier = self.notifier
        if notifier is None or notification is None:
            return "suppressed", why_not or "medium_absent", None
        try:
            if task.kind == "withdraw":
                await notifier.withdraw(notification)
                return "", "", None
            if why_not:
                return "suppressed", why_not, None
            said = await notifier.deliver(notification)
        except Refused as error:
            return "refused", str(error), None
        except Exception as error:  # noqa: BLE001  a notifier's fault is tried again, and named
            after = error.after if isinstance(error, TryLater) else None
            text = str(error) if isinstance(error, SendError) else type(error).__name__
            return "waiting", text, self._clock.now() + (after or lanes.backoff(task.attempts))
        match said:
            case Suppressed():
                return "suppressed", said.reason, None
            case Handed():
                return "handed", "", None
            case Shown():
                return "shown", "", None
        return "refused", f"deliver gave a {type(said).__name__}", None


def _decided(
    tx: Tx, items: Sequence[tuple[lanes.Task, str, str, str, datetime | None]]
) -> Sequence[None]:
    for task, medium, decision, reason, again in items:
        if decision:
            _decide(tx, task.ref, medium, decision, reason)
        if again is not None:
            lanes.later(tx, task.lane, again, reason)
        else:
            lanes.end(tx, [(task.lane, task.id)])
    return [None] * len(items)


# --- notices that are replaced in place ---------------------------------------------------------------

_NOTICE = "SELECT value FROM keep WHERE account = :account AND name = :name"
_PUT_NOTICE = """
    INSERT INTO keep (account, name, value) VALUES (:account, :name, :value)
    ON CONFLICT (account, name) DO UPDATE SET value = excluded.value
"""
_DROP_NOTICE = "DELETE FROM keep WHERE account = :account AND name = :name"
_FIRST_PART = """
    SELECT id, external_id FROM delivery WHERE message_id = :message ORDER BY generation DESC, position LIMIT 1
"""


_PLACE = """
    SELECT c.account, a.kind, a.value, a.name, c.thread FROM conversation c
    JOIN address a ON a.id = c.address_id WHERE c.id = :id
"""


def _place_of(query: Query, conversation: str) -> tuple[str, Address, str] | None:
    row = query.one(_PLACE, {"id": conversation})
    return (row[0], Address(kind=row[1], value=row[2], name=row[3]), row[4]) if row else None


class Notices:
    """Keeps one notice a (conversation, slot) up to date, edited in place where the channel can."""

    def __init__(self, store: Store, replies: Replies, channel: Callable[[str], Channel | None]) -> None:
        self._store = store
        self._replies = replies
        self._channel = channel

    async def show(self, action: Notice, asker: str) -> None:
        """Show, replace or forget a notice. Errors: as `Replies.reply`; `Refused` of the provider."""
        place = await self._store.read(lambda query: _place_of(query, action.conversation))
        if place is None:
            raise NotFound("there is no such conversation")
        account, address, thread = place
        name = f"notice:{action.conversation}:{action.slot}"
        if action.draft is None:
            await self._store.write(_put_notice, (account, name, ""))
            return
        row = await self._store.read(lambda q: q.one(_NOTICE, {"account": account, "name": name}))
        if row is None:
            accepted = await self._replies.reply(action.conversation, action.draft, author=asker)
            await self._store.write(_put_notice, (account, name, accepted.message))
            return
        channel = self._channel(account)
        sent = await self._store.read(lambda q: q.one(_FIRST_PART, {"message": row[0]}))
        if channel is None or not channel.features.edits or sent is None or not sent[1]:
            return  # it stands as it was first said
        rendered = channel.render(action.draft, RenderContext(account=account, address=address))
        out = Outgoing(key=sent[0], account=account, address=address, thread=thread, part=rendered.parts[0])
        await channel.edit(out, sent[1])


def _put_notice(tx: Tx, items: Sequence[tuple[str, str, str]]) -> Sequence[None]:
    for account, name, value in items:
        if value:
            tx.execute(_PUT_NOTICE, {"account": account, "name": name, "value": value})
        else:
            tx.execute(_DROP_NOTICE, {"account": account, "name": name})
    return [None] * len(items)


# --- what notifiers tell us ---------------------------------------------------------------------------

_PUT_SURFACE = """
    INSERT INTO surface (id, recipient, kind, state, seen_at) VALUES (:id, :recipient, :kind, :state, :now)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, seen_at = excluded.seen_at
"""


def shown(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    """Note that a notification which was handed over can be seen."""
    for notification, medium in sorted(items):
        _decide(tx, notification, medium, "shown", "")
        tx.tell("notification.shown", ids={"notification": notification}, small={"medium": medium})
    return [None] * len(items)


def put_surface(tx: Tx, items: Sequence[tuple[str, str, str, str]]) -> Sequence[None]:
    """Keep where recipients look."""
    for surface, recipient, kind, state in sorted(items):
        values = {"id": surface, "recipient": recipient, "kind": kind, "state": state, "now": tx.now_us}
        tx.execute(_PUT_SURFACE, values)
    return [None] * len(items)
