"""A channel with connections of its own on a whole hub, and the people who come: what the checks of sessions act on."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import aiohttp
from aiohttp import web

from ..channel import Channel
from ..errors import NoAnswer
from ..hooks import hookimpl
from ..model import AccountState, Conversation, Message, SessionState, State
from .case import Case
from .services import Logs
from .verdict import Failure, Judge, NotApplicable, said, valid_settings
from .visitors import Sessions, Visitor

if TYPE_CHECKING:
    from .hub import WholeHub

__tracebackhide__ = True  # pytest shows the author's lines; with --full-trace ours, too

T = TypeVar("T")
ACCOUNT = "kit"


def sessions_of(case: Case, judge: Judge) -> Sessions:
    """Give what the case says of sessions. Errors: `NotApplicable` where the channel has none of its own."""
    features = case.channel.features
    if case.sessions is not None:
        if not features.sessions:
            raise judge.failure(
                "features",
                "Case.sessions",
                "the case says how people come and go, and features.sessions is False: no answer would follow them",
                "set features.sessions=True, or leave out Case.sessions",
            )
        return case.sessions
    if not features.sessions:
        raise NotApplicable("features.sessions is False: a talk has neither beginning nor end")
    if features.webhook or features.listens:
        raise NotApplicable("the provider says who comes and goes, in envelopes: samples show it, as SessionChange")
    raise judge.failure(
        "features",
        "Case.sessions",
        "features.sessions is True, and the case does not say how people come, so nothing of it can be looked at",
        "give Case.sessions=Sessions(visit=(client, account, who) → page, grace=timedelta(…))",
    )


@dataclass(slots=True)
class Stage:
    """The hub, the people who came, and who judges."""

    hub: WholeHub
    channel: Channel
    client: aiohttp.ClientSession
    sessions: Sessions
    judge: Judge
    lines: Lines
    logs: Logs
    pages: list[Visitor]
    _said: int = 0

    @property
    def patience(self) -> float:
        return self.sessions.patience.total_seconds()

    # --- what people do ---

    async def comes(self, who: str) -> Visitor:
        """Let somebody come, on a page of their own."""
        page = await self.let(f"{who} comes", "Case.sessions.visit", self.sessions.visit(self.client, ACCOUNT, who))
        wanted = ["got", "says", "hears", "leaves", "returns", "ends"]
        wanted += ["sees"] if self.channel.features.reports > State.SENT else []
        if missing := [name for name in wanted if not hasattr(page, name)]:
            raise self.judge.failure(
                "routes",
                f"{who} comes (Case.sessions.visit)",
                f"the page is a {type(page).__name__} without {', '.join(missing)}",
                "give what talkwire.testing.Visitor describes",
            )
        self.pages.append(page)
        return page

    async def says(self, page: Visitor, text: str, id_: str = "", *, who: str) -> None:
        """Let a page write, and wait until it is told that this is kept."""
        self._said += 1
        await self.let(f"{who} says {text!r}", "Visitor.says", page.says(text, id_ or f"kit-{self._said}"))

    async def returns(self, page: Visitor, who: str) -> None:
        """Let a page connect again."""
        await self.let(f"{who} comes back", "Visitor.returns", page.returns())

    async def ends(self, page: Visitor, who: str) -> bool:
        """Let a visitor end the talk; False: the channel has no word for it."""
        try:
            await self.let(f"{who} ends the talk", "Visitor.ends", page.ends())
        except Failure as failure:
            if isinstance(failure.__cause__, NotImplementedError):
                return False
            raise
        return True

    async def leaves(self, page: Visitor, who: str) -> None:
        """Let a line drop, and the channel see it."""
        open_now = self.lines.open
        await self.let(f"{who} leaves", "Visitor.leaves", page.leaves())
        await self.lines.fall_below(open_now, self.patience)
        await self.rest()

    async def goes_away(self, page: Visitor, talk: str, who: str) -> None:
        """Let a visitor's only line drop, until the session is disconnected."""
        await self.leaves(page, who)
        await session_is(
            self,
            talk,
            SessionState.DISCONNECTED,
            sample=f"{who} leaves, and has no other line",
            remedy="admit SessionChange(state=SessionState.DISCONNECTED) when the last line of a visitor ends, "
            "in the `finally` of its handler",
        )

    async def rest(self) -> None:
        """Let everything happen that can happen now."""
        try:
            async with asyncio.timeout(2 * self.patience):
                await self.hub.run_until_idle()
        except TimeoutError:
            raise self.judge.failure(
                "send",
                "everything that is under way",
                f"it does not come to rest within {2 * self.patience:g} s",
                "release locks and state in finally, and give whatever waits for a page a limit",
            ) from None

    async def hears_all(self, page: Visitor, who: str) -> None:
        """Let a page take in all that was sent to it until now."""
        await self.rest()
        await self.says(page, "kit: all there?", who=who)  # what was sent before is heard before the acknowledgement

    async def let(self, what: str, method: str, doing: Awaitable[T]) -> T:
        """Wait for one of the author's own methods, with limits and names."""
        try:
            async with asyncio.timeout(self.patience):
                return await doing
        except Exception as error:
            told = f"nothing came within {self.patience:g} s" if isinstance(error, TimeoutError) else said(error)
            faults = "; ".join(line for line in self.logs.lines if line.startswith(("error", "critical")))
            raise self.judge.failure(
                "routes",
                f"{what} ({method})",
                f"{told}. The hub's log says: {faults or 'nothing of a fault'}",
                "answer what this page says, or correct Case.sessions: it must speak as the channel's own pages do",
            ) from error

    # --- what is stored ---

    async def talk(self, text: str, who: str) -> str:
        """Find the conversation in which somebody wrote a text, which is kept by now."""
        rows = await self.hub.rows(
            "SELECT conversation_id FROM message WHERE text = :text AND direction = 'in'", text=text
        )
        if len(rows) != 1:
            raise self.judge.failure(
                "admit",
                f"{who} says {text!r}",
                f"it was acknowledged, and is kept {len(rows)} times",
                "acknowledge after `await self.admit([Inbound(…)])` has returned: then it is kept",
            )
        return str(rows[0][0])

    async def conversation(self, talk: str) -> Conversation:
        """Read a conversation."""
        found = await self.hub.daemon.hub.conversation(talk)
        assert found is not None  # conversations are never removed
        return found

    async def replies(self, talk: str) -> list[Message]:
        """Read the replies of a conversation, in their order."""
        return [message for message in await self.hub.messages(talk) if message.state is not None]

    async def reply(self, talk: str, *texts: str) -> None:
        """Reply, and let happen what can."""
        for text in texts:
            try:
                await self.hub.reply(talk, text)
            except NoAnswer as refused:
                raise self.judge.failure(
                    "admit",
                    f"a reply, {text!r}",
                    f"it is refused: {refused.code}",
                    "end sessions of nobody who is here, or may still come back",
                ) from refused
        await self.rest()


