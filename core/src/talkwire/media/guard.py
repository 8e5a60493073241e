"""The one client for URLs that somebody else named."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from talkwire.errors import NotFound, TooLarge, TryLater, UnsafeUrl

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Allow = Callable[[IP], bool]

REDIRECTS = 3

_NUMBER = re.compile(
    r"\d+|0x[0-9a-f]*", re.IGNORECASE
)  # a host that ends in one is an address (WHATWG URL, "ends in a number")


def is_public(ip: IP) -> bool:
    """Say whether an address is on the open Internet, and no other address in disguise."""
    if isinstance(ip, ipaddress.IPv6Address) and (ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip.is_site_local):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def is_public_or_loopback(ip: IP) -> bool:
    """For tests and simulators, whose providers are on this machine."""
    return ip.is_loopback or is_public(ip)


def new_session(connector: TCPConnector) -> ClientSession:
    """Make a session without cookies, proxies or credentials of ours."""
    from aiohttp import DummyCookieJar

    return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), trust_env=False)


def guarded_session(*, loopback: bool = False) -> ClientSession:
    """Make a session for requests to URLs that somebody else named; it reaches public addresses alone. Close it.

    `loopback` lets it reach this machine as well, for tests. Follow no redirect without looking where it leads.
    Errors: a request raises `UnsafeUrl`, a `TalkwireError`, where an address is not allowed.
    """
    guard = _Guard(is_public_or_loopback if loopback else None)
    return new_session(TCPConnector(resolver=guard, socket_factory=guard.socket, use_dns_cache=False))


async def fetch_guarded(
    session_factory: Callable[[TCPConnector], ClientSession],
    url: str,
    *,
    limit: int,  # bytes
    timeout: timedelta,  # for everything, redirects too
    allow: Allow | None = None,  # None: public addresses, named by a host name
) -> AsyncIterator[bytes]:
    """Give the body of a foreign URL, followed over at most three redirects.

    *errors*: `UnsafeUrl` for what is not http or leads to an address that is not allowed; `TooLarge`
    above `limit`; `NotFound` where the server says no; `TryLater` for the rest.
    """
    ends = asyncio.get_running_loop().time() + timeout.total_seconds()
    guard = _Guard(allow)
    connector = TCPConnector(resolver=guard, socket_factory=guard.socket, use_dns_cache=False, force_close=True)
    try:
        async with session_factory(connector) as session:
            at = guard.checked(url)
            for _ in range(REDIRECTS + 1):
                left = ends - asyncio.get_running_loop().time()
                async with session.get(
                    at,
                    allow_redirects=False,
                    timeout=ClientTimeout(total=max(left, 0.001)),
                    headers={"Accept-Encoding": "identity"},  # nothing that unpacks to more than was counted
                ) as response:
                    if response.status in (301, 302, 303, 307, 308) and "Location" in response.headers:
                        at = guard.checked(response.headers["Location"], at)
                        continue
                    async for chunk in _body(response, limit):
                        yield chunk
                    return
            raise UnsafeUrl(f"{at.host} sends us on more than {REDIRECTS} times")
    except (ClientError, TimeoutError, OSError) as error:
        raise TryLater(f"the file could not be fetched: {type(error).__name__}") from error
    finally:
        await connector.close()


async def _body(response: ClientResponse, limit: int) -> AsyncIterator[bytes]:
    status = response.status
    if status in (408, 425, 429) or status >= 500:
        raise TryLater(f"{response.url.host} answered {status}")
    if status != 200:
        raise NotFound(f"{response.url.host} answered {status}")
    if (response.content_length or 0) > limit:
        raise TooLarge(f"the file has {response.content_length} bytes, we take {limit}")
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the file is larger than {limit} bytes")
        yield chunk


class _Guard(AbstractResolver):
    """Checks an address three times: as it is written, as it is resolved, as the socket is made."""

    def __init__(self, allow: Allow | None) -> None:
        self._literals = allow is not None
        self._allow = allow or is_public

    def checked(self, url: str, base: URL | None = None) -> URL:
        try:
            found = base.join(URL(url)) if base else URL(url)
            host = (found.raw_host or "").rstrip(".")
        except ValueError as error:
            raise UnsafeUrl("this is not a URL") from error
        if found.scheme not in ("http", "https") or not host or found.user or found.password:
            raise UnsafeUrl("only http and https URLs without a password are fetched")
        if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]):
            self._refuse_unless(self._literals and self._allows(host), host)
        return found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG
        )
        results = [
            ResolveResult(
                hostname=host, host=str(at[0]), port=port, family=family, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for family, _, proto, _, at in found
            if self._allows(str(at[0]))
        ]
        self._refuse_unless(bool(results), host)
        return results

    def socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, proto, _, at = address
        self._refuse_unless(self._allows(at[0]), at[0])
        return socket.socket(family, kind, proto)

    async def close(self) -> None:
        pass

    def _allows(self, host: str) -> bool:
        try:
            return self._allow(ipaddress.ip_address(host))
        except ValueError:  # 2130706433, 0x7f.1 and the like
            return False

    def _refuse_unless(self, allowed: bool, host: str) -> None:
        if not allowed:
            raise UnsafeUrl(f"{host} is not on the open Internet")
