"""Where a command works: the settings it reads, the database it looks into, the daemon it asks."""

from __future__ import annotations

import asyncio
import getpass
import http.client
import importlib.util
import os
import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from ..daemon import Daemon
    from ..media.files import Chunks
    from ..sections import Admin, General, StoreSettings
    from ..settings import Config, Loaded, RawConfig
    from ..store import Query, Store

T = TypeVar("T")
ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="The settings; else $TALKWIRE_CONFIG, ./talkwire.toml.")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]

chosen: ContextVar[Path | None] = ContextVar("chosen", default=None)  # by --config before the command
_ASKED_WITHIN = 60  # seconds that the daemon has for an answer
_SAYS_WITHIN = 5  # seconds to say who it is


def choose(given: Path | None) -> None:
    """Keep the file that stands behind a group's own word, if there is one, for whatever reads the settings."""
    if given is not None:
        chosen.set(given)


def config_path(given: Path | None) -> Path:
    """Say which file holds the settings; of a folder it is the one that `init` writes there."""
    named = given or chosen.get() or Path(os.environ.get("TALKWIRE_CONFIG") or "talkwire.toml")
    is_folder = os.path.isdir(named)  # Path.is_dir raises where we may not look
    return named / "talkwire.toml" if is_folder else named


def raw(given: Path | None) -> RawConfig:
    """Read the settings without looking at plugins. Errors: `SettingsError`."""
    from ..settings import read

    found = read(config_path(given))
    found.check()
    _has_driver(found.store, found.path)
    return found


def loaded(given: Path | None) -> Loaded:
    """Read the settings and load the plugins they name. Errors: `SettingsError`."""
    from ..settings import load

    found = load(config_path(given))
    _has_driver(found.config.store, found.config.path)
    return found


def _has_driver(store: StoreSettings, file: Path) -> None:
    from ..errors import Fault, SettingsError

    if store.url.get_secret_value().startswith("postgresql:") and importlib.util.find_spec("psycopg") is None:
        reason = "PostgreSQL needs its driver; type: pip install 'talkwire[postgres]'"
        raise SettingsError(str(file), [Fault("store.url", reason)])


def admin_of(found: RawConfig) -> Admin:
    """Give the section [admin] of checked settings."""
    return found._sections["admin"]  # type: ignore[return-value]  # noqa: SLF001


def general_of(found: RawConfig) -> General:
    """Give the section [general] of checked settings."""
    return found._sections["general"]  # type: ignore[return-value]  # noqa: SLF001


def key_file(config: Path) -> Path:
    """Say where the instance's keys lie."""
    return config.absolute().parent / "instance.key"


# --- looking -------------------------------------------------------------------------------------------


def look(store: StoreSettings, fn: Callable[[Query], T]) -> T:
    """Read from the database, without a chance to write. Errors: `StoreDown`, `SchemaError`."""

    async def reading() -> T:
        from ..clock import SystemClock
        from ..store import Store, _check_schema

        opened = Store(store.url.get_secret_value(), SystemClock())
        try:
            await opened.read(_check_schema)
            return await opened.read(fn)
        finally:
            await opened.close()

    return asyncio.run(reading())


def look_long(given: Path | None, fn: Callable[[Loaded, Store, Chunks], Awaitable[T]]) -> T:
    """Read from the database and from the files beside it, for as long as it takes. Errors: as `look`."""

    async def reading() -> T:
        from ..clock import SystemClock
        from ..media.chunks import ChunkStore
        from ..media.files import FileStore
        from ..store import Store, _check_schema

        found = loaded(given)
        kept = found.config.store
        opened = Store(kept.url.get_secret_value(), SystemClock())
        try:
            await opened.read(_check_schema)
            return await fn(found, opened, FileStore(kept.files) if opened.is_sqlite else ChunkStore(opened))
        finally:
            await opened.close()

    return asyncio.run(reading())


# --- changing ------------------------------------------------------------------------------------------


