"""Where a request comes from, and who is counted as one there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

_ONE_V6 = 64  # bits of a network: whoever has one IPv6 address has all that begin like it


def remote_of(request: web.Request, proxies: Sequence[Any]) -> str:
    """Give the client's address: the peer's, or what trusted proxies say, read from right to left."""
    return seen_from(request.remote or "", request.headers, proxies)


def seen_from(peer: str, headers: CIMultiDictProxy[str], proxies: Sequence[Any]) -> str:
    """Do as `remote_of`, with what a request is made of."""
    if not proxies or not _is_in(peer, proxies):
        return peer
    for said in reversed(",".join(headers.getall("X-Forwarded-For", [])).split(",")):
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


@lru_cache(4096)
def counted(remote: str) -> str:
    """Give whom an address is counted as: itself, and all of a /64 for IPv6."""
    address = _address(remote)
    if address is None or address.version == 4:
        return remote if address is None else str(address)
    return str(ip_network((address, _ONE_V6), strict=False))
