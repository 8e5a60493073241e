"""The servers of a daemon: where they listen, who may ask, what stops them."""

import asyncio
import contextlib
import gc
import io
import signal
import socket
import stat
import time

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretBytes

from talkwire import serving
from talkwire.cli import place
from talkwire.daemon import Daemon
from talkwire.errors import Conflict, SettingsError
from talkwire.lifecycle import auditing
from talkwire.sections import Listen
from talkwire.settings import RawConfig, load_raw
from talkwire.systemd import Systemd

SETTINGS = '[server]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n'


@pytest.fixture
def daemon_in(empty_database):
    def make(folder, settings=SETTINGS):
        folder.mkdir(exist_ok=True)
        if not (folder / "talkwire.db").exists():
            (folder / "talkwire.db").write_bytes(empty_database.read_bytes())
        config, plugins = load_raw(RawConfig(settings, folder / "talkwire.toml", {}))
        return Daemon(config, plugins, keys=[SecretBytes(b"k" * 32)])

    return make


async def test_ports_are_chosen_and_health_is_told(daemon_in, tmp_path):
    daemon = daemon_in(tmp_path)
    async with serving.serving(daemon) as bound, aiohttp.ClientSession() as web_:
        async with web_.get(f"{bound.public}/livez") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")
        async with web_.get(f"{bound.public}/readyz") as answer:
            assert answer.status == 404  # the world is told nothing more
        async with web_.get(f"{bound.admin}/readyz") as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True, "reasons": [], "media": {}})
        daemon.ready = False
        async with web_.get(f"{bound.admin}/readyz") as answer:
            assert (answer.status, (await answer.json())["reasons"]) == (503, ["starting"])


async def test_only_we_may_open_the_socket_and_it_goes_with_the_daemon(daemon_in, tmp_path):
    async with serving.serving(daemon_in(tmp_path)) as bound:
        mode = bound.socket.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        about = await asyncio.to_thread(place.running, bound.socket)
        assert about["public"] == bound.public
        assert about["stuck"] == about["not_ready"] == []
    assert not bound.socket.exists()
    with pytest.raises(place.NobodyThere):
        place.running(bound.socket)


async def test_an_address_that_is_taken_is_named_before_anything_is_opened(daemon_in, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = daemon_in(tmp_path, SETTINGS.replace(":0", f":{port}", 1))
        with pytest.raises(Conflict, match=rf"server.listen 127.0.0.1:{port}: address already in use"):
            async with serving.serving(daemon):
                pass
    assert not daemon.ready
    assert not (tmp_path / "talkwire.db.lock").exists()


async def test_a_socket_that_a_killed_daemon_left_is_taken_and_a_living_one_is_not(daemon_in, tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "talkwire.sock"))
    async with serving.serving(daemon_in(tmp_path)) as bound:
        assert await asyncio.to_thread(place.running, bound.socket)
        other = daemon_in(tmp_path / "other", SETTINGS + f'socket = "{bound.socket}"\n')
        with pytest.raises(Conflict, match="another daemon answers there"):
            async with serving.serving(other):
                pass
        assert await asyncio.to_thread(place.running, bound.socket)


async def test_a_socket_path_that_no_system_takes_is_named(daemon_in, tmp_path):
    daemon = daemon_in(tmp_path, SETTINGS + f'socket = "{"x" * 120}"\n')
    with pytest.raises(Conflict, match="choose a shorter path"):
        async with serving.serving(daemon):
            pass


