"""How hooks run: where, for how long at most, and what becomes of one that raises, hangs or answers nonsense.

async def  ─▶ on the loop          the caller waits for the budget, then goes on without it
plain      ─▶ a thread, 8 a plugin    the same; a thread that hangs is lost to its plugin alone
with `tx`  ─▶ in the caller's transaction    nothing can stop it: `holders` says who it is
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from itertools import islice
from queue import SimpleQueue
from typing import Any, TypeVar, get_args

from .actions import Action
from .errors import PLUGIN_MAY_RAISE, StoreDown, TalkwireError
from .store import Tx
from .store.writer import RunAgain

T = TypeVar("T")
Job = tuple[contextvars.Context, Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]

SLOW = timedelta(milliseconds=50)  # what a hook with `tx` may take before it is named
_IN_TX = ("answer_notification", "forget_person")  # what they do is a part of what is asked for, or none of it is done
_MOST_ACTIONS = 1000  # of one call; a generator without an end must not fill the memory


class HookFailed(TalkwireError):
    """A hook raised or returned nonsense; `__cause__` is what it raised, which may hold content."""

    def __init__(self, hook: Hook, what: str) -> None:
        super().__init__(f'plugin "{hook.plugin}": {hook.name} {what}')
        self.plugin = hook.plugin
        self.hook = hook.name


class HookTimeout(HookFailed):
    """A hook did not end within its budget; it may still run."""


class PluginRefused(TalkwireError):
    """A plugin cannot be used as it is; the text says what its author must change."""


class Way(Enum):
    """Where a hook runs."""

    LOOP = "on the event loop"
    THREAD = "in a thread of its plugin"
    TX = "in the transaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """One implementation, with how it runs; decided once, at load."""

    plugin: str
    name: str  # of the spec
    function: Callable[..., Any]
    arguments: tuple[str, ...]  # those it asked for, in its order
    way: Way


@dataclass(frozen=True, slots=True)
class Holder:
    """The hook that has the writer now."""

    plugin: str
    hook: str
    since: float  # time.monotonic


def way_of(name: str, function: Callable[..., Any], arguments: Iterable[str]) -> Way:
    """Decide where a hook runs. Errors: `PluginRefused`."""
    if inspect.isasyncgenfunction(function):
        raise PluginRefused(f"{name} is an async generator; return a list instead of yielding")
    waits = inspect.iscoroutinefunction(function)
    in_tx = "tx" in arguments or name in _IN_TX
    if in_tx and waits:
        raise PluginRefused(f"{name} runs inside a transaction, where nothing may wait: take the `async` out")
    if waits and name == "export_person":
        raise PluginRefused(f"{name} reads, and waits for nothing: take the `async` out")
    if waits and name.startswith("register_"):
        raise PluginRefused(f"{name} is called while plugins are loaded: take the `async` out")
    return Way.TX if in_tx else Way.LOOP if waits else Way.THREAD


def actions_of(hook: Hook, result: Any) -> list[Action]:
    """Read what an on_ hook returned. Errors: `HookFailed`."""
    if result is None:
        return []
    if isinstance(result, get_args(Action)):
        return [result]
    if isinstance(result, Iterable) and not isinstance(result, str | bytes | Mapping):
        actions = list(islice(result, _MOST_ACTIONS + 1))
        if len(actions) > _MOST_ACTIONS:
            raise HookFailed(hook, f"returned more than {_MOST_ACTIONS} actions; spread them with SetTimer")
        wrong = [one for one in actions if not isinstance(one, get_args(Action))]
        if not wrong:
            return actions
        result = wrong[0]
    if inspect.iscoroutine(result):
        result.close()
    raise HookFailed(
        hook, f"returned {_kind(result)}; return None, an action or a list of actions (Reply, SetTimer, …)"
    )


def one_of(*kinds: type) -> Callable[[Hook, Any], Any]:
    """Make a reader of results that takes None or one of these types."""

    def read(hook: Hook, result: Any) -> Any:
        if result is None or isinstance(result, kinds):
            return result
        if inspect.iscoroutine(result):
            result.close()
        raise HookFailed(hook, f"returned {_kind(result)}; return None or {' or '.join(k.__name__ for k in kinds)}")

    return read


class Runner:
    """Calls hooks; one a daemon."""

    def __init__(self, threads: int) -> None:
        self.hub: Any = None
        self.settings: Mapping[str, Any] = {}  # plugin → its own
        self.on_slow: Callable[[str, str, float], None] = lambda _plugin, _hook, _seconds: None
        self._most = threads
        self._threads: dict[str, _Threads] = {}
        self._running: set[asyncio.Future[Any]] = set()
        self._holding: dict[int, Holder] = {}  # thread → who

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Name the hooks that have a writer now, the longest first; may be asked from any thread."""
        return tuple(sorted(self._holding.copy().values(), key=lambda holder: holder.since))

    async def call(self, hook: Hook, kwargs: Mapping[str, Any], seconds: float, read: Callable[[Hook, Any], T]) -> T:
        """Run a hook that waits or has a thread, and read its result. Errors: `HookFailed`, `HookTimeout`."""
        if seconds <= 0:
            raise HookTimeout(hook, "was not called: no time was left")
        call = self._bound(hook, kwargs)
        waiting: asyncio.Future[T]
        if hook.way is Way.LOOP:
            waiting = asyncio.ensure_future(_on_loop(hook, call, read))
        else:
            pool = self._threads.setdefault(hook.plugin, _Threads(hook.plugin, self._most))
            waiting = pool.start(lambda: _settled(hook, call, read))
        self._running.add(waiting)
        waiting.add_done_callback(self._ended)
        try:
            await asyncio.wait({waiting}, timeout=seconds)
            if not waiting.done():
                raise HookTimeout(hook, f"did not end within {seconds:.3g} s")
            return waiting.result()
        finally:
            waiting.cancel()

    def call_tx(self, hook: Hook, kwargs: Mapping[str, Any], tx: Tx) -> list[Action]:
        """Run a hook inside the caller's transaction.

        Errors: `HookFailed`; what the store itself raised (`StoreDown`, `RunAgain`) passes as it is.
        """
        call = self._bound(hook, {**kwargs, "tx": tx})
        thread, began = threading.get_ident(), time.monotonic()
        self._holding[thread] = Holder(hook.plugin, hook.name, began)
        asker, tx.asker = tx.asker, f"plugin:{hook.plugin}"
        try:
            return _settled(hook, call, actions_of)
        finally:
            tx.asker = asker
            del self._holding[thread]
            took = time.monotonic() - began
            if took > SLOW.total_seconds():
                self.on_slow(hook.plugin, hook.name, took)

    def call_here(self, hook: Hook, kwargs: Mapping[str, Any], read: Callable[[Hook, Any], T]) -> T:
        """Run a plain hook in the caller's thread, and read its result. Errors: `HookFailed`; the store's own pass."""
        return _settled(hook, self._bound(hook, kwargs), read)

    async def close(self, grace: timedelta = timedelta(seconds=1)) -> None:
        """Stop what runs; threads that hang are left behind, they do not hold up the exit."""
        for waiting in self._running.copy():
            waiting.cancel()
        if self._running:
            await asyncio.wait(self._running.copy(), timeout=grace.total_seconds())
        for pool in self._threads.values():
            pool.close()

    def _bound(self, hook: Hook, kwargs: Mapping[str, Any]) -> Callable[[], Any]:
        given = [kwargs[name] if name in kwargs else self._own(hook.plugin, name) for name in hook.arguments]
        return lambda: hook.function(*given)

    def _own(self, plugin: str, name: str) -> Any:
        if name == "hub":
            return self.hub.of(plugin)  # it speaks for the plugin
        return {"settings": self.settings.get(plugin)}[name]

    def _ended(self, waiting: asyncio.Future[Any]) -> None:
        self._running.discard(waiting)
        if not waiting.cancelled():
            waiting.exception()  # asked for, so that asyncio does not complain of one that nobody waits for


