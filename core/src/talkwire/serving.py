"""The servers of a daemon: what the world reaches, what operators reach, the socket that commands ask."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import structlog
from aiohttp import web

from . import control, reloading
from .api import Front, make_admin, make_app
from .daemon import STUCK, Daemon
from .errors import Conflict, StoreDown, TalkwireError, trail_of
from .lifecycle import auditing
from .lifecycle.expiring import certificate_of
from .oversight import standstill
from .sections import Listen
from .systemd import Systemd

_log = structlog.get_logger("talkwire.serving")
_HEADERS_WITHIN = 10  # seconds from the connection to the end of the first headers
_IDLE = 75  # seconds that a connection may rest; also the limit of later headers on it
_FINISH_WITHIN = 5  # seconds that requests have after SIGTERM
_INSIST = 0.1  # seconds
_COLLECT_AFTER = 10_000  # objects that were made and not yet freed; 50 requests hold some thousand
_COMPLAIN_EVERY = 60  # seconds
_BACKLOG = 1024  # connections that wait to be taken
_SOCKET_PATH = 107  # bytes: sun_path of unix(7) without its final zero


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a daemon listens; with port 0 the settings do not know."""

    public: str  # http://host:port
    admin: str
    socket: Path


async def serve(daemon: Daemon, *, started: Callable[[Bound], None] = lambda _: None) -> None:
    """Run a daemon with its servers until SIGTERM or SIGINT; a second signal does not wait for anything.

    SIGHUP reads the settings again. `started` is called once all servers answer. Errors: `Conflict` where an address is
    taken; as `Daemon.running`.
    """
    stop, again = asyncio.Event(), asyncio.Event()
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    systemd, terminal = Systemd(), sys.stdin is not None and sys.stdin.isatty()

    def hung_up() -> None:
        if terminal and not sys.stdin.isatty():
            stop.set()  # it was closed, with us in front of it
        else:
            again.set()

    def stopping() -> None:
        if stop.is_set():
            hurry()
        stop.set()

    def hurry() -> None:
        assert me is not None  # a coroutine runs in a task
        me.cancel()
        loop.call_later(_INSIST, hurry)  # each step of the stop may wait anew

    handlers = {signal.SIGTERM: stopping, signal.SIGINT: stopping, signal.SIGHUP: hung_up}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    loop.set_exception_handler(_Complaints())
    try:
        async with serving(daemon) as bound, asyncio.TaskGroup() as beside:
            started(bound)
            systemd.ready(f"serves at {bound.public}")
            daemon.reloads.append(lambda begins: _reloads(systemd, daemon, bound, begins=begins))
            tasks = [
                beside.create_task(_read_again(daemon, again)),
                beside.create_task(systemd.watch(daemon.stuck)),
            ]
            with collecting_seldom(), standstill.watched(STUCK):
                await stop.wait()
            for task in tasks:
                task.cancel()
            _log.info("stopping")
            systemd.stopping()
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
        loop.set_exception_handler(None)


class _Complaints:
    """Says in one line a minute that there are no handles left.

    asyncio tells of a connection that cannot be taken as often as our backlog is long, with a traceback each time, once
    a second (CPython 3.11, `_accept_connection`): a log that fills the disk.
    """

    def __init__(self) -> None:
        self._told: float | None = None  # time.monotonic

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
            return
        if self._told is None or monotonic() - self._told > _COMPLAIN_EVERY:
            self._told = monotonic()
            _log.error("no handles left", what="nobody can connect; raise LimitNOFILE, or look for what leaks")


async def _read_again(daemon: Daemon, again: asyncio.Event) -> None:
    """Read the settings at each SIGHUP; what came while they were read is one more."""
    while True:
        await again.wait()
        again.clear()
        try:
            async with auditing.audited(daemon.store, "signal", "reload", {}):
                await reloading.reload(daemon)
        except StoreDown as error:
            _log.error("settings not read again", reason=str(error))
        except TalkwireError:
            pass  # the log and `talkwire status` say why
        except Exception as error:  # noqa: BLE001  a fault of ours in it must not end the daemon
            _log.error("reload failed", kind=type(error).__name__, trail=trail_of(error))


def _reloads(systemd: Systemd, daemon: Daemon, bound: Bound, *, begins: bool) -> None:
    if begins:
        systemd.reloading()
        return
    last = daemon.last_reload
    words = last.words if last is not None else ""
    systemd.ready("; ".join(filter(None, [f"serves at {bound.public}", words])))


