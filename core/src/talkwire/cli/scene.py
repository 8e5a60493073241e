"""What `talkwire demo` runs: simulators, a daemon, and who plays which account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..daemon import Daemon
from ..simulator import Simulator

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One simulator that runs, and the account that belongs to it."""

    account: str
    base_url: str
    simulator: Simulator


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that runs."""

    api: str  # http://host:port of the daemon's public port
    operator: str  # the same of its admin port
    folder: Path
    players: tuple[Player, ...]
    daemon: Daemon
    url: str = ""  # of the start page
    key: str = ""  # an API key with the scope host
