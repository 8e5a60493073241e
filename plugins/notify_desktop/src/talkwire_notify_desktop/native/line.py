"""The socket to the server, held for as long as the client runs (PROTOCOL.md).

reach ──▶ hello ──▶ ready ──▶ frames both ways ──▶ lost ──▶ wait ──▶ reach …
                └─▶ bye: who must type something is told
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from .cards import Times
from .places import SignIn, SignInError

PROTOCOL = 1
SHOWING_LIMIT = 500  # ids in a hello that the server takes
FRAME_LIMIT = 64 * 1024  # bytes (PROTOCOL.md)
HEARTBEAT = 20.0  # seconds; a line that is cut without a word is noticed after this and a half
_PATH = "/p/notify_desktop/socket"
_REPLACED = 4001  # the close code where the same surface came on a second socket (PROTOCOL.md)
_ELSEWHERE = (
    "another client has the same sign-in, a copy of this user's files perhaps: sign in anew on one of the two machines,"
    " talkwire desktop logout, then talkwire desktop login URL"
)


class Bye(SignInError):
    """The server does not want this client, and said why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code  # PROTOCOL.md


class Ends(Protocol):
    """Who speaks over the line."""

    def hello(self) -> dict[str, Any]: ...  # the first frame
    def connected(self, ready: Mapping[str, Any]) -> None: ...
    async def told(self, frame: Mapping[str, Any]) -> None: ...  # one after the other
    def lost(self, why: str) -> None: ...


class Line:
    """Reaches the server, again and again."""

    def __init__(self, signed: SignIn, ends: Ends, times: Times) -> None:
        self._signed = signed
        self._ends = ends
        self._times = times
        self._out: asyncio.Queue[dict[str, Any]] | None = None  # while connected

    @property
    def is_connected(self) -> bool:
        return self._out is not None

    def send(self, frame: dict[str, Any]) -> bool:
        """Put a frame on the line; False: there is none now."""
        if self._out is None:
            return False
        self._out.put_nowait(frame)
        return True

    async def hold(self) -> None:
        """Hold the line until cancelled. Errors: `Bye`, where trying again would change nothing."""
        fails = 0
        async with aiohttp.ClientSession() as http:
            while True:
                was_ready = False
                try:
                    async with _reach(http, self._signed, self._ends.hello(), self._times) as (socket, ready):
                        was_ready = True
                        await self._talk(socket, ready)
                    why = "the server closed the line"
                except Bye as bye:
                    # A recipient that is not yet in the settings may be tomorrow; a device that was let in and then
                    # sent away was removed by its owner.
                    if bye.code in {"unauthenticated", "protocol", "replaced"} or (
                        bye.code == "forbidden" and was_ready
                    ):
                        raise
                    why = str(bye)
                    fails = max(fails, 5)  # somebody must change something at the server: no hurry
                except (aiohttp.ClientError, OSError, ValueError) as error:
                    why = _why(error, self._signed.url)
                finally:
                    self._out = None
                fails = 0 if was_ready else fails + 1
                self._ends.lost(why)
                longest = min(self._times.longest, self._times.first * 2 ** min(fails, 16))
                # Half of it by chance: a server that comes back is not met by all of its surfaces at once.
                await asyncio.sleep(longest.total_seconds() * random.uniform(0.5, 1))

    async def _talk(self, socket: aiohttp.ClientWebSocketResponse, ready: Mapping[str, Any]) -> None:
        self._out = asyncio.Queue()
        self._ends.connected(ready)
        writing = asyncio.ensure_future(self._write(socket, self._out))
        try:
            async for frame in _frames(socket):
                if frame.get("type") == "bye":
                    raise Bye(str(frame.get("code", "")), _said(frame))
                await self._ends.told(frame)
            if socket.close_code == _REPLACED:
                raise Bye("replaced", _ELSEWHERE)
        finally:
            self._out = None
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, socket: aiohttp.ClientWebSocketResponse, out: asyncio.Queue[dict[str, Any]]) -> None:
        while True:
            frame = await out.get()
            try:
                await socket.send_json(frame)
            except (aiohttp.ClientError, OSError):
                await socket.close()  # the reader ends, and with it this line
                return


async def greet(signed: SignIn, hello: dict[str, Any], times: Times) -> Mapping[str, Any]:
    """Say hello once, and give the server's `ready`. Errors: `Bye`; `SignInError` where it cannot be reached."""
    async with aiohttp.ClientSession() as http:
        try:
            async with _reach(http, signed, hello, times) as (_, ready):
                return ready
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SignInError(_why(error, signed.url)) from error


async def has_page(url: str, times: Times) -> bool:
    """Say whether there is a page at the root of the server."""
    async with aiohttp.ClientSession() as http:
        try:
            async with (
                asyncio.timeout(times.answer.total_seconds()),
                http.get(f"{url}/", allow_redirects=False) as answer,
            ):
                return answer.status == 200 and answer.content_type == "text/html"
        except (aiohttp.ClientError, OSError):
            return False


@contextlib.asynccontextmanager
async def _reach(
    http: aiohttp.ClientSession, signed: SignIn, hello: dict[str, Any], times: Times
) -> AsyncIterator[tuple[aiohttp.ClientWebSocketResponse, Mapping[str, Any]]]:
    """Open the socket and say hello; the key goes in this frame and nowhere else."""
    async with contextlib.AsyncExitStack() as opened:
        async with asyncio.timeout(times.answer.total_seconds()):
            socket = await opened.enter_async_context(
                http.ws_connect(signed.url + _PATH, heartbeat=HEARTBEAT, max_msg_size=FRAME_LIMIT)
            )
            await socket.send_json(hello)
            async for frame in _frames(socket):
                if frame.get("type") == "bye":
                    raise Bye(str(frame.get("code", "")), _said(frame))
                if frame.get("type") == "ready":
                    break
            else:
                raise ValueError("the server closed the line before it said who we are")
        yield socket, frame


async def _frames(socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Mapping[str, Any]]:
    """Give what is told, until the line ends; what is no frame is passed over."""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        try:
            frame = json.loads(message.data)
        except ValueError:
            continue
        if isinstance(frame, Mapping):
            yield frame


def _said(frame: Mapping[str, Any]) -> str:
    """Say to a person what a `bye` means."""
    text = str(frame.get("text") or "the server gave no reason")
    if frame.get("code") == "unauthenticated":
        return f"the server does not know this key: {text}. Sign in with a new one: talkwire desktop login URL"
    if frame.get("code") == "protocol":
        return f"the server speaks another version: {text}. Install the same version of Talkwire here"
    return text


def _why(error: Exception, url: str) -> str:
    """Say to a person why the server was not reached."""
    host = urlsplit(url).netloc
    if isinstance(error, aiohttp.WSServerHandshakeError):
        if error.status == 404:
            return f"{host} has no desktop notifications: is the plugin notify_desktop on there?"
        return f"{host} refused the socket with HTTP {error.status}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {host} is not trusted here"
    if isinstance(error, TimeoutError):
        return f"{host} did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{host} cannot be reached: {error.os_error.strerror or type(error.os_error).__name__}"
    if isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError):
        return f"{host}: {error}"
    return f"the line to {host} broke: {type(error).__name__}"
