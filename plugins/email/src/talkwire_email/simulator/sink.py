"""A mail server that takes what is sent, for one who has its password, and lets it go wrong as it is told.

aiosmtpd speaks the protocol; it knows no DSN (RFC 3461), whose words are read here.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

HOST = "127.0.0.1"
NAME = "mail.shop.example"
LARGEST = 26 * 1024**2  # bytes of a mail
CONNECTIONS = 20
RECIPIENTS = 50  # of one mail
SLOW = 5.0  # seconds
STOP = 5.0  # seconds in which all who were hung up on must be gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A mail that the server took, for one recipient."""

    sender: str  # of the envelope; empty: none, bounces go nowhere
    recipient: str
    raw: bytes = field(repr=False)
    notify: frozenset[str] = frozenset()  # of its RCPT: SUCCESS, FAILURE, DELAY, NEVER
    envid: str = ""


class Sink:
    """The server; `take` is told each mail once for each recipient."""

    def __init__(
        self, take: Callable[[Arrived], None], *, user: str, password: str, faults: set[str], slow: float = SLOW
    ) -> None:
        self.take = take
        self.user = user
        self.password = password
        self.faults = faults
        self.slow = slow
        self.port = 0
        self.sessions = 0  # connections so far
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.BaseTransport] = set()
        self._nobody = asyncio.Event()  # is there
        self._nobody.set()
        logging.getLogger("mail.log").setLevel(logging.ERROR)  # it would name what is said, line by line

    async def start(self) -> None:
        """Listen on a free port of this machine."""
        loop = asyncio.get_running_loop()

        def talk() -> asyncio.BaseProtocol:
            return _Talk(self, loop) if len(self._open) < CONNECTIONS else _Full()

        self._server = await loop.create_server(talk, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up, and listen no more."""
        if self._server is not None:
            self._server.close()
        for one in list(self._open):
            one.abort()  # type: ignore[attr-defined]  # of sockets
        async with asyncio.timeout(STOP):
            await self._nobody.wait()

    def came(self, line: asyncio.BaseTransport) -> None:
        """Note a connection that is there."""
        self.sessions += 1
        self._open.add(line)
        self._nobody.clear()

    def went(self, line: asyncio.BaseTransport) -> None:
        """Note a connection that is gone."""
        self._open.discard(line)
        if not self._open:
            self._nobody.set()

    # --- what aiosmtpd asks --------------------------------------------------------------------------------

    def knows(self, server: SMTP, session: Any, envelope: Any, mechanism: str, given: Any) -> AuthResult:
        """Check a name and a password."""
        is_right = (
            isinstance(given, LoginPassword)
            and hmac.compare_digest(given.password, self.password.encode())
            and given.login == self.user.encode()
            and "auth" not in self.faults
        )
        return AuthResult(success=is_right, handled=False)

    async def handle_EHLO(self, server: SMTP, session: Any, envelope: Any, name: str, said: list[str]) -> list[str]:  # noqa: N802
        """Offer DSN."""
        session.host_name = name
        return [*said[:-1], *([] if "no_dsn" in self.faults else ["250-DSN"]), said[-1]]

    async def handle_MAIL(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        """Take whoever has signed in."""
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        """Take a recipient, or say why not."""
        if "refuse" in self.faults:
            return f"550 5.1.1 <{address}>: Recipient address rejected: user unknown"
        if "busy" in self.faults:
            return f"450 4.2.0 <{address}>: Recipient address rejected: greylisted"
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: _Talk, session: Any, envelope: Any) -> str:  # noqa: N802
        """Take the mail; the line may break instead of the answer."""
        if "slow" in self.faults:
            await asyncio.sleep(self.slow)
        for address in envelope.rcpt_tos:
            arrived = Arrived(
                sender=envelope.mail_from.strip("<>"),
                recipient=address,
                raw=bytes(envelope.content),
                notify=server.notify.get(address.lower(), frozenset()),
                envid=server.envid,
            )
            try:
                self.take(arrived)
            except OverflowError:
                return "452 4.3.1 Insufficient storage"
        if "cut" in self.faults:
            server.reset()
        return "250 2.0.0 Ok: queued"


class _Full(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"421 4.3.2 too many connections\r\n")
        transport.close()


class _Talk(SMTP):
    """One connection."""

    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self.sink = sink
        self.notify: dict[str, frozenset[str]] = {}
        self.envid = ""
        super().__init__(
            sink,
            hostname=NAME,
            ident="ESMTP simulated",
            loop=loop,
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=sink.knows,
            command_call_limit=2000,
        )
        self.command_size_limits.update({"MAIL": 2048, "RCPT": 2048, "AUTH": 12_288})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = transport
        self.sink.came(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.sink.went(self._line)
        super().connection_lost(error)

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        self.notify, self.envid = {}, ""
        rest, options = _without(arg, ("RET", "ENVID"))
        self.envid = options.get("ENVID", "")
        await super().smtp_MAIL(rest)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        rest, options = _without(arg, ("NOTIFY", "ORCPT"))
        address = re.search(r"<([^<>]*)>", rest or "")
        if address and "NOTIFY" in options:
            self.notify[address[1].lower()] = frozenset(options["NOTIFY"].upper().split(","))
        await super().smtp_RCPT(rest)

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        if "drop" in self.sink.faults:
            await self.push("354 go on")
            await self._reader.readline()
            self.reset()
            return
        await super().smtp_DATA(arg)

    def reset(self) -> None:
        """Break the line, so that the other side reads a reset."""
        line: Any = self._line
        line.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.abort()


def _without(arg: str | None, names: tuple[str, ...]) -> tuple[str | None, dict[str, str]]:
    """Take the words of DSN out of a command."""
    if arg is None:
        return None, {}
    found = dict(re.findall(rf"\s(?i:({'|'.join(names)}))=(\S+)", arg))
    rest = re.sub(rf"\s(?i:{'|'.join(names)})=\S+", "", arg)
    return rest, {name.upper(): value for name, value in found.items()}