async def test_who_sends_no_headers_in_time_is_shown_out_and_others_stay():
    async def hello(_):
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    (bound,) = serving._bind(Listen("127.0.0.1", 0), "server.listen")
    close = await serving._listen(app, [bound], headers_within=1)
    try:
        good = await asyncio.open_connection(*bound.getsockname())
        good[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await good[0].readuntil(b"hello")
        slow = await asyncio.open_connection(*bound.getsockname())
        slow[1].write(b"GET / HTTP/1.1\r\nHost: ")
        assert await slow[0].read() == b""  # closed, without a word
        good[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await good[0].readuntil(b"hello")
    finally:
        await close()
        for _, writer in (good, slow):
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_name_with_two_addresses_has_one_port():
    sockets = serving._bind(Listen("localhost", 0), "server.listen")
    try:
        assert len({one.getsockname()[1] for one in sockets}) == 1
    finally:
        for one in sockets:
            one.close()


async def test_the_collector_looks_at_nothing_that_a_daemon_made_by_its_start(daemon_in, tmp_path):
    others = gc.get_threshold()  # a type checker in this process leaves its own
    gc.set_threshold(700, 10, 10)
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    bound: asyncio.Future[serving.Bound] = asyncio.get_running_loop().create_future()
    served = asyncio.create_task(serving.serve(daemon_in(tmp_path), started=bound.set_result))
    async with asyncio.timeout(30):
        await bound
        assert gc.get_freeze_count() > frozen + 10_000
        assert gc.get_threshold() > before
        signal.raise_signal(signal.SIGTERM)
        await served
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == frozen
    gc.set_threshold(*others)


async def test_who_asked_over_the_socket_is_what_the_kernel_says_not_what_the_client_says(daemon_in, tmp_path):
    daemon = daemon_in(tmp_path)
    async with serving.serving(daemon) as bound:
        said = {"name": "crm", "scope": "read", "by": "cli:somebody", "who": "cli:somebody"}
        await asyncio.to_thread(place._asked, bound.socket, "POST", "/new-key", said)
        [act] = await daemon.store.read(auditing.acts)
    assert (act.who, act.what, act.outcome) == (auditing.this_user(), "new-key", "done")


def test_under_uvloop_the_socket_says_who_asks_as_well(tmp_path):
    uvloop = pytest.importorskip("uvloop")
    path = tmp_path / "socket"

    async def asked():
        heard = asyncio.get_running_loop().create_future()
        server = await asyncio.start_unix_server(
            lambda _, writer: (heard.set_result(auditing.peer_of(writer.get_extra_info("socket"))), writer.close()),
            path,
        )
        _, writer = await asyncio.open_unix_connection(path)
        async with asyncio.timeout(20):
            found = await heard
        writer.close()
        server.close()
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(asked()) == auditing.this_user()


# --- SIGHUP, and systemd ------------------------------------------------------------------------------------


class Manager:
    """The end of systemd that listens, on a socket of the test."""

    def __init__(self, folder):
        self.place = str(folder / "n")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.place)
        self._socket.setblocking(False)

    async def said(self):
        """Wait for one message, as a mapping."""
        async with asyncio.timeout(20):
            text = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return dict(line.split("=", 1) for line in text.decode().splitlines())

    async def until(self, key):
        """Give the next message with a key; that we live may be said at any time."""
        while key not in (said := await self.said()):
            assert said == {"WATCHDOG": "1"}
        return said

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(tmp_path, monkeypatch):
    made = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", made.place)
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    yield made
    made.close()


async def test_systemd_is_told_when_we_serve_read_again_and_stop(daemon_in, tmp_path, manager):
    daemon = daemon_in(tmp_path)
    served = asyncio.create_task(serving.serve(daemon))
    ready = await manager.until("READY")
    assert ready["STATUS"].startswith("serves at http://127.0.0.1:")
    assert await manager.until("WATCHDOG")

    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (tmp_path / "talkwire.toml").write_text(SETTINGS + '[general]\nlanguage = "id"\n')
    signal.raise_signal(signal.SIGHUP)
    again = await manager.until("RELOADING")
    assert before <= int(again["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert (await manager.until("READY"))["STATUS"] == ready["STATUS"]
    assert daemon.config.general.language == "id"

    (tmp_path / "talkwire.toml").write_text(SETTINGS + "[generl]\n")
    signal.raise_signal(signal.SIGHUP)
    await manager.until("RELOADING")
    assert "generl unknown key" in (await manager.until("READY"))["STATUS"]
    assert daemon.config.general.language == "id"
    async with asyncio.timeout(20):
        while len(acts := await daemon.store.read(auditing.acts)) < 2 or acts[0].outcome == "begun":
            await asyncio.sleep(0.01)  # it is written down after it was told
    said = [(act.who, act.what, act.outcome) for act in acts]
    assert said == [("signal", "reload", "failed: SettingsError"), ("signal", "reload", "done")]

    signal.raise_signal(signal.SIGTERM)
    assert (await manager.until("STOPPING"))["STATUS"] == "finishing what is under way"
    async with asyncio.timeout(20):
        await served


class Terminal(io.StringIO):
    """Where somebody sits, until they close it."""

    open = True

    def isatty(self):
        return self.open


async def test_a_terminal_that_is_closed_stops_the_daemon_in_front_of_it(daemon_in, tmp_path, manager, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stdin", terminal)
    (tmp_path / "talkwire.toml").write_text(SETTINGS)
    served = asyncio.create_task(serving.serve(daemon_in(tmp_path)))
    await manager.until("READY")
    signal.raise_signal(signal.SIGHUP)  # somebody typed kill -HUP
    await manager.until("RELOADING")
    await manager.until("READY")
    terminal.open = False
    signal.raise_signal(signal.SIGHUP)
    async with asyncio.timeout(20):
        await served


async def test_the_watchdog_is_told_nothing_while_we_are_stuck(manager):
    says = Systemd(env={"NOTIFY_SOCKET": manager.place, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": "7"}, pid=7)
    assert says.every == 0.01  # twice in the time that systemd waits
    stuck = ["a writer thread has ended"]
    watching = asyncio.create_task(says.watch(lambda: stuck))
    assert await manager.said() == {"STATUS": "a writer thread has ended"}
    stuck.clear()
    assert await manager.said() == {"WATCHDOG": "1"}
    watching.cancel()


async def test_a_watchdog_of_another_process_is_not_ours():
    for env in ({}, {"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "8"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}):
        assert Systemd(env=env, pid=7).every is None
    async with asyncio.timeout(20):
        await Systemd(env={}).watch(list)
    Systemd(env={"NOTIFY_SOCKET": "/nowhere/at/all"}).ready("nobody listens")


async def test_a_command_lets_the_daemon_read_its_settings_again(daemon_in, tmp_path):
    daemon = daemon_in(tmp_path)
    file = tmp_path / "talkwire.toml"
    async with serving.serving(daemon):
        file.write_text(SETTINGS.replace(":0", ":1", 1) + '[general]\nlanguage = "id"\n')
        said = await asyncio.to_thread(place.reload, file)
        assert said["faults"] == ""
        assert said["lines"] == ["general.language: in force", "server.listen: holds from the next start"]
        file.write_text(SETTINGS + "[generl]\n")  # the socket can be read from it all the same
        said = await asyncio.to_thread(place.reload, file)
        assert "did you mean general?" in said["faults"]
        about = await asyncio.to_thread(place.running, tmp_path / "talkwire.sock")
        assert "did you mean general?" in about["settings"]["fault"]
        file.write_text("[general")
        with pytest.raises(SettingsError):
            await asyncio.to_thread(place.reload, file)
    file.write_text(SETTINGS)
    with pytest.raises(place.NobodyThere):
        place.reload(file)
