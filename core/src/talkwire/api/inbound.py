"""Where providers knock: `/in/<endpoint>`, the one path that has to be fast.

No answer of ours has a body: some gateways send it to the customer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from time import perf_counter, time
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11, RawRequestMessage

from ..errors import NotFound, Rejected, StoreDown
from ..model import Envelope
from .door import Answer, Taker
from .engine import Engine
from .problems import whole_seconds
from .remote import remote_of, seen_from
from .routing import BODY_TIME

PREFIX = "/in/"
_ROUTE = "/in/{endpoint}"
_RETRY_AFTER = "5"  # seconds; most providers have a schedule of their own

Handler = Callable[[Any], Awaitable[web.StreamResponse]]  # of a `Request`; to aiohttp's server it is a `BaseRequest`


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes deliveries in."""

    take: Taker  # those that come whole, and need nothing but the store
    receive: Handler  # all others


RECEIVER = web.AppKey("receiver", Receiver)


def ahead_of_routes(receive: Handler, routed: Handler) -> Handler:
    """Give deliveries to their handler without a look through the routes; all else goes by them.

    Who asks whether to send a body at all (`Expect`) is answered by the application.
    """

    def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
        is_ours = request.rel_url.raw_path.startswith(PREFIX) and hdrs.EXPECT not in request.headers
        return receive(request) if is_ours else routed(request)

    return handle


class _Said:
    """The text of an answer without a body, made once a second."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._second = 0  # since 1970-01-01 UTC, that the text is of
        self._text = b""

    def __call__(self) -> bytes:
        second = int(time())
        if second != self._second:
            date = formatdate(second, usegmt=True)
            said = f"HTTP/1.1 {self._head}\r\nContent-Length: 0\r\nDate: {date}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
            self._second, self._text = second, said.encode()
        return self._text


_OK = _Said("200 OK")
_DOWN = _Said(f"503 Service Unavailable\r\nRetry-After: {_RETRY_AFTER}")
_FAULT = _Said("500 Internal Server Error\r\nConnection: close")


class _Taken(web.StreamResponse):
    """The answer of nearly all deliveries, 200 without a body: one for all.

    Only for HTTP/1.1 over a connection that stays open; others need headers of their own.
    """

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send it; a client that reads nothing is waited for. Errors: `ConnectionError`."""
        await request.writer.write(_OK())
        await request.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all of it is sent."""


_TAKEN = _Taken()


def receiver(engine: Engine) -> Receiver:
    """Make who takes the deliveries of every endpoint."""
    return Receiver(_taker(engine), _handler(engine))


def _taker(engine: Engine) -> Taker:
    intake, clock, requests = engine.intake, engine.clock, engine.requests
    proxies, our_limit = engine.config.server.trusted_proxies, engine.config.server.body_limit

    def take(message: RawRequestMessage, body: bytes, peer: str, answer: Answer) -> bool:
        began, url = perf_counter(), message.url
        path = url.raw_path
        if not path.startswith(PREFIX) or url.raw_query_string:
            return False
        endpoint, slash, below = path[len(PREFIX) :].partition("/")

        def done(error: BaseException | None) -> None:
            status, said = (
                (200, _OK) if error is None else (503, _DOWN) if isinstance(error, StoreDown) else (500, _FAULT)
            )
            requests.add(hdrs.METH_POST, _ROUTE, status, perf_counter() - began)
            answer(said())

        envelope = Envelope(
            endpoint=endpoint,
            method=hdrs.METH_POST,
            path=slash + below,
            headers=_lower(message.headers),
            query=(),
            body=body,
            remote=seen_from(peer, message.headers, proxies),
            received_at=clock.now(),
        )
        return intake.at_once(envelope, our_limit, done)

    return take


def _handler(engine: Engine) -> Handler:
    intake, clock, requests = engine.intake, engine.clock, engine.requests
    proxies = engine.config.server.trusted_proxies
    our_limit, limits = engine.config.server.body_limit, engine.limits

    async def receive(request: web.Request) -> web.StreamResponse:
        began = perf_counter()
        answer = await take(request)
        requests.add(request.method, _ROUTE, answer.status, perf_counter() - began)
        return answer

    async def take(request: web.Request) -> web.StreamResponse:
        url = request.rel_url
        endpoint, slash, below = url.raw_path[len(PREFIX) :].partition("/")
        try:
            methods = intake.methods(endpoint)
            if request.method not in methods:
                return _not_so(methods)
            limit = max(our_limit, intake.body_limit(endpoint))
            body = b""
            if request.body_exists:
                if request.content.is_eof():  # it came with the headers
                    body = request.content.read_nowait()
                elif (request.content_length or 0) > limit:
                    return _closing(413)
                else:
                    async with asyncio.timeout(BODY_TIME):
                        body = await request.read()
                if len(body) > limit:
                    return _closing(413)
            answered = await intake.receive(
                Envelope(
                    endpoint=endpoint,
                    method=request.method,
                    path=slash + below,
                    headers=_lower(request.headers),
                    query=_query(url.raw_query_string) if url.raw_query_string else (),
                    body=body,
                    remote=remote_of(request, proxies),
                    received_at=clock.now(),
                )
            )
        except Rejected:
            return _unknown(401, request)
        except NotFound:
            return _unknown(404, request)
        except web.RequestPayloadError:
            return _closing(400)
        except web.HTTPRequestEntityTooLarge:
            return _closing(413)
        except TimeoutError:
            return _closing(408)
        except StoreDown:
            return web.Response(status=503, headers={"Retry-After": _RETRY_AFTER})
        if answered is None:
            is_usual = request.version == HttpVersion11 and request.keep_alive and request.method != hdrs.METH_HEAD
            return _TAKEN if is_usual else web.Response()
        said = answered.body.encode("utf-8", "surrogateescape")  # a challenge goes back as it came
        return web.Response(body=said, status=answered.status, content_type=answered.content_type, charset="utf-8")

    def _unknown(status: int, request: web.Request) -> web.Response:
        # Whoever is genuine is never refused for what others do from the same address: many share a provider's.
        wait = limits.forged(remote_of(request, proxies))
        if wait is None:
            return _closing(status)
        response = _closing(429)
        response.headers["Retry-After"] = whole_seconds(wait)
        return response

    return receive


def _not_so(methods: frozenset[str]) -> web.Response:
    response = _closing(405)
    response.headers["Allow"] = ", ".join(sorted(methods))
    return response


def _closing(status: int) -> web.Response:
    """Refuse, and take nothing more over this connection: whoever is refused connects anew."""
    response = web.Response(status=status)
    response.force_close()
    return response


def _lower(headers: Any) -> dict[str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    if len(lower) != len(headers):  # a header that came twice is one with a comma (RFC 9110, 5.3)
        lower = {name: ", ".join(headers.getall(name)) for name in lower}
    return lower


def _query(raw: str) -> tuple[tuple[str, str], ...]:
    # Bytes that are no UTF-8 come as surrogate escapes: a channel whose provider writes another charset can read them.
    return tuple(parse_qsl(raw, keep_blank_values=True, encoding="utf-8", errors="surrogateescape"))
