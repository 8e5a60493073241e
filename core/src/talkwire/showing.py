"""Shows notifications by one medium each: the notifier delivers, the decision and its reason are written down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic_core import from_json

from . import lanes, notifying, readmodels
from .clock import Clock, moment
from .errors import NotFound, Refused, SendError, TryLater
from .hub import Hub
from .lanes import Fence, Lane, Task
from .model import Notification, Recipient
from .notifier import Focus, Handed, Notifier, NotifierFeatures, Shown, Suppressed
from .notifying import TAKE_BACK, UNLESS_REPLIED, decide
from .rates import Backoff
from .store import Query, Store, Tx

_OPEN_WITHIN = timedelta(seconds=5)  # the start waits for it
_GIVE_UP = timedelta(hours=24)  # a notification of yesterday helps nobody
_HOW_IT_STANDS = """
    SELECT n.created_at, n.withdrawn_at, n.answered_by, m.decision, r.name, r.email, r.media, r.language FROM notification n
    JOIN recipient r ON r.name = n.recipient
    LEFT JOIN notification_medium m ON m.notification_id = n.id AND m.medium = :medium
    WHERE n.id = :id
"""
# What a plugin says by itself (`nobody is here now`) is no reason not to call a person.
_REPLIED = """
    SELECT 1 FROM message WHERE conversation_id = :id AND direction = 'out' AND stored_at >= :since
    AND substr(author, 1, 7) <> 'plugin:' LIMIT 1
"""
_PUT_SURFACE = """
    INSERT INTO surface (id, recipient, kind, state, seen_at) VALUES (:id, :recipient, :kind, :state, :now)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, seen_at = excluded.seen_at