class NobodyThere(Exception):
    """No daemon answers at the socket."""


class _Socket(http.client.HTTPConnection):
    """HTTP over a unix socket: no import of aiohttp for one question."""

    def __init__(self, path: Path, within: float) -> None:
        super().__init__("localhost", timeout=within)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def running(path: Path) -> dict[str, Any]:
    """Ask the daemon at a socket who it is. Errors: `NobodyThere`."""
    answer: dict[str, Any] = _asked(path, "GET", "/", None, _SAYS_WITHIN)
    return answer


def _asked(path: Path, method: str, what: str, said: Any, within: float = _ASKED_WITHIN) -> Any:
    from pydantic_core import from_json, to_json

    from ..errors import Conflict

    connection = _Socket(path, within)
    try:
        try:
            connection.connect()
        except PermissionError as error:
            raise Conflict(f"{path}: {_who()} may not ask the daemon; type it as the daemon's user") from error
        except OSError as error:
            raise NobodyThere from error
        try:
            connection.request(method, what, None if said is None else to_json(said))
            response = connection.getresponse()
            body = response.read()
        except TimeoutError as error:
            text = f"{path}: no answer within {within} s; what holds the daemon stands in its log"
            raise Conflict(text) from error
        except (OSError, http.client.HTTPException) as error:
            text = (
                f"{path}: the daemon gave no answer ({type(error).__name__}); it may have been done: look before again"
            )
            raise Conflict(text) from error
    finally:
        connection.close()
    answer = from_json(body or b"null") if response.status < 500 else None
    if response.status == 200:
        return answer
    raise Conflict(
        answer["error"] if isinstance(answer, dict) else f"the daemon failed (HTTP {response.status}); its log says why"
    )


def ask(given: Path | None, command: str, *, within: float = _ASKED_WITHIN, **said: Any) -> Any:
    """Let something be changed: by the running daemon, or at hand where none runs. Errors: `TalkwireError`.

    `within` is in seconds: how long the daemon may take.
    """
    from ..errors import Conflict

    at = admin_of(raw(given)).socket
    try:
        return _asked(at, "POST", f"/{command}", said, within)
    except NobodyThere:
        pass

    from pydantic_core import from_json, to_json

    from .. import control

    try:
        return from_json(to_json(at_hand(given, lambda daemon: control.do(daemon, command, said))))
    except Conflict as error:
        if error.code != "database_in_use":
            raise
        text = f"{error}\n  It does not answer at {at}: was it started with other settings?"
        raise Conflict(text, code=error.code) from error


def reload(given: Path | None) -> Any:
    """Ask the running daemon to read its settings again, also where they are wrong: it says so.

    Errors: `NobodyThere`; `SettingsError` where not even the socket can be read from the file; `Conflict`.
    """
    from ..settings import read

    found = read(config_path(given))
    admin = found._sections["admin"]  # noqa: SLF001
    if admin is None:
        found.check()
    return _asked(admin_of(found).socket, "POST", "/reload", {})


def at_hand(given: Path | None, fn: Callable[[Daemon], Awaitable[T]]) -> T:
    """Do one thing with a daemon's parts, without running it: under SQLite's lock, on PostgreSQL as one more."""
    from ..daemon import Daemon
    from ..instance_keys import read_instance_keys
    from . import logs

    config, plugins = loaded(given)
    logs.configure("console", "error", config)
    keys = read_instance_keys(key_file(config.path))

    async def doing() -> T:
        async with Daemon(config, plugins, keys=keys).at_hand() as daemon:
            return await fn(daemon)

    return asyncio.run(doing())


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def by() -> str:
    """Name whoever types, for the log."""
    return f"cli:{_who()}"


def here(found: Config) -> str:
    """Give the address on this machine: of the running daemon, which knows what port 0 became."""
    from ..errors import TalkwireError

    try:
        return str(running(found.admin.socket)["public"])
    except (NobodyThere, TalkwireError):
        return "http://{}:{}".format(*found.server.listen)
