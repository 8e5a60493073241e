"""A whole hub with a turned clock: a real daemon on an SQLite file, without waiting for anything.

Journeys deliver envelopes, reply, turn the clock, and look at stored rows and at the fake provider's requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from pytest_aiohttp.plugin import AiohttpClient

if TYPE_CHECKING:
    from ..channel import Answered
    from ..daemon import Daemon
    from ..model import Accepted, Conversation, Draft, Fact, Message, Policy
    from ..store import Tx
    from .services import TurnedClock

_PATIENCE = 20.0  # real seconds until a hub that does not come to rest is a failure
_KEY = "a2l0IGtleSBvZiB0aGUgdGVzdCBodWIgMzIgYnl0ZXM="  # 32 bytes that no real instance has


class WholeHub:
    """One daemon, driven by hand."""

    def __init__(self, daemon: Daemon, clock: TurnedClock) -> None:
        self.daemon = daemon
        self.clock = clock

    # --- in ------------------------------------------------------------------------------------------

    async def deliver(
        self,
        endpoint: str,
        body: bytes | str = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        path: str = "",
        remote: str = "127.0.0.1",
    ) -> Answered | None:
        """Deliver an envelope as its provider would, and as the server takes it. Errors: as `Intake.receive`."""
        from ..model import Envelope

        pairs = query.items() if isinstance(query, Mapping) else query
        envelope = Envelope(
            endpoint=endpoint,
            method=method,
            path=path,
            headers={name.lower(): value for name, value in (headers or {}).items()},
            query=tuple(pairs),
            body=body.encode() if isinstance(body, str) else body,
            remote=remote,
            received_at=self.clock.now(),
        )
        intake, taken = self.daemon.intake, asyncio.get_running_loop().create_future()

        def done(error: BaseException | None) -> None:
            if taken.cancelled():
                return
            if error is None:
                taken.set_result(None)
            else:
                taken.set_exception(error)

        if intake.at_once(envelope, self.daemon.config.server.body_limit, done):
            await taken
            return None
        return await intake.receive(envelope)

    # --- out -----------------------------------------------------------------------------------------

    async def reply(
        self,
        conversation: Conversation | str,
        said: str | Draft,
        *,
        author: str = "agent:test",
        key: str = "",
        policy: Policy | None = None,
        fallback: str = "",
        template: str = "",
    ) -> Accepted:
        """Reply in a conversation. Errors: as `Replies.reply`."""
        from ..model import draft

        to = conversation if isinstance(conversation, str) else conversation.id
        what = draft(said) if isinstance(said, str) else said
        return await self.daemon.replies.reply(
            to, what, author=author, key=key, policy=policy, fallback=fallback, template=template
        )

    # --- time ----------------------------------------------------------------------------------------

    async def run_until_idle(self) -> None:
        """Let everything happen that can happen now."""
        async with asyncio.timeout(_PATIENCE):
            quiet = 0
            while quiet < 3:
                await self.daemon.store.write(_nothing, None)
                await asyncio.sleep(0.0005)  # gives the writer and the readers their threads; nothing depends on it
                quiet = quiet + 1 if self._is_quiet() else 0

    async def pass_time(self, by: timedelta | None = None, **units: float) -> None:
        """Turn the clock, from one thing that is due to the next; `seconds=50`, `hours=24`."""
        until = self.clock.now() + (by or timedelta(**units))
        await self.run_until_idle()
        while (due := self._next_due()) is not None and due <= until:
            self.clock.turn_to(max(due, self.clock.now()))
            await self.run_until_idle()
        self.clock.turn_to(until)
        await self.run_until_idle()

    def _is_quiet(self) -> bool:
        daemon = self.daemon
        now = self.clock.now()
        return (
            daemon.store.waiting == daemon.store.reading == 0
            and not daemon.lanes.busy
            and all(pump.idle for pump in daemon.pumps)
            and not any(pump.next_due and pump.next_due <= now for pump in self._people)
        )

    def _next_due(self) -> datetime | None:
        return min((pump.next_due for pump in self._people if pump.next_due), default=None)

    @property
    def _people(self) -> list[Any]:
        daemon = self.daemon
        lives = [pump for pump in daemon.accounts.pumps if pump is not daemon.accounts.pump]
        return [
            daemon.lanes.pump,
            daemon.timers.pump,
            daemon.watch.pump,
            daemon.expiries.pump,
            daemon.openings,
            *daemon.readers.pumps,
            *lives,
        ]

    # --- what is stored --------------------------------------------------------------------------------

    async def rows(self, sql: str, **params: Any) -> list[tuple[Any, ...]]:
        """Read rows; `:name` parameters."""
        return await self.daemon.store.read(lambda query: query.execute(sql, params))

    async def conversations(self) -> Sequence[Conversation]:
        """Give all conversations, the last moved first."""
        return (await self.daemon.hub.conversations()).items

    @property
    def conversation(self) -> _Only:
        """Give the only conversation: `await hub.conversation`."""
        return _Only(self)

    async def messages(self, conversation: Conversation | str) -> Sequence[Message]:
        """Give a conversation's messages in their order."""
        id_ = conversation if isinstance(conversation, str) else conversation.id
        return await self.daemon.hub.messages(id_)

    async def states(self, conversation: Conversation | str) -> list[str]:
        """Give the states of the outgoing messages, in their order."""
        return [m.state.word for m in await self.messages(conversation) if m.state is not None]

    async def facts(self, *types: str) -> list[Fact]:
        """Give the facts of the log, in their order; of these types, or all."""
        from ..readmodels import FACT, fact_of

        found = await self.rows(f"{FACT} ORDER BY seq")
        return [fact for fact in map(fact_of, found) if not types or fact.type in types]