async def _on_loop(hook: Hook, call: Callable[[], Any], read: Callable[[Hook, Any], T]) -> T:
    try:
        return read(hook, await call())
    except (HookFailed, StoreDown):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _failed(hook, error) from error
    except PLUGIN_MAY_RAISE as error:
        raise _failed(hook, error) from error


def _settled(hook: Hook, call: Callable[[], Any], read: Callable[[Hook, Any], T]) -> T:
    try:
        return read(hook, call())
    except (HookFailed, StoreDown, RunAgain):
        raise
    except BaseException as error:  # one hook, in a thread where nobody else may exit or cancel
        raise _failed(hook, error) from error


def _failed(hook: Hook, error: BaseException) -> HookFailed:
    """Say what and where; the text only of our own errors, any other may quote a message or a secret."""
    own = getattr(inspect.unwrap(hook.function), "__code__", None)
    frames = list(traceback.walk_tb(error.__traceback__))
    ours = [pair for pair in frames if own and pair[0].f_code.co_filename == own.co_filename] or frames
    place = f" ({ours[-1][0].f_code.co_filename.rsplit('/', 1)[-1]}:{ours[-1][1]})" if ours else ""
    text = f": {error}" if isinstance(error, TalkwireError) else ""
    return HookFailed(hook, f"raised {type(error).__name__}{place}{text}")


def _kind(value: Any) -> str:
    return "a coroutine (write `async def`)" if inspect.iscoroutine(value) else type(value).__name__


class _Threads:
    """At most so many daemon threads of one plugin; the standard pool would wait for a hung one at exit."""

    def __init__(self, plugin: str, most: int) -> None:
        self._plugin = plugin
        self._most = most
        self._work: SimpleQueue[Job | None] = SimpleQueue()
        self._open = 0  # calls that have not ended
        self._started = 0

    def start(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Run a call as soon as a thread is free; one that was cancelled before is not run."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._open += 1
        if self._open > self._started < self._most:
            self._started += 1
            threading.Thread(target=self._serve, name=f"plugin-{self._plugin}-{self._started}", daemon=True).start()
        self._work.put((contextvars.copy_context(), call, future, loop))
        return future

    def close(self) -> None:
        for _ in range(self._started):
            self._work.put(None)

    def _serve(self) -> None:
        while (job := self._work.get()) is not None:
            context, call, future, loop = job
            result, error = None, None
            if not future.cancelled():
                try:
                    result = context.run(call)
                except Exception as caught:  # noqa: BLE001  one hook; `_settled` made it one of ours
                    error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._ended, future, result, error)

    def _ended(self, future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        self._open -= 1
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
