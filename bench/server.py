"""The servers that are measured, each a process of its own: `python -m bench.server NAME [URL]`.

It prints its port, and works until its input is closed. It runs on the first core, the loader on the second.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from aiohttp import web

from bench import cores, livechat, notify, payload, whatsapp


async def main(name: str, url: str) -> None:
    """Serve until the input is closed."""
    await SERVERS[name.removesuffix("-uvloop")](url)


async def _until_closed(port: int, key: str = "-") -> None:
    print(port, key, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _listen(app: web.Application) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, runner.addresses[0][1]


async def bare(_: str) -> None:
    """A handler that reads the body and answers 200."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application()
    app.router.add_post("/in/bench", handle)
    app.router.add_post("/send", handle)
    runner, port = await _listen(app)
    await _until_closed(port)
    await runner.cleanup()


async def echo(_: str) -> None:
    """A WebSocket handler that says what it hears."""

    async def handle(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        return ws

    app = web.Application()
    app.router.add_get(livechat.PATH, handle)
    runner, port = await _listen(app)
    await _until_closed(port)
    await runner.cleanup()


async def raw_insert(_: str) -> None:
    """One insert with group commit in a writer thread, and nothing else: what durability alone costs."""
    with tempfile.TemporaryDirectory() as folder:
        waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        change = threading.Condition()
        loop = asyncio.get_running_loop()

        def write() -> None:
            connection = sqlite3.connect(f"{folder}/raw.db", isolation_level=None)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE raw (id INTEGER PRIMARY KEY, body BLOB)")
            while True:
                with change:
                    while not waiting:
                        change.wait()
                    taken, waiting[:] = waiting[:], []
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO raw (body) VALUES (?)", [(body,) for body, _ in taken])
                connection.execute("COMMIT")
                loop.call_soon_threadsafe(lambda taken=taken: [future.set_result(None) for _, future in taken])

        threading.Thread(target=write, daemon=True).start()

        async def handle(request: web.Request) -> web.Response:
            future: asyncio.Future[None] = loop.create_future()
            body = await request.read()
            with change:
                waiting.append((body, future))
                change.notify()
            await future
            return web.Response()

        app = web.Application()
        app.router.add_post("/in/bench", handle)
        runner, port = await _listen(app)
        await _until_closed(port)
        await runner.cleanup()


async def ours(url: str) -> None:
    """The real daemon, served as `talkwire run` serves it."""
    await _daemon(url, {"bench": payload.BenchPlugin()})


async def ours_told(url: str) -> None:
    """The same with a `tx` hook that writes a row for each message."""
    from bench.hooks import Counting

    await _daemon(url, {"bench": payload.BenchPlugin(), "counting": Counting()})


async def ours_answers(url: str) -> None:
    """The same with a hook that answers each message; the stub's URL comes by the environment."""
    from bench.hooks import Answering

    await _daemon(url, {"bench": payload.BenchPlugin(), "answering": Answering()})


async def ours_livechat(url: str) -> None:
    """The same with a website's chat instead of the channel."""
    import talkwire_livechat

    await _daemon(url, {"livechat": talkwire_livechat}, livechat.ACCOUNT)


async def ours_whatsapp(url: str) -> None:
    """The same with a number on WhatsApp instead of the channel; `BENCH_SENT`: it has sent before."""
    import talkwire_whatsapp

    before = whatsapp.sent_before if os.environ.get("BENCH_SENT") else None
    await _daemon(url, {"whatsapp": talkwire_whatsapp}, whatsapp.ACCOUNT, before)


async def ours_email(url: str) -> None:
    """The same with a mailbox instead of the channel; the account comes by the environment."""
    import talkwire_email

    await _daemon(url, {"email": talkwire_email}, os.environ["BENCH_ACCOUNT"])


async def ours_notify(url: str) -> None:
    """The same with a recipient whose desktops are told of each message."""
    await _daemon(url, notify.plugins(), notify.settings(hangs=False))


async def ours_notify_hang(url: str) -> None:
    """The same with a second notifier, which hangs."""
    await _daemon(url, notify.plugins(), notify.settings(hangs=True))


async def _daemon(url: str, plugins: dict[str, Any], account: str = "", before: Any = None) -> None:
    import structlog

    from talkwire.api.principals import create_keys
    from talkwire.daemon import Daemon
    from talkwire.serving import Bound, serve
    from talkwire.settings import RawConfig, load_raw
    from talkwire.store.schema.upgrade import CORE, Chain, upgrade

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # our output is the port
    with tempfile.TemporaryDirectory() as folder:
        url = url or f"sqlite:///{folder}/talkwire.db"
        stub = os.environ.get("BENCH_STUB", "http://127.0.0.1:9")
        account = account or f'[accounts.bench]\nchannel = "bench"\nsecret = "{payload.SECRET}"\nurl = "{stub}"\n'
        servers = '[server]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n'
        text = f'{servers}[store]\nurl = "{url}"\n{account}'
        loaded = load_raw(RawConfig(text, Path(folder) / "talkwire.toml", {}), extra=plugins)
        upgrade(url, [CORE, *(Chain(*owned) for owned in loaded.plugins.register("register_schema"))])
        daemon = Daemon(loaded.config, loaded.plugins)
        bound: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            served = group.create_task(serve(daemon, started=bound.set_result))
            port = int((await bound).public.rpartition(":")[2])
            if before is not None:
                await before(daemon.store)
            await _until_closed(port, await daemon.store.write(create_keys, ("bench", "bot")))
            served.cancel()


SERVERS = {
    "bare": bare,
    "echo": echo,
    "raw_insert": raw_insert,
    "ours": ours,
    "ours_told": ours_told,
    "ours_answers": ours_answers,
    "ours_livechat": ours_livechat,
    "ours_email": ours_email,
    "ours_whatsapp": ours_whatsapp,
    "ours_notify": ours_notify,
    "ours_notify_hang": ours_notify_hang,
}


if __name__ == "__main__":
    cores.take_first()
    server, database = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    if server.endswith("-uvloop"):
        import uvloop

        uvloop.run(main(server, database))
    else:
        asyncio.run(main(server, database))
