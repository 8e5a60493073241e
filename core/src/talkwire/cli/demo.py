"""`talkwire demo`: customers played by simulators, a daemon that carries their talks, a page that links it all.

Everything listens on 127.0.0.1, everything is kept in one folder. `--check` plays a talk through each channel
(`playing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from aiohttp import web

from .. import settings
from ..api.principals import create_keys
from ..daemon import Daemon
from ..errors import TalkwireError
from ..instance_keys import new_instance_key, read_instance_keys
from ..plugins import GROUP, Plugins
from ..serving import serving
from ..simulator import Simulator
from ..store.schema.upgrade import CORE, Chain, upgrade
from . import logs
from .playing import check_all, set_fault
from .scene import Player, Say, Stage
from .start_page import start_app

HOST = "127.0.0.1"
PORT = 9460  # of the start page, where it is free
_RARE_PORTS = range(20_000, 32_000)  # below those of outgoing connections, which come from 32768 on (Linux)
_MARK = "# Made by `talkwire demo`, which writes it anew at each start."
_NOBODY = """\
There is nothing to play with: no installed plugin has a simulator of its provider.
  A channel plugin gives one by the hook register_simulators. To have one: pip install talkwire-smsgate
  In Talkwire's own checkout: make demo"""

_TOLD = """
[recipients.local]
media = {media}

[[notify]]
on = ["message.received", "delivery.failed", "account.broken"]
to = ["local"]
once = "1m"
"""  # whoever opens the operator's page


class DemoError(TalkwireError):
    """The demo cannot do what was asked."""


def run(
    *,
    check: bool = False,
    folder: Path | None = None,
    port: int = 0,
    fault: str = "",
    say: Say = print,
    among: Sequence[str] | None = None,
) -> int:
    """Run the demo until Ctrl-C, or with `check` until the talks are played; gives the exit code.

    `among` are the plugins to look at; None: all that are installed.
    """
    try:
        return asyncio.run(_run(check, folder, port, fault, say, among))
    except TalkwireError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:  # before we listen to signals
        return 130


async def _run(check: bool, folder: Path | None, port: int, fault: str, say: Say, among: Sequence[str] | None) -> int:
    say("talkwire demo: needs no account anywhere, listens on this machine only")
    begun = time.monotonic()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    simulators = await find(say, among)
    known = sorted({name for one in simulators for name in one.faults})
    if fault and fault not in known:
        raise DemoError(f"no simulator has the fault {fault}; there are: {', '.join(known)}")
    told = _TOLD.format(media=_value(await _media(among)))
    with _in(folder) as place:
        async with stage(place, simulators, port=port, say=say, extra=told) as running:
            await set_fault(running.players, fault, say)
            if check:
                return await _unless_stopped(_checked(running, fault, say), stop)
            say(f"ready after {time.monotonic() - begun:.1f} s; Ctrl-C stops it")
            say("")
            say(f"  open {running.url}/")
            say("")
            await stop.wait()
            say("stopping")
    say("stopped" + ("" if folder else "; its folder is gone"))
    return 0


async def _checked(running: Stage, fault: str, say: Say) -> int:
    return await check_all(running.players, running.api, running.key, say, fault=fault)


async def _unless_stopped(work: Any, stop: asyncio.Event) -> int:
    doing, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (doing, stopped):
        task.cancel()
    await asyncio.gather(doing, stopped, return_exceptions=True)
    return 130 if doing.cancelled() else doing.result()


@contextlib.contextmanager
def _in(folder: Path | None) -> Iterator[Path]:
    """Give the folder that was asked for, or one that goes away with the demo."""
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(folder, error) from error
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="talkwire-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


# --- the stage ---------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def stage(
    folder: Path,
    simulators: Sequence[Simulator],
    *,
    port: int = 0,
    say: Say = lambda _: None,
    extra: str = "",
    plugins: Mapping[str, Any] | None = None,
    is_public: bool = False,
) -> AsyncIterator[Stage]:
    """Run simulators, the start page, and a daemon with its servers, until the block ends.

    `extra` is more text for the settings, `plugins` are modules or objects of this process. With `is_public` the
    settings say where providers find us, so that those that are told to call do. Errors: `DemoError`; as `serving`.
    """
    config = folder / "talkwire.toml"
    if config.exists() and not config.read_text("utf-8").startswith(_MARK):
        raise DemoError(f"{config} was not made by the demo, which would write over it; choose another --dir")
    ports = _free_ports(2)
    api, operator = (f"http://{HOST}:{number}" for number in ports)
    async with contextlib.AsyncExitStack() as opened:
        players = []
        for one in simulators:
            account = one.channel.replace("_", "-")
            base_url = await opened.enter_async_context(_served(one.app(f"{api}/in/{account}")))
            players.append(Player(account=account, base_url=base_url, simulator=one))
            say(f"  {one.title}: {base_url}/ plays the customer and the provider of the account {account}")
        tables = {p.account: _account(p, f"{api}/in/{p.account}") for p in players}
        _write(config, f"{_MARK}\n\n{_settings(ports, tables, is_public=is_public)}{extra}")
        say(f"  settings and database: {folder}")
        daemon = _daemon(config, plugins)
        seen = Stage(api=api, operator=operator, folder=folder, players=tuple(players), daemon=daemon)
        url = await opened.enter_async_context(_served(start_app(seen), port or PORT, may_move=not port))
        bound = await opened.enter_async_context(serving(daemon))
        key = await daemon.store.write(create_keys, ("demo", "host"))
        _write(folder / "demo.key", key + "\n")
        say(f"  daemon: {bound.public}/api/v1 for programs, {bound.admin}/ for operators")
        yield replace(seen, url=url, key=key)