async def came(stage: Stage, who: str) -> tuple[Visitor, str]:
    """Let somebody come and write; give the page and the conversation, whose session is connected."""
    page = await stage.comes(who)
    text = f"kit: {who} is here"
    await stage.says(page, text, who=who)
    talk = await stage.talk(text, who)
    await session_is(
        stage,
        talk,
        SessionState.CONNECTED,
        sample=f"{who} comes",
        remedy="admit SessionChange(state=SessionState.CONNECTED) when a visitor comes, before anything else",
    )
    return page, talk


async def becomes(stage: Stage, condition: Callable[[], Awaitable[bool]]) -> bool:
    """Wait until something is true; False: it was not within the patience."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(stage.patience):
            while not await condition():
                await stage.rest()
            return True
    return False


async def session_is(stage: Stage, talk: str, state: SessionState, *, sample: str, remedy: str) -> None:
    """Wait until a session stands so."""

    async def stands() -> bool:
        return (await stage.conversation(talk)).session is state

    if not await becomes(stage, stands):
        found = (await stage.conversation(talk)).session
        raise stage.judge.failure("admit", sample, f"the session is {found.value} instead of {state.value}", remedy)


async def arrive(stage: Stage, page: Visitor, texts: Sequence[str], *, sample: str, remedy: str) -> None:
    """Wait until a page shows these texts, in whatever order."""
    try:
        async with asyncio.timeout(stage.patience):
            while not set(texts) <= set(page.got):
                await page.hears()
    except Exception as error:
        missing = [text for text in texts if text not in page.got]
        states = await stage.hub.rows("SELECT text, state, reason FROM delivery ORDER BY state_at, id")
        stored = {text: f"state {state} {reason}".strip() for text, state, reason in states}
        told = "" if isinstance(error, TimeoutError) else f" ({said(error)})"
        raise stage.judge.failure(
            "send",
            sample,
            f"{missing[0]!r} did not come within {stage.patience:g} s{told}; it is stored with "
            f"{stored.get(missing[0], 'no part of this text')}",
            remedy,
        ) from error


# --- the hub ---------------------------------------------------------------------------------------


class Lines:
    """Counts the requests to the channel's routes that are under way: an open socket is one."""

    def __init__(self) -> None:
        self.open = 0
        self._fell = asyncio.Condition()

    @web.middleware
    async def count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.open += 1
        try:
            return await handler(request)
        finally:
            self.open -= 1
            async with self._fell:
                self._fell.notify_all()

    async def fall_below(self, number: int, patience: float) -> None:
        """Wait until a handler has ended; one that stays for other reasons is not waited for longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), self._fell:
                await self._fell.wait_for(lambda: self.open < number)


@contextlib.asynccontextmanager
async def staged(case: Case, judge: Judge) -> AsyncIterator[Stage]:
    """Run a whole hub with the channel as account `kit`, and serve its public port."""
    from ..api import make_app
    from .hub import whole_hub

    sessions = sessions_of(case, judge)
    valid_settings(case, judge)
    settings = {"channel": case.channel.type, **case.settings}
    text = f"[accounts.{ACCOUNT}]\n" + "".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in settings.items())
    plugins = {case.channel.type: _plugin(case.channel, sessions)}
    logs = Logs()
    pages: list[Visitor] = []
    wrong: Exception | None = None
    lines = Lines()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="talkwire-kit-")))
        stack.enter_context(logs.listening())
        hub = await stack.enter_async_context(whole_hub(text, folder, template=template(), plugins=plugins))
        await hub.run_until_idle()
        runtime = hub.daemon.account(ACCOUNT)
        assert runtime is not None  # the settings above name it
        app = make_app(hub.daemon)
        app.middlewares.append(lines.count)
        client = await stack.enter_async_context(served(app))
        try:
            if runtime.channel is None or runtime.view.state is not AccountState.WORKING:
                raise judge.failure(
                    "open",
                    "Case.settings, on a whole hub",
                    f"the account does not work: it is {runtime.view.state.value} {runtime.view.reason}".strip(),
                    "name the module with the plugin's hooks in Sessions.plugin; "
                    "what `open` needs must be on this machine",
                )
            stage = Stage(hub, runtime.channel, client, sessions, judge, lines, logs, pages)
            yield stage
        except Exception as error:  # noqa: BLE001  raised again below: the hub's task group would wrap it
            wrong = error
        for page in pages:
            with contextlib.suppress(Exception):  # it may be gone already, or broken: it was judged above
                async with asyncio.timeout(sessions.patience.total_seconds()):
                    await page.leaves()
        await lines.fall_below(1, sessions.patience.total_seconds())  # what a channel does at the end needs the hub
    if wrong is not None:
        raise wrong


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve as a daemon does, on a free port of this machine; give a client of it, with paths for URLs."""
    from ..api import Front

    runner = Front(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        jar = aiohttp.CookieJar(unsafe=True)  # of a server without a name
        async with aiohttp.ClientSession(f"http://{host}:{port}/", cookie_jar=jar) as client:
            yield client
    finally:
        await runner.cleanup()


def _plugin(channel: type[Channel], sessions: Sessions) -> ModuleType:
    """Make a plugin of the hooks that belong to the channel, which gives this class and no other."""
    given = sessions.plugin or sys.modules.get(channel.__module__.partition(".")[0])
    plugin = ModuleType(channel.type)
    things = {name: getattr(given, name, None) for name in dir(given)} if given is not None else {}
    hooks = {name: thing for name, thing in things.items() if hasattr(thing, "talkwire_impl")}
    vars(plugin).update(hooks, register_channels=hookimpl(lambda: [channel]))
    return plugin


def toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(toml, value))}]"
    return (
        json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool | int | float) else json.dumps(str(value))
    )


@functools.cache
def template() -> Path:
    """Make an upgraded database once, to be copied."""
    from .hub import upgraded

    folder = Path(tempfile.mkdtemp(prefix="talkwire-kit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return upgraded(folder / "talkwire.db")


__all__ = ["Failure", "Stage", "arrive", "becomes", "came", "session_is", "sessions_of", "staged"]
