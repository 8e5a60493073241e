"""Where providers knock: `/in/<endpoint>`, the one path that has to be fast.

No answer of ours has a body: some gateways send it to the customer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from ..errors import NotFound, Rejected, StoreDown
from ..model import Envelope
from .engine import Engine
from .routing import BODY_TIME

PREFIX = "/in/"
_ROUTE = "/in/{endpoint}"
_RETRY_AFTER = "5"  # seconds; most providers have a schedule of their own

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def receiver(engine: Engine) -> Handler:
    """Make the handler of every endpoint."""
    intake, clock, requests = engine.intake, engine.clock, engine.requests
    proxies = engine.config.server.trusted_proxies
    our_limit = engine.config.server.body_limit

    async def receive(request: web.Request) -> web.StreamResponse:
        began = perf_counter()
        answer = await take(request)
        requests.add(request.method, _ROUTE, answer.status, perf_counter() - began)
        return answer

    async def take(request: web.Request) -> web.Response:
        url = request.rel_url
        endpoint, slash, below = url.raw_path[len(PREFIX) :].partition("/")
        try:
            limit = max(our_limit, intake.body_limit(endpoint))
            body = b""
            if request.body_exists:
                if (request.content_length or 0) > limit:
                    return _closing(413)
                if request.content.is_eof():  # it came with the headers
                    body = await request.read()
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
            return _closing(401)
        except NotFound:
            return _closing(404)
        except web.RequestPayloadError:
            return _closing(400)
        except web.HTTPRequestEntityTooLarge:
            return _closing(413)
        except TimeoutError:
            return _closing(408)
        except StoreDown:
            return web.Response(status=503, headers={"Retry-After": _RETRY_AFTER})
        if answered is None:
            return web.Response()
        said = answered.body.encode("utf-8", "surrogateescape")  # a challenge goes back as it came
        return web.Response(body=said, status=answered.status, content_type=answered.content_type, charset="utf-8")

    return receive


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


def remote_of(request: web.Request, proxies: Sequence[Any]) -> str:
    """Give the client's address: the peer's, or what trusted proxies say, read from right to left."""
    peer = request.remote or ""
    if not proxies or not _is_in(peer, proxies):
        return peer
    for said in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
        address = said.strip()
        if _address(address) is None:
            return peer  # whoever wrote this is the last one we know
        peer = address
        if not _is_in(peer, proxies):
            break
    return peer


def _is_in(address: str, networks: Sequence[Any]) -> bool:
    found = _address(address)
    return found is not None and any(found in network for network in networks)


@lru_cache(1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
