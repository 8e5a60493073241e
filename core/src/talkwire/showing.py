"""Shows notifications by one medium each: what speaks against it, else the notifier delivers; each decision is kept.

    what waits in a lane ─▶ is there a reason not to? ─▶ not now: quiet hours ─▶ one: deliver · several toasts: digest

A lane holds one notification; where a medium has digests it holds all toasts of one recipient, so that none goes twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic_core import from_json

from . import readmodels
from .channel import Route
from .clock import Clock, moment
from .errors import PLUGIN_MAY_RAISE, NotFound, Refused, SendError, TryLater, line_of
from .hub import Hub
from .model import Ended, Notification, OnDesktop, Recipient, Style
from .notifier import Focus, Handed, Notifier, NotifierFeatures, Shown, Suppressed
from .notify import notifying
from .notify.notifying import TAKE_BACK, TOGETHER, UNLESS_REPLIED, decide
from .notify.templates import Templates
from .quiet import Quiet
from .store import Query, Store, Tx
from .work import lanes
from .work.lanes import Fence, Lane, Task
from .work.rates import Backoff

_OPEN_WITHIN = timedelta(seconds=5)  # the start waits for it
_GIVE_UP = timedelta(hours=24)  # a notification of yesterday helps nobody
_LOOKS = timedelta(seconds=90)  # that a surface is believed; one that lives says so every 30 seconds
_TOGETHER = 100  # notifications of one digest
_HOW_IT_STANDS = """
    SELECT n.created_at, n.ended, n.lapses_at, m.decision, m.reason,
           r.name, r.email, r.media, r.language, p.wants, r.quiet, r.time_zone
    FROM notification n
    JOIN recipient r ON r.name = n.recipient
    LEFT JOIN preference p ON p.recipient = r.name
    LEFT JOIN notification_medium m ON m.notification_id = n.id AND m.medium = :medium
    WHERE n.id = :id
"""
# What a plugin says by itself (`nobody is here now`) is no reason not to call a person.
_REPLIED = """
    SELECT 1 FROM message WHERE conversation_id = :id AND direction = 'out' AND stored_at >= :since
    AND substr(author, 1, 7) <> 'plugin:' LIMIT 1
"""
_LOOKED_AT = "SELECT 1 FROM surface WHERE recipient = :name AND state = 'focused' AND seen_at >= :since LIMIT 1"
_PUT_SURFACE = """
    INSERT INTO surface (id, recipient, kind, state, seen_at) VALUES (:id, :recipient, :kind, :state, :now)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, seen_at = excluded.seen_at
"""
_LAST_TASK = "SELECT max(id) FROM task WHERE lane_id = :lane"
_DECISION = "SELECT decision FROM notification_medium WHERE notification_id = :id AND medium = :medium"
_RECIPIENTS = """
    SELECT r.name, r.email, r.media, r.language, p.wants, r.quiet, r.time_zone
    FROM recipient r LEFT JOIN preference p ON p.recipient = r.name
