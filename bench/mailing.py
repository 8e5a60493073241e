"""Mails out: replies of a whole daemon, stored before they are taken and after they were sent, beside aiosmtplib alone.

`python -m bench.mailing ours|ours-uvloop|peer PORT COUNT` sends that many mails to a sink on this machine and prints how
many a second; the sink is in the process that measures, on another core.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from time import perf_counter

from . import alone

TEXT = (
    "Dear customer,\n\nthank you for your message. Your parcel left our house this morning and arrives on Friday;\n"
    "the number is 8841-2207. Should it not be there by Saturday, write to us again, and we send another.\n\n"
    "The cups are wrapped twice, and the plate lies between them. Please keep the box until you have looked.\n\n"
    "With kind regards\nKopi Kita"
)  # about 350 bytes, as in the table of peers
_ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = 50  # replies that are on their way into the store
FIRST = 20  # mails that are not measured


class _Sink(asyncio.Protocol):
    """The cheapest server that takes mail: it counts, and looks at nothing."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""
        self._in_mail = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_mail else b"\r\n"
            at = self._buffer.find(end)
            if at < 0:
                return
            line, self._buffer = self._buffer[:at], self._buffer[at + len(end) :]
            if self._in_mail:
                self._in_mail = False
                self._sink.taken += 1
                self._transport.write(b"250 2.0.0 Ok\r\n")
            elif line.startswith(b"DATA"):
                self._in_mail = True
                self._transport.write(b"354 go\r\n")
            elif line.startswith(b"EHLO"):
                self._transport.write(b"250-sink\r\n250-SIZE 30000000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
            else:
                self._transport.write(b"250 2.0.0 Ok\r\n")


class Sink:
    """Counts what it took."""

    def __init__(self) -> None:
        self.taken = 0
        self.port = 0


@asynccontextmanager
async def sink() -> AsyncIterator[Sink]:
    """Run a sink in this process."""
    made = Sink()
    server = await asyncio.get_running_loop().create_server(lambda: _Sink(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


async def rate(mode: str, to: Sink, count: int) -> float:
    """Let a process send mails to the sink; give how many a second."""
    before = to.taken
    words = [sys.executable, "-m", "bench.mailing", mode, str(to.port), str(count)]
    process = await asyncio.create_subprocess_exec(*words, cwd=_ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    if process.returncode or to.taken - before != count:
        raise RuntimeError(f"{mode}: {to.taken - before} of {count} mails came")
    return float(said)


# --- the processes -------------------------------------------------------------------------------------


async def peer(port: int, count: int) -> float:
    """Build each mail with the standard library, and send it with aiosmtplib over one kept connection."""
    import aiosmtplib

    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
        began = perf_counter()
        for number in range(count):
            if number == FIRST:
                began = perf_counter()
            mail = EmailMessage()
            mail["From"] = "Kopi Kita <support@example.test>"
            mail["To"] = f"Customer {number} <customer{number}@example.org>"
            mail["Subject"] = "Re: My parcel"
            mail["Message-ID"] = f"<{number}.{began}@example.test>"
            mail["In-Reply-To"] = mail["References"] = f"<q{number}@example.org>"
            mail.set_content(TEXT)
            await client.send_message(mail)
        return (count - FIRST) / (perf_counter() - began)


async def ours(port: int, count: int) -> float:
    """Reply in as many conversations; the last one is sent when its outcome is stored."""
    import structlog

    import talkwire_email
    from talkwire import Address, Inbound, draft
    from talkwire.daemon import Daemon
    from talkwire.serving import collecting_seldom
    from talkwire.settings import RawConfig, load_raw
    from talkwire.store.schema.upgrade import CORE, upgrade

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # our output is the rate
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/talkwire.db"
        text = f"""
[store]
url = "{url}"
[accounts.mail]
channel = "email"
address = "support@example.test"
name = "Kopi Kita"
imap = {{ host = "127.0.0.1", port = 9, tls = "none", password = "not-a-secret" }}
smtp = {{ host = "127.0.0.1", port = {port}, tls = "none", connections = 8 }}
"""
        loaded = load_raw(RawConfig(text, Path(folder) / "talkwire.toml", {}), extra={"email": talkwire_email})
        upgrade(url, [CORE])
        daemon = Daemon(loaded.config, loaded.plugins)
        async with daemon.running(), contextlib.AsyncExitStack() as stack:
            stack.enter_context(collecting_seldom())  # as `talkwire run` does it
            at = datetime.now(UTC)
            items = [
                Inbound(
                    external_id=f"<q{number}@example.org>#0",
                    known_as=f"<q{number}@example.org>",
                    thread=f"<q{number}@example.org>",
                    address=Address(kind="email", value=f"customer{number}@example.org", name=f"Customer {number}"),
                    at=at,
                    text="Where is my parcel?",
                    subject="My parcel",
                )
                for number in range(count)
            ]
            account = daemon.account("mail")
            assert account is not None and account.channel is not None  # noqa: PT018  the settings name it
            await account.channel.admit(items)
            ids = [
                row[0] for row in await daemon.store.read(lambda query: query.execute("SELECT id FROM conversation"))
            ]
            left = iter(ids)

            async def answer(most: int) -> None:
                for conversation in itertools.islice(left, most):
                    await daemon.replies.reply(conversation, draft(TEXT), author="agent:bench")

            await answer(FIRST)  # connections stand, modules are imported; so it is with the peer
            await alone.sent(daemon, "mail", FIRST)
            began = perf_counter()
            async with asyncio.timeout(100), asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(answer(count))
            await alone.sent(daemon, "mail", count)
            return (count - FIRST) / (perf_counter() - began)


def _main() -> None:
    mode, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    alone.run((peer if mode.startswith("peer") else ours)(port, count), mode)


if __name__ == "__main__":
    _main()
