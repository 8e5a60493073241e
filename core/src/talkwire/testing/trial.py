"""A notifier under trial: its counterpart, what it is told, and who judges."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import Refused, TryLater
from ..ids import new_id
from ..model import Notification, Option
from ..notifier import Handed, Notifier, Shown, Suppressed, Told
from .counterparts import Counterpart, HttpCounterpart, NotifierCase, Sight
from .lent import RECIPIENTS, LentMedium, lend_notifier
from .services import NOON, Logs
from .verdict import Failure, Judge, all_words, said, valid_settings

if TYPE_CHECKING:
    from .hub import WholeHub

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

T = TypeVar("T")
_CODE = re.compile(r"[a-z][a-z0-9_]*")
_TURNS = 100  # of the loop, after the patience: that a machine stood still meanwhile is nobody's fault
_END_WITHIN = 1.0  # seconds, for what a notifier left behind
_OURS: ContextVar[bool] = ContextVar("talkwire_kit_ours", default=False)  # true in what a notifier's methods start


@dataclass(slots=True)
class Trial:
    """One notifier, opened, with its counterpart up."""

    case: NotifierCase
    judge: Judge
    counterpart: Counterpart
    notifier: Notifier
    services: LentMedium
    hub: WholeHub | None = None
    heard: list[tuple[str, str, str]] = field(
        default_factory=list
    )  # (method, sample, what it said in answers and errors)
    _born: list[asyncio.Future[Any]] = field(default_factory=list)
    _made: int = 0

    @property
    def patience(self) -> float:
        return self.case.patience.total_seconds()

    # --- what is told -------------------------------------------------------------------------------------

    async def notification(self, **changes: Any) -> Notification:
        """Make a notification whose title begins with a word that no other has; on a hub it is stored."""
        self._made += 1
        features = self.case.notifier.features
        options = (Option("kit_yes", "Take it"), Option("kit_no", "Leave it"), Option("kit_more", "Look at it"))
        one = Notification(
            id=new_id(),
            recipient=RECIPIENTS[0],
            asker="plugin:kit",
            kind="kit",
            title=f"kitnotice{self._made} Somebody wrote",
            text=f"kitwords{self._made} Where is my parcel?",
            actions=options[: features.actions],
            at=NOON,
        )
        one = fitted(replace(one, **changes), self.case.notifier)
        if self.hub is None:
            return one
        from .trial_hub import stored  # as `on_trial`

        return replace(one, id=await stored(self.hub, one))

    async def answer_elsewhere(self, notification: Notification, action: str) -> None:
        """Let somebody else be the first who answers."""
        self.services.are_answered.append((notification.id, action, "elsewhere"))
        if self.hub is not None:
            await self.hub.daemon.hub.answer(notification.id, action, "elsewhere")
            await self.hub.run_until_idle()

    async def deliver(self, notification: Notification, sample: str) -> Told | TryLater | Refused:
        """Call `deliver`, and give what came of it."""
        return await self._called("deliver", self.notifier.deliver(notification), sample)

    async def digest(self, notifications: Sequence[Notification], sample: str) -> Told | TryLater | Refused:
        """Call `digest`, and give what came of it."""
        return await self._called("digest", self.notifier.digest(notifications), sample)

    async def _called(self, method: str, doing: Coroutine[Any, Any, Any], sample: str) -> Told | TryLater | Refused:
        try:
            told: object = await self.let(method, doing, sample, expected=(TryLater, Refused))
        except (TryLater, Refused) as error:
            self.heard.append((method, sample, all_words(error)))
            if isinstance(error, Refused) and not error.args[0]:
                raise self.judge.failure(
                    method,
                    sample,
                    "it raised Refused without a reason",
                    'say why: raise Refused("the board is read-only")',
                ) from error
            return error
        if isinstance(told, Suppressed):
            self.heard.append((method, sample, told.reason))
            if not _CODE.fullmatch(told.reason):
                raise self.judge.failure(
                    method,
                    sample,
                    f"the reason of Suppressed is {told.reason!r}",
                    "give a stable word of small letters, such as no_surface: people and programs look for it",
                )
        if not isinstance(told, Shown | Handed | Suppressed):
            raise self.judge.failure(
                method,
                sample,
                f"it gave {type(told).__name__} instead of Shown, Handed or Suppressed",
                "return Shown(), Handed() or Suppressed(reason), or raise TryLater or Refused",
            )
        return told

    async def took(self, notification: Notification, sample: str) -> Sight:
        """Deliver while everything works, and give the one place where it stands."""
        told = await self.deliver(notification, sample)
        if not isinstance(told, Shown | Handed):
            self._no_faults(sample)
            raise self.judge.failure(
                "deliver",
                sample,
                f"it ended with {outcome_of(told)}, though its counterpart is there and takes everything",
                "correct deliver, or the counterpart: it must speak as the real one does",
            )
        found = await self.sights(notification)
        if not found:
            raise self.judge.failure(
                "deliver",
                sample,
                f"it said {outcome_of(told)}, and nothing of it is at the counterpart",
                "say Shown or Handed when the counterpart has said that it has it, never before; "
                "Counterpart.sights waits for what is on its way",
            )
        if len(found) > 1:
            raise self.judge.failure(
                "deliver", sample, f"it stands there {len(found)} times", "show a notification once a call"
            )
        if isinstance(told, Shown) and not found[0].visible:
            raise self.judge.failure(
                "deliver",
                sample,
                "it said Shown of what was only taken over",
                "return Handed(); with features.confirms, call self.shown(id) when somebody can see it",
            )
        return found[0]

    async def sights(self, notification: Notification) -> list[Sight]:
        """Find where a notification stands, by the first word of its title."""
        word = notification.title.split()[0]
        sample = f"what stands there of {notification.title.split()[0]}"
        try:
            found = await self.ask("sights", self.counterpart.sights(), sample)
        except NotImplementedError:
            name = type(self.counterpart).__name__
            raise self.judge.failure(
                "deliver", sample, f"{name} has no sights", "write Counterpart.sights: what a person finds there"
            ) from None
        return [sight for sight in found if re.search(rf"{word}\b", sight.words)]

    # --- waiting ------------------------------------------------------------------------------------------

    async def let(
        self, method: str, doing: Coroutine[Any, Any, T], sample: str, *, expected: tuple[type[Exception], ...] = ()
    ) -> T:
        """Wait for one of the notifier's methods, with a limit and names."""
        try:
            task = self.start(doing)
            if not await self.within(task):
                raise self.judge.failure(
                    method, sample, f"it did not end within {self.patience:g} s", "give whatever it waits for a limit"
                )
            return task.result()
        except Failure:
            raise
        except expected:
            raise
        except Exception as error:
            self.heard.append((method, sample, all_words(error)))
            raise self.judge.failure(
                method,
                sample,
                f"it raised {said(error)}",
                "raise TryLater(text) for what may pass and Refused(reason) for what will not; open, close and trouble raise nothing",
            ) from error

    async def within(self, task: asyncio.Future[Any]) -> bool:
        """Wait until a task has ended; False: it has not, within the patience, and is cancelled."""
        try:
            await asyncio.wait((task,), timeout=self.patience)
            for _ in range(_TURNS):
                if task.done():
                    return True
                await asyncio.sleep(0)
        finally:
            if not task.done():
                task.cancel()
        return False

    def start(self, doing: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start one of the notifier's methods; what it starts itself is noted, too."""
        before = _OURS.set(True)
        try:
            return asyncio.get_running_loop().create_task(doing)
        finally:
            _OURS.reset(before)

    async def rests(self) -> list[str]:
        """Wait until no task of the notifier's methods runs; give those that stay."""
        ends = asyncio.ensure_future(self._all_end())
        await self.within(ends)
        return [repr(task) for task in self._born if not task.done()]

    async def _all_end(self) -> None:
        while running := [task for task in self._born if not task.done()]:
            await asyncio.wait(running)

    def _no_faults(self, sample: str) -> None:
        """Blame no notifier for what the counterpart's own functions raised; HTTP tells them as an answer of 599."""
        faults = self.counterpart.provider.faults if isinstance(self.counterpart, HttpCounterpart) else []
        for fault in faults:
            where = f"{sample} ({type(self.counterpart).__name__}.take)"
            remedy = "correct the counterpart of the case, or what the notifier tells it"
            raise self.judge.failure("deliver", where, f"the counterpart raised {said(fault)}", remedy) from fault

    async def ask(self, method: str, doing: Coroutine[Any, Any, T], sample: str) -> T:
        """Wait for the author's counterpart. Errors: `NotImplementedError` where it has no word for it."""
        where = f"{sample} ({type(self.counterpart).__name__}.{method})"
        remedy = "correct the counterpart of the case, or what the notifier tells it"
        try:
            task = asyncio.ensure_future(doing)
            if not await self.within(task):
                raise self.judge.failure("deliver", where, f"nothing came within {self.patience:g} s", remedy)
            return task.result()
        except (Failure, NotImplementedError):
            raise
        except Exception as error:
            raise self.judge.failure("deliver", where, said(error), remedy) from error

    async def comes(self, condition: Callable[[], bool]) -> bool:
        """Wait until the notifier has told something; False: it did not within the patience."""
        await self.within(asyncio.ensure_future(self.services.until(condition)))
        return condition()


def fitted(notification: Notification, notifier: type[Notifier]) -> Notification:
    """Cut a notification to what the medium can show, as the core does."""
    features = notifier.features
    return replace(
        notification,
        title=notification.title[: features.title_limit],
        text=notification.text[: features.text_limit],
        actions=notification.actions[: features.actions],
    )


def outcome_of(told: Told | TryLater | Refused) -> str:
    """Say in a word how a `deliver` ended."""
    match told:
        case Suppressed():
            return f"Suppressed({told.reason!r})"
        case TryLater() | Refused():
            return f"{type(told).__name__}: {told}"
    return type(told).__name__


@contextlib.asynccontextmanager
async def on_trial(case: NotifierCase, judge: Judge, logs: Logs | None = None) -> AsyncIterator[Trial]:
    """Open a notifier whose counterpart is up, alone or on a whole hub."""
    valid_settings(case, judge)
    wrong: Exception | None = None
    async with contextlib.AsyncExitStack() as stack:
        counterpart = await stack.enter_async_context(case.counterpart())
        born = await stack.enter_async_context(_watched())
        if case.plugin is None:
            notifier = lend_notifier(case.notifier, case.pointed_at(counterpart), logs=logs)
            hub = client = None
        else:
            from .trial_hub import on_a_hub  # a whole hub costs time: only who needs one

            notifier, hub, client = await stack.enter_async_context(on_a_hub(case, counterpart, judge, logs))
        services = notifier.services
        assert isinstance(services, LentMedium)
        trial = Trial(case, judge, counterpart, notifier, services, hub, _born=born)
        try:
            if hub is None or client is None:
                await trial.let("open", notifier.open(), "a counterpart that works")
            else:  # the core has opened it, and closes it
                await trial.ask("joins", counterpart.joins(client, hub), "a notifier that is open")
            yield trial
        except Exception as error:  # noqa: BLE001  raised again below: the hub's task group would wrap it
            wrong = error
        if wrong is None and hub is None:
            await trial.let("close", notifier.close(), "after everything else")
        elif hub is None:
            with contextlib.suppress(Exception):  # it was judged above
                async with asyncio.timeout(trial.patience):
                    await notifier.close()
    if wrong is not None:
        raise wrong


@contextlib.asynccontextmanager
async def _watched() -> AsyncIterator[list[asyncio.Future[Any]]]:
    """Note the tasks that a notifier's methods start; in the end those that stay are ended."""
    loop = asyncio.get_running_loop()
    born: list[asyncio.Future[Any]] = []
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        task = asyncio.Task(coro, loop=loop, **options) if before is None else before(loop, coro, **options)
        if _OURS.get():
            born.append(task)
        return task

    loop.set_task_factory(make)
    try:
        yield born
    finally:
        loop.set_task_factory(before)
        await _taken(born)


async def _taken(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """End tasks and take what they raised: what nobody takes asyncio logs from the collector, whenever that runs.

    In Python 3.11 whatever parses a source just then breaks, pytest and its reports among it.
    """
    if running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_END_WITHIN)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


__all__ = [
    "Trial",
    "fitted",
    "on_trial",
    "outcome_of",
]