"""
_DECISION = "SELECT decision FROM notification_medium WHERE notification_id = :id AND medium = :medium"
_RECIPIENTS = "SELECT name, email, media, language FROM recipient"

_ASKED = "SELECT DISTINCT grp FROM lane WHERE grp >= 'notify:' AND grp < 'notify;'"


@dataclass(frozen=True, slots=True)
class _Found:
    """The head of a lane, with what is known of its notification."""

    task: Task
    notification: Notification
    recipient: Recipient
    why_not: str  # reason to show nothing; empty: show it
    decision: str  # as it stands


@dataclass(frozen=True, slots=True)
class _Decision:
    decision: str  # empty: it stays
    reason: str = ""
    again: datetime | None = None  # when to try again; None: the task is done


class Medium:
    """One medium: its notifier, and what that is lent.

    Without a notifier each notification is decided `suppressed: medium_absent`.
    """

    def __init__(self, store: Store, clock: Clock, fence: Fence, name: str, hub: Hub) -> None:
        self.name = name
        self.hub = hub.of(f"notify_{name}")
        self.group = f"notify:{name}"
        self.clock = clock
        self.log = structlog.get_logger(f"talkwire.notify_{name}")
        self.notifier: Notifier | None = None
        self._store = store
        self._fence = fence
        self._recipients: dict[str, Recipient] = {}
        self._is_open = False
        self._opening = asyncio.Lock()
        self._unopened = ""  # why it could not be opened
        self._again = Backoff()  # of opening

    async def open(self, kind: type[Notifier] | None, settings: Any) -> None:
        """Make and open the notifier; one that cannot be opened is tried again, and with each notification."""
        if kind is None:
            return
        await self.learn()
        try:
            self.notifier = kind(kind.Settings() if settings is None else settings, self)
        except Exception as error:  # noqa: BLE001  one notifier's fault is its own
            self._unopened = f"it raised {type(error).__name__} as it was made"
            self.log.warning("notifier cannot be made", kind=type(error).__name__)
        await self.open_again()

    async def open_again(self) -> datetime | None:
        """Open the notifier unless it is open; gives when to try again, where that failed."""
        notifier, now = self.notifier, self.clock.now()
        if notifier is None or self._is_open:
            return None
        if self._again.until is not None and self._again.until > now:
            return self._again.until
        try:
            async with asyncio.timeout(min(_OPEN_WITHIN, notifier.features.timeout).total_seconds()):
                await self._opened(notifier)
        except Exception as error:  # noqa: BLE001  one notifier's fault is its own
            self._unopened = str(error) if isinstance(error, SendError) else type(error).__name__
            self.log.warning("notifier cannot be opened", error=self._unopened)
            return self._again.fail(now)
        return None

    @property
    def trouble(self) -> str:
        """Say in a sentence what keeps it from showing anything now; empty: nothing."""
        if self.notifier is None:
            return self._unopened or "no plugin gives this medium"
        if not self._is_open and self._unopened:
            return f"it cannot be opened, and is tried again: {self._unopened}"
        try:
            return self.notifier.trouble()
        except Exception as error:  # noqa: BLE001  one notifier's fault is its own
            return f"its trouble raised {type(error).__name__}"

    async def learn(self) -> None:
        """Learn anew who can be notified."""
        rows = await self._store.read(lambda query: query.execute(_RECIPIENTS))
        self._recipients = {row[0]: _recipient(row) for row in rows}

    async def close(self) -> None:
        """Close the notifier."""
        if self.notifier is not None and self._is_open:
            try:
                async with asyncio.timeout(self.notifier.features.timeout.total_seconds()):
                    await self.notifier.close()
            except Exception as error:  # noqa: BLE001  one notifier's fault is its own
                self.log.warning("notifier did not close", kind=type(error).__name__)

    async def work(self, lane: Lane) -> None:
        """Serve the head of one lane."""
        found = await self._store.read(lambda query: self._look(query, lane.id))
        if found is not None:
            done = await self._done(found)
            await self._store.write(_decided, (self._fence, found.task, self.name, done))

    def _look(self, query: Query, lane: int) -> _Found | None:
        task = lanes.heads(query, [lane]).get(lane)
        if task is None:
            return None
        created, withdrawn, answered, decision, *recipient = query.execute(
            _HOW_IT_STANDS, {"id": task.ref, "medium": self.name}
        )[0]
        notification = readmodels.notifications_by_id(query, [task.ref])[task.ref]
        talk = {"id": notification.conversation, "since": created}
        why_not = "answered" if answered else "withdrawn" if withdrawn else ""
        if not why_not and task.kind == UNLESS_REPLIED and query.one(_REPLIED, talk):
            why_not = "replied"
        return _Found(task, notification, _recipient(recipient), why_not, decision or "")

    async def _done(self, found: _Found) -> _Decision:
        """Show or take back, and say what to write down."""
        self._recipients[found.recipient.name] = found.recipient
        notifier, takes_back = self.notifier, found.task.kind == TAKE_BACK
        if takes_back:
            was_out = found.decision in ("shown", "handed")
            if notifier is None or not (was_out and notifier.features.withdraws):
                return _Decision("")
        elif found.why_not or notifier is None:
            return _Decision("suppressed", found.why_not or "medium_absent")
        elif notifier.features.needs_email and not found.recipient.email:
            return _Decision("suppressed", "no_address")
        try:
            async with asyncio.timeout(notifier.features.timeout.total_seconds()):
                await self._opened(notifier)
                if takes_back:
                    await notifier.withdraw(found.notification)
                    return _Decision("")
                said: object = await notifier.deliver(_fitted(found.notification, notifier.features))
        except Refused as error:
            return _Decision("" if takes_back else "refused", str(error))
        except Exception as error:  # noqa: BLE001  a notifier's fault is tried again, and named
            return self._later(found.task, error)
        match said:
            case Suppressed():
                return _Decision("suppressed", said.reason)
            case Handed():
                return _Decision("handed")
            case Shown():
                return _Decision("shown")
        return _Decision("refused", f"deliver gave a {type(said).__name__}")

    def _later(self, task: Task, error: Exception) -> _Decision:
        text = str(error) if isinstance(error, SendError) else type(error).__name__
        self.log.warning("notifier failed", task=task.kind, error=text)
        asked = error.after if isinstance(error, TryLater) else None
        again = self.clock.now() + (asked or lanes.backoff(task.attempts))
        gave_up = again > moment(task.created_at) + _GIVE_UP
        if task.kind == TAKE_BACK:
            return _Decision("", text, None if gave_up else again)
        return _Decision("refused", f"gave up: {text}") if gave_up else _Decision("waiting", text, again)

    async def _opened(self, notifier: Notifier) -> None:
        async with self._opening:
            if not self._is_open:
                await notifier.open()
                self._is_open = True

    # what a notifier is lent

    def recipient(self, name: str) -> Recipient:
        """Give whom a notification is for. Errors: `NotFound`."""
        if name not in self._recipients:
            raise NotFound(f'there is no recipient "{name}"')
        return self._recipients[name]

    async def shown(self, notification: str) -> None:
        """Note that what was handed over can be seen now."""
        await self._store.write(_shown, (notification, self.name))

    async def answered(self, notification: str, action: str, surface: str) -> None:
        """Pass on a pressed button. Errors: as `answer`."""
        await self.hub.answer(notification, action, surface)

    async def seen(self, notification: str) -> None:
        """Note that the recipient has read it."""
        await self._store.write(notifying.see, notification)

    async def focus(self, recipient: str, surface: str, state: Focus) -> None:
        """Note how somebody looks at a surface."""
        await self._store.write(_put_surface, (surface, recipient, self.name, state))


def media(query: Query) -> set[str]:
    """Name the media that recipients want or that are promised something, there or not."""
    wanted = {medium for row in query.execute(_RECIPIENTS) for medium in from_json(row[2])}
    return wanted | {row[0].removeprefix("notify:") for row in query.execute(_ASKED)}


def _recipient(row: Sequence[Any]) -> Recipient:
    return Recipient(name=row[0], email=row[1], media=tuple(from_json(row[2])), language=row[3])


def _fitted(notification: Notification, features: NotifierFeatures) -> Notification:
    """Cut a notification to what the medium can show."""
    title, text = notification.title[: features.title_limit], notification.text[: features.text_limit]
    return replace(notification, title=title, text=text, actions=notification.actions[: features.actions])


def _decided(tx: Tx, items: Sequence[tuple[Fence, Task, str, _Decision]]) -> Sequence[None]:
    held = lanes.ours(tx, items[0][0], (task.group for _, task, *_ in items))
    for _, task, medium, done in items:
        if task.group not in held:
            continue  # another daemon delivers by this medium now
        if done.decision:
            decide(tx, task.ref, medium, done.decision, done.reason)
        if done.again is not None:
            lanes.later(tx, task.lane, done.again, done.reason)
        else:
            lanes.end(tx, [(task.lane, task.id)])
    return [None] * len(items)


def _shown(tx: Tx, items: Sequence[tuple[str, str]]) -> Sequence[None]:
    for notification, medium in sorted(items):
        row = tx.one(_DECISION, {"id": notification, "medium": medium})
        if row is not None and row[0] != "shown":  # several pages of one medium may say so
            decide(tx, notification, medium, "shown", "")
    return [None] * len(items)


def _put_surface(tx: Tx, items: Sequence[tuple[str, str, str, Focus]]) -> Sequence[None]:
    for surface, recipient, kind, state in sorted(items):
        if state is Focus.GONE:
            tx.execute("DELETE FROM surface WHERE id = :id", {"id": surface})
            continue
        values = {"id": surface, "recipient": recipient, "kind": kind, "state": state.value, "now": tx.now_us}
        tx.execute(_PUT_SURFACE, values)
    return [None] * len(items)