async def find(say: Say = lambda _: None, among: Sequence[str] | None = None) -> list[Simulator]:
    """Ask plugins, all that are installed or some, for simulators. Errors: `DemoError` where there is none."""
    installed = {entry.name for entry in entry_points(group=GROUP)}
    plugins = Plugins(sorted(installed) if among is None else among)
    try:
        found = [one for _, one in plugins.register("register_simulators")]
        for info in plugins.infos:
            if info.state == "failed":
                say(f"  {info.name} is left out: {info.error.strip().splitlines()[-1]}")
        for warning in plugins.warnings:
            say(f"  {warning.path} is left out: {warning.reason}")
        playable = [one for one in found if one.channel in plugins.channels]
    finally:
        await plugins.close()
    if not playable:
        raise DemoError(_NOBODY)
    return playable


async def _media(among: Sequence[str] | None) -> list[str]:
    """Name the media that show on a desktop and need no settings."""
    plugins = Plugins(sorted({entry.name for entry in entry_points(group=GROUP)}) if among is None else among)
    found = []
    for name, kind in sorted(plugins.notifiers.items()):
        if kind.features.desktop:
            with contextlib.suppress(ValueError):  # it cannot do without
                kind.Settings()
                found.append(name)
    await plugins.close()
    return found


def _free_ports(count: int) -> list[int]:
    """Find ports that nobody uses now, and that systems give to nobody who does not ask for them by number."""
    found: list[int] = []
    for number in random.sample(_RARE_PORTS, 100):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind((HOST, number))
            found.append(number)
        if len(found) == count:
            return found
    raise DemoError(f"no {count} ports of {_RARE_PORTS[0]} to {_RARE_PORTS[-1]} are free here")


@contextlib.asynccontextmanager
async def _served(app: web.Application, port: int = 0, *, may_move: bool = True) -> AsyncIterator[str]:
    """Serve an application on this machine; gives its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    try:
        bound = _listening(port)
    except OSError as error:
        if not may_move:
            raise DemoError(f"port {port}: {(error.strerror or '').lower()}; choose another --port") from error
        bound = _listening(0)
    with bound:
        await runner.setup()
        try:
            await web.SockSite(runner, bound).start()
            yield f"http://{HOST}:{bound.getsockname()[1]}"
        finally:
            await runner.cleanup()


def _listening(port: int) -> socket.socket:
    """Take a port. It is ours only once we listen: two demos that begin together may both bind it."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
        bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def _daemon(config: Path, extra: Mapping[str, Any] | None) -> Daemon:
    key_file = config.with_name("instance.key")
    if not key_file.exists():
        _write(key_file, new_instance_key() + "\n")
    loaded, plugins = settings.load(config, {}, extra=extra)
    logs.configure("console", "warning", loaded)
    given = plugins.register("register_schema")
    chains = [one if isinstance(one, Chain) else Chain(name, Path(one)) for name, one in given]
    upgrade(loaded.store.url.get_secret_value(), [CORE, *chains])
    return Daemon(loaded, plugins, keys=read_instance_keys(key_file))


def _write(path: Path, text: str) -> None:
    """Write a file that only we can read."""
    try:
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> DemoError:
    return DemoError(f"{path}: {(error.strerror or '').lower()}; choose another --dir")


def _account(player: Player, inbound_url: str) -> dict[str, Any]:
    return {"channel": player.simulator.channel, **player.simulator.settings(player.base_url, inbound_url)}


def _settings(ports: Sequence[int], accounts: Mapping[str, Mapping[str, Any]], *, is_public: bool = False) -> str:
    server, admin = (f'listen = "{HOST}:{port}"' for port in ports)
    if is_public:
        server += f'\npublic_url = "http://{HOST}:{ports[0]}"'
    tables = "".join(f"\n[accounts.{name}]\n{_toml(table)}" for name, table in accounts.items())
    return f"[server]\n{server}\n\n[admin]\n{admin}\n{tables}"


def _toml(table: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {_value(value)}\n" for key, value in table.items() if value is not None)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    # JSON's strings are TOML's. A simulator's secrets are random: `${` in one would be a reference, and is not made.
    return json.dumps(value, ensure_ascii=False)
