"""`talkwire demo`: customers played by simulators, a daemon that carries their talks, a page that links it all.

Everything listens on 127.0.0.1, everything is kept in one folder. `--check` plays a talk through each channel and
believes only what the provider's side shows.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import random
import secrets
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import aiohttp
from aiohttp import web

from .. import settings
from ..api.principals import create_keys
from ..daemon import Daemon
from ..errors import TalkwireError
from ..instance_keys import new_instance_key, read_instance_keys
from ..model import State
from ..plugins import GROUP, Plugins
from ..serving import serving
from ..simulator import Simulator
from ..store.schema.upgrade import CORE, Chain, upgrade
from . import logs

HOST = "127.0.0.1"
PORT = 9460  # of the start page, where it is free
_RARE_PORTS = range(20_000, 32_000)  # below those of outgoing connections, which come from 32768 on (Linux)
PATIENCE = 12.0  # seconds that one step of a check may take; a simulator's slow answer takes 5
_LOOK_EVERY = 0.05  # seconds
_EVIDENCE = 120  # characters of a text that are shown
_MARK = "# Made by `talkwire demo`, which writes it anew at each start."
_CSP = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
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

Say = Callable[[str], None]


class DemoError(TalkwireError):
    """The demo cannot do what was asked."""


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
            await _set_fault(running.players, fault, say)
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
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
        url = await opened.enter_async_context(_served(_start_app(seen), port or PORT, may_move=not port))
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
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


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


# --- the start page ----------------------------------------------------------------------------------------


def _start_app(seen: Stage) -> web.Application:
    folder = files(__package__) / "start"
    body = _start_page((folder / "start.html").read_text("utf-8"), seen)
    css = (folder / "start.css").read_text("utf-8")
    headers = {"Content-Security-Policy": _CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

    def gives(text: str, content_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(text=text, content_type=content_type, headers=headers)

        return handler

    app = web.Application()
    app.router.add_get("/", gives(body, "text/html"))
    app.router.add_get("/start.css", gives(css, "text/css"))
    return app


def _start_page(template: str, seen: Stage) -> str:
    said = html.escape
    doors = [
        f'<a class="door" href="{said(p.base_url)}/" target="talkwire-{said(p.account)}">{said(p.simulator.title)}</a>'
        for p in seen.players
    ]
    config = seen.folder / "talkwire.toml"
    commands = [
        f'KEY="Authorization: Bearer $(cat {seen.folder / "demo.key"})"',
        f"API={seen.api}/api/v1",
        'curl -H "$KEY" $API/conversations',
        'curl -H "$KEY" -H "Accept: text/event-stream" --no-buffer $API/events',
        """curl -H "$KEY" --json '{"text": "It arrives **today**."}' $API/conversations/ID/replies""",
    ]
    line = [f"talkwire --config {config} {command}" for command in ("status", "find parcel", "trace parcel")]
    count = len(seen.players)
    temporary = seen.folder.is_relative_to(tempfile.gettempdir())
    return Template(template).substitute(
        count="One channel" if count == 1 else f"{count} channels",
        customers="\n      ".join(doors),
        operator=said(seen.operator),
        api=said(seen.api),
        commands=said("\n".join(commands)),
        line=said("\n".join(line)),
        folder=said(str(seen.folder)),
        life=", which goes away with the demo." if temporary else ".",
    )


# --- the check ---------------------------------------------------------------------------------------------


class _Failed(Exception):
    """A talk did not go as it should."""


async def _set_fault(players: Sequence[Player], fault: str, say: Say) -> None:
    for player in players:
        if fault not in player.simulator.faults:
            continue
        await player.simulator.fault(player.base_url, fault)
        say(f"  {player.account}: the fault {fault} is on")


async def check_all(
    players: Sequence[Player], api: str, key: str, say: Say, *, fault: str = "", patience: float = PATIENCE
) -> int:
    """Play a talk through each channel; gives the exit code.

    A fault that Talkwire heals (a slow answer, reports in the wrong order) fails nothing: the talk came through.
    """
    failed = 0
    in_spite = f", in spite of the fault {fault}" if fault else ""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=patience)) as session:
        for player in players:
            say(f"{player.account}: {player.simulator.title}")
            try:
                await _Talk(session, f"{api}/api/v1", player, say, patience).play()
            except _Failed as error:
                failed += 1
                say(f"  FAILED  {error}")
            except Exception as error:  # noqa: BLE001  a simulator may raise anything; the others are played all the same
                failed += 1
                say(f"  FAILED  {str(error) or type(error).__name__}")
    all_ = f"{len(players)} channel" + ("" if len(players) == 1 else "s")
    say(f"demo --check: {failed} of {all_} failed" if failed else f"demo --check: {all_} played, all is well{in_spite}")
    return 1 if failed else 0


class _Talk:
    """One talk: the customer writes, a program answers, the provider reports."""

    def __init__(self, session: aiohttp.ClientSession, api: str, player: Player, say: Say, patience: float) -> None:
        self._session = session
        self._api = api
        self._player = player
        self._say = say
        self._patience = patience
        self._word = secrets.token_hex(4)  # by which this talk's texts are known

    async def play(self) -> None:
        """Play it to its end. Errors: `_Failed`."""
        simulator, base_url = self._player.simulator, self._player.base_url
        before = len(await simulator.received(base_url))
        self._told("the customer writes", await simulator.play(base_url, f"Where is parcel {self._word}?"))

        conversation, message = await self._arrived()
        self._told("it is kept", f"conversation {conversation}, message {message['n']}, {message['external_id']}")

        text = f"Parcel {self._word} arrives today"
        accepted = await self._ask(
            "POST",
            f"/conversations/{conversation}/replies",
            json={"text": text},
            headers={"Idempotency-Key": f"demo-check-{self._word}"},
        )
        self._told("a program answers", f"202, message {accepted['message']}")

        goal = await self._goal()
        state, texts = await self._carried(accepted["message"], text, before, goal)
        self._told("the customer has it", f"the simulator shows “{_on_one_line(texts[0])}”, once")
        self._told(
            "it is reported",
            f"{state}; {goal.word} is the most that this channel reports" if goal < State.DELIVERED else state,
        )

    async def _arrived(self) -> tuple[str, Mapping[str, Any]]:
        """Wait for the customer's message; it must be there once."""
        async for _ in self._looking():
            page = await self._ask("GET", f"/conversations?account={self._player.account}&text={self._word}")
            for one in page["items"]:
                found = (await self._ask("GET", f"/conversations/{one['id']}/messages"))["items"]
                ours = [message for message in found if self._word in message["text"]]
                if len(ours) > 1:
                    raise _Failed(f"the customer wrote once, but {len(ours)} messages are kept")
                if ours:
                    return one["id"], ours[0]
        raise _Failed(f"the customer's message is not there after {self._patience:.0f} s")

    async def _goal(self) -> State:
        reports = (await self._ask("GET", f"/accounts/{self._player.account}/capabilities"))["reports"]
        return min(State[reports.upper()], State.DELIVERED)

    async def _carried(self, message: str, text: str, before: int, goal: State) -> tuple[str, list[str]]:
        """Wait until the provider's side shows the reply and the report has come back."""
        simulator, base_url = self._player.simulator, self._player.base_url
        state, texts, why = "", [], ""
        async for _ in self._looking():
            texts = (await simulator.received(base_url))[before:]
            found = await self._ask("GET", f"/messages/{message}")
            state, why = found["state"], _why(found)
            if len(texts) > 1:
                raise _Failed(f"one reply, but {len(texts)} texts reached the customer: {texts}")
            if state == "failed":
                break
            if texts and text not in texts[0]:
                raise _Failed(f"the customer got “{texts[0]}” instead of “{text}”")
            if texts and State[state.upper()] >= goal:
                return state, texts
        got = "the customer has it" if texts else "the simulator shows no reply at the customer's"
        account = await self._ask("GET", f"/accounts/{self._player.account}")
        ill = "" if account["state"] == "working" else f"; the account is {account['state']}: {account['reason']}"
        raise _Failed(f"{got}; the reply is {state}{why}, but should be {goal.word}{ill}")

    async def _looking(self) -> AsyncIterator[None]:
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            yield
            await asyncio.sleep(_LOOK_EVERY)

    async def _ask(self, method: str, path: str, **given: Any) -> Any:
        async with self._session.request(method, self._api + path, **given) as answer:
            said = await answer.json(content_type=None)
            if answer.status >= 400:
                raise _Failed(
                    f"{method} {path}: {answer.status} {said.get('code', '')} {said.get('detail', '')}".rstrip()
                )
            return said

    def _told(self, what: str, evidence: str) -> None:
        self._say(f"  {what:<20} {evidence}")


def _on_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EVIDENCE else line[:_EVIDENCE].rsplit(" ", 1)[0] + " …"


def _why(message: Mapping[str, Any]) -> str:
    problems = [part["problem"]["text"] or part["problem"]["code"] for part in message["deliveries"] if part["problem"]]
    reason = problems[0] if problems else message["reason"]
    return f" ({reason})" if reason else ""