"""

_ASKED = "SELECT DISTINCT grp FROM lane WHERE grp >= 'notify:' AND grp < 'notify;'"


@dataclass(frozen=True, slots=True)
class _Found:
    """A task of a lane, with what is known of its notification."""

    task: Task
    notification: Notification | None  # None: it is gone
    recipient: Recipient | None = None
    why_not: str = ""  # reason to show nothing; empty: show it
    not_before: datetime | None = None  # it waits until then …
    waits_for: str = ""  # … for this reason; empty: for its time
    decision: str = ""  # as it stands


@dataclass(frozen=True, slots=True)
class _Decision:
    decision: str  # empty: it stays
    reason: str = ""
    again: datetime | None = None  # when to try again; None: the task is done
    waits: bool = False  # for its time: nothing has failed


class Medium:
    """One medium: its notifier, and what that is lent.

    Without a notifier each notification is decided `suppressed: medium_absent`.
    """

    def __init__(
        self, store: Store, clock: Clock, fence: Fence, name: str, hub: Hub, templates: Templates | None = None
    ) -> None:
        self.name = name
        self.hub = hub.of(f"notify_{name}")
        self.group = f"notify:{name}"
        self.clock = clock
        self.log = structlog.get_logger(f"talkwire.notify_{name}")
        self.notifier: Notifier | None = None
        self._templates = templates or Templates()
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
        except PLUGIN_MAY_RAISE as error:  # one notifier's fault is its own
            self._unopened = f"it raised {type(error).__name__} as it was made"
            self.log.warning("notifier cannot be made", kind=type(error).__name__)
        await self.open_again()

    def routes(self) -> Sequence[Route]:
        """Give the notifier's own sockets and pages; none where it raises: all plugins' are looked through together."""
        try:
            return tuple(self.notifier.routes()) if self.notifier is not None else ()
        except PLUGIN_MAY_RAISE as error:  # one notifier's fault is its own
            self.log.warning("routes failed", kind=type(error).__name__, place=line_of(error))
            return ()

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
        except PLUGIN_MAY_RAISE as error:  # one notifier's fault is its own
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
        except PLUGIN_MAY_RAISE as error:  # one notifier's fault is its own
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
            except PLUGIN_MAY_RAISE as error:  # one notifier's fault is its own
                self.log.warning("notifier did not close", kind=type(error).__name__)

    @property
    def features(self) -> NotifierFeatures | None:
        """Say what the medium can do; None: no notifier gives it."""
        return self.notifier.features if self.notifier is not None else None

    # what a lane holds

    async def work(self, lane: Lane) -> None:
        """Serve one lane: its head, or all toasts of a recipient that are due together."""
        found, last = await self._store.read(lambda query: self._look(query, lane))
        self._recipients |= {one.recipient.name: one.recipient for one in found if one.recipient is not None}
        if not found:
            return
        done: list[tuple[_Found, _Decision]] = []
        shows: list[_Found] = []
        for one in found:
            decision = self._decided_already(one)
            if decision is not None:
                done.append((one, decision))
            elif one.task.kind == TAKE_BACK:
                done.append((one, await self._taken_back(one)))
            else:
                shows.append(one)
        if shows and not (self.notifier and self.notifier.features.digests):
            shows = shows[:1]  # the others have their turn after it
        if shows:
            said = await self._shown(shows)
            done += [(one, said) for one in shows]
        pairs = tuple((one.task, decision) for one, decision in done)
        await self._store.write(_decided, (self._fence, lane, self.name, last, pairs))

    def _look(self, query: Query, lane: Lane) -> tuple[list[_Found], int]:
        """Give what is to be done in a lane now, and its last task, which may be further on."""
        together = lane.subject.startswith(TOGETHER)
        tasks = lanes.all_of(query, lane.id, _TOGETHER if together else 1)
        last = query.one(_LAST_TASK, {"lane": lane.id})
        return [self._look_at(query, task) for task in tasks], last[0] or 0 if last else 0

    def _look_at(self, query: Query, task: Task) -> _Found:
        row = query.one(_HOW_IT_STANDS, {"id": task.ref, "medium": self.name})
        notification = readmodels.notifications_by_id(query, [task.ref]).get(task.ref)
        if row is None or notification is None:
            return _Found(task, None)
        created, ended, lapses_at, decision, reason, *who = row
        recipient, wants = _recipient(who), from_json(who[4]) if who[4] else {}
        if lapses_at is not None and lapses_at <= query.now_us:
            ended = ended or Ended.LAPSED
        due = moment(from_json(task.body)["due"]) if task.body else None
        if due is not None and due > query.now and not ended:
            return _Found(task, notification, recipient, not_before=due, decision=decision or "")
        was_quiet = reason == "quiet_hours"
        why_not, until = ended, None
        if not why_not:
            why_not = self._overtaken(query, task, notification, created, was_quiet=was_quiet)
        if not why_not:
            why_not = self._unwanted(query, notification, recipient, wants)
        if not why_not and notification.style is Style.TOAST:
            hours, zone = wants.get("quiet"), wants.get("time_zone") or who[6] or self._templates.time_zone
            quiet = Quiet.parse(who[5] if hours is None else hours)
            until = quiet.until(query.now, zone) if quiet else None
            if until is not None and self.notifier is not None and not self.notifier.features.keeps:
                why_not, until = "quiet_hours", None
        waits_for = "quiet_hours" if until is not None else ""
        return _Found(task, notification, recipient, why_not, until, waits_for, decision or "")

    def _overtaken(self, query: Query, task: Task, notification: Notification, created: int, *, was_quiet: bool) -> str:
        """Say whether it is no news any more: read elsewhere, or replied to while it waited."""
        if notification.style is Style.TOAST and notification.seen:
            return "seen"
        waited = task.kind == UNLESS_REPLIED or (was_quiet and notification.kind == "message.received")
        talk = {"id": notification.conversation, "since": created}
        return "replied" if waited and query.one(_REPLIED, talk) else ""

    def _unwanted(self, query: Query, notification: Notification, recipient: Recipient, wants: dict[str, Any]) -> str:
        """Say why this medium shows nothing to a recipient now."""
        if self.name in wants.get("off", ()):
            return "not_wanted"
        if self.notifier is None:
            return "medium_absent"
        features = self.notifier.features
        if features.needs_email and not recipient.email:
            return "no_address"
        if features.desktop and notification.on_desktop is OnDesktop.NEVER:
            return "template"
        if features.desktop and notification.on_desktop is OnDesktop.BACKGROUND:
            since = query.now_us - _LOOKS // timedelta(microseconds=1)
            if query.one(_LOOKED_AT, {"name": recipient.name, "since": since}):
                return "focused"
        return ""

    def _decided_already(self, found: _Found) -> _Decision | None:
        """Say what is to be written down without asking the notifier; None: it is to be asked."""
        if found.notification is None:
            return _Decision("")
        if found.task.kind == TAKE_BACK:
            return None if self._can_take_back(found) else _Decision("")
        if found.why_not:
            return _Decision("suppressed", found.why_not)
        if found.not_before is not None:
            waiting = "waiting" if found.waits_for else ""
            return _Decision(waiting, found.waits_for, again=found.not_before, waits=True)
        return None

    def _can_take_back(self, found: _Found) -> bool:
        notifier = self.notifier
        return notifier is not None and notifier.features.withdraws and found.decision in ("shown", "handed")

    # what the notifier does

    async def _taken_back(self, found: _Found) -> _Decision:
        notifier, notification = self.notifier, found.notification
        assert notifier is not None
        assert notification is not None
        try:
            async with asyncio.timeout(notifier.features.timeout.total_seconds()):
                await self._opened(notifier)
                await notifier.withdraw(notification)
        except Refused:
            return _Decision("")
        except PLUGIN_MAY_RAISE as error:  # a notifier's fault is tried again, and named
            return self._later(found.task, error)
        return _Decision("")

    async def _shown(self, shows: Sequence[_Found]) -> _Decision:
        """Show what nothing speaks against, and say what to write down of all of it."""
        notifier = self.notifier
        assert notifier is not None
        given = []
        for one in shows:
            assert one.notification is not None
            given.append(_fitted(one.notification, notifier.features))
        try:
            async with asyncio.timeout(notifier.features.timeout.total_seconds()):
                await self._opened(notifier)
                said: object = await (notifier.deliver(given[0]) if len(given) == 1 else notifier.digest(given))
        except Refused as error:
            return _Decision("refused", str(error))
        except PLUGIN_MAY_RAISE as error:  # a notifier's fault is tried again, and named
            return self._later(shows[0].task, error)
        match said:
            case Suppressed():
                return _Decision("suppressed", said.reason)
            case Handed():
                return _Decision("handed")
            case Shown():
                return _Decision("shown")
        self.log.error("deliver gave neither Shown, Handed nor Suppressed", gave=type(said).__name__)
        return _Decision("refused", f"deliver gave a {type(said).__name__}")

    def _later(self, task: Task, error: BaseException) -> _Decision:
        text = str(error) if isinstance(error, SendError) else type(error).__name__
        self.log.warning("notifier failed", task=task.kind, error=text, place=line_of(error))
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
    """Make a recipient of (name, email, media, language, preferences, quiet hours, time zone)."""
    wants = from_json(row[4]) if row[4] else {}
    language = wants.get("language") or row[3]
    zone = wants.get("time_zone") or row[6]
    return Recipient(name=row[0], email=row[1], media=tuple(from_json(row[2])), language=language, time_zone=zone)


def _fitted(notification: Notification, features: NotifierFeatures) -> Notification:
    """Cut a notification to what the medium can show."""
    return replace(
        notification,
        title=notification.title[: features.title_limit],
        text=notification.text[: features.text_limit],
        actions=notification.actions[: features.actions],
        lapses_at=notification.lapses_at if features.countdown and not features.desktop else None,
    )


def _decided(tx: Tx, items: Sequence[tuple[Fence, Lane, str, int, Sequence[tuple[Task, _Decision]]]]) -> Sequence[None]:
    held = lanes.ours(tx, items[0][0], (lane.group for _, lane, *_ in items))
    for _, lane, medium, looked, done in sorted(items, key=lambda item: item[1].id):
        if lane.group not in held:
            continue  # another daemon delivers by this medium now
        for task, decision in done:
            if decision.decision:
                decide(tx, task.ref, medium, decision.decision, decision.reason)
        lanes.end(tx, [(task.lane, task.id) for task, decision in done if decision.again is None])
        failed = [(d.again, d.reason) for _, d in done if d.again is not None and not d.waits]
        waits = [d.again for _, d in done if d.again is not None and d.waits]
        if failed:
            again, reason = min(failed)
            lanes.later(tx, lane.id, again, reason)
        elif waits:
            lanes.put_off(tx, lane.id, min(waits), looked)
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
