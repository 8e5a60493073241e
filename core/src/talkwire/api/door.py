"""The door of a web server: a request that came whole may be taken in without a task of its own.

For each request aiohttp makes a task, a request, a writer and an answer: half of what a webhook costs. So whoever takes
whole requests is asked first; all that is not as usual goes aiohttp's way, as if nobody had been asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import StreamReader, hdrs, web
from aiohttp.http import HttpRequestParser, HttpVersion11, RawRequestMessage
from aiohttp.web_protocol import RequestHandler

# Called on the loop, once, with a whole answer; one that says close ends the connection.
Answer = Callable[[bytes], None]
# Given head, body and peer; False: it did nothing, and will not.
Taker = Callable[[RawRequestMessage, bytes, str, Answer], bool]

# What a door needs of aiohttp that is nobody's promise (3.14.5: `web_protocol.RequestHandler` with
# `base_protocol.BaseProtocol`, `http_parser.HttpRequestParser`, an instance of `web_server.Server`).
_NEEDED = [
    "_close",
    "_force_close",
    "_handler_waiter",
    "_keepalive_timeout",
    "_loop",
    "_next_keepalive_close_time",
    "_parser",
    "_pause_reading_for_buffer",
    "_paused",
    "_request_count",
    "_request_in_progress",
    "_resume_reading_for_buffer",
]
_OF_PARSER = ("feed_data", "message_consumed")
_OF_SERVER = ("_kwargs", "_loop")
_REST = b"\r\nConnection: close\r\n"


def fits(server: web.Server) -> bool:
    """Say whether aiohttp is as a door needs it; else its own handler does everything."""
    needed = ((RequestHandler, _NEEDED), (HttpRequestParser, _OF_PARSER), (server, _OF_SERVER))
    return all(hasattr(of, name) for of, names in needed for name in names)


class Doors(web.Server):
    """A server like another, each connection of which is a door."""

    def __init__(self, server: web.Server, take: Taker) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,  # noqa: SLF001  what it hands to each connection; `fits` has looked for both
            **server._kwargs,  # noqa: SLF001  as above
        )
        self._take = take

    def __call__(self) -> RequestHandler:
        """Make what serves one connection."""
        return Door(self, self._take, loop=self._loop, **self._kwargs)


class Door(RequestHandler):
    """One connection."""

    __slots__ = ("_answering", "_by_aiohttp", "_late", "_peer", "_take")

    def __init__(self, server: web.Server, take: Taker, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._take = take
        self._peer = ""
        self._by_aiohttp = 0  # requests that it has, and has not answered
        self._answering = False  # a request that was taken here
        self._late = b""  # what came before it was answered
        self._parser: Any = _Sieve(self._parser, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember who is there."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) else ""

    def data_received(self, data: bytes) -> None:
        """Look at what came; answers go out in the order of their requests."""
        if not self._answering and not self._late:
            super().data_received(data)
            return
        if not self._late:
            self._pause_reading_for_buffer()
        self._late += data

    def takes(self, message: RawRequestMessage, payload: StreamReader) -> StreamReader | None:
        """Take a request in; else give its body back, for aiohttp."""
        if (
            self._by_aiohttp
            or self._close
            or self._force_close
            or self._paused  # it reads no answers
            or message.method != hdrs.METH_POST
            or message.version != HttpVersion11
            or message.should_close
            or not payload.is_eof()
            or hdrs.EXPECT in message.headers
        ):
            return payload
        body = payload.read_nowait()
        self._answering = True  # it may be answered at once
        try:
            taken = self._take(message, body, self._peer, self._answer)
        except Exception:  # noqa: BLE001  it meets it again on aiohttp's way, and there it is answered and logged
            taken = False
        if not taken:
            self._answering = False
            return self._again(body)
        self._parser.message_consumed()
        self._request_count += 1
        self._request_in_progress = self._answering  # who stops waits for it
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        return None

    def passes_on(self, requests: int) -> None:
        """Let aiohttp have requests; until it has answered them it has all that come."""
        self._by_aiohttp += requests

    def _again(self, body: bytes) -> StreamReader:
        payload = StreamReader(self, len(body) + 1, loop=self._loop)
        payload.feed_data(body)
        payload.feed_eof()
        return payload

    def _answer(self, answer: bytes) -> None:
        self._answering = self._request_in_progress = False
        if self.transport is not None:
            self.transport.write(answer)
            if _REST in answer:
                self.transport.close()
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        if self._late:
            self._loop.call_soon(self._catch_up)  # whoever answers has others to answer

    def _catch_up(self) -> None:
        late, self._late = self._late, b""
        self._resume_reading_for_buffer()
        self.data_received(late)

    async def finish_response(self, *args: Any) -> Any:
        """Answer a request that aiohttp has."""
        try:
            return await super().finish_response(*args)
        finally:
            self._by_aiohttp -= 1


class _Sieve:
    """aiohttp's parser, which gives it only what was not taken."""

    __slots__ = ("_door", "_parser", "message_consumed")

    def __init__(self, parser: Any, door: Door) -> None:
        self._parser = parser
        self._door = door
        self.message_consumed = parser.message_consumed

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        found: tuple[Sequence[Any], bool, bytes] = self._parser.feed_data(data)
        messages, upgraded, rest = found
        if len(messages) == 1 and not upgraded:
            message, payload = messages[0]
            back = self._door.takes(message, payload)
            if back is None:
                return (), False, b""
            messages = [(message, back)]
        self._door.passes_on(len(messages))
        return messages, upgraded, rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)
