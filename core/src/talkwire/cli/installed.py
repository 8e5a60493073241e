"""What a plugin's command may know of the installation it is typed in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import place

if TYPE_CHECKING:
    from ..settings import Loaded
    from ..store import Query

T = TypeVar("T")


class Installation:
    """The settings, and the database to look into."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._config = loaded.config

    def accounts(self, channel: str) -> Mapping[str, Any]:
        """Give the settings of the accounts of a type of channel, by name."""
        found = self._config.accounts.values()
        return {one.name: one.settings for one in found if one.channel == channel and one.settings is not None}

    @property
    def has_public_url(self) -> bool:
        """Say whether the operator has said where the world finds us."""
        return bool(self._config.server.public_url)

    @property
    def public_url(self) -> str:
        """Give the address under which the world finds us, or this machine, without a slash at its end."""
        return self._config.server.public_url or place.here(self._config)

    def look(self, fn: Callable[[Query], T]) -> T:
        """Read from the database, without a chance to write. Errors: `StoreDown`, `SchemaError`."""
        return place.look(self._config.store, fn)

    def kept(self, account: str, *names: str) -> list[str]:
        """Give values that an account's channel keeps, none of them a secret; empty where there is none.

        Errors: `StoreDown`, `SchemaError`.
        """
        sql = "SELECT value FROM keep WHERE account = :account AND name = :name AND sealed = 0"

        def read(query: Query) -> list[str]:
            rows = (query.one(sql, {"account": account, "name": name}) for name in names)
            return [str(row[0]) if row else "" for row in rows]

        return self.look(read)

    def ask(self, account: str, fn: Callable[[Any], Awaitable[T]]) -> T:
        """Ask an account's provider, through a channel that was made for this and is not opened.

        Errors: what `fn` raises; `NotFound` and `Conflict` where the account has no channel.
        """
        return asyncio.run(self._ask(account, fn))

    async def _ask(self, account: str, fn: Callable[[Any], Awaitable[T]]) -> T:
        import aiohttp

        from ..control.command import live
        from ..daemon import Daemon

        daemon = Daemon(self._config, self._loaded.plugins)
        async with aiohttp.ClientSession() as session:
            daemon._make(session)
            try:
                return await fn(live(daemon, account).channel)
            finally:
                await self._loaded.plugins.close()
                await daemon.store.close()


def installation() -> Installation:
    """Give the installation that `--config`, $TALKWIRE_CONFIG or the folder names. Errors: `SettingsError`."""
    return Installation(place.loaded(None))
