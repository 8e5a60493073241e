"""What hooks ask for: some of it is applied at once, the rest is promised in the lanes of `do`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol

import structlog
from pydantic_core import from_json, to_json

from . import actions, timers
from .actions import Action, DropTimer, Notice, Notify, Reply, SetTimer, Signal, Withdraw
from .channel import Channel
from .errors import (
    PLUGIN_MAY_RAISE,
    AccountBroken,
    NotFound,
    NotSent,
    StoreDown,
    TalkwireError,
    TryLater,
    Wait,
    trail_of,
)
from .ids import new_id
from .model import Address
from .notify import notifying
from .notify.templates import Templates
from .outbound import elsewhere, windows
from .outbound.notices import Notices, OnItsWay
from .outbound.outgoing import Replies, Target
from .sessions import Sessions
from .store import Act, Store, Tx
from .telling.standing import SCHEDULE
from .work import lanes
from .work.lanes import Fence, Lane, NewTask, Task

_log = structlog.get_logger("talkwire.doing")
GROUP = "do"
_SOON = timedelta(seconds=1)
_LOOK_AGAIN = timedelta(minutes=1)  # for an account that is away


_NOT_NOW = (NotSent, TryLater, Wait, AccountBroken)  # said on purpose of a provider that will come again


_ACCOUNT = "SELECT account FROM conversation WHERE id = :id"


class AccountAway(Exception):
    """Its account cannot be asked now: paused, broken, absent, or just starting."""


class Served(Protocol):
    """An account as actions see it."""

    channel: Channel | None

    def words_of(self, error: Exception) -> str: ...


class Fetching(Protocol):
    """What brings attachments in."""

    async def fetch(self, attachment: str) -> None: ...  # raises `AccountAway`
    async def give_up(self, attachment: str, error: str) -> None: ...


def settle(tx: Tx, templates: Templates) -> None:
    """Store what was asked for inside a transaction, before its commit; what no table takes raises."""
    acts, promised = list(tx.acts), []
    tx.acts.clear()
    for ordinal, act in enumerate(acts):
        action, plugin = act.action, act.asker.removeprefix("plugin:")
        # By (reader, seq, ordinal): a fact that is told again asks for the same, not for more.
        id_ = f"{act.ref.removesuffix('r')}:{ordinal}" if act.ref else new_id()
        match action:
            case SetTimer():
                timers.set_timer(tx, plugin, action)
            case DropTimer():
                timers.drop_timer(tx, plugin, action.key)
            case Notify():
                seq = int(act.ref.removesuffix("r") or 0)
                notifying.notify(tx, act.asker, action, id_, templates, seq=seq)
            case Withdraw():
                notifying.withdraw(tx, act.asker, action)
            case Reply() if act.ref.endswith("r"):
                _failed(tx, act.asker, action, "replayed", "a replayed fact sends no reply")
            case Reply() | Notice() | Signal():
                promised.append(_task(act, id_))
            case _:
                raise TypeError(f"tx.act was given a {type(action).__name__}; give an action (Reply, SetTimer, …)")
    lanes.add(tx, promised)


def _task(act: Act, id_: str) -> NewTask:
    action: Reply | Notice | Signal = act.action
    match action:
        case Signal():
            subject = f"{action.account}:{action.address}"
        case Reply(address=Address() as address):
            subject = f"{action.account}:{address.value}"
        case _:
            subject = action.conversation
    body = to_json({"by": act.asker, "id": id_, "action": actions.to_json(action)})
    return NewTask(GROUP, subject, actions.name_of(action), id_, body.decode())


class Doer:
    """Carries out what was promised in the lanes of `do`."""

    def __init__(
        self,
        store: Store,
        fence: Fence,
        replies: Replies,
        account: Callable[[str], Served | None],
        sessions: Sessions,
        notices: Notices,
        fetching: Fetching,
    ) -> None:
        self._store = store
        self._fence = fence
        self._replies = replies
        self._account = account
        self._sessions = sessions
        self._notices = notices
        self._fetching = fetching

    async def work(self, lane: Lane) -> None:
        """Do the head of a lane; what cannot be done comes back as the fact `action.failed`."""
        task = await self._store.read(lambda query: lanes.due_heads(query, [lane.id]).get(lane.id))
        if task is None:
            return
        failure = None
        try:
            if task.kind == "fetch":
                await self._fetching.fetch(task.ref)
            elif task.kind == elsewhere.KIND:
                await self._replies.fall_back(task.ref, *elsewhere.promised(task.body))
            elif task.kind == windows.KIND:
                await self._replies.send_template(task.ref, windows.promised(task.body))
            else:
                failure = await self._failure(task)
        except OnItsWay:
            await self._store.write(_later, (self._fence, task, _SOON, "what it replaces is on its way"))
            return
        except AccountAway as away:
            await self._store.write(_later, (self._fence, task, _LOOK_AGAIN, str(away)))
            return
        except (StoreDown, *_NOT_NOW):
            raise  # the lane's own back-off, for as long as it lasts
        except PLUGIN_MAY_RAISE as error:  # one task
            text = f"{type(error).__name__}, which nobody expected"
            if task.attempts < len(SCHEDULE):
                where = (
                    {} if task.attempts or isinstance(error, TalkwireError) else {"trail": trail_of(error)}
                )  # told once
                _log.error("task failed", group=GROUP, task=task.kind, kind=type(error).__name__, **where)
                await self._store.write(_again, (self._fence, task, text))
                return
            if task.kind == "fetch":
                await self._fetching.give_up(task.ref, text)
            elif task.kind == elsewhere.KIND:
                _, code, said = elsewhere.promised(task.body)
                await self._replies.give_up_falling(task.ref, code, text, said)
            elif task.kind == windows.KIND:
                await self._replies.give_up_template(task.ref, windows.promised(task.body), text)
            else:
                failure = "failed", text
        await self._store.write(_ended, (self._fence, task, failure))

    async def _failure(self, task: Task) -> tuple[str, str] | None:
        """Carry an action out; gives (code, text) of why it cannot be."""
        said = from_json(task.body)
        action, asker = actions.from_json(said["action"]), said["by"]
        try:
            match action:
                case Reply():
                    await self._reply(action, asker, said["id"])
                case Signal():
                    await self._signal(action)
                case Notice():
                    await self._notices.show(action, asker, said["id"])
        except StoreDown:
            raise
        except TalkwireError as error:
            code = "not_found" if isinstance(error, NotFound) else "failed"
            return getattr(error, "code", "") or code, await self._words(action, error)
        return None

    async def _words(self, action: Action, error: TalkwireError) -> str:
        """Give what an error says, without the secrets of the account that was asked: it may quote its provider."""
        account = getattr(action, "account", "")
        if not account:
            where = {"id": getattr(action, "conversation", "")}
            row = await self._store.read(lambda query: query.one(_ACCOUNT, where))
            account = row[0] if row else ""
        served = self._account(account)
        return served.words_of(error) if served is not None else str(error)

    async def _reply(self, action: Reply, asker: str, key: str) -> None:
        to: Target = action.conversation
        if action.address is not None:
            to = (action.account, action.address)
        await self._replies.reply(
            to,
            action.draft,
            author=asker,
            key=action.key or key,
            policy=action.policy,
            fallback=action.fallback,
            template=action.template,
            automatic=True,
        )

    async def _signal(self, action: Signal) -> None:
        if (served := self._account(action.account)) is None or served.channel is None:
            raise NotFound(f'there is no account "{action.account}"')
        await self._sessions.hint(action.account, action.address, action.signal)


def _later(tx: Tx, items: Sequence[tuple[Fence, Task, timedelta, str]]) -> Sequence[None]:
    """Look again after a while; to wait for another is not to fail."""
    if lanes.ours(tx, items[0][0], [GROUP]):
        for _, task, after, why in sorted(items, key=lambda item: item[1].lane):
            lanes.later(tx, task.lane, tx.now + after, why, counted=False)
    return [None] * len(items)


def _again(tx: Tx, items: Sequence[tuple[Fence, Task, str]]) -> Sequence[None]:
    if lanes.ours(tx, items[0][0], [GROUP]):
        for _, task, why in sorted(items, key=lambda item: item[1].lane):
            lanes.later(tx, task.lane, tx.now + SCHEDULE[task.attempts], why)
    return [None] * len(items)


def _failed(tx: Tx, asker: str, action: Action, code: str, text: str) -> None:
    tx.tell(
        "action.failed",
        account=getattr(action, "account", "") or "",
        conversation=getattr(action, "conversation", "") or "",
        small={"action": actions.name_of(action), "by": asker, "code": code, "text": text[:200]},
    )


def _ended(tx: Tx, items: Sequence[tuple[Fence, Task, tuple[str, str] | None]]) -> Sequence[None]:
    if lanes.ours(tx, items[0][0], [GROUP]):  # else another daemon does it, and ends it
        tasks = [task for _, task, _ in items]
        lanes.lock(tx, (task.lane for task in tasks))
        heads = lanes.heads(tx, [task.lane for task in tasks])
        left = {task.id for task in heads.values()}  # another daemon may have ended it while this one did it
        for _, task, failure in items:
            if failure is not None and task.id in left:
                said = from_json(task.body)
                _failed(tx, said["by"], actions.from_json(said["action"]), *failure)
        lanes.end(tx, [(task.lane, task.id) for task in tasks if task.id in left])
    return [None] * len(items)
