"""Replies out over HTTP: a whole daemon, stored before they are sent and after they were taken, beside aiohttp's client alone.

`python -m bench.sending ours|ours-uvloop|bare|bare-uvloop telegram|whatsapp PORT COUNT` sends that many messages to a stub
on this machine and prints how many a second; the stub is in the process that measures, on another core. Both have as many
under way at once, each in a conversation of its own. The providers' rates are off: they are what is never exceeded.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any

from . import alone

_ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 50
FIRST = 20  # that are not measured
TEXT = "Your parcel left our house this morning and arrives on **Friday**; the number is 8841-2207."
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Stub(asyncio.Protocol):
    """The cheapest provider: it says yes, and looks at nothing but where a request ends."""

    def __init__(self, stub: Stub) -> None:
        self._stub = stub
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            line, self._buffer = self._buffer[: self._buffer.find(b"\r\n")], self._buffer[whole:]
            self._transport.write(self._stub.answer(line))


class Stub:
    """Counts what it took."""

    def __init__(self) -> None:
        self.taken = 0
        self.port = 0

    def answer(self, line: bytes) -> bytes:
        """Say yes to a request, by its first line."""
        if b"/sendMessage " in line:
            self.taken += 1
            body = (
                b'{"ok":true,"result":{"message_id":%d,"date":1795435200,"from":{"id":8000000001,"is_bot":true,'
                b'"first_name":"Kopi Kita"},"chat":{"id":4711,"first_name":"Ann","type":"private"},'
                b'"text":"Your parcel left our house"}}' % self.taken
            )
        elif b"/messages " in line:
            self.taken += 1
            body = (
                b'{"messaging_product":"whatsapp","contacts":[{"input":"4711","wa_id":"4711"}],'
                b'"messages":[{"id":"wamid.%d"}]}' % self.taken
            )
        else:  # what an account asks as it begins
            body = b'{"ok":true,"data":[],"result":%s}' % (b"[]" if b"/getUpdates " in line else b'{"url":""}')
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return head % len(body) + body


@asynccontextmanager
async def stub() -> AsyncIterator[Stub]:
    """Run a stub in this process."""
    made = Stub()
    server = await asyncio.get_running_loop().create_server(lambda: _Stub(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


async def rate(mode: str, channel: str, to: Stub, count: int) -> float:
    """Let a process send messages to the stub; give how many a second."""
    before = to.taken
    words = [sys.executable, "-m", "bench.sending", mode, channel, str(to.port), str(count)]
    process = await asyncio.create_subprocess_exec(*words, cwd=_ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    if process.returncode or to.taken - before != count:
        raise RuntimeError(f"{mode} {channel}: {to.taken - before} of {count} messages came")
    return float(said)


# --- the processes -------------------------------------------------------------------------------------

_TOKEN = "8000000001:not-a-secret-of-anybody"
_ACCOUNTS = {
    "telegram": 'token = "{token}"\nupdates = "poll"\napi_url = "http://127.0.0.1:{port}"',
    "whatsapp": (
        'phone_number_id = "1065550100"\ntoken = "not-a-secret-1"\napp_secret = "not-a-secret-2"\n'
        'verify_token = "not-a-secret-3"\napi_url = "http://127.0.0.1:{port}/v23.0"'
    ),
}
_MESSAGES: dict[str, tuple[str, dict[str, Any]]] = {  # where the bare client sends, and what
    "telegram": (f"/bot{_TOKEN}/sendMessage", {"chat_id": 4711, "text": TEXT}),
    "whatsapp": (
        "/v23.0/1065550100/messages",
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "4711",
            "type": "text",
            "text": {"body": TEXT},
        },
    ),
}


async def bare(channel: str, port: int, count: int) -> float:
    """Post with aiohttp's client as it comes."""
    import aiohttp

    path, message = _MESSAGES[channel]
    url, left = f"http://127.0.0.1:{port}{path}", iter(range(count))
    async with aiohttp.ClientSession() as session:

        async def post(most: int) -> None:
            for _ in itertools.islice(left, most):
                async with session.post(url, json=message) as answer:
                    await answer.json()

        await post(FIRST)
        began = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(post(count))
        return (count - FIRST) / (perf_counter() - began)


def _without_rates(module: Any) -> Any:
    """Give a plugin whose channel may send as often as it likes, as many at once as the bare client."""
    from talkwire import Channel, hookimpl

    (kind,) = module.register_channels()
    features = replace(kind.features, at_once=AT_ONCE)
    free: type[Channel] = type(kind.__name__, (kind,), {"rates": (), "features": features})

    @hookimpl
    def register_channels() -> list[type[Channel]]:
        return [free]

    plugin = ModuleType(f"free_{kind.type}")
    plugin.register_channels = register_channels  # type: ignore[attr-defined]
    return plugin


async def ours(channel: str, port: int, count: int) -> float:
    """Reply in as many conversations; the last one is sent when its outcome is stored."""
    import structlog

    from talkwire import Address, Inbound, draft
    from talkwire.daemon import Daemon
    from talkwire.serving import collecting_seldom
    from talkwire.settings import RawConfig, load_raw
    from talkwire.store.schema.upgrade import CORE, upgrade

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # our output is the rate
    plugin = _without_rates(importlib.import_module(f"talkwire_{channel}"))
    kind = "phone" if channel == "whatsapp" else channel
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/talkwire.db"
        account = _ACCOUNTS[channel].format(token=_TOKEN, port=port)
        text = f'[store]\nurl = "{url}"\n[accounts.shop]\nchannel = "{channel}"\n{account}\n'
        loaded = load_raw(RawConfig(text, Path(folder) / "talkwire.toml", {}), extra={channel: plugin})
        upgrade(url, [CORE])
        daemon = Daemon(loaded.config, loaded.plugins)
        async with daemon.running(), contextlib.AsyncExitStack() as stack:
            stack.enter_context(collecting_seldom())  # as `talkwire run` does it
            at = datetime.now(UTC)
            items = [
                Inbound(
                    external_id=f"{62000000 + number}:{number}",
                    address=Address(kind=kind, value=f"{'+' * (kind == 'phone')}{62000000 + number}", name="Ann"),
                    at=at,
                    text="Where is my parcel?",
                )
                for number in range(count)
            ]
            shop = daemon.account("shop")
            if shop is None or shop.channel is None:
                raise RuntimeError(f"the account has no channel: {shop and shop.standing}")
            await shop.channel.admit(items)
            ids = [
                row[0] for row in await daemon.store.read(lambda query: query.execute("SELECT id FROM conversation"))
            ]
            left = iter(ids)

            async def answer(most: int) -> None:
                for conversation in itertools.islice(left, most):
                    await daemon.replies.reply(conversation, draft(TEXT), author="agent:bench")

            await answer(FIRST)  # connections stand, modules are imported
            await alone.sent(daemon, "shop", FIRST)
            began = perf_counter()
            async with asyncio.timeout(100), asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(answer(count))
            await alone.sent(daemon, "shop", count)
            return (count - FIRST) / (perf_counter() - began)


def _main() -> None:
    mode, channel, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    alone.run((bare if mode.startswith("bare") else ours)(channel, port, count), mode)


if __name__ == "__main__":
    _main()