@contextlib.contextmanager
def collecting_seldom() -> Iterator[None]:
    """Let the collector of cycles look at what is new, and at that seldom.

    It stopped everything for 70 ms when it looked through all that a daemon has made by its start. What requests hold
    is no garbage, and is freed without it.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextlib.asynccontextmanager
async def serving(daemon: Daemon) -> AsyncIterator[Bound]:
    """Run a daemon with its servers until the block ends.

    The addresses are taken before anything is opened. At the end they are given free first, so that nobody is told
    404 by a daemon that stops; then streams end, requests finish, sends finish.
    """
    server, admin = daemon.config.server, daemon.config.admin
    public_sockets = _bind(server.listen, "server.listen")
    with contextlib.ExitStack() as bound:
        _close_with(bound, public_sockets)
        admin_sockets = _close_with(bound, _bind(admin.listen, "admin.listen"))
        control_socket = _bind_unix(admin.socket)
        bound.callback(admin.socket.unlink, missing_ok=True)
        bound.callback(control_socket.close)
        public, private = _url(public_sockets[0]), _url(admin_sockets[0])
        daemon.expiries.certificate = certificate_of(server.public_url, daemon.clock.now())
        async with daemon.running():
            daemon_says = {"public": public, "admin": private}
            servers = [
                await _listen(make_app(daemon), public_sockets),
                await _listen(make_admin(daemon), admin_sockets),
                await _listen(control.make_app(daemon, daemon_says), [control_socket]),
            ]
            _log.info("listening", public=public, admin=private, socket=str(admin.socket))
            try:
                yield Bound(public, private, admin.socket)
            finally:
                daemon.stopping = True  # /readyz says so, for whoever still asks
                daemon.tail.close()
                await asyncio.gather(*(close() for close in servers))


async def _listen(
    app: web.Application, sockets: list[socket.socket], headers_within: float = _HEADERS_WITHIN
) -> Callable[[], Any]:
    """Serve an application on sockets; gives what ends that."""
    runner = Front(app, access_log=None, keepalive_timeout=_IDLE, shutdown_timeout=_FINISH_WITHIN, lingering_time=1)
    await runner.setup()
    loop = asyncio.get_running_loop()
    http = runner.server
    assert http is not None  # `setup` made it

    def connected() -> Any:
        handler = http()
        loop.call_later(headers_within, _give_up_on, handler)
        return handler

    made = [await loop.create_server(connected, sock=one, backlog=_BACKLOG) for one in sockets if one.family != _UNIX]
    made += [
        await loop.create_unix_server(connected, sock=one, backlog=_BACKLOG) for one in sockets if one.family == _UNIX
    ]

    async def close() -> None:
        for server in made:
            server.close()
        await runner.cleanup()

    return close


_UNIX = socket.AF_UNIX


def _give_up_on(handler: web.RequestHandler) -> None:
    # aiohttp 3.14 has no limit of its own for the time of headers; it holds at most 32 requests of a connection.
    if handler._request_count == 0:  # noqa: SLF001
        handler.force_close()


def _bind(listen: Listen, key: str) -> list[socket.socket]:
    """Take an address; a name with several addresses gives several sockets with the same port."""
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        port = listen.port
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port, *address[2:]))
            one.setblocking(False)
            port = one.getsockname()[1]
    except OSError as error:
        for one in made:
            one.close()
        why = (error.strerror or str(error)).lower()
        text = f"{key} {listen.host}:{listen.port}: {why}. Another program may use it: choose another port"
        raise Conflict(text, code="address_in_use") from error
    return made


def _bind_unix(path: Path) -> socket.socket:
    """Make the socket that commands ask, for our own user only."""
    if len(os.fsencode(path)) > _SOCKET_PATH:
        text = f"admin.socket {path}: longer than {_SOCKET_PATH} bytes, which no system takes; choose a shorter path"
        raise Conflict(text, code="address_in_use")
    made = socket.socket(_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(str(path)) == 0:
                    raise Conflict(f"admin.socket {path}: another daemon answers there", code="address_in_use")
            path.unlink()  # of a daemon that was killed
        before = os.umask(0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        made.setblocking(False)
    except OSError as error:
        made.close()
        why = (error.strerror or str(error)).lower()
        raise Conflict(f"admin.socket {path}: {why}", code="address_in_use") from error
    except Conflict:
        made.close()
        raise
    return made


def _close_with(stack: contextlib.ExitStack, sockets: list[socket.socket]) -> list[socket.socket]:
    for one in sockets:
        stack.callback(one.close)
    return sockets


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
