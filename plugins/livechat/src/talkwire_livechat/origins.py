"""Which websites may carry the widget. A browser always names the website on a socket; whoever names none is none."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit


class Origins:
    """The allowed websites: `https://shop.example`, or `https://*.shop.example` for all below it."""

    def __init__(self, allowed: Iterable[str]) -> None:
        named = tuple(allowed)
        self._exact = frozenset(one for one in named if "*" not in one)
        self._below = tuple(_parts(one.replace("*.", "", 1)) for one in named if "*" in one)

    def allow(self, origin: str) -> bool:
        """Say whether a request's `Origin` is one of them."""
        if origin in self._exact:
            return True
        try:
            scheme, host, port = _parts(origin)
        except ValueError:
            return False
        return any(scheme == s and port == p and host.endswith("." + h) for s, h, p in self._below)


def _parts(origin: str) -> tuple[str, str, int | None]:
    found = urlsplit(origin)
    return found.scheme, found.hostname or "", found.port
