"""What a plugin's command may know of the installation it is typed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from . import place

if TYPE_CHECKING:
    from ..settings import Config
    from ..store import Query

T = TypeVar("T")


class Installation:
    """The settings, and the database to look into."""

    def __init__(self, config: Config) -> None:
        self._config = config

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


def installation() -> Installation:
    """Give the installation that `--config`, $TALKWIRE_CONFIG or the folder names. Errors: `SettingsError`."""
    return Installation(place.loaded(None).config)
