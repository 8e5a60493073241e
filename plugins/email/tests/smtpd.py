"""A mail server that does what a test says: answers of its choice, or none, or a cut line, at any step."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

CUT = "cut"  # close the line instead of answering
SILENT = "silent"  # keep it, and say nothing


@dataclass
class Taken:
    """One mail as the server has it."""

    sender: str  # the whole MAIL command
    recipient: str  # the whole RCPT command
    content: bytes = field(repr=False)


class Server:
    """Takes every mail, unless told otherwise.

    `answers` says what is answered to a verb (EHLO, AUTH, MAIL, RCPT, DATA, `.`, RSET) or to CONNECT: a text, or a list of
    texts of which each is used once. `offers` are the lines of EHLO.
    """

    def __init__(self, *, offers=("PIPELINING", "SIZE 30000000", "8BITMIME", "ENHANCEDSTATUSCODES")):
        self.offers = list(offers)
        self.answers: dict[str, str | list[str]] = {}
        self.said: list[str] = []  # commands, in order
        self.taken: list[Taken] = []
        self.whole = 0  # mails that came to their end, whatever was answered
        self.lines = 0  # connections
        self._open: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def running(self, port=0) -> "AsyncIterator[Server]":
        self._silent = (
            asyncio.get_running_loop().create_future()
        )  # what is said after all, also before it is waited for
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=2**26)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await server.wait_closed()

    def hang_up(self, words: bytes = b"") -> None:
        """Close every line, as a server does with idle ones."""
        for writer in self._open:
            writer.write(words)
            writer.close()

    def go_on(self, words: str) -> None:
        """Say something after all, where nothing was said."""
        self._silent.set_result(words)

    async def _serve(self, reader, writer):
        self.lines += 1
        self._open.add(writer)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _talk(self, reader, writer):
        if not await self._answer(reader, writer, "CONNECT", "220 mx.example.test ESMTP"):
            return
        sender = recipient = ""
        while line := (await reader.readline()).decode("utf-8").rstrip("\r\n"):
            self.said.append(line)
            verb = line.split()[0].upper()
            match verb:
                case "EHLO":
                    plain = "".join(f"250-{offer}\r\n" for offer in self.offers)
                    go_on = await self._answer(reader, writer, verb, f"250-mx.example.test\r\n{plain}250 HELP")
                case "AUTH":
                    go_on = await self._answer(reader, writer, verb, "235 2.7.0 welcome")
                case "MAIL":
                    sender = line
                    go_on = await self._answer(reader, writer, verb, "250 2.1.0 Ok")
                case "RCPT":
                    recipient = line
                    go_on = await self._answer(reader, writer, verb, "250 2.1.5 Ok")
                case "DATA":
                    go_on = await self._answer(reader, writer, verb, "354 go ahead")
                    if go_on and self._last.startswith("354"):
                        content = await self._content(reader)
                        go_on = await self._answer(reader, writer, ".", "250 2.0.0 Ok: queued")
                        if go_on and self._last.startswith("250"):
                            self.taken.append(Taken(sender, recipient, content))
                case "QUIT":
                    await self._answer(reader, writer, verb, "221 2.0.0 Bye")
                    return
                case _:
                    go_on = await self._answer(reader, writer, verb, "250 2.0.0 Ok")
            if not go_on:
                return

    async def _answer(self, reader, writer, verb, usual):
        said = self.answers.get(verb, usual)
        if isinstance(said, list):
            said = said.pop(0) if said else usual
        self._last = said
        if said == CUT:
            return False
        if said == SILENT:
            gone = asyncio.ensure_future(reader.read())
            await asyncio.wait({self._silent, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if not self._silent.done():
                return False
            said = self._silent.result()
            self._silent = asyncio.get_running_loop().create_future()
        writer.write(said.encode() + b"\r\n")
        return True

    async def _content(self, reader):
        if self.answers.get(".") == CUT:
            await reader.readline()  # the line goes in the middle of the mail
            return b""
        content = b""
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise ConnectionError
            content += line.removeprefix(b".")
        self.whole += 1
        return content


def user_of(said: list[str]) -> tuple[str, str]:
    """Give the user and the password of an AUTH PLAIN."""
    encoded = next(line.split()[2] for line in said if line.startswith("AUTH PLAIN"))
    _, user, password = base64.b64decode(encoded).decode().split("\0")
    return user, password