class _Only:
    def __init__(self, hub: WholeHub) -> None:
        self._hub = hub

    def __await__(self) -> Iterator[Any]:
        return self._find().__await__()

    async def _find(self) -> Conversation:
        found = await self._hub.conversations()
        assert len(found) == 1, f"there are {len(found)} conversations"
        return found[0]


def _nothing(_tx: Tx, items: Sequence[None]) -> Sequence[None]:
    return [None] * len(items)


@contextlib.asynccontextmanager
async def whole_hub(
    settings: str,
    folder: Path,
    *,
    template: Path | None = None,
    plugins: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    clock: TurnedClock | None = None,
    url: str = "",
) -> AsyncIterator[WholeHub]:
    """Run a whole hub on the text of a `talkwire.toml`.

    `plugins` are modules or objects of the test, by name; `template` is an upgraded SQLite file to copy; `url` is a
    PostgreSQL database to use instead.
    """
    from pydantic import SecretBytes

    from ..daemon import Daemon
    from ..settings import RawConfig, load_raw
    from .services import TurnedClock

    clock = clock or TurnedClock()
    if url:
        if not _is_upgraded(url):
            _upgrade(url)
        settings = f'[store]\nurl = "{url}"\n{settings}'
    else:
        file = folder / "talkwire.db"
        if not file.exists():
            if template is None:
                _upgrade(f"sqlite:///{file}")
            else:
                shutil.copyfile(template, file)
    loaded = load_raw(RawConfig(settings, folder / "talkwire.toml", env or {}), extra=plugins)
    if schemas := loaded.plugins.register("register_schema"):
        _upgrade(loaded.config.store.url.get_secret_value(), schemas)
    daemon = Daemon(loaded.config, loaded.plugins, keys=[SecretBytes(_KEY.encode()[:32])], clock=clock)
    async with daemon.running():
        yield WholeHub(daemon, clock)


def _is_upgraded(url: str) -> bool:
    """Say whether a PostgreSQL database has the core's newest tables: most are copies of one that has."""
    import psycopg

    from ..store.revisions import CORE, revisions

    with psycopg.connect(url) as connection, contextlib.suppress(psycopg.errors.UndefinedTable):
        return connection.execute("SELECT version_num FROM alembic_version_core").fetchall() == [
            (revisions(CORE.folder)[-1],)
        ]
    return False


def _upgrade(url: str, schemas: Sequence[tuple[str, Path]] = ()) -> None:
    from ..store.schema.upgrade import CORE, Chain, upgrade

    upgrade(url, [CORE, *(Chain(plugin, folder) for plugin, folder in schemas)])


def upgraded(file: Path) -> Path:
    """Make an SQLite file that is ready to be used, or copied; gives the file."""
    _upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one upgraded SQLite file, to be copied by tests."""
    return upgraded(tmp_path_factory.mktemp("template") / "talkwire.db")


@pytest_asyncio.fixture
async def client_of(aiohttp_client: AiohttpClient) -> Callable[[WholeHub], Any]:
    """Give what makes clients of the public port of a hub; they close with the test."""
    from ..api import Front, make_app

    class AsADaemon(TestServer):
        async def _make_runner(self, **kwargs: Any) -> web.BaseRunner:
            return Front(self.app, **kwargs)

    async def client(hub: WholeHub) -> Any:
        return await aiohttp_client(AsADaemon(make_app(hub.daemon)))

    return client


@pytest_asyncio.fixture
async def start_hub(tmp_path: Path, empty_database: Path) -> AsyncIterator[Callable[..., Any]]:
    """Lend a starter of whole hubs, `await start(settings, plugins={…})`; they stop with the test."""
    async with contextlib.AsyncExitStack() as started:

        async def start(settings: str, **options: Any) -> WholeHub:
            options.setdefault("template", empty_database)
            folder = options.pop("folder", tmp_path)
            return await started.enter_async_context(whole_hub(settings, folder, **options))

        yield start
