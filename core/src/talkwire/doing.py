"""What hooks ask for: some of it is applied at once, the rest is promised in the lanes of `do`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from pydantic_core import from_json, to_json

from . import actions, lanes, notifying, timers
from .actions import Action, DropTimer, Notice, Notify, Reply, SetTimer, Signal, Withdraw
from .channel import Channel
from .clock import Clock
from .errors import NotFound, ReplyError, StoreDown, TalkwireError
from .ids import new_id
from .lanes import Lane, NewTask, Task
from .outgoing import Replies
from .store import Act, Query, Store, Tx

_log = structlog.get_logger("talkwire.doing")
GROUP = "do"


class Served(Protocol):
    """An account as actions see it."""

    channel: Channel | None


Fetch = Callable[[str], "asyncio.Future[None]"]


def settle(tx: Tx) -> None:
    """Store what was asked for inside a transaction, before its commit."""
    acts, promised = list(tx.acts), []
    tx.acts.clear()
    for ordinal, act in enumerate(acts):
        action = act.action
        match action:
            case SetTimer():
                timers.set_timer(tx, act.asker.removeprefix("plugin:"), action)
            case DropTimer():
                timers.drop_timer(tx, act.asker.removeprefix("plugin:"), action.key)
            case Notify():
                notifying.notify(tx, act.asker, action, _id_of(act, ordinal))
            case Withdraw():
                notifying.withdraw(tx, act.asker, action)
            case Reply() if act.ref.endswith("r"):
                _failed(tx, act.asker, action, "replayed", "a replayed fact sends no reply")
            case _:
                promised.append(_task(act, ordinal))
    lanes.add(tx, promised)


def _id_of(act: Act, ordinal: int) -> str:
    return f"{act.ref}:{ordinal}" if act.ref else new_id()


def _task(act: Act, ordinal: int) -> NewTask:
    action: Action = act.action
    match action:
        case Reply() | Notice() if action.conversation:
            subject = action.conversation
        case Signal():
            subject = f"{action.account}:{action.address}"
        case _:
            subject = f"{action.account}:{action.address.value}"  # type: ignore[union-attr]
    body = to_json({"by": act.asker, "id": _id_of(act, ordinal), "action": actions.to_json(action)})
    return NewTask(GROUP, subject, actions.name_of(action), _id_of(act, ordinal), body.decode())


class Doer:
    """Carries promised actions out; `fetch` and others add kinds of their own."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        replies: Replies,
        account: Callable[[str], Served | None],
        notices: notifying.Notices,
        fetch: Callable[[str], "asyncio.Future[None]"] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._replies = replies
        self._account = account
        self._notices = notices
        self._fetch = fetch

    async def work(self, lane: Lane) -> None:
        """Do the head of a lane; what cannot be done comes back as the fact `action.failed`."""
        try:
            task = await self._store.read(lambda query: lanes.heads(query, [lane.id]).get(lane.id))
            if task is None:
                return
            failure = await self._do(task)
            await self._store.write(_ended, (task, failure))
        except StoreDown as error:
            _log.warning("store down while doing", error=str(error))
        except Exception as error:  # noqa: BLE001  one task's fault stops no other lane
            _log.error("action failed", kind=type(error).__name__, exc_info=error)
            again = self._clock.now() + lanes.backoff(lane.attempts)
            await self._store.write(_again, (lane.id, again, f"{type(error).__name__} in the core"))

    async def _do(self, task: Task) -> tuple[str, str] | None:
        """Give (code, text) of a failure, None where it is done."""
        if task.kind == "fetch":
            if self._fetch is not None:
                await self._fetch(task.ref)
            return None
        said = from_json(task.body)
        action, asker = actions.from_json(said["action"]), said["by"]
        try:
            match action:
                case Reply():
                    await self._reply(action, asker, said["id"])
                case Signal():
                    await self._signal(action)
                case Notice():
                    await self._notices.show(action, asker)
        except ReplyError as error:
            return error.code, str(error)
        except NotFound as error:
            return "not_found", str(error)
        except TalkwireError as error:
            return "failed", str(error)
        return None

    async def _reply(self, action: Reply, asker: str, key: str) -> None:
        to = action.conversation or (action.account, action.address)
        await self._replies.reply(
            to,  # type: ignore[arg-type]
            action.draft,
            author=asker,
            key=action.key or key,
            policy=action.policy,
        )

    async def _signal(self, action: Signal) -> None:
        served = self._account(action.account)
        if served is None or served.channel is None:
            raise NotFound(f'there is no account "{action.account}"')
        try:
            async with asyncio.timeout(served.channel.features.send_timeout.total_seconds()):
                await served.channel.signal(action.address, action.signal)
        except TimeoutError:
            _log.info("signal late", account=action.account)
        except Exception as error:  # noqa: BLE001  best effort, never repeated
            _log.info("signal failed", account=action.account, kind=type(error).__name__)


def _failed(tx: Tx, asker: str, action: Action, code: str, text: str) -> None:
    tx.tell(
        "action.failed",
        account=getattr(action, "account", "") or "",
        conversation=getattr(action, "conversation", "") or "",
        small={"action": actions.name_of(action), "by": asker, "code": code, "text": text[:200]},
    )


def _ended(tx: Tx, items: Sequence[tuple[Task, tuple[str, str] | None]]) -> Sequence[None]:
    for task, failure in items:
        if failure is not None:
            said = from_json(task.body)
            _failed(tx, said["by"], actions.from_json(said["action"]), *failure)
    lanes.end(tx, [(task.lane, task.id) for task, _ in items])
    return [None] * len(items)


def _again(tx: Tx, items: Sequence[tuple[int, object, str]]) -> Sequence[None]:
    for lane, due, text in items:
        lanes.later(tx, lane, due, text)  # type: ignore[arg-type]
    return [None] * len(items)


__all__ = ["GROUP", "Doer", "Query", "settle"]
