"""What every command is: a function of a daemon and of what was said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..accounts import Runtime
from ..daemon import Daemon
from ..errors import Conflict, NotFound

Said = Mapping[str, Any]
Command = Callable[[Daemon, Said], Awaitable[Any]]
PROVIDER_WITHIN = 30  # seconds that a provider may take for its answer


def live(daemon: Daemon, name: str) -> Runtime:
    """Give an account that has its channel. Errors: `NotFound`, `Conflict`."""
    runtime = daemon.account(name)
    if runtime is None:
        raise NotFound(f'there is no account "{name}"')
    if runtime.channel is None:
        raise Conflict(f'account "{name}" is absent: {runtime.view.reason or "its settings are gone"}')
    return runtime
